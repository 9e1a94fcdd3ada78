//! The strategy `rules`: policies in the configuration, through the real component.

use harness::{Answer, Mock, Proxy, ProxyBuilder, Reply};
use serde_json::{Value, json};

async fn three() -> (Mock, Mock, Mock) {
    let mock = async |name: &str| Mock::start(name, Reply::chat(name)).await;
    (mock("a").await, mock("b").await, mock("c").await)
}

fn ask(words: usize) -> Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": "word ".repeat(words)}]})
}

/// A proxy before all three, of which `a` and `b` stand in Europe.
fn builder(mocks: &(Mock, Mock, Mock), rules: Value) -> ProxyBuilder {
    let (a, b, c) = mocks;
    let labels = |region: &str| json!({"labels": {"region": region}});
    let attributes = json!({"tenant": {"header": "x-tenant"}, "residency": {"body": "metadata.residency"}});
    let routing =
        json!({"strategy": "rules", "attributes": attributes, "health_check": {"enabled": false}, "retries": 0});
    let config = json!({"rules": {"config": rules}});
    let builder = Proxy::builder().provider(a, labels("eu")).provider(b, labels("eu")).provider(c, labels("us"));
    builder.set(json!({"routing": routing, "strategies": config, "monitoring": {"explain": true}}))
}

/// Requests that ask for it stay in Europe; those that are no streams go to America first.
fn europe() -> Value {
    json!({"rules": [
        {"when": {"attributes": {"residency": "eu"}}, "only": {"region": "eu"}, "continue": true, "reason": "EU only"},
        {"when": {"streaming": false}, "prefer": {"region": "us"}},
    ]})
}

async fn of_tenant(proxy: &Proxy, tenant: &str) -> Answer {
    proxy.chat_call(&ask(1)).header("x-tenant", tenant).answer().await
}

#[tokio::test]
async fn a_tenant_goes_to_its_own_targets_and_never_elsewhere() {
    let mocks = three().await;
    let rules = json!({"rules": [
        {"when": {"attributes": {"tenant": "gold"}}, "only": "a", "reason": "gold"},
        {"when": {"attributes": {"tenant": "silver*"}}, "only": ["c", "b"], "then": "failover"},
        {"never": "a"},
    ]});
    let proxy = builder(&mocks, rules).start().await;
    let answer = of_tenant(&proxy, "gold").await;
    assert_eq!((answer.status, answer.provider()), (200, "a"));
    assert!(answer.header("x-pointsman-decision").contains("rules[0]: gold"), "{answer:?}");
    assert_eq!(of_tenant(&proxy, "silver-7").await.provider(), "c");
    mocks.0.follow(Reply::status(500));
    for _ in 0..4 {
        let answer = of_tenant(&proxy, "gold").await;
        assert!(answer.status >= 500, "{answer:?}");
        assert_eq!(of_tenant(&proxy, "bronze").await.status, 200);
        assert_eq!(proxy.post("/v1/chat/completions", &ask(1)).await.status, 200);
    }
    assert_eq!(mocks.1.calls() + mocks.2.calls(), 9, "what is gold's went to nobody else");
    mocks.2.follow(Reply::status(500));
    assert_eq!(of_tenant(&proxy, "silver").await.provider(), "b", "the next that is written there");
}

#[tokio::test]
async fn a_long_prompt_goes_to_the_large_context_alone() {
    let (a, b, _) = three().await;
    let routes = json!([{"models": ["auto"], "strategy": "by-length", "targets": [
        {"provider": "a", "model": "small", "context": 4000, "price": {"input": 0.1, "output": 0.2}},
        {"provider": "b", "model": "large", "context": 100_000, "price": {"input": 2, "output": 8}},
    ]}]);
    let config = json!({"otherwise": "cheapest", "rules": [
        {"when": {"prompt_tokens": {"above": 3000}}, "only": {"model": "large"}},
        {"when": {"max_tokens": {"above": 2000}}, "prefer": {"model": "large"}},
    ]});
    let strategies = json!({"by-length": {"built_in": "rules", "config": config}});
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy =
        builder.set(json!({"routes": routes, "strategies": strategies, "routing": {"retries": 0}})).start().await;
    let chat = async |body: &Value| proxy.post("/v1/chat/completions", body).await;
    assert_eq!(chat(&ask(10)).await.provider(), "a");
    assert_eq!(chat(&ask(4000)).await.provider(), "b");
    assert_eq!(b.only_request().json()["model"], "large");
    let mut long_answer = ask(10);
    long_answer["max_tokens"] = json!(3000);
    assert_eq!(chat(&long_answer).await.provider(), "b");
    b.follow(Reply::status(500));
    assert_eq!(chat(&long_answer).await.provider(), "a", "it was preferred, no more");
    let before = a.calls();
    assert!(chat(&ask(4000)).await.status >= 500);
    assert_eq!(a.calls(), before, "the small one has no room for it");
}

#[tokio::test]
async fn what_must_stay_in_europe_is_never_tried_elsewhere_however_ill_europe_is() {
    let mocks = (Mock::refusing("a").await, Mock::refusing("b").await, Mock::start("c", Reply::chat("c")).await);
    let proxy = builder(&mocks, europe()).start().await;
    let in_europe = json!({"model": "auto", "messages": [], "metadata": {"residency": "eu"}});
    for _ in 0..3 {
        let answer = proxy.post("/v1/chat/completions", &in_europe).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "all_providers_failed"), "{answer:?}");
    }
    assert_eq!(mocks.2.calls(), 0);
    assert_eq!(proxy.post("/v1/chat/completions", &ask(1)).await.provider(), "c");
}

#[tokio::test]
async fn what_must_stay_in_europe_is_refused_with_the_reason_when_nobody_there_serves_the_model() {
    let (a, _, c) = three().await;
    let config = json!({"rules": {"config": europe()}});
    let routing = json!({"strategy": "rules", "attributes": {"residency": {"body": "metadata.residency"}}});
    let builder = Proxy::builder()
        .provider(&a, json!({"labels": {"region": "eu"}, "models": ["other"]}))
        .provider(&c, json!({"labels": {"region": "us"}}));
    let proxy = builder.set(json!({"routing": routing, "strategies": config})).start().await;
    let in_europe = json!({"model": "auto", "messages": [], "metadata": {"residency": "eu"}});
    let answer = proxy.post("/v1/chat/completions", &in_europe).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "excluded_by_strategy"), "{answer:?}");
    assert!(answer.message().contains("EU only"), "{}", answer.message());
    assert_eq!(c.calls(), 0);
    assert_eq!(proxy.post("/v1/chat/completions", &ask(1)).await.provider(), "c");
}

#[tokio::test]
async fn each_route_may_have_rules_of_its_own() {
    let (a, b, _) = three().await;
    let routes = json!([{"models": ["one"], "strategy": "first"}, {"models": ["two"], "strategy": "second"}]);
    let rules = |whom: &str| json!({"built_in": "rules", "config": {"rules": [{"prefer": whom}]}});
    let strategies = json!({"first": rules("a"), "second": rules("b")});
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(json!({"routes": routes, "strategies": strategies})).start().await;
    for (model, provider) in [("one", "a"), ("two", "b"), ("one", "a"), ("two", "b")] {
        let body = json!({"model": model, "messages": []});
        assert_eq!(proxy.post("/v1/chat/completions", &body).await.provider(), provider);
    }
}

#[tokio::test]
async fn the_clock_is_that_of_the_proxy() {
    let mocks = three().await;
    let rules = json!({"rules": [
        {"when": {"hours": ["00:00-12:00", "12:00-24:00"], "days": "mon-sun"}, "only": "b"},
        {"never": "b"},
    ]});
    let proxy = builder(&mocks, rules).start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
}

#[tokio::test]
async fn mistakes_refuse_the_start_and_each_is_named_with_its_place() {
    let mocks = three().await;
    let refused = async |rules: Value| {
        let builder = builder(&mocks, rules);
        builder.bind(&builder.write()).await.err().map(|error| format!("{error:#}")).unwrap_or_default()
    };
    let error = refused(json!({"rules": [
        {"when": {"hours": "22-6"}, "prefer": "a"},
        {"when": {"attributes": {"team": "x"}}, "only": {"region": "ue"}},
        {"perfer": "a", "never": "d"},
    ]}))
    .await;
    for part in [
        "config.rules[0].when.hours: `22-6` are no hours; write HH:MM-HH:MM, such as \"22:00-06:00\"",
        "config.rules[1].when.attributes.team: `routing.attributes` of the configuration must name `team`",
        "config.rules[1].only.region: no target has the region `ue`; did you mean `eu`?",
        "config.rules[2].perfer: is not a known key; did you mean `prefer`?",
        "config.rules[2].never: no target is called `d`; did you mean `a`?",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert!(refused(json!({})).await.contains("config.rules: is required"));
}

/// The blocks of YAML in a document that hold rules, as configurations.
fn examples(document: &str) -> Vec<String> {
    let path = harness::workspace().join(document);
    let text = std::fs::read_to_string(path).expect("the document is there");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let with_rules = blocks.filter(|block| block.contains("rules:"));
    let whole = |block: &str| {
        let config: String = block.lines().map(|line| format!("      {line}\n")).collect();
        let strategies = format!("strategies:\n  rules:\n    config:\n{config}");
        let text = if block.contains("strategies:") { block.to_owned() } else { strategies };
        let attributes = "{tenant: {header: x-tenant}, residency: {header: x-residency}}";
        let strategy = if block.contains("built_in: rules") { "weighted" } else { "rules" };
        let routing = format!("routing: {{strategy: {strategy}, attributes: {attributes}}}\n");
        let providers = ["cloud", "gold-a", "silver", "shared", "gpu-server", "local"].map(|name| (name, "{}"));
        let special = [("eu", "{region: eu}"), ("low", "{cost: low}")];
        let provider = |(name, labels)| {
            format!("  - {{name: {name}, base_url: 'http://127.0.0.1:9', api_key: k, labels: {labels}}}\n")
        };
        let listed: String = providers.into_iter().chain(special).map(provider).collect();
        let large = "  - {name: big, base_url: 'http://127.0.0.1:9', api_key: k, models: [large]}\n";
        let routing = if text.contains("routing:") { "" } else { &routing };
        format!("server: {{port: 0}}\nproviders:\n{listed}{large}{text}\n{routing}")
    };
    with_rules.map(whole).collect()
}

#[tokio::test]
async fn the_examples_of_the_documents_start() {
    let examples = examples("docs/rules.md");
    assert_eq!(examples.len(), 5);
    for example in examples {
        let builder = Proxy::builder();
        let path = builder.write();
        std::fs::write(&path, &example).expect("writable");
        let error = builder.bind(&path).await.err().map(|error| format!("{error:#}"));
        assert_eq!(error, None, "{example}");
    }
}

#[tokio::test]
async fn a_reload_with_a_mistake_changes_nothing() {
    let mocks = three().await;
    let mut proxy = builder(&mocks, json!({"rules": [{"prefer": "c"}]})).start().await;
    let wrong = json!({"strategies": {"rules": {"config": {"rules": [{"prefer": "nobody"}]}}}});
    let failure = proxy.reload(wrong).await.expect_err("there is nobody of this name");
    assert!(failure.text.contains("config.rules[0].prefer: no target is called `nobody`"), "{}", failure.text);
    assert_eq!(proxy.chat().await.provider(), "c");
}
