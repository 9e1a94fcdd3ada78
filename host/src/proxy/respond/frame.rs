//! The frame that ends a stream which cannot go on, in the form that each endpoint's SDKs raise an error from.
//!
//! It follows whole events only, so it needs no blank line before it, which some SDKs would take for an event of its own
//! (openai-python#2722).

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{PROVIDER, error_json};
use crate::proxy::endpoint::RESPONSES;
use crate::proxy::stream::protocol::Protocol;
use crate::proxy::stream::reader::Reader;

/// The frame that ends a stream whose provider broke off.
pub fn interruption(reader: &Reader, provider: &str, reason: &str) -> Bytes {
    let message = format!("The stream was interrupted: provider {provider} {reason}.");
    error_frame(reader.protocol(), reader.events(), &message, PROVIDER, "stream_interrupted")
}

/// An error as the last event of a stream, behind `events` of them.
pub(super) fn error_frame(protocol: Protocol, events: u64, message: &str, kind: &str, code: &str) -> Bytes {
    match protocol {
        // Without a name, since openai-node reads named events differently.
        Protocol::Chat | Protocol::Completions | Protocol::Other => {
            let error = error_json(message, kind, None, code);
            [b"data: ", &error[..], b"\n\n"].concat().into()
        }
        // The event of OpenAI's reference. `error` besides, as openai-python and openai-node raise from that alone and hand
        // on the event as one of the answer's otherwise.
        Protocol::Responses => named(&json!({
            "type": "error", "code": code, "message": message, "param": null, "sequence_number": events,
            "error": {"message": message, "type": kind, "param": null, "code": code},
        })),
        // Anthropic's documentation; without the name its SDK ends as if the stream were complete.
        Protocol::Messages => {
            named(&json!({"type": "error", "error": {"type": "api_error", "message": message, "code": code}}))
        }
    }
}

/// The text of an error.
pub(super) struct Said<'a> {
    pub message: &'a str,
    pub kind: &'a str,
    pub param: Option<&'a str>,
    pub code: &'a str,
}

/// An error as an event on a WebSocket. Sessions have a form of their own for it
/// (<https://platform.openai.com/docs/api-reference/realtime-server-events/error>), and so has the WebSocket of responses
/// (<https://developers.openai.com/api/docs/guides/websocket-mode>).
pub(super) fn error_event(endpoint: &str, status: StatusCode, said: &Said<'_>, event: Option<&str>) -> Bytes {
    let Said { message, kind, param, code } = said;
    let text = match endpoint {
        RESPONSES => json!({
            "type": "error", "status": status.as_u16(),
            "error": {"type": kind, "code": code, "message": message, "param": param},
        }),
        _ => json!({
            "type": "error", "event_id": "event_pointsman",
            "error": {"type": kind, "code": code, "message": message, "param": param, "event_id": event},
        }),
    };
    text.to_string().into()
}

/// A provider's refusal to open a WebSocket of responses, as an event on that of the client.
pub fn passed_on(status: StatusCode, body: &[u8]) -> Bytes {
    let body = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
    let error = match body.get("error") {
        Some(error) => error.clone(),
        None => {
            let message = format!("The provider answered {status}.");
            json!({"type": PROVIDER, "code": "provider_error", "message": message, "param": null})
        }
    };
    json!({"type": "error", "status": status.as_u16(), "error": error}).to_string().into()
}

/// The code of [`late_answer`].
pub const LATE_ANSWER: &str = "late_answer";

/// The error frame for an answer that is no stream, after the head of a stream has gone out: the answer's own error, or
/// a description.
pub fn late_answer(protocol: Protocol, provider: &str, status: StatusCode, body: &[u8]) -> Bytes {
    let body = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
    let error = body.get("error").unwrap_or(&body);
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let message = match text("message") {
        Some(message) => format!("Provider {provider} answered {status}: {message}"),
        None => format!("Provider {provider} answered {status}, and not with a stream, after the proxy had begun one."),
    };
    error_frame(protocol, 0, &message, text("type").unwrap_or(PROVIDER), text("code").unwrap_or(LATE_ANSWER))
}

fn named(data: &Value) -> Bytes {
    format!("event: error\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(protocol: Protocol) -> String {
        let frame = error_frame(protocol, 7, "it broke", "provider_error", "stream_interrupted");
        String::from_utf8(frame.to_vec()).expect("text")
    }

    #[test]
    fn a_frame_is_one_whole_event_in_the_form_of_its_endpoint() {
        let json = |text: &str| serde_json::from_str::<Value>(text.trim_end()).expect("JSON");
        for protocol in [Protocol::Chat, Protocol::Completions, Protocol::Other] {
            let error = json(frame(protocol).strip_prefix("data: ").expect("no name"));
            assert_eq!((&error["error"]["message"], &error["error"]["param"]), (&json!("it broke"), &Value::Null));
        }
        for protocol in [Protocol::Responses, Protocol::Messages] {
            let text = frame(protocol);
            let error = json(text.strip_prefix("event: error\ndata: ").expect("its name"));
            assert_eq!((&error["type"], &error["error"]["message"]), (&json!("error"), &json!("it broke")));
            assert!(text.ends_with("}\n\n") && text.matches('\n').count() == 3);
        }
        let responses = frame(Protocol::Responses);
        let responses = json(&responses[responses.find('{').expect("JSON")..]);
        assert_eq!((&responses["message"], &responses["sequence_number"]), (&json!("it broke"), &json!(7)));
    }
}
