//! Answers with a status of success that are none.

use harness::{Mock, Proxy, Reply, Seen};
use serde_json::{Value, json};

/// A 200 with this body, labelled as JSON.
fn says(body: &str) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(body.to_owned())
}

/// The answers to a client of two providers when the first one says `reply`, and of that one alone.
async fn pair(path: &str, reply: Reply, good: &Value) -> (Value, harness::Answer) {
    let (a, b) = (Mock::start("a", reply).await, Mock::start("b", Reply::json(200, good)).await);
    let body = json!({"model": "m", "messages": [], "input": "x", "prompt": "x", "max_tokens": 9});
    let answer = Proxy::before([&a, &b]).await.post(path, &body).await;
    assert_eq!((answer.status, answer.provider()), (200, "b"), "{}", answer.text());
    (answer.json(), Proxy::before([&a]).await.post(path, &body).await)
}

async fn chat(reply: Reply) -> harness::Answer {
    let good = json!({"choices": [{"message": {"content": "from b"}}]});
    let (answer, alone) = pair("/v1/chat/completions", reply, &good).await;
    assert_eq!(answer, good);
    assert_eq!(alone.status, 502, "{}", alone.text());
    alone
}

#[tokio::test]
async fn an_error_in_a_200_is_a_failure_whose_words_reach_the_client() {
    let alone = chat(says(r#"{"error":{"message":"upstream detail 4711","type":"t","code":502}}"#)).await;
    assert!(alone.message().contains("upstream detail 4711"), "{}", alone.text());
    let error = &alone.json()["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("t"), &json!("502")));
    let alone = chat(says(r#"{"error":"Unexpected endpoint or method"}"#)).await;
    assert!(alone.message().contains("Unexpected endpoint or method"), "{}", alone.text());
}

#[tokio::test]
async fn what_is_no_whole_json_object_is_a_failure() {
    for (body, words) in [
        ("\n\n   \n", "empty"),
        ("null", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("upstream connect error", "upstream connect error"),
        (r#"{"choices":[{"message":{"content":"half"#, "cut its answer short"),
        (r#"{"choices":[]}"#, "without choices"),
        (r#"{"id":"1"}"#, "without choices"),
    ] {
        let alone = chat(says(body)).await;
        assert!(alone.message().contains(words), "{body}: {}", alone.text());
    }
}

#[tokio::test]
async fn a_web_page_is_a_failure_that_names_the_likely_cause() {
    let page = Reply::status(200).header("content-type", "text/html; charset=utf-8");
    let alone = chat(page.body("<!doctype html><title>Open WebUI</title>")).await;
    assert!(alone.message().contains("answered with a web page: does base_url lack /v1?"), "{}", alone.text());
}

#[tokio::test]
async fn every_json_endpoint_is_judged() {
    for (path, good) in [
        ("/v1/embeddings", json!({"data": [{"embedding": [0.1]}]})),
        ("/v1/responses", json!({"id": "resp_1", "error": null, "status": "completed", "output": []})),
        ("/v1/messages", json!({"type": "message", "content": []})),
        ("/v1/moderations", json!({"results": []})),
        ("/v1/completions", json!({"choices": [{"text": "x"}]})),
    ] {
        for body in [r#"{"error":{"message":"no"}}"#, "", "null", r#"{"half":"#] {
            let (answer, alone) = pair(path, says(body), &good).await;
            assert_eq!((&answer, alone.status), (&good, 502), "{path} {body}");
        }
    }
}

#[tokio::test]
async fn a_response_that_failed_is_no_answer() {
    let failed =
        json!({"id": "resp_1", "status": "failed", "error": {"code": "server_error", "message": "overloaded"}});
    let good = json!({"id": "resp_2", "status": "completed", "error": null});
    let (_, alone) = pair("/v1/responses", Reply::json(200, &failed), &good).await;
    assert!(alone.message().contains("overloaded"), "{}", alone.text());
}

#[tokio::test]
async fn an_answer_is_judged_by_its_bytes_and_not_by_its_label() {
    let good = r#"{"choices":[{"message":{"content":"fine"}}],"error":null}"#;
    for kind in ["text/plain", "text/html", "application/octet-stream", ""] {
        let reply = if kind.is_empty() { Reply::status(200) } else { Reply::status(200).header("content-type", kind) };
        let a = Mock::start("a", reply.body(format!("\n\n{good}\n"))).await;
        let answer = Proxy::before([&a]).await.chat().await;
        assert_eq!((answer.status, answer.content().as_str()), (200, "fine"), "{kind}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_need_not_be_json_is_passed_on_as_it_is() {
    let speech = Mock::start("a", Reply::status(200).header("content-type", "audio/mpeg").body("sound")).await;
    let answer = Proxy::before([&speech]).await.post("/v1/audio/speech", &json!({"model": "m", "input": "x"})).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "sound"));
    let stored = json!({"id": "batch_1", "error": {"message": "of the batch"}});
    let stored = Mock::start("a", Reply::json(200, &stored)).await;
    assert_eq!(Proxy::before([&stored]).await.get("/v1/batches/batch_1").await.status, 200);
}

#[tokio::test]
async fn an_answer_of_two_hundred_headers_is_passed_on() {
    let reply = (0..200).fold(Reply::chat("many"), |reply, n| reply.header(&format!("x-number-{n}"), "x"));
    let a = Mock::start("a", reply).await;
    let answer = Proxy::before([&a]).await.chat().await;
    assert_eq!((answer.content().as_str(), answer.header("x-number-199")), ("many", "x"));
}

#[tokio::test]
async fn what_a_body_says_better_than_its_status_is_believed() {
    let gemini = json!([{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}]);
    let groq = json!({"error": {"message": "Request too large", "type": "tokens", "code": "rate_limit_exceeded"}});
    let flex = json!({"error": {"message": "full", "type": "server_error", "code": "capacity_exceeded"}});
    for (status, body, state) in [(400, &gemini, "ejected"), (413, &groq, "throttled"), (498, &flex, "throttled")] {
        let (a, b) = (Mock::start("a", Reply::json(status, body)).await, Mock::start("b", Reply::chat("b")).await);
        let proxy = Proxy::before([&a, &b]).await;
        assert_eq!(proxy.chat().await.provider(), "b", "{body}");
        assert_eq!(proxy.state_of(&a).await, state, "{body}");
    }
}

#[tokio::test]
async fn a_client_cannot_make_a_provider_say_that_its_key_is_refused() {
    let quotes = |_: usize, request: &Seen| {
        let model = request.json()["model"].as_str().unwrap_or_default().to_owned();
        let message = format!("Unknown model {model}");
        Reply::json(400, &json!({"error": {"message": message, "type": "invalid_request_error", "param": model}}))
    };
    let a = Mock::start("a", harness::Script::by(quotes)).await;
    let proxy = Proxy::before([&a]).await;
    for model in ["API key not valid", "Incorrect API key provided", "invalid_api_key", "rate_limit_exceeded"] {
        let answer = proxy.post("/v1/chat/completions", &json!({"model": model, "messages": []})).await;
        assert_eq!((answer.status, proxy.state_of(&a).await.as_str()), (400, "admitted"));
    }
}

#[tokio::test]
async fn one_malformed_answer_goes_on_and_ejects_nobody() {
    let headers = ["x-bell: a\u{7}b", "x-null: a\0b", "bad header"];
    for header in headers {
        let answer = format!("HTTP/1.1 200 OK\r\n{header}\r\ncontent-length: 2\r\n\r\n{{}}");
        let (a, b) = (Mock::start("a", Reply::raw(answer)).await, Mock::start("b", Reply::chat("b")).await);
        let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
        let proxy = builder.set(json!({"routing": {"health_check": {"failures": 3}}})).start().await;
        assert_eq!(proxy.chat().await.provider(), "b", "{header:?}");
        assert_eq!(proxy.state_of(&a).await, "admitted", "{header:?}");
    }
}

#[tokio::test]
async fn one_answer_that_is_none_ejects_nobody() {
    for body in [r#"{"error":{"code":502}}"#, "", "null", r#"{"choices":[]}"#] {
        let (a, b) = (Mock::start("a", says(body)).await, Mock::start("b", Reply::chat("b")).await);
        let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
        let proxy = builder.set(json!({"routing": {"health_check": {"failures": 3}}})).start().await;
        assert_eq!(proxy.chat().await.provider(), "b", "{body}");
        assert_eq!(proxy.state_of(&a).await, "admitted", "{body}");
    }
}
