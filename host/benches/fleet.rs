//! The cost of looking at the health of the providers: one snapshot, and the candidates of a request, of 2 to 1000
//! providers.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pointsman::config::{self, StrategySource};
use pointsman::metrics::Metrics;
use pointsman::provider::Fleet;
use pointsman::routing::{ModelKey, Route, Routes, Tier};
use pointsman::strategy;
use tokio::time::Instant;

fn fleet(count: u32) -> (std::sync::Arc<Fleet>, Route) {
    let provider =
        |index| format!("  - {{name: provider-{index}, base_url: 'http://127.0.0.1:9/v1', api_key: none}}\n");
    let text = format!("providers:\n{}", (0..count).map(provider).collect::<String>());
    let config = config::parse(&text, Path::new("bench.yaml"), &|_| None, strategy::builtins()).expect("valid");
    let source = StrategySource::BuiltIn("round_robin".to_owned());
    assert_eq!(config.strategy.source, source);
    let facts = pointsman::provider::facts::everything(&config);
    let strategy = strategy::Succession::start(&config.strategy, facts).expect("a built-in strategy loads");
    let drafts = Fleet::drafts(&config, None).expect("TLS can be set up");
    let route = Route::everything(&config.providers, strategy, None);
    (Fleet::new(&config, drafts, &Metrics::new(&pointsman::proxy::endpoint::LABELS), None), route)
}

fn offers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fleet");
    for count in [2, 10, 100, 1000] {
        let (fleet, route) = fleet(count);
        let eligible = route.eligible("gpt-4o-mini");
        let now = Instant::now();
        group.bench_with_input(BenchmarkId::new("offer", count), &fleet, |bencher, fleet| {
            bencher.iter(|| black_box(fleet.offer(Tier::Primary, (&route, &eligible), ModelKey::NONE, &[], now)));
        });
        group.bench_with_input(BenchmarkId::new("snapshot", count), &fleet, |bencher, fleet| {
            bencher.iter(|| black_box(fleet.snapshot()));
        });
    }
    group.finish();
}

/// Finding the route of a model among many, half of them patterns.
fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routes");
    for count in [1, 10, 1000] {
        let model =
            |index: usize| if index.is_multiple_of(2) { format!("model-{index}") } else { format!("'m{index}-*'") };
        let routes: String = (0..count).map(|index| format!("  - {{models: [{}]}}\n", model(index))).collect();
        let text = format!("providers: [{{name: a, base_url: 'http://a/v1', api_key: k}}]\nroutes:\n{routes}");
        let config = config::parse(&text, Path::new("bench.yaml"), &|_| None, strategy::builtins()).expect("valid");
        let facts = pointsman::provider::facts::everything(&config);
        let strategy: std::sync::Arc<dyn pointsman::routing::Strategy> =
            strategy::Succession::start(&config.strategy, facts).expect("a built-in strategy loads");
        let routes = Routes::of_config(&config, &vec![strategy; count + 1], None);
        for model in ["model-0", "m999-x", "unknown-model-of-some-length"] {
            group.bench_with_input(BenchmarkId::new(model, count), &routes, |bencher, routes| {
                bencher.iter(|| black_box(routes.of(black_box(model)).is_some()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, offers, lookups);
criterion_main!(benches);
