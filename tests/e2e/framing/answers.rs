//! Answers of providers: the same rules in the other direction (RFC 9112, 4 to 9).
//!
//! A provider says the bytes of a row, and after what ends an answer a second one that nobody asked for. Nobody must ever
//! get that one. What cannot be read for certain is a failure: the next provider is asked, and the connection is closed.

mod table;

use super::client::Client;
use super::provider::{Provider, Then};
use super::{Proxy, before, fault};

/// What comes of the bytes of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gives {
    /// The client gets the answer, and the connection takes the next request.
    Kept,
    /// The client gets the answer, and the connection takes no other request.
    Last,
    /// The next provider answers.
    Fails,
    /// The client gets the answer, or the next provider answers; the connection takes no other request.
    Either,
}

/// What is read as an answer although it should be a failure.
const LAX: Gives = Gives::Either;
/// What RFC 9112 lets a reader forgive, or leaves open.
const OPEN: Gives = Gives::Either;

/// The section of RFC 9112, what is so, the answer, and what comes of it.
type Row = (&'static str, &'static str, &'static str, Then, Gives);

/// The answer of the rows.
const GOOD: &str = r#"{"choices":[{"message":{"content":"from the row, not the second"}}]}"#;
/// What nobody has asked for.
const SURPLUS: &str = r#"{"choices":[{"message":{"content":"surplus"}}]}"#;

/// `text` with its placeholders filled; see [`table`] and [`super::filled`].
fn filled(text: &str) -> String {
    let (n, h) = (GOOD.len().to_string(), format!("{:x}", GOOD.len()));
    let text = text
        .replace("<ok>", "HTTP/1.1 200 OK\r\n")
        .replace("<chunked>", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .replace("<chunks>", "<h>\r\n<b>\r\n0\r\n\r\n")
        .replace("<length>", "content-length: <n>\r\n\r\n<b>");
    text.replace("<n>", &n).replace("<h>", &h).replace("<rest>", &GOOD[1..]).replace("<b>", GOOD)
}

fn surplus() -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{SURPLUS}", SURPLUS.len())
}

/// A proxy before a provider that says what rows say, and another one that is asked when that fails.
struct Stage {
    a: Provider,
    b: Provider,
    proxy: Proxy,
}

impl Stage {
    async fn new() -> Self {
        let (a, b) = (Provider::start().await, Provider::start().await);
        let proxy = before(&[("a", &a), ("b", &b)]).start().await;
        Self { a, b, proxy }
    }

    async fn chat(&self, user: &str) -> super::client::Came {
        let mut client = Client::connect(self.proxy.address()).await;
        let body = format!(r#"{{"model":"m","user":"{user}","messages":[]}}"#);
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        client.send(format!("{head}{body}")).await;
        client.answer().await.expect("an answer")
    }

    /// Plays rows before a proxy of their own, and claims that what should comes of them.
    async fn claim(table: &[Row]) {
        let stage = Self::new().await;
        let mut faults = Vec::new();
        // First those after which the connection is kept: none is kept any more to a provider that has said too much.
        let kept = table.iter().filter(|row| row.4 == Gives::Kept);
        for (section, what, text, then, gives) in kept.chain(table.iter().filter(|row| row.4 != Gives::Kept)) {
            if let Some(fault) = stage.play(&filled(text), *then, *gives).await {
                faults.push(format!("section {section}, {what}: {text:.400?}\n{gives:?}, but {fault}"));
            }
        }
        assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), table.len(), faults.join("\n\n"));
    }

    /// What is not as it should be.
    async fn play(&self, text: &str, then: Then, gives: Gives) -> Option<String> {
        // What is last and whole, or fails, may be followed by what looks like the next answer.
        let followed = then == Then::Stays && gives != Gives::Kept;
        self.a.say(if followed { format!("{text}{}", surplus()) } else { text.to_owned() }, then);
        let first = self.chat("first").await;
        let (told, helped) = (self.a.take(), self.b.take());
        let [told] = &told[..] else { return Some(format!("it is asked once, not {} times", told.len())) };
        let whole = first.status == 200 && first.text() == GOOD && helped.is_empty();
        let failed = first.status == 200 && first.text().contains("echo of first") && helped.len() == 1;
        let so = match gives {
            Gives::Kept | Gives::Last => whole,
            Gives::Fails => failed,
            Gives::Either => whole || failed,
        };
        // The next request must get an answer of its own.
        let second = self.chat("second").await;
        let next = self.a.take();
        let [next] = &next[..] else { return Some(format!("the next asks it once, not {} times", next.len())) };
        let kept = next.connection == told.connection;
        fault(so, &format!("the client gets what it should: {first:?}"))
            .or_else(|| fault(second.text().contains("echo of second"), &format!("the next gets its own: {second:?}")))
            .or_else(|| fault(kept == (gives == Gives::Kept), &format!("the connection is used as it should: {kept}")))
            .or_else(|| fault(self.b.take().is_empty(), "the next needs no other provider"))
    }
}

#[tokio::test]
async fn heads_of_answers_are_read_by_the_letter() {
    Stage::claim(table::LINES).await;
    Stage::claim(table::FIELDS).await;
    Stage::claim(table::HEADS_LEFT_OPEN).await;
}

#[tokio::test]
async fn the_end_of_an_answer_is_known_for_certain() {
    Stage::claim(table::LENGTHS).await;
    Stage::claim(table::CODINGS).await;
    Stage::claim(table::FRAMINGS_LEFT_OPEN).await;
}

#[tokio::test]
async fn chunks_of_answers_are_read_by_the_letter() {
    Stage::claim(table::CHUNKS).await;
    Stage::claim(table::CHUNKS_LEFT_OPEN).await;
}

#[tokio::test]
async fn an_answer_that_ends_early_is_a_failure_wherever_it_ends() {
    let stage = Stage::new().await;
    let length = filled("HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: <n>\r\n\r\n<b>");
    let chunked = filled(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;a=\"b\"\r\n{\r\n43\r\n<rest>\r\n0\r\nx-sum: 1\r\n\r\n",
    );
    for text in [length, chunked] {
        for end in 1..text.len() {
            let found = stage.play(&text[..end], Then::Closes, Gives::Fails).await;
            assert_eq!(found, None, "cut at {end}: {}", &text[..end]);
        }
    }
}

#[tokio::test]
async fn the_head_of_an_answer_is_as_long_as_it_may_be_and_no_longer() {
    let stage = Stage::new().await;
    let end = "content-length: <n>\r\n\r\n<b>";
    let long = "x".repeat(2 << 20);
    for (what, fields, gives) in [
        ("two hundred fields", "x-a: 1\r\n".repeat(200), Gives::Kept),
        ("a flood of fields", "x-a: 1\r\n".repeat(20_000), Gives::Fails),
        ("a value without end", format!("x-a: {long}\r\n"), Gives::Fails),
        ("a name without end", format!("{long}: 1\r\n"), Gives::Fails),
    ] {
        let found = stage.play(&filled(&format!("HTTP/1.1 200 OK\r\n{fields}{end}")), Then::Stays, gives).await;
        assert_eq!(found, None, "{what}");
    }
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    for (number, gives) in [(16, Gives::Kept), (17, Gives::Fails), (5000, Gives::Fails)] {
        let text = filled(&format!("{}HTTP/1.1 200 OK\r\n{end}", interim.repeat(number)));
        assert_eq!(stage.play(&text, Then::Stays, gives).await, None, "{number} interim answers");
    }
}

#[tokio::test]
async fn what_belongs_to_one_connection_does_not_reach_the_client() {
    let stage = Stage::new().await;
    let fields = "x-a: 1\r\nx-b: 2\r\nconnection: x-a, keep-alive, content-length\r\nkeep-alive: timeout=5\r\n\
                  set-cookie: a=b\r\nproxy-authenticate: Basic\r\ntrailer: x-sum\r\nupgrade: h2c\r\n";
    stage.a.say(filled(&format!("HTTP/1.1 200 OK\r\n{fields}content-length: <n>\r\n\r\n<b>")), Then::Stays);
    let came = stage.chat("it").await;
    assert_eq!((came.text().as_str(), came.field("x-b")), (GOOD, Some("2")));
    for name in ["x-a", "keep-alive", "set-cookie", "trailer", "upgrade", "connection"] {
        assert_eq!(came.field(name), None, "{name}: {}", came.head);
    }
}

#[tokio::test]
async fn a_trailer_of_an_answer_becomes_no_field_of_the_clients() {
    let stage = Stage::new().await;
    for name in ["content-length", "transfer-encoding", "x-sum", "x-request-id", "set-cookie"] {
        let text = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n<h>\r\n<b>\r\n0\r\n{name}: 7\r\n\r\n");
        let found = stage.play(&filled(&text), Then::Stays, Gives::Either).await;
        // A connection may be kept after a trailer or closed, so that alone may differ.
        assert!(found.is_none_or(|found| found.contains("the connection is used")), "{name}");
    }
}

#[tokio::test]
async fn an_answer_before_the_whole_request_is_an_answer() {
    let stage = Stage::new().await;
    let body = format!(r#"{{"model":"m","messages":[],"x":"{}"}}"#, "x".repeat(8 << 20));
    stage.a.say_at_once("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
    let mut client = Client::connect(stage.proxy.address()).await;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    client.send(format!("{head}{body}")).await;
    let came = client.answer().await.expect("an answer");
    // Whether it can be read before the connection is reset is the system's affair: then the next provider is asked.
    let helped = stage.b.take().len();
    assert!((came.status, helped) == (400, 0) || (came.status, helped) == (200, 1), "{came:?}");
    assert!(stage.chat("second").await.text().contains("echo of second"));
}

#[tokio::test]
async fn an_answer_that_has_no_body_whatever_it_says_has_none() {
    let stage = Stage::new().await;
    for (method, text) in [
        ("HEAD", "<ok>content-length: 99\r\n\r\n"),
        ("HEAD", "<ok>transfer-encoding: chunked\r\n\r\n"),
        ("HEAD", "<ok>\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("DELETE", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("DELETE", "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"),
    ] {
        // After the second one no connection is kept any more, so that it needs a proxy of its own.
        for (stage, surplus, kept) in [(&stage, String::new(), true), (&Stage::new().await, surplus(), false)] {
            stage.a.say(filled(text) + &surplus, Then::Stays);
            let mut client = Client::connect(stage.proxy.address()).await;
            client.send(format!("{method} /v1/files/x HTTP/1.1\r\nhost: x\r\n\r\n")).await;
            let came = client.answer_to(method).await.expect("an answer");
            assert!([200, 204, 304].contains(&came.status), "{method} {text}: {came:?}");
            assert!(client.serves().await, "{method} {text}: {came:?}");
            let told = stage.a.take()[0].connection;
            assert!(stage.chat("next").await.text().contains("echo of next"), "{method} {text}");
            assert_eq!(stage.a.take()[0].connection == told, kept, "{method} {text}");
        }
    }
}

#[tokio::test]
async fn a_stream_whose_chunks_go_wrong_ends_in_an_error_and_takes_its_connection_along() {
    let stage = Stage::new().await;
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"one\"}}]}\n\n";
    let first = format!("{:x}\r\n{event}\r\n", event.len());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    for wrong in [
        "zz\r\n",
        "-1\r\n",
        "5;a\nb\r\nhello\r\n",
        "2\r\nhello\r\n",
        "0\r\nbad trailer\r\n\r\n",
        "ffffffffffffffffff\r\n",
    ] {
        stage.a.say(format!("{head}{first}"), Then::Stays);
        stage.a.say_later(format!("{wrong}{}", surplus()));
        let mut client = Client::connect(stage.proxy.address()).await;
        let body = r#"{"model":"m","user":"it","stream":true,"messages":[]}"#;
        let asks = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        client.send(format!("{asks}{body}")).await;
        client.comes("\"one\"").await;
        stage.a.go_on();
        let came = client.answer().await.expect("an answer");
        assert!(came.text().contains("\"one\"") && came.text().contains("\"error\""), "{wrong:?}: {came:?}");
        assert!(!came.text().contains("surplus") && !came.text().contains("[DONE]"), "{wrong:?}: {came:?}");
        assert!(stage.b.take().is_empty(), "{wrong:?}: after the first content nobody else is asked");
        let told = stage.a.take()[0].connection;
        assert!(stage.chat("next").await.text().contains("echo of next"), "{wrong:?}");
        assert_ne!(stage.a.take()[0].connection, told, "{wrong:?}");
    }
}
