//! The speed at which a request's body is read and its model replaced: ordinary bodies of three sizes, and hostile
//! ones.
//!
//! `cargo bench --bench body`; the figures to watch are the bytes per second.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pointsman::proxy::request::{Menu, RequestBody};

/// A chat whose messages have `bytes` of text altogether, of which each is `text` over and over.
fn chat(bytes: usize, message: usize, text: &str) -> String {
    let content = text.repeat(message / text.len() + 1);
    let one = format!(r#"{{"role": "user", "content": "{content}"}}"#);
    let messages = vec![one; (bytes / message).max(1)].join(", ");
    format!(r#"{{"model": "gpt-4", "messages": [{messages}], "temperature": 0.7, "stream": true}}"#)
}

/// The bodies by name.
fn bodies() -> Vec<(&'static str, String)> {
    let prose = "The points are set so that each train takes the right track. ";
    let numbers: Vec<_> = (0..200_000).map(|number| format!("{}", number * 7919 % 100_003)).collect();
    let keys: Vec<_> = (0..1_000_000).map(|key| format!(r#""k{key}":0"#)).collect();
    vec![
        ("1 KB", chat(900, 900, prose)),
        ("100 KB", chat(100_000, 2_000, prose)),
        ("10 MB, messages of 2 KB", chat(10_000_000, 2_000, prose)),
        ("10 MB, one string", chat(10_000_000, 10_000_000, prose)),
        ("10 MB, Chinese", chat(10_000_000, 10_000_000, "道岔已经扳好，每列火车都走正确的轨道。")),
        ("1 MB, source code", chat(1_000_000, 20_000, r#"    if (a < b) {\n        puts(\"less\\n\");\n    }\n\n"#)),
        ("1 MB, tokens", format!(r#"{{"model": "gpt-4", "input": [{}]}}"#, numbers.join(", "))),
        ("10 MB, only escapes", chat(10_000_000, 10_000_000, r"\u4e2d\u6587")),
        ("10 MB, tags left open", chat(10_000_000, 10_000_000, "<optillm_approach>")),
        ("10 MB, nested 250 deep", format!(r#"{{"model": "gpt-4", "a": [{}0]}}"#, deep(250).repeat(20_000))),
        ("13 MB, a million keys", format!(r#"{{"model": "gpt-4", {}}}"#, keys.join(","))),
    ]
}

/// An array that is nested `depth` deep, and a comma.
fn deep(depth: usize) -> String {
    format!("{}{},", "[".repeat(depth), "]".repeat(depth))
}

/// Reads each body, and replaces the model of the ordinary ones.
fn body(criterion: &mut Criterion) {
    let bodies = bodies();
    let mut group = criterion.benchmark_group("read");
    group.sample_size(20);
    for (name, body) in &bodies {
        let body = Bytes::from(body.clone());
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| {
                RequestBody::json(black_box(body.clone()), None, &Menu::default()).expect("the body is valid")
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("replace the model");
    group.sample_size(20);
    for (name, body) in bodies.iter().take(3) {
        let read = RequestBody::json(Bytes::from(body.clone()), None, &Menu::default()).expect("the body is valid");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &read, |bencher, read| {
            bencher.iter(|| read.with_model(black_box("another-model")));
        });
    }
    group.finish();
}

criterion_group!(benches, body);
criterion_main!(benches);
