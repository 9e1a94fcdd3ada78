//! Slots that many replicas share: how many requests may be under way at once.
//!
//! A slot is not used up but lent, so there is nothing to count: the engine knows how many each replica has, and takes
//! them back from one of which it has heard nothing for a while. Where there are many slots a few stay with the replica
//! for the next request; of a few slots none does, as they would be missing elsewhere.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ask::{Answer, Ask, Kind, Need, Occasion, RENEWAL};
use super::{IDLE, Terms};
use crate::limits::reservation::Way;
use crate::limits::{Moment, Owner, Until};

/// After a refusal the engine is left alone for this long: somebody else's request may have ended by then.
const PAUSE: Duration = Duration::from_millis(20);

/// The time for which the engine keeps its values of slots.
const KEPT: Duration = Duration::from_secs(60);

/// The slots that this replica may use without asking.
#[derive(Debug)]
pub struct Slots {
    terms: Arc<Terms>,
    owner: Owner,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The requests under way.
    held: u32,
    /// The slots that the engine has lent.
    lent: u32,
    /// The number of slots that the engine was last told of or has granted since.
    told: u32,
    /// The time until which a refusal of the engine holds.
    refused: Option<Moment>,
    /// The last time that one was taken.
    used: Moment,
    /// The last time that the engine has answered.
    renewed: Moment,
    /// True when the engine is going to be asked.
    noted: bool,
}

impl State {
    /// The number of slots that stay here without a request.
    fn spare(&self, limit: u32, replicas: u64) -> u32 {
        let most = u32::try_from(u64::from(limit) / (8 * replicas)).unwrap_or(0);
        self.lent.saturating_sub(self.held).min(most)
    }
}

impl Slots {
    /// No slots.
    pub fn new(terms: Arc<Terms>, owner: Owner) -> Self {
        Self { terms, owner, state: Mutex::default() }
    }

    /// The terms under which they are lent.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The requests under way on this replica.
    pub fn held(&self) -> u32 {
        self.state.lock().held
    }

    /// Takes one of `limit`.
    ///
    /// # Errors
    ///
    /// [`Until::Ask`]: the engine may have one; [`Until::Free`]: another request must end first.
    pub fn take(&self, limit: u32, now: Moment, way: Way) -> Result<(), Until> {
        let replicas = self.terms.replicas();
        let mut state = self.state.lock();
        if let Some(until) = refusal(&state, limit, now, (way, replicas)) {
            return Err(until);
        }
        state.held += 1;
        state.used = now;
        if way != Way::Leased {
            // The engine is to be told as soon as it answers.
            self.note(state);
        }
        Ok(())
    }

    /// Arranges that the engine is told.
    fn note(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        if !state.noted {
            state.noted = true;
            drop(state);
            self.terms.note(&self.owner);
        }
    }

    /// The reason why no slot can be taken.
    pub fn refuses(&self, limit: u32, now: Moment, way: Way) -> Option<Until> {
        refusal(&self.state.lock(), limit, now, (way, self.terms.replicas()))
    }

    /// The request that took one of `limit` has ended.
    pub fn leave(&self, limit: u32) {
        let replicas = self.terms.replicas();
        let mut state = self.state.lock();
        // It was taken, so it is above 0.
        state.held = state.held.saturating_sub(1);
        if state.told > state.held + state.spare(limit, replicas) {
            self.note(state);
        }
    }

    /// The next ask, if there is anything to ask or to tell.
    pub fn ask(&self, limit: u32, need: Need, now: Moment, occasion: Occasion) -> Option<Ask> {
        let replicas = self.terms.replicas();
        let mut state = self.state.lock();
        state.noted = false;
        let lies_idle = occasion == Occasion::Ends || now.since(state.used) > IDLE;
        let spare = if lies_idle { 0 } else { state.spare(limit, replicas) };
        // The engine is told of all slots in use, also of those that were taken without it.
        state.lent = state.held + spare;
        let missing = need.all.saturating_sub(spare.into());
        let least = u64::from(missing > 0);
        let most = u64::from(limit) / (8 * replicas);
        let want = if missing > 0 { missing.saturating_add(most) } else { 0 };
        let renews = state.told > 0 && now.since(state.renewed) >= RENEWAL;
        // An engine that was started with an old copy may still count slots that were given back since.
        let shows = occasion == Occasion::Verifies && (state.lent > 0 || state.renewed > Moment(0));
        if state.told == state.lent && least == 0 && !renews && !shows {
            return None;
        }
        state.told = state.lent;
        Some(Ask {
            kind: Kind::Slots,
            window: None,
            amount: limit.into(),
            lasts: KEPT,
            delta: 0,
            holds: state.lent.into(),
            want,
            least,
            seen: 0.0,
            since: now,
        })
    }

    /// Takes the answer to an ask.
    pub fn answered(&self, answer: &Answer, now: Moment) {
        let mut state = self.state.lock();
        let granted = u32::try_from(answer.granted).unwrap_or(u32::MAX);
        state.lent = state.lent.saturating_add(granted);
        state.told = state.told.saturating_add(granted);
        state.renewed = now;
        state.refused = answer.refused.map(|_| now.after(PAUSE));
    }

    /// True when the engine need not hear of the slots before one is taken.
    pub fn is_quiet(&self) -> bool {
        let state = self.state.lock();
        state.told == 0 && state.held == 0
    }
}

fn refusal(state: &State, limit: u32, now: Moment, (way, replicas): (Way, u64)) -> Option<Until> {
    match way {
        Way::Free => None,
        Way::Leased if state.held < state.lent.min(limit) => None,
        Way::Leased if state.held >= limit || state.refused.is_some_and(|until| now < until) => Some(Until::Free),
        Way::Leased => Some(Until::Ask),
        Way::Apart => {
            let share = u32::try_from(u64::from(limit) / replicas).unwrap_or(limit).max(1);
            (state.held >= share).then_some(Until::Free)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(50_000_000_000);

    fn slots(replicas: u64) -> Slots {
        let terms = Arc::new(Terms::default());
        terms.set_replicas(replicas);
        Slots::new(terms, Owner::Client("a".into()))
    }

    fn granted(granted: u64) -> Answer {
        Answer { granted, refused: None, value: 0.0, at: 0.0 }
    }

    const ONE: Need = Need { least: 1, all: 1 };

    #[test]
    fn a_slot_is_asked_for_and_given_back_when_its_request_ends() {
        let slots = slots(4);
        assert_eq!(slots.take(5, NOW, Way::Leased), Err(Until::Ask));
        let ask = slots.ask(5, ONE, NOW, Occasion::Usual).unwrap();
        assert_eq!((ask.holds, ask.want, ask.least), (0, 1, 1));
        slots.answered(&granted(1), NOW);
        assert_eq!(slots.take(5, NOW, Way::Leased), Ok(()));
        assert_eq!(slots.ask(5, Need::default(), NOW, Occasion::Usual), None, "nothing has changed");
        slots.leave(5);
        assert!(!slots.is_quiet());
        assert_eq!(slots.ask(5, Need::default(), NOW, Occasion::Usual).unwrap().holds, 0);
        slots.answered(&granted(0), NOW);
        assert!(slots.is_quiet());
    }

    #[test]
    fn of_many_slots_a_few_stay_until_they_lie_idle() {
        let slots = slots(2);
        let ask = slots.ask(100, ONE, NOW, Occasion::Usual).unwrap();
        assert_eq!(ask.want, 1 + 6);
        slots.answered(&granted(7), NOW);
        for _ in 0..7 {
            assert_eq!(slots.take(100, NOW, Way::Leased), Ok(()));
        }
        (0..7).for_each(|_| slots.leave(100));
        assert_eq!(slots.ask(100, Need::default(), NOW, Occasion::Usual).unwrap().holds, 6);
        let later = NOW.after(Duration::from_secs(2));
        assert_eq!(slots.ask(100, Need::default(), later, Occasion::Usual).unwrap().holds, 0);
    }

    #[test]
    fn without_the_engine_a_replica_has_its_share_and_at_least_one() {
        let four = slots(4);
        let taken = (0..20).filter(|_| four.take(10, NOW, Way::Apart).is_ok()).count();
        assert_eq!(taken, 2);
        assert_eq!(four.ask(10, Need::default(), NOW, Occasion::Usual).unwrap().holds, 2, "they are told");
        assert_eq!(slots(4).take(1, NOW, Way::Apart), Ok(()));
    }

    #[test]
    fn a_refusal_lasts_for_a_moment() {
        let slots = slots(2);
        slots.ask(1, ONE, NOW, Occasion::Usual).unwrap();
        slots.answered(&Answer { granted: 0, refused: Some(Until::Ask), value: 0.0, at: 0.0 }, NOW);
        assert_eq!(slots.take(1, NOW, Way::Leased), Err(Until::Free));
        assert_eq!(slots.take(1, NOW.after(PAUSE), Way::Leased), Err(Until::Ask));
    }
}
