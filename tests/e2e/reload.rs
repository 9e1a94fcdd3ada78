//! Reloads: the next configuration without a lost request, or none at all.

use std::path::Path;

use harness::{Call, Gate, Mock, Proxy, Reply, eventually, misbehave, provider};
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn requests_in_flight_finish_on_what_they_began_with() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("old").held_by(&gate)).await;
    let b = Mock::start("b", Reply::chat("new")).await;
    let mut proxy = Proxy::before([&a]).await;
    let old = proxy.chat_meanwhile();
    eventually("a works on it", async || a.serving() == 1).await;
    let reloaded = proxy.reload(json!({"providers": [provider(&b, json!({}))]})).await.expect("a good configuration");
    assert_eq!((reloaded.generation, reloaded.providers), (2, 1));
    assert_eq!(proxy.chat().await.content(), "new");
    gate.open();
    assert_eq!(old.await.expect("answered").content(), "old");
    assert_eq!((a.calls(), b.calls()), (1, 1));
}

#[tokio::test]
async fn a_stream_goes_on_over_a_reload() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::sse().word("one").wait(&gate).word("two").done()).await;
    let b = Mock::start("b", Reply::chat("new")).await;
    let mut proxy = Proxy::before([&a]).await;
    let mut stream = proxy.stream().await;
    stream.read_until("one").await;
    proxy.reload(json!({"providers": [provider(&b, json!({}))]})).await.expect("a good configuration");
    gate.open();
    let rest = stream.rest().await;
    assert!(rest.complete && rest.text().ends_with("data: [DONE]\n\n"), "{}", rest.text());
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_is_reported_with_all_its_problems() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::before([&a]).await;
    let broken = json!({"providers": [provider(&a, json!({"weight": -1}))], "queue": {"max_concurent": 5}});
    let failure = proxy.reload(broken).await.expect_err("two problems");
    for part in ["providers[0].weight: must be", "did you mean `max_concurrent`?"] {
        assert!(failure.text.contains(part), "{part} is missing in {}", failure.text);
    }
    let health = proxy.get("/health").await.json();
    assert_eq!((&health["config"]["generation"], &health["config"]["reloads"]["failed"]), (&json!(1), &json!(1)));
    let problems = health["config"]["last_error"]["problems"].to_string();
    assert!(problems.contains(": providers[0].weight"), "{problems}");
    let latest = &health["config"]["reloads"]["latest"][0];
    assert_eq!((&latest["result"], &latest["generation"]), (&json!("failed"), &json!(1)), "{latest}");
    assert_eq!(proxy.chat().await.content(), "a");
    // The next good one clears it.
    let mended = json!({"providers": [provider(&a, json!({}))], "queue": {"max_concurent": null}});
    let failure = proxy.reload(mended).await.expect_err("an unknown key is one, whatever it holds");
    assert!(failure.text.contains("max_concurent"));
}

#[tokio::test]
async fn health_says_where_the_problems_of_a_refused_configuration_are_and_not_what_stands_there() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::before([&a]).await;
    let providers = json!([provider(&a, json!({"base_url": "internal.example/v1", "weight": "h3avy"}))]);
    let failure = proxy.reload(json!({"providers": providers})).await.expect_err("two problems");
    assert!(failure.text.contains("internal.example") && failure.text.contains("h3avy"), "{}", failure.text);
    let health = proxy.get("/health").await;
    let config = health.json()["config"].clone();
    for shown in [&config["last_error"]["problems"], &config["reloads"]["latest"][0]["problems"]] {
        let places: Vec<&str> = shown.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(places.iter().any(|place| place.ends_with(": providers[0].base_url")), "{places:?}");
        assert!(places.iter().any(|place| place.ends_with(": providers[0].weight")), "{places:?}");
        assert!(places.iter().all(|place| place.starts_with("proxy_config.")), "{places:?}");
    }
    for value in ["internal.example", "h3avy"] {
        assert!(!health.text().contains(value), "{value} is in {}", health.text());
    }
}

#[tokio::test]
async fn health_says_what_each_reload_has_changed_and_no_secret() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::before([&a]).await;
    proxy.reload(json!({"providers": [provider(&a, json!({"weight": 3}))]})).await.expect("a good configuration");
    let changed = json!({"providers": [provider(&a, json!({"weight": 1.5, "api_key": "sk-rotated"}))]});
    proxy.reload(changed.clone()).await.expect("a good configuration");
    proxy.reload(changed).await.expect("the same again");
    let latest = proxy.get("/health").await.json()["config"]["reloads"]["latest"].clone();
    assert_eq!(latest[1]["changes"], json!(["providers[a].api_key: changed", "providers[a].weight: 3 -> 1.5"]));
    assert_eq!((&latest[2]["result"], &latest[2]["changes"]), (&json!("unchanged"), &json!([])));
}

#[tokio::test]
async fn the_next_good_reload_clears_the_error() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::before([&a]).await;
    proxy.reload(json!({"providers": []})).await.expect_err("no providers");
    proxy.reload(json!({"providers": [provider(&a, json!({}))]})).await.expect("good again");
    let config = proxy.get("/health").await.json()["config"].clone();
    assert_eq!((&config["generation"], config.get("last_error")), (&json!(2), None));
}

#[tokio::test]
async fn a_strategy_that_does_not_load_changes_nothing() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::before([&a]).await;
    std::fs::write(proxy.folder().join("bad.wasm"), b"not wasm").expect("writable");
    let failure = proxy.reload(json!({"routing": {"strategy": "./bad.wasm"}})).await.expect_err("not WebAssembly");
    assert!(failure.text.contains("is not WebAssembly"), "{}", failure.text);
    assert_eq!(proxy.get("/health").await.json()["strategy"]["name"], "failover");
    assert_eq!(proxy.chat().await.status, 200);
}

#[tokio::test]
async fn the_strategy_changes_with_the_next_request() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let mut proxy = Proxy::before([&a, &b]).await;
    for _ in 0..3 {
        assert_eq!(proxy.chat().await.provider(), "a");
    }
    proxy.reload(json!({"routing": {"strategy": "round_robin"}})).await.expect("a good configuration");
    for _ in 0..10 {
        proxy.chat().await;
    }
    assert_eq!((a.calls(), b.calls()), (8, 5));
}

#[tokio::test]
async fn a_strategy_that_breaks_after_a_swap_gives_way_to_the_one_before() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let mut proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.chat().await.provider(), "a", "failover");
    let strategies = json!({"backwards": {"path": misbehave(), "config": {}}});
    let swap = json!({"routing": {"strategy": "backwards"}, "strategies": strategies});
    assert_eq!(proxy.reload(swap).await.expect("it works when probed").strategy, "backwards");
    assert_eq!(proxy.chat().await.provider(), "b", "the new one decides");
    for _ in 0..3 {
        let answer = proxy.chat_call(&json!({"model": "do:duplicate", "messages": []})).answer().await;
        assert_eq!((answer.status, answer.provider()), (200, "a"), "the default order");
    }
    for _ in 0..10 {
        assert_eq!(proxy.chat().await.provider(), "a", "failover again");
    }
    let strategy = proxy.get("/health").await.json()["strategy"].clone();
    assert_eq!(strategy["name"], "failover");
    assert!(strategy["rolled_back"].as_str().is_some_and(|why| why.contains("3 illegal_decision")), "{strategy}");
    for (series, value) in [
        (r#"pointsman_strategy_faults_total{kind="illegal_decision",strategy="backwards"}"#, 3.0),
        (r#"pointsman_strategy_rolled_back{strategy="failover"}"#, 1.0),
    ] {
        assert_eq!(proxy.metric(series).await, value, "{series}");
    }
    // The same again is not tried again.
    proxy.reload(json!({"timeouts": {"idle": 9}})).await.expect("a good configuration");
    assert_eq!(proxy.chat().await.provider(), "a");
}

#[tokio::test]
async fn a_strategy_that_breaks_when_probed_is_refused() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::before([&a]).await;
    for (deed, fault) in [("panic", "trapped"), ("spin", "ran longer"), ("out_of_range", "illegal decision")] {
        let strategies = json!({"fixture": {"path": misbehave(), "config": {"on": "route", "do": deed}}});
        let swap = json!({"routing": {"strategy": "fixture"}, "strategies": strategies});
        let failure = proxy.reload(swap).await.expect_err("it breaks");
        assert!(failure.text.contains("routing.strategy") && failure.text.contains(fault), "{}", failure.text);
    }
    assert_eq!(proxy.get("/health").await.json()["strategy"]["name"], "failover");
}

#[tokio::test]
async fn an_ejected_provider_stays_out_and_a_new_key_forgives_it() {
    let a = Mock::start("a", Reply::status(401)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let mut proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.chat().await.provider(), "b");
    let limited = json!([provider(&a, json!({"weight": 2})), provider(&b, json!({}))]);
    proxy.reload(json!({"providers": limited})).await.expect("a good configuration");
    assert_eq!(proxy.state_of(&a).await, "ejected");
    assert_eq!((proxy.chat().await.provider(), a.calls()), ("b", 1));
    a.follow(Reply::chat("a"));
    let rekeyed = json!([provider(&a, json!({"api_key": "sk-another"})), provider(&b, json!({}))]);
    proxy.reload(json!({"providers": rekeyed})).await.expect("a good configuration");
    assert_eq!(proxy.state_of(&a).await, "admitted");
    assert_eq!(proxy.chat().await.provider(), "a");
}

#[tokio::test]
async fn slots_taken_before_count_after() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let mut proxy = Proxy::builder().provider(&a, json!({"max_concurrent": 3})).start().await;
    let early: Vec<_> = (0..3).map(|_| proxy.chat_meanwhile()).collect();
    eventually("a is full", async || a.serving() == 3).await;
    let fewer = json!({"providers": [provider(&a, json!({"max_concurrent": 2}))]});
    proxy.reload(fewer).await.expect("a good configuration");
    let late: Vec<_> = (0..4).map(|_| proxy.chat_meanwhile()).collect();
    eventually("they wait", async || proxy.get("/health").await.json()["queue"]["in_flight"] == 7).await;
    assert_eq!((proxy.health_of(&a).await["in_flight"].clone(), a.serving()), (json!(3), 3));
    gate.open();
    for call in early.into_iter().chain(late) {
        assert_eq!(call.await.expect("answered").status, 200);
    }
    assert_eq!(a.most_at_once(), 3);
    assert_eq!(proxy.health_of(&a).await["in_flight"], json!(0));
}

#[tokio::test]
async fn a_provider_that_is_taken_out_and_put_in_again_gets_no_more_than_its_limit() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let narrow = || provider(&a, json!({"max_concurrent": 2}));
    let mut proxy = Proxy::builder().provider(&a, json!({"max_concurrent": 2})).start().await;
    let early: Vec<_> = (0..2).map(|_| proxy.chat_meanwhile()).collect();
    eventually("a is full", async || a.serving() == 2).await;
    proxy.reload(json!({"providers": [provider(&b, json!({}))]})).await.expect("a good configuration");
    assert_eq!(proxy.chat().await.provider(), "b");
    proxy.reload(json!({"providers": [narrow()]})).await.expect("a good configuration");
    let late: Vec<_> = (0..3).map(|_| proxy.chat_meanwhile()).collect();
    eventually("they wait", async || proxy.get("/health").await.json()["queue"]["in_flight"] == 5).await;
    gate.open();
    for call in early.into_iter().chain(late) {
        assert_eq!(call.await.expect("answered").status, 200);
    }
    assert_eq!(a.most_at_once(), 2);
}

#[tokio::test]
async fn the_queue_grows_for_those_who_wait() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"queue": {"max_concurrent": 1}}));
    let mut proxy = builder.start().await;
    let calls = [proxy.chat_meanwhile(), proxy.chat_meanwhile()];
    eventually("one waits", async || proxy.get("/health").await.json()["queue"]["waiting"] == 1).await;
    proxy.reload(json!({"queue": {"max_concurrent": 2}})).await.expect("a good configuration");
    eventually("both are served", async || a.serving() == 2).await;
    gate.open();
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
}

#[tokio::test]
async fn a_rotation_goes_on_where_it_was() {
    let mocks = [
        Mock::start("a", Reply::chat("a")).await,
        Mock::start("b", Reply::chat("b")).await,
        Mock::start("c", Reply::chat("c")).await,
    ];
    let builder = mocks.iter().fold(Proxy::builder(), |builder, mock| builder.provider(mock, json!({})));
    let mut proxy = builder.strategy("round_robin").start().await;
    for _ in 0..10 {
        proxy.chat().await;
        proxy.reload(json!({"queue": {"timeout": 5}})).await.expect("a good configuration");
    }
    assert_eq!(mocks.each_ref().map(Mock::calls), [4, 3, 3]);
}

#[tokio::test]
async fn a_changed_file_is_followed_by_itself() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"server": {"watch": true}}));
    let mut proxy = builder.start().await;
    assert_eq!(proxy.chat().await.provider(), "a");
    proxy.rewrite(json!({"providers": [provider(&b, json!({}))]}));
    eventually("b answers", async || proxy.chat().await.provider() == "b").await;
    proxy.rewrite(json!({"providers": []}));
    eventually("the error is seen", async || proxy.get("/health").await.json()["config"]["reloads"]["failed"] == 1)
        .await;
    assert_eq!(proxy.chat().await.provider(), "b");
}

#[tokio::test]
async fn a_file_that_changes_while_the_server_starts_is_followed() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"server": {"watch": true}}));
    let change = |path: &Path| {
        let text = std::fs::read_to_string(path).expect("text");
        std::fs::write(path, text.replace(&a.base_url(), &b.base_url())).expect("writable");
    };
    let proxy = builder.start_while(change).await;
    eventually("b answers", async || proxy.chat().await.content() == "b").await;
}

#[tokio::test]
async fn a_second_listener_that_comes_with_a_reload_locks_nobody_out() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::before([&a]).await;
    let reloaded = proxy.reload(json!({"server": {"admin": {"port": 0}}})).await.expect("a good configuration");
    assert!(reloaded.warnings.iter().any(|warning| warning.contains("server.admin")), "{:?}", reloaded.warnings);
    assert_eq!(proxy.get("/metrics").await.status, 200, "the next start will move it");
}

#[tokio::test]
async fn post_admin_reload_says_what_came_of_it() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::before([&a]).await;
    let reload = async |proxy: &Proxy| proxy.call(Method::POST, "/admin/reload").answer().await;
    let answer = reload(&proxy).await;
    assert_eq!((answer.status, answer.json()["generation"].clone()), (200, json!(2)));
    proxy.rewrite(json!({"timeouts": {"request": "soon"}}));
    let answer = reload(&proxy).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "reload_failed"));
    assert!(answer.text().contains("timeouts.request: must be"), "{}", answer.text());
    assert_eq!(proxy.get("/admin/reload").await.status, 405);
}

#[tokio::test]
async fn operators_need_a_client_key_where_keys_are_set() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder =
        Proxy::builder().provider(&a, json!({})).set(json!({"server": {"api_keys": ["client-zq7-s3cr3t-key"]}}));
    let proxy = builder.start().await;
    let reload = || proxy.call(Method::POST, "/admin/reload");
    assert_eq!(reload().answer().await.status, 401);
    assert_eq!(reload().header("authorization", "Bearer wrong").answer().await.status, 401);
    assert_eq!(reload().header("authorization", "Bearer client-zq7-s3cr3t-key").answer().await.status, 200);
}

#[tokio::test]
async fn the_second_listener_serves_operators_and_the_first_no_longer_does() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let admin = json!({"port": 0, "api_key": "admin-key"});
    let server = json!({"server": {"api_keys": ["client-zq7-s3cr3t-key"], "admin": admin}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(server).start().await;
    let reload = || Call::to(proxy.operators(), Method::POST, "/admin/reload");
    assert_eq!(reload().answer().await.status, 401);
    assert_eq!(reload().header("authorization", "Bearer client-zq7-s3cr3t-key").answer().await.status, 401);
    assert_eq!(reload().header("authorization", "Bearer admin-key").answer().await.status, 200);
    assert_eq!(Call::to(proxy.operators(), Method::GET, "/health").answer().await.status, 200);
    let chat = Call::to(proxy.operators(), Method::POST, "/v1/chat/completions").json(&harness::chat_request());
    let answer = chat.header("authorization", "Bearer client-zq7-s3cr3t-key").answer().await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (404, "unknown_path", 0));
    let first = proxy.call(Method::POST, "/admin/reload").header("authorization", "Bearer client-zq7-s3cr3t-key");
    assert_eq!(first.answer().await.status, 404);
}
