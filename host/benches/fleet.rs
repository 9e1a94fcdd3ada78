//! What it costs to see how the providers are: one snapshot, and the candidates of a request, of 2 to 1000 providers.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pointsman::config::{self, StrategySource};
use pointsman::metrics::Metrics;
use pointsman::provider::Fleet;
use pointsman::routing::{ModelKey, Route, Tier};
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
    (Fleet::new(&config, drafts, &Metrics::new(&[]), None), route)
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

criterion_group!(benches, offers);
criterion_main!(benches);
