//! Requests that belong together, and the strategies that care.

use harness::{Mock, Proxy, Reply};
use serde_json::{Value, json};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

async fn proxy(strategy: &str, affinity: Value, config: Value) -> (Proxy, Vec<Mock>) {
    let mut mocks = Vec::new();
    let mut builder = Proxy::builder();
    for name in NAMES {
        let mock = Mock::start(name, Reply::chat(name)).await;
        builder = builder.provider(&mock, json!({"price": {"input": 1, "output": 2}}));
        mocks.push(mock);
    }
    let strategies = json!({ strategy: {"config": config} });
    let settings = json!({"routing": {"strategy": strategy, "affinity": affinity}, "strategies": strategies});
    (builder.set(settings).start().await, mocks)
}

/// The providers that answer the turns of a conversation that begins with `words`.
async fn conversation(proxy: &Proxy, words: &str) -> Vec<String> {
    let mut messages =
        vec![json!({"role": "system", "content": "be brief"}), json!({"role": "user", "content": words})];
    let mut providers = Vec::new();
    for turn in 0..4 {
        let answer = proxy.post("/v1/chat/completions", &json!({"model": "m", "messages": messages})).await;
        providers.push(answer.provider().to_owned());
        messages.push(json!({"role": "assistant", "content": format!("answer {turn}")}));
        messages.push(json!({"role": "user", "content": format!("question {turn}")}));
    }
    providers
}

#[tokio::test]
async fn all_turns_of_a_conversation_meet_the_same_provider_and_conversations_are_spread() {
    let (proxy, mocks) = proxy("affinity", json!({"prompt_prefix": 1024}), json!({})).await;
    for number in 0..40 {
        let providers = conversation(&proxy, &format!("hello {number}")).await;
        assert!(providers.iter().all(|provider| *provider == providers[0]), "{providers:?}");
    }
    let calls: Vec<usize> = mocks.iter().map(Mock::calls).collect();
    assert!(calls.iter().all(|calls| *calls >= 8), "{calls:?}");
}

#[tokio::test]
async fn the_header_keeps_together_whatever_is_said() {
    let (proxy, mocks) = proxy("affinity", json!({"header": "x-session-id"}), json!({})).await;
    let body = |number: usize| json!({"model": "m", "messages": [{"role": "user", "content": number.to_string()}]});
    for session in ["one", "two", "three"] {
        let mut providers = std::collections::HashSet::new();
        for number in 0..10 {
            let answer = proxy.chat_call(&body(number)).header("x-session-id", session).answer().await;
            providers.insert(answer.provider().to_owned());
        }
        assert_eq!(providers.len(), 1, "{session}: {providers:?}");
    }
    let seen = mocks.iter().flat_map(Mock::requests).all(|request| !request.header("x-session-id").is_empty());
    assert!(seen, "the header is passed on");
}

#[tokio::test]
async fn the_canary_meets_the_same_conversations_again() {
    let config = json!({"provider": "d", "percent": 30});
    let (proxy, _mocks) = proxy("canary", json!({"prompt_prefix": 1024}), config).await;
    let mut met = 0;
    for number in 0..60 {
        let providers = conversation(&proxy, &format!("hello {number}")).await;
        let canary = providers.iter().filter(|provider| *provider == "d").count();
        assert!(canary == 0 || canary == providers.len(), "{providers:?}");
        met += usize::from(canary > 0);
    }
    assert!((8..=30).contains(&met), "{met} of 60");
}

#[tokio::test]
async fn without_a_rule_nothing_belongs_together() {
    let (proxy, mocks) = proxy("affinity", json!({}), json!({})).await;
    for _ in 0..4 {
        conversation(&proxy, "hello").await;
    }
    let calls: Vec<usize> = mocks.iter().map(Mock::calls).collect();
    assert_eq!(calls, [4, 4, 4, 4]);
}
