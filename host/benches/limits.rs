//! The cost of limits in a request: to take its likely cost and settle it, under one limit of each unit and under all four;
//! and to add what it came to to what has been spent.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use pointsman::config;
use pointsman::limits::spend::Key;
use pointsman::limits::{Account, Book, Charge, Cost, Moment, Nano, Owner, Reservation, Spend, Usage};
use pointsman::strategy;

/// A millisecond: time goes on, so that what was taken comes back.
const STEP: u64 = 1_000_000;

fn account(limits: &str) -> Arc<Account> {
    let text =
        format!("providers: [{{name: a, base_url: 'http://a/v1', api_key: k}}]\nroutes: [{{models: ['*'], {limits}}}]");
    let config = config::parse(&text, Path::new("bench.yaml"), &|_| None, strategy::builtins()).expect("valid");
    Book::default().account(Owner::Route("bench".into()), &config.routes[0].limits)
}

fn reservations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits");
    for (name, limits) in [
        ("requests", "limits: {rpm: 1000000}"),
        ("tokens", "limits: {tpm: 1000000000}"),
        ("money", "budget: {usd: 1000000, per: day}"),
        ("parallel", "limits: {parallel: 100}"),
        ("all four", "limits: {rpm: 1000000, tpm: 1000000000, parallel: 100}, budget: {usd: 1000000, per: day}"),
    ] {
        let account = account(limits);
        let cost = Cost { requests: 1, tokens: 700, named_tokens: 100, nano: 300, parallel: true };
        let charge = Charge { tokens: 260, nano: 66 };
        let mut now = STEP;
        group.bench_function(format!("take and settle, {name}"), |bencher| {
            bencher.iter(|| {
                now += STEP;
                let taken = Reservation::take([Some(&account), None, None, None], black_box(cost), Moment(now));
                taken.expect("never that much").settle(black_box(charge), Moment(now));
            });
        });
    }
    group.finish();
}

fn spending(criterion: &mut Criterion) {
    let spend = Spend::default();
    let key = Key { client: "somebody", route: "default", provider: "provider-1", model: "gpt-4o-mini" };
    let usage = Usage::of(Some(200), Some(60));
    criterion.bench_function("limits/count what was spent", |bencher| {
        bencher.iter(|| spend.count(Moment(STEP), black_box(key), black_box(&usage), Some(Nano(66))));
    });
}

criterion_group!(benches, reservations, spending);
criterion_main!(benches);
