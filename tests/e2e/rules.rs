//! The strategy `rules`: policies in the configuration, through the real component.

use harness::{Mock, Proxy, ProxyBuilder, Reply};
use serde_json::{Value, json};

async fn three() -> (Mock, Mock, Mock) {
    let mock = async |name: &str| Mock::start(name, Reply::chat(name)).await;
    (mock("a").await, mock("b").await, mock("c").await)
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
    for (document, count) in [("docs/rules.md", 5), ("README.md", 1)] {
        let examples = examples(document);
        assert_eq!(examples.len(), count, "{document}");
        for example in examples {
            let builder = Proxy::builder();
            let path = builder.write();
            std::fs::write(&path, &example).expect("writable");
            let error = builder.bind(&path).await.err().map(|error| format!("{error:#}"));
            assert_eq!(error, None, "{document}:\n{example}");
        }
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
