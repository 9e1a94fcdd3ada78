//! What providers say about their own limits in the headers of their answers.

use super::*;
use harness::chat_request;

/// An answer of a provider that has so much left of 60 requests, for so long.
fn left(remaining: &str, reset: &str) -> Reply {
    Reply::chat("from a")
        .header("x-ratelimit-limit-requests", "60")
        .header("x-ratelimit-remaining-requests", remaining)
        .header("x-ratelimit-reset-requests", reset)
}

#[tokio::test]
async fn a_provider_that_has_nothing_left_is_skipped_while_another_can_serve_and_not_ejected() {
    let (a, b) = (Mock::start("a", left("0", "10m")).await, Mock::start("b", Reply::chat("from b")).await);
    let proxy = Proxy::builder().provider(&a, json!({})).provider(&b, json!({})).strategy("failover").start().await;
    let served: Vec<String> =
        [proxy.chat().await, proxy.chat().await, proxy.chat().await].map(|a| a.provider().to_owned()).into();
    assert_eq!(served, ["a", "b", "b"]);
    let health = proxy.health_of(&a).await;
    assert_eq!((&health["state"], &health["healthy"]), (&json!("admitted"), &json!(true)));
    assert_eq!(
        (&health["said"]["requests"]["limit"], &health["said"]["requests"]["remaining"]),
        (&json!(60), &json!(0))
    );
    let seconds = health["said"]["requests"]["for_seconds"].as_f64().expect("a number");
    assert!((500.0..=600.0).contains(&seconds), "{health:?}");
}

#[tokio::test]
async fn a_provider_that_has_nothing_left_is_asked_when_there_is_nobody_else() {
    let a = Mock::start("a", left("0", "10m")).await;
    let proxy = Proxy::before([&a]).await;
    for _ in 0..3 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    assert_eq!(a.calls(), 3);
}

#[tokio::test]
async fn what_is_used_up_is_about_its_model_and_until_its_reset() {
    let (a, b) =
        (Mock::start("a", [left("0", "400ms"), left("59", "1s")]).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::builder().provider(&a, json!({})).provider(&b, json!({})).strategy("failover").start().await;
    assert_eq!((proxy.chat().await.provider(), proxy.chat().await.provider()), ("a", "b"));
    let mut other = chat_request();
    other["model"] = json!("another-model");
    assert_eq!(proxy.post("/v1/chat/completions", &other).await.provider(), "a");
    eventually("a is asked again", async || proxy.chat().await.provider() == "a").await;
}

#[tokio::test]
async fn a_strategy_learns_what_is_left() {
    let a = Mock::start(
        "a",
        left("45", "5m")
            .header("anthropic-ratelimit-tokens-limit", "1000")
            .header("anthropic-ratelimit-tokens-remaining", "90")
            .header("anthropic-ratelimit-tokens-reset", "300"),
    )
    .await;
    let (_folder, file, record) = recorded();
    let proxy = Proxy::builder().provider(&a, json!({})).set(record).start().await;
    for _ in 0..2 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    assert_eq!(decisions(&file, 2).await, [[(1000, 1000)], [(750, 90)]]);
}

#[tokio::test]
async fn metrics_show_what_a_provider_says() {
    let a = Mock::start("a", left("45", "5m")).await;
    let proxy = Proxy::before([&a]).await;
    assert_eq!(proxy.chat().await.status, 200);
    let metrics = proxy.get("/metrics").await.text();
    for line in [
        r#"pointsman_provider_limit{limit="requests",provider="a",source="provider"} 60"#,
        r#"pointsman_provider_limit_remaining{limit="requests",provider="a",source="provider"} 45"#,
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn what_a_stream_and_an_error_say_counts_as_well() {
    let limit = |reply: Reply| reply.header("x-ratelimit-remaining", "3").header("x-ratelimit-limit", "10");
    for reply in [limit(Reply::stream(&["x"])), limit(Reply::error(400, "no"))] {
        let a = Mock::start("a", reply).await;
        let proxy = Proxy::before([&a]).await;
        proxy.chat().await;
        assert_eq!(proxy.health_of(&a).await["said"]["requests"]["remaining"], 3);
    }
}
