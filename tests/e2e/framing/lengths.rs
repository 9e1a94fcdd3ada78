//! The length of a request's body: Content-Length and Transfer-Encoding, and both (RFC 9112, 6.1 to 6.3).

use super::client::SENTINEL;
use super::{BAD, CODING, OPEN, Row, Stage, Want, filled};
use Want::{Own, Passes, Refused, Starved};

/// Lengths beside a body of that length.
const LENGTHS: &[Row] = &[
    ("6.2", "a length", "content-length: <n>\r\n", Passes),
    ("6.2", "a length in other letters", "CONTENT-LENGTH:<n>\r\n", Passes),
    ("6.2", "white space around it", "content-length:\t <n> \t\r\n", Passes),
    ("6.2", "zeros before it", "content-length: 000<n>\r\n", Passes),
    ("6.2", "a plus", "content-length: +<n>\r\n", BAD),
    ("6.2", "a minus", "content-length: -<n>\r\n", BAD),
    ("6.2", "minus one", "content-length: -1\r\n", BAD),
    ("6.2", "a minus and nothing", "content-length: -0\r\n", BAD),
    ("6.2", "a hexadecimal number", "content-length: 0x<h>\r\n", BAD),
    ("6.2", "a fraction", "content-length: <n>.0\r\n", BAD),
    ("6.2", "an exponent", "content-length: 4e1\r\n", BAD),
    ("6.2", "a low line", "content-length: 4_3\r\n", BAD),
    ("6.2", "two numbers", "content-length: <n> <n>\r\n", BAD),
    ("6.2", "a letter after it", "content-length: <n>a\r\n", BAD),
    ("6.2", "a parameter", "content-length: <n>;a=1\r\n", BAD),
    ("6.2", "a vertical tab before it", "content-length: \x0b<n>\r\n", BAD),
    ("6.2", "a vertical tab after it", "content-length: <n>\x0b\r\n", BAD),
    ("6.2", "NUL after it", "content-length: <n>\0\r\n", BAD),
    ("6.2", "quotes", "content-length: \"<n>\"\r\n", BAD),
    ("6.2", "digits beyond ASCII", "content-length: ４３\r\n", BAD),
    ("6.2", "nothing", "content-length:\r\n", BAD),
    ("6.2", "white space", "content-length: \t\r\n", BAD),
    ("6.2", "a word", "content-length: chunked\r\n", BAD),
    ("6.3", "two that differ in one line", "content-length: <n>, 7\r\n", BAD),
    ("6.3", "two that differ in two lines", "content-length: <n>\r\ncontent-length: 7\r\n", BAD),
    ("6.3", "two that differ, the smaller first", "content-length: 7\r\ncontent-length: <n>\r\n", BAD),
    ("6.3", "two of which one is nothing", "content-length: <n>\r\ncontent-length: 0\r\n", BAD),
    ("6.3", "three of which one differs", "content-length: <n>\r\ncontent-length: <n>\r\ncontent-length: 7\r\n", BAD),
    ("6.3", "one beside one that is none", "content-length: <n>\r\ncontent-length: x\r\n", BAD),
    ("6.3", "one beside an empty one", "content-length: <n>\r\ncontent-length:\r\n", BAD),
    ("6.3", "one with a comma", "content-length: <n>,\r\n", BAD),
    ("6.3", "a comma and one", "content-length: ,<n>\r\n", BAD),
    ("6.2", "2^64", "content-length: 18446744073709551616\r\n", Refused(&[400, 413])),
    ("6.2", "2^64 and the right number", "content-length: 18446744073709551659\r\n", Refused(&[400, 413])),
    ("6.2", "2^64 - 1", "content-length: 18446744073709551615\r\n", Refused(&[400, 413, 431])),
    ("6.2", "2^64 - 2", "content-length: 18446744073709551614\r\n", Refused(&[400, 413, 431])),
    ("6.2", "2^63", "content-length: 9223372036854775808\r\n", Refused(&[400, 413])),
    ("6.2", "2^32 and the right number", "content-length: 4294967339\r\n", Refused(&[413])),
    ("6.2", "thirty digits", "content-length: 999999999999999999999999999999\r\n", Refused(&[400, 413])),
];

/// The same, of [`OPEN`] rows.
const LENGTHS_LEFT_OPEN: &[Row] = &[
    ("6.3", "the same twice in one line", "content-length: <n>, <n>\r\n", OPEN),
    ("6.3", "the same in two lines", "content-length: <n>\r\ncontent-length: <n>\r\n", OPEN),
    ("6.3", "the same in two lines, with a zero", "content-length: <n>\r\ncontent-length: 0<n>\r\n", OPEN),
    ("6.2", "twenty digits", "content-length: 000000000000000000<n>\r\n", OPEN),
];

/// Codings beside a body in one chunk.
const CODINGS: &[Row] = &[
    ("6.1", "chunked", "transfer-encoding: chunked\r\n", Passes),
    ("6.1", "chunked in other letters", "Transfer-Encoding: ChunKed\r\n", Passes),
    ("6.1", "white space around it", "transfer-encoding:\t chunked \t\r\n", Passes),
    ("6.1", "an unknown one", "transfer-encoding: xchunked\r\n", CODING),
    ("6.1", "a longer word", "transfer-encoding: chunkedx\r\n", CODING),
    ("6.1", "a shorter word", "transfer-encoding: chunke\r\n", CODING),
    ("6.1", "a space in the word", "transfer-encoding: chun ked\r\n", CODING),
    ("6.1", "quotes", "transfer-encoding: \"chunked\"\r\n", CODING),
    ("6.1", "a parameter", "transfer-encoding: chunked;q=1\r\n", CODING),
    ("6.1", "a vertical tab before it", "transfer-encoding: \x0bchunked\r\n", CODING),
    ("6.1", "a vertical tab after it", "transfer-encoding: chunked\x0b\r\n", CODING),
    ("6.1", "NUL after it", "transfer-encoding: chunked\0\r\n", CODING),
    ("6.1", "a byte beyond ASCII", "transfer-encoding: chunked\u{a0}\r\n", CODING),
    ("6.1", "nothing", "transfer-encoding:\r\n", CODING),
    ("6.1", "a comma", "transfer-encoding: ,\r\n", CODING),
    ("6.1", "identity", "transfer-encoding: identity\r\n", CODING),
    ("6.1", "gzip alone", "transfer-encoding: gzip\r\n", CODING),
    ("6.1", "gzip after it", "transfer-encoding: chunked, gzip\r\n", CODING),
    ("6.1", "identity after it", "transfer-encoding: chunked, identity\r\n", CODING),
    ("6.1", "gzip after it in a second line", "transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n", CODING),
    ("6.1", "nothing in a second line", "transfer-encoding: chunked\r\ntransfer-encoding:\r\n", CODING),
    ("6.1", "identity in a second line", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", CODING),
    ("6.1", "a length and identity", "content-length: <n>\r\ntransfer-encoding: identity\r\n", CODING),
    ("6.1", "a length and an unknown one", "content-length: <n>\r\ntransfer-encoding: xchunked\r\n", CODING),
    ("6.1", "a length and nothing", "content-length: <n>\r\ntransfer-encoding:\r\n", CODING),
    ("6.1", "a length before it", "content-length: <n>\r\ntransfer-encoding: chunked\r\n", BAD),
    ("6.1", "a length after it", "transfer-encoding: chunked\r\ncontent-length: <n>\r\n", BAD),
    ("6.1", "a length of nothing before it", "content-length: 0\r\ntransfer-encoding: chunked\r\n", BAD),
    ("6.1", "a length that is none after it", "transfer-encoding: chunked\r\ncontent-length: x\r\n", BAD),
    ("6.1", "twice in one line", "transfer-encoding: chunked, chunked\r\n", CODING),
    ("6.1", "twice in two lines", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", CODING),
    ("6.1", "gzip before it", "transfer-encoding: gzip, chunked\r\n", CODING),
    ("6.1", "gzip before it in a line of its own", "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", CODING),
    ("6.1", "identity before it", "transfer-encoding: identity, chunked\r\n", CODING),
    ("6.1", "an unknown one before it", "transfer-encoding: x, chunked\r\n", CODING),
    ("6.1", "nothing in a first line", "transfer-encoding:\r\ntransfer-encoding: chunked\r\n", CODING),
];

/// The same, of [`OPEN`] rows.
const CODINGS_LEFT_OPEN: &[Row] = &[
    ("6.1", "an empty element before it", "transfer-encoding: , chunked\r\n", OPEN),
    ("6.1", "an empty element after it", "transfer-encoding: chunked,\r\n", OPEN),
];

fn with_length(fields: &str) -> String {
    filled(&format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{fields}\r\n<b>"))
}

fn with_coding(fields: &str) -> String {
    filled(&format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{fields}\r\n<h>\r\n<b>\r\n0\r\n\r\n"))
}

#[tokio::test]
async fn a_length_is_a_number_and_there_is_one() {
    let stage = Stage::new().await;
    stage.claim(LENGTHS, with_length).await;
    stage.claim(LENGTHS_LEFT_OPEN, with_length).await;
}

#[tokio::test]
async fn a_coding_is_chunked_and_there_is_no_length_beside_it() {
    let stage = Stage::new().await;
    stage.claim(CODINGS, with_coding).await;
    stage.claim(CODINGS_LEFT_OPEN, with_coding).await;
}

#[tokio::test]
async fn http_1_0_has_no_transfer_codings() {
    let stage = Stage::new().await;
    let coded = |fields: &str| with_coding(fields).replace("HTTP/1.1", "HTTP/1.0");
    let rows = [
        ("6.1", "chunked", "transfer-encoding: chunked\r\n", CODING),
        ("6.1", "chunked and a length", "transfer-encoding: chunked\r\ncontent-length: <n>\r\n", CODING),
        ("6.1", "chunked and to be kept", "connection: keep-alive\r\ntransfer-encoding: chunked\r\n", CODING),
        ("6.1", "identity", "transfer-encoding: identity\r\n", CODING),
    ];
    stage.claim(&rows, coded).await;
}

#[tokio::test]
async fn what_has_neither_length_nor_coding_has_no_body() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    client.send(format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n{SENTINEL}")).await;
    let own = client.answer().await.expect("an answer");
    assert_eq!(own.status, 400, "no body is no JSON: {own:?}");
    // What comes after the head is the next request, or nothing if the connection has ended.
    let next = client.answer().await;
    assert!(next.is_none_or(|next| next.field("x-request-id") == Some("sentinel")));
    assert!(stage.provider.take().is_empty());
}

#[tokio::test]
async fn the_body_of_a_request_that_is_refused_unread_is_no_request() {
    let stage = Stage::new().await;
    let (smuggled, length) = (super::SMUGGLED, super::SMUGGLED.len());
    for (line, fields, statuses) in [
        ("POST /nowhere", "", &[404][..]),
        ("POST /v1/models", "", &[405]),
        ("TRACE /v1/chat/completions", "", &[405, 501]),
        ("GET /health", "", &[200]),
        ("POST /v1/chat/completions", "", &[400]),
        ("POST /v1/chat/completions", "content-encoding: br\r\n", &[400, 415]),
        ("POST /v1/chat/completions", "origin: http://elsewhere\r\n", &[403]),
        ("POST /v1/chat/../chat/completions", "", &[400, 404]),
    ] {
        for framed in [
            format!("content-length: {length}\r\n\r\n{smuggled}"),
            format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
        ] {
            let bytes = format!("{line} HTTP/1.1\r\nhost: x\r\n{fields}{framed}");
            stage.claim(&[("6.3", "a request as a body", "", Own(statuses))], |_| bytes.clone()).await;
        }
    }
    let large = format!("content-length: 99999999\r\n\r\n{smuggled}");
    let rows = [("6.3", "a request in a body that is too large", "", Starved(&[413]))];
    stage.claim(&rows, |_| format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{large}")).await;
}
