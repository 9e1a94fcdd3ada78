//! `traceparent` headers of clients: what is read of one is what is told of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::observe::trace::Traceparent;

fuzz_target!(|bytes: &[u8]| {
    let Some(read) = Traceparent::parse(bytes) else { return };
    let told = read.to_header();
    let again = Traceparent::parse(told.as_bytes()).expect("what we send is well formed");
    assert_eq!((again.trace, again.span, again.flags), (read.trace, read.span, read.flags & 3));
    assert!(bytes[3..].starts_with(&told.as_bytes()[3..52]));
});
