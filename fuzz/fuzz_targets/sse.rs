//! Streams of events: what is found does not depend on where the bytes are cut, and nothing is kept of them.
//!
//! The first byte of an input says how the others are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::proxy::stream::events::{EventScanner, Seen, is_error};

fuzz_target!(|bytes: &[u8]| {
    let Some((&seed, stream)) = bytes.split_first() else { return };
    let whole = scan(stream, &mut std::iter::repeat(stream.len().max(1)));
    let mut state = u32::from(seed) + 1;
    let mut any = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 24) as usize % (1 + usize::from(seed))
    });
    agree(stream, &whole, &scan(stream, &mut any));
    agree(stream, &whole, &scan(stream, &mut std::iter::repeat(1)));
    is_error(stream);
});

struct Findings {
    seen: Seen,
    complete: bool,
    event_start: usize,
}

fn scan(stream: &[u8], lengths: &mut dyn Iterator<Item = usize>) -> Findings {
    let mut scanner = EventScanner::watching_finish();
    let (mut seen, mut rest) = (Seen::default(), stream);
    while !rest.is_empty() {
        let length = lengths.next().map_or(1, |length| length.min(rest.len()));
        let (piece, behind) = rest.split_at(length);
        let found = scanner.feed(piece);
        seen.event |= found.event;
        seen.whole = seen.whole.or(found.whole);
        rest = behind;
    }
    // Its fields are private, but it shows them: a head, a tail, and a few numbers, whatever it has read.
    assert!(format!("{scanner:?}").len() < 1000, "it keeps what it reads");
    Findings { seen, complete: scanner.is_complete(), event_start: scanner.event_start() }
}

fn agree(stream: &[u8], whole: &Findings, cut: &Findings) {
    assert_eq!(whole.seen.event, cut.seen.event);
    assert_eq!(whole.complete, cut.complete);
    assert!(whole.event_start.abs_diff(cut.event_start) <= 1 && whole.event_start <= stream.len());
    match (whole.seen.whole, cut.seen.whole) {
        (None, None) => {}
        (Some(whole), Some(cut)) => {
            // An LF that belongs to the CR before it may come with the next piece.
            assert!(whole.0.abs_diff(cut.0) <= 1 && whole.1.abs_diff(cut.1) <= 1, "{whole:?} {cut:?}");
            assert_eq!(is_error(&stream[whole.0..whole.1]), is_error(&stream[cut.0..cut.1]));
        }
        (whole, cut) => assert_eq!(whole, cut),
    }
}
