//! Streams of events: what is passed on and what is found does not depend on where the bytes are cut, and only whole events
//! are passed on.
//!
//! The first byte of an input says how the others are cut, and whose events they are.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pointsman::proxy::stream::protocol::Protocol;
use pointsman::proxy::stream::reader::{Progress, Reader, select};

const PROTOCOLS: [Protocol; 5] =
    [Protocol::Chat, Protocol::Completions, Protocol::Responses, Protocol::Messages, Protocol::Other];

fuzz_target!(|bytes: &[u8]| {
    let Some((&seed, stream)) = bytes.split_first() else { return };
    let protocol = PROTOCOLS[usize::from(seed) % PROTOCOLS.len()];
    let whole = read(protocol, stream, &mut std::iter::repeat(stream.len().max(1)));
    let mut state = u32::from(seed) + 1;
    let mut any = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 24) as usize % (1 + usize::from(seed))
    });
    assert_eq!(whole, read(protocol, stream, &mut any));
    assert_eq!(whole, read(protocol, stream, &mut std::iter::repeat(1)));
    assert!(stream.starts_with(&whole.passed));
    // What was passed on is whole: read anew, all of it passes again.
    let again = read(protocol, &whole.passed, &mut std::iter::repeat(whole.passed.len().max(1)));
    assert_eq!((&again.passed, again.progress), (&whole.passed, whole.progress));
    select(&whole.passed, true);
});

#[derive(Debug, PartialEq, Eq)]
struct Findings {
    passed: Vec<u8>,
    /// The bytes that the end of the stream makes whole.
    last: Bytes,
    progress: Progress,
    events: u64,
}

fn read(protocol: Protocol, stream: &[u8], lengths: &mut dyn Iterator<Item = usize>) -> Findings {
    let mut reader = Reader::new(protocol);
    let (mut passed, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let length = lengths.next().map_or(1, |length| length.min(rest.len()));
        let (piece, behind) = rest.split_at(length);
        let fed = reader.feed(Bytes::copy_from_slice(piece)).expect("inputs are small");
        passed.extend_from_slice(&fed.whole);
        rest = behind;
    }
    // Behind the CR of the event that ends a stream an LF may be on its way. It is given where lines end in CR LF, whatever comes
    // in its place; where they end in several ways, it may be missing, which changes no event.
    if passed.ends_with(b"\r\n") && (reader.progress().ended || reader.progress().failed) {
        passed.pop();
    }
    let (progress, events) = (reader.progress(), reader.events());
    Findings { passed, progress, events, last: reader.close().unwrap_or_default() }
}
