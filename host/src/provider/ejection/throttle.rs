//! The rate limits of one provider: the models that they are about, and their ends.
//!
//! A limit is not evidence against a provider, so it stands beside its health: a provider may be healthy and have no
//! room for one of its models.

use std::time::Duration;

use tokio::time::Instant;

use crate::routing::ModelKey;

/// The first wait after a rate limit without a figure of its own; doubles with each in a row.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait that a provider without a figure of its own is given.
const MOST_GROWN: Duration = Duration::from_secs(60);
/// The longest wait: a header gone wrong must not take a provider out for a day.
const MOST: Duration = Duration::from_secs(600);
/// A longer wait ends early when the provider answers a check.
const UNCHECKED: Duration = Duration::from_secs(60);
/// The most models of one provider whose limits are remembered at the same time.
const MOST_MODELS: usize = 32;
/// The models that a rate limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything that this key may ask for.
    Account,
    /// One model.
    Model(ModelKey),
}

#[derive(Clone, Copy, Debug)]
struct Throttle {
    scope: Scope,
    /// No requests before this instant.
    until: Instant,
    /// Limits without a figure in a row.
    in_a_row: u32,
    /// True when the provider asked for a longer wait than it was given, so that the end is a guess: one request tries
    /// it out.
    is_guess: bool,
}

/// All limits that are in force, or after which no request has gone well yet.
#[derive(Clone, Debug, Default)]
pub struct Throttles(Vec<Throttle>);

impl Throttles {
    /// True when there is no limit, and none to be remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that requests for `model` must wait, if they must.
    pub fn wait(&self, model: ModelKey, now: Instant) -> Option<Duration> {
        self.about(model).filter_map(|throttle| left(throttle, now)).max()
    }

    /// The longest wait of any model, if there is one.
    pub fn longest(&self, now: Instant) -> Option<Duration> {
        self.0.iter().filter_map(|throttle| left(throttle, now)).max()
    }

    /// Each limit in force, with the time for which it lasts.
    pub fn each(&self, now: Instant) -> impl Iterator<Item = (Scope, Duration)> {
        self.0.iter().filter_map(move |throttle| Some((throttle.scope, left(throttle, now)?)))
    }

    /// True when a request for `model` would try out a limit whose end is a guess.
    pub fn wants_trial(&self, model: ModelKey, now: Instant) -> bool {
        self.about(model).any(|throttle| throttle.is_guess && throttle.until <= now)
    }

    /// The limits after one was met at `now`; `None` when that changes nothing.
    pub fn limited(&self, scope: Scope, retry_after: Option<Duration>, now: Instant) -> Option<Self> {
        let known = self.0.iter().find(|throttle| throttle.scope == scope);
        let in_a_row = known.map_or(0, |known| known.in_a_row);
        // 0 and the past do not count as figures: obeyed, they would be no pause at all.
        let (wait, in_a_row, is_guess) = match retry_after.filter(|wait| !wait.is_zero()) {
            Some(wait) => (wait.min(MOST), in_a_row, wait > MOST),
            // Requests in flight together that all hit the limit are one reason to wait longer, not many.
            None if known.is_some_and(|known| known.until > now) => return None,
            None => (FIRST.saturating_mul(1 << in_a_row.min(16)).min(MOST_GROWN), in_a_row.saturating_add(1), false),
        };
        let until = now + wait;
        // Requests in flight together each bring a figure; the longest holds.
        if known.is_some_and(|known| known.until >= until) {
            return None;
        }
        let mut others: Vec<Throttle> = self.0.iter().filter(|throttle| throttle.scope != scope).copied().collect();
        if others.len() >= MOST_MODELS {
            let soonest = (0..others.len()).min_by_key(|&at| others[at].until);
            soonest.map(|at| others.swap_remove(at));
        }
        others.push(Throttle { scope, until, in_a_row, is_guess });
        Some(Self(others))
    }

    /// The limits after a request for `model` that went well; `None` when nothing changes.
    pub fn proven(&self, model: ModelKey, now: Instant) -> Option<Self> {
        // One that began before the limit was met says nothing about it.
        self.without(|throttle| throttle.is_about(model) && throttle.until <= now)
    }

    /// The limits after an active check that went well; `None` when nothing changes. A list of models says little about
    /// limits, so an ordinary wait stays; a long one becomes a guess, which one request tries out.
    pub fn checked(&self, now: Instant) -> Option<Self> {
        let is_long = |throttle: &Throttle| left(throttle, now).is_some_and(|left| left > UNCHECKED);
        if !self.0.iter().any(is_long) {
            return None;
        }
        let mut throttles = self.0.clone();
        for throttle in throttles.iter_mut().filter(|throttle| is_long(throttle)) {
            (throttle.until, throttle.is_guess) = (now, true);
        }
        Some(Self(throttles))
    }

    fn about(&self, model: ModelKey) -> impl Iterator<Item = &Throttle> {
        self.0.iter().filter(move |throttle| throttle.is_about(model))
    }

    fn without(&self, gone: impl Fn(&Throttle) -> bool) -> Option<Self> {
        let stays: Vec<Throttle> = self.0.iter().filter(|throttle| !gone(throttle)).copied().collect();
        (stays.len() < self.0.len()).then_some(Self(stays))
    }
}

impl Throttle {
    fn is_about(&self, model: ModelKey) -> bool {
        self.scope == Scope::Account || self.scope == Scope::Model(model)
    }
}

fn left(throttle: &Throttle, now: Instant) -> Option<Duration> {
    throttle.until.checked_duration_since(now).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ModelKey = ModelKey::test(1);
    const B: ModelKey = ModelKey::test(2);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn limited(scope: Scope, retry_after: Option<Duration>, now: Instant) -> Throttles {
        Throttles::default().limited(scope, retry_after, now).expect("new")
    }

    #[test]
    fn a_limit_of_one_model_leaves_the_others_alone_and_one_of_the_account_does_not() {
        let now = Instant::now();
        let one = limited(Scope::Model(A), Some(seconds(7)), now);
        assert_eq!((one.wait(A, now), one.wait(B, now)), (Some(seconds(7)), None));
        let all = limited(Scope::Account, Some(seconds(7)), now);
        assert_eq!((all.wait(A, now), all.wait(B, now)), (Some(seconds(7)), Some(seconds(7))));
        assert_eq!(all.wait(A, now + seconds(7)), None);
    }

    #[test]
    fn a_limit_without_a_figure_grows_until_a_request_goes_well_and_zero_is_no_figure() {
        for none in [None, Some(Duration::ZERO)] {
            let (mut now, mut throttles) = (Instant::now(), Throttles::default());
            for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
                throttles = throttles.limited(Scope::Model(A), none, now).expect("new");
                assert_eq!(throttles.wait(A, now), Some(seconds(expected)));
                assert!(throttles.limited(Scope::Model(A), none, now).is_none(), "those in flight together are one");
                now += seconds(expected);
            }
            let well = throttles.proven(A, now).expect("forgotten");
            assert!(well.is_empty());
        }
    }

    #[test]
    fn a_figure_of_a_day_is_believed_for_ten_minutes_and_then_tried_out() {
        let now = Instant::now();
        let throttles = limited(Scope::Model(A), Some(seconds(86_400)), now);
        assert_eq!(throttles.wait(A, now), Some(seconds(600)));
        assert!(!throttles.wants_trial(A, now + seconds(599)) && throttles.wants_trial(A, now + seconds(600)));
        let ordinary = limited(Scope::Model(A), Some(seconds(30)), now);
        assert!(!ordinary.wants_trial(A, now + seconds(30)));
    }

    #[test]
    fn a_good_check_ends_a_long_wait_and_no_ordinary_one() {
        let now = Instant::now();
        let long = limited(Scope::Model(A), Some(seconds(3600)), now).checked(now).expect("changes");
        assert_eq!((long.wait(A, now), long.wants_trial(A, now)), (None, true));
        assert!(limited(Scope::Model(A), Some(seconds(40)), now).checked(now).is_none());
    }

    #[test]
    fn a_request_that_began_before_the_limit_does_not_lift_it() {
        let now = Instant::now();
        let throttles = limited(Scope::Model(A), Some(seconds(7)), now);
        assert!(throttles.proven(A, now + seconds(6)).is_none());
        assert!(throttles.proven(B, now + seconds(8)).is_none(), "nor does one for another model");
    }

    #[test]
    fn clients_that_invent_models_fill_no_memory() {
        let now = Instant::now();
        let all = (0..1000).fold(Throttles::default(), |throttles, model| {
            throttles.limited(Scope::Model(ModelKey::test(model)), Some(seconds(model + 1)), now).unwrap_or(throttles)
        });
        assert_eq!(all.0.len(), MOST_MODELS);
        assert_eq!(all.longest(now), Some(seconds(600)));
    }
}
