//! The face of each error: its status, type, code and text.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;

use super::{INVALID_REQUEST, Lack, PROVIDER, PROXY, ProxyError, Tried, retry_after_seconds};
use crate::provider::words::Words;
use crate::proxy::encoding::DECODED;

/// The length of a client's text that an error repeats, in bytes.
const MAX_ECHO: usize = 100;

/// An error as the client sees it.
pub(super) struct Face {
    pub status: StatusCode,
    pub kind: Cow<'static, str>,
    /// The name of the error in metrics and logs.
    pub code: &'static str,
    /// The code for the client, if that is another one.
    pub their_code: Option<String>,
    pub param: Option<String>,
    pub message: String,
    pub retry_after: Option<Duration>,
}

impl ProxyError {
    pub(super) fn face(self) -> Face {
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
            Self::Approach(refusal) => {
                let retry_after = refusal.retry_after();
                let kind = if refusal.is_clients() { INVALID_REQUEST } else { PROXY };
                let (status, code, message) = refusal.face();
                Face { retry_after, ..face(status, kind, code, message) }
            }
            Self::WrongKey => face(
                StatusCode::UNAUTHORIZED,
                INVALID_REQUEST,
                "invalid_api_key",
                "The proxy does not accept this API key. Send one of its client keys as 'Authorization: Bearer KEY'."
                    .to_owned(),
            ),
            Self::ExpiredKey => face(
                StatusCode::UNAUTHORIZED,
                INVALID_REQUEST,
                "invalid_api_key",
                "The API key has expired. Ask the operator of the proxy for a new one.".to_owned(),
            ),
            Self::BlockedKey => face(
                StatusCode::UNAUTHORIZED,
                INVALID_REQUEST,
                "invalid_api_key",
                "The API key is blocked. Ask the operator of the proxy.".to_owned(),
            ),
            Self::KeysUnavailable => Face {
                retry_after: Some(Duration::from_secs(1)),
                ..face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    PROXY,
                    "keys_unavailable",
                    "The proxy cannot read its keys at present, and does not know this one.".to_owned(),
                )
            },
            Self::ModelNotAllowed(model) => {
                let message = if model.is_empty() {
                    "The request names no model, and the API key may use certain models alone.".to_owned()
                } else {
                    format!("The API key may not use the model '{}'.", shorten(&model))
                };
                let face = face(StatusCode::FORBIDDEN, INVALID_REQUEST, "model_not_allowed", message);
                Face { param: Some("model".to_owned()), ..face }
            }
            Self::ModelsUnseen => face(
                StatusCode::FORBIDDEN,
                INVALID_REQUEST,
                "model_not_allowed",
                "The API key may use certain models alone, and which ones this request runs cannot be seen from it."
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
                "The proxy speaks WebSocket at /v1/realtime and /v1/responses alone: use the endpoints of HTTP, with `stream` \
                 where events are wanted."
                    .to_owned(),
            ),
            Self::Handshake(wrong) => face(
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                "invalid_handshake",
                format!("The request does not open a WebSocket: {wrong}."),
            ),
            Self::WebSocketVersion => face(
                StatusCode::UPGRADE_REQUIRED,
                INVALID_REQUEST,
                "websocket_version",
                "The proxy speaks version 13 of WebSocket (Sec-WebSocket-Version).".to_owned(),
            ),
            Self::Message(wrong) => face(
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                "invalid_event",
                format!("The proxy cannot read the message: {wrong}."),
            ),
            Self::NotForOperators { asked, served } => face(
                StatusCode::NOT_FOUND,
                INVALID_REQUEST,
                "unknown_path",
                format!("This listener serves {served}, but no path {}.", shorten(&asked)),
            ),
            Self::WrongMethod(allowed) => face(
                StatusCode::METHOD_NOT_ALLOWED,
                INVALID_REQUEST,
                "method_not_allowed",
                format!("This path answers {allowed} only."),
            ),
            Self::Unpriced { provider, model } => Face {
                param: Some("model".to_owned()),
                ..face(
                    StatusCode::BAD_REQUEST,
                    INVALID_REQUEST,
                    "model_unpriced",
                    format!(
                        "The request is under a budget, and no price is known of the model '{}' at provider {provider} \
                         (prices, prices.unpriced).",
                        shorten(&model)
                    ),
                )
            },
            Self::Limited(limited) => {
                let (kind, code) = limited.kind_and_code();
                let face = face(limited.status(), kind, code, limited.sentence());
                Face { param: limited.param().map(str::to_owned), retry_after: limited.retry_after(), ..face }
            }
            Self::UnknownModel { model, .. } if model.is_empty() => Face {
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
            Self::UnknownModel { model, near } => Face {
                param: Some("model".to_owned()),
                ..face(
                    StatusCode::NOT_FOUND,
                    INVALID_REQUEST,
                    "model_not_found",
                    format!(
                        "No configured provider serves the model '{}'.{} GET /v1/models lists what there is.",
                        shorten(&model),
                        near.map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default()
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
                "Without client keys or server.admin the proxy serves this path to its own machine only.".to_owned(),
            ),
            Self::NotForClients => face(
                StatusCode::FORBIDDEN,
                INVALID_REQUEST,
                "operators_only",
                "Keys of clients do not open this path: it is for operators, at the listener of server.admin, or with a key of \
                 server.api_keys."
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
            Self::ExcludedByStrategy { strategy, reason } => {
                let reason = reason.map(|reason| format!(": {}", shorten(&reason))).unwrap_or_default();
                face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    PROXY,
                    "excluded_by_strategy",
                    format!("The strategy {strategy} excludes every provider that could serve this request{reason}."),
                )
            }
            Self::ProvidersLimited(exhausted) => {
                let (status, code, retry_after) = match exhausted.lack() {
                    Lack::Rate(wait) => (StatusCode::TOO_MANY_REQUESTS, "all_providers_limited", Some(wait)),
                    Lack::Budget(renewed) => (StatusCode::SERVICE_UNAVAILABLE, "provider_budget_exceeded", renewed),
                    Lack::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large_for_limit", None),
                    Lack::Unpriced => (StatusCode::SERVICE_UNAVAILABLE, "unpriced_model", None),
                };
                Face { retry_after, ..face(status, PROXY, code, exhausted.sentence()) }
            }
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

fn list(tried: &[Tried]) -> String {
    let mut text = String::new();
    for Tried { provider, reason, .. } in tried {
        // Texts of providers have commas of their own.
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
