//! Finds out, by asking a strategy, which of the operator's settings its decisions depend on.
//!
//! The host knows no strategy by its name, so it cannot know which ones look at weights. But a strategy is a function
//! of its inputs: when it is told other weights and still decides the same every time, they have no effect.

use super::blueprint::Blueprint;
use super::instance::{Answer, Instance, Setup};
use crate::routing::{Candidate, Facts, TargetFacts, Tier};
use crate::wasm::engine::Engine;
use crate::wasm::output::Said;

/// The number of requests that are asked about in each tier. The smallest weight that is tried shows within a dozen.
const REQUESTS: u32 = 48;

/// Providers that are made up beside those of the configuration, so that there is a choice.
const STRANGERS: usize = 3;

/// The number of keys that are tried, and of requests with each.
const KEYS: u64 = 12;
const REQUESTS_OF_A_KEY: u32 = 4;

/// Midnight of 1 January 2026, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// True when other weights would change a decision, and also when that cannot be found out.
pub(super) fn heeds_weights(engine: &Engine, blueprint: &Blueprint, setup: &Setup) -> bool {
    let number = setup.targets.len();
    let with = |weight: &dyn Fn(usize) -> f64| {
        let weighted = |(at, facts): (usize, &TargetFacts)| TargetFacts { weight: weight(at), ..facts.clone() };
        Setup { targets: setup.targets.iter().enumerate().map(weighted).collect(), ..setup.clone() }
    };
    let (rising, falling) = (with(&|at| 1.0 + 9.0 * at as f64), with(&|at| 1.0 + 9.0 * (number - at) as f64));
    let (Some(mut one), Some(mut other)) = (start(engine, blueprint, &rising), start(engine, blueprint, &falling))
    else {
        return true;
    };
    Tier::ALL.into_iter().any(|tier| {
        (0..REQUESTS).any(|seq| {
            let busy = |index: u32| Candidate {
                in_flight: (index * 7 + seq) % 5,
                latency_us: 1000 * (1 + (index * 5 + seq) % 7),
                ..Candidate::idle(index)
            };
            let candidates: Vec<Candidate> = of_tier(&setup.targets, tier).map(busy).collect();
            let facts = Facts { tier, ..facts(seq, if seq % 2 == 0 { 0 } else { mixed(seq.into()) }) };
            if candidates.len() < 2 {
                return false;
            }
            let ask = |instance: &mut Instance| decide(engine, instance, &facts, &candidates);
            match (ask(&mut one), ask(&mut other)) {
                (Some(one), Some(other)) => one != other,
                _ => true,
            }
        })
    })
}

/// True when it sends requests that belong together to one provider, whatever else differs, and others elsewhere. False
/// also when that cannot be found out.
pub(super) fn keeps_together(engine: &Engine, blueprint: &Blueprint, setup: &Setup) -> bool {
    let Some(first) = setup.targets.first() else { return false };
    let stranger = |at: usize| TargetFacts {
        name: format!("{} and stranger {at}", first.name),
        fallback_only: false,
        ..first.clone()
    };
    let mut providers = setup.targets.clone();
    providers.extend((0..STRANGERS).map(stranger));
    let Some(mut instance) = start(engine, blueprint, &Setup { targets: providers.clone(), ..setup.clone() }) else {
        return false;
    };
    let candidates: Vec<Candidate> = of_tier(&providers, Tier::Primary).map(Candidate::idle).collect();
    let mut homes = Vec::new();
    for key in 1..=KEYS {
        let mut home = None;
        for request in 0..REQUESTS_OF_A_KEY {
            let facts = facts(u32::try_from(key).unwrap_or(0) * REQUESTS_OF_A_KEY + request, mixed(key));
            let chosen = decide(engine, &mut instance, &facts, &candidates).and_then(|order| order.first().copied());
            if chosen.is_none() || home.is_some_and(|home| Some(home) != chosen) {
                return false;
            }
            home = chosen;
        }
        homes.extend(home);
    }
    homes.iter().any(|home| Some(home) != homes.first())
}

fn start(engine: &Engine, blueprint: &Blueprint, setup: &Setup) -> Option<Instance> {
    // Its log lines about made-up requests are of no use to anybody.
    Instance::start(engine, blueprint, setup, &mut Said::default()).ok()
}

/// The order, empty when it has none to give; `None` when it broke.
fn decide(engine: &Engine, instance: &mut Instance, facts: &Facts<'_>, candidates: &[Candidate]) -> Option<Vec<u32>> {
    match instance.route(engine, facts, candidates, &mut Said::default()).ok()? {
        Answer::Decided(decision) => Some(decision.order),
        Answer::Refused(_) => Some(Vec::new()),
    }
}

fn of_tier(providers: &[TargetFacts], tier: Tier) -> impl Iterator<Item = u32> {
    let offered = move |provider: &TargetFacts| match tier {
        Tier::Primary => !provider.fallback_only,
        Tier::Fallback => provider.fallback_only,
        Tier::LastResort => true,
    };
    (0..).zip(providers).filter(move |(_, provider)| offered(provider)).map(|(index, _)| index)
}

fn facts(seq: u32, affinity: u64) -> Facts<'static> {
    Facts {
        seq,
        entropy: seq.wrapping_mul(0x9E37_79B9),
        now_ms: BEGIN_MS + 1000 * u64::from(seq),
        streaming: seq.is_multiple_of(3),
        body_bytes: 1000,
        affinity,
        ..Facts::NOTHING
    }
}

/// A key that looks like a real one, which is a hash; not 0.
fn mixed(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}
