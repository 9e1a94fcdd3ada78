//! Real clients against the proxy, as their users write them: the official package of OpenAI for Python here, for Node in
//! `node`, that of Anthropic in `anthropic`, LangChain in `langchain`; what they make of streams that are cut in `streams`. They
//! come from their registries, see `install`.

mod anthropic;
mod install;
mod langchain;
mod means;
mod node;
mod streams;

use std::process::{Command, Stdio};

use harness::{Mock, Proxy, Reply, Script, eventually, workspace};
use install::Package;
use serde_json::{Value, json};

/// Runs a client to its end. What it prints must be `ok`.
async fn run(mut client: Command, proxy: &Proxy, function: &'static str) {
    client.arg(function).env("OPENAI_BASE_URL", format!("http://{}/v1", proxy.address()));
    client.env("ANTHROPIC_BASE_URL", format!("http://{}", proxy.address())).env("ANTHROPIC_API_KEY", "client-key");
    client.env("OPENAI_API_KEY", "client-key").env_remove("HTTP_PROXY").env_remove("http_proxy").stdin(Stdio::null());
    let run = move || {
        let output = client.output().expect("the interpreter starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (success, stdout, stderr) = tokio::task::spawn_blocking(run).await.expect("no panic");
    assert!(success, "{function}:\n{stdout}{stderr}");
    assert_eq!(stdout.trim(), "ok", "{function}: {stderr}");
}

/// The interpreter that has the package, with a script of this folder.
fn python(package: Package, script: &str) -> Command {
    let mut command = Command::new(install::python(package));
    command.arg(workspace().join("tests/sdk").join(script));
    command
}

/// Runs one function of `openai_client.py` against the proxy.
async fn client(proxy: &Proxy, function: &'static str) {
    run(python(Package::OpenAi, "openai_client.py"), proxy, function).await;
}

/// The answer of a provider that wants a tool to be called.
fn calls_the_weather() -> Script {
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Bern\"}"}});
    Script::by(move |_, request| {
        assert_eq!(request.json()["tools"][0]["function"]["name"], "weather");
        let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        let choice = json!({"index": 0, "message": message, "finish_reason": "tool_calls"});
        Reply::json(
            200,
            &json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}),
        )
    })
}

/// The embedding of anything; the clients ask for it in base64 by themselves.
fn embeds() -> Script {
    Script::by(|_, request| {
        assert_eq!(request.target, "/v1/embeddings");
        let encoded = request.json()["encoding_format"] == "base64";
        let embedding: Value = if encoded { json!("AACAPwAAAEA=") } else { json!([1.0, 2.0]) };
        Reply::json(
            200,
            &json!({
                "object": "list", "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1},
                "data": [{"object": "embedding", "index": 0, "embedding": embedding}],
            }),
        )
    })
}

/// A mock whose WebSockets the test holds, and a proxy before it under which its model has another name.
async fn speaks() -> (Mock, Proxy) {
    let a = Mock::start("a", Reply::switch()).await;
    let options = json!({"model_map": {"gpt-4": "gpt-4-0613"}, "models": ["gpt-4"]});
    let proxy = Proxy::builder().provider(&a, options).start().await;
    (a, proxy)
}

#[tokio::test]
async fn a_realtime_session_of_the_package_is_held() {
    let (a, proxy) = speaks().await;
    let provider = async {
        let mut there = a.socket().await;
        assert_eq!(there.json().await["session"]["model"], "gpt-4-0613");
        assert_eq!(there.json().await["type"], "response.create");
        there.event(&json!({"type": "response.output_text.delta", "delta": "Hello"})).await;
        let usage = json!({"total_tokens": 3, "input_tokens": 1, "output_tokens": 2});
        there.event(&json!({"type": "response.done", "response": {"id": "r", "usage": usage}})).await;
        assert_eq!(there.closed().await.0, 1000);
        there.close(1000, "").await;
    };
    tokio::join!(client(&proxy, "realtime"), provider);
    let prompt = r#"pointsman_tokens_total{kind="completion",provider="a"}"#;
    eventually("the tokens are counted", async || proxy.metric(prompt).await == 2.0).await;
}

#[tokio::test]
async fn responses_of_the_package_over_one_websocket_follow_each_other() {
    let (a, proxy) = speaks().await;
    let provider = async {
        let mut there = a.socket().await;
        for turn in ["one", "two"] {
            let asked = there.json().await;
            assert_eq!((&asked["input"], &asked["model"]), (&json!(turn), &json!("gpt-4-0613")));
            there.event(&json!({"type": "response.output_text.delta", "delta": turn})).await;
            there.event(&json!({"type": "response.completed", "response": {"id": format!("resp_{turn}")}})).await;
        }
        assert_eq!(there.closed().await.0, 1000);
        there.close(1000, "").await;
    };
    tokio::join!(client(&proxy, "responses_over_a_websocket"), provider);
}

#[tokio::test]
async fn a_refusal_on_a_websocket_is_an_error_event_of_the_package() {
    let (a, proxy) = speaks().await;
    client(&proxy, "a_websocket_with_an_unknown_model").await;
    assert_eq!(a.calls(), 0);
}

/// A mock that transcribes a file.
fn transcribes() -> Script {
    Script::by(|_, request| {
        assert_eq!(request.target, "/v1/audio/transcriptions");
        assert!(request.header("content-type").starts_with("multipart/form-data; boundary="));
        Reply::json(200, &json!({"text": "Hello from a"}))
    })
}

/// A model that answers each question, in as many choices and in the form that are wanted.
fn answers() -> Script {
    Script::by(|_, request| {
        let body = request.json();
        assert!(!body.to_string().contains("optillm") && !body.to_string().contains("wrap"), "{body}");
        assert_eq!(body["model"], "gpt-4");
        if body["stream"] == true {
            let usage = json!({"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4});
            let last = json!({"id": "c", "model": "m", "choices": [], "usage": usage});
            return Reply::sse().word("Hello").word(" from").word(" a").event(&last).done();
        }
        let choice = |index| {
            let message = json!({"role": "assistant", "content": "Hello from a"});
            json!({"index": index, "message": message, "finish_reason": "stop"})
        };
        let n = body["n"].as_u64().unwrap_or(1);
        let usage = json!({"prompt_tokens": 1, "completion_tokens": n, "total_tokens": 1 + n});
        Reply::json(
            200,
            &json!({
                "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
                "choices": (0..n).map(choice).collect::<Vec<_>>(),
            }),
        )
    })
}

/// A proxy before one provider, with the ejection and the retries that there are by default.
async fn before(reply: impl Into<Script>) -> (Mock, Proxy) {
    let a = Mock::start("a", reply).await;
    let by_default = json!({"routing": {"retries": 2, "health_check": {"failures": 3, "cooldown": 30}}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(by_default).start().await;
    (a, proxy)
}

/// A provider that fails every second request, the first one among them.
fn every_second(fails: Reply) -> Script {
    Script::by(move |number, _| if number % 2 == 0 { fails.clone() } else { Reply::chat("Hello from a") })
}

#[tokio::test]
async fn chat() {
    let (_a, proxy) = before(Reply::chat("Hello from a")).await;
    client(&proxy, "chat").await;
}

#[tokio::test]
async fn chat_with_the_asynchronous_client() {
    let (_a, proxy) = before(Reply::chat("Hello from a")).await;
    client(&proxy, "chat_async").await;
}

#[tokio::test]
async fn a_stream() {
    let (_a, proxy) = before(Reply::stream(&["Hello", " from", " a"])).await;
    client(&proxy, "stream").await;
}

#[tokio::test]
async fn tools() {
    let (a, proxy) = before(calls_the_weather()).await;
    client(&proxy, "tools").await;
    assert_eq!(a.only_request().json()["tool_choice"], "auto");
}

#[tokio::test]
async fn embeddings() {
    let (a, proxy) = before(embeds()).await;
    client(&proxy, "embeddings").await;
    assert_eq!(a.only_request().json()["encoding_format"], "base64");
}

#[tokio::test]
async fn models() {
    let (a, proxy) = before(Reply::chat("a")).await;
    a.list_models_by(Reply::models(&["gpt-4", "meta/llama-3"]));
    client(&proxy, "models").await;
}

#[tokio::test]
async fn responses() {
    let (_a, proxy) = before(Script::by(|_, request| {
        assert_eq!(request.target, "/v1/responses");
        let text = json!({"type": "output_text", "text": "Hello from a", "annotations": []});
        let message =
            json!({"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]});
        Reply::json(
            200,
            &json!({
                "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
                "output": [message], "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
            }),
        )
    }))
    .await;
    client(&proxy, "responses").await;
}

#[tokio::test]
async fn a_transcription() {
    let (_a, proxy) = before(transcribes()).await;
    client(&proxy, "transcription").await;
}

#[tokio::test]
async fn a_wrong_client_key_is_an_authentication_error() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"server": {"api_keys": ["another-key"]}})).start().await;
    client(&proxy, "authentication_error").await;
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn the_clients_fault_is_a_bad_request_error() {
    let (a, proxy) = before(Reply::error(400, "too long")).await;
    client(&proxy, "bad_request_error").await;
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn approaches_in_every_manner_of_the_specification() {
    let (_a, proxy) = before(answers()).await;
    client(&proxy, "approaches").await;
}

#[tokio::test]
async fn an_approach_that_is_not_there_is_a_bad_request_error() {
    let (a, proxy) = before(Reply::chat("a")).await;
    client(&proxy, "approach_unavailable").await;
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn an_unknown_model_is_a_not_found_error() {
    let (_a, proxy) = before(Reply::error(404, "no such model")).await;
    client(&proxy, "not_found_error").await;
}

#[tokio::test]
async fn throttled_providers_are_a_rate_limit_error_and_what_the_sdk_retries_does_not_reach_them() {
    let (a, proxy) = before(Reply::error(429, "slow down").header("retry-after", "600")).await;
    client(&proxy, "rate_limit_error").await;
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn failed_providers_are_an_internal_server_error_and_the_sdk_does_not_retry() {
    let (a, proxy) = before(Reply::status(500)).await;
    client(&proxy, "internal_server_error").await;
    assert_eq!(a.calls(), 3, "the proxy's own attempts");
}

#[tokio::test]
async fn ten_calls_to_one_provider_that_fails_every_second_request_succeed_ten_times() {
    for fails in [Reply::status(500), Reply::error(429, "slow down")] {
        let (_a, proxy) = before(every_second(fails)).await;
        client(&proxy, "ten_calls").await;
    }
}

#[tokio::test]
async fn the_keys_of_optillm_in_extra_body_are_understood() {
    let (a, proxy) = before(Reply::chat("Hello from a")).await;
    client(&proxy, "extra_body").await;
    let body = a.only_request().json();
    assert_eq!((body["model"].as_str(), body.get("optillm_approach")), (Some("gpt-4"), None));
}

/// The requests of an Azure SDK reach any provider as everybody else's do.
async fn for_azure(command: Command) {
    let a = Mock::start(
        "a",
        Script::by(|_, request| {
            assert_eq!((request.json()["model"].as_str(), request.header("api-key")), (Some("gpt-4"), ""));
            assert!(request.target.starts_with("/v1/chat/completions"), "{}", request.target);
            let streams = request.json()["stream"] == true;
            if streams { Reply::stream(&["Hello", " from", " a"]) } else { Reply::chat("Hello from a") }
        }),
    )
    .await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"server": {"api_keys": ["client-key"]}})).start().await;
    run(command, &proxy, "azure").await;
    assert_eq!(a.calls(), 2);
}

#[tokio::test]
async fn the_class_for_azure_with_deployments_and_a_key_in_its_own_header() {
    for_azure(python(Package::OpenAi, "openai_client.py")).await;
}
