//! The speed at which a stream is read along: its events, and the token counts in the last of them.
//!
//! `cargo bench --bench stream`; the figures to watch are the time per event and the bytes per second.

use std::fmt::Write as _;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pointsman::proxy::stream::protocol::Protocol;
use pointsman::proxy::stream::reader::Reader;
use pointsman::proxy::usage::UsageScanner;

/// Events of a chat with a word each, of about 200 bytes, and the end.
fn events(count: usize) -> Vec<String> {
    let mut events: Vec<String> = (0..count)
        .map(|number| {
            format!(
                "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,\
                 \"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word {number}\"}},\
                 \"finish_reason\":null}}]}}\n\n"
            )
        })
        .collect();
    events.push("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1000}}\n\n".to_owned());
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// The same bytes as pieces: an event each, many at once, and torn apart.
fn pieces() -> Vec<(&'static str, Vec<Bytes>)> {
    let events = events(1000);
    let mut whole = String::new();
    events.iter().for_each(|event| write!(whole, "{event}").expect("a string takes it"));
    let cut = |size: usize| whole.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
    vec![
        ("an event each", events.iter().map(|event| event.clone().into()).collect()),
        ("16 KB each", cut(16 << 10)),
        ("7 bytes each", cut(7)),
    ]
}

fn stream(criterion: &mut Criterion) {
    for (name, pieces) in pieces() {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        let mut group = criterion.benchmark_group("1000 events");
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_with_input(BenchmarkId::new("find events", name), &pieces, |bencher, pieces| {
            bencher.iter(|| {
                let mut reader = Reader::new(Protocol::Chat);
                for piece in pieces {
                    black_box(reader.feed(black_box(piece.clone())).expect("within bounds"));
                }
                assert!(reader.progress().ended);
            });
        });
        group.bench_with_input(BenchmarkId::new("find token counts", name), &pieces, |bencher, pieces| {
            bencher.iter(|| {
                let mut usage = UsageScanner::default();
                pieces.iter().for_each(|piece| usage.feed(black_box(piece.as_ref())));
                usage.found().expect("it is there")
            });
        });
        group.finish();
    }
}

criterion_group!(benches, stream);
criterion_main!(benches);
