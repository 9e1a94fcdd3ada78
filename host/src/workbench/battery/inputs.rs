//! The questions of the battery: made up, and the same each time.

use std::time::Duration;

use crate::routing::{Candidate, Facts, OutcomeKind, Report, Route, TargetFacts, Tier};
use crate::strategy::instance::OUTCOMES;
use crate::strategy::probe;

/// The whole question, for somebody who has to ask it again.
pub(super) fn in_full(facts: &Facts<'_>, offered: &[Candidate]) -> String {
    const SHOWN: usize = 7;
    let Facts { now_ms, affinity, attempts, body_bytes, prompt_tokens, max_tokens, attributes, prompt, .. } = facts;
    let candidate = |c: &Candidate| {
        format!("{}: {} in flight, {} us, {} permille", c.target, c.in_flight, c.latency_us, c.failure_permille)
    };
    let mut shown: Vec<String> = offered.iter().take(SHOWN).map(candidate).collect();
    if let Some(more) = offered.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("and {more} more"));
    }
    format!(
        "{}, now-ms {now_ms}, affinity {affinity}, attempts {attempts}, body-bytes {body_bytes}, prompt-tokens \
         {prompt_tokens}, max-tokens {max_tokens}, attributes {attributes:?}, prompt {prompt:?}; candidates [{}]",
        probe::describe(facts, offered.len()),
        shown.join("; ")
    )
}

/// The given providers, and made-up ones, some with limits, prices and labels, until a tier has `count` to offer.
pub(super) fn providers(given: &[TargetFacts], tier: Tier, count: u32) -> Vec<TargetFacts> {
    let made_up = |index: u32| TargetFacts {
        kind: if index % 5 == 4 { "azure" } else { "openai" },
        weight: 1.0 + f64::from(index % 3),
        fallback_only: tier == Tier::Fallback,
        max_concurrent: if index.is_multiple_of(2) { 0 } else { index },
        price: (index % 3 != 2).then(|| (f64::from(index % 7), f64::from(index % 11))),
        labels: vec![("region".to_owned(), if index.is_multiple_of(2) { "eu" } else { "us" }.to_owned())],
        context: index % 4 * 32_000,
        ..TargetFacts::named(format!("p{index}"))
    };
    let there = given.iter().filter(|provider| is_in(tier, provider)).count();
    let missing = count.saturating_sub(u32::try_from(there).unwrap_or(u32::MAX));
    given.iter().cloned().chain((0..missing).map(made_up)).collect()
}

/// True when a tier offers it.
fn is_in(tier: Tier, provider: &TargetFacts) -> bool {
    match tier {
        Tier::Primary => !provider.fallback_only,
        Tier::Fallback => provider.fallback_only,
        Tier::LastResort => true,
    }
}

/// The first `count` of the providers that a tier offers.
pub(super) fn candidates(
    providers: &[TargetFacts],
    tier: Tier,
    count: u32,
    value: impl Fn(u32) -> (u32, u32, u32),
) -> Vec<Candidate> {
    let indices = (0..).zip(providers).filter(|(_, provider)| is_in(tier, provider)).map(|(index, _)| index);
    let candidate = |target| {
        let (in_flight, latency_us, failure_permille) = value(target);
        let left = 1000 - failure_permille;
        Candidate { target, in_flight, latency_us, failure_permille, requests_left: left, tokens_left: left }
    };
    indices.take(count as usize).map(candidate).collect()
}

/// The measurements of a provider: requests in flight, microseconds to the first byte, permille of failures.
pub(super) type Measured = fn(u32) -> (u32, u32, u32);

/// Plausible measurements.
pub(super) fn usual(provider: u32) -> (u32, u32, u32) {
    (provider % 7, 100_000 + provider % 13 * 20_000, provider % 5 * 10)
}

pub(super) fn facts(seq: u32) -> Facts<'static> {
    let mixed = seq.wrapping_mul(0x9E37_79B9) ^ seq.rotate_left(13);
    Facts {
        seq,
        entropy: mixed,
        now_ms: 1_767_225_600_000 + u64::from(seq) * 37,
        route: Route::EVERYTHING,
        model: "gpt-4o-mini",
        prompt_tokens: 500,
        streaming: seq.is_multiple_of(2),
        body_bytes: 2_000,
        affinity: u64::from(mixed % 50) << 32 | u64::from(mixed % 50),
        ..Facts::NOTHING
    }
}

pub(super) fn reports(providers: u32, round: u32) -> Vec<Report> {
    let report = |number: u32| {
        let kind = OutcomeKind::ALL[(number + round) as usize % OutcomeKind::ALL.len()];
        let micros = |micros: u32| Duration::from_micros(micros.into());
        let report = Report::of((number + round) % providers, kind, micros(number * 1_000), micros(number * 3_000));
        let (input_tokens, output_tokens) = (number * 10, number);
        Report { input_tokens, output_tokens, cost: f64::from(number) / 1e4, ..report }
    };
    (0..OUTCOMES as u32).map(report).collect()
}
