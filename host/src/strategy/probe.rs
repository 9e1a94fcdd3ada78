//! Tries a strategy before it is used: asks an instance, which is thrown away, about requests that nobody has sent.
//!
//! Its decisions do not matter, nor whether it abstains or refuses; only that nothing breaks.

use super::blueprint::Blueprint;
use super::instance::{Instance, OUTCOMES, Setup};
use crate::routing::{Candidate, Facts, OutcomeKind, Report, TargetFacts, Tier};
use crate::wasm::engine::Engine;
use crate::wasm::fault::Fault;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::{Journal, Said};

/// `seq` and `entropy`: the first request, some later ones, and those at which arithmetic goes wrong.
const NUMBERS: [(u32, u32); 4] = [(0, 0), (1, 0x9E37_79B9), (1000, 0x7FFF_FFFF), (u32::MAX, u32::MAX)];

/// Every way in which an attempt ends.
const ENDINGS: [OutcomeKind; 10] = [
    OutcomeKind::Succeeded,
    OutcomeKind::Rejected,
    OutcomeKind::Unauthorized,
    OutcomeKind::Declined,
    OutcomeKind::NotFound,
    OutcomeKind::Throttled,
    OutcomeKind::Failed,
    OutcomeKind::TimedOut,
    OutcomeKind::Interrupted,
    OutcomeKind::Cancelled,
];

/// Midnight of 1 January 2026, in milliseconds since 1970; each request comes a second after the one before.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// The number of tries for a strategy that runs out of time: a busy machine must not decide whether a server starts.
const PATIENCE: u32 = 3;

/// Tries the strategy, up to the first fault.
///
/// # Errors
///
/// [`LoadError::Unfit`], or whatever prevents it from starting.
pub fn probe(engine: &Engine, blueprint: &Blueprint, setup: &Setup, journal: &Journal) -> Result<(), LoadError> {
    let mut tries = 1;
    loop {
        match once(engine, blueprint, setup, journal) {
            Err(LoadError::Unfit { fault: Fault::DeadlineExceeded, .. }) if tries < PATIENCE => tries += 1,
            tried => return tried,
        }
    }
}

fn once(engine: &Engine, blueprint: &Blueprint, setup: &Setup, journal: &Journal) -> Result<(), LoadError> {
    let mut said = Said::default();
    let started = Instance::start(engine, blueprint, setup, &mut said);
    journal.write(said);
    let mut instance = started?;
    let mut now_ms = BEGIN_MS;
    for (tier, model) in rounds(&setup.targets) {
        let offered = candidates(&setup.targets, tier, model);
        let mut sizes = vec![1, 2, offered.len()];
        sizes.retain(|size| (1..=offered.len()).contains(size));
        sizes.dedup();
        for (size, (seq, entropy), streaming) in requests(&sizes) {
            let affinity = u64::from(entropy) << 32 | u64::from(seq);
            let attempts = u32::from(tier != Tier::Primary);
            let facts = Facts {
                seq,
                entropy,
                now_ms,
                tier,
                attempts,
                model,
                streaming,
                body_bytes: 1000,
                affinity,
                ..Facts::NOTHING
            };
            let mut said = Said::default();
            let answer = instance.route(engine, &facts, &offered[..size], &mut said);
            journal.write(said);
            if let Err(broken) = answer {
                return Err(LoadError::Unfit { request: describe(&facts, size), fault: broken.fault });
            }
            now_ms += 1000;
        }
        if instance.observes() && !offered.is_empty() {
            let mut said = Said::default();
            let told = instance.observe(engine, &reports(&offered), &mut said);
            journal.write(said);
            told.map_err(|broken| LoadError::Unfit { request: "reports of attempts".to_owned(), fault: broken.fault })?;
        }
    }
    Ok(())
}

/// The tiers, each without a model and with one that is known, if any is.
fn rounds(providers: &[TargetFacts]) -> impl Iterator<Item = (Tier, &str)> {
    let known = providers.iter().find_map(|provider| provider.models.first());
    let models = std::iter::once("").chain(known.map(String::as_str));
    models.flat_map(|model| Tier::ALL.map(|tier| (tier, model)))
}

/// The candidates of the tier that have the model, as a request meets them.
fn candidates(providers: &[TargetFacts], tier: Tier, model: &str) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (index, provider) in (0..).zip(providers) {
        let in_tier = match tier {
            Tier::Primary => !provider.fallback_only,
            Tier::Fallback => provider.fallback_only,
            Tier::LastResort => true,
        };
        let models = &provider.models;
        if in_tier && (model.is_empty() || models.is_empty() || models.iter().any(|known| known == model)) {
            // The first is new; more is known of each one after it.
            let (in_flight, latency_us, failure_permille) = (index, index * 10_000, (index * 100).min(1000));
            candidates.push(Candidate { in_flight, latency_us, failure_permille, ..Candidate::idle(index) });
        }
    }
    candidates
}

fn requests(sizes: &[usize]) -> impl Iterator<Item = (usize, (u32, u32), bool)> {
    let numbered = sizes.iter().flat_map(|&size| NUMBERS.map(|numbers| (size, numbers)));
    numbered.flat_map(|(size, numbers)| [false, true].map(|streaming| (size, numbers, streaming)))
}

fn reports(candidates: &[Candidate]) -> Vec<Report> {
    let time = std::time::Duration::from_millis;
    let report =
        |(candidate, kind): (&Candidate, OutcomeKind)| Report::of(candidate.target, kind, time(100), time(2000));
    let every = candidates.iter().cycle().zip(ENDINGS.into_iter().cycle());
    every.take(candidates.len().max(ENDINGS.len()).min(OUTCOMES)).map(report).collect()
}

/// The question in words, for the one who has to find out why it broke.
pub fn describe(facts: &Facts<'_>, candidates: usize) -> String {
    let Facts { seq, entropy, tier, model, streaming, .. } = facts;
    format!(
        "route with {candidates} candidate{} of tier {}, seq {seq}, entropy {entropy}, model {model:?}, streaming {streaming}",
        if candidates == 1 { "" } else { "s" },
        tier.name(),
    )
}
