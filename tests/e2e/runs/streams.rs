//! Answers that come as streams: token by token, with signs of life, and one end.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, Reply, Script, eventually};
use serde_json::{Value, json};

use super::{ask, events, finish_event, model, proxy, reply, set_up, stream_request, text_of, with};

#[tokio::test]
async fn the_first_word_arrives_while_the_provider_holds_the_second() {
    for deed in ["deliver", "pieces"] {
        let gate = Gate::closed();
        let a = Mock::start("a", Reply::sse().word("one ").wait(&gate).word("two").event(&finish_event()).done()).await;
        let proxy = proxy(&a, &[(deed, json!({"times": if deed == "pieces" { 9 } else { 1 }}))]).await;
        let mut stream = proxy.chat_call(&stream_request(deed)).open().await;
        assert_eq!((stream.status, stream.header("x-pointsman-approach")), (200, deed));
        assert!(stream.header("content-type").starts_with("text/event-stream"), "{deed}");
        if deed == "deliver" {
            assert_eq!(stream.header("x-pointsman-provider"), "a");
        }
        let first = stream.read_until("one ").await;
        assert!(first.contains("\"role\":\"assistant\"") && !first.contains("two"), "{first}");
        gate.open();
        let rest = stream.rest().await;
        assert!(rest.complete && rest.text().contains("two") && rest.text().ends_with("data: [DONE]\n\n"), "{deed}");
    }
}

#[tokio::test]
async fn every_event_belongs_to_one_answer_and_the_usage_comes_if_it_is_wanted() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("deliver", json!({})), ("chat", json!({"times": 2})), ("whole", json!({}))]).await;
    for (deed, calls) in [("deliver", 1), ("chat", 2), ("whole", 1)] {
        for wanted in [true, false] {
            let body = with(stream_request(deed), json!({"stream_options": {"include_usage": wanted}}));
            let answer = proxy.chat_call(&body).answer().await;
            let text = answer.text();
            let events = events(&text);
            let ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
            assert!(ids[0].as_str().is_some_and(|id| id.starts_with("chatcmpl-pm-")), "{text}");
            assert!(ids.iter().all(|id| *id == ids[0]), "{text}");
            assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant", "{deed}: {text}");
            assert_eq!(text.matches("\"finish_reason\":\"stop\"").count(), 1, "{deed}: {text}");
            assert_eq!(text.matches("\"usage\":").count(), usize::from(wanted), "{deed}: {text}");
            if wanted {
                let usage = json!({"prompt_tokens": 5 * calls, "completion_tokens": calls, "total_tokens": 6 * calls});
                let last = events.last().expect("events");
                assert_eq!((&last["usage"], &last["choices"]), (&usage, &json!([])), "{text}");
            }
            let figures = format!(": {deed}; calls={calls}; choices={calls}; ms=");
            assert!(text.contains(&figures) && text.ends_with("data: [DONE]\n\n"), "{text}");
            assert!(!text.contains("\n\n\n"), "no empty event: {text}");
        }
    }
}

#[tokio::test]
async fn stream_and_whole_have_the_same_text() {
    let script = Script::by(|_, seen| reply(seen, &["the same text for all"]));
    let a = Mock::start("a", script).await;
    let deeds = ["chat", "deliver", "pieces", "whole", "beside", "text", "fallback", "rewrite"];
    let proxy = proxy(&a, &deeds.map(|deed| (deed, json!({"times": if deed == "pieces" { 99 } else { 1 }})))).await;
    for expression in deeds.iter().copied().chain(["moa", "bon", "re2", "cot_reflection", "self_consistency"]) {
        let whole = ask(&proxy, expression).await;
        let stream = proxy.chat_call(&stream_request(expression)).answer().await.text();
        assert_eq!((whole.status, text_of(&stream, 0)), (200, whole.content()), "{expression}: {stream}");
        assert!(!whole.content().is_empty(), "{expression}");
    }
}

#[tokio::test]
async fn usage_that_every_event_repeats_counts_once() {
    let usage = |count: u32| json!({"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count});
    let word = |text: &str, count: u32| json!({"model": "m", "choices": [{"index": 0, "delta": {"content": text}}], "usage": usage(count)});
    let a = Mock::start("a", Reply::sse().event(&word("one ", 1)).event(&word("two", 2)).event(&finish_event()).done())
        .await;
    let proxy = proxy(&a, &[("deliver", json!({})), ("whole", json!({}))]).await;
    for deed in ["deliver", "whole"] {
        let body = with(stream_request(deed), json!({"stream_options": {"include_usage": true}}));
        let text = proxy.chat_call(&body).answer().await.text();
        assert_eq!(events(&text).last().expect("events")["usage"], usage(2), "{deed}: {text}");
        assert_eq!(text.matches("\"usage\":").count(), 1, "{deed}: {text}");
    }
}

#[tokio::test]
async fn a_stream_of_tools_passes_as_it_is() {
    let delta = |delta: Value| json!({"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    let call = json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}});
    let more = json!({"index": 0, "function": {"arguments": "{}"}});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    let stream = Reply::sse()
        .event(&delta(json!({"role": "assistant", "content": null})))
        .event(&delta(json!({"tool_calls": [call]})))
        .event(&delta(json!({"tool_calls": [more]})))
        .event(&end)
        .done();
    let a = Mock::start("a", stream).await;
    let proxy = Proxy::before([&a]).await;
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    let text = proxy.chat_call(&with(stream_request("re2"), tools)).answer().await.text();
    let deltas: Vec<Value> = events(&text).iter().map(|event| event["choices"][0]["delta"].clone()).collect();
    let expected = [
        json!({"role": "assistant", "content": null}),
        json!({"tool_calls": [call]}),
        json!({"tool_calls": [more]}),
        json!({}),
    ];
    assert_eq!(deltas, expected, "{text}");
    assert_eq!(text.matches("\"finish_reason\":\"tool_calls\"").count(), 1, "{text}");
}

/// The stream of an approach whose first call takes long, up to the end.
async fn slow(progress: &str) -> String {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("late").held_by(&gate)).await;
    let settings = json!({"approach": {"heartbeat": 0.05, "progress": progress}});
    let proxy = set_up(&a, &[("notes", json!({"times": 2})), ("chat", json!({}))], settings).await;
    let mut stream = proxy.chat_call(&stream_request("notes|chat")).open().await;
    assert_eq!(stream.status, 200);
    let sign = match progress {
        "comments" => ": notes|chat 0000",
        "chunks" => "\"content\":\"\"",
        "reasoning" => "reasoning_content",
        _ => "noted",
    };
    let mut text = stream.read_until(sign).await;
    if sign != "noted" {
        text += &stream.read_until(sign).await;
    }
    gate.open();
    text + &stream.rest().await.text()
}

#[tokio::test]
async fn a_client_that_waits_gets_signs_of_life_in_the_form_that_the_operator_wants() {
    for progress in ["comments", "chunks", "reasoning", "off"] {
        let text = slow(progress).await;
        let events = events(&text);
        assert_eq!((text_of(&text, 0).as_str(), text_of(&text, 1).as_str()), ("noted", "late"), "{progress}: {text}");
        assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("\n\n\n"), "{text}");
        let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
        let chunks = deltas.iter().filter(|delta| delta["content"] == "").count();
        let thoughts = deltas.iter().filter(|delta| delta["reasoning_content"].is_string()).count();
        let comments = text.lines().filter(|line| line.starts_with(": ") && !line.contains("calls=")).count();
        match progress {
            "comments" => assert!(comments >= 2 && chunks + thoughts == 0, "{text}"),
            "chunks" => assert!(chunks >= 2 && comments + thoughts == 0, "{text}"),
            "reasoning" => assert!(thoughts >= 2 && comments + chunks == 0, "{text}"),
            _ => assert_eq!(comments + chunks + thoughts, 0, "{text}"),
        }
        // A comment and an empty line would be an empty event to some.
        assert!(
            !text.lines().collect::<Vec<_>>().windows(2).any(|two| two[0].starts_with(": ") && two[1].is_empty()),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_head_comes_with_the_first_sign_where_nothing_else_does() {
    let a = Mock::start("a", Reply::silence()).await;
    let proxy = set_up(&a, &[("chat", json!({}))], json!({"approach": {"heartbeat": 0.05}})).await;
    let mut stream = proxy.chat_call(&stream_request("chat")).open().await;
    assert_eq!((stream.status, stream.header("x-pointsman-provider")), (200, ""));
    stream.read_until(": chat\n: chat\n").await;
    drop(stream);
    eventually("nothing is left", async || a.serving() == 0).await;
}

#[tokio::test]
async fn a_failure_before_the_first_word_has_its_own_status() {
    let role = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]});
    let throttled = Reply::error(429, "slow down").header("retry-after", "7");
    for (reply, status) in [(Reply::error(400, "no"), 400), (throttled, 429), (Reply::sse().event(&role).cut(), 502)] {
        let a = Mock::start("a", reply).await;
        let proxy = proxy(&a, &[("deliver", json!({})), ("pieces", json!({})), ("whole", json!({}))]).await;
        for deed in ["deliver", "pieces", "whole"] {
            let answer = proxy.chat_call(&stream_request(deed)).answer().await;
            assert_eq!(answer.status, status, "{deed}: {}", answer.text());
            assert_eq!(answer.header("content-type"), "application/json");
            assert_eq!(answer.header("x-should-retry"), "false");
        }
    }
}

#[tokio::test]
async fn a_failure_after_the_first_word_is_an_error_event_without_an_end() {
    for (deed, words) in [("deliver", "one "), ("again", "one "), ("fallback", "one "), ("pieces", "one ")] {
        let gate = Gate::closed();
        let a = Mock::start("a", Reply::sse().word("one ").wait(&gate).cut()).await;
        let proxy = proxy(&a, &[(deed, json!({"times": if deed == "pieces" { 9 } else { 1 }}))]).await;
        let mut stream = proxy.chat_call(&stream_request(deed)).open().await;
        let begun = stream.read_until("one ").await;
        gate.open();
        let text = begun + &stream.rest().await.text();
        assert_eq!(text_of(&text, 0), words, "{deed}: {text}");
        assert!(events(&text).last().is_some_and(|event| event["error"].is_object()), "{deed}: {text}");
        assert!(!text.contains("[DONE]") && a.calls() == 1, "{deed}: {text}");
    }
}

#[tokio::test]
async fn an_approach_can_do_without_what_failed_before_the_first_word() {
    let script =
        Script::by(|call, seen| if call == 0 { Reply::error(400, "no") } else { reply(seen, &["second try"]) });
    for (deed, text) in [("fallback", "instead"), ("again", "second try")] {
        let a = Mock::start("a", script.clone()).await;
        let proxy = proxy(&a, &[(deed, json!({}))]).await;
        let stream = proxy.chat_call(&stream_request(deed)).answer().await.text();
        assert_eq!(text_of(&stream, 0), text, "{stream}");
        assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_loses_nothing_and_is_no_fault_of_the_approach() {
    let words = (0..3000).fold(Reply::sse(), |reply, number| reply.word(&format!("{number:08000} ")));
    let a = Mock::start("a", words.event(&finish_event()).done()).await;
    let proxy = set_up(&a, &[("deliver", json!({}))], json!({"approach": {"timeout": 0.5}})).await;
    for _ in 0..3 {
        let stream = proxy.chat_call(&stream_request("deliver")).open().await;
        tokio::time::sleep(Duration::from_millis(1700)).await;
        let text = stream.rest().await.text();
        assert!(text.contains("approach_timeout") && !text.contains("[DONE]"), "{}", &text[text.len() - 300..]);
    }
    let faults = proxy.metric("pointsman_approach_faults_total{approach=\"deliver\",kind=\"late\"}").await;
    assert!(faults < 0.5, "{faults}");
}
