//! The meaning of each endpoint's events, in one table: content, error or end.
//!
//! Each row has its source beside it. To add an endpoint, add its rows here, and the form of its error frame in
//! `respond::frame`.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::Value;

use super::events::Event;

/// The endpoint whose events a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `chat/completions`: unnamed events with `choices[].delta`, then `[DONE]`
    /// (<https://platform.openai.com/docs/api-reference/chat-streaming>).
    Chat,
    /// `completions`: the same with `choices[].text`.
    Completions,
    /// `responses`: named events (<https://platform.openai.com/docs/api-reference/responses-streaming>).
    Responses,
    /// Anthropic's `messages`: named events (<https://docs.anthropic.com/en/api/messages-streaming>).
    Messages,
    /// An endpoint whose events are not known: any data is content, and any clean end is an end.
    Other,
}

/// The meaning of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A comment: a sign of life.
    Comment,
    /// The same as an event: a ping, or one without data.
    Ping,
    /// The beginning of an answer that says nothing yet; another provider can still take over.
    Prelude,
    /// Something that was generated.
    Content,
    /// The last content: a clean end may follow.
    Finish,
    /// The end, which contains everything that was generated.
    Completed,
    /// The end. With nothing before it, nothing was generated.
    End,
    /// An error.
    Error,
    /// An error that is the end as well.
    Failed,
}

/// A row of the table of named events.
type Row = (&'static str, Sort);

/// Every event that is not listed is content: deltas of text, refusals, reasoning, audio and arguments, calls of tools and
/// their progress.
const RESPONSES: [Row; 11] = [
    // "Emitted when a response is created", "... is queued", "... is in progress": OpenAI's reference. Providers send the
    // first and fail all the same (helm-api PR#381, litellm#36768).
    ("response.created", Sort::Prelude),
    ("response.queued", Sort::Prelude),
    ("response.in_progress", Sort::Prelude),
    // Announce an empty item, part or summary, whose text comes in deltas; but see `announces_more`: a call of a tool is
    // content as soon as it is named.
    ("response.output_item.added", Sort::Prelude),
    ("response.content_part.added", Sort::Prelude),
    ("response.reasoning_summary_part.added", Sort::Prelude),
    // "Emitted when the model response is complete", "... finishes as incomplete", "... fails".
    ("response.completed", Sort::Completed),
    ("response.incomplete", Sort::Completed),
    ("response.failed", Sort::Failed),
    // "Emitted when an error occurs."
    ("error", Sort::Error),
    // No event of OpenAI's, but gateways send it to keep the connection alive (litellm#34819).
    ("ping", Sort::Ping),
];

/// The rows as above; `content_block_delta` and `message_delta`, which brings the reason of the stop, are content.
const MESSAGES: [Row; 6] = [
    // The flow of events in Anthropic's documentation: a message with empty content, then blocks, then the end.
    ("message_start", Sort::Prelude),
    // An empty text or thought; but see `announces_more`: a call of a tool is content as soon as it is named.
    ("content_block_start", Sort::Prelude),
    ("message_stop", Sort::End),
    // "There may be ping events dispersed throughout the response"
    ("ping", Sort::Ping),
    // "We may occasionally send errors in the event stream", such as `overloaded_error`.
    ("error", Sort::Error),
    // Ends a block; alone it says nothing.
    ("content_block_stop", Sort::Prelude),
];

/// "The stream is terminated by a `data: [DONE]` message" (OpenAI's reference); the SDKs ask for no more than its beginning.
/// Gateways put it behind the other endpoints' streams as well.
const DONE: &[u8] = b"[DONE]";

/// The names of items and blocks that are announced empty.
const EMPTY_AT_FIRST: [&str; 4] = ["message", "reasoning", "text", "thinking"];

impl Protocol {
    /// The protocol of an endpoint, given without leading slash and `v1/`. A stored response that is streamed again speaks
    /// as a new one.
    pub fn of(endpoint: &str) -> Self {
        match endpoint {
            "chat/completions" => Self::Chat,
            "completions" => Self::Completions,
            "messages" => Self::Messages,
            _ if endpoint.split('/').next() == Some("responses") => Self::Responses,
            _ => Self::Other,
        }
    }

    /// True when a stream must say that it is complete before its clean end counts as one. A stream without any sign
    /// was truncated by somebody who framed it properly; some servers never send `[DONE]` but a finish reason.
    pub fn says_when_complete(self) -> bool {
        self != Self::Other
    }

    /// Judges an event exactly, as is needed before the first content.
    pub fn judge(self, event: &Event<'_>) -> Sort {
        if event.is_comment {
            return Sort::Comment;
        }
        if !event.has_data() || event.name == b"ping" {
            return Sort::Ping;
        }
        let data = event.data();
        if data.starts_with(DONE) {
            return Sort::End;
        }
        // "error" as a name of the event: LM Studio and Anthropic on any endpoint.
        if event.name == b"error" {
            return Sort::Error;
        }
        let value = serde_json::from_slice::<Value>(&data).unwrap_or(Value::Null);
        match self {
            Self::Chat | Self::Completions => of_chunk(&value),
            Self::Responses => of_named(&RESPONSES, event.name, &value),
            Self::Messages => of_named(&MESSAGES, event.name, &value),
            Self::Other if is_error(&value) => Sort::Error,
            Self::Other => Sort::Content,
        }
    }

    /// Judges an event after the first content, where preludes are content as well, and looks no closer than it must.
    pub fn glance(self, event: &Event<'_>) -> Sort {
        static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
        if event.is_comment {
            return Sort::Comment;
        }
        let data = event.data();
        match self {
            Self::Chat | Self::Completions | Self::Other => {
                if data.starts_with(DONE) {
                    Sort::End
                } else if !event.has_data() || is_special(event.name) || ERROR.find(&data).is_some() {
                    self.judge(event)
                } else if self != Self::Other && has_finish_reason(&data) {
                    Sort::Finish
                } else {
                    Sort::Content
                }
            }
            Self::Responses => match row(&RESPONSES, event.name) {
                Some(sort) => sort,
                None if event.name.starts_with(b"response.") => Sort::Content,
                None => self.judge(event),
            },
            Self::Messages => match row(&MESSAGES, event.name) {
                Some(sort) => sort,
                None if event.name == b"content_block_delta" || event.name == b"message_delta" => Sort::Content,
                None => self.judge(event),
            },
        }
    }
}

/// True when an event's name says what it is on every endpoint.
fn is_special(name: &[u8]) -> bool {
    name == b"ping" || name == b"error"
}

fn row(table: &[Row], name: &[u8]) -> Option<Sort> {
    table.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, sort)| *sort)
}

/// An event of `responses` or `messages`. Its name stands in its data as well, and some servers name only one.
fn of_named(table: &[Row], name: &[u8], data: &Value) -> Sort {
    let said = data.get("type").and_then(Value::as_str).unwrap_or_default();
    let sort = row(table, name).or_else(|| row(table, said.as_bytes()));
    match sort {
        Some(Sort::Prelude) if announces_more(data) => Sort::Content,
        Some(sort) => sort,
        // A gateway's own error in the form of chat, between events of another endpoint.
        None if is_error(data) => Sort::Error,
        None => Sort::Content,
    }
}

/// True when an item, block or part that begins is more than an empty text: a call of a tool, which is named here.
fn announces_more(data: &Value) -> bool {
    let item = ["item", "content_block"].iter().find_map(|key| data.get(key));
    item.is_some_and(|item| {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or_default();
        !EMPTY_AT_FIRST.contains(&kind) || ["text", "thinking"].iter().any(|key| item.get(key).is_some_and(says))
    })
}

/// An event of chat or completions.
fn of_chunk(data: &Value) -> Sort {
    // vLLM: `{"object": "error", ...}`; OpenRouter: an `error` beside `choices` whose finish reason is `error`.
    if is_error(data) {
        return Sort::Error;
    }
    let Some(choices) = data.get("choices") else {
        // Not in the API's form, so it is passed on. LiteLLM and others have pings of their own.
        let ping = data.get("type").and_then(Value::as_str) == Some("ping");
        return if ping { Sort::Ping } else { Sort::Content };
    };
    // Azure's first chunk (results of the prompt's filter) and the last one (usage) have no choices.
    let choices = choices.as_array().map(Vec::as_slice).unwrap_or_default();
    if choices.iter().any(|choice| choice.get("finish_reason").is_some_and(says)) {
        return Sort::Finish;
    }
    // `content`, `reasoning` and `reasoning_content` (DeepSeek, vLLM), `tool_calls`, `function_call`, `audio`,
    // `refusal`, and fields yet to be invented: anything in a delta except its role. Most servers begin with the role
    // and an empty text.
    let generated = choices.iter().any(|choice| {
        let delta = ["delta", "message"].iter().find_map(|key| choice.get(key)).and_then(Value::as_object);
        let holds = delta.is_some_and(|delta| delta.iter().any(|(key, value)| key != "role" && says(value)));
        holds || choice.get("text").is_some_and(says)
    });
    if generated { Sort::Content } else { Sort::Prelude }
}

/// True when an event's data is an error: an object with an `error` that is more than nothing, or one that calls itself
/// one.
fn is_error(data: &Value) -> bool {
    data.get("error").is_some_and(says)
        || ["object", "type"].iter().any(|key| data.get(key).and_then(Value::as_str) == Some("error"))
}

/// True when a value is not empty.
fn says(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => values.iter().any(says),
        Value::Object(members) => members.values().any(says),
    }
}

/// True when a `finish_reason` has a value; as a key it cannot stand in a text, whose quotes are escaped.
fn has_finish_reason(data: &[u8]) -> bool {
    static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finish_reason\""));
    KEY.find_iter(data).any(|at| {
        let behind = data[at + KEY.needle().len()..].trim_ascii_start();
        let value = behind.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        value.starts_with(b"\"") && !value.starts_with(b"\"\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact judgement, and the quick one, which may distinguish less.
    fn sort(protocol: Protocol, name: &str, data: &str) -> Sort {
        let event = Event::new(name, data.as_bytes());
        let (judged, glanced) = (protocol.judge(&event), protocol.glance(&event));
        let coarse = |sort| match sort {
            Sort::Ping | Sort::Prelude => Sort::Content,
            other => other,
        };
        assert_eq!(coarse(judged), coarse(glanced), "{protocol:?} {name} {data}");
        judged
    }

    #[test]
    fn the_protocol_is_that_of_the_endpoint() {
        assert_eq!(Protocol::of("chat/completions"), Protocol::Chat);
        assert_eq!(Protocol::of("completions"), Protocol::Completions);
        assert_eq!(
            (Protocol::of("responses"), Protocol::of("responses/resp_1")),
            (Protocol::Responses, Protocol::Responses)
        );
        assert_eq!(Protocol::of("messages"), Protocol::Messages);
        assert_eq!(
            (Protocol::of("audio/speech"), Protocol::of("messages/count_tokens")),
            (Protocol::Other, Protocol::Other)
        );
    }

    #[test]
    fn a_chat_begins_with_what_is_generated_and_not_with_a_role() {
        let chat = |delta: &str| {
            let data = format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#);
            sort(Protocol::Chat, "", &data)
        };
        for prelude in [r#"{"role":"assistant"}"#, r#"{"role":"assistant","content":"","refusal":null}"#, "{}", "null"]
        {
            assert_eq!(chat(prelude), Sort::Prelude, "{prelude}");
        }
        for content in [
            r#"{"content":"x"}"#,
            r#"{"content":"\"error\": \"finish_reason\":\"stop\""}"#,
            r#"{"reasoning_content":"x"}"#,
            r#"{"reasoning":"x"}"#,
            r#"{"role":"assistant","tool_calls":[{"index":0,"id":"call_1"}]}"#,
            r#"{"refusal":"no"}"#,
            r#"{"audio":{"id":"a"}}"#,
        ] {
            assert_eq!(chat(content), Sort::Content, "{content}");
        }
        assert_eq!(sort(Protocol::Chat, "", r#"{"choices":[],"usage":{"total_tokens":1}}"#), Sort::Prelude);
        assert_eq!(sort(Protocol::Completions, "", r#"{"choices":[{"text":""}]}"#), Sort::Prelude);
        assert_eq!(sort(Protocol::Completions, "", r#"{"choices":[{"text":"x"}]}"#), Sort::Content);
    }

    #[test]
    fn a_finish_reason_finishes_and_done_ends() {
        for reason in [r#""finish_reason":"stop""#, r#""finish_reason" : "length""#] {
            assert_eq!(
                sort(Protocol::Chat, "", &format!(r#"{{"choices":[{{"delta":{{}},{reason}}}]}}"#)),
                Sort::Finish
            );
        }
        let none = r#"{"choices":[{"delta":{"content":"x"},"finish_reason":""}]}"#;
        assert_eq!(sort(Protocol::Chat, "", none), Sort::Content);
        for protocol in
            [Protocol::Chat, Protocol::Completions, Protocol::Responses, Protocol::Messages, Protocol::Other]
        {
            assert_eq!(sort(protocol, "", "[DONE]"), Sort::End, "{protocol:?}");
        }
    }

    #[test]
    fn an_error_is_one_at_the_top_alone() {
        for error in [r#"{"error":{"message":"x"}}"#, r#"{"error":"x"}"#, r#"{"object":"error","message":"x"}"#] {
            assert_eq!(sort(Protocol::Chat, "", error), Sort::Error, "{error}");
            assert_eq!(sort(Protocol::Other, "", error), Sort::Error, "{error}");
        }
        let late = r#"{"id":"c","choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502}}"#;
        assert_eq!(sort(Protocol::Chat, "", late), Sort::Error);
        assert_eq!(sort(Protocol::Chat, "error", "{}"), Sort::Error);
        let fine = [
            r#"{"error":null,"choices":[{"text":"x"}]}"#,
            r#"{"choices":[{"text":"x","error":1}]}"#,
            "[1]",
            "{not json",
        ];
        for fine in fine {
            assert_eq!(sort(Protocol::Chat, "", fine), Sort::Content, "{fine}");
        }
    }

    #[test]
    fn responses_go_by_the_type_of_their_events() {
        let both = |kind: &str, more: &str| {
            let data = format!(r#"{{"type":"{kind}"{more}}}"#);
            let (named, unnamed) = (sort(Protocol::Responses, kind, &data), sort(Protocol::Responses, "", &data));
            assert_eq!(named, unnamed, "{kind}");
            named
        };
        assert_eq!(both("response.created", r#","response":{"error":null}"#), Sort::Prelude);
        assert_eq!(both("response.output_item.added", r#","item":{"type":"message","content":[]}"#), Sort::Prelude);
        assert_eq!(both("response.output_text.delta", r#","delta":"x""#), Sort::Content);
        assert_eq!(both("response.reasoning_summary_text.delta", ""), Sort::Content);
        assert_eq!(both("response.completed", ""), Sort::Completed);
        assert_eq!(both("response.incomplete", ""), Sort::Completed);
        assert_eq!(both("response.failed", r#","response":{"error":{"code":"server_error"}}"#), Sort::Failed);
        assert_eq!(both("error", r#","message":"overloaded""#), Sort::Error);
        let call = r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f"}}"#;
        let call = Event::new("response.output_item.added", call.as_bytes());
        assert_eq!(Protocol::Responses.judge(&call), Sort::Content);
        assert_eq!(sort(Protocol::Responses, "", r#"{"error":{"message":"x"}}"#), Sort::Error);
        assert_eq!(sort(Protocol::Responses, "response.completed", "{}"), Sort::Completed);
    }

    #[test]
    fn messages_go_by_the_name_of_their_events() {
        let named = |kind: &str, more: &str| sort(Protocol::Messages, kind, &format!(r#"{{"type":"{kind}"{more}}}"#));
        assert_eq!(named("message_start", ""), Sort::Prelude);
        assert_eq!(named("ping", ""), Sort::Ping);
        assert_eq!(named("content_block_start", r#","content_block":{"type":"text","text":""}"#), Sort::Prelude);
        let call = Event::new("content_block_start", br#"{"content_block":{"type":"tool_use","name":"f"}}"#);
        assert_eq!(Protocol::Messages.judge(&call), Sort::Content);
        assert_eq!(named("content_block_delta", ""), Sort::Content);
        assert_eq!(named("message_delta", r#","delta":{"stop_reason":"end_turn"}"#), Sort::Content);
        assert_eq!(named("message_stop", ""), Sort::End);
        assert_eq!(named("error", r#","error":{"type":"overloaded_error"}"#), Sort::Error);
    }

    #[test]
    fn of_an_unknown_endpoint_any_data_is_content() {
        assert_eq!(sort(Protocol::Other, "", "{}"), Sort::Content);
        assert_eq!(sort(Protocol::Other, "anything", "text"), Sort::Content);
        assert_eq!(sort(Protocol::Other, "ping", "{}"), Sort::Ping);
    }
}
