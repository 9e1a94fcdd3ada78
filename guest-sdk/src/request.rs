//! Facts that a strategy can learn of a request beyond its fields.

use crate::Request;
use crate::rendezvous::mix;

impl Request {
    /// The request's draw: a number from 0 up to, but not including, 1, evenly spread. Requests that belong together
    /// (`affinity`) have the same one, in every process and after every start; one that belongs to no other draws by chance
    /// (`entropy`).
    ///
    /// `request.uniform() < 0.05` is true for five percent of the sessions, and `< 0.2` for the same ones and more.
    ///
    /// ```
    /// use pointsman_guest::{Candidates, Decision, NoConfig, Request, Setup, Strategy};
    ///
    /// /// A fifth of the sessions goes to the last provider, the others to the first.
    /// struct Fifth;
    ///
    /// impl Strategy for Fifth {
    ///     type Config = NoConfig;
    ///
    ///     fn new(_: &Setup, _: NoConfig) -> Result<Self, String> {
    ///         Ok(Self)
    ///     }
    ///
    ///     fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
    ///         let order = candidates.in_order();
    ///         if request.uniform() < 0.2 { order.sort_by_key(|c| std::cmp::Reverse(c.index())).into() } else { order.into() }
    ///     }
    /// }
    ///
    /// use pointsman_guest::testing::Harness;
    /// let mut strategy = Harness::<Fifth>::new(["old", "new"]);
    /// strategy.request.entropy = u32::MAX / 10;
    /// assert_eq!(strategy.route(), ["new", "old"]);
    /// ```
    pub fn uniform(&self) -> f64 {
        let drawn = match self.affinity {
            0 => self.entropy,
            // Mixed again, so that the draw does not depend on the first bits of the key, by which another strategy may
            // have divided the requests.
            key => (mix(key) >> 32) as u32,
        };
        f64::from(drawn) / 2_f64.powi(32)
    }

    /// The request's draw: the name of [`uniform`](Self::uniform) before 0.3 of the contract.
    #[deprecated(note = "is called `uniform`")]
    pub fn lot(&self) -> f64 {
        self.uniform()
    }

    /// The value of an attribute, a name under `routing.attributes` of the configuration; `None` when the request has none.
    /// The client chooses it: it proves nothing.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The estimated tokens of the request and its answer together: `prompt_tokens` and `max_tokens`, or `usual` in
    /// place of the latter if the client does not set it.
    pub fn tokens(&self, usual: u32) -> u32 {
        self.prompt_tokens.saturating_add(if self.max_tokens > 0 { self.max_tokens } else { usual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(entropy: u32, affinity: u64) -> Request {
        Request { entropy, affinity, ..crate::testing::request() }
    }

    #[test]
    fn what_belongs_together_draws_once_and_the_rest_each_for_itself() {
        assert_eq!(request(1, 7).uniform(), request(u32::MAX, 7).uniform());
        assert_eq!((request(0, 0).uniform(), request(1 << 31, 0).uniform()), (0.0, 0.5));
        assert!(request(u32::MAX, 0).uniform() < 1.0);
    }

    #[test]
    fn draws_of_sessions_are_evenly_spread() {
        for share in [0.05, 0.3, 0.9] {
            let below = (1..=20_000).filter(|key| request(0, *key).uniform() < share).count() as f64 / 20_000.0;
            assert!((below - share).abs() < 0.01, "{share}: {below}");
        }
    }

    #[test]
    fn attributes_are_known_by_name_and_tokens_with_those_of_the_answer() {
        let attributes = vec![("tenant".to_owned(), "search".to_owned())];
        let request = Request { attributes, prompt_tokens: 100, ..request(0, 0) };
        assert_eq!((request.attribute("tenant"), request.attribute("user")), (Some("search"), None));
        assert_eq!(request.tokens(500), 600);
        assert_eq!(Request { max_tokens: u32::MAX, ..request }.tokens(500), u32::MAX);
    }
}
