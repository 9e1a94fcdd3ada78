//! A scenario from the stories of a ledger: the arrivals as they were, and providers that behave as they were seen to.
//!
//! What is fitted is deliberately little: per provider and model the time to the first token and the speed, as log-normal and
//! as a constant; the share of errors; times in which it was down, failed or was slow; the rate at which it began to
//! refuse; the price, where costs follow from one. [`Fitted::doubts`] says what that cannot show.

use std::collections::{BTreeMap, BTreeSet};

use super::scenario::{Behaviour, Event, ModelBehaviour, Spread};
use crate::observe::ledger::Record;
use crate::observe::ledger::record::{Attempt, Time};

mod linear;
mod periods;
mod played;
mod recorded;
mod write;

pub use played::arrivals;
pub use recorded::as_recorded;
pub use write::write;

use linear::plane;

/// Fewer answers than this say little about times.
const FEW: usize = 50;
/// The shortest answer, in tokens, whose speed says anything.
const SHORT: f64 = 8.0;

/// The requests of a ledger that a scenario plays: those that go to providers, and not those that approaches answer, whose
/// questions are among them.
pub fn is_played(record: &Record) -> bool {
    let waited_in_vain = matches!(record.error.as_deref(), Some("queue_timeout" | "queue_full"));
    let went_out = !record.attempts.is_empty() || waited_in_vain;
    record.approach.is_none() && went_out && &*record.method == "POST" && !record.model.is_empty()
}

/// What was learned from records.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The beginning of the first request.
    pub began: Time,
    /// The beginning of the last one.
    pub ended: Time,
    /// The number of requests.
    pub requests: usize,
    /// The providers by name.
    pub providers: BTreeMap<String, Seen>,
    /// The models that clients asked for, by how often.
    pub models: Vec<(String, usize)>,
    /// The share of streams.
    pub streaming: f64,
    /// The tokens of requests and of answers.
    pub tokens: [Spread; 2],
    /// The number of sessions, if any are known.
    pub sessions: Option<u32>,
    /// The strategy that decided most of them.
    pub strategy: Option<String>,
    /// Requests a second in each of [`Fitted::PIECES`] pieces of the time.
    pub rates: Vec<f64>,
    /// What the scenario cannot show, or was guessed: a sentence each.
    pub doubts: Vec<String>,
}

/// A provider as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its behaviour.
    pub behaviour: Behaviour,
    /// The prices of a million tokens, of the request and of the answer, if costs follow from them.
    pub price: Option<(f64, f64)>,
    /// The attempts at it.
    pub attempts: usize,
}

/// One attempt, with what of its request matters.
struct Try<'a> {
    /// Seconds from the beginning.
    at: f64,
    record: &'a Record,
    attempt: &'a Attempt,
    /// True for the one that the answer came from.
    is_last: bool,
}

impl Try<'_> {
    fn ended(&self) -> f64 {
        self.at + self.attempt.took_ms.get() / 1000.0
    }

    fn is(&self, outcome: &str) -> bool {
        *self.attempt.outcome == *outcome
    }

    /// True when the provider is to blame for its end.
    fn failed(&self) -> bool {
        ["failed", "timed_out", "interrupted", "unauthorized"].iter().any(|outcome| self.is(outcome))
    }

    /// Seconds to the first token, those in all, and the tokens of the answer, where it is the answer's own.
    fn answer(&self) -> Option<(f64, f64, f64)> {
        let out = self.record.completion_tokens.filter(|_| self.is_last && self.is("succeeded"))? as f64;
        let took = self.attempt.took_ms.get() / 1000.0;
        let first = self.attempt.first_ms.map_or(took, |first| first.get() / 1000.0);
        Some((first.min(took), took, out))
    }
}

impl Fitted {
    /// The number of pieces of the time with a rate of their own.
    pub const PIECES: usize = 48;

    /// Learns from records, in any order; `None` if none of them can be played.
    pub fn of(records: &[Record]) -> Option<Self> {
        let mut played: Vec<&Record> = records.iter().filter(|record| is_played(record)).collect();
        played.sort_by_key(|record| record.time);
        let (began, ended) = (played.first()?.time, played.last()?.time);
        let mut tries: BTreeMap<&str, Vec<Try<'_>>> = BTreeMap::new();
        let mut ejected: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for record in &played {
            let begin = record.time.since(began).as_secs_f64();
            for absent in
                record.offers.iter().flat_map(|offer| &offer.absent).filter(|absent| *absent.why == *"ejected")
            {
                // Of several targets of a provider each says so.
                let name = absent.name.split('/').next().unwrap_or_default();
                ejected.entry(name).or_default().push(begin);
            }
            for (place, attempt) in record.attempts.iter().enumerate() {
                let (at, is_last) = (begin + attempt.at_ms.get() / 1000.0, place + 1 == record.attempts.len());
                tries.entry(&attempt.provider).or_default().push(Try { at, record, attempt, is_last });
            }
        }
        let mut doubts = Vec::new();
        let length = ended.since(began).as_secs_f64().max(1.0);
        let mut providers = BTreeMap::new();
        for (name, mut tries) in tries {
            tries.sort_by(|one, other| one.at.total_cmp(&other.at));
            let ejected = ejected.remove(name).unwrap_or_default();
            providers.insert(name.to_owned(), seen(name, (&tries, &ejected), length, &mut doubts));
        }
        let mut models: BTreeMap<&str, usize> = BTreeMap::new();
        let mut strategies: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rates = vec![0.0; Self::PIECES];
        for record in &played {
            *models.entry(&record.model).or_default() += 1;
            if let Some(strategy) = &record.strategy {
                *strategies.entry(strategy).or_default() += 1;
            }
            let piece = record.time.since(began).as_secs_f64() / length * Self::PIECES as f64;
            rates[(piece as usize).min(Self::PIECES - 1)] += Self::PIECES as f64 / length;
        }
        let mut models: Vec<(String, usize)> =
            models.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        models.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let strategy = strategies.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned());
        let sessions: BTreeSet<u32> = played.iter().filter_map(|record| record.session).collect();
        let tokens = |of: fn(&Record) -> Option<u64>| {
            let mut tokens: Vec<f64> =
                played.iter().filter_map(|record| of(record)).map(|tokens| tokens as f64).collect();
            spread(&mut tokens).unwrap_or(Spread { median: 500.0, p95: 500.0 })
        };
        let tokens = [tokens(|record| record.prompt_tokens), tokens(|record| record.completion_tokens)];
        let unmetered = played.iter().filter(|record| record.completion_tokens.is_none()).count();
        if unmetered * 20 > played.len() {
            let of = played.len();
            doubts.push(format!(
                "{unmetered} of {of} requests have no usage, so their tokens are taken to be the median; \
                 `monitoring.usage: always` has every answer say them"
            ));
        }
        if sessions.is_empty() {
            doubts.push(
                "no sessions are known, so nothing is learned about providers' caches (`routing.affinity`)".into(),
            );
        } else {
            doubts
                .push("providers' caches of sessions are not fitted: each session is as quick at any provider".into());
        }
        if records.iter().any(|record| record.approach.is_some()) {
            doubts.push("approaches are played as the questions that they asked, whatever comes of them".into());
        }
        let gone = played.iter().filter(|record| &*record.outcome == "cancelled").count();
        if gone > 0 {
            doubts.push(format!("{gone} clients left before their answers ended; in the model they wait"));
        }
        let streams = played.iter().filter(|record| record.stream).count();
        Some(Self {
            began,
            ended,
            requests: played.len(),
            providers,
            models,
            streaming: streams as f64 / played.len() as f64,
            tokens,
            sessions: u32::try_from(sessions.len()).ok().filter(|count| *count > 0),
            strategy,
            rates,
            doubts,
        })
    }
}

/// A provider as its attempts show it.
fn seen(name: &str, (tries, ejected): (&[Try<'_>], &[f64]), length: f64, doubts: &mut Vec<String>) -> Seen {
    let answers: Vec<(f64, f64, f64)> = tries.iter().filter_map(Try::answer).collect();
    if answers.len() < FEW {
        let count = answers.len();
        doubts.push(format!("{name} gave only {count} answers whose usage is known: its times are hardly known"));
    }
    let usual = pace(tries).unwrap_or((Spread { median: 1.0, p95: 1.0 }, 50.0));
    let mut of_models: BTreeMap<&str, Vec<&Try<'_>>> = BTreeMap::new();
    for one in tries {
        if let Some(model) = one.record.provider_model.as_deref().filter(|_| one.is_last) {
            of_models.entry(model).or_default().push(one);
        }
    }
    let mut models = BTreeMap::new();
    if of_models.len() > 1 {
        for (model, tries) in of_models {
            let count = tries.len();
            if let Some((first_token, tokens_per_second)) = pace(tries).filter(|_| count >= FEW) {
                models.insert(model.to_owned(), ModelBehaviour { first_token, tokens_per_second });
            }
        }
    }
    let mut events = periods::outages(tries, ejected);
    if !events.is_empty() {
        let count = events.len();
        doubts.push(format!("{count} times in which {name} failed are guessed from the requests that met them"));
    }
    events.extend(periods::slow(tries, usual.0.median, length, &events));
    events.sort_by(|one, other| one.from.total_cmp(&other.from));
    let calm = |one: &&Try<'_>| !events.iter().any(|event| is_within(event, one.at));
    let (failed, all) =
        tries.iter().filter(calm).fold((0, 0), |(failed, all), one| (failed + usize::from(one.failed()), all + 1));
    let refused: Vec<&Try<'_>> = tries.iter().filter(|one| one.is("throttled")).collect();
    let requests_per_minute = limit(tries, &refused);
    if let Some(limit) = requests_per_minute {
        doubts.push(format!(
            "{name} refused {} attempts for its rate; that is played as {limit:.0} requests a minute, whatever it counts",
            refused.len()
        ));
    }
    let behaviour = Behaviour {
        first_token: usual.0,
        tokens_per_second: usual.1,
        models,
        requests_per_minute,
        errors: if all == 0 { 0.0 } else { failed as f64 / all as f64 },
        events,
        ..Behaviour::NONE
    };
    Seen { behaviour, price: price(tries), attempts: tries.len() }
}

fn is_within(event: &Event, at: f64) -> bool {
    event.from <= at && at < event.until
}

/// The time to the first token and the tokens a second behind it.
fn pace<'t, 'r: 't>(tries: impl IntoIterator<Item = &'t Try<'r>>) -> Option<(Spread, f64)> {
    let (mut firsts, mut speeds, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    for one in tries {
        let Some((first, took, out)) = one.answer() else { continue };
        if one.record.stream && one.attempt.first_ms.is_some() {
            firsts.push(first);
            if out >= SHORT && took > first {
                speeds.push(out / (took - first));
            }
        } else {
            wholes.push((out, took));
        }
    }
    if firsts.len() >= wholes.len().min(FEW) && !firsts.is_empty() {
        let speed = median(&mut speeds).unwrap_or(1e6);
        return Some((spread(&mut firsts)?, speed));
    }
    // Whole answers: the time grows with the tokens, from that of the first one on.
    let (base, each) = linear::line(&wholes)?;
    let least = wholes.iter().map(|(_, took)| *took).fold(f64::INFINITY, f64::min);
    let base = base.clamp(least * 0.5, wholes.iter().map(|(_, took)| *took).fold(0.0, f64::max));
    let mut rests: Vec<f64> = wholes.iter().map(|(out, took)| (took - out * each.max(0.0)).max(base * 0.1)).collect();
    let speed = if each > 1e-6 { 1.0 / each } else { 1e6 };
    Some((spread(&mut rests)?, speed))
}

/// Requests a minute at which a provider began to refuse: the median of those that it took in the minute before.
fn limit(tries: &[Try<'_>], refused: &[&Try<'_>]) -> Option<f64> {
    let taken: Vec<f64> = tries.iter().filter(|one| one.is("succeeded")).map(|one| one.at).collect();
    let before = |at: f64| {
        let (from, to) = (taken.partition_point(|one| *one < at - 60.0), taken.partition_point(|one| *one < at));
        (to - from) as f64
    };
    let mut counts: Vec<f64> = refused.iter().map(|one| before(one.at)).filter(|count| *count > 0.0).collect();
    median(&mut counts)
}

/// The prices that costs follow from, within a hundredth; `None` where they do not.
fn price(tries: &[Try<'_>]) -> Option<(f64, f64)> {
    let rows: Vec<(f64, f64, f64)> = tries
        .iter()
        .filter(|one| one.is_last && one.record.cached_tokens == 0)
        .filter_map(|one| {
            let record = one.record;
            let cost = record.cost_nano? as f64;
            Some((record.prompt_tokens? as f64, record.completion_tokens? as f64, cost))
        })
        .collect();
    let (input, output) = plane(&rows)?;
    let (mut off, mut sum) = (0.0, 0.0);
    for (prompt, answer, cost) in &rows {
        off += (prompt * input + answer * output - cost).abs();
        sum += cost;
    }
    // Nano-dollars a token are thousandths of dollars a million.
    (off <= sum * 0.01 && input >= -1e-6 && output >= -1e-6)
        .then(|| (input.max(0.0) / 1000.0, output.max(0.0) / 1000.0))
}

/// The median; `None` of nothing.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The median and the 95th percentile; `None` of nothing.
fn spread(values: &mut [f64]) -> Option<Spread> {
    let median = median(values)?.max(1e-3);
    let p95 = values[(values.len() * 95 / 100).min(values.len() - 1)];
    Some(Spread { median, p95: p95.max(median) })
}

#[cfg(test)]
mod tests;
