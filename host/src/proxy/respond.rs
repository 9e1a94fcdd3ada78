//! The proxy's own answers: every way in which it says no, in OpenAI's error shape.
//!
//! Two texts: the client's sentence names no key and no internal address; the log has the chain of causes.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode, Uri};
use http_body_util::Full;
use serde_json::json;

mod frame;

use super::encoding::DECODED;
use super::endpoint::is_messages;
use super::request::BodyError;
use super::stream::protocol::Protocol;
use crate::provider::words::Words;
use crate::routing::Outcome;
pub use frame::{LATE_ANSWER, interruption, late_answer};

/// The type of the error when the client is at fault.
const INVALID_REQUEST: &str = "invalid_request_error";
/// ... when the proxy itself cannot serve the request now.
const PROXY: &str = "proxy_error";
/// ... when providers failed.
const PROVIDER: &str = "provider_error";

/// The length of a client's text that an error repeats, in bytes.
const MAX_ECHO: usize = 100;

/// Why the proxy answers by itself.
#[derive(Debug)]
pub enum ProxyError {
    /// The body cannot be read as what it must be, or asks for what there is not.
    Body(BodyError),
    /// No or a wrong client key.
    WrongKey,
    /// No such path.
    UnknownPath(String),
    /// A path that could lead out of a provider's base URL.
    BadPath,
    /// None or several names of whom the request is for, or one that is no name.
    BadHost,
    /// A name for this machine that the operator has not named.
    ForeignHost(String),
    /// A web page asks that may not.
    ForeignOrigin,
    /// The client wants to change to another protocol, such as WebSocket.
    Upgrade,
    /// The path exists, the method does not.
    WrongMethod(&'static str),
    /// No such path on the listener for operators.
    NotForOperators(String),
    /// No configured provider serves the model.
    UnknownModel(String),
    /// More bytes than `server.max_body_bytes`.
    TooLarge(usize),
    /// The body is compressed in a way that is not read here.
    Encoded,
    /// The body is not compressed as its head says.
    BadEncoding,
    /// The bodies of other requests take all the memory that there is for them.
    Crowded,
    /// The client stopped sending in the middle of its body.
    CutOff,
    /// The client sends its body too slowly.
    TooSlow,
    /// No slot in time; how long the request waited.
    QueueTimeout(Duration),
    /// As many requests wait already as may: that many.
    QueueFull(usize),
    /// The server is going down.
    Draining,
    /// A route for operators, asked for from another machine without a key being set.
    NotFromHere,
    /// Every provider limits our rate.
    AllThrottled {
        /// The shortest wait.
        wait: Duration,
        /// All attempts, if it came to any.
        tried: Vec<Tried>,
    },
    /// Every attempt timed out.
    AllTimedOut(Vec<Tried>),
    /// Every attempt failed, in whatever way.
    AllFailed {
        /// All attempts.
        tried: Vec<Tried>,
        /// Whether there was at least one healthy provider to begin with.
        any_healthy: bool,
    },
}

/// The form that a client expects errors in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`
    Anthropic,
}

impl Form {
    /// The form of the endpoint that is asked, or was meant.
    pub fn of(uri: &Uri) -> Self {
        if is_messages(uri.path()) { Self::Anthropic } else { Self::OpenAi }
    }
}

/// One attempt that did not lead to an answer.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The provider's name.
    pub provider: String,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// The reason, in one line.
    pub reason: String,
    /// The provider's own words about it.
    pub words: Option<Box<Words>>,
}

/// The code of an own error, beside the response: the label of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub &'static str);

/// An error as the client sees it.
struct Face {
    status: StatusCode,
    kind: Cow<'static, str>,
    /// The name of the error in metrics and logs.
    code: &'static str,
    /// The code that the client is told in its place.
    their_code: Option<String>,
    param: Option<String>,
    message: String,
    retry_after: Option<Duration>,
}

impl ProxyError {
    /// The status that the client gets.
    pub fn status(self) -> StatusCode {
        self.face().status
    }

    /// The response in the form of the endpoint; `id` is the request's, and `attempts` is how many the proxy has made for
    /// it.
    pub fn into_response(self, form: Form, id: &str, attempts: usize) -> Response<Full<Bytes>> {
        let allowed = if let Self::WrongMethod(allowed) = self { Some(allowed) } else { None };
        let is_final = matches!(self, Self::Upgrade);
        let is_encoded = matches!(self, Self::Encoded);
        let closes = matches!(self, Self::Draining | Self::TooLarge(_) | Self::CutOff | Self::TooSlow | Self::Crowded);
        let face = self.face();
        let body = match form {
            Form::OpenAi => {
                let code = face.their_code.as_deref().unwrap_or(face.code);
                error_json(&face.message, &face.kind, face.param.as_deref(), code)
            }
            Form::Anthropic => anthropic_json(&face.message, face.status, &face.kind, id),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = face.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = face.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds(wait)));
        }
        if is_encoded {
            // RFC 9110, 12.5.3: what would be read.
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(DECODED));
        }
        if let Some(allowed) = allowed {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        let is_gateways = matches!(face.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
        if (attempts > 1 && is_gateways) || is_final {
            // The SDKs would repeat all our attempts twice. What has been tried once, or may be tried after a while, is
            // theirs to repeat.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(Code(face.code));
        let headers = response.headers_mut();
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The last event of a stream whose head has gone out, and the error's code.
    pub fn into_frame(self, protocol: Protocol) -> (Bytes, &'static str) {
        let face = self.face();
        let code = face.their_code.as_deref().unwrap_or(face.code);
        (frame::error_frame(protocol, 0, &face.message, &face.kind, code), face.code)
    }

    fn face(self) -> Face {
        let face = |status, kind, code, message: String| Face {
            status,
            kind: Cow::Borrowed(kind),
            code,
            their_code: None,
            param: None,
            message,
            retry_after: None,
        };
        match self {
            Self::Body(error) => Face {
                param: error.param().map(str::to_owned),
                ..face(StatusCode::BAD_REQUEST, INVALID_REQUEST, error.code(), error.to_string())
            },
            Self::WrongKey => face(
                StatusCode::UNAUTHORIZED,
                INVALID_REQUEST,
                "invalid_api_key",
                "The proxy does not accept this API key. Send one of its client keys as 'Authorization: Bearer KEY'."
                    .to_owned(),
            ),
            Self::UnknownPath(path) => face(
                StatusCode::NOT_FOUND,
                INVALID_REQUEST,
                "unknown_path",
                format!("The proxy serves no path {}. Endpoints of the OpenAI API begin with /v1/.", shorten(&path)),
            ),
            Self::BadPath => face(
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                "invalid_path",
                "The path holds a dot segment, a backslash or a control character, plain or encoded.".to_owned(),
            ),
            Self::BadHost => face(
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                "invalid_host",
                "The request must have exactly one header Host that names a host.".to_owned(),
            ),
            Self::ForeignHost(host) => face(
                StatusCode::FORBIDDEN,
                INVALID_REQUEST,
                "host_not_allowed",
                format!(
                    "Without client keys the proxy on this machine answers to its address and to localhost, but not to \
                     the name {} (server.hosts).",
                    shorten(&host)
                ),
            ),
            Self::ForeignOrigin => face(
                StatusCode::FORBIDDEN,
                INVALID_REQUEST,
                "origin_not_allowed",
                "The web page that sends this request is not allowed to (server.cors.origins).".to_owned(),
            ),
            Self::Upgrade => face(
                StatusCode::NOT_IMPLEMENTED,
                INVALID_REQUEST,
                "upgrade_unavailable",
                "The proxy does not speak WebSocket: use the endpoints of HTTP, with `stream` where events are wanted."
                    .to_owned(),
            ),
            Self::NotForOperators(path) => face(
                StatusCode::NOT_FOUND,
                INVALID_REQUEST,
                "unknown_path",
                format!(
                    "This listener serves /metrics, /admin/reload, /admin/shadow, /health and /ready, but no path {}.",
                    shorten(&path)
                ),
            ),
            Self::WrongMethod(allowed) => face(
                StatusCode::METHOD_NOT_ALLOWED,
                INVALID_REQUEST,
                "method_not_allowed",
                format!("This path answers {allowed} only."),
            ),
            Self::UnknownModel(model) if model.is_empty() => Face {
                param: Some("model".to_owned()),
                ..face(
                    StatusCode::NOT_FOUND,
                    INVALID_REQUEST,
                    "model_not_found",
                    "The request names no model, and every provider serves those alone that it lists. GET /v1/models \
                     lists what there is."
                        .to_owned(),
                )
            },
            Self::UnknownModel(model) => Face {
                param: Some("model".to_owned()),
                ..face(
                    StatusCode::NOT_FOUND,
                    INVALID_REQUEST,
                    "model_not_found",
                    format!(
                        "No configured provider serves the model '{}'. GET /v1/models lists what there is.",
                        shorten(&model)
                    ),
                )
            },
            Self::TooLarge(limit) => face(
                StatusCode::PAYLOAD_TOO_LARGE,
                INVALID_REQUEST,
                "request_too_large",
                format!(
                    "The request's body is larger than the proxy's limit of {limit} bytes (server.max_body_bytes)."
                ),
            ),
            Self::Encoded => face(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                INVALID_REQUEST,
                "unsupported_encoding",
                format!("The proxy does not read bodies with this Content-Encoding, but {DECODED}, one of them."),
            ),
            Self::BadEncoding => face(
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                "invalid_encoding",
                "The request's body is not compressed as its Content-Encoding says.".to_owned(),
            ),
            Self::Crowded => Face {
                retry_after: Some(Duration::from_secs(1)),
                ..face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    PROXY,
                    "no_memory_for_body",
                    "The proxy is at its limit: the bodies of other requests take all memory that there is for them \
                     (server.max_buffered_bytes)."
                        .to_owned(),
                )
            },
            Self::CutOff => face(
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                "incomplete_body",
                "The request's body ended before its announced end.".to_owned(),
            ),
            Self::TooSlow => face(
                StatusCode::REQUEST_TIMEOUT,
                INVALID_REQUEST,
                "slow_body",
                "The request's body came too slowly.".to_owned(),
            ),
            Self::QueueTimeout(waited) => Face {
                retry_after: Some(Duration::from_secs(1)),
                ..face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    PROXY,
                    "queue_timeout",
                    format!("The proxy is at its limit: no slot came free within {:.1} s.", waited.as_secs_f64()),
                )
            },
            Self::QueueFull(waiting) => Face {
                retry_after: Some(Duration::from_secs(1)),
                ..face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    PROXY,
                    "queue_full",
                    format!("The proxy is at its limit: {waiting} requests wait already (queue.max_waiting)."),
                )
            },
            Self::NotFromHere => face(
                StatusCode::FORBIDDEN,
                INVALID_REQUEST,
                "loopback_only",
                "Without server.api_keys or server.admin the proxy serves this path to its own machine only."
                    .to_owned(),
            ),
            Self::Draining => Face {
                retry_after: Some(Duration::from_secs(1)),
                ..face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    PROXY,
                    "draining",
                    "The proxy is shutting down and takes no new requests.".to_owned(),
                )
            },
            Self::AllThrottled { wait, tried } => {
                let told = if tried.is_empty() { String::new() } else { format!(" {}.", list(&tried)) };
                let seconds = retry_after_seconds(wait);
                let message = format!("Every provider limits the rate of requests. Try again in {seconds} s.{told}");
                let face = face(StatusCode::TOO_MANY_REQUESTS, PROVIDER, "all_providers_throttled", message);
                Face { retry_after: Some(wait), ..face }.in_their_words(&tried)
            }
            Self::AllTimedOut(tried) => face(
                StatusCode::GATEWAY_TIMEOUT,
                PROVIDER,
                "all_providers_timed_out",
                format!("Every provider timed out: {}.", list(&tried)),
            ),
            Self::AllFailed { tried, any_healthy } => {
                let opening = if any_healthy { "All providers failed" } else { "No healthy providers available" };
                let message = format!("{opening}: {}.", list(&tried));
                face(StatusCode::BAD_GATEWAY, PROVIDER, "all_providers_failed", message).in_their_words(&tried)
            }
        }
    }
}

impl Face {
    /// Takes over the provider's error for the client, where one provider alone was tried.
    fn in_their_words(self, tried: &[Tried]) -> Self {
        let Some((last, before)) = tried.split_last() else { return self };
        let words = last.words.as_deref().filter(|_| before.iter().all(|tried| tried.provider == last.provider));
        let kind = words.and_then(Words::kind).map(|kind| Cow::Owned(kind.to_owned()));
        let their_code = words.and_then(Words::code).map(str::to_owned);
        Self { kind: kind.unwrap_or(self.kind), their_code, ..self }
    }
}

/// Whole seconds, at least 1: what the SDKs wait for.
fn retry_after_seconds(wait: Duration) -> u64 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    whole.max(1)
}

fn list(tried: &[Tried]) -> String {
    let mut text = String::new();
    for Tried { provider, reason, .. } in tried {
        // What providers say has commas of its own.
        let between = if text.is_empty() { "" } else { "; " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{between}{provider} {reason}");
    }
    text
}

/// A client's text as far as an error repeats it: at most 100 bytes.
fn shorten(text: &str) -> String {
    if text.len() <= MAX_ECHO {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_ECHO)])
}

/// OpenAI's error object.
pub fn error_json(message: &str, kind: &str, param: Option<&str>, code: &str) -> Bytes {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}}).to_string().into()
}

/// The types of Anthropic's errors.
const ANTHROPIC_TYPES: [&str; 10] = [
    "api_error",
    "authentication_error",
    "billing_error",
    "invalid_request_error",
    "not_found_error",
    "overloaded_error",
    "permission_error",
    "rate_limit_error",
    "request_too_large",
    "timeout_error",
];

/// Anthropic's error object (its API reference, "Errors"): the type follows from the status, as theirs do,
/// unless a provider named one of them.
fn anthropic_json(message: &str, status: StatusCode, kind: &str, id: &str) -> Bytes {
    let kind = match status.as_u16() {
        // A provider's own word for it.
        _ if kind != INVALID_REQUEST && ANTHROPIC_TYPES.contains(&kind) => kind,
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": id}).to_string().into()
}

/// The body that stands in for a provider's error text that cannot be looked through for its key: one that is `why`.
pub fn unreadable_error(provider: &str, status: u16, why: &str) -> Bytes {
    let message = format!("Provider {provider} answered {status} with an error text {why}.");
    error_json(&message, PROVIDER, None, "provider_error_unreadable")
}

/// An error and everything behind it, for the log.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
