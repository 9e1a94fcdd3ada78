//! Outcomes in words, for clients and the log.

use std::fmt;

use super::{FailureKind, Lack, Outcome, Phase, TlsFault};

/// The client's and the log's words for an outcome.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Succeeded => f.write_str("succeeded"),
            Outcome::Rejected(status) => write!(f, "rejected the request with {status}"),
            Outcome::ContextWindow(status) => write!(f, "answered {status}: the request is too long for its model"),
            Outcome::ContentPolicy(status) => write!(f, "answered {status}: its filter refuses the request"),
            Outcome::Unauthorized(status) => write!(f, "did not accept the proxy's key ({status})"),
            Outcome::Declined(status) => write!(f, "declined with {status}"),
            Outcome::NotFound => f.write_str("answered 404"),
            Outcome::Throttled { retry_after: None } => f.write_str("is rate limited"),
            Outcome::Throttled { retry_after: Some(wait) } => {
                write!(f, "is rate limited for {} s", wait.as_secs_f64().ceil())
            }
            Outcome::Failed(kind) => kind.fmt(f),
            Outcome::TimedOut { phase: Phase::Connect } => f.write_str("timed out connecting"),
            Outcome::TimedOut { phase: Phase::Request } => f.write_str("timed out"),
            Outcome::TimedOut { phase: Phase::Idle } => f.write_str("stalled"),
            Outcome::Interrupted => f.write_str("was interrupted"),
            Outcome::Cancelled => f.write_str("was cancelled by the client"),
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureKind::Status(status) => write!(f, "answered {status}"),
            FailureKind::Redirect(status) => write!(f, "answered with a redirect ({status}), which is not followed"),
            FailureKind::Refused => f.write_str("refused the connection"),
            FailureKind::Unreachable => f.write_str("could not be reached"),
            FailureKind::UnknownHost => f.write_str("has a host name that does not resolve"),
            FailureKind::Tls(fault) => write!(f, "failed the TLS handshake{fault}"),
            FailureKind::ForwardProxy(None) => {
                f.write_str("could not be reached, as the forward proxy before it could not")
            }
            FailureKind::ForwardProxy(Some(status)) => {
                write!(f, "could not be reached, as the forward proxy before it answered {status}")
            }
            FailureKind::Reset => f.write_str("closed the connection without an answer"),
            FailureKind::CutShort => f.write_str("cut its answer short"),
            FailureKind::Malformed => f.write_str("sent a malformed answer"),
            FailureKind::ErrorEvent => f.write_str("began its stream with an error"),
            FailureKind::Empty => f.write_str("sent an empty answer"),
            FailureKind::ErrorAnswer(status) => write!(f, "answered {status} with an error"),
            FailureKind::NotJson => f.write_str("sent an answer that is not a JSON object"),
            FailureKind::WebPage => f.write_str("answered with a web page: does base_url lack /v1?"),
            FailureKind::NoChoices => f.write_str("sent an answer without choices"),
            FailureKind::Local(lack) => write!(f, "could not be asked, as the proxy's machine has no {lack} left"),
        }
    }
}

/// The text that follows the words for a failed handshake.
impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsFault::NotTls => ": it does not speak TLS",
            TlsFault::Expired => ": its certificate has expired",
            TlsFault::NotYetValid => ": its certificate is not valid yet, or the clock here is wrong",
            TlsFault::UnknownIssuer => {
                ": its certificate comes from an unknown issuer; providers[].tls.ca names one to be trusted"
            }
            TlsFault::WrongName => ": its certificate is for another name",
            TlsFault::Revoked => ": its certificate was revoked",
            TlsFault::BadCertificate => ": its certificate cannot be used",
            TlsFault::ClientCertificate => {
                ": it did not accept this proxy's client certificate (providers[].tls.cert), or its lack of one"
            }
            TlsFault::NoTrust => ": no CA certificates can be used on the proxy's machine",
            TlsFault::Handshake => "",
        })
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lack::Files => "file descriptors",
            Lack::Ports => "local ports",
            Lack::Memory => "memory for connections",
        })
    }
}
