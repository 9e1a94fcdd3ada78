//! Heads of requests: request lines, targets, hosts and fields (RFC 9112, 2.2, 3 and 5).

use super::{BAD, LAX, OPEN, Row, Stage, Want, filled};
use Want::{Own, Passes, PassesLast, Refused};

/// A version of HTTP that is none, or is another than this one.
const VERSION: Want = Refused(&[400, 505]);
/// A method that no endpoint has.
const METHOD: Want = Own(&[400, 405, 501]);

/// In place of the request line, its end included.
const LINES: &[Row] = &[
    ("3", "a sound line", "POST /v1/chat/completions HTTP/1.1\r\n", Passes),
    ("3", "two spaces before the target", "POST  /v1/chat/completions HTTP/1.1\r\n", BAD),
    ("3", "two spaces before the version", "POST /v1/chat/completions  HTTP/1.1\r\n", BAD),
    ("3", "a tab in place of a space", "POST\t/v1/chat/completions HTTP/1.1\r\n", BAD),
    ("3", "a tab before the version", "POST /v1/chat/completions\tHTTP/1.1\r\n", BAD),
    ("3", "a vertical tab in place of a space", "POST\x0b/v1/chat/completions HTTP/1.1\r\n", BAD),
    ("3", "a space at the end", "POST /v1/chat/completions HTTP/1.1 \r\n", BAD),
    ("3", "a space at the beginning", " POST /v1/chat/completions HTTP/1.1\r\n", BAD),
    ("3", "a word too many", "POST /v1/chat/completions HTTP/1.1 x\r\n", BAD),
    ("3", "a request line as the version's end", "POST /v1/chat/completions HTTP/1.1GET / HTTP/1.1\r\n", BAD),
    ("3", "nothing but a method", "POST\r\n", BAD),
    ("3", "no target", "POST HTTP/1.1\r\n", BAD),
    ("3", "an empty target", "POST  HTTP/1.1\r\n", BAD),
    ("2.2", "a bare CR in the line", "POST /v1/chat\r/completions HTTP/1.1\r\n", BAD),
    ("2.2", "a bare CR after the version", "POST /v1/chat/completions HTTP/1.1\r\r\n", BAD),
    ("2.2", "a bare CR as the end", "POST /v1/chat/completions HTTP/1.1\rhost: y\r\n", BAD),
    ("2.2", "an empty line before it", "\r\nPOST /v1/chat/completions HTTP/1.1\r\n", Passes),
    ("2.2", "three empty lines before it", "\r\n\r\n\r\nPOST /v1/chat/completions HTTP/1.1\r\n", Passes),
    ("2.2", "white space before the first field", "POST /v1/chat/completions HTTP/1.1\r\n x-a: 1\r\n", BAD),
    ("2.2", "a line of white space", "POST /v1/chat/completions HTTP/1.1\r\n \t\r\n", BAD),
    ("2.3", "no version", "POST /v1/chat/completions\r\n", VERSION),
    ("2.3", "HTTP/0.9 by name", "POST /v1/chat/completions HTTP/0.9\r\n", VERSION),
    ("2.3", "HTTP/2.0", "POST /v1/chat/completions HTTP/2.0\r\n", VERSION),
    ("2.3", "HTTP/2", "POST /v1/chat/completions HTTP/2\r\n", VERSION),
    ("2.3", "HTTP/3", "POST /v1/chat/completions HTTP/3\r\n", VERSION),
    ("2.3", "HTTP/1", "POST /v1/chat/completions HTTP/1\r\n", VERSION),
    ("2.3", "HTTP/1.", "POST /v1/chat/completions HTTP/1.\r\n", VERSION),
    ("2.3", "HTTP/11", "POST /v1/chat/completions HTTP/11\r\n", VERSION),
    ("2.3", "HTTP/1.10", "POST /v1/chat/completions HTTP/1.10\r\n", VERSION),
    ("2.3", "HTTP/01.1", "POST /v1/chat/completions HTTP/01.1\r\n", VERSION),
    ("2.3", "HTTP/-1.1", "POST /v1/chat/completions HTTP/-1.1\r\n", VERSION),
    ("2.3", "a version in small letters", "POST /v1/chat/completions http/1.1\r\n", VERSION),
    ("2.3", "another protocol", "POST /v1/chat/completions ICY/1.1\r\n", VERSION),
    ("2.3", "HTTP/1.0", "POST /v1/chat/completions HTTP/1.0\r\n", PassesLast),
    ("3.1", "a method in small letters", "post /v1/chat/completions HTTP/1.1\r\n", METHOD),
    ("3.1", "a method that nobody knows", "BREW /v1/chat/completions HTTP/1.1\r\n", METHOD),
    ("3.1", "a method of signs", "!#$%&'*+-.^_`|~ /v1/chat/completions HTTP/1.1\r\n", METHOD),
    ("3.1", "TRACE", "TRACE /v1/chat/completions HTTP/1.1\r\n", METHOD),
    ("3.1", "CONNECT with a path", "CONNECT /v1/chat/completions HTTP/1.1\r\n", METHOD),
    ("3.1", "CONNECT", "CONNECT x:80 HTTP/1.1\r\n", Own(&[400, 404, 405, 501])),
    ("3.1", "PUT where it is not known", "PUT /v1/chat/completions HTTP/1.1\r\n", METHOD),
    ("3.1", "a bracket in the method", "PO(ST /v1/chat/completions HTTP/1.1\r\n", BAD),
    ("3.1", "a colon in the method", "POST: /v1/chat/completions HTTP/1.1\r\n", BAD),
    ("3.1", "NUL in the method", "PO\0ST /v1/chat/completions HTTP/1.1\r\n", BAD),
    ("3.1", "a letter beyond ASCII in the method", "PÖST /v1/chat/completions HTTP/1.1\r\n", BAD),
    ("3.2", "NUL in the target", "POST /v1/chat\0/completions HTTP/1.1\r\n", BAD),
    ("3.2", "a control byte in the target", "POST /v1/chat\x01/completions HTTP/1.1\r\n", BAD),
    ("3.2", "DEL in the target", "POST /v1/chat\x7f/completions HTTP/1.1\r\n", BAD),
    ("3.2", "a space in the target", "POST /v1/chat /completions HTTP/1.1\r\n", BAD),
    ("3.2", "a target that is no path", "POST v1/chat/completions HTTP/1.1\r\n", Own(&[400, 404])),
    ("3.2.2", "the absolute form", "POST http://x/v1/chat/completions HTTP/1.1\r\n", Passes),
    ("3.2.2", "another authority than the host's", "POST http://proxy/v1/chat/completions HTTP/1.1\r\n", Passes),
    ("3.2.3", "the authority form without CONNECT", "POST x:80 HTTP/1.1\r\n", Own(&[400, 404])),
    ("3.2.4", "the asterisk without OPTIONS", "POST * HTTP/1.1\r\n", Own(&[400, 404, 405])),
    ("3.2.4", "the asterisk", "OPTIONS * HTTP/1.1\r\n", Own(&[200, 204, 400, 404, 405])),
    ("3.2.1", "an encoded NUL and line end", "POST /v1/chat/completions?x=%00%0d%0a HTTP/1.1\r\n", Passes),
];

/// The same, of [`LAX`] and [`OPEN`] rows.
const LINES_LEFT_OPEN: &[Row] = &[
    ("2.2", "a bare LF as its end", "POST /v1/chat/completions HTTP/1.1\n", OPEN),
    ("2.2", "a bare LF before it", "\nPOST /v1/chat/completions HTTP/1.1\r\n", OPEN),
    ("2.3", "HTTP/1.2, which is to be taken for 1.1", "POST /v1/chat/completions HTTP/1.2\r\n", OPEN),
    ("2.3", "HTTP/1.9", "POST /v1/chat/completions HTTP/1.9\r\n", OPEN),
    ("3.2", "a fragment", "POST /v1/chat/completions#x HTTP/1.1\r\n", LAX),
    ("3.2", "a letter beyond ASCII in the target", "POST /v1/chat/completions?ö HTTP/1.1\r\n", LAX),
    ("3.2", "signs that no target has", "POST /v1/chat/completions?\"<>\\^`{|} HTTP/1.1\r\n", OPEN),
    ("3.2.2", "another scheme", "POST ftp://x/v1/chat/completions HTTP/1.1\r\n", OPEN),
    ("3.2.2", "an authority with a user", "POST http://u@x/v1/chat/completions HTTP/1.1\r\n", LAX),
];

/// In place of the host.
const HOSTS: &[Row] = &[
    ("3.2", "one", "host: x\r\n", Passes),
    ("3.2", "one with a port", "host: x:8000\r\n", Passes),
    ("3.2", "no port after the colon", "host: x:\r\n", Passes),
    ("3.2", "another one", "host: elsewhere\r\n", Own(&[403])),
    ("3.2", "two, of which the second is another one", "host: x\r\nhost: elsewhere\r\n", Own(&[400, 403])),
    ("3.2", "two, of which the first is another one", "host: elsewhere\r\nhost: x\r\n", Own(&[400, 403])),
    ("3.2", "two in one", "host: x, proxy\r\n", Own(&[400, 403])),
    ("3.2", "a path", "host: x/v1\r\n", Own(&[400, 403])),
    ("3.2", "a space", "host: x y\r\n", Own(&[400, 403])),
];

/// The same, of [`LAX`] and [`OPEN`] rows.
const HOSTS_LEFT_OPEN: &[Row] = &[
    ("3.2", "an empty one", "host:\r\n", LAX),
    ("3.2", "a port that is no number", "host: x:y\r\n", LAX),
    ("3.2", "none", "", OPEN),
    ("3.2", "the same one twice", "host: x\r\nhost: x\r\n", OPEN),
    ("3.2", "a user", "host: u@x\r\n", OPEN),
];

/// Fields beside sound ones.
const FIELDS: &[Row] = &[
    ("5", "a sound field", "x-a: 1\r\n", Passes),
    ("5", "no value", "x-a:\r\n", Passes),
    ("5", "no space after the colon", "x-a:1\r\n", Passes),
    ("5", "white space around the value", "x-a: \t 1 \t \r\n", Passes),
    ("5", "a tab within the value", "x-a: 1\t2\r\n", Passes),
    ("5", "a second colon", "x-a:: 1\r\n", Passes),
    ("5", "a name of signs", "!#$%&'*+-.^_`|~: 1\r\n", Passes),
    ("5", "bytes beyond ASCII in the value", "x-a: ö\r\n", Passes),
    ("5", "a name like that of the length", "content_length: 7\r\n", Passes),
    ("5", "a name like that of the coding", "transfer_encoding: chunked\r\n", Passes),
    ("5.1", "a space before the colon", "x-a : 1\r\n", BAD),
    ("5.1", "a tab before the colon", "x-a\t: 1\r\n", BAD),
    ("5.1", "a space before the colon of a length", "content-length : 7\r\n", BAD),
    ("5.1", "a space before the colon of a coding", "transfer-encoding : chunked\r\n", BAD),
    ("5.1", "a vertical tab before the colon of a coding", "transfer-encoding\x0b: chunked\r\n", BAD),
    ("5.1", "a NUL before the colon of a coding", "transfer-encoding\0: chunked\r\n", BAD),
    ("5.1", "an empty name", ": 1\r\n", BAD),
    ("5.1", "no colon", "x-a\r\n", BAD),
    ("5.1", "a space in the name", "x a: 1\r\n", BAD),
    ("5.1", "a bracket in the name", "x(a: 1\r\n", BAD),
    ("5.1", "a quote in the name", "\"x\": 1\r\n", BAD),
    ("5.1", "a slash in the name", "x/a: 1\r\n", BAD),
    ("5.1", "NUL in the name", "x\0a: 1\r\n", BAD),
    ("5.1", "a control byte in the name", "x\x01a: 1\r\n", BAD),
    ("5.1", "a letter beyond ASCII in the name", "xä: 1\r\n", BAD),
    ("5.2", "a folded line", "x-a: 1\r\n 2\r\n", BAD),
    ("5.2", "a line folded by a tab", "x-a: 1\r\n\t2\r\n", BAD),
    ("5.2", "a folded coding", "transfer-encoding:\r\n chunked\r\n", BAD),
    ("5.2", "a folded length", "x-a: 1\r\n content-length: 7\r\n", BAD),
    ("5.2", "a line folded to nothing", "x-a: 1\r\n \r\n", BAD),
    ("5.5", "NUL in the value", "x-a: 1\x002\r\n", BAD),
    ("5.5", "a control byte in the value", "x-a: 1\x012\r\n", BAD),
    ("5.5", "a vertical tab in the value", "x-a: 1\x0b2\r\n", BAD),
    ("5.5", "a form feed in the value", "x-a: 1\x0c2\r\n", BAD),
    ("5.5", "an escape in the value", "x-a: 1\x1b2\r\n", BAD),
    ("5.5", "DEL in the value", "x-a: 1\x7f2\r\n", BAD),
    ("2.2", "a bare CR in the value", "x-a: 1\r2\r\n", BAD),
    ("2.2", "a bare CR and what looks like a length", "x-a: 1\rcontent-length: 7\r\n", BAD),
    ("2.2", "a bare CR at the end", "x-a: 1\r\r\n", BAD),
    ("2.2", "a bare CR in the name", "x\ra: 1\r\n", BAD),
    ("2.2", "a bare CR as the end of the head", "x-a: 1\r\n\rx-b: 1\r\n", BAD),
];

/// The same, of [`LAX`] and [`OPEN`] rows.
const FIELDS_LEFT_OPEN: &[Row] = &[
    ("2.2", "a bare LF as the end", "x-a: 1\n", OPEN),
    ("2.2", "a bare LF before a coding", "x-a: 1\nx-transfer-encoding: chunked\r\n", OPEN),
];

fn with_line(line: &str) -> String {
    filled(&format!("{line}host: x\r\ncontent-length: <n>\r\n\r\n<b>"))
}

fn with_host(host: &str) -> String {
    filled(&format!("POST /v1/chat/completions HTTP/1.1\r\n{host}content-length: <n>\r\n\r\n<b>"))
}

fn with_fields(fields: &str) -> String {
    filled(&format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{fields}content-length: <n>\r\n\r\n<b>"))
}

#[tokio::test]
async fn a_request_line_has_one_form_and_every_other_one_is_refused() {
    let stage = Stage::new().await;
    stage.claim(LINES, with_line).await;
    stage.claim(LINES_LEFT_OPEN, with_line).await;
}

#[tokio::test]
async fn a_request_has_one_host() {
    let stage = Stage::new().await;
    stage.claim(HOSTS, with_host).await;
    stage.claim(HOSTS_LEFT_OPEN, with_host).await;
}

#[tokio::test]
async fn a_field_that_two_readers_could_read_differently_is_refused() {
    let stage = Stage::new().await;
    stage.claim(FIELDS, with_fields).await;
    stage.claim(FIELDS_LEFT_OPEN, with_fields).await;
    // With the fields at the end of the head, where they are the last that is read before the body.
    stage.claim(FIELDS, |fields| with_fields("").replace("\r\n\r\n", &format!("\r\n{fields}\r\n"))).await;
}

#[tokio::test]
async fn a_head_is_as_long_as_it_may_be_and_no_longer() {
    let stage = Stage::new().await;
    let long = "x".repeat(70_000);
    let (large, many) = (format!("x-a: {long}\r\n"), "x-a: 1\r\n".repeat(257));
    let name = format!("{long}: 1\r\n");
    let (target, method) = (format!("POST /{long} HTTP/1.1\r\n"), format!("{long} / HTTP/1.1\r\n"));
    let longer_method = format!("{} /v1/chat/completions HTTP/1.1\r\n", "X".repeat(300));
    for (section, what, bytes, want) in [
        ("5", "a long value", with_fields(&large), Refused(&[431])),
        ("5", "a long name", with_fields(&name), Refused(&[400, 431])),
        ("5", "many fields", with_fields(&many), Refused(&[431])),
        ("5", "half as many", with_fields(&"x-a: 1\r\n".repeat(128)), Passes),
        ("3", "a long target", with_line(&target), Refused(&[414, 431])),
        ("3.1", "a long method", with_line(&method), Refused(&[400, 431, 501])),
        ("3.1", "a method of 300 letters", with_line(&longer_method), METHOD),
        ("2.2", "a head without an end", format!("GET / HTTP/1.1\r\n{}", "x-a: 1\r\n".repeat(20_000)), Refused(&[431])),
    ] {
        stage.claim(&[(section, what, "", want)], |_| bytes.clone()).await;
    }
}
