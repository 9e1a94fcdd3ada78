//! What is wrong with a request is said before it takes a slot, and before anybody is asked.

use harness::{Gate, Mock, Reply, eventually};
use serde_json::json;

use super::{request, set_up, with};

#[tokio::test]
async fn a_request_that_cannot_be_answered_takes_no_slot_and_asks_nobody() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let deeds = [("chat", json!({})), ("forbidden", json!({"do": "text"}))];
    let settings = json!({
        "queue": {"max_concurrent": 1, "timeout": 20},
        "approach": {"allow": ["chat", "bon", "moa"]},
    });
    let proxy = set_up(&a, &deeds, settings).await;
    let busy = proxy.chat_meanwhile();
    eventually("the only slot is taken", async || a.serving() == 1).await;
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    let plain = json!({"model": "gpt-4", "messages": [{"role": "user", "content": "Hello"}]});
    for (body, code, words) in [
        (request("forbidden"), "approach_unavailable", "approach.allow"),
        (request("re2"), "approach_unavailable", "approach.allow"),
        (request("mcp"), "approach_unavailable", "no network"),
        (with(plain.clone(), json!({"optillm_approach": "nothing"})), "approach_unavailable", "bon, chat, moa"),
        (with(plain.clone(), json!({"proxy_wrap": "nothing"})), "approach_unavailable", "nothing"),
        (request("bon|nothing"), "approach_unavailable", "nothing"),
        (request("bon-moa"), "approach_ambiguous", "bon&moa"),
        (request("bon-moa"), "approach_ambiguous", "bon|moa"),
        (with(plain.clone(), json!({"optillm_approach": "bon", "proxy_wrap": "moa"})), "approach_ambiguous", "moa"),
        (request("bon&&moa"), "invalid_approach", "bon&&moa"),
        (with(plain, json!({"optillm_approach": "bon|"})), "invalid_approach", "bon|"),
        (with(request("bon"), json!({"best_of_n": 0})), "invalid_option", "best_of_n"),
        (with(request("bon"), json!({"best_of_n": "many"})), "invalid_option", "best_of_n"),
        (with(request("bon"), json!({"extra_body": {"best_of_n": -1}})), "invalid_option", "best_of_n"),
        (with(request("chat"), json!({"asker_times": "often"})), "invalid_option", "`chat`"),
        (with(request("chat"), tools.clone()), "approach_without_tools", "`chat`"),
        (with(request("bon&chat"), tools), "approach_without_tools", "`chat`"),
        (with(request("chat"), json!({"functions": [{"name": "f"}]})), "approach_without_tools", "`chat`"),
        (with(request("chat"), json!({"n": 0})), "invalid_option", "`n`"),
        (with(request("chat"), json!({"n": 129})), "invalid_option", "`n`"),
        (with(request("chat"), json!({"n": 1.5})), "invalid_option", "`n`"),
        (with(request("chat"), json!({"n": "2"})), "invalid_option", "`n`"),
        (with(request("chat|bon"), json!({"n": 65})), "invalid_option", "`n`"),
        (with(request("chat"), json!({"messages": []})), "approach_unsuitable", "`messages`"),
        (with(request("chat"), json!({"messages": "Hello"})), "approach_unsuitable", "`messages`"),
        (with(request("chat"), json!({"messages": null})), "approach_unsuitable", "`messages`"),
    ] {
        let answer = proxy.chat_call(&body).answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{body}: {}", answer.text());
        assert!(answer.message().contains(words), "{words} in {}", answer.message());
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error", "{body}");
    }
    assert_eq!((a.calls(), super::in_flight(&proxy).await), (1, 1));
    gate.open();
    assert_eq!(busy.await.expect("answered").status, 200);
}

#[tokio::test]
async fn tools_that_may_not_be_called_do_not_matter() {
    let a = Mock::start("a", super::model()).await;
    let proxy = super::proxy(&a, &[("chat", json!({}))]).await;
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for members in [json!({"tools": tools, "tool_choice": "none"}), json!({"tools": []}), json!({"tools": null})] {
        assert_eq!(proxy.chat_call(&with(request("chat"), members.clone())).answer().await.status, 200, "{members}");
    }
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_404_whatever_is_to_answer() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder = harness::Proxy::builder().provider(&a, json!({"models": ["gpt-4"]}));
    let proxy = builder.set(json!({"approaches": super::askers(&[("chat", json!({}))])})).start().await;
    let answer = proxy.chat_call(&with(request("chat"), json!({"model": "chat-other"}))).answer().await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (404, "model_not_found", 0));
}
