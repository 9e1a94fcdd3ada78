//! The proxy's own answers: every refusal and failure, in OpenAI's error shape.
//!
//! Two texts: the client's sentence names no key and no internal address; the log has the chain of causes.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION};
use http::{Response, StatusCode, Uri};
use http_body_util::Full;
use serde_json::json;

mod face;
mod frame;

use super::approach::Refusal;
use super::encoding::DECODED;
use super::endpoint::is_messages;
use super::limits::{Exhausted, Lack, Limited};
use super::request::BodyError;
use super::stream::protocol::Protocol;
use crate::provider::words::Words;
use crate::routing::Outcome;
pub use frame::{LATE_ANSWER, interruption, late_answer, passed_on};

/// The type of the error when the client is at fault.
const INVALID_REQUEST: &str = "invalid_request_error";
/// The type of the error when the proxy itself cannot serve the request now.
const PROXY: &str = "proxy_error";
/// The type of the error when providers failed.
const PROVIDER: &str = "provider_error";

/// The reason why the proxy answers by itself.
#[derive(Clone, Debug)]
pub enum ProxyError {
    /// The body is not of the kind that it must be, or asks for something that does not exist.
    Body(BodyError),
    /// An approach gives no answer.
    Approach(Refusal),
    /// No or a wrong client key.
    WrongKey,
    /// A client key that has expired.
    ExpiredKey,
    /// A client key that an operator has blocked.
    BlockedKey,
    /// A key that is not known, while those made at run time cannot be read.
    KeysUnavailable,
    /// A model that the client may not use; empty when its request names none.
    ModelNotAllowed(String),
    /// A request that runs models which the proxy does not see, of a client that may use certain ones alone.
    ModelsUnseen,
    /// No such path.
    UnknownPath(String),
    /// A path that could lead out of a provider's base URL.
    BadPath,
    /// The request has no host, several, or an invalid one.
    BadHost,
    /// A name for this machine that the operator has not named.
    ForeignHost(String),
    /// The request comes from a web page that is not allowed.
    ForeignOrigin,
    /// The client wants to change to another protocol where none is spoken but HTTP.
    Upgrade,
    /// The request for a WebSocket is not as it must be, because of this.
    Handshake(&'static str),
    /// The client speaks another version of WebSocket than 13, which is the only one.
    WebSocketVersion,
    /// A message on a WebSocket that cannot be read, because of this.
    Message(&'static str),
    /// The path exists, the method does not.
    WrongMethod(&'static str),
    /// No such path on the listener for operators.
    NotForOperators {
        /// The path.
        asked: String,
        /// The paths that exist.
        served: String,
    },
    /// A budget cannot count it, as nobody knows what it costs.
    Unpriced {
        /// A provider that may serve it.
        provider: String,
        /// The model, as that provider calls it.
        model: String,
    },
    /// A limit does not allow it.
    Limited(Box<Limited>),
    /// No configured provider serves the model.
    UnknownModel {
        /// The model, as the client calls it.
        model: String,
        /// A name that was probably meant.
        near: Option<String>,
    },
    /// More bytes than `server.max_body_bytes`.
    TooLarge(usize),
    /// The body is compressed in a way that is not read here.
    Encoded,
    /// The body is not compressed as its head says.
    BadEncoding,
    /// The bodies of other requests take all the memory for bodies.
    Crowded,
    /// The client stopped sending in the middle of its body.
    CutOff,
    /// The client sends its body too slowly.
    TooSlow,
    /// No slot in time; with the time that the request waited.
    QueueTimeout(Duration),
    /// The queue is full; with the number of requests that wait.
    QueueFull(usize),
    /// The server is going down.
    Draining,
    /// A route for operators, asked for from another machine without a key being set.
    NotFromHere,
    /// A route for operators, asked for with the key of a client.
    NotForClients,
    /// The strategy has excluded all targets that could serve the request.
    ExcludedByStrategy {
        /// Its name.
        strategy: String,
        /// The strategy's reason, in its words.
        reason: Option<String>,
    },
    /// No provider's account has room for it.
    ProvidersLimited(Box<Exhausted>),
    /// Every provider limits our rate.
    AllThrottled {
        /// The shortest wait.
        wait: Duration,
        /// All attempts, if any were made.
        tried: Vec<Tried>,
    },
    /// Every attempt timed out.
    AllTimedOut(Vec<Tried>),
    /// Every attempt failed, in whatever way.
    AllFailed {
        /// All attempts.
        tried: Vec<Tried>,
        /// True when there was at least one healthy provider to begin with.
        any_healthy: bool,
    },
}

/// The form in which a client expects errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`
    Anthropic,
}

impl Form {
    /// The form of the endpoint that is asked for, or was meant.
    pub fn of(uri: &Uri) -> Self {
        if is_messages(uri.path()) { Self::Anthropic } else { Self::OpenAi }
    }
}

/// One attempt that did not lead to an answer.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The provider's name.
    pub provider: String,
    /// The end of the attempt.
    pub outcome: Outcome,
    /// The reason, in one line.
    pub reason: String,
    /// The provider's own words about it.
    pub words: Option<Box<Words>>,
}

/// The code of an own error, beside the response: the label of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub &'static str);

impl ProxyError {
    /// The status that the client gets.
    pub fn status(self) -> StatusCode {
        self.face().status
    }

    /// The sentence for the client.
    pub fn sentence(&self) -> String {
        self.clone().face().message
    }

    /// The response in the form of the endpoint; `id` is that of the request, and `attempts` the number of attempts
    /// that were made for it.
    pub fn into_response(self, form: Form, id: &str, attempts: usize) -> Response<Full<Bytes>> {
        let allowed = if let Self::WrongMethod(allowed) = self { Some(allowed) } else { None };
        let is_final = matches!(self, Self::Upgrade | Self::Handshake(_) | Self::WebSocketVersion | Self::Approach(_));
        let is_other_version = matches!(self, Self::WebSocketVersion);
        let is_final = is_final || matches!(&self, Self::Limited(limited) if limited.retry_after().is_none());
        let is_final = is_final
            || matches!(&self, Self::ProvidersLimited(exhausted) if !matches!(exhausted.lack(), Lack::Rate(_)));
        let levels = if let Self::Limited(limited) = &self { Some(limited.levels) } else { None };
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
        if let Some(levels) = levels {
            levels.write(headers);
        }
        if is_encoded {
            // RFC 9110, 12.5.3: the encodings that are accepted.
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(DECODED));
        }
        if is_other_version {
            // RFC 6455, 4.4.
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Some(allowed) = allowed {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        let is_gateways = matches!(face.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
        if (attempts > 1 && is_gateways) || is_final {
            // The SDKs would repeat all our attempts twice. They may repeat a request that was tried once, or that may
            // be tried again after a while.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(Code(face.code));
        let headers = response.headers_mut();
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The event that says so on a WebSocket, with the status and the code; `event` is the id of the client's event that it
    /// answers, if that has one.
    pub fn into_event(self, endpoint: &str, event: Option<&str>) -> (Bytes, StatusCode, &'static str) {
        let face = self.face();
        let code = face.their_code.as_deref().unwrap_or(face.code);
        let said = frame::Said { message: &face.message, kind: &face.kind, param: face.param.as_deref(), code };
        (frame::error_event(endpoint, face.status, &said, event), face.status, face.code)
    }

    /// The last event of a stream whose head has gone out, and the error's code.
    pub fn into_frame(self, protocol: Protocol) -> (Bytes, &'static str) {
        let face = self.face();
        let code = face.their_code.as_deref().unwrap_or(face.code);
        (frame::error_frame(protocol, 0, &face.message, &face.kind, code), face.code)
    }
}

/// Whole seconds, at least 1, for which the SDKs wait.
fn retry_after_seconds(wait: Duration) -> u64 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    whole.max(1)
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
        // The provider's own type of the error.
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

/// The body that replaces a provider's error text which cannot be searched for its key, because it is `why`.
pub fn unreadable_error(provider: &str, status: u16, why: &str) -> Bytes {
    let message = format!("Provider {provider} answered {status} with an error text {why}.");
    error_json(&message, PROVIDER, None, "provider_error_unreadable")
}

/// An error and all its causes, for the log.
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
