//! Spans and metrics, as a collector's own decoder reads them.

mod collectors;
mod context;
mod meters;

use std::collections::BTreeMap;

use harness::{Mock, Proxy, ProxyBuilder, Reply, SECRET_MARK, Script, chat_request, eventually, holds_secret};
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use serde_json::{Value, json};

/// One span, as a collector understands it.
#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    /// Empty where there is none.
    parent: String,
    name: String,
    kind: SpanKind,
    status: StatusCode,
    flags: u32,
    /// In nanoseconds.
    start: u64,
    end: u64,
    attributes: BTreeMap<String, Value>,
    resource: BTreeMap<String, Value>,
    scope: (String, String),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn value(value: &AnyValue) -> Value {
    match value.value.as_ref().expect("a value") {
        Any::StringValue(text) => json!(text),
        Any::BoolValue(truth) => json!(truth),
        Any::IntValue(number) => json!(number),
        Any::DoubleValue(number) => json!(number),
        Any::ArrayValue(array) => array.values.iter().map(self::value).collect(),
        // No claim expects that.
        other => json!({"unknown": format!("{other:?}")}),
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, Value> {
    let all: BTreeMap<_, _> =
        pairs.iter().map(|pair| (pair.key.clone(), value(pair.value.as_ref().expect("a value")))).collect();
    assert_eq!(all.len(), pairs.len(), "an attribute comes twice in {pairs:?}");
    all
}

/// All spans that a collector has got, in the order of their arrival. No key is in any of its requests but in the header that
/// is to hold one.
fn spans(collector: &Mock) -> Vec<Span> {
    let mut spans = Vec::new();
    for seen in collector.requests() {
        assert!(!holds_secret(&seen.body), "a key is in a span");
        assert_eq!((seen.method.as_str(), seen.header("content-type")), ("POST", "application/x-protobuf"));
        if !seen.target.ends_with("/v1/traces") {
            continue;
        }
        let request = ExportTraceServiceRequest::decode(&seen.body[..]).expect("protobuf");
        for of_resource in request.resource_spans {
            let resource = attributes(&of_resource.resource.expect("a resource").attributes);
            for of_scope in of_resource.scope_spans {
                let scope = of_scope.scope.expect("a scope");
                for span in of_scope.spans {
                    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
                    assert!(span.trace_state.is_empty() && span.events.is_empty() && span.links.is_empty());
                    let status = span.status.clone().unwrap_or_default();
                    // It could hold words of a provider.
                    assert_eq!(status.message, "");
                    spans.push(Span {
                        trace: hex(&span.trace_id),
                        id: hex(&span.span_id),
                        parent: hex(&span.parent_span_id),
                        name: span.name.clone(),
                        kind: span.kind(),
                        status: status.code(),
                        flags: span.flags,
                        start: span.start_time_unix_nano,
                        end: span.end_time_unix_nano,
                        attributes: attributes(&span.attributes),
                        resource: resource.clone(),
                        scope: (scope.name.clone(), scope.version.clone()),
                    });
                }
            }
        }
    }
    spans
}

/// The spans of a collector, once there are so many.
async fn some_spans(collector: &Mock, count: usize) -> Vec<Span> {
    eventually("the spans are exported", || async { spans(collector).len() >= count }).await;
    let spans = spans(collector);
    assert_eq!(spans.len(), count, "{spans:#?}");
    spans
}

/// A collector that takes everything.
async fn collector() -> Mock {
    Mock::start("collector", Reply::status(200)).await
}

/// A proxy that exports to a collector, with more of `telemetry`.
fn exporting(collector: &Mock, rest: Value) -> ProxyBuilder {
    let endpoint = format!("http://{}", collector.address());
    Proxy::builder().set(json!({"telemetry": {"otlp": {"endpoint": endpoint}}})).set(json!({"telemetry": rest}))
}

impl Span {
    /// Its attributes without those whose values differ from run to run, which are checked here.
    fn settled(&self) -> Value {
        let mut all = self.attributes.clone();
        if let Some(cost) = all.remove("pointsman.cost_usd") {
            assert!(cost.as_f64().is_some_and(|cost| cost > 0.0), "{cost}");
        }
        for name in ["queue_ms", "overhead_ms", "first_byte_ms", "slot_wait_ms"] {
            if let Some(time) = all.remove(&format!("pointsman.{name}")) {
                assert!(time.as_f64().is_some_and(|time| (0.0..20_000.0).contains(&time)), "{name}: {time}");
            }
        }
        json!(all)
    }

    fn is_within(&self, other: &Self) -> bool {
        // Both clocks are read in microseconds.
        self.start + 1_000 >= other.start && self.end <= other.end + 1_000 && self.start <= self.end
    }
}

/// The one span that a condition holds for.
fn the<'s>(spans: &'s [Span], what: &str, is_it: impl Fn(&Span) -> bool) -> &'s Span {
    let found: Vec<&Span> = spans.iter().filter(|span| is_it(span)).collect();
    assert_eq!(found.len(), 1, "{what} among {spans:#?}");
    found[0]
}

fn server(spans: &[Span]) -> &Span {
    the(spans, "one of the server", |span| span.kind == SpanKind::Server)
}

#[tokio::test]
async fn a_plain_request_is_a_span_of_the_server_and_one_of_its_attempt_in_every_field() {
    let usage = json!({
        "prompt_tokens": 100, "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60}, "completion_tokens_details": {"reasoning_tokens": 5},
    });
    let choice =
        json!({"index": 0, "message": {"role": "assistant", "content": "secret words"}, "finish_reason": "stop"});
    let answer =
        json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "mock", "choices": [choice], "usage": usage});
    let a = Mock::start("a", Reply::json(200, &answer)).await;
    let collector = collector().await;
    let otlp = json!({
        "headers": {"authorization": format!("Bearer {SECRET_MARK}-otlp")},
        "service_name": "gateway", "attributes": {"deployment.environment.name": "test"},
    });
    let proxy = exporting(&collector, json!({"otlp": otlp}))
        .provider(&a, json!({"model_map": {"gpt-4": "deployed"}, "price": {"input": 10, "output": 100}}))
        .set(json!({"clients": {"keys": [{"name": "search", "key": format!("sk-{SECRET_MARK}-client-0123456789")}]}}))
        .start()
        .await;
    let call =
        proxy.chat_call(&chat_request()).header("authorization", &format!("Bearer sk-{SECRET_MARK}-client-0123456789"));
    let answer = call.header("x-request-id", "my-id").answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let spans = some_spans(&collector, 2).await;
    let seen = collector.only_request();
    assert_eq!(seen.target, "/v1/traces");
    assert_eq!(seen.header("authorization"), format!("Bearer {SECRET_MARK}-otlp"));
    let (server, client) = (server(&spans), the(&spans, "an attempt", |span| span.kind == SpanKind::Client));

    assert_eq!(server.name, "POST /v1/chat/completions");
    assert_eq!((server.parent.as_str(), server.status), ("", StatusCode::Unset));
    let port = a.address().port();
    assert_eq!(
        server.settled(),
        json!({
            "http.request.method": "POST", "url.scheme": "http", "url.path": "/v1/chat/completions",
            "http.route": "/v1/chat/completions", "http.response.status_code": 200, "client.address": "127.0.0.1",
            "http.response.header.x-request-id": ["my-id"],
            "pointsman.client": "search", "pointsman.route": "default", "pointsman.model": "gpt-4",
            "pointsman.strategy": server.attributes["pointsman.strategy"], "pointsman.decision": server.attributes["pointsman.decision"],
            "pointsman.tier": "primary", "pointsman.outcome": "succeeded",
        })
    );
    assert!(server.attributes["pointsman.strategy"].as_str().is_some_and(|name| name.starts_with("failover")));
    for name in ["queue_ms", "overhead_ms", "first_byte_ms", "cost_usd"] {
        assert!(server.attributes.contains_key(&format!("pointsman.{name}")), "{name}");
    }

    assert_eq!(client.name, "chat deployed");
    assert_eq!((&client.parent, &client.trace, client.status), (&server.id, &server.trace, StatusCode::Unset));
    assert_eq!(
        client.settled(),
        json!({
            "http.request.method": "POST", "http.response.status_code": 200, "server.address": "127.0.0.1", "server.port": port,
            "pointsman.provider": "a", "pointsman.attempt": 1, "pointsman.outcome": "succeeded",
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "deployed",
            "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 60, "gen_ai.usage.reasoning.output_tokens": 5,
        })
    );
    assert!(client.is_within(server), "{client:?} {server:?}");

    let sent = a.only_request();
    assert_eq!(sent.header("traceparent"), format!("00-{}-{}-01", server.trace, client.id));
    for span in [server, client] {
        assert_eq!(span.scope, ("pointsman".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        let mut resource = span.resource.clone();
        let instance = resource.remove("service.instance.id").expect("an instance");
        assert_eq!(instance.as_str().map(str::len), Some(16));
        assert!(resource.remove("telemetry.sdk.version").is_some());
        assert_eq!(
            json!(resource),
            json!({
                "service.name": "gateway", "service.version": env!("CARGO_PKG_VERSION"),
                "deployment.environment.name": "test", "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "rust",
            })
        );
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    let age = now - u128::from(server.end);
    assert!(age < 60_000_000_000, "{age} ns ago");
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    for content in ["secret words", "Hello"] {
        assert!(!body.contains(content), "{content} is in the spans");
    }
}

#[tokio::test]
async fn a_failover_has_a_span_for_each_attempt_and_each_provider_is_told_of_its_own() {
    let a = Mock::start("a", Reply::error(500, "overloaded by words of the user")).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).provider(&b, json!({})).start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    let spans = some_spans(&collector, 3).await;
    let server = server(&spans);
    let first = the(&spans, "the first attempt", |span| span.attributes.get("pointsman.attempt") == Some(&json!(1)));
    let second = the(&spans, "the second attempt", |span| span.attributes.get("pointsman.attempt") == Some(&json!(2)));
    assert_eq!((server.status, first.status, second.status), (StatusCode::Unset, StatusCode::Error, StatusCode::Unset));
    assert_eq!((&first.parent, &second.parent), (&server.id, &server.id));
    assert!(first.end <= second.start + 1_000_000 && second.is_within(server));
    assert_eq!(
        first.settled(),
        json!({
            "http.request.method": "POST", "http.response.status_code": 500, "error.type": "500",
            "server.address": "127.0.0.1", "server.port": a.address().port(),
            "pointsman.provider": "a", "pointsman.attempt": 1, "pointsman.outcome": "failed",
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4",
        })
    );
    assert_eq!(second.attributes["pointsman.provider"], "b");
    assert_eq!(second.attributes["gen_ai.usage.input_tokens"], 1);
    for (mock, span) in [(&a, first), (&b, second)] {
        assert_eq!(mock.only_request().header("traceparent"), format!("00-{}-{}-01", server.trace, span.id));
    }
    let body = collector.only_request().body;
    assert!(!String::from_utf8_lossy(&body).contains("words of the user"));
}

#[tokio::test]
async fn a_stream_that_breaks_is_an_error_of_the_server_and_of_its_attempt() {
    let a = Mock::start("a", Reply::sse().word("one").cut()).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    let answer = proxy.stream().await.rest().await;
    assert!(answer.text().contains("error"), "{}", answer.text());
    let spans = some_spans(&collector, 2).await;
    let (server, client) = (server(&spans), the(&spans, "an attempt", |span| span.kind == SpanKind::Client));
    for span in [server, client] {
        assert_eq!((span.status, &span.attributes["error.type"]), (StatusCode::Error, &json!("interrupted")));
        assert_eq!(span.attributes["pointsman.outcome"], "interrupted");
    }
    assert_eq!(server.attributes["http.response.status_code"], 200);
    assert_eq!(client.attributes["gen_ai.request.stream"], true);
    let first = client.attributes["gen_ai.response.time_to_first_chunk"].as_f64().expect("seconds");
    assert!((0.0..20.0).contains(&first), "{first}");
}

#[tokio::test]
async fn a_client_that_leaves_is_no_error_and_has_no_status() {
    let a = Mock::start("a", Reply::silence()).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    let meanwhile = proxy.chat_meanwhile();
    eventually("the provider is asked", || async { a.calls() == 1 }).await;
    meanwhile.abort();
    let spans = some_spans(&collector, 2).await;
    for span in &spans {
        assert_eq!((span.status, &span.attributes["pointsman.outcome"]), (StatusCode::Unset, &json!("cancelled")));
        assert!(
            !span.attributes.contains_key("http.response.status_code") && !span.attributes.contains_key("error.type")
        );
    }
}

#[tokio::test]
async fn a_refusal_of_the_proxys_own_is_a_span_that_names_its_code() {
    let a = Mock::start("a", Reply::status(500)).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    let answer = proxy.chat().await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let spans = some_spans(&collector, 2).await;
    let server = server(&spans);
    assert_eq!((server.status, &server.attributes["error.type"]), (StatusCode::Error, &json!(answer.code())));
    assert_eq!(server.attributes["pointsman.error"], answer.code());
    let unknown = proxy.call(Method::GET, "/v1/files/file-1/content?key=x").answer().await;
    let spans = some_spans(&collector, 4).await;
    let named = the(&spans, "the other", |span| span.kind == SpanKind::Server && span.name == "GET");
    assert_eq!(named.attributes["http.response.status_code"], unknown.status);
    assert_eq!(named.attributes["url.path"], "/v1/files/file-1/content");
}

#[tokio::test]
async fn the_questions_of_an_approach_stand_between_the_request_and_their_attempts() {
    let a = Mock::start("a", Reply::chat("an answer")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    let mut request = chat_request();
    request["model"] = json!("moa-gpt-4");
    let answer = proxy.chat_call(&request).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let asked = a.requests().len();
    assert!(asked >= 3, "{asked}");
    let spans = some_spans(&collector, 1 + 2 * asked).await;
    let server = server(&spans);
    assert_eq!(server.attributes["pointsman.approach"], "moa");
    assert!(server.attributes["pointsman.approach.calls"].as_u64().is_some_and(|calls| calls > 1));
    assert!(!server.attributes.contains_key("pointsman.step"));
    let questions: Vec<&Span> = spans.iter().filter(|span| span.kind == SpanKind::Internal).collect();
    assert_eq!(questions.len(), asked);
    for question in &questions {
        assert_eq!((&question.parent, &question.trace), (&server.id, &server.trace));
        assert_eq!(question.attributes["pointsman.approach"], "moa");
        let step = question.attributes["pointsman.step"].as_str().expect("a word");
        assert_eq!(question.name, format!("moa {step}"));
        assert!(question.attributes["pointsman.request_id"].as_str().is_some_and(|id| id.contains('/')));
        let attempt = the(&spans, "its attempt", |span| span.parent == question.id);
        assert_eq!((attempt.kind, &attempt.attributes["gen_ai.usage.output_tokens"]), (SpanKind::Client, &json!(1)));
        assert!(attempt.is_within(question), "{attempt:?} {question:?}");
    }
    let mut told: Vec<String> = a.requests().iter().map(|seen| seen.header("traceparent").to_owned()).collect();
    let attempts = spans.iter().filter(|span| span.kind == SpanKind::Client);
    let mut made: Vec<String> = attempts.map(|span| format!("00-{}-{}-01", span.trace, span.id)).collect();
    told.sort();
    made.sort();
    assert_eq!(told, made);
}

#[tokio::test]
async fn the_names_of_generative_ai_are_chosen_by_their_variable() {
    let usage = json!({"input_tokens": 10, "output_tokens": 2, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 5});
    let content = json!([{"type": "text", "text": "hi"}]);
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
                         "stop_reason": "end_turn", "usage": usage});
    let a = Mock::start("a", Reply::json(200, &message)).await;
    for (opted, name) in [("", "cache_creation"), ("gen_ai_latest_experimental", "cache_write")] {
        let collector = collector().await;
        let builder = exporting(&collector, json!({})).environment("OTEL_SEMCONV_STABILITY_OPT_IN", opted);
        let proxy = builder.provider(&a, json!({})).start().await;
        let body = json!({"model": "claude", "max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}]});
        assert_eq!(proxy.post("/v1/messages", &body).await.status, 200);
        let spans = some_spans(&collector, 2).await;
        let client = the(&spans, "an attempt", |span| span.kind == SpanKind::Client);
        assert_eq!(client.name, "chat claude");
        assert_eq!(client.attributes[&format!("gen_ai.usage.{name}.input_tokens")], 30);
        assert_eq!(client.attributes["gen_ai.usage.input_tokens"], 45);
    }
}

/// A provider that fails once in a while.
fn failing_when_asked() -> Script {
    Script::by(|_, seen| match seen.json()["model"].as_str() {
        Some("bad") => Reply::error(500, "no"),
        _ => Reply::chat("good"),
    })
}

#[tokio::test]
async fn what_is_remarkable_is_exported_whatever_its_trace() {
    let a = Mock::start("a", failing_when_asked()).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let slow = Mock::start("slow", Reply::chat("slow").late(std::time::Duration::from_millis(2100))).await;
    for (always, wanted) in [
        (json!(["errors"]), vec!["alone"]),
        (json!(["failovers"]), vec!["bad"]),
        (json!(["errors", "failovers", {"slower_than": 2}]), vec!["bad", "alone", "slow"]),
    ] {
        let collector = collector().await;
        let proxy = exporting(&collector, json!({"traces": {"ratio": 0, "always": always}}))
            .provider(&a, json!({"models": ["good", "bad", "alone"], "model_map": {"alone": "bad"}, "health_check": {"enabled": false}}))
            .provider(&b, json!({"models": ["bad"]}))
            .provider(&slow, json!({"models": ["slow"]}))
            .set(json!({"monitoring": {"track_errors": false}}))
            .start()
            .await;
        for model in ["good", "bad", "alone", "slow", "good"] {
            let mut request = chat_request();
            request["model"] = json!(model);
            proxy.chat_call(&request).answer().await;
        }
        let servers = |spans: &[Span]| -> Vec<Value> {
            let servers = spans.iter().filter(|span| span.kind == SpanKind::Server);
            servers.map(|span| span.attributes["pointsman.model"].clone()).collect()
        };
        eventually("they are exported", || async { servers(&spans(&collector)).len() >= wanted.len() }).await;
        // All that ended before is exported, at the latest, when the server ends.
        proxy.stop().await;
        assert_eq!(servers(&spans(&collector)), wanted, "{always}");
    }
}

#[tokio::test]
async fn the_share_of_traces_is_that_of_the_configuration_and_it_is_whole() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({"traces": {"ratio": 0.5}})).provider(&a, json!({})).start().await;
    let mut session = proxy.session();
    for _ in 0..200 {
        session.chat(chat_request().to_string().into()).await;
    }
    proxy.stop().await;
    let spans = spans(&collector);
    let servers = spans.iter().filter(|span| span.kind == SpanKind::Server).count();
    // Five standard deviations.
    assert!((65..=135).contains(&servers), "{servers}");
    assert_eq!(spans.len(), 2 * servers);
    let told = a.requests().iter().filter(|seen| seen.header("traceparent").ends_with("-01")).count();
    assert_eq!(told, servers);
}
