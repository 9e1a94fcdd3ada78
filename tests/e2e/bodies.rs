//! A request's body reaches the provider byte for byte, except for the model and the OptiLLM keys.

use harness::{Mock, Proxy, Reply, chat_request};
use http::Method;
use serde_json::json;

/// The body that a provider which maps `gpt-4` to `mapped` gets for `body`, sent to `path` with `content_type`.
async fn received(path: &str, content_type: &str, body: &str) -> String {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({"model_map": {"gpt-4": "mapped"}})).start().await;
    let call = proxy.call(Method::POST, path).header("content-type", content_type);
    let answer = call.body(body.to_owned()).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    String::from_utf8(a.only_request().body.to_vec()).expect("text")
}

async fn chat(body: &str) -> String {
    received("/v1/chat/completions", "application/json", body).await
}

#[tokio::test]
async fn a_body_without_anything_to_change_arrives_byte_for_byte() {
    let body = "\n{ \"messages\" :[ {\"role\":\"user\",\"content\":\"\\u00fc \\/ \u{1F682}\"}],\t\"model\":\"other\",\r\n \
                \"temperature\": 1.0e-2, \"seed\": 12345678901234567890123, \"zz\": {\"b\": 1, \"a\": [1 , 2]} }\n";
    assert_eq!(chat(body).await, body);
}

#[tokio::test]
async fn unknown_fields_and_the_order_of_keys_survive() {
    let body = r#"{"model":"x","z":1,"a":{"model":"inner"},"tools":[{"type":"function","function":{"name":"f"}}],"logprobs":true,"reasoning_content":"r","n":2}"#;
    assert_eq!(chat(body).await, body);
}

#[tokio::test]
async fn the_mapped_model_is_spliced_and_nothing_else_changes() {
    let body = "{ \"messages\": [ {\"model\": \"gpt-4\"} ],  \"model\" : \"gpt-4\" , \"user\":\"gpt-4\"}";
    let expected = "{ \"messages\": [ {\"model\": \"gpt-4\"} ],  \"model\" : \"mapped\" , \"user\":\"gpt-4\"}";
    assert_eq!(chat(body).await, expected);
}

#[tokio::test]
async fn an_escaped_model_is_understood() {
    assert_eq!(chat(r#"{"model":"gpt\u002d4","messages":[]}"#).await, r#"{"model":"mapped","messages":[]}"#);
}

#[tokio::test]
async fn the_map_matches_exactly() {
    for model in ["gpt-4o", "GPT-4", "gpt-4 "] {
        let body = format!("{{\"model\":\"{model}\",\"messages\":[]}}");
        assert_eq!(chat(&body).await, body);
    }
}

#[tokio::test]
async fn each_provider_gets_its_own_name_for_the_model() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({"model_map": {"gpt-4": "a-4"}}));
    let proxy = builder.provider(&b, json!({"model_map": {"gpt-4": "a-much-longer-name"}})).start().await;
    proxy.chat().await;
    let models = (a.only_request().json()["model"].clone(), b.only_request().json()["model"].clone());
    assert_eq!(models, (json!("a-4"), json!("a-much-longer-name")));
}

#[tokio::test]
async fn the_length_told_to_the_provider_is_that_of_the_spliced_body() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let map = json!({"model_map": {"gpt-4": "a-much-longer-name-\"quoted\"-ü"}});
    let proxy = Proxy::builder().provider(&a, map).start().await;
    proxy.chat().await;
    let seen = a.only_request();
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
    assert_eq!(seen.json()["model"], "a-much-longer-name-\"quoted\"-ü");
}

#[tokio::test]
async fn a_request_without_a_model_is_routed_all_the_same() {
    let body = r#"{"messages":[]}"#;
    assert_eq!(chat(body).await, body);
}

#[tokio::test]
async fn optillm_keys_are_removed_wherever_they_stand() {
    for (body, expected) in [
        (r#"{"optillm_approach":"proxy","model":"x","messages":[]}"#, r#"{"model":"x","messages":[]}"#),
        (r#"{"model":"x","messages":[],"optillm_approach":"none"}"#, r#"{"model":"x","messages":[]}"#),
        (
            r#"{"model":"x","extra_body":{"optillm_approach":"proxy","top_k":3},"messages":[]}"#,
            r#"{"model":"x","extra_body":{"top_k":3},"messages":[]}"#,
        ),
        (r#"{"model":"x","extra_body":{"optillm_approach":"proxy"},"messages":[]}"#, r#"{"model":"x","messages":[]}"#),
    ] {
        let got: serde_json::Value = serde_json::from_str(&chat(body).await).expect("still JSON");
        let expected: serde_json::Value = serde_json::from_str(expected).expect("JSON");
        assert_eq!(got, expected, "from {body}");
    }
}

#[tokio::test]
async fn an_extra_body_without_optillm_keys_stays() {
    let body = r#"{"model":"x","extra_body":{ },"messages":[]}"#;
    assert_eq!(chat(body).await, body);
}

#[tokio::test]
async fn curls_form_content_type_on_a_json_endpoint_is_json_for_the_provider() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let call =
        proxy.call(Method::POST, "/v1/chat/completions").header("content-type", "application/x-www-form-urlencoded");
    let answer = call.body(r#"{"model":"x","messages":[]}"#).answer().await;
    assert_eq!((answer.status, a.only_request().body), (200, r#"{"model":"x","messages":[]}"#.into()));
}

#[tokio::test]
async fn a_model_in_a_form_is_mapped_and_the_rest_of_the_form_stays() {
    let form = |model: &str| {
        format!(
            "--XYZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\
             RIFF\u{1}\u{2}\r\nname=\"model\"\r\n--XYZ\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--XYZ--\r\n"
        )
    };
    let kind = "multipart/form-data; boundary=XYZ";
    assert_eq!(received("/v1/audio/transcriptions", kind, &form("gpt-4")).await, form("mapped"));
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let body =
        format!("{{\"model\":\"x\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}", "a".repeat(20 << 20));
    assert_eq!(chat(&body).await.len(), body.len());
}

#[tokio::test]
async fn a_chunked_request_is_read_whole_and_forwarded() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let mut raw = proxy.raw().await;
    raw.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for piece in [r#"{"model":"x","#, r#""messages":[]}"#] {
        raw.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(raw.status().await, Some(200));
    assert_eq!(a.only_request().body, r#"{"model":"x","messages":[]}"#);
}

fn compressed(encoding: &str, body: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    match encoding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(body).expect("to memory");
            encoder.finish().expect("to memory")
        }
        "zstd" => ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest),
        _ => body.to_vec(),
    }
}

#[tokio::test]
async fn compressed_bodies_are_read_and_forwarded_as_they_were() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({"model_map": {"gpt-4": "theirs"}})).start().await;
    let body = chat_request().to_string();
    for (number, encoding) in ["gzip", "zstd"].into_iter().enumerate() {
        for chunk in ["/v1/chat/completions", "/v1/brand/new"] {
            let call = proxy.call(Method::POST, chunk).header("content-type", "application/json");
            let answer =
                call.header("content-encoding", encoding).body(compressed(encoding, body.as_bytes())).answer().await;
            assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
        }
        let seen = &a.requests()[number * 2];
        assert_eq!((seen.header("content-encoding"), seen.json()["model"].as_str()), ("", Some("theirs")));
        assert_eq!(seen.json()["messages"], chat_request()["messages"]);
    }
}

#[tokio::test]
async fn the_limit_holds_for_what_a_compressed_body_holds() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let limit = json!({"server": {"max_body_bytes": 1 << 20}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(limit).start().await;
    for encoding in ["gzip", "zstd"] {
        let bomb = compressed(encoding, &vec![b' '; 20 << 20]);
        assert!(bomb.len() < 1 << 20);
        let call = proxy.call(Method::POST, "/v1/chat/completions").header("content-encoding", encoding);
        let answer = call.body(bomb).answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"), "{encoding}");
        let call = proxy.call(Method::POST, "/v1/chat/completions").header("content-encoding", encoding);
        let broken = call.body("{}").answer().await;
        assert_eq!((broken.status, broken.code().as_str()), (400, "invalid_encoding"), "{encoding}");
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn an_encoding_that_is_not_read_is_a_415_that_names_those_that_are() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    for encoding in ["br", "gzip, gzip"] {
        let call = proxy.call(Method::POST, "/v1/chat/completions").header("content-encoding", encoding);
        let answer = call.body("x").answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_encoding"), "{encoding}");
        assert!(answer.header("accept-encoding").contains("zstd"));
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn bodies_wait_to_be_read_when_all_together_would_take_too_much_memory() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let small = json!({"server": {"max_buffered_bytes": 1 << 20}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(small).start().await;
    let text = "x".repeat(700 << 10);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut slow = proxy.raw().await;
    slow.send(format!("{head}{}", &body[..600 << 10])).await;
    harness::eventually("the slow one is being read", async || proxy.chat().await.status == 200).await;
    let fast: Vec<_> = (0..3)
        .map(|_| harness::spawn(proxy.call(Method::POST, "/v1/chat/completions").body(body.clone()).answer()))
        .collect();
    // Small requests are served all the while.
    for _ in 0..5 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    assert!(fast.iter().all(|call| !call.is_finished()), "they do not fit beside the slow one");
    slow.send(&body[600 << 10..]).await;
    assert_eq!(slow.status().await, Some(200));
    for call in fast {
        assert_eq!(call.await.expect("no panic").status, 200);
    }
}

#[tokio::test]
async fn a_body_larger_than_all_memory_for_bodies_is_served_alone() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let small = json!({"server": {"max_buffered_bytes": 64 << 10}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(small).start().await;
    let text = "x".repeat(2 << 20);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
    let calls: Vec<_> = (0..4)
        .map(|_| harness::spawn(proxy.call(Method::POST, "/v1/chat/completions").body(body.clone()).answer()))
        .collect();
    let mut chunked = proxy.raw().await;
    let piece = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    chunked.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    chunked.send(piece).await;
    assert_eq!(chunked.status().await, Some(200));
    for call in calls {
        assert_eq!(call.await.expect("no panic").status, 200);
    }
}
