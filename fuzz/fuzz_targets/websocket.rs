//! WebSocket: whatever comes, in whatever pieces, is the same messages or none, and no more of one is kept than may be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::proxy::websocket::message::{Event, Messages};

/// The most bytes of a message that are kept.
const MOST: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let whole = read(bytes, usize::MAX);
    assert_eq!(read(bytes, usize::from(size).max(1)), whole, "pieces of {size}");
});

/// All that ended, with what was kept of it, and whether it ended well.
fn read(bytes: &[u8], size: usize) -> (Vec<(Event, Vec<u8>)>, bool) {
    let (mut messages, mut events) = (Messages::keeping(MOST), Vec::new());
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        let mut rest = piece;
        while !rest.is_empty() {
            let Ok((taken, event)) = messages.next(rest) else { return (events, false) };
            assert!(taken > 0 && messages.kept().len() <= MOST && messages.control().len() <= 125);
            rest = &rest[taken..];
            match event {
                Event::Nothing => {}
                Event::Text | Event::Binary | Event::Full => events.push((event, messages.kept().to_vec())),
                Event::Close(_) | Event::Ping | Event::Pong => events.push((event, messages.control().to_vec())),
            }
        }
    }
    (events, true)
}
