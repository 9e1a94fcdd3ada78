//! Requests that clients should not send get a clear 4xx or a closed connection, and the proxy goes on.

use std::time::Duration;

use harness::{Mock, Proxy, Raw, Reply};
use http::Method;
use serde_json::json;

struct Stage {
    a: Mock,
    proxy: Proxy,
}

impl Stage {
    async fn new() -> Self {
        let a = Mock::start("a", Reply::chat("a")).await;
        let proxy = Proxy::before([&a]).await;
        Self { a, proxy }
    }

    /// Sends `body` to the chat endpoint; gives status and code, and claims that the error has OpenAI's shape.
    async fn post(&self, body: impl Into<bytes::Bytes>) -> (u16, String) {
        let call = self.proxy.call(Method::POST, "/v1/chat/completions").header("content-type", "application/json");
        let answer = call.body(body).answer().await;
        let shaped = answer.status < 400 || answer.json()["error"]["message"].is_string();
        assert!(shaped, "{} {}", answer.status, answer.text());
        (answer.status, answer.code())
    }

    async fn raw(&self, head: &str) -> Raw {
        let mut raw = self.proxy.raw().await;
        raw.send(head).await;
        raw
    }

    /// Claims that the proxy is as well as before.
    async fn still_serves(&self, calls_before: usize) {
        assert_eq!(self.a.calls(), calls_before, "nothing bad reached the provider");
        assert_eq!(self.proxy.chat().await.status, 200);
        let queue = self.proxy.get("/health").await.json()["queue"].clone();
        assert_eq!(queue, json!({"in_flight": 0, "waiting": 0}));
    }
}

#[tokio::test]
async fn what_is_not_a_json_object_is_a_400() {
    let stage = Stage::new().await;
    for body in
        ["", " ", "hello", "[]", "null", "\"text\"", "{", "{\"model\":}", "{} {}", "{\"a\":1,}", "{'a':1}", "\u{feff}"]
    {
        assert_eq!(stage.post(body).await.0, 400, "{body:?}");
    }
    stage.still_serves(0).await;
}

#[tokio::test]
async fn what_is_not_json_is_a_400_whatever_its_content_type() {
    let stage = Stage::new().await;
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream"] {
        let call = stage.proxy.call(Method::POST, "/v1/embeddings").header("content-type", kind);
        assert_eq!(call.body("model=gpt-4").answer().await.status, 400, "{kind}");
    }
    stage.still_serves(0).await;
}

#[tokio::test]
async fn invalid_utf8_is_a_400() {
    let stage = Stage::new().await;
    assert_eq!(stage.post(b"{\"model\":\"gpt-4\",\"user\":\"\xff\xfe\"}".to_vec()).await.0, 400);
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_million_deep_json_is_a_400_or_passes_without_harm() {
    let stage = Stage::new().await;
    let deep = format!("{{\"model\":\"gpt-4\",\"x\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let unclosed = "{\"a\":".repeat(1_000_000);
    let (status, _) = stage.post(deep).await;
    assert!(status == 400 || status == 200, "{status}");
    assert_eq!(stage.post(unclosed).await.0, 400);
    assert_eq!(stage.proxy.chat().await.status, 200);
}

#[tokio::test]
async fn a_model_that_is_no_text_is_a_400_that_names_it() {
    let stage = Stage::new().await;
    for model in ["4", "true", "[\"gpt-4\"]", "{\"name\":\"gpt-4\"}"] {
        let call = stage.proxy.call(Method::POST, "/v1/chat/completions").header("content-type", "application/json");
        let answer = call.body(format!("{{\"model\":{model},\"messages\":[]}}")).answer().await;
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some("model")), "{model}");
    }
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_model_given_twice_is_a_400() {
    let stage = Stage::new().await;
    assert_eq!(stage.post(r#"{"model":"gpt-4","messages":[],"model":"gpt-4o"}"#).await.0, 400);
    assert_eq!(stage.post(r#"{"model":"gpt-4","messages":[],"mod\u0065l":"gpt-4o"}"#).await.0, 400);
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_duplicate_key_that_routing_does_not_read_is_the_providers_business_or_a_400() {
    let stage = Stage::new().await;
    let body = r#"{"model":"gpt-4","user":"a","user":"b","messages":[]}"#;
    let (status, _) = stage.post(body).await;
    assert!(status == 400 || (status == 200 && stage.a.only_request().body == body), "{status}");
}

#[tokio::test]
async fn a_duplicate_key_that_routing_reads_is_a_400() {
    let stage = Stage::new().await;
    assert_eq!(stage.post(r#"{"model":"gpt-4","stream":true,"stream":false,"messages":[]}"#).await.0, 400);
    let twice = r#"{"model":"gpt-4","optillm_approach":"proxy","optillm_approach":"moa","messages":[]}"#;
    assert_eq!(stage.post(twice).await.0, 400);
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_body_of_33_mib_is_a_413() {
    let stage = Stage::new().await;
    let announced = stage.post(vec![b' '; 33 << 20]).await;
    assert_eq!(announced.0, 413);
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_413_comes_before_the_body_when_the_length_says_it_all() {
    let stage = Stage::new().await;
    let mut raw = stage.raw("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 34603008\r\n\r\n").await;
    assert_eq!(raw.status().await, Some(413));
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_is_a_413_or_a_closed_connection() {
    let stage = Stage::new().await;
    let mut raw =
        stage.raw("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let piece = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    for _ in 0..34 {
        raw.send(&piece).await;
    }
    let status = raw.status().await;
    assert!(status.is_none() || status == Some(413), "{status:?}");
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_reaches_nobody() {
    let stage = Stage::new().await;
    let mut raw =
        stage.raw("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{\"model\":").await;
    raw.finish().await;
    let text = raw.read_to_close().await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 400"), "{text}");
    stage.still_serves(0).await;
}

/// The answer to a request that the HTTP library refuses, of which the body is the proxy's own.
async fn refused(stage: &Stage, request: &str, status: &str, code: &str) {
    let answer = stage.raw(request).await.read_to_close().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let error: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(error["error"]["code"], code, "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_large_or_garbled_is_answered_with_an_error_body() {
    let stage = Stage::new().await;
    let large = format!("x-large: {}\r\n", "x".repeat(200_000));
    let many: String = (0..1000).map(|number| format!("x-{number}: 1\r\n")).collect();
    for headers in [large, many] {
        let request = format!("GET /v1/files HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        refused(&stage, &request, "431", "headers_too_large").await;
        // The second request of a connection as well.
        let first = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let mut raw = stage.raw(first).await;
        assert!(raw.next_answer().await.starts_with("HTTP/1.1 200"));
        raw.send(&request).await;
        let answer = raw.read_to_close().await;
        assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("headers_too_large"), "{answer}");
    }
    refused(&stage, "GET /v1/fi les\r\n\r\n", "400", "malformed_request").await;
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_request_may_have_a_hundred_and_twenty_headers() {
    let stage = Stage::new().await;
    let many: String = (0..120).map(|number| format!("x-{number}: 1\r\n")).collect();
    let mut raw = stage.raw(&format!("GET /v1/models HTTP/1.1\r\nhost: localhost\r\n{many}\r\n")).await;
    assert_eq!(raw.status().await, Some(200));
    stage.still_serves(0).await;
}

#[tokio::test]
async fn content_length_together_with_transfer_encoding_is_refused_or_closes_the_connection() {
    let stage = Stage::new().await;
    let body = r#"{"model":"gpt-4","messages":[]}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let smuggled = "GET /v1/files/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        body.len()
    );
    let raw = stage.raw(&format!("{head}{chunked}{smuggled}")).await;
    let text = raw.read_to_close().await;
    assert!(text.matches("HTTP/1.1 ").count() <= 1, "no second answer on this connection: {text}");
    assert!(!stage.a.requests().iter().any(|seen| seen.target.contains("smuggled")));
}

#[tokio::test]
async fn what_is_not_http_is_answered_with_400_or_a_closed_connection() {
    let stage = Stage::new().await;
    for bytes in
        ["\u{16}\u{3}\u{1}", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /v1/files HTTP/1.1\r\nbad header\r\n\r\n"]
    {
        let mut raw = stage.raw(bytes).await;
        raw.finish().await;
        let status = raw.status().await;
        assert!(status.is_none_or(|status| (400..=505).contains(&status)), "{bytes:?}: {status:?}");
    }
    stage.still_serves(0).await;
}

#[tokio::test]
async fn a_slow_client_holds_up_nobody_and_gets_its_answer() {
    let stage = Stage::new().await;
    let body = r#"{"model":"gpt-4","messages":[]}"#;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut slow = stage.raw(&head).await;
    for byte in body.as_bytes().chunks(4) {
        assert_eq!(stage.proxy.chat().await.status, 200);
        slow.send(byte).await;
    }
    assert_eq!(slow.status().await, Some(200));
}

#[tokio::test]
async fn a_broken_form_reaches_the_provider_or_is_a_400() {
    let stage = Stage::new().await;
    for (kind, body) in [
        ("multipart/form-data", "no boundary"),
        ("multipart/form-data; boundary=X", "--Y\r\n\r\n--Y--"),
        ("multipart/form-data; boundary=X", "--X\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4"),
        ("multipart/form-data; boundary=", "----"),
    ] {
        let call = stage.proxy.call(Method::POST, "/v1/audio/transcriptions").header("content-type", kind);
        let status = call.body(body).answer().await.status;
        assert!(status == 400 || status == 200, "{kind}: {status}");
    }
}

#[tokio::test]
async fn three_hundred_idle_connections_do_not_keep_others_out() {
    let stage = Stage::new().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(stage.raw("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n").await);
    }
    let answer = stage.proxy.chat().await;
    assert!(answer.status == 200 && answer.took < Duration::from_secs(5), "{:?}", answer.took);
}
