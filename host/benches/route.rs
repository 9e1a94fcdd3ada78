//! The cost of one decision, lock and translation included: each built-in strategy with 2 to 1000 candidates.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pointsman::config::{Grants, StrategyChoice, StrategyLimits, StrategySource};
use pointsman::routing::{Candidate, Facts, Strategy, TargetFacts};
use pointsman::strategy;
use pointsman::wasm::LoadError;

fn route(criterion: &mut Criterion) {
    for name in strategy::builtins() {
        let mut group = criterion.benchmark_group(*name);
        for count in [2, 10, 100, 1000] {
            // Some need a configuration, and an author's own would look different.
            let Some(strategy) = load(name, count) else { continue };
            let candidates: Vec<Candidate> = (0..count)
                .map(|target| Candidate {
                    in_flight: target % 7,
                    latency_us: 900,
                    failure_permille: 1,
                    ..Candidate::idle(target)
                })
                .collect();
            let mut seq = 0_u32;
            group.bench_with_input(BenchmarkId::new("decide", count), &candidates, |bencher, candidates| {
                bencher.iter(|| {
                    seq = seq.wrapping_add(1);
                    black_box(strategy.decide(&facts(seq), candidates))
                });
            });
        }
        group.finish();
    }
}

/// The strategy; `None` if it does not start without a configuration.
fn load(name: &str, count: u32) -> Option<std::sync::Arc<strategy::Succession>> {
    let provider =
        |index| TargetFacts { weight: 1.0 + f64::from(index % 3), ..TargetFacts::named(format!("provider-{index}")) };
    let source = StrategySource::BuiltIn(name.to_owned());
    let choice = StrategyChoice {
        name: name.to_owned(),
        source,
        config: serde_json::json!({}),
        grants: Grants::default(),
        limits: StrategyLimits::default(),
        line: 0,
    };
    match strategy::Succession::start(&choice, (0..count).map(provider).collect::<Vec<_>>()) {
        Err(LoadError::Rejected(_)) => None,
        started => Some(started.expect("a built-in strategy loads")),
    }
}

fn facts(seq: u32) -> Facts<'static> {
    Facts {
        seq,
        entropy: seq.wrapping_mul(0x9E37_79B9),
        now_ms: 1_764_000_000_000,
        model: "gpt-4o-mini",
        streaming: true,
        body_bytes: 2_000,
        ..Facts::NOTHING
    }
}

criterion_group!(benches, route);
criterion_main!(benches);
