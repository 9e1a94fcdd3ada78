//! Several requests on a connection, and what a request says about it: pipelining, `Connection`, `Expect`, `Upgrade`
//! (RFC 9112, 9; RFC 9110, 7.6.1, 7.8 and 10.1.1).

use super::client::{Next, SENTINEL};
use super::{SMUGGLED, Stage, filled};

/// A request in which `user` is named, with these fields, whose body has this framing.
fn request(user: &str, fields: &str, chunked: bool) -> String {
    request_of("HTTP/1.1", user, fields, chunked)
}

fn request_of(version: &str, user: &str, fields: &str, chunked: bool) -> String {
    let body = format!(r#"{{"model":"m","user":"{user}","messages":[]}}"#);
    let length = body.len();
    let framed = if chunked {
        format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
    } else {
        format!("content-length: {length}\r\n\r\n{body}")
    };
    format!("POST /v1/chat/completions {version}\r\nhost: x\r\n{fields}{framed}")
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    let many: Vec<String> = (0..20).map(|number| request(&format!("u{number}-"), "", number % 2 == 0)).collect();
    client.send(many.concat()).await;
    for number in 0..20 {
        let answer = client.answer().await.expect("an answer");
        assert!(answer.text().contains(&format!("echo of u{number}-")), "{number}: {answer:?}");
    }
    let heard = stage.provider.take();
    assert!(heard.len() == 20 && heard.iter().all(|heard| heard.fault().is_none()), "{heard:?}");
    assert!(client.serves().await);
}

#[tokio::test]
async fn requests_of_several_kinds_in_one_segment_are_told_apart() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    let no_body = "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let (first, last) = (request("first", "", true), request("last", "", false));
    // Empty lines between requests are old clients' habit, and no requests.
    client.send(format!("{first}{SENTINEL}{no_body}\r\n\r\n{last}")).await;
    for (status, words) in [(200, "echo of first"), (200, ""), (404, ""), (200, "echo of last")] {
        let answer = client.answer().await.expect("an answer");
        assert!(answer.status == status && answer.text().contains(words), "{words}: {answer:?}");
    }
    assert_eq!(stage.provider.take().len(), 2);
    assert!(client.serves().await);
}

#[tokio::test]
async fn the_answer_to_head_has_no_body_that_the_next_answer_could_be_taken_for() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    client.send(format!("HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n{}", request("next", "", false))).await;
    assert_eq!(client.answer_to("HEAD").await.expect("an answer").status, 200);
    assert!(client.answer().await.expect("an answer").text().contains("echo of next"));
    assert!(client.serves().await);
}

#[tokio::test]
async fn after_the_last_request_of_a_connection_nothing_is_read_as_one() {
    let stage = Stage::new().await;
    for (what, bytes) in [
        ("close", request("it", "connection: close\r\n", false)),
        ("close in chunks", request("it", "connection: close\r\n", true)),
        ("close in other letters", request("it", "Connection: Close\r\n", false)),
        ("close among others", request("it", "connection: x-a, close\r\n", false)),
        ("close in a second line", request("it", "connection: x-a\r\nconnection: close\r\n", false)),
        ("close before keep-alive", request("it", "connection: close, keep-alive\r\n", false)),
        ("keep-alive before close", request("it", "connection: keep-alive, close\r\n", false)),
        ("HTTP/1.0", request_of("HTTP/1.0", "it", "", false)),
        ("HTTP/1.0 and close", request_of("HTTP/1.0", "it", "connection: close\r\n", false)),
    ] {
        let mut client = stage.client().await;
        client.send(format!("{bytes}{SMUGGLED}")).await;
        let answer = client.answer().await.expect("an answer");
        assert!(answer.status == 200 && answer.text().contains("echo of it"), "{what}: {answer:?}");
        assert!(!client.serves().await, "{what}: the connection ends");
        assert_eq!(stage.provider.take().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn http_1_0_may_keep_its_connection() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    for user in ["one", "two"] {
        client.send(request_of("HTTP/1.0", user, "connection: keep-alive\r\n", false)).await;
        let answer = client.answer().await.expect("an answer");
        assert!(answer.text().contains(&format!("echo of {user}")), "{answer:?}");
        assert!(answer.field("transfer-encoding").is_none());
        if !answer.field("connection").is_some_and(|it| it.eq_ignore_ascii_case("keep-alive")) {
            assert!(!client.serves().await, "who does not say that it is kept ends it");
            return;
        }
    }
    assert_eq!(stage.provider.take().len(), 2);
}

#[tokio::test]
async fn nothing_that_comes_after_a_malformed_request_is_read_as_one() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    let malformed = request("never", "x a: 1\r\n", false);
    client.send(format!("{}{malformed}{}", request("sound", "", false), request("after", "", false))).await;
    assert!(client.answer().await.expect("an answer").text().contains("echo of sound"));
    assert_eq!(client.answer().await.expect("an answer").status, 400);
    assert!(client.answer().await.is_none(), "the connection ends");
    assert_eq!(stage.provider.take().len(), 1);
}

#[tokio::test]
async fn a_client_that_waits_is_told_to_continue() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    let whole = request("it", "Expect: 100-continue\r\n", false);
    let (head, body) = whole.split_once("\r\n\r\n").expect("a head");
    client.send(format!("{head}\r\n\r\n")).await;
    // What comes is read as an answer, which this is not yet.
    let interim = client.interim().await;
    assert_eq!(interim, Some(100));
    client.send(body).await;
    assert!(client.answer().await.expect("an answer").text().contains("echo of it"));
    assert!(stage.provider.take()[0].field("expect").is_empty(), "the proxy has kept the promise itself");
    assert!(client.serves().await);
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_served_as_well() {
    let stage = Stage::new().await;
    for chunked in [false, true] {
        let mut client = stage.client().await;
        client.send(request("it", "expect: 100-continue\r\n", chunked)).await;
        let answer = client.answer().await.expect("an answer");
        assert!(answer.text().contains("echo of it") && answer.interim.len() <= 1, "{answer:?}");
        assert!(client.serves().await);
        assert!(stage.provider.take()[0].field("expect").is_empty());
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_never_told_to_continue() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    client.send(request_of("HTTP/1.0", "it", "expect: 100-continue\r\n", false)).await;
    let answer = client.answer().await.expect("an answer");
    assert!(answer.interim.is_empty() && answer.text().contains("echo of it"), "{answer:?}");
}

#[tokio::test]
async fn an_expectation_that_nobody_knows_is_refused_or_not_heeded() {
    let stage = Stage::new().await;
    for value in ["200-ok", "100-continue, x", "100-continuex", ""] {
        let bytes = filled("content-length: <n>\r\n\r\n<b>");
        let bytes = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: {value}\r\n{bytes}");
        let outcome = stage.play(bytes.as_bytes()).await;
        assert_eq!(outcome.fault(super::Want::Either), None, "{value}: {outcome:?}");
    }
}

#[tokio::test]
async fn who_is_refused_for_the_length_need_not_send_the_body() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    client.send(head).await;
    // Without this the proxy waits for a while, as some clients read only when they have sent their body.
    client.finish().await;
    let answer = client.answer().await.expect("an answer");
    // That it is told so first is needless, as the proxy knows no more about the length then.
    assert!(answer.status == 413 && answer.interim.len() <= 1, "{answer:?}");
    assert!(!client.serves().await);
}

#[tokio::test]
async fn fields_that_the_message_needs_are_no_matter_of_the_connection() {
    let stage = Stage::new().await;
    for named in ["content-length", "host", "authorization", "transfer-encoding", "content-type", "x-request-id, host"]
    {
        for chunked in [false, true] {
            let mut client = stage.client().await;
            client.send(request("it", &format!("connection: {named}\r\n"), chunked)).await;
            let answer = client.answer().await.expect("an answer");
            assert!(answer.text().contains("echo of it"), "{named}: {answer:?}");
            let heard = stage.provider.take();
            assert!(heard.len() == 1 && heard[0].fault().is_none(), "{named}: {heard:?}");
            assert!(heard[0].field("connection").is_empty(), "{named}");
            assert!(client.serves().await, "{named}");
        }
    }
}

#[tokio::test]
async fn what_is_named_as_a_matter_of_the_connection_stays_here() {
    let stage = Stage::new().await;
    let fields = "x-a: 1\r\nX-B: 2\r\nx-c: 3\r\nconnection: X-A\r\nconnection: , x-b,,\r\n";
    let outcome = stage.play(request("row", fields, false).as_bytes()).await;
    let heard = &outcome.heard[0];
    assert!(
        outcome.next == Next::Served && heard.field("x-a").is_empty() && heard.field("x-b").is_empty(),
        "{heard:?}"
    );
    assert_eq!(heard.field("x-c"), ["3"]);
}

#[tokio::test]
async fn nothing_is_switched_to_what_is_not_spoken_here() {
    let stage = Stage::new().await;
    for fields in [
        "upgrade: websocket\r\n",
        "upgrade: h2c\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\n",
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "connection: upgrade\r\nupgrade: x/1\r\n",
    ] {
        let bytes =
            filled(&format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{fields}content-length: <n>\r\n\r\n<b>"));
        let outcome = stage.play(bytes.as_bytes()).await;
        assert_eq!(outcome.fault(super::Want::Either), None, "{fields}: {outcome:?}");
        for heard in outcome.heard {
            assert!(
                heard.field("upgrade").is_empty() && heard.field("http2-settings").is_empty(),
                "{fields}: {heard:?}"
            );
        }
    }
}

#[tokio::test]
async fn many_at_once_get_each_their_own_answer() {
    let stage = Stage::new().await;
    let clients = (0..60).map(async |number| {
        let mut client = stage.client().await;
        let users: Vec<String> = (0..4).map(|each| format!("u{number}-{each}.")).collect();
        let bytes: Vec<String> = users.iter().map(|user| request(user, "", number % 2 == 0)).collect();
        client.send(bytes.concat()).await;
        for user in users {
            let answer = client.answer().await.expect("an answer");
            assert!(answer.text().contains(&format!("echo of {user}")), "{user}: {answer:?}");
        }
    });
    futures_util::future::join_all(clients).await;
    assert_eq!(stage.provider.take().len(), 240);
}
