//! Blocks of limits that many replicas share: taken from an engine ahead of need, and spent here.
//!
//! A [`Lease`] is the part of a limit that this replica may use without asking. What is taken from it costs no round
//! trip; a task asks the engine for more when it runs low, and a request waits for the engine only where the limit is
//! nearly used up. The engine never grants more than there is, and halves its grants towards the end, so that all
//! replicas together stay within the limit, to the single request.
//!
//! A round is one [`Ask`] and its [`Answer`]. An ask that was not answered is sent again as it is, and the engine does
//! not follow the same one twice; so whatever a replica has to tell is counted exactly once.

mod ask;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::gcra::Gcra;
use super::meter::Rule;
use super::reservation::Way;
use super::terms::{Mode, Terms};
use super::{Moment, Owner, Until};
pub use ask::{Answer, Ask, Kind, Need, Occasion};
pub use slots::Slots;

/// A block is held for this long without use before it is given back.
const IDLE: Duration = Duration::from_secs(1);

/// The engine reclaims what a replica holds of a budget or of slots when it has heard nothing of it for this long.
pub const EXPIRY: Duration = Duration::from_secs(15);

/// The part of a limit that this replica may use without asking.
#[derive(Debug)]
pub struct Lease {
    terms: Arc<Terms>,
    owner: Owner,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The quantity that may be taken; below 0 when more was used than had been leased.
    left: i64,
    /// The amount of a budget that requests under way have reserved.
    held: u64,
    /// The amount of a budget that was spent and that the engine has not been told.
    untold: u64,
    /// The use of a rate, as a number of [`Gcra`] in which each use counts as often as there are replicas. It is kept all
    /// along, so that it is right when the engine does not answer.
    warm: u64,
    /// The quantity that was used without the engine and that it has not been told; below 0 when it was told too much. This is
    /// no number of [`Gcra`], because the engine lets the quantity come back, from `since_apart` on.
    apart: i64,
    since_apart: Moment,
    /// The window of a budget.
    window: Arc<str>,
    start: Moment,
    end: Moment,
    calendar: u64,
    /// The amount that was spent in the window before this one and that the engine has not been told.
    former: Option<(Arc<str>, u64)>,
    /// The engine's value at the last answer.
    seen: f64,
    /// The quantity taken since `since`, and the rate per second before that.
    taken: u64,
    since: Moment,
    pace: u64,
    /// The largest quantity that was taken lately.
    largest: u64,
    /// Below this the engine is asked for more.
    low: i64,
    /// The quantity that the engine has refused, and the times from and until which its refusal holds.
    refused: Option<(u64, Moment, Moment)>,
    /// The last time that something was taken.
    used: Moment,
    /// The last time that the engine has answered.
    renewed: Moment,
    /// True when the engine has not been told yet of requests that were served without it.
    alone: bool,
    /// True when the engine is going to be asked.
    noted: bool,
}

impl Lease {
    /// A lease of nothing.
    pub fn new(terms: Arc<Terms>, owner: Owner) -> Self {
        Self { terms, owner, state: Mutex::default() }
    }

    /// The terms under which it is served.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Takes a quantity.
    ///
    /// # Errors
    ///
    /// [`Until::Ask`] when the lease has not enough and the engine may have more; otherwise the time after which it may be
    /// enough.
    pub fn take(&self, rule: &Rule, quantity: u64, now: Moment, way: Way) -> Result<(), Until> {
        let replicas = self.terms.replicas();
        let mut state = self.state.lock();
        state.turn(rule, now);
        if let Some(until) = state.refusal(rule, quantity, now, (way, replicas)) {
            return Err(until);
        }
        state.used = now;
        state.largest = state.largest.max(quantity);
        match rule {
            Rule::Rate(gcra) => {
                let scaled = scaled(gcra, quantity, replicas);
                state.warm = gcra.charge(state.warm, scaled, now.0);
                if way == Way::Leased {
                    state.left = state.left.saturating_sub(signed(quantity));
                    state.taken = state.taken.saturating_add(quantity);
                } else {
                    state.apart(signed(quantity), now);
                }
            }
            Rule::Budget { amount, .. } => {
                if way != Way::Leased {
                    state.share(*amount, replicas);
                    state.alone = true;
                }
                state.left = state.left.saturating_sub(signed(quantity));
                state.held = state.held.saturating_add(quantity);
                state.taken = state.taken.saturating_add(quantity);
            }
        }
        self.note(state);
        Ok(())
    }

    /// The reason why a quantity cannot be taken.
    pub fn refuses(&self, rule: &Rule, quantity: u64, now: Moment, way: Way) -> Option<Until> {
        let replicas = self.terms.replicas();
        let mut state = self.state.lock();
        state.turn(rule, now);
        state.refusal(rule, quantity, now, (way, replicas))
    }

    /// Replaces a quantity that was taken at `at` by another one; 0 gives it back.
    pub fn correct(&self, rule: &Rule, (taken, actual): (u64, u64), at: Moment, now: Moment, way: Way) {
        let replicas = self.terms.replicas();
        let mut state = self.state.lock();
        state.turn(rule, now);
        match rule {
            Rule::Rate(gcra) => {
                let (before, after) = (scaled(gcra, taken, replicas), scaled(gcra, actual, replicas));
                state.warm = gcra.correct(state.warm, before, after, now.0);
                if way == Way::Leased {
                    state.left = state.left.saturating_add(signed(taken)).saturating_sub(signed(actual));
                } else {
                    // The engine may have been told of the taken quantity meanwhile.
                    state.apart(signed(actual).saturating_sub(signed(taken)), now);
                }
            }
            Rule::Budget { .. } => {
                if at < state.start || at >= state.end {
                    return;
                }
                state.held = state.held.saturating_sub(taken);
                state.left = state.left.saturating_add(signed(taken)).saturating_sub(signed(actual));
                state.untold = state.untold.saturating_add(actual);
            }
        }
        self.note(state);
    }

    /// Arranges that the engine is asked soon, where the block runs low or there is something to tell.
    fn note(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        let due = state.left < state.low || state.left < 0 || state.alone;
        if due && !state.noted {
            state.noted = true;
            drop(state);
            self.terms.note(&self.owner);
        }
    }

    /// The quantity that is left as far as this replica knows: the engine's last word, less the use since then.
    pub fn remaining(&self, rule: &Rule, now: Moment) -> u64 {
        let mut state = self.state.lock();
        state.turn(rule, now);
        match rule {
            Rule::Rate(gcra) => {
                gcra.free(state.seen_number(), now.0).saturating_add_signed(state.left).min(gcra.amount())
            }
            Rule::Budget { amount, .. } => {
                let spent = state.spent().saturating_add(state.untold).saturating_add(state.held);
                amount.saturating_sub(spent)
            }
        }
    }

    /// The moment at which the whole amount will be available, if nobody takes any of it.
    pub fn full(&self, rule: &Rule, now: Moment) -> Moment {
        let mut state = self.state.lock();
        state.turn(rule, now);
        match rule {
            Rule::Rate(_) => Moment(state.seen_number().max(now.0)),
            Rule::Budget { .. } => state.end,
        }
    }

    /// True when the engine need not hear of it before something is taken again.
    pub fn is_quiet(&self) -> bool {
        let state = self.state.lock();
        state.left == 0 && state.held == 0 && state.untold == 0 && !state.alone && state.former.is_none()
    }
}

impl State {
    /// Goes on to the window of `now`.
    fn turn(&mut self, rule: &Rule, now: Moment) {
        let Rule::Budget { calendar, .. } = rule else { return };
        let inside = now >= self.start && now < self.end;
        if inside && self.calendar == calendar.id() {
            return;
        }
        let window = calendar.window(now);
        if *window.name != *self.window {
            if self.untold > 0 {
                let told = std::mem::take(&mut self.untold);
                self.former = Some((Arc::clone(&self.window), told));
            }
            (self.left, self.held, self.seen, self.refused) = (0, 0, 0.0, None);
            self.window = window.name.into();
        }
        (self.start, self.end, self.calendar) = (window.start, window.end, calendar.id());
    }

    fn refusal(&self, rule: &Rule, quantity: u64, now: Moment, (way, replicas): (Way, u64)) -> Option<Until> {
        let amount = match rule {
            Rule::Rate(gcra) => gcra.amount(),
            Rule::Budget { amount, .. } => *amount,
        };
        if quantity == 0 || way == Way::Free {
            return None;
        }
        if quantity > amount {
            return Some(Until::Never);
        }
        // The engine's last word, for as long as it holds.
        let refused = self.refused.filter(|(least, from, until)| {
            (*from..*until).contains(&now) && signed(quantity).saturating_sub(self.left) >= signed(*least)
        });
        match (rule, way) {
            (_, Way::Leased) if self.left >= signed(quantity) => None,
            (Rule::Rate(gcra), _) if refused.is_some() => refused.map(|(least, _, until)| {
                // A larger quantity takes longer to come back.
                let lacks = signed(quantity).saturating_sub(self.left).saturating_sub(signed(least));
                let more = gcra.share(u64::try_from(lacks).unwrap_or(0));
                Until::Wait(until.since(now).saturating_add(Duration::from_nanos(more)))
            }),
            (Rule::Budget { .. }, Way::Leased) if refused.is_some() => Some(Until::End(self.end)),
            (_, Way::Leased) => Some(Until::Ask),
            (Rule::Rate(gcra), _) => {
                // The clock may have been set back.
                let warm = gcra.charge(self.warm, 0, now.0);
                gcra.take(warm, scaled(gcra, quantity, replicas), now.0).err().map(Until::of)
            }
            (Rule::Budget { amount, .. }, _) => {
                (self.left.max(self.shared(*amount, replicas)) < signed(quantity)).then_some(Until::End(self.end))
            }
        }
    }

    /// Grants a budget this replica's share of the amount that was left at the engine's last answer.
    fn share(&mut self, amount: u64, replicas: u64) {
        self.left = self.left.max(self.shared(amount, replicas));
    }

    fn shared(&self, amount: u64, replicas: u64) -> i64 {
        let rest = amount.saturating_sub(self.spent());
        signed(rest / replicas).saturating_sub(signed(self.untold)).saturating_sub(signed(self.held))
    }

    /// Counts a quantity that is used without the engine.
    fn apart(&mut self, change: i64, now: Moment) {
        if !self.alone {
            self.since_apart = now;
        }
        self.apart = self.apart.saturating_add(change);
        self.alone = true;
    }

    /// The quantity that is taken in a second. A first guess needs only a few takes, so that not each of them causes a round.
    fn pace(&mut self, now: Moment) -> u64 {
        let ran = now.since(self.since);
        let is_telling = self.taken >= self.largest.saturating_mul(4) && ran >= Duration::from_millis(1);
        if ran >= Duration::from_millis(20) || is_telling {
            let ran_us = u64::try_from(ran.as_micros()).unwrap_or(u64::MAX).max(1);
            let rate = self.taken.saturating_mul(1_000_000) / ran_us;
            let is_first = self.pace == 0 || ran > IDLE;
            self.pace = if is_first { rate } else { u64::midpoint(self.pace, rate) };
            (self.taken, self.since) = (0, now);
        }
        self.pace
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of money below 9e15, not below 0"
    )]
    fn spent(&self) -> u64 {
        self.seen as u64
    }

    /// A moment of the engine, which counts in microseconds, in nanoseconds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a moment, not below 0")]
    fn seen_number(&self) -> u64 {
        (self.seen * 1000.0) as u64
    }
}

/// A quantity multiplied by the number of replicas, but at most the amount of the limit, unless the quantity itself is more.
fn scaled(gcra: &Gcra, quantity: u64, replicas: u64) -> u64 {
    quantity.saturating_mul(replicas).min(gcra.amount().max(quantity))
}

fn signed(quantity: u64) -> i64 {
    i64::try_from(quantity).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
