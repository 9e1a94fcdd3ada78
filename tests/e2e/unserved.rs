//! A provider that does not serve an endpoint is not ejected for it, but tried last for that endpoint.

use harness::{Mock, Proxy, Reply, Script};
use serde_json::{Value, json};

/// Serves one endpoint, and answers all others with `status`.
fn only(endpoint: &'static str, status: u16, says: Value) -> Script {
    Script::by(move |_, request| {
        if request.target.ends_with(endpoint) { Reply::json(200, &says) } else { Reply::error(status, "not here") }
    })
}

#[tokio::test]
async fn two_servers_for_one_endpoint_each_serve_all_and_are_soon_asked_for_their_own_alone() {
    for status in [404, 501] {
        let chat = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}]});
        let embedded = json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}]});
        let chats = Mock::start("chats", only("/chat/completions", status, chat)).await;
        let embeds = Mock::start("embeds", only("/embeddings", status, embedded)).await;
        let builder = Proxy::builder().provider(&chats, json!({})).provider(&embeds, json!({}));
        let proxy = builder.strategy("round_robin").start().await;
        let embedding = json!({"model": "m", "input": "hello"});
        for _ in 0..10 {
            assert_eq!(proxy.chat().await.provider(), "chats");
            assert_eq!(proxy.post("/v1/embeddings", &embedding).await.provider(), "embeds");
        }
        for mock in [&chats, &embeds] {
            assert_eq!(proxy.state_of(mock).await, "admitted");
            assert!(mock.calls() <= 11, "{} was asked {} times for what it does not serve", mock.name(), mock.calls());
        }
    }
}

#[tokio::test]
async fn a_model_that_one_provider_does_not_know_leaves_it_first_for_those_that_it_does() {
    let a = Script::by(|_, request| {
        let known = request.json()["model"] == "known";
        if known { Reply::chat("from a") } else { Reply::error(404, "no such model") }
    });
    let (a, b) = (Mock::start("a", a).await, Mock::start("b", Reply::chat("from b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let ask = async |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
        proxy.chat_call(&body).answer().await.provider().to_owned()
    };
    for _ in 0..3 {
        assert_eq!((ask("unknown").await.as_str(), ask("known").await.as_str()), ("b", "a"));
    }
    assert_eq!(a.calls(), 4, "asked once for what it does not know");
}

#[tokio::test]
async fn a_provider_that_alone_is_left_is_asked_all_the_same() {
    let a = Mock::start("a", [Reply::error(404, "not yet"), Reply::chat("from a")]).await;
    let proxy = Proxy::before([&a]).await;
    assert_eq!((proxy.chat().await.status, proxy.chat().await.status), (404, 200));
}
