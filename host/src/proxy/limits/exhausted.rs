//! The error of a request when no provider's account has room for it, in words.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Levels, Limited};
use crate::limits::{Moment, Refusal, Unit, Until};
use crate::provider::account::UNPRICED;

/// The most providers that are named.
const SHOWN: usize = 5;

/// The accounts that have no room for a request.
#[derive(Clone, Debug)]
pub struct Exhausted {
    /// The provider of each, and the limit.
    pub refusals: Vec<(String, Refusal)>,
    /// When.
    pub at: Moment,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A rate is used up, or requests at once; with the shortest wait.
    Rate(Duration),
    /// All that would do are budgets that are spent; with the time until the first is renewed, unless none ever is.
    Budget(Option<Duration>),
    /// The request is larger than the limits of every account.
    TooLarge,
    /// No price is known, although budgets count.
    Unpriced,
}

impl Exhausted {
    /// Why there is no room.
    pub fn lack(&self) -> Lack {
        let rates = self.refusals.iter().filter(|(_, refusal)| refusal.unit != Unit::Money);
        let wait = |(_, refusal): &(String, Refusal)| match refusal.until {
            Until::Free | Until::Ask | Until::Closed => Some(Duration::from_secs(1)),
            Until::Wait(wait) => Some(wait),
            Until::End(Moment(u64::MAX)) | Until::Never => None,
            Until::End(end) => Some(end.since(self.at)),
        };
        let is_of_time = |(_, refusal): &&(String, Refusal)| refusal.until != Until::Never;
        if let Some(wait) = rates.filter_map(wait).min() {
            Lack::Rate(wait)
        } else if self.refusals.iter().any(|refusal| is_of_time(&refusal)) {
            Lack::Budget(self.refusals.iter().filter_map(wait).min())
        } else if self.refusals.iter().any(|(_, refusal)| &*refusal.name == UNPRICED) {
            Lack::Unpriced
        } else {
            Lack::TooLarge
        }
    }

    /// The sentence for the client.
    pub fn sentence(&self) -> String {
        let mut text = "No provider has room for this request.".to_owned();
        for (provider, refusal) in self.refusals.iter().take(SHOWN) {
            let limited = Limited { refusal: refusal.clone(), levels: Levels::default(), at: self.at };
            let why = match &*refusal.name {
                UNPRICED => "Its account has a budget, and the price of the model is not known.".to_owned(),
                _ => limited.sentence(),
            };
            // Writing to a String cannot fail.
            let _ = write!(text, " {provider}: {why}");
        }
        match self.refusals.len().saturating_sub(SHOWN) {
            0 => text,
            more => format!("{text} And {more} more."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Owner;

    fn refusal(unit: Unit, name: &str, until: Until) -> (String, Refusal) {
        let owner = Owner::Account("main".into());
        ("a".to_owned(), Refusal { owner, unit, name: name.into(), limit: 60, remaining: 0, asked: 1, until })
    }

    fn lack(refusals: Vec<(String, Refusal)>) -> Lack {
        Exhausted { refusals, at: Moment(1_000_000_000) }.lack()
    }

    #[test]
    fn the_shortest_wait_for_a_rate_counts_and_budgets_only_without_one() {
        let seconds = Duration::from_secs;
        let rate = |wait| refusal(Unit::Requests, "rpm", Until::Wait(seconds(wait)));
        let budget = |end: u64| refusal(Unit::Money, "day", Until::End(Moment(end * 1_000_000_000)));
        let never = refusal(Unit::Tokens, "tpm", Until::Never);
        let total = refusal(Unit::Money, "total", Until::End(Moment(u64::MAX)));
        assert_eq!(lack(vec![rate(9), budget(3), rate(7), never.clone()]), Lack::Rate(seconds(7)));
        assert_eq!(lack(vec![budget(31), budget(11), never.clone()]), Lack::Budget(Some(seconds(10))));
        assert_eq!(lack(vec![total, never.clone()]), Lack::Budget(None));
        assert_eq!(lack(vec![never]), Lack::TooLarge);
        assert_eq!(lack(vec![refusal(Unit::Money, UNPRICED, Until::Never)]), Lack::Unpriced);
    }

    #[test]
    fn the_sentence_names_the_provider_the_limit_and_its_end() {
        let refusals = vec![refusal(Unit::Requests, "rpm", Until::Wait(Duration::from_secs(7)))];
        assert_eq!(
            Exhausted { refusals, at: Moment(0) }.sentence(),
            "No provider has room for this request. a: The limit of the account 'main' is reached: 60 requests per minute \
             (rpm). Try again in 7 s."
        );
        let many = vec![refusal(Unit::Money, UNPRICED, Until::Never); 7];
        let text = Exhausted { refusals: many, at: Moment(0) }.sentence();
        assert!(text.ends_with("the price of the model is not known. And 2 more."), "{text}");
    }
}
