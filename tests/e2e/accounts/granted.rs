//! What the operator grants the accounts of providers: `limits`, `budget`, `account`, `billed_failures`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::*;
use harness::{Gate, Script, chat_request, spawn, stream_request};

async fn mock(name: &str) -> Mock {
    Mock::start(name, Reply::chat(&format!("from {name}"))).await
}

/// A whole answer that took so many tokens.
fn taking(prompt: u64, answer: u64) -> Reply {
    let choices = json!([{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]);
    Reply::json(200, &json!({"choices": choices, "usage": {"prompt_tokens": prompt, "completion_tokens": answer}}))
}

/// What is left of a limit of a provider's account, by `/health`.
async fn left(proxy: &Proxy, mock: &Mock, limit: &str) -> f64 {
    let health = proxy.health_of(mock).await;
    health["account"]["limits"][limit]["remaining"].as_f64().expect("a limit of the account")
}

#[tokio::test]
async fn a_used_up_account_is_passed_over_and_its_provider_not_ejected() {
    let (a, b) = (mock("a").await, mock("b").await);
    let builder = Proxy::builder().provider(&a, json!({"limits": {"rpm": 2}})).provider(&b, json!({}));
    let proxy = builder.strategy("failover").start().await;
    let mut served = Vec::new();
    for _ in 0..4 {
        served.push(proxy.chat().await.provider().to_owned());
    }
    assert_eq!(served, ["a", "a", "b", "b"]);
    assert_eq!(proxy.state_of(&a).await, "admitted");
    assert!(left(&proxy, &a, "rpm").await < 1.0);
    let metric = r#"pointsman_provider_limit{limit="rpm",provider="a",source="config"}"#;
    assert!((proxy.metric(metric).await - 2.0).abs() < 1e-9);
}

#[tokio::test]
async fn it_does_not_spill_over_to_a_spare_and_the_client_hears_when_to_come_back() {
    let (a, b) = (mock("a").await, mock("b").await);
    let builder = Proxy::builder().provider(&a, json!({"limits": {"rpm": 1}}));
    let proxy =
        builder.provider(&b, json!({"fallback_only": true})).set(json!({"queue": {"timeout": 5}})).start().await;
    assert_eq!(proxy.chat().await.provider(), "a");
    let refused = proxy.chat().await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "all_providers_limited"), "{}", refused.text());
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((50..=60).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-should-retry"), "");
    let message = refused.message();
    assert!(message.contains(" a: The limit of the account 'a' is reached: 1 requests per minute (rpm)."), "{message}");
    assert!(refused.took < Duration::from_secs(4), "a wait that is too long is not begun: {:?}", refused.took);
    assert_eq!((a.calls(), b.calls()), (1, 0));
}

#[tokio::test]
async fn a_wait_that_is_short_enough_is_waited() {
    // A thousand tokens come back in a second, and the first answer takes 400 more than there are.
    let a = Mock::start("a", [taking(400, 60_000), taking(1, 1)]).await;
    let proxy = Proxy::builder().provider(&a, json!({"limits": {"tpm": 60_000}})).start().await;
    assert_eq!(proxy.chat().await.status, 200);
    let second = proxy.chat().await;
    assert_eq!((second.status, a.calls()), (200, 2));
    assert!(second.took >= Duration::from_millis(300), "{:?}", second.took);
}

#[tokio::test]
async fn whoever_waits_gets_the_place_that_frees() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let proxy = Proxy::builder().provider(&a, json!({"limits": {"parallel": 1}})).start().await;
    let calls: Vec<_> = (0..3).map(|_| proxy.chat_meanwhile()).collect();
    eventually("a is busy", async || a.serving() == 1).await;
    gate.open();
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
    assert_eq!((a.calls(), a.most_at_once()), (3, 1));
}

#[tokio::test]
async fn providers_of_one_account_share_its_limits() {
    let (a, b, c) = (mock("a").await, mock("b").await, mock("c").await);
    let proxy = Proxy::builder()
        .provider(&a, json!({"account": "main"}))
        .provider(&b, json!({"account": "main", "limits": {"rpm": 3}}))
        .provider(&c, json!({"limits": {"rpm": 1}}))
        .set(json!({"queue": {"timeout": 1}}))
        .start()
        .await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(proxy.chat().await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429]);
    assert_eq!((a.calls() + b.calls(), c.calls()), (3, 1));
    assert!(left(&proxy, &a, "rpm").await < 1.0 && left(&proxy, &b, "rpm").await < 1.0);
}

#[tokio::test]
async fn a_spent_budget_stops_its_provider_until_it_is_renewed() {
    let (a, b) = (mock("a").await, mock("b").await);
    // An answer takes two tokens of a dollar each.
    let priced = json!({"price": 1_000_000, "budget": {"usd": 3, "per": "day"}});
    let proxy = Proxy::builder().provider(&a, priced.clone()).start().await;
    assert_eq!(proxy.chat().await.status, 200);
    assert!((left(&proxy, &a, "usd per day").await - 1.0).abs() < 1e-6);
    let refused = proxy.chat().await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "provider_budget_exceeded"), "{}", refused.text());
    let message = refused.message();
    let expected = " a: The budget of the account 'a' does not cover this request: 3 dollars per day. The request may cost 3 \
                    dollars, and 1 dollars are left. It is renewed";
    assert!(message.contains(expected), "{message}");
    assert_eq!(refused.header("x-should-retry"), "false");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "{wait}");
    let both = Proxy::builder().provider(&a, priced).provider(&b, json!({})).strategy("failover").start().await;
    assert_eq!((both.chat().await.provider(), both.chat().await.provider()), ("a", "b"));
    assert_eq!(both.state_of(&a).await, "admitted");
}

#[tokio::test]
async fn where_money_counts_nothing_is_free_because_its_price_is_not_known() {
    let a = mock("a").await;
    let prices = json!({"prices": {"models": {"another": {"input": 1, "output": 1}}}});
    let proxy = Proxy::builder().provider(&a, json!({"budget": {"usd": 3, "per": "day"}})).set(prices).start().await;
    let refused = proxy.chat().await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "unpriced_model"), "{}", refused.text());
    assert_eq!((a.calls(), refused.header("x-should-retry")), (0, "false"));
}

#[tokio::test]
async fn a_request_that_alone_exceeds_every_limit_is_not_retried() {
    let a = mock("a").await;
    let proxy = Proxy::builder().provider(&a, json!({"limits": {"tpm": 1000}})).start().await;
    let mut large = chat_request();
    large["messages"][0]["content"] = json!("word ".repeat(2000));
    let refused = proxy.chat_call(&large).answer().await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "request_too_large_for_limit"), "{}", refused.text());
    assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("", "false"));
    assert_eq!(proxy.chat().await.status, 200);
}

#[tokio::test]
async fn a_strategy_learns_what_is_left_of_an_account() {
    let a = Mock::start("a", taking(250, 500)).await;
    let (_folder, file, record) = recorded();
    let limits = json!({"limits": {"rpm": 4, "tpd": 3000}});
    let proxy = Proxy::builder().provider(&a, limits).set(record).start().await;
    for _ in 0..3 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    let seen = decisions(&file, 3).await.concat();
    assert_eq!(seen.iter().map(|(_, tokens)| *tokens).collect::<Vec<_>>(), [1000, 750, 500]);
    // Requests come back while the test runs.
    assert!(seen[1].0 >= 750 && seen[2].0 >= 500 && seen[2].0 < 900, "{seen:?}");
}

#[tokio::test]
async fn each_attempt_settles_against_the_account_of_its_provider() {
    let a = Mock::start("a", Reply::status(500)).await;
    let b = Mock::start("b", taking(30, 12)).await;
    for (bills, of_a) in [(false, 0.0), (true, 1.0)] {
        let granted = |more: Value| {
            let mut options =
                json!({"price": 1_000_000, "limits": {"rpd": 100}, "budget": {"usd": 1000, "per": "total"}});
            options["billed_failures"] = more;
            options
        };
        let builder = Proxy::builder().provider(&a, granted(json!(bills))).provider(&b, granted(json!(false)));
        let proxy = builder.strategy("failover").set(json!({"routing": {"retries": 0}})).start().await;
        let answer = proxy.chat().await;
        assert_eq!((answer.status, answer.provider()), (200, "b"));
        assert!((left(&proxy, &b, "usd per total").await - (1000.0 - 42.0)).abs() < 1e-6);
        let spent = 1000.0 - left(&proxy, &a, "usd per total").await;
        assert!(if bills { spent >= of_a } else { spent == 0.0 }, "{spent}");
        assert_eq!((left(&proxy, &a, "rpd").await, left(&proxy, &b, "rpd").await), (99.0, 99.0), "both were asked");
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_charged_nothing() {
    let (a, b) = (Mock::start("a", Reply::reset_at_once()).await, mock("b").await);
    let gone = json!({"base_url": "http://127.0.0.1:9/v1", "limits": {"rpd": 100}});
    let proxy = Proxy::builder().provider(&a, gone).provider(&b, json!({})).strategy("failover").start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    assert_eq!(left(&proxy, &a, "rpd").await, 100.0);
}

/// Answers as asked, whole or as a stream, by tokens that differ from request to request; every seventh fails.
fn accountant(sum: &Arc<AtomicU64>) -> Script {
    let sum = Arc::clone(sum);
    Script::by(move |number, request| {
        let number = number as u64;
        if number % 7 == 6 {
            return Reply::status(500);
        }
        let (prompt, answer) = (number * 37 % 900, 1 + number * 1013 % 4000);
        sum.fetch_add(prompt + answer, Relaxed);
        if request.json()["stream"] != true {
            return taking(prompt, answer);
        }
        let usage = json!({"prompt_tokens": prompt, "completion_tokens": answer});
        Reply::sse().word("x").event(&json!({"choices": [], "usage": usage})).done()
    })
}

#[tokio::test]
async fn the_sum_of_what_is_settled_is_the_sum_of_what_providers_say() {
    let sums = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let (a, b) = (Mock::start("a", accountant(&sums[0])).await, Mock::start("b", accountant(&sums[1])).await);
    // A dollar a token, and nothing comes back with time.
    let granted = json!({"price": 1_000_000, "budget": {"usd": 5_000_000, "per": "total"}, "limits": {"parallel": 7}});
    let health = json!({"routing": {"health_check": {"failures": 20}}, "queue": {"timeout": 60}});
    let builder = Proxy::builder().provider(&a, granted.clone()).provider(&b, granted).set(health);
    let proxy = builder.start().await;
    let mut streamed = stream_request();
    streamed["stream_options"] = json!({"include_usage": true});
    let bodies = [chat_request(), streamed];
    let calls: Vec<_> = (0..120).map(|number| spawn(proxy.chat_call(&bodies[number % 2]).answer())).collect();
    let mut served = 0;
    for call in calls {
        served += usize::from(call.await.expect("answered").status == 200);
    }
    assert!(served > 100, "{served}");
    for (mock, sum) in [&a, &b].into_iter().zip(&sums) {
        let spent = 5_000_000.0 - left(&proxy, mock, "usd per total").await;
        assert_eq!(spent.round() as u64, sum.load(Relaxed), "{}", mock.name());
        assert_eq!(left(&proxy, mock, "parallel").await, 7.0);
    }
}

#[tokio::test]
async fn a_stream_without_usage_is_charged_by_its_text() {
    let words = ["Hello ", "world, ", "this is ", "rather long ", "for a test"];
    let a = Mock::start("a", Reply::stream(&words)).await;
    let granted = json!({"price": 1_000_000, "budget": {"usd": 5000, "per": "total"}, "stream_usage": "never"});
    let proxy = Proxy::builder().provider(&a, granted).start().await;
    let answer = proxy.chat_call(&stream_request()).answer().await;
    assert_eq!(answer.status, 200);
    let spent = 5000.0 - left(&proxy, &a, "usd per total").await;
    assert!((10.0..60.0).contains(&spent), "{spent}");
}

#[tokio::test]
async fn a_reload_keeps_what_was_counted_and_takes_the_new_limits() {
    let a = Mock::start("a", taking(300, 290)).await;
    let granted = |usd: u32| json!({"price": 1_000_000, "budget": {"usd": usd, "per": "total"}});
    let mut proxy = Proxy::builder().provider(&a, granted(600)).start().await;
    assert_eq!((proxy.chat().await.status, proxy.chat().await.status), (200, 503));
    let more = harness::provider(&a, granted(2000));
    proxy.reload(json!({"providers": [more]})).await.expect("a good configuration");
    assert_eq!(left(&proxy, &a, "usd per total").await, 1410.0);
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(left(&proxy, &a, "usd per total").await, 820.0);
}

#[tokio::test]
async fn a_model_that_the_route_falls_back_to_answers_in_place_of_one_that_is_used_up() {
    let (a, b) = (mock("a").await, mock("b").await);
    let routes = json!({"routes": [
        {"models": ["gpt-4"], "targets": ["a"], "fallbacks": {"on_failure": ["other"]}},
        {"models": ["other"], "targets": ["b"]},
    ]});
    let builder = Proxy::builder().provider(&a, json!({"limits": {"rpm": 1}})).provider(&b, json!({}));
    let proxy = builder.set(routes).set(json!({"queue": {"timeout": 1}})).start().await;
    assert_eq!((proxy.chat().await.provider(), proxy.chat().await.provider()), ("a", "b"));
}
