//! The questions of a lease to the engine, and the effect of the answers.

use std::sync::Arc;
use std::time::Duration;

use super::{IDLE, Lease, Mode, Moment, Rule, Until, signed};

/// Held blocks are renewed after this long.
pub(super) const RENEWAL: Duration = Duration::from_secs(5);

/// The longest time for which a refusal is made to last longer than the engine says.
const PAUSE: Duration = Duration::from_millis(250);

/// Values of budgets are kept for so long after their window.
const AFTER: Duration = Duration::from_secs(8 * 86_400);

/// One limit in a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The meaning of the number.
    pub kind: Kind,
    /// The window of a budget.
    pub window: Option<Arc<str>>,
    /// The limit.
    pub amount: u64,
    /// The time in which a rate comes back, or for which the value of a budget is needed.
    pub lasts: Duration,
    /// The change of the quantity that counts as used: a debt, or below 0 a quantity that is given back; of a budget the amount
    /// that was spent.
    pub delta: i64,
    /// The amount of a budget that this replica still holds; 0 for a rate.
    pub holds: u64,
    /// The quantity that is wanted.
    pub want: u64,
    /// The smallest quantity that is of use. An engine that has less refuses, for all limits of the round.
    pub least: u64,
    /// The value at the last answer, for an engine that has lost its own.
    pub seen: f64,
    /// The moment from which the quantity of a rate in `delta` comes back, however late the engine hears of it.
    pub since: Moment,
}

/// The reason for a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The limit may have something to ask or to tell.
    Usual,
    /// The engine may have lost its values, and is told every one that this replica has seen.
    Verifies,
    /// The replica ends, and gives everything back.
    Ends,
}

/// The kinds of values that an engine keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The moment at which everything will have come back.
    Rate,
    /// The amount that was spent, and the part of the rest that each replica holds.
    Budget,
    /// The slots that each replica holds.
    Slots,
}

/// The engine's answer about one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The quantity that is leased in addition.
    pub granted: u64,
    /// If the least was refused: until when.
    pub refused: Option<Until>,
    /// The engine's value.
    pub value: f64,
    /// The engine's time, in the unit of the values of rates: microseconds since 2025.
    pub at: f64,
}

impl Answer {
    /// The quantity of a rate that nobody will be granted now, and the time after which somebody will be.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is bounded by the amount")]
    fn missing(&self, ask: &Ask) -> (u64, Duration) {
        let (amount, lasts) = (ask.amount as f64, ask.lasts.as_micros() as f64);
        // Below 0 there is a debt.
        let free = ((self.at + lasts - self.value) * amount / lasts).min(amount);
        let missing = free.max(0.0).floor() + 1.0;
        let wait = (missing - free) * lasts / amount.max(1.0);
        (missing as u64, Duration::from_micros(wait.ceil() as u64))
    }
}

/// The quantities of one limit that waiting requests need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// The smallest quantity.
    pub least: u64,
    /// The sum of the quantities.
    pub all: u64,
}

impl Need {
    /// The need of requests that wait for these quantities.
    pub fn of(waiting: impl Iterator<Item = u64>) -> Self {
        waiting.filter(|quantity| *quantity > 0).fold(Self::default(), |need, quantity| Self {
            least: if need.least == 0 { quantity } else { need.least.min(quantity) },
            all: need.all.saturating_add(quantity),
        })
    }
}

impl Lease {
    /// The next ask about this limit, if there is anything to ask or to tell. The values move into it, so it must be sent
    /// until it is answered.
    pub fn ask(&self, rule: &Rule, need: Need, now: Moment, occasion: Occasion) -> Vec<Ask> {
        let (ends, verifies) = (occasion == Occasion::Ends, occasion == Occasion::Verifies);
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
                since: now,
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
                let (mut delta, mut since) = (0, now);
                if rejoins {
                    (delta, since) = (std::mem::take(&mut state.apart), state.since_apart.min(now));
                    state.alone = false;
                }
                if state.left < 0 || gives_back {
                    delta = delta.saturating_sub(state.left);
                    state.left = 0;
                }
                if delta != 0 || want > 0 || (verifies && state.seen > 0.0) {
                    let (lasts, seen) = (gcra.window(), state.seen);
                    let (kind, window) = (Kind::Rate, None);
                    asks.push(Ask { kind, window, amount, lasts, delta, holds: 0, want, least, seen, since });
                }
            }
            Rule::Budget { .. } => {
                if gives_back || rejoins {
                    // This replica's share during an outage is no lease.
                    state.left = state.left.min(0);
                    state.alone = false;
                }
                let delta = signed(std::mem::take(&mut state.untold));
                let holds = u64::try_from(state.left.saturating_add(signed(state.held))).unwrap_or(0);
                // The part that went beyond the lease is told with the amount that was spent.
                state.left = state.left.max(-signed(state.held));
                let renews = holds > 0 && now.since(state.renewed) >= RENEWAL;
                let leaves = ends && state.renewed > Moment(0);
                let shows = verifies && (holds > 0 || state.seen > 0.0);
                if delta != 0 || want > 0 || gives_back || rejoins || renews || leaves || shows {
                    let lasts = state.end.since(now).saturating_add(AFTER);
                    let (kind, window, seen) = (Kind::Budget, Some(Arc::clone(&state.window)), state.seen);
                    asks.push(Ask { kind, window, amount, lasts, delta, holds, want, least, seen, since: now });
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
        // Where the limit is nearly used up, replicas need not all ask for each unit that comes back.
        let asking = u32::try_from(self.terms.replicas()).unwrap_or(u32::MAX);
        let paused = |wait: Duration| wait.max(wait.saturating_mul(asking).min(PAUSE));
        state.refused = match answer.refused {
            Some(Until::Wait(wait)) => Some((ask.least, now, now.after(paused(wait)))),
            // Other replicas may give back the quantity that they hold.
            Some(_) => Some((ask.least, now, now.after(IDLE))),
            None if ask.kind == Kind::Rate => {
                let (missing, wait) = answer.missing(ask);
                // The engine has granted all that it had, so it would refuse the next request.
                (missing <= state.largest.max(1)).then(|| (missing, now, now.after(paused(wait))))
            }
            None => None,
        };
    }
}
