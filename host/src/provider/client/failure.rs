//! The ways in which a request to a provider fails, as HTTP, TLS and the system tell them.

use std::error::Error as _;
use std::io::ErrorKind;

use http::StatusCode;

use super::connect::{ConnectError, lack_of};
use super::connection::{Broken, Fault, Progress};
use super::trust::fault_of;
use super::tunnel::TunnelError;
use crate::provider::words::Words;
use crate::routing::{FailureKind, Outcome, Phase, TlsFault};

/// The reason why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
#[error("{outcome}")]
pub struct AttemptError {
    /// Its outcome for routing.
    pub outcome: Outcome,
    /// True when bytes of the request may have reached the provider.
    pub sent: bool,
    /// The provider's own words about it, if there are any.
    pub words: Option<Box<Words>>,
    /// The chain of causes, for the log; may name addresses.
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl AttemptError {
    /// A failure by lack of time alone.
    pub fn timed_out(phase: Phase) -> Self {
        Self { outcome: Outcome::TimedOut { phase }, sent: true, words: None, source: None }
    }

    /// A failure whose answer arrived.
    pub fn failed(kind: FailureKind) -> Self {
        Self { outcome: Outcome::Failed(kind), sent: true, words: None, source: None }
    }

    /// An answer with this status where it was to change its protocol.
    pub fn declined(status: StatusCode) -> Self {
        Self { outcome: Outcome::Declined(status.as_u16()), sent: true, words: None, source: None }
    }

    /// The same, with the provider's own words.
    #[must_use]
    pub fn saying(self, words: Option<Box<Words>>) -> Self {
        Self { words, ..self }
    }

    pub(super) fn of_connect(error: ConnectError) -> Self {
        let outcome = match &error {
            ConnectError::TimedOut => Outcome::TimedOut { phase: Phase::Connect },
            ConnectError::Proxy(inner) => Outcome::Failed(match &**inner {
                ConnectError::Tcp(_, io) if let Some(lack) = lack_of(io) => FailureKind::Local(lack),
                ConnectError::Name(_, io) if let Some(lack) = lack_of(io) => FailureKind::Local(lack),
                _ => FailureKind::ForwardProxy(None),
            }),
            ConnectError::Tunnel(TunnelError::Refused(status)) => {
                Outcome::Failed(FailureKind::ForwardProxy(Some(*status)))
            }
            ConnectError::Tunnel(TunnelError::Malformed | TunnelError::Broken(_)) => {
                Outcome::Failed(FailureKind::ForwardProxy(None))
            }
            ConnectError::Name(_, io) => {
                Outcome::Failed(lack_of(io).map_or(FailureKind::UnknownHost, FailureKind::Local))
            }
            ConnectError::Tcp(_, io) | ConnectError::Socket(_, io) => Outcome::Failed(match lack_of(io) {
                Some(lack) => FailureKind::Local(lack),
                None if matches!(io.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => FailureKind::Refused,
                None => FailureKind::Unreachable,
            }),
            ConnectError::Trust(_) => Outcome::Failed(FailureKind::Tls(TlsFault::NoTrust)),
            ConnectError::Tls(io) => Outcome::Failed(tls_fault(io).map_or(FailureKind::Unreachable, FailureKind::Tls)),
            ConnectError::NoHttp2 => Outcome::Failed(FailureKind::Tls(TlsFault::Handshake)),
            ConnectError::Http(_) => Outcome::Failed(FailureKind::Unreachable),
        };
        Self { outcome, sent: false, words: None, source: Some(error.into()) }
    }

    pub(super) fn of_head(broken: Broken) -> Self {
        let Broken { fault, progress } = broken;
        // With TLS 1.3 the other side looks at our certificate after the handshake.
        let kind = match tls_fault_of(&fault) {
            Some(fault) => FailureKind::Tls(fault),
            None if is_malformed(&fault) => FailureKind::Malformed,
            None => FailureKind::Reset,
        };
        let sent = progress != Progress::Unsent;
        Self { outcome: Outcome::Failed(kind), sent, words: None, source: Some(fault.into()) }
    }

    pub(super) fn of_body(fault: Fault) -> Self {
        let kind = if is_malformed(&fault) { FailureKind::Malformed } else { FailureKind::CutShort };
        Self { outcome: Outcome::Failed(kind), sent: true, words: None, source: Some(fault.into()) }
    }
}

/// The fault that TLS found in the other side, if that broke the exchange.
fn tls_fault_of(fault: &Fault) -> Option<TlsFault> {
    match fault {
        Fault::Io(error) => tls_fault(error),
        Fault::Http2(error) => error.source().and_then(|source| source.downcast_ref()).and_then(tls_fault),
        Fault::Ended | Fault::Malformed | Fault::Flooded => None,
    }
}

/// The fault that TLS found in the other side, if that broke the connection.
fn tls_fault(error: &std::io::Error) -> Option<TlsFault> {
    error.get_ref()?.downcast_ref().map(fault_of)
}

/// True when the bytes that came are no HTTP, rather than too little of it.
fn is_malformed(fault: &Fault) -> bool {
    match fault {
        Fault::Malformed | Fault::Flooded => true,
        Fault::Io(_) | Fault::Ended => false,
        Fault::Http2(error) => {
            let framing = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
            error.is_parse() || framing.is_some_and(|io| io.kind() == ErrorKind::InvalidInput)
        }
    }
}
