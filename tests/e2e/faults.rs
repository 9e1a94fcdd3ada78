//! Strategies that break: each request is still served, in the default order, and the host stays whole.
//!
//! The fixture orders the candidates backwards, so `b` answers as long as it works and `a` when the host falls back to
//! the order of the configuration. A request commands it through its model.

use std::time::Duration;

use harness::{Answer, Mock, Proxy, Reply, eventually, misbehave};
use serde_json::{Value, json};

struct Stage {
    a: Mock,
    _b: Mock,
    proxy: Proxy,
}

impl Stage {
    /// Two providers and the fixture, which does in every call what `command` says.
    async fn new(command: Value) -> Self {
        let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
        let strategies = json!({"fixture": {"path": misbehave(), "config": command}});
        let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
        let proxy = builder.strategy("fixture").set(json!({ "strategies": strategies })).start().await;
        Self { a, _b: b, proxy }
    }

    /// A request that makes the fixture do `deed` in this call.
    async fn request(&self, deed: &str) -> Answer {
        self.proxy.chat_call(&json!({"model": format!("do:{deed}"), "messages": []})).answer().await
    }

    /// Claims that the strategy works again, at once or after it was replaced.
    async fn recovers(&self) {
        eventually("the strategy orders again", async || self.request("nothing").await.provider() == "b").await;
    }
}

/// Claims that a call in which the fixture does `deed` is served in the default order, and that it recovers.
async fn is_harmless(deed: &str) {
    let stage = Stage::new(json!({})).await;
    assert_eq!(stage.request("nothing").await.provider(), "b", "the fixture works at first");
    let answer = stage.request(deed).await;
    assert_eq!((answer.status, answer.provider(), answer.content().as_str()), (200, "a", "a"), "{deed}");
    assert!(answer.took < Duration::from_secs(5), "{deed} took {:?}", answer.took);
    assert_eq!(answer.header("x-pointsman-attempts"), "", "a fault is no attempt");
    stage.recovers().await;
}

/// Claims that a call in which the fixture does `deed` is answered as if it did not.
async fn changes_nothing(deed: &str) {
    let stage = Stage::new(json!({})).await;
    for _ in 0..3 {
        let answer = stage.request(deed).await;
        assert_eq!((answer.status, answer.provider()), (200, "b"), "{deed}");
    }
}

/// Claims that a call in which the fixture does `deed` is answered, be it that its time ran out over it.
async fn is_served(deed: &str) {
    let stage = Stage::new(json!({})).await;
    for _ in 0..3 {
        let answer = stage.request(deed).await;
        assert_eq!(answer.status, 200, "{deed}");
        assert!(answer.took < Duration::from_secs(5), "{deed} took {:?}", answer.took);
    }
    stage.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_nothing_but_the_default_order() {
    is_harmless("panic").await;
}

/// Every kind, and the deeds that lead to it.
const FAULTS: [(&str, &[&str]); 4] = [
    ("trapped", &["panic", "recurse", "exit", "hog_at_once"]),
    ("deadline_exceeded", &["spin"]),
    ("out_of_memory", &["leak"]),
    ("illegal_decision", &["out_of_range", "duplicate", "million", "wild_list"]),
];

/// The faults that are counted after a new fixture has done `deed` until it broke: at once, or after 64 MiB of leaks.
async fn after(deed: &str) -> [f64; 4] {
    let stage = Stage::new(json!({})).await;
    for _ in 0..100 {
        let answer = stage.request(deed).await;
        assert_eq!(answer.status, 200, "{deed}");
        if answer.provider() == "a" {
            break;
        }
    }
    let text = stage.proxy.get("/metrics").await.text();
    FAULTS.map(|(kind, _)| {
        let series = format!("pointsman_strategy_faults_total{{kind=\"{kind}\",strategy=\"fixture\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.and_then(|value| value.parse().ok()).expect("every kind is there")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_counted_once_and_as_what_it_is() {
    for (kind, deeds) in FAULTS {
        for deed in deeds {
            let mut counted = after(deed).await;
            // On a busy machine a heavy deed may run out of time before it is done.
            for _ in 0..10 {
                if kind == "deadline_exceeded" || counted != [0.0, 1.0, 0.0, 0.0] {
                    break;
                }
                counted = after(deed).await;
            }
            let expected = FAULTS.map(|(other, _)| if other == kind { 1.0 } else { 0.0 });
            assert_eq!(counted, expected, "{deed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_spins_delays_others_by_its_deadline_once() {
    let stage = Stage::new(json!({})).await;
    // The deadline of a call is 15 ms of processor time; the rest is what a busy machine takes.
    let spin = stage.proxy.chat_call(&json!({"model": "do:spin", "messages": []})).answer();
    let others = (0..20).map(|_| stage.proxy.chat_call(&harness::chat_request()).answer());
    let (spun, others) = tokio::join!(spin, futures_util::future::join_all(others));
    assert_eq!(spun.status, 200);
    for other in others {
        assert_eq!(other.status, 200);
        assert!(other.took < Duration::from_secs(2), "{:?}", other.took);
    }
    let series = r#"pointsman_strategy_faults_total{kind="deadline_exceeded",strategy="fixture"}"#;
    assert_eq!(stage.proxy.metric(series).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_costs_nothing_but_the_default_order() {
    is_harmless("spin").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_recursion_costs_nothing_but_the_default_order() {
    is_harmless("recurse").await;
    is_harmless("recurse_deep").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_memory_costs_nothing_but_the_default_order() {
    is_harmless("hog").await;
    is_harmless("hog_at_once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_costs_nothing_but_the_default_order() {
    is_harmless("exit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_costs_nothing_but_the_default_order() {
    is_harmless("refuse").await;
    is_harmless("long_error").await;
    is_harmless("bad_utf8_error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_decision_costs_nothing_but_the_default_order() {
    is_harmless("out_of_range").await;
    is_harmless("duplicate").await;
    is_harmless("million").await;
    is_harmless("wild_list").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_decision_is_the_default_order() {
    is_harmless("empty").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_call_of_the_host_costs_nothing_but_the_default_order() {
    is_harmless("bad_level").await;
    is_harmless("wild_string").await;
    is_harmless("bad_utf8").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleep_costs_nothing_but_the_default_order() {
    is_harmless("sleep").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prints_neither_block_nor_break_anything() {
    changes_nothing("print_line").await;
    is_served("print_megabyte").await;
}

#[tokio::test]
async fn prints_do_not_block_a_runtime_of_one_thread() {
    is_served("print_megabyte").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_logs_neither_block_nor_break_anything() {
    changes_nothing("log_megabyte").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capabilities_that_it_does_not_have_give_it_nothing() {
    for deed in ["read_env", "read_fs", "read_stdin", "read_clock", "read_random"] {
        let stage = Stage::new(json!({})).await;
        assert_eq!(stage.request(deed).await.status, 200, "{deed}");
        stage.recovers().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_that_breaks_every_time_never_costs_a_request() {
    let stage = Stage::new(json!({"do": "panic", "only": "gpt-4"})).await;
    for _ in 0..20 {
        let answer = stage.proxy.chat().await;
        assert_eq!((answer.status, answer.provider()), (200, "a"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_that_leaks_is_replaced_in_time() {
    let stage = Stage::new(json!({"on": "route", "do": "leak"})).await;
    let mut by_strategy = 0;
    for _ in 0..300 {
        let answer = stage.proxy.chat().await;
        assert_eq!(answer.status, 200);
        by_strategy += usize::from(answer.provider() == "b");
    }
    assert!(by_strategy > 150, "it works most of the time: {by_strategy} of 300");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_while_others_wait_serves_them_all() {
    let stage = Stage::new(json!({"do": "spin", "every": 5, "only": "gpt-4"})).await;
    let calls: Vec<_> = (0..30).map(|_| stage.proxy.chat_meanwhile()).collect();
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feedback_that_breaks_never_costs_a_request() {
    for deed in ["panic", "spin", "exit"] {
        // The trial at the start sees two calls.
        let stage = Stage::new(json!({"on": "observe", "do": deed, "every": 3})).await;
        for _ in 0..9 {
            assert_eq!(stage.proxy.chat().await.status, 200, "{deed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_goes_on_in_the_default_order_after_a_fault() {
    let stage = Stage::new(json!({"do": "panic", "only": "gpt-4"})).await;
    stage.a.follow(Reply::status(500));
    let answer = stage.proxy.chat().await;
    assert_eq!((answer.status, answer.provider(), answer.header("x-pointsman-attempts")), (200, "b", "2"));
}

/// The reason why a server does not start with the fixture so commanded.
async fn refusal(command: Value) -> String {
    let a = Mock::start("a", Reply::chat("a")).await;
    let strategies = json!({"fixture": {"path": misbehave(), "config": command}});
    let builder = Proxy::builder().provider(&a, json!({})).strategy("fixture");
    let builder = builder.set(json!({ "strategies": strategies }));
    let error = builder.bind(&builder.write()).await.err().map(|error| format!("{error:#}"));
    error.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_that_cannot_start_is_refused_at_the_start() {
    for deed in ["panic", "spin", "refuse", "exit", "hog"] {
        let refusal = refusal(json!({"on": "init", "do": deed})).await;
        assert!(refusal.contains("fixture"), "{deed}: {refusal:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_that_breaks_when_it_is_tried_is_refused_at_the_start_as_at_a_reload() {
    for (on, deed, words) in [
        ("route", "panic", "misbehaving as told"),
        ("route", "spin", "ran longer than it may"),
        ("observe", "panic", "(in reports of attempts)"),
    ] {
        let refusal = refusal(json!({"on": on, "do": deed})).await;
        assert!(refusal.contains("fails when it is tried before use") && refusal.contains(words), "{refusal:?}");
    }
}

/// Names that clients make up, the longest of a megabyte, must not make an innocent strategy break.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_name_of_a_model_reaches_a_strategy_cut() {
    let stage = Stage::new(json!({})).await;
    for length in [300, 10_000, 1 << 20] {
        for _ in 0..20 {
            let body = json!({"model": format!("m{}", "ä".repeat(length / 2)), "messages": []});
            let answer = stage.proxy.chat_call(&body).answer().await;
            assert_eq!((answer.status, answer.provider()), (200, "b"), "{length}: the strategy's own order");
        }
    }
    let health = stage.proxy.get("/health").await.json();
    assert_eq!(health["strategy"]["state"], "healthy", "{health}");
    for (kind, _) in FAULTS {
        let series = format!("pointsman_strategy_faults_total{{kind=\"{kind}\",strategy=\"fixture\"}}");
        assert_eq!(stage.proxy.metric(&series).await, 0.0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_that_is_slow_on_average_is_said_in_health_and_metrics() {
    // A guest has no clock: how much work takes more than a millisecond, and less than its deadline, depends on the machine.
    let mut seen = Vec::new();
    for deed in ["dawdle", "dawdle_more", "dawdle_most"] {
        let stage = Stage::new(json!({"do": deed, "only": "gpt-4"})).await;
        for _ in 0..70 {
            assert_eq!(stage.proxy.chat().await.status, 200);
        }
        let health = stage.proxy.get("/health").await.json();
        let (slow, mean) = (health["strategy"]["slow"] == true, health["strategy"]["mean_call_ms"].as_f64());
        let metric = stage.proxy.metric(r#"pointsman_strategy_slow{strategy="fixture"}"#).await;
        // One that is slow counts as quick again only well below the limit.
        let fits = if slow { mean > Some(0.7) } else { mean <= Some(1.0) };
        assert!(fits && (metric > 0.0) == slow, "{health}");
        seen.push(mean);
        if slow {
            return;
        }
    }
    panic!("none is slow: {seen:?}");
}

/// A disk that is full for a while must be seen, and must not end the record.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_written_is_said_in_health_and_metrics() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("record");
    std::os::unix::fs::symlink("/dev/full", &file).expect("a link");
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"monitoring": {"record": file}}));
    let proxy = builder.start().await;
    assert_eq!(proxy.chat().await.status, 200);
    eventually("the record fails", async || {
        proxy.get("/health").await.json()["strategy"]["record"]["state"] == "failing"
    })
    .await;
    assert_eq!(proxy.metric("pointsman_record_failing").await, 1.0);
    assert_eq!(proxy.chat().await.status, 200, "requests do not mind");
}
