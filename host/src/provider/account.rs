//! The account of providers at their vendor: what the operator grants it, and the line of those who wait for more.
//!
//! An account that is used up makes its providers saturated: they are passed over while others have room, and waited for
//! otherwise. It says nothing about their health.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout, timeout_at};

use super::dialect::remaining::permille;
use crate::config::Unpriced;
use crate::limits::estimate::Estimates;
use crate::limits::terms::{Asked, Terms};
use crate::limits::{self, Charge, Clock, Cost, Moment, Nano, Prices, Refusal, Reservation, Unit, Until, Usage};
use crate::routing::Outcome;

/// One account, as one configuration has it.
#[derive(Debug)]
pub struct Account {
    granted: Arc<limits::Account>,
    line: Arc<Line>,
    clock: Arc<Clock>,
    estimates: Arc<Estimates>,
}

/// Those who wait for an account, first come first served; it outlives reloads.
#[derive(Debug, Default)]
pub struct Line {
    /// Held by whoever is next.
    turn: Mutex<()>,
    waiting: AtomicUsize,
    /// Notified when something was given back.
    freed: Notify,
    /// Attempts that found no room, those that waited until there was some, and how long, in microseconds.
    refused: AtomicU64,
    waited: AtomicU64,
    waited_us: AtomicU64,
}

/// What an attempt asks for, as far as it matters to an account.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// The model, as a number.
    pub model: u64,
    /// The tokens of the prompt, if each had four bytes.
    pub guess: u64,
    /// The most tokens of all answers together that the request names; 0 when it names none.
    pub most: u64,
    /// The answers that it asks for; 0 is one, too.
    pub choices: u64,
    /// True when the answer is text, whose length only the model knows.
    pub is_text: bool,
    /// The prices, where the account counts money.
    pub tariff: Option<Tariff>,
}

/// The prices that hold for an attempt.
#[derive(Clone, Debug)]
pub struct Tariff {
    /// All prices.
    pub prices: Arc<Prices>,
    /// The name of the provider.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// The price of the target, if it has one of its own.
    pub target: Option<(f64, f64)>,
}

impl Tariff {
    /// The cost of a usage; `None` when there is no price.
    fn cost(&self, usage: &Usage) -> Option<Nano> {
        self.prices.cost_at((&self.provider, &self.model), self.target, usage)
    }

    /// The most that so many tokens cost; `None` when there is no price.
    pub fn most(&self, prompt: u64, answer: u64) -> Option<Nano> {
        self.prices.most_at((&self.provider, &self.model), self.target, (prompt, answer))
    }
}

/// What one attempt has taken of an account. Dropped unsettled, it gives all of it back.
#[derive(Debug)]
pub struct Withdrawal {
    account: Arc<Account>,
    reservation: Option<Reservation>,
    demand: Demand,
    usage: Option<Usage>,
    /// The bytes of text that the answer has brought.
    text: u64,
}

/// The time after which to look again whether an engine answers without which nothing is let in.
const CLOSED: Duration = Duration::from_millis(250);

/// The name of the limit that refuses an attempt whose cost nobody knows.
pub const UNPRICED: &str = "unpriced";

/// One who waits.
struct Waits<'a>(&'a Line);

impl<'a> Waits<'a> {
    fn at(line: &'a Line) -> Self {
        line.waiting.fetch_add(1, Relaxed);
        Self(line)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

impl Account {
    /// The account with these limits.
    pub fn new(granted: Arc<limits::Account>, line: Arc<Line>, clock: Arc<Clock>, estimates: Arc<Estimates>) -> Self {
        Self { granted, line, clock, estimates }
    }

    /// Its limits, with their counters.
    pub fn granted(&self) -> &limits::Account {
        &self.granted
    }

    /// The moment of an instant.
    pub fn moment(&self, now: Instant) -> Moment {
        self.clock.moment(now)
    }

    /// The least shares that are left, in permille: of requests, and of tokens or of the money for them.
    pub fn left(&self, now: Instant) -> [u32; 2] {
        let now = self.moment(now);
        let mut left = super::remainder::ALL_LEFT;
        for meter in self.granted.meters() {
            let share = permille(meter.remaining(now), meter.amount());
            let unit = match meter.unit {
                Unit::Requests => 0,
                Unit::Tokens | Unit::Money => 1,
                Unit::Parallel => continue,
            };
            left[unit] = left[unit].min(share);
        }
        left
    }

    /// True when it counts money, so that prices are needed.
    pub fn counts_money(&self) -> bool {
        self.granted.counts(Unit::Money)
    }

    /// The likely cost of an attempt.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when nobody knows what it costs, although money counts.
    fn cost(&self, demand: &Demand) -> Result<Cost, Box<Refusal>> {
        let Demand { model, guess, most, choices, is_text, tariff } = demand;
        let prompt = self.estimates.prompt(*model, *guess);
        let likely = if *is_text { self.estimates.answer(*model).saturating_mul(*choices.max(&1)) } else { 0 };
        let answer = if *most > 0 { likely.min(*most) } else { likely };
        // Half of the guess is surely there; the rest may be spaces.
        let named_tokens = if prompt > 0 || *most > 0 { prompt / 2 + most } else { 0 };
        let nano = match tariff {
            None => 0,
            Some(tariff) => match tariff.most(prompt, answer) {
                Some(Nano(nano)) => nano,
                None if tariff.prices.unpriced == Unpriced::Free => 0,
                None => return Err(Box::new(self.refuses(Unit::Money, UNPRICED.into(), Until::Never))),
            },
        };
        Ok(Cost { requests: 1, tokens: prompt + answer, named_tokens, nano, parallel: true })
    }

    /// Why it has no room for an attempt now; `None` when it has.
    pub fn refusal(&self, demand: &Demand, now: Instant) -> Option<Box<Refusal>> {
        let cost = match self.cost(demand) {
            Ok(cost) => cost,
            Err(refusal) => return Some(refusal),
        };
        let refusal = self.granted.lacks(&cost, self.moment(now)).map(Box::new);
        refusal.or_else(|| (self.line.waiting.load(Relaxed) > 0).then(|| self.in_line()))
    }

    /// The refusal of those who come while others wait.
    fn in_line(&self) -> Box<Refusal> {
        let first = self.granted.meters().first();
        let (unit, name) =
            first.map_or_else(|| (Unit::Parallel, "parallel".into()), |meter| (meter.unit, Arc::clone(&meter.name)));
        Box::new(self.refuses(unit, name, Until::Free))
    }

    fn refuses(&self, unit: Unit, name: Arc<str>, until: Until) -> Refusal {
        let owner = self.granted.owner().clone();
        let amount = self.granted.meters().iter().find(|meter| meter.name == name).map(limits::Meter::amount);
        let parallel = self.granted.parallel().map(|(limit, _)| limit.into());
        let limit = amount.or(parallel).unwrap_or(0);
        Refusal { owner, unit, name, limit, remaining: 0, asked: 1, until }
    }

    /// Takes what an attempt is likely to cost, unless others wait for it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when there is not enough.
    pub fn try_take(self: &Arc<Self>, demand: Demand, now: Instant) -> Result<Box<Withdrawal>, Box<Refusal>> {
        let taken = if self.line.waiting.load(Relaxed) > 0 {
            Err(self.refusal(&demand, now).unwrap_or_else(|| self.in_line()))
        } else {
            self.cost(&demand).and_then(|cost| self.reserve(&cost, now))
        };
        match taken {
            Ok(reservation) => Ok(self.withdrawal(reservation, demand)),
            Err(refusal) => {
                self.line.refused.fetch_add(1, Relaxed);
                Err(refusal)
            }
        }
    }

    /// Attempts that found no room at once, those of them that waited until there was some, and how long in all.
    pub fn refusals(&self) -> (u64, u64, Duration) {
        let Line { refused, waited, waited_us, .. } = &*self.line;
        (refused.load(Relaxed), waited.load(Relaxed), Duration::from_micros(waited_us.load(Relaxed)))
    }

    fn reserve(&self, cost: &Cost, now: Instant) -> Result<Reservation, Box<Refusal>> {
        Reservation::take([Some(&self.granted), None, None, None], *cost, self.moment(now))
    }

    /// The same after an engine that replicas share has been asked for more and has not answered in time.
    fn reserve_late(&self, cost: &Cost, now: Instant) -> Result<Reservation, Box<Refusal>> {
        Reservation::take_late([Some(&self.granted), None, None, None], *cost, self.moment(now))
    }

    fn withdrawal(self: &Arc<Self>, reservation: Reservation, demand: Demand) -> Box<Withdrawal> {
        let (account, reservation) = (Arc::clone(self), Some(reservation));
        Box::new(Withdrawal { account, reservation, demand, usage: None, text: 0 })
    }

    /// Waits until there is enough, first come first served.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when there never will be.
    pub async fn take(self: &Arc<Self>, demand: Demand) -> Result<Box<Withdrawal>, Box<Refusal>> {
        let _waits = Waits::at(&self.line);
        let began = Instant::now();
        // While the engine that replicas share is asked: until when, and whether it is too late for that.
        let mut asking = None;
        let mut is_late = false;
        let _turn = self.line.turn.lock().await;
        let cost = self.cost(&demand)?;
        loop {
            let mut freed = pin!(self.line.freed.notified());
            // From here on nothing that is given back goes unnoticed.
            freed.as_mut().enable();
            let now = Instant::now();
            let reserved = if is_late { self.reserve_late(&cost, now) } else { self.reserve(&cost, now) };
            let refusal = match reserved {
                Ok(reservation) => {
                    let waited = u64::try_from((now - began).as_micros()).unwrap_or(u64::MAX);
                    if waited > 0 {
                        self.line.waited.fetch_add(1, Relaxed);
                        self.line.waited_us.fetch_add(waited, Relaxed);
                    }
                    return Ok(self.withdrawal(reservation, demand));
                }
                Err(refusal) => refusal,
            };
            let wait = match refusal.until {
                Until::Never => return Err(refusal),
                Until::Closed => Some(CLOSED),
                Until::Ask => {
                    is_late = !self.ask(&cost, now, &mut asking).await;
                    continue;
                }
                Until::Free => None,
                Until::Wait(wait) => Some(wait),
                Until::End(end) => Some(end.since(self.moment(now))),
            };
            match wait {
                Some(wait) => drop(timeout(wait, freed).await),
                None => freed.await,
            }
            (asking, is_late) = (None, false);
        }
    }

    /// Asks the engine that replicas share for what is lacking, by `until` at the latest, which is set with the first question;
    /// false when there is no answer by then.
    async fn ask(&self, cost: &Cost, now: Instant, until: &mut Option<Instant>) -> bool {
        let Some(engine) = self.granted.terms().and_then(Terms::engine) else { return false };
        let until = *until.get_or_insert(now + engine.patience());
        let asked = timeout_at(until, engine.ask(self.granted.owner(), *cost)).await;
        now < until && asked == Ok(Asked::Answered)
    }
}

impl Withdrawal {
    /// Notes what the answer says that it took.
    pub fn used(&mut self, usage: Option<&Usage>) {
        self.usage = usage.copied();
    }

    /// Notes the bytes of text that the answer has brought.
    pub fn brought(&mut self, text: u64) {
        self.text = text;
    }

    /// Settles it, and learns from it, by the end of its attempt; `bills_failures` says that the vendor bills what it does not answer.
    pub fn settle(mut self, outcome: Outcome, bills_failures: bool, now: Instant) {
        // Without an answer and with nothing sent all is given back, the request too.
        if was_sent(outcome)
            && let Some(reservation) = self.reservation.take()
        {
            let usage = self.charged(outcome, bills_failures);
            let cost = self.demand.tariff.as_ref().and_then(|tariff| tariff.cost(&usage));
            let charge = Charge { tokens: usage.total(), nano: cost.map_or(0, |cost| cost.0) };
            reservation.settle(charge, self.account.moment(now));
            if outcome == Outcome::Succeeded {
                self.learn();
            }
        }
    }

    /// Learns from a whole answer that says what it took.
    fn learn(&self) {
        let Some(usage) = self.usage else { return };
        let (Demand { model, guess, choices, is_text, .. }, estimates) = (&self.demand, &self.account.estimates);
        estimates.learn_prompt(*model, *guess, usage.prompt_tokens().unwrap_or(0));
        if let Some(answer) = usage.completion_tokens().filter(|_| *is_text) {
            estimates.learn_answer(*model, answer.div_ceil(*choices.max(&1)));
        }
    }

    /// The tokens that the attempt is charged with.
    fn charged(&self, outcome: Outcome, bills_failures: bool) -> Usage {
        let estimates = &self.account.estimates;
        let prompt = estimates.prompt(self.demand.model, self.demand.guess);
        let text = estimates.prompt(self.demand.model, self.text.div_ceil(4));
        let estimate = || Usage::of(Some(prompt), Some(text));
        match (outcome, self.usage.filter(|usage| !usage.is_empty())) {
            (Outcome::Succeeded, said) => said.unwrap_or_else(estimate),
            // What was said before the end may be about the prompt alone.
            (Outcome::Interrupted | Outcome::Cancelled, Some(said)) => {
                let answer = said.completion_tokens().unwrap_or(0);
                if said.total() == 0 || answer >= text {
                    return said;
                }
                Usage::of(said.prompt_tokens().or(Some(prompt)), Some(text))
            }
            (Outcome::Interrupted | Outcome::Cancelled, None) => estimate(),
            (Outcome::Failed(_) | Outcome::TimedOut { .. }, _) if bills_failures => Usage::of(Some(prompt), None),
            _ => Usage::default(),
        }
    }
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        // What was not settled is given back first.
        self.reservation = None;
        self.account.line.freed.notify_one();
    }
}

/// True unless it is certain that nothing of the request reached the provider.
fn was_sent(outcome: Outcome) -> bool {
    use crate::routing::{FailureKind, Phase};
    match outcome {
        Outcome::TimedOut { phase } => phase != Phase::Connect,
        Outcome::Failed(kind) => !matches!(
            kind,
            FailureKind::Refused
                | FailureKind::Unreachable
                | FailureKind::UnknownHost
                | FailureKind::Tls(_)
                | FailureKind::ForwardProxy(_)
                | FailureKind::Local(_)
        ),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
