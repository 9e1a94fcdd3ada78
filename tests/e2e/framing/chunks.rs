//! The chunked coding of requests (RFC 9112, 7.1).

use super::{LAX, OPEN, Row, Stage, Want, filled};
use Want::{Passes, Refused, Starved};

/// A malformed body. The proxy has answered it or ended the connection.
const BAD: Want = Refused(&[400]);
/// A chunk that says that it is larger than any body may be.
const LARGE: Want = Starved(&[400, 413]);

/// Chunked bodies, from the first chunk to the end of the trailers.
const BODIES: &[Row] = &[
    ("7.1", "one chunk", "<h>\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1", "two chunks", "1\r\n{\r\n2a\r\n<rest>\r\n0\r\n\r\n", Passes),
    ("7.1", "a size in large letters", "2B\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1", "zeros before a size", "000<h>\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1", "sixteen digits", "00000000000000<h>\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1", "more than one zero as the last", "<h>\r\n<b>\r\n000\r\n\r\n", Passes),
    ("7.1.1", "an extension", "<h>;a\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1.1", "an extension with a value", "<h>;a=b\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1.1", "an extension in quotes", "<h>;a=\"b; c\"\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1.1", "an escaped quote", "<h>;a=\"b\\\"c\"\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1.1", "two extensions", "<h>;a;b=c\r\n<b>\r\n0\r\n\r\n", Passes),
    ("7.1.1", "an extension of the last", "<h>\r\n<b>\r\n0;a=b\r\n\r\n", Passes),
    ("7.1.1", "a bare LF in an extension", "<h>;a\nb\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1.1", "a bare LF as the end of an extension", "<h>;a\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1.1", "a bare CR in an extension", "<h>;a\rb\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1.1", "a chunk in an extension", "<h>;a\r0\r\n\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "no size", "\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "an extension of no size", ";a\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a minus", "-<h>\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a minus one", "-1\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a plus", "+<h>\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "0x", "0x<h>\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a space before", " <h>\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a tab before", "\t<h>\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a letter after", "<h>g\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a low line within", "2_b\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a comma after", "<h>,\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "NUL after", "<h>\0\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a vertical tab after", "<h>\x0b\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a second number", "<h> 0\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "sixteen digits of the largest", "ffffffffffffffff\r\n<b>\r\n0\r\n\r\n", LARGE),
    ("7.1", "2^64 and the right size", "10000000000000002b\r\n<b>\r\n0\r\n\r\n", LARGE),
    ("7.1", "2^32 and the right size", "10000002b\r\n<b>\r\n0\r\n\r\n", LARGE),
    ("7.1", "2^63", "8000000000000000\r\n<b>\r\n0\r\n\r\n", LARGE),
    ("7.1", "a bare LF after a size", "<h>\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a bare CR after a size", "<h>\r<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "two CRs after a size", "<h>\r\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "nothing after the data", "<h>\r\n<b>0\r\n\r\n", BAD),
    ("7.1", "a bare LF after the data", "<h>\r\n<b>\n0\r\n\r\n", BAD),
    ("7.1", "a bare CR after the data", "<h>\r\n<b>\r0\r\n\r\n", BAD),
    ("7.1", "two other bytes after the data", "<h>\r\n<b>xx0\r\n\r\n", BAD),
    ("7.1", "a LF and a CR after the data", "<h>\r\n<b>\n\r0\r\n\r\n", BAD),
    ("7.1", "more data than announced", "<h>\r\n<b>x\r\n0\r\n\r\n", BAD),
    ("7.1", "less data than announced", "2c\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1", "a bare LF after the last size", "<h>\r\n<b>\r\n0\n\r\n", BAD),
    ("7.1", "a bare CR after the last size", "<h>\r\n<b>\r\n0\r\r\n", BAD),
    ("7.1.2", "a trailer", "<h>\r\n<b>\r\n0\r\nx-sum: 1\r\n\r\n", Passes),
    ("7.1.2", "two trailers", "<h>\r\n<b>\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n", Passes),
    ("7.1.2", "a trailer without a value", "<h>\r\n<b>\r\n0\r\nx-sum:\r\n\r\n", Passes),
    ("7.1.2", "white space before a trailer", "<h>\r\n<b>\r\n0\r\n x-sum: 1\r\n\r\n", BAD),
    ("7.1.2", "a folded trailer", "<h>\r\n<b>\r\n0\r\nx-sum: 1\r\n 2\r\n\r\n", BAD),
    ("7.1.2", "NUL in a trailer", "<h>\r\n<b>\r\n0\r\nx-sum: \0\r\n\r\n", BAD),
    ("7.1.2", "a bare CR in a trailer", "<h>\r\n<b>\r\n0\r\nx-sum: 1\r2\r\n\r\n", BAD),
    ("7.1.1", "NUL in an extension", "<h>;a\0\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1.1", "a control byte in an extension", "<h>;a\x01\r\n<b>\r\n0\r\n\r\n", BAD),
    ("7.1.2", "a bare LF after a trailer", "<h>\r\n<b>\r\n0\r\nx-sum: 1\n\r\n", BAD),
    ("7.1.2", "a bare LF after the trailers", "<h>\r\n<b>\r\n0\r\n\n", BAD),
];

/// The same, of [`LAX`] and [`OPEN`] rows.
const BODIES_LEFT_OPEN: &[Row] = &[
    ("7.1.2", "a trailer without a colon", "<h>\r\n<b>\r\n0\r\nx-sum\r\n\r\n", LAX),
    ("7.1.2", "a trailer without a name", "<h>\r\n<b>\r\n0\r\n: 1\r\n\r\n", LAX),
    ("7.1.2", "a space before the colon of a trailer", "<h>\r\n<b>\r\n0\r\nx-sum : 1\r\n\r\n", LAX),
    ("7.1", "a space after a size", "<h> \r\n<b>\r\n0\r\n\r\n", LAX),
    ("7.1", "a tab after a size", "<h>\t\r\n<b>\r\n0\r\n\r\n", LAX),
    ("7.1.1", "white space around an extension", "<h> ; a = b\r\n<b>\r\n0\r\n\r\n", OPEN),
    ("7.1.1", "an extension without a name", "<h>;\r\n<b>\r\n0\r\n\r\n", LAX),
    ("7.1.1", "an extension without a name, and a value", "<h>;=b\r\n<b>\r\n0\r\n\r\n", LAX),
    ("7.1.1", "an extension without an end of its quotes", "<h>;a=\"b\r\n<b>\r\n0\r\n\r\n", LAX),
    ("7.1", "seventeen digits", "000000000000000<h>\r\n<b>\r\n0\r\n\r\n", OPEN),
    ("7.1.2", "a trailer that is a length", "<h>\r\n<b>\r\n0\r\ncontent-length: 7\r\n\r\n", OPEN),
    ("7.1.2", "a trailer that is a coding", "<h>\r\n<b>\r\n0\r\ntransfer-encoding: gzip\r\n\r\n", OPEN),
    ("7.1.2", "a trailer that is a host", "<h>\r\n<b>\r\n0\r\nhost: elsewhere\r\n\r\n", OPEN),
    ("7.1.2", "a trailer that is a key", "<h>\r\n<b>\r\n0\r\nauthorization: Bearer other\r\n\r\n", OPEN),
    ("7.1.2", "a trailer that ends the connection", "<h>\r\n<b>\r\n0\r\nconnection: x\r\n\r\n", OPEN),
];

fn with_body(body: &str) -> String {
    let body = body.replace("<rest>", &super::BODY[1..]);
    filled(&format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{body}"))
}

#[tokio::test]
async fn chunks_are_read_by_the_letter() {
    let stage = Stage::new().await;
    stage.claim(BODIES, with_body).await;
    stage.claim(BODIES_LEFT_OPEN, with_body).await;
}

#[tokio::test]
async fn what_a_trailer_says_becomes_no_field_of_the_request() {
    let stage = Stage::new().await;
    for name in ["content-length", "transfer-encoding", "authorization", "host", "x-sum", "content-type", "connection"]
    {
        let body = format!("<h>\r\n<b>\r\n0\r\n{name}: in-a-trailer\r\n\r\n");
        let outcome = stage.play(with_body(&body).as_bytes()).await;
        assert_eq!(outcome.fault(Want::Either), None, "{name}: {outcome:?}");
        for heard in outcome.heard {
            assert!(!heard.head.contains("in-a-trailer"), "{name}: {}", heard.head);
        }
    }
}

#[tokio::test]
async fn what_stands_beside_the_chunks_has_a_limit() {
    let stage = Stage::new().await;
    let long = "x".repeat(70_000);
    let zeros = "0".repeat(70_000);
    let extended: String = filled("<b>").chars().map(|byte| format!("1;{}\r\n{byte}\r\n", "x".repeat(4000))).collect();
    for (what, body, want) in [
        ("a long extension", format!("<h>;{long}\r\n<b>\r\n0\r\n\r\n"), BAD),
        ("many extensions", format!("{extended}0\r\n\r\n"), BAD),
        ("a long trailer", format!("<h>\r\n<b>\r\n0\r\nx-sum: {long}\r\n\r\n"), Refused(&[400, 431])),
        ("many trailers", format!("<h>\r\n<b>\r\n0\r\n{}\r\n", "x-sum: 1\r\n".repeat(4000)), Refused(&[400, 431])),
        ("a long size", format!("{zeros}<h>\r\n<b>\r\n0\r\n\r\n"), BAD),
        ("much white space after a size", format!("<h>{}\r\n<b>\r\n0\r\n\r\n", " ".repeat(70_000)), BAD),
    ] {
        stage.claim(&[("7.1.1", what, "", want)], |_| with_body(&body)).await;
    }
}

#[tokio::test]
async fn a_body_in_chunks_of_a_byte_is_the_same_body() {
    let stage = Stage::new().await;
    let bytes: String = super::BODY.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
    stage.claim(&[("7.1", "chunks of a byte", "", Passes)], |_| with_body(&format!("{bytes}0\r\n\r\n"))).await;
}
