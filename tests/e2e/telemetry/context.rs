//! Trace context, in and out.

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[tokio::test]
async fn a_client_that_traces_is_the_parent_and_its_notes_pass_untouched() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({"traces": {"ratio": 0}})).provider(&a, json!({})).start().await;
    let call = proxy.chat_call(&chat_request()).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    call.header("tracestate", "vendor=opaque,other=1").answer().await;
    let spans = some_spans(&collector, 2).await;
    let server = server(&spans);
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, PARENT));
    // The parent is known to be remote (0x100 says that it is known, 0x200 that it is).
    assert_eq!(server.flags & 0x301, 0x301);
    let client = the(&spans, "an attempt", |span| span.kind == SpanKind::Client);
    assert_eq!(client.flags & 0x301, 0x101);
    let seen = a.only_request();
    assert_eq!(seen.header("traceparent"), format!("00-{TRACE}-{}-01", client.id));
    assert_eq!(seen.header("tracestate"), "vendor=opaque,other=1");
}

#[tokio::test]
async fn a_client_that_does_not_export_its_trace_keeps_it_from_being_exported_here() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    proxy.chat_call(&chat_request()).header("traceparent", &format!("00-{TRACE}-{PARENT}-00")).answer().await;
    let told = a.only_request().header("traceparent").to_owned();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00") && !told.contains(PARENT), "{told}");
    proxy.stop().await;
    assert!(spans(&collector).is_empty());
}

#[tokio::test]
async fn what_is_malformed_begins_a_new_trace() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    let bad = format!("00-{}-{PARENT}-01", TRACE.to_uppercase());
    proxy.chat_call(&chat_request()).header("traceparent", &bad).header("tracestate", "a=b").answer().await;
    let spans = some_spans(&collector, 2).await;
    let server = server(&spans);
    assert_eq!(server.parent, "");
    assert_ne!(server.trace, TRACE);
    let seen = a.only_request();
    assert!(seen.header("traceparent").starts_with(&format!("00-{}-", server.trace)));
    assert_eq!(seen.header("tracestate"), "");
}

#[tokio::test]
async fn without_tracing_or_propagation_it_passes_as_it_came() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let plain = Proxy::before([&a]).await;
    let proxy = exporting(&collector, json!({"traces": {"propagate": false}})).provider(&a, json!({})).start().await;
    for proxy in [&plain, &proxy] {
        for value in [format!("00-{TRACE}-{PARENT}-01"), "nonsense".to_owned()] {
            proxy.chat_call(&chat_request()).header("traceparent", &value).header("tracestate", "a=b").answer().await;
            let seen = a.requests().pop().expect("a request");
            assert_eq!((seen.header("traceparent"), seen.header("tracestate")), (value.as_str(), "a=b"));
        }
        proxy.chat().await;
        assert_eq!(a.requests().pop().expect("a request").header("traceparent"), "");
    }
    let spans = some_spans(&collector, 6).await;
    the(&spans, "the child of the client's", |span| span.kind == SpanKind::Server && span.parent == PARENT);
}

#[tokio::test]
async fn a_hedge_has_a_span_of_its_own_and_whoever_was_slower_is_no_error() {
    let slow = Mock::start("slow", Reply::silence()).await;
    let quick = Mock::start("quick", Reply::chat("quick")).await;
    let collector = collector().await;
    let route = json!([{"models": ["gpt-4"], "targets": ["slow", "quick"], "hedge": {"after": 0.05, "at_most": 1}}]);
    let proxy = exporting(&collector, json!({}))
        .provider(&slow, json!({}))
        .provider(&quick, json!({}))
        .set(json!({ "routes": route }))
        .start()
        .await;
    assert_eq!(proxy.chat().await.provider(), "quick");
    let spans = some_spans(&collector, 3).await;
    let hedge = the(&spans, "the hedge", |span| span.attributes.contains_key("pointsman.hedge"));
    assert_eq!(hedge.attributes["pointsman.provider"], "quick");
    let loser = the(&spans, "the other", |span| span.attributes.get("pointsman.provider") == Some(&json!("slow")));
    assert_eq!((loser.status, &loser.attributes["pointsman.outcome"]), (StatusCode::Unset, &json!("cancelled")));
    assert!(!loser.attributes.contains_key("gen_ai.usage.input_tokens"));
    for (mock, span) in [(&slow, loser), (&quick, hedge)] {
        assert_eq!(mock.only_request().header("traceparent"), format!("00-{}-{}-01", span.trace, span.id));
    }
}
