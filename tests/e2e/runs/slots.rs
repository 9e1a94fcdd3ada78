//! A request's own slot serves its calls, so that a request that is in always gets on; those beside it wait in line.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, Reply, Script, eventually};
use serde_json::json;

use super::{ask, askers, in_flight, proxy, reply, request, set_up, stream_request, text_of};

fn late(millis: u64) -> Script {
    Script::by(move |_, seen| reply(seen, &["7"]).late(Duration::from_millis(millis)))
}

#[tokio::test]
async fn eight_requests_over_one_slot_are_all_answered_and_plain_ones_beside_them_too() {
    let a = Mock::start("a", late(2)).await;
    let queue = json!({"queue": {"max_concurrent": 1, "timeout": 20, "max_waiting": 1000}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(queue).start().await;
    let bon = |stream| if stream { stream_request("bon") } else { request("bon") };
    let approaches: Vec<_> = (0..8).map(|i| harness::spawn(proxy.chat_call(&bon(i % 2 == 0)).answer())).collect();
    let plain: Vec<_> = (0..100).map(|_| proxy.chat_meanwhile()).collect();
    for call in approaches.into_iter().chain(plain) {
        let answer = call.await.expect("answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(a.most_at_once(), 1);
    eventually("all slots are back", async || in_flight(&proxy).await == 0).await;
    assert!(proxy.metric("pointsman_approach_running{approach=\"bon\"}").await < 0.5);
}

#[tokio::test]
async fn calls_beside_the_first_take_free_slots_and_no_more() {
    let a = Mock::start("a", late(20)).await;
    let queue = json!({"queue": {"max_concurrent": 3}});
    let proxy = set_up(&a, &[("many", json!({"times": 9}))], queue).await;
    assert_eq!((ask(&proxy, "many").await.status, a.most_at_once()), (200, 3));
    eventually("all slots are back", async || in_flight(&proxy).await == 0).await;
}

#[tokio::test]
async fn those_who_wait_in_line_get_their_turn_beside_a_batch() {
    let gate = Gate::closed();
    let held = gate.clone();
    let script = Script::by(move |_, seen| {
        let is_plain = seen.json()["user"] == "plain";
        if is_plain { reply(seen, &["plain"]) } else { reply(seen, &["7"]).held_by(&held) }
    });
    let a = Mock::start("a", script).await;
    let proxy = set_up(&a, &[("many", json!({"times": 8}))], json!({"queue": {"max_concurrent": 2}})).await;
    let many = harness::spawn(proxy.chat_call(&request("many")).answer());
    eventually("both slots are taken", async || a.serving() == 2).await;
    let plain = json!({"model": "gpt-4", "messages": [], "user": "plain"});
    let plain = harness::spawn(proxy.chat_call(&plain).answer());
    // Six calls are left; the plain request is among the first of them.
    eventually("the plain request is through", async || {
        gate.let_one_pass();
        plain.is_finished()
    })
    .await;
    gate.open();
    assert_eq!((plain.await.expect("answered").status, many.await.expect("answered").status), (200, 200));
}

#[tokio::test]
async fn answers_that_a_guest_has_open_do_not_keep_its_next_question_waiting() {
    for settings in [json!({"queue": {"max_concurrent": 1}}), json!({"approach": {"parallel": 1}})] {
        let words = |word: &str| Reply::sse().word(word).delay(Duration::from_millis(20)).word("!").done();
        let script =
            Script::by(
                move |call, seen| {
                    if seen.json()["stream"] == true { words(&call.to_string()) } else { reply(seen, &["beside"]) }
                },
            );
        let a = Mock::start("a", script).await;
        let proxy = set_up(&a, &[("beside", json!({"times": 3}))], settings).await;
        let text = proxy.chat_call(&stream_request("beside")).answer().await.text();
        assert_eq!(text_of(&text, 0), "beside,0!,1!,2!", "{text}");
        assert_eq!(a.most_at_once(), 1);
        eventually("all slots are back", async || in_flight(&proxy).await == 0).await;
    }
}

#[tokio::test]
async fn a_providers_own_slots_are_waited_for() {
    let a = Mock::start("a", late(5)).await;
    let builder = Proxy::builder().provider(&a, json!({"max_concurrent": 1}));
    let proxy = builder.set(json!({"approaches": askers(&[("many", json!({"times": 8}))])})).start().await;
    assert_eq!((ask(&proxy, "many").await.status, a.most_at_once(), a.calls()), (200, 1, 8));
}

#[tokio::test]
async fn a_slot_is_held_until_the_stream_has_ended() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::sse().word("one").wait(&gate).done()).await;
    let proxy = proxy(&a, &[("deliver", json!({}))]).await;
    let mut stream = proxy.chat_call(&stream_request("deliver")).open().await;
    stream.read_until("one").await;
    assert_eq!(in_flight(&proxy).await, 1);
    gate.open();
    assert!(stream.rest().await.complete);
    eventually("the slot is free", async || in_flight(&proxy).await == 0).await;
}
