//! Counts the outcome of each request, and sums the results up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

pub mod used;

use used::Used;

/// The number of pieces of the timeline.
const PIECES: usize = 120;

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The time of its arrival, in milliseconds from the beginning.
    pub at_ms: u32,
    /// The time that it waited in the queue.
    pub queue_us: u32,
    /// The time from its arrival to the first token.
    pub first_us: u32,
    /// The time from its arrival to the end.
    pub total_us: u32,
    /// The cost of its answer.
    pub cost: f32,
    /// The status that the client got.
    pub status: u16,
    /// The provider that answered; `None` for an error.
    pub provider: Option<u16>,
    /// The number of attempts.
    pub attempts: u8,
}

/// The result of a simulation.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The strategy.
    pub strategy: String,
    /// The seed of all random numbers.
    pub seed: u64,
    /// Requests that came.
    pub requests: usize,
    /// The requests that a provider answered with a 2xx.
    pub answered: usize,
    /// The other requests, by the status that the client got.
    pub errors: BTreeMap<u16, usize>,
    /// Attempts after the first one of a request, except for those beside a slow one.
    pub failovers: usize,
    /// Attempts beside a slow one.
    pub hedges: usize,
    /// The outcomes of the decisions.
    #[serde(flatten)]
    pub decided: Decided,
    /// Milliseconds from the arrival to the first token, of the answered requests.
    pub first_token_ms: Spread,
    /// Milliseconds from the arrival to the end, of the answered requests.
    pub latency_ms: Spread,
    /// Milliseconds in the queue, of all requests.
    pub queue_wait_ms: Spread,
    /// The cost of the answers; not a number, and in JSON `null`, where no price is known.
    pub cost: f64,
    /// In the order of the configuration.
    pub providers: Vec<ProviderReport>,
    /// The course of the simulation over time.
    pub timeline: Timeline,
    /// The real time of the simulation, without loading the strategy.
    #[serde(skip)]
    pub took: Duration,
}

/// The outcomes of the decisions that a strategy was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// The decisions that it was asked for.
    pub decisions: u64,
    /// Decisions that got the default order because the strategy broke, or was not yet restarted.
    pub faults: u64,
    /// Decisions that it answered with an error.
    pub refusals: u64,
    /// Decisions in which it abstained.
    pub abstentions: u64,
    /// Faults by kind; those that did not happen are left out.
    pub fault_kinds: BTreeMap<&'static str, u64>,
    /// The last fault, in words.
    pub last_fault: Option<String>,
}

/// Percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Spread {
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// The results of one provider.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderReport {
    /// Its name.
    pub name: String,
    /// Requests that it answered.
    pub answered: usize,
    /// Their share of all answered requests.
    pub share: f64,
    /// Its attempts by outcome, those without any left out.
    pub attempts: BTreeMap<&'static str, u64>,
    /// The cost of its answers; not a number, and in JSON `null`, where its price is not known.
    pub cost: f64,
    /// Milliseconds from the arrival to the first token of what it answered.
    pub first_token_ms: Spread,
    /// What was used of its account, if that has limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Used>,
}

/// The course of the simulation, in pieces of equal length.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// The length of a piece in seconds.
    pub seconds: f64,
    /// Requests that came.
    pub arrivals: Vec<usize>,
    /// Requests that were not answered.
    pub errors: Vec<usize>,
    /// The 95th percentile of milliseconds to the first token of the answered requests.
    pub first_token_p95_ms: Vec<f64>,
    /// The number of answers, by provider.
    pub answered: BTreeMap<String, Vec<usize>>,
}

/// Microseconds, at most the largest number that fits.
pub fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

impl Spread {
    /// The percentiles of values in microseconds, as milliseconds.
    fn of(mut values: Vec<u32>) -> Self {
        values.sort_unstable();
        let Some(&max) = values.last() else { return Self::default() };
        let millis = |micros: u32| f64::from(micros) / 1000.0;
        // The nearest rank.
        let at = |share: f64| millis(values[((values.len() as f64 * share).ceil() as usize).saturating_sub(1)]);
        let sum: f64 = values.iter().copied().map(f64::from).sum();
        let mean = (sum / values.len() as f64).round() / 1000.0;
        Self { mean, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: millis(max) }
    }
}

/// The data of a provider that a report needs.
pub struct Known {
    /// Its name.
    pub name: String,
    /// True when the cost of its answers is known.
    pub is_priced: bool,
    /// Its attempts, by outcome.
    pub attempts: BTreeMap<&'static str, u64>,
    /// Of them, those beside another that was slow.
    pub hedges: u64,
    /// What was used of its account, if that has limits.
    pub account: Option<Used>,
}

/// Sums up the samples.
pub fn report(
    strategy: &str,
    seed: u64,
    duration: f64,
    providers: &[Known],
    decided: Decided,
    samples: &[Sample],
) -> Report {
    let answered: Vec<&Sample> = samples.iter().filter(|sample| sample.provider.is_some()).collect();
    let mut errors = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.provider.is_none()) {
        *errors.entry(sample.status).or_insert(0) += 1;
    }
    let cost = |is_known: bool, samples: &mut dyn Iterator<Item = &&Sample>| match is_known {
        true => samples.map(|sample| f64::from(sample.cost)).sum::<f64>(),
        false => f64::NAN,
    };
    let of_provider = |(index, known): (usize, &Known)| {
        let own: Vec<&Sample> =
            answered.iter().copied().filter(|sample| sample.provider.map(usize::from) == Some(index)).collect();
        ProviderReport {
            name: known.name.clone(),
            answered: own.len(),
            share: if answered.is_empty() { 0.0 } else { own.len() as f64 / answered.len() as f64 },
            attempts: known.attempts.clone(),
            cost: cost(known.is_priced, &mut own.iter()),
            first_token_ms: Spread::of(own.iter().map(|sample| sample.first_us).collect()),
            account: known.account.clone(),
        }
    };
    let failovers: usize = samples.iter().map(|sample| usize::from(sample.attempts.saturating_sub(1))).sum();
    let hedges = providers.iter().map(|known| known.hedges as usize).sum();
    Report {
        strategy: strategy.to_owned(),
        seed,
        requests: samples.len(),
        answered: answered.len(),
        errors,
        failovers: failovers.saturating_sub(hedges),
        hedges,
        decided,
        first_token_ms: Spread::of(answered.iter().map(|sample| sample.first_us).collect()),
        latency_ms: Spread::of(answered.iter().map(|sample| sample.total_us).collect()),
        queue_wait_ms: Spread::of(samples.iter().map(|sample| sample.queue_us).collect()),
        cost: cost(providers.iter().any(|known| known.is_priced), &mut answered.iter()),
        providers: providers.iter().enumerate().map(of_provider).collect(),
        timeline: timeline(duration, providers, samples),
        took: Duration::ZERO,
    }
}

fn timeline(duration: f64, providers: &[Known], samples: &[Sample]) -> Timeline {
    let seconds = duration / PIECES as f64;
    let piece = |sample: &Sample| ((f64::from(sample.at_ms) / 1000.0 / seconds) as usize).min(PIECES - 1);
    let (mut arrivals, mut errors) = (vec![0; PIECES], vec![0; PIECES]);
    let mut answered = vec![vec![0; PIECES]; providers.len()];
    let mut firsts = vec![Vec::new(); PIECES];
    for sample in samples {
        let piece = piece(sample);
        arrivals[piece] += 1;
        match sample.provider {
            Some(provider) => {
                answered[usize::from(provider)][piece] += 1;
                firsts[piece].push(sample.first_us);
            }
            None => errors[piece] += 1,
        }
    }
    Timeline {
        seconds,
        arrivals,
        errors,
        first_token_p95_ms: firsts.into_iter().map(|values| Spread::of(values).p95).collect(),
        answered: providers.iter().map(|known| known.name.clone()).zip(answered).collect(),
    }
}
