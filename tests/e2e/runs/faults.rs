//! Approaches that break: what the client gets, what is counted, and when they are left alone.

use std::time::Duration;

use harness::{Mock, Proxy, eventually};
use serde_json::{Value, json};

use super::{ask, askers, model, proxy, request, set_up, stream_request, text_of, with};

async fn faults(proxy: &Proxy, approach: &str, kind: &str) -> f64 {
    proxy.metric(&format!("pointsman_approach_faults_total{{approach=\"{approach}\",kind=\"{kind}\"}}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_break_is_502_and_counted_by_its_kind() {
    let a = Mock::start("a", model()).await;
    let broken = [
        ("panic", "trapped"),
        ("exit", "trapped"),
        ("overflow", "trapped"),
        ("eat", "out_of_memory"),
        ("spin", "out_of_time"),
        ("nothing", "illegal"),
        ("unknown", "illegal"),
        ("answers", "illegal"),
        ("broken", "broken"),
    ];
    let deeds = broken.map(|(deed, _)| (deed, json!({"times": 2})));
    // Whoever spins is to be caught soon; what the others do may take longer on a busy machine.
    let impatient = set_up(&a, &[("spin", json!({}))], json!({"approach": {"cpu": 0.2}})).await;
    let patient = set_up(&a, &deeds, json!({})).await;
    for (deed, kind) in broken {
        let proxy = if deed == "spin" { &impatient } else { &patient };
        let answer = ask(proxy, deed).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "approach_failed"), "{deed}: {}", answer.text());
        assert_eq!(
            (answer.header("x-should-retry"), answer.json()["error"]["type"].as_str()),
            ("false", Some("proxy_error"))
        );
        assert!(answer.message().contains(&format!("`{deed}`")), "{}", answer.message());
        assert!(!answer.text().contains("out of order"), "the guest's words are for the log");
        let stream = proxy.chat_call(&stream_request(deed)).answer().await;
        assert_eq!((stream.status, stream.code().as_str()), (502, "approach_failed"), "{deed}");
        let runs = format!("pointsman_approach_runs_total{{approach=\"{deed}\",result=\"broke\"}}");
        let counted = async || (faults(proxy, deed, kind).await, proxy.metric(&runs).await);
        eventually(&format!("{deed} has broken twice"), async || counted().await == (2.0, 2.0)).await;
    }
    for proxy in [&impatient, &patient] {
        eventually("all slots are back", async || super::in_flight(proxy).await == 0).await;
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn one_that_does_not_suit_says_why_and_is_no_fault() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("unsuitable", json!({}))]).await;
    for _ in 0..5 {
        let answer = ask(&proxy, "unsuitable").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "approach_unsuitable"));
        assert_eq!((answer.message().as_str(), answer.header("x-should-retry")), ("not for me", "false"));
    }
}

#[tokio::test]
async fn a_million_notes_and_a_megabyte_of_print_do_no_harm() {
    let a = Mock::start("a", model()).await;
    let deeds = [("notes", json!({"times": 1_000_000})), ("print", json!({"times": 400})), ("text", json!({}))];
    // In a debug build a million calls take longer than a run may compute.
    let proxy = set_up(&a, &deeds, json!({"approach": {"cpu": 60, "timeout": 120}})).await;
    assert_eq!(ask(&proxy, "print").await.content(), "printed");
    let notes = harness::spawn(proxy.chat_call(&request("notes")).start());
    eventually("it is under way", async || proxy.metric("pointsman_approach_running{approach=\"notes\"}").await > 0.5)
        .await;
    // Others get their turn meanwhile.
    for _ in 0..5 {
        assert_eq!(ask(&proxy, "text").await.content(), "a text");
        assert_eq!(proxy.chat().await.status, 200);
    }
    notes.abort();
    eventually("it has left", async || proxy.metric("pointsman_approach_running{approach=\"notes\"}").await < 0.5)
        .await;
}

#[tokio::test]
async fn what_is_delivered_twice_is_an_error_after_the_first() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("deliver", json!({"times": 2}))]).await;
    let answer = ask(&proxy, "deliver").await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (502, "approach_failed", 1), "{}", answer.text());
    let text = proxy.chat_call(&stream_request("deliver")).answer().await.text();
    assert_eq!(text_of(&text, 0), "answer 1.0");
    assert!(text.contains("approach_failed") && !text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn the_plain_answer_comes_instead_where_the_operator_wants_that() {
    let a = Mock::start("a", model()).await;
    let mut approaches = askers(&[("panic", json!({})), ("spend", json!({})), ("unknown", json!({}))]);
    for name in ["panic", "unknown"] {
        approaches[name]["on_fault"] = json!("plain");
    }
    let proxy = Proxy::builder().provider(&a, json!({})).set(json!({"approaches": approaches})).start().await;
    let answer = proxy.chat_call(&with(request("panic"), json!({"temperature": 0.5}))).answer().await;
    assert_eq!((answer.status, answer.content().as_str()), (200, "answer 0.0"), "{}", answer.text());
    let figures = answer.header("x-pointsman-approach");
    assert!(figures.starts_with("panic; calls=1; choices=") && figures.ends_with("; fault=trapped"), "{figures}");
    assert_eq!(
        a.only_request().json(),
        json!({"model": "gpt-4", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0.5})
    );
    let text = proxy.chat_call(&stream_request("unknown")).answer().await.text();
    assert!(text_of(&text, 0) == "answer 1.0" && text.contains("; fault=illegal\n"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    // Whatever the budget: the approach has spent it.
    let answer = ask(&proxy, "panic&spend").await;
    assert!(answer.content().starts_with("6"), "{}", answer.content());
    assert!(answer.header("x-pointsman-approach").ends_with("; fault=trapped"), "{:?}", answer.headers);
}

#[tokio::test]
async fn one_that_breaks_three_times_in_a_row_is_left_alone_for_a_while() {
    let a = Mock::start("a", model()).await;
    let deeds = [("panic", json!({})), ("text", json!({}))];
    let proxy = proxy(&a, &deeds).await;
    let statuses: Vec<u16> = {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(ask(&proxy, "panic").await.status);
        }
        statuses
    };
    assert_eq!(statuses, [502, 502, 502]);
    let answer = ask(&proxy, "text|panic").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "approach_failed"), "{}", answer.text());
    assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), ("1", "false"));
    assert!(answer.message().contains("`panic`"), "{}", answer.message());
    assert_eq!(ask(&proxy, "text").await.status, 200, "others are not");
    tokio::time::sleep(Duration::from_millis(550)).await;
    assert_eq!(ask(&proxy, "panic").await.status, 502, "it gets another chance");
    assert_eq!(ask(&proxy, "panic").await.status, 503, "and not a second one");
    assert!((faults(&proxy, "panic", "trapped").await - 4.0).abs() < 0.5);
}

#[tokio::test]
async fn a_component_that_is_none_is_a_problem_of_the_configuration() {
    let a = Mock::start("a", model()).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let folder = builder.folder().join("approaches");
    std::fs::create_dir(&folder).expect("a temporary folder is writable");
    std::fs::write(folder.join("mine.wasm"), b"nothing").expect("a temporary folder is writable");
    let error = builder.bind(&builder.write()).await.err().expect("no component");
    assert!(format!("{error:#}").contains("approaches.mine"), "{error:#}");
    std::fs::copy(harness::asker(), folder.join("mine.wasm")).expect("a temporary folder is writable");
    let wrong = json!({"approaches": {"mine": {"config": {"check": "out of the question"}}}});
    let builder = builder.set(wrong);
    let error = format!("{:#}", builder.bind(&builder.write()).await.err().expect("a wrong configuration"));
    assert!(error.contains("approaches.mine.config") && error.contains("out of the question"), "{error}");
    let config: Value = json!({"approaches": {"mine": {"config": {"check": null}}}});
    let proxy = builder.set(config).start().await;
    assert_eq!(ask(&proxy, "mine").await.content(), "a text");
}
