//! What a provider has said is left of its own limits, per model and for all models, until each figure is out of date.
//!
//! Decisions read it without a lock, in two words for each model. It informs strategies, and a provider that has nothing
//! left is skipped while others can serve; it is never evidence against the provider.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::dialect::remaining::{Left, Remaining};
use crate::routing::ModelKey;

/// The most models of one provider of which figures are kept at a time, all models together being one more.
const MOST_MODELS: usize = 16;
/// Bits of a share in permille.
const SHARE: u64 = (1 << 10) - 1;

/// The figures of one provider.
#[derive(Debug)]
pub struct Remainders {
    began: Instant,
    /// The first is about all models.
    shelves: [Shelf; MOST_MODELS + 1],
    /// The shelves that have been used, counted from the first.
    used: AtomicUsize,
    writing: Mutex<()>,
}

/// The figures of one model.
#[derive(Debug, Default)]
struct Shelf {
    model: AtomicU64,
    requests: Figure,
    tokens: Figure,
}

/// One figure.
#[derive(Debug, Default)]
struct Figure {
    /// The time up to which it holds, in milliseconds, and in the lowest bits the share that is left, in permille.
    share: AtomicU64,
    /// The limit; 0 when it is not known.
    limit: AtomicU64,
    remaining: AtomicU64,
}

/// The shares that are left, in permille, of requests and of tokens; 1000 where nothing is known.
pub const ALL_LEFT: [u32; 2] = [1000, 1000];

/// A figure for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The limit, if it is known.
    pub limit: Option<u64>,
    /// The part of it that is left.
    pub remaining: u64,
    /// The time for which this holds.
    pub lasts: Duration,
}

impl Default for Remainders {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            shelves: std::array::from_fn(|_| Shelf::default()),
            used: AtomicUsize::new(0),
            writing: Mutex::new(()),
        }
    }
}

impl Remainders {
    /// True while nothing was ever said.
    pub fn is_empty(&self) -> bool {
        self.used.load(Relaxed) == 0
    }

    /// Takes in what an answer for `model` says.
    pub fn note(&self, model: ModelKey, said: &Remaining, now: Instant) {
        let now = self.millis(now);
        let _writer = self.writing.lock();
        let Some(at) = (if said.of_account { Some(0) } else { self.place_for(model, now) }) else { return };
        let shelf = &self.shelves[at];
        shelf.model.store(model.number(), Relaxed);
        for (figure, left) in [(&shelf.requests, said.requests), (&shelf.tokens, said.tokens)] {
            if let Some(left) = left {
                figure.set(left, now);
            }
        }
        self.used.fetch_max(at + 1, Relaxed);
    }

    /// The shelf of a model: its own, one that is free, or one whose figures are out of date.
    fn place_for(&self, model: ModelKey, now: u64) -> Option<usize> {
        let used = self.used.load(Relaxed).max(1);
        let known = (1..used).find(|&at| self.shelves[at].model.load(Relaxed) == model.number());
        let free = || (used < self.shelves.len()).then_some(used);
        let known = known.or_else(free);
        known.or_else(|| {
            let stale = (1..used).find(|&at| !self.shelves[at].holds(now))?;
            // The figures of another model must not be seen as this one's.
            self.shelves[stale].clear();
            Some(stale)
        })
    }

    /// The shares that are left for `model`.
    pub fn left(&self, model: ModelKey, now: Instant) -> [u32; 2] {
        let used = self.used.load(Relaxed);
        if used == 0 {
            return ALL_LEFT;
        }
        let now = self.millis(now);
        let mut least = self.shelves[0].left(now);
        let known = self.shelves[1..used].iter().find(|shelf| shelf.model.load(Relaxed) == model.number());
        if let Some(shelf) = known {
            let [requests, tokens] = shelf.left(now);
            least = [least[0].min(requests), least[1].min(tokens)];
        }
        least
    }

    /// True when the provider has said that nothing is left for `model`.
    pub fn is_used_up(&self, model: ModelKey, now: Instant) -> bool {
        self.left(model, now).contains(&0)
    }

    /// The figures with the least left of all models, of requests and of tokens.
    pub fn shown(&self, now: Instant) -> [Option<Shown>; 2] {
        let now = self.millis(now);
        let shelves = &self.shelves[..self.used.load(Relaxed)];
        let least = |figures: &mut dyn Iterator<Item = &Figure>| {
            let known = figures.filter(|figure| figure.until() > now);
            known.min_by_key(|figure| figure.left(now)).map(|figure| figure.shown(now))
        };
        [least(&mut shelves.iter().map(|shelf| &shelf.requests)), least(&mut shelves.iter().map(|shelf| &shelf.tokens))]
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Shelf {
    fn left(&self, now: u64) -> [u32; 2] {
        [self.requests.left(now), self.tokens.left(now)]
    }

    fn holds(&self, now: u64) -> bool {
        self.requests.until() > now || self.tokens.until() > now
    }

    fn clear(&self) {
        for figure in [&self.requests, &self.tokens] {
            figure.share.store(0, Relaxed);
            figure.limit.store(0, Relaxed);
        }
    }
}

impl Figure {
    fn set(&self, left: Left, now: u64) {
        // Of a limit that is not named, the most that was ever left is the best guess.
        let limit = left.limit.unwrap_or_else(|| self.limit.load(Relaxed).max(left.remaining));
        let permille = Left { limit: Some(limit), ..left }.permille();
        // Rounded up, so that a figure holds for a moment at least.
        let lasts = u64::try_from(left.lasts.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        self.limit.store(limit, Relaxed);
        self.remaining.store(left.remaining, Relaxed);
        self.share.store(now.saturating_add(lasts).min(u64::MAX >> 10) << 10 | u64::from(permille), Relaxed);
    }

    /// The time up to which it holds.
    fn until(&self) -> u64 {
        self.share.load(Relaxed) >> 10
    }

    fn left(&self, now: u64) -> u32 {
        let share = self.share.load(Relaxed);
        if share >> 10 > now { (share & SHARE) as u32 } else { 1000 }
    }

    fn shown(&self, now: u64) -> Shown {
        let limit = self.limit.load(Relaxed);
        Shown {
            limit: (limit > 0).then_some(limit),
            remaining: self.remaining.load(Relaxed),
            lasts: Duration::from_millis(self.until().saturating_sub(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ModelKey = ModelKey::test(1);
    const B: ModelKey = ModelKey::test(2);

    fn left(limit: Option<u64>, remaining: u64, seconds: u64) -> Option<Left> {
        Some(Left { limit, remaining, lasts: Duration::from_secs(seconds) })
    }

    fn of_model(requests: Option<Left>, tokens: Option<Left>) -> Remaining {
        Remaining { requests, tokens, of_account: false }
    }

    #[test]
    fn a_figure_is_about_its_model_and_holds_until_its_reset() {
        let (said, now) = (Remainders::default(), Instant::now());
        assert!(said.is_empty());
        said.note(A, &of_model(left(Some(60), 30, 5), None), now);
        said.note(A, &of_model(None, left(Some(100), 0, 2)), now);
        let at = |model, seconds| said.left(model, now + Duration::from_secs(seconds));
        assert_eq!((at(A, 0), at(A, 3), at(A, 6)), ([500, 0], [500, 1000], ALL_LEFT));
        assert_eq!(at(B, 0), ALL_LEFT);
        assert!(said.is_used_up(A, now) && !said.is_used_up(B, now));
        let shown = Shown { limit: Some(60), remaining: 30, lasts: Duration::from_secs(5) };
        assert_eq!(
            said.shown(now),
            [Some(shown), Some(Shown { limit: Some(100), remaining: 0, lasts: Duration::from_secs(2) })]
        );
        assert_eq!(said.shown(now + Duration::from_secs(9)), [None, None]);
    }

    #[test]
    fn a_limit_of_the_account_is_about_all_models() {
        let (said, now) = (Remainders::default(), Instant::now());
        said.note(A, &Remaining { of_account: true, ..of_model(left(Some(10), 1, 5), None) }, now);
        said.note(B, &of_model(left(Some(10), 9, 5), None), now);
        assert_eq!((said.left(A, now), said.left(B, now)), ([100, 1000], [100, 1000]));
    }

    #[test]
    fn the_most_that_was_ever_left_stands_for_a_limit_that_is_not_named() {
        let (said, now) = (Remainders::default(), Instant::now());
        said.note(A, &of_model(left(None, 800, 5), None), now);
        said.note(A, &of_model(left(None, 200, 5), None), now);
        assert_eq!(said.left(A, now), [250, 1000]);
    }

    #[test]
    fn many_models_fill_no_memory_and_old_ones_make_room() {
        let (said, now) = (Remainders::default(), Instant::now());
        let later = now + Duration::from_secs(6);
        for number in 0..100 {
            said.note(ModelKey::test(number), &of_model(left(Some(10), 1, 5), None), now);
        }
        let known = |now| (0..100).filter(|&number| said.left(ModelKey::test(number), now)[0] == 100).count();
        assert_eq!(known(now), MOST_MODELS);
        said.note(ModelKey::test(99), &of_model(None, left(Some(10), 1, 5)), later);
        assert_eq!((said.left(ModelKey::test(99), later), known(later)), ([1000, 100], 0));
    }
}
