//! The content of an error body, whichever of the many shapes it has.
//!
//! It is not on the path of requests that go well, so it may build a tree. Its texts are as the provider wrote them:
//! not masked, and not to be shown; see `provider::words`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The most bytes of an error that are read, which is more than any needs.
pub const LOOKED_AT: usize = 64 << 10;

/// An error within the text of an error: some gateways quote the answer that they got.
const NESTING: usize = 6;

/// The content of an error body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The sentence for people.
    pub message: Option<String>,
    /// `type`, or what is used in its place: `status` (Google), `__type` (AWS).
    pub kind: Option<String>,
    /// `code`, or what is used in its place: `reason` (Google).
    pub code: Option<String>,
    /// The time to wait, as the body says it.
    pub wait: Option<String>,
}

impl Said {
    /// Reads a body, or the beginning of one.
    pub fn read(body: &[u8]) -> Self {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii();
        let looked_at = &body[..body.len().min(LOOKED_AT)];
        match looked_at.first() {
            Some(b'{' | b'[') => serde_json::from_slice(looked_at)
                .map_or_else(|_no_json| Self::of_text(looked_at), |value: Value| Self::of_value(&value, NESTING)),
            Some(_) => Self::of_text(looked_at),
            None => Self::default(),
        }
    }

    /// True when the body says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A page's title, or the text as it stands.
    fn of_text(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let message = if text.starts_with('<') { title(&text).unwrap_or_default() } else { &text };
        Self { message: Some(message.to_owned()).filter(|message| !message.is_empty()), ..Self::default() }
    }

    fn of_value(value: &Value, nesting: usize) -> Self {
        match value {
            // Google's endpoint for OpenAI's clients puts the error into a list.
            Value::Array(list) => list.first().map(|first| Self::of_value(first, nesting)).unwrap_or_default(),
            Value::Object(object) => Self::of_object(object, nesting),
            Value::String(text) => Self { message: Some(text.clone()), ..Self::default() },
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::default(),
        }
    }

    fn of_object(object: &Map<String, Value>, nesting: usize) -> Self {
        // OpenAI, Anthropic, Google, OpenRouter and most others; `errors` is Cloudflare's, `base_resp` MiniMax's,
        // `response` holds what failed in an event of the responses API.
        let inner = ["error", "errors", "base_resp", "response"].iter().find_map(|key| {
            let value = object.get(*key)?;
            (value.is_object() || value.is_string() || value.as_array().is_some_and(|list| !list.is_empty()))
                .then_some(value)
        });
        let Some(deeper) = nesting.checked_sub(1) else { return Self::default() };
        let inner = inner.map(|inner| Self::of_value(inner, deeper)).unwrap_or_default();
        let own = Self::of_members(object, deeper);
        // Anthropic says `"type": "error"` around the error, the older vLLM and Mistral `"object": "error"`.
        let own_kind = own.kind.filter(|kind| kind != "error");
        Self {
            message: inner.message.or(own.message),
            kind: inner.kind.or(own_kind),
            code: inner.code.or(own.code),
            wait: inner.wait.or(own.wait),
        }
    }

    fn of_members(object: &Map<String, Value>, nesting: usize) -> Self {
        let text = |key: &str| object.get(key).and_then(text_of).map(Cow::into_owned);
        // `detail` is FastAPI's, `msg` and `status_msg` those of Chinese providers, `title` of RFC 9457.
        let messages = ["message", "Message", "detail", "error_description", "msg", "status_msg", "title"];
        let mut message = messages.iter().find_map(|key| object.get(*key)).and_then(|value| match value {
            // FastAPI's list of what is wrong with a body.
            Value::Array(list) => list.first().and_then(|first| text_of(first.get("msg")?)).map(Cow::into_owned),
            Value::Object(object) => object.get("message").and_then(text_of).map(Cow::into_owned),
            other => text_of(other).map(Cow::into_owned),
        });
        let details = || object.get("details").and_then(Value::as_array).into_iter().flatten();
        let reason = details().find_map(|detail| detail.get("reason")?.as_str()).map(str::to_owned);
        let wait = details().find_map(|detail| detail.get("retryDelay")?.as_str()).map(str::to_owned);
        let mut said = Self {
            message: None,
            kind: text("type").or_else(|| text("__type")).or_else(|| object.get("status")?.as_str().map(str::to_owned)),
            // Google's numeric code repeats the status; its reason says more.
            code: reason.or_else(|| text("code")).or_else(|| text("status_code")),
            wait,
        };
        // OpenRouter quotes the provider behind it.
        if let Some(raw) = object.get("metadata").and_then(|metadata| metadata.get("raw")).and_then(Value::as_str) {
            let around = message.take().unwrap_or_default();
            message = Some(if around.is_empty() { raw.to_owned() } else { format!("{around}: {raw}") });
        }
        // A text that is itself an error's JSON, such as Google's clients and gateways make of it.
        if let Some(json) = message.as_deref().filter(|text| text.trim_start().starts_with('{') && nesting > 0)
            && let Ok(value) = serde_json::from_str::<Value>(json)
        {
            let quoted = Self::of_value(&value, nesting - 1);
            said.kind = quoted.kind.or(said.kind);
            said.code = quoted.code.or(said.code);
            said.wait = said.wait.or(quoted.wait);
            message = quoted.message.or(message);
        }
        Self { message, ..said }
    }
}

/// A text, or a number as one.
fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The title of a web page.
fn title(page: &str) -> Option<&str> {
    let open = page.find("<title>").or_else(|| page.find("<TITLE>"))? + "<title>".len();
    let rest = &page[open..];
    rest.find("</").map(|end| rest[..end].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Message, type and code.
    fn said(body: &str) -> [String; 3] {
        let Said { message, kind, code, .. } = Said::read(body.as_bytes());
        [message, kind, code].map(Option::unwrap_or_default)
    }

    #[test]
    fn reads_every_shape_that_is_known() {
        let table: [(&str, [&str; 3]); 19] = [
            (r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#, ["m", "t", "c"]),
            (r#"{"error":{"message":"m","type":"t","param":null,"code":null}}"#, ["m", "t", ""]),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                ["Overloaded", "overloaded_error", ""],
            ),
            (r#"{"error":"Unexpected endpoint"}"#, ["Unexpected endpoint", "", ""]),
            (
                r#"{"code":"invalid-argument","error":"Incorrect API key provided"}"#,
                ["Incorrect API key provided", "", "invalid-argument"],
            ),
            (r#"{"object":"error","message":"m","type":"t","param":null,"code":40301}"#, ["m", "t", "40301"]),
            (r#"{"detail":"Not Found"}"#, ["Not Found", "", ""]),
            (r#"{"detail":[{"loc":["body"],"msg":"field required","type":"missing"}]}"#, ["field required", "", ""]),
            (r#"{"message":"m"}"#, ["m", "", ""]),
            (r#"{"__type":"ThrottlingException","Message":"slow"}"#, ["slow", "ThrottlingException", ""]),
            (r#"{"success":false,"errors":[{"code":7003,"message":"no route"}]}"#, ["no route", "", "7003"]),
            (r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#, ["login fail", "", "1004"]),
            (
                r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#,
                ["bad", "INVALID_ARGUMENT", "API_KEY_INVALID"],
            ),
            (
                r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"raw":"upstream timeout"}}}"#,
                ["Provider returned error: upstream timeout", "", "502"],
            ),
            (
                r#"{"error":{"message":"{\"error\":{\"code\":429,\"message\":\"inner\",\"status\":\"RESOURCE_EXHAUSTED\"}}","code":429}}"#,
                ["inner", "RESOURCE_EXHAUSTED", "429"],
            ),
            ("upstream connect error\n", ["upstream connect error", "", ""]),
            ("<html><head><title>502 Bad Gateway</title></head></html>", ["502 Bad Gateway", "", ""]),
            ("<html></html>", ["", "", ""]),
            ("  ", ["", "", ""]),
        ];
        for (body, expected) in table {
            assert_eq!(said(body), expected, "{body}");
        }
    }

    #[test]
    fn reads_googles_delay() {
        let body = r#"{"error":{"code":429,"details":[{"reason":"RATE_LIMIT_EXCEEDED"},{"retryDelay":"39s"}]}}"#;
        assert_eq!(Said::read(body.as_bytes()).wait.as_deref(), Some("39s"));
    }

    #[test]
    fn what_is_cut_is_taken_as_text() {
        assert_eq!(said(r#"{"error":{"mess"#), [r#"{"error":{"mess"#, "", ""]);
    }
}
