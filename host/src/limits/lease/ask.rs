//! What a lease asks the engine, and what it makes of the answer.

use std::sync::Arc;
use std::time::Duration;

use super::{IDLE, Lease, Mode, Moment, Rule, Until, signed};

/// Held blocks are renewed after this long.
const RENEWAL: Duration = Duration::from_secs(5);

/// The longest time for which a refusal is made to last longer than the engine says.
const PAUSE: Duration = Duration::from_millis(250);

/// Values of budgets are kept for so long after their window.
const AFTER: Duration = Duration::from_secs(8 * 86_400);

/// One limit in a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What the number means.
    pub kind: Kind,
    /// The window of a budget.
    pub window: Option<Arc<str>>,
    /// The limit.
    pub amount: u64,
    /// The time in which a rate comes back, or for which the value of a budget is needed.
    pub lasts: Duration,
    /// To be added to what counts as used: a debt, or below 0 what is given back; of a budget what was spent.
    pub delta: i64,
    /// Of a budget: what this replica still holds.
    pub holds: u64,
    /// As much is wanted.
    pub want: u64,
    /// Less is of no use; then the engine refuses, for all limits of the round.
    pub least: u64,
    /// The value at the last answer, for an engine that has lost its own.
    pub seen: f64,
}

/// The kinds of values that an engine keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The moment at which everything will have come back.
    Rate,
    /// What was spent, and what each replica holds of the rest.
    Budget,
}

/// The engine's answer about one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// As much more is leased.
    pub granted: u64,
    /// If the least was refused: until when.
    pub refused: Option<Until>,
    /// The engine's value.
    pub value: f64,
}

/// What the requests that wait need of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// The smallest of them.
    pub least: u64,
    /// All of them.
    pub all: u64,
}

impl Lease {
    /// What to ask the engine about this limit, if anything. The values move into the ask: it must be sent until it is
    /// answered.
    pub fn ask(&self, rule: &Rule, need: Need, now: Moment, ends: bool) -> Vec<Ask> {
        let replicas = self.terms.replicas();
        let mut state = self.state.lock();
        state.turn(rule, now);
        state.noted = false;
        let rejoins = state.alone && self.terms.mode() == Mode::Leased;
        let mut asks = Vec::new();
        if let (Some((window, spent)), Rule::Budget { amount, .. }) = (state.former.take(), rule) {
            asks.push(Ask {
                kind: Kind::Budget,
                window: Some(window),
                amount: *amount,
                lasts: AFTER,
                delta: signed(spent),
                holds: 0,
                want: 0,
                least: 0,
                seen: 0.0,
            });
        }
        let (pace, idle) = (state.pace(now), now.since(state.used) > IDLE);
        let least = u64::try_from(signed(need.least).saturating_sub(state.left)).unwrap_or(0);
        let least = if need.least == 0 { 0 } else { least.max(1) };
        let missing = if need.all == 0 { 0 } else { signed(need.all).saturating_sub(state.left) };
        let missing = u64::try_from(missing).unwrap_or(0);
        let amount = match rule {
            Rule::Rate(gcra) => gcra.amount(),
            Rule::Budget { amount, .. } => *amount,
        };
        let most = (amount / (4 * replicas)).max(state.largest).max(1);
        let mut want = pace.clamp(state.largest.min(most), most).saturating_sub(u64::try_from(state.left).unwrap_or(0));
        if idle || ends {
            want = 0;
        }
        let want = want.max(missing.min(most)).max(least);
        let refused = state.refused.is_some_and(|(_, from, until)| (from..until).contains(&now));
        let runs_low = !refused && (state.left < state.low || state.left < signed(state.largest));
        let want = if need.least > 0 || runs_low { want } else { 0 };
        let gives_back = (idle || ends) && need.least == 0 && state.left > 0;
        match rule {
            Rule::Rate(gcra) => {
                let mut delta = 0;
                if rejoins {
                    delta = signed(gcra.outstanding(state.apart, now.0) / replicas);
                    (state.apart, state.alone) = (0, false);
                }
                if state.left < 0 || gives_back {
                    delta -= state.left;
                    state.left = 0;
                }
                if delta != 0 || want > 0 {
                    let (lasts, seen) = (gcra.window(), state.seen);
                    let (kind, window) = (Kind::Rate, None);
                    asks.push(Ask { kind, window, amount, lasts, delta, holds: 0, want, least, seen });
                }
            }
            Rule::Budget { .. } => {
                if gives_back || rejoins {
                    // What was this replica's share is no lease.
                    state.left = state.left.min(0);
                    state.alone = false;
                }
                let delta = signed(std::mem::take(&mut state.untold));
                let holds = u64::try_from(state.left.saturating_add(signed(state.held))).unwrap_or(0);
                // What went beyond the lease is told with what was spent.
                state.left = state.left.max(-signed(state.held));
                let renews = holds > 0 && now.since(state.renewed) >= RENEWAL;
                if delta != 0 || want > 0 || gives_back || rejoins || renews || (ends && state.renewed > Moment(0)) {
                    let lasts = state.end.since(now).saturating_add(AFTER);
                    let (kind, window, seen) = (Kind::Budget, Some(Arc::clone(&state.window)), state.seen);
                    asks.push(Ask { kind, window, amount, lasts, delta, holds, want, least, seen });
                }
            }
        }
        asks
    }

    /// Takes the answer to an ask.
    pub fn answered(&self, ask: &Ask, answer: &Answer, now: Moment) {
        let mut state = self.state.lock();
        if ask.window.as_ref().is_some_and(|window| *window != state.window) {
            return;
        }
        state.left = state.left.saturating_add(signed(answer.granted));
        state.seen = answer.value;
        state.renewed = now;
        // Half of a block is time enough for the next one to come.
        state.low = signed(answer.granted) / 2;
        let asking = u32::try_from(self.terms.replicas() / 2).unwrap_or(u32::MAX);
        state.refused = answer.refused.map(|until| {
            let wait = match until {
                // Where it is short, not all replicas need to ask for what comes back: one of two does.
                Until::Wait(wait) => wait.max(wait.saturating_mul(asking).min(PAUSE)),
                // Others may give back what they hold.
                Until::Ask | Until::Free | Until::End(_) | Until::Never | Until::Closed => IDLE,
            };
            (ask.least, now, now.after(wait))
        });
    }
}
