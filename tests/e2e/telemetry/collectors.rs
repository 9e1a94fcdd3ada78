//! Collectors that are slow, dead or refuse: requests do not notice, and what is lost is counted.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

/// Spans by what became of them.
async fn counted(proxy: &Proxy, result: &str) -> f64 {
    proxy.metric(&format!("pointsman_otel_spans_total{{result=\"{result}\"}}")).await
}

async fn wait_for(proxy: &Proxy, result: &str, count: f64) {
    eventually(&format!("{count} spans are {result}"), || async { counted(proxy, result).await >= count }).await;
    assert_eq!(counted(proxy, result).await, count);
}

/// Requests whose answers come although the collector does not, long before it would.
async fn ask(proxy: &Proxy, times: usize) {
    for _ in 0..times {
        let began = Instant::now();
        assert_eq!(proxy.chat().await.status, 200);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_neither_requests_nor_the_end() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = Mock::start("collector", Reply::silence()).await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    ask(&proxy, 10).await;
    eventually("the collector is asked", || async { collector.calls() == 1 }).await;
    ask(&proxy, 10).await;
    let began = Instant::now();
    proxy.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_collector_that_is_dead_gets_the_spans_when_it_lives() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = Mock::refusing("collector").await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    ask(&proxy, 3).await;
    let collector = collector.begin(Reply::status(200)).await;
    some_spans(&collector, 6).await;
    wait_for(&proxy, "exported", 6.0).await;
    assert_eq!((counted(&proxy, "dropped").await, counted(&proxy, "refused").await), (0.0, 0.0));
}

#[tokio::test]
async fn a_collector_that_asks_to_wait_gets_the_same_spans_after_that() {
    let a = Mock::start("a", Reply::chat("a")).await;
    for (status, wait) in [(429, Some("1")), (503, None)] {
        let collector = Mock::start(
            "collector",
            Script::by(move |index, _| match (index, wait) {
                (0, Some(wait)) => Reply::status(status).header("retry-after", wait),
                (0, None) => Reply::status(status),
                _ => Reply::status(200),
            }),
        )
        .await;
        let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
        ask(&proxy, 2).await;
        wait_for(&proxy, "exported", 4.0).await;
        let seen = collector.requests();
        assert_eq!((seen.len(), &seen[0].body), (2, &seen[1].body));
        let least = Duration::from_millis(if wait.is_some() { 1000 } else { 500 });
        let pause = seen[1].at - seen[0].at;
        assert!(pause >= least, "{pause:?}");
        assert_eq!((counted(&proxy, "dropped").await, counted(&proxy, "refused").await), (0.0, 0.0));
    }
}

#[tokio::test]
async fn a_collector_that_refuses_is_not_asked_again_and_what_it_refuses_is_counted() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = Mock::start("collector", Reply::status(400)).await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    ask(&proxy, 1).await;
    wait_for(&proxy, "refused", 2.0).await;
    // A success may say that it is none in part: here of three spans, in field 1 of field 1.
    collector
        .follow(Reply::status(200).header("content-type", "application/x-protobuf").body(vec![0x0a, 0x02, 0x08, 0x03]));
    ask(&proxy, 2).await;
    wait_for(&proxy, "refused", 5.0).await;
    wait_for(&proxy, "exported", 1.0).await;
    assert_eq!(collector.calls(), 2);
}

#[tokio::test]
async fn what_is_left_at_the_end_is_exported_then() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    ask(&proxy, 5).await;
    proxy.stop().await;
    assert_eq!(spans(&collector).len(), 10);
}

#[tokio::test]
async fn many_spans_go_out_in_batches() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    let mut session = proxy.session();
    for _ in 0..700 {
        session.chat(chat_request().to_string().into()).await;
    }
    proxy.stop().await;
    assert_eq!(spans(&collector).len(), 1400);
    assert!(collector.calls() >= 3, "{}", collector.calls());
}

#[tokio::test]
async fn a_reload_changes_where_spans_go_and_whether() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (first, second) = (collector().await, Mock::start("second", Reply::status(200)).await);
    let mut proxy = Proxy::builder().provider(&a, json!({})).start().await;
    proxy.chat().await;
    let to = |mock: &Mock| json!({"telemetry": {"otlp": {"endpoint": format!("http://{}", mock.address())}}});
    proxy.reload(to(&first)).await.expect("it is legal");
    proxy.chat().await;
    some_spans(&first, 2).await;
    proxy.reload(to(&second)).await.expect("it is legal");
    proxy.chat().await;
    some_spans(&second, 2).await;
    proxy.reload(json!({"telemetry": null})).await.expect("it is legal");
    proxy.chat().await;
    proxy.stop().await;
    assert_eq!((spans(&first).len(), spans(&second).len()), (2, 2));
}

#[tokio::test]
async fn bodies_are_compressed_where_that_is_wanted() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({"otlp": {"compression": "gzip"}})).provider(&a, json!({})).start().await;
    proxy.chat().await;
    eventually("the collector is asked", || async { collector.calls() == 1 }).await;
    let seen = collector.only_request();
    assert_eq!(seen.header("content-encoding"), "gzip");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&seen.body[..]), &mut plain).expect("gzip");
    let request = ExportTraceServiceRequest::decode(&plain[..]).expect("protobuf");
    assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed_as_it_would_take_the_headers_elsewhere() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let elsewhere = Mock::start("elsewhere", Reply::status(200)).await;
    let location = format!("http://{}/v1/traces", elsewhere.address());
    let collector = Mock::start("collector", Reply::status(307).header("location", &location)).await;
    let proxy = exporting(&collector, json!({})).provider(&a, json!({})).start().await;
    ask(&proxy, 1).await;
    wait_for(&proxy, "refused", 2.0).await;
    assert_eq!(elsewhere.calls(), 0);
}
