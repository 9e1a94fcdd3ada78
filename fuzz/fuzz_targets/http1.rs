//! HTTP/1.1: whatever the codec reads, hyper reads in the same way; and chunks are the same in whatever pieces they come.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::http1::chunks::Chunks;

#[path = "../../host/src/http1/compare.rs"]
mod compare;

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(compare::compare(bytes), Ok(()));
    let Some((&size, bytes)) = bytes.split_first() else { return };
    assert_eq!(data(bytes, usize::from(size).max(1)), data(bytes, usize::MAX), "pieces of {size}");
});

/// The data of a body of chunks, and whether that is over; `None` when it is malformed.
fn data(bytes: &[u8], size: usize) -> Option<(Vec<u8>, bool)> {
    let (mut chunks, mut data) = (Chunks::default(), Vec::new());
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        let mut piece = piece.to_vec();
        let decoded = chunks.decode(&mut piece).ok()?;
        data.extend_from_slice(&piece[decoded.data]);
    }
    Some((data, chunks.are_over()))
}
