//! Reloads and the end of the server while approaches are at work.

use std::path::Path;

use harness::{Gate, Mock, Proxy, Script, asker, eventually};
use serde_json::json;
use tokio::net::TcpStream;

use super::{ask, askers, proxy, reply, request, stream_request, text_of};

fn held(gate: &Gate) -> Script {
    let gate = gate.clone();
    Script::by(move |call, seen| if call == 0 { reply(seen, &["0"]).held_by(&gate) } else { reply(seen, &["1"]) })
}

#[tokio::test]
async fn a_run_in_flight_ends_with_the_configuration_that_it_began_with() {
    let gate = Gate::closed();
    let a = Mock::start("a", held(&gate)).await;
    let mut proxy = proxy(&a, &[("mine", json!({"do": "chat", "times": 3}))]).await;
    let call = harness::spawn(proxy.chat_call(&request("mine")).answer());
    eventually("it is under way", async || a.serving() == 1).await;
    let next = json!({"approaches": {"mine": {"config": {"do": "text"}}}});
    proxy.reload(next).await.expect("a good configuration");
    assert_eq!(ask(&proxy, "mine").await.content(), "a text");
    gate.open();
    assert_eq!((call.await.expect("answered").content().as_str(), a.calls()), ("1", 3));
}

/// Puts a component in the place of another at once, as deployments do it.
fn deploy(from: &Path, to: &Path) {
    let draft = to.with_extension("draft");
    std::fs::copy(from, &draft).expect("a temporary folder is writable");
    std::fs::rename(draft, to).expect("the same folder");
}

#[tokio::test]
async fn a_new_component_takes_effect_and_a_bad_one_changes_nothing() {
    let gate = Gate::closed();
    let a = Mock::start("a", held(&gate)).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let folder = builder.folder().join("approaches");
    std::fs::create_dir(&folder).expect("a temporary folder is writable");
    let mine = folder.join("mine.wasm");
    deploy(asker(), &mine);
    let config = json!({"approaches": {"mine": {"config": {"do": "chat", "times": 2}}}});
    let mut proxy = builder.set(config).start().await;
    let call = harness::spawn(proxy.chat_call(&request("mine")).answer());
    eventually("it is under way", async || a.serving() == 1).await;
    std::fs::write(&mine, b"broken").expect("a temporary folder is writable");
    let failure = proxy.reload(json!({})).await.expect_err("no component");
    assert!(failure.text.contains("approaches.mine"), "{}", failure.text);
    // Another component of the same name: `re2` knows no such options.
    let re2 = pointsman::approach::builtin_component("re2").expect("built in");
    std::fs::write(&mine, re2).expect("a temporary folder is writable");
    let failure = proxy.reload(json!({})).await.expect_err("its options are refused");
    assert!(failure.text.contains("approaches.mine.config"), "{}", failure.text);
    let next = json!({"approaches": {"mine": {"config": {"do": null, "times": null}}}});
    let failure = proxy.reload(next).await.err();
    assert!(failure.is_none_or(|failure| failure.text.contains("config")), "null is an option too");
    gate.open();
    assert_eq!((call.await.expect("answered").content().as_str(), a.calls()), ("1", 2), "by the old component");
}

#[tokio::test]
async fn a_component_that_was_left_alone_is_tried_again_as_another_one() {
    let a = Mock::start("a", super::model()).await;
    let mut proxy = proxy(&a, &[("mine", json!({"do": "panic"}))]).await;
    for status in [502, 502, 502, 503] {
        assert_eq!(ask(&proxy, "mine").await.status, status);
    }
    proxy.reload(json!({"approaches": {"mine": {"config": {"do": "text"}}}})).await.expect("a good configuration");
    assert_eq!(ask(&proxy, "mine").await.status, 503, "the same component, whatever its configuration");
    eventually("its pause is over", async || ask(&proxy, "mine").await.status == 200).await;
}

#[tokio::test]
async fn a_run_in_flight_is_finished_before_the_end() {
    for stream in [false, true] {
        let gate = Gate::closed();
        let a = Mock::start("a", held(&gate)).await;
        let mut proxy = proxy(&a, &[("chat", json!({"times": 3}))]).await;
        let body = if stream { stream_request("chat") } else { request("chat") };
        let call = harness::spawn(proxy.chat_call(&body).answer());
        eventually("it is under way", async || a.serving() == 1).await;
        proxy.begin_to_stop();
        eventually("new connections are refused", async || TcpStream::connect(proxy.address()).await.is_err()).await;
        assert!(!proxy.has_stopped());
        gate.open();
        let answer = call.await.expect("answered");
        let text = if stream { text_of(&answer.text(), 0) } else { answer.content() };
        assert_eq!((answer.status, text.as_str(), a.calls()), (200, "1", 3));
        proxy.stop().await;
    }
}

#[tokio::test]
async fn an_approach_that_goes_with_a_reload_is_not_available_any_more() {
    let a = Mock::start("a", super::model()).await;
    let mut proxy = proxy(&a, &[("one", json!({"do": "text"}))]).await;
    assert_eq!(ask(&proxy, "one").await.status, 200);
    let only = json!({"approach": {"allow": ["bon"]}, "approaches": askers(&[])});
    proxy.reload(only).await.expect("a good configuration");
    let answer = ask(&proxy, "one").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "approach_unavailable"), "{}", answer.text());
}
