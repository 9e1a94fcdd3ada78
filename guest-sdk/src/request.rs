//! What a strategy can learn of a request beyond its fields.

use crate::Request;
use crate::rendezvous::mix;

impl Request {
    /// The request's lot: a number from 0 up to, but not including, 1, evenly spread. Requests that belong together
    /// (`affinity`) have the same one, in every process and after every start; one that belongs to no other draws by chance
    /// (`entropy`).
    ///
    /// `request.lot() < 0.05` is five percent of the sessions, and `< 0.2` the same ones and more.
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
    ///         if request.lot() < 0.2 { order.sort_by_key(|c| std::cmp::Reverse(c.index())).into() } else { order.into() }
    ///     }
    /// }
    ///
    /// use pointsman_guest::testing::Harness;
    /// let mut strategy = Harness::<Fifth>::new(["old", "new"]);
    /// strategy.request.entropy = u32::MAX / 10;
    /// assert_eq!(strategy.route(), ["new", "old"]);
    /// ```
    pub fn lot(&self) -> f64 {
        let drawn = match self.affinity {
            0 => self.entropy,
            // Mixed anew: what another strategy has divided by the key's first bits is to be whole here.
            key => (mix(key) >> 32) as u32,
        };
        f64::from(drawn) / 2_f64.powi(32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tier;

    fn request(entropy: u32, affinity: u64) -> Request {
        let (tier, model) = (Tier::Primary, String::new());
        let (seq, now_ms, attempts, streaming, body_bytes) = (0, 0, 0, false, 0);
        Request { seq, entropy, now_ms, tier, attempts, model, streaming, body_bytes, affinity }
    }

    #[test]
    fn what_belongs_together_has_one_lot_and_the_rest_draws() {
        assert_eq!(request(1, 7).lot(), request(u32::MAX, 7).lot());
        assert_eq!((request(0, 0).lot(), request(1 << 31, 0).lot()), (0.0, 0.5));
        assert!(request(u32::MAX, 0).lot() < 1.0);
    }

    #[test]
    fn lots_of_sessions_are_evenly_spread() {
        for share in [0.05, 0.3, 0.9] {
            let below = (1..=20_000).filter(|key| request(0, *key).lot() < share).count() as f64 / 20_000.0;
            assert!((below - share).abs() < 0.01, "{share}: {below}");
        }
    }
}
