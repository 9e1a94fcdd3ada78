//! Requests that approaches answer: from the choice of one to its last event, and what is left when something goes wrong.
//!
//! Most of them are answered by `asker`, a component that does what its configuration says; each test gives it the names
//! and configurations that it needs.

mod answers;
mod bodies;
mod budgets;
mod choosing;
mod combining;
mod failures;
mod faults;
mod leaving;
mod lifecycle;
mod load;
mod refused;
mod repairs;
mod slots;
mod streams;

use harness::{Answer, Mock, Proxy, Reply, Script, Seen, asker};
use serde_json::{Map, Value, json};

/// The entries of `approaches` for components that do as they are told: of each the name, which is also what it does, and
/// the rest of its configuration.
fn askers(deeds: &[(&str, Value)]) -> Value {
    let entry = |(name, config): &(&str, Value)| {
        let mut config = config.clone();
        if config.get("do").is_none() {
            config["do"] = json!(name);
        }
        ((*name).to_owned(), json!({"path": asker(), "config": config}))
    };
    Value::Object(deeds.iter().map(entry).collect::<Map<_, _>>())
}

/// A proxy before `a` that has these approaches.
async fn proxy(a: &Mock, deeds: &[(&str, Value)]) -> Proxy {
    set_up(a, deeds, json!({})).await
}

/// The same with more settings.
async fn set_up(a: &Mock, deeds: &[(&str, Value)], settings: Value) -> Proxy {
    let builder = Proxy::builder().provider(a, json!({})).set(json!({"approaches": askers(deeds)}));
    builder.set(settings).start().await
}

/// A usual request to an approach, or a combination of them.
fn request(expression: &str) -> Value {
    json!({"model": format!("{expression}-gpt-4"), "messages": [{"role": "user", "content": "Hello"}]})
}

/// The same for a client that reads a stream.
fn stream_request(expression: &str) -> Value {
    with(request(expression), json!({"stream": true}))
}

/// A request with other members.
fn with(mut request: Value, members: Value) -> Value {
    for (key, value) in members.as_object().expect("members of an object") {
        request[key] = value.clone();
    }
    request
}

/// The answer to a usual request.
async fn ask(proxy: &Proxy, expression: &str) -> Answer {
    proxy.chat_call(&request(expression)).answer().await
}

/// The text of the last message that the provider got.
fn said(seen: &Seen) -> String {
    let body = seen.json();
    body["messages"].as_array().and_then(|messages| messages.last()?["content"].as_str()).unwrap_or_default().to_owned()
}

/// A reply with these choices, as a stream if that is wanted; 5 tokens for the question, and one for each choice.
fn reply(seen: &Seen, texts: &[&str]) -> Reply {
    let count = texts.len();
    let usage = json!({"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count});
    if seen.json()["stream"] == true {
        let words = texts.concat();
        let reply = words.split_inclusive(' ').fold(Reply::sse(), |reply, word| reply.word(word));
        return reply.event(&finish_event()).event(&json!({"choices": [], "usage": usage})).done();
    }
    let choices: Vec<Value> = (0..).zip(texts).map(|(index, text)| choice(index, text)).collect();
    let answer = json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m-1", "choices": choices, "usage": usage});
    Reply::json(200, &answer)
}

fn choice(index: u32, text: &str) -> Value {
    json!({"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"})
}

fn finish_event() -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
}

/// A model that gives as many choices as it is asked for: `answer CALL.CHOICE`.
fn model() -> Script {
    Script::by(|call, seen| {
        let n = seen.json()["n"].as_u64().unwrap_or(1);
        let texts: Vec<String> = (0..n).map(|choice| format!("answer {call}.{choice}")).collect();
        reply(seen, &texts.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

/// The events of a stream, without those that are no JSON.
fn events(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

/// The text of a stream's choice at `index`.
fn text_of(stream: &str, index: u64) -> String {
    let choices = events(stream).into_iter().flat_map(|event| event["choices"].as_array().cloned().unwrap_or_default());
    let choices = choices.filter(|choice| choice["index"] == index);
    choices.filter_map(|choice| choice["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// The slots that are taken.
async fn in_flight(proxy: &Proxy) -> u64 {
    proxy.get("/health").await.json()["queue"]["in_flight"].as_u64().expect("a number")
}
