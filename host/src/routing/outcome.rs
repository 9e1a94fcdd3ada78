//! The end of an attempt, and the one place that decides whether the next provider may be tried.

use std::time::Duration;

mod words;

/// The end of one attempt at one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A 2xx answer whose body began, for a held answer one that arrived whole; or a 304.
    Succeeded,
    /// 400, 413, 415, 422 and every other 4xx not named below: the client's fault.
    Rejected(u16),
    /// A 400, 413 or 422 that says that the request is too long for the model.
    ContextWindow(u16),
    /// A 400, 403 or 422 that says that a filter refuses what the request or its answer is about.
    ContentPolicy(u16),
    /// 401 or 402: the provider does not accept our key.
    Unauthorized(u16),
    /// 403, 408, 424, 425, 501 or 505: the provider will not serve this request, and may be well all the same.
    Declined(u16),
    /// 404: it does not know the model or the path.
    NotFound,
    /// 429, or 503 with Retry-After; how long to wait, if the provider said.
    Throttled {
        /// The provider's own figure.
        retry_after: Option<Duration>,
    },
    /// The provider or the way to it broke before the first byte reached the client.
    Failed(FailureKind),
    /// Too slow, before the first byte reached the client.
    TimedOut {
        /// Which timeout fired.
        phase: Phase,
    },
    /// The provider broke or stalled after the first byte had gone to the client.
    Interrupted,
    /// The client left.
    Cancelled,
}

/// Which timeout fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `timeouts.connect`.
    Connect,
    /// `timeouts.request`.
    Request,
    /// `timeouts.idle`.
    Idle,
}

/// The failure in detail; the words reach the client, so they name no address and no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// A status that means the provider is broken.
    Status(u16),
    /// A redirect, which is never followed.
    Redirect(u16),
    /// Connection refused: nobody listens there.
    Refused,
    /// Any other way in which connecting failed.
    Unreachable,
    /// The name does not resolve.
    UnknownHost,
    /// The TLS handshake failed.
    Tls(TlsFault),
    /// The forward proxy before it cannot be reached, or answered with this status instead of letting through.
    ForwardProxy(Option<u16>),
    /// The connection broke before an answer began.
    Reset,
    /// The answer ended before its announced end.
    CutShort,
    /// The answer is not HTTP.
    Malformed,
    /// The first event of the stream was an error.
    ErrorEvent,
    /// A success without a body where there must be one.
    Empty,
    /// A success in its status and an error in its body.
    ErrorAnswer(u16),
    /// No JSON object where there must be one.
    NotJson,
    /// A web page where there must be JSON.
    WebPage,
    /// An answer without the choices that it must have.
    NoChoices,
    /// Nothing was tried, because this machine lacks something. That says nothing about the provider.
    Local(Lack),
}

/// The reason why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsFault {
    /// The other side speaks something else.
    NotTls,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is not valid yet, or the clock is wrong.
    NotYetValid,
    /// Nobody whom we trust has issued its certificate.
    UnknownIssuer,
    /// Its certificate is for another name.
    WrongName,
    /// Its certificate was revoked.
    Revoked,
    /// Its certificate cannot be used otherwise.
    BadCertificate,
    /// It wants a certificate of ours, or another one.
    ClientCertificate,
    /// TLS cannot be set up on this machine, for want of certificates to trust.
    NoTrust,
    /// Anything else: no version or cipher in common, a handshake broken off.
    Handshake,
}

/// A resource that this machine lacks to open a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lack {
    /// File descriptors.
    Files,
    /// Local ports.
    Ports,
    /// Memory of the kernel's, or threads.
    Memory,
}

/// The weight of an attempt's end as evidence against its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing.
    None,
    /// It works.
    Good,
    /// It limits our rate, and is healthy.
    Limit,
    /// It failed, as a healthy provider does now and then.
    Soft,
    /// It is down.
    Hard,
    /// It does not accept our key.
    Key,
}

/// The step that follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Answer the client with what this attempt brought.
    Answer,
    /// Try the next provider; answer only when none is left.
    TryNext,
    /// Nothing more can be done: the answer has begun, or nobody waits for it.
    Stop,
}

impl Outcome {
    /// The step that follows: whether the next provider may be tried.
    pub fn next(self) -> Next {
        match self {
            Outcome::Succeeded | Outcome::Rejected(_) | Outcome::ContextWindow(_) | Outcome::ContentPolicy(_) => {
                Next::Answer
            }
            Outcome::Unauthorized(_)
            | Outcome::Declined(_)
            | Outcome::NotFound
            | Outcome::Throttled { .. }
            | Outcome::Failed(_)
            | Outcome::TimedOut { .. } => Next::TryNext,
            Outcome::Interrupted | Outcome::Cancelled => Next::Stop,
        }
    }

    /// True when operators are shown this end as an error of the provider; not all of these count against its health.
    pub fn is_error(self) -> bool {
        let is_lack = matches!(self, Outcome::Failed(FailureKind::Local(_)));
        self == Outcome::Interrupted || self.next() == Next::TryNext && !is_lack
    }

    /// The weight of this end as evidence about the provider. The one place where that is decided; what follows from
    /// it is `provider::ejection`'s.
    pub fn evidence(self) -> Evidence {
        match self {
            Outcome::Succeeded
            | Outcome::Rejected(_)
            | Outcome::ContextWindow(_)
            | Outcome::ContentPolicy(_)
            | Outcome::Declined(_)
            | Outcome::NotFound => Evidence::Good,
            Outcome::Throttled { .. } => Evidence::Limit,
            Outcome::Unauthorized(_) => Evidence::Key,
            Outcome::TimedOut { phase: Phase::Connect | Phase::Request | Phase::Idle } => Evidence::Hard,
            Outcome::Interrupted => Evidence::Soft,
            Outcome::Cancelled => Evidence::None,
            Outcome::Failed(kind) => match kind {
                FailureKind::Refused
                | FailureKind::Unreachable
                | FailureKind::UnknownHost
                | FailureKind::Tls(_)
                | FailureKind::ForwardProxy(_) => Evidence::Hard,
                FailureKind::Status(_)
                | FailureKind::Redirect(_)
                | FailureKind::Reset
                | FailureKind::CutShort
                | FailureKind::Malformed
                | FailureKind::ErrorEvent
                | FailureKind::Empty
                | FailureKind::ErrorAnswer(_)
                | FailureKind::NotJson
                | FailureKind::WebPage
                | FailureKind::NoChoices => Evidence::Soft,
                FailureKind::Local(_) => Evidence::None,
            },
        }
    }

    /// The outcome that a status line means, `retry_after` being the provider's own figure if it gave one.
    ///
    /// A 2xx is only the promise of a success: the body must begin as well.
    pub fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            // 304 answers a conditional request as it was asked to be answered.
            200..=299 | 304 => Outcome::Succeeded,
            300..=399 => Outcome::Failed(FailureKind::Redirect(status)),
            401 | 402 => Outcome::Unauthorized(status),
            403 | 408 | 424 | 425 | 501 | 505 => Outcome::Declined(status),
            404 => Outcome::NotFound,
            429 => Outcome::Throttled { retry_after },
            400..=499 => Outcome::Rejected(status),
            503 if retry_after.is_some() => Outcome::Throttled { retry_after },
            0..=199 | 500..=u16::MAX => Outcome::Failed(FailureKind::Status(status)),
        }
    }

    /// The provider's status, where it is what decided; not of a success.
    pub fn status(self) -> Option<u16> {
        match self {
            Outcome::Rejected(status)
            | Outcome::ContextWindow(status)
            | Outcome::ContentPolicy(status)
            | Outcome::Unauthorized(status)
            | Outcome::Declined(status)
            | Outcome::Failed(
                FailureKind::Status(status) | FailureKind::Redirect(status) | FailureKind::ErrorAnswer(status),
            ) => Some(status),
            Outcome::NotFound => Some(404),
            Outcome::Succeeded
            | Outcome::Throttled { .. }
            | Outcome::Failed(_)
            | Outcome::TimedOut { .. }
            | Outcome::Interrupted
            | Outcome::Cancelled => None,
        }
    }

    /// The outcome without its particulars.
    pub fn kind(self) -> OutcomeKind {
        match self {
            Outcome::Succeeded => OutcomeKind::Succeeded,
            Outcome::Rejected(_) | Outcome::ContextWindow(_) | Outcome::ContentPolicy(_) => OutcomeKind::Rejected,
            Outcome::Unauthorized(_) => OutcomeKind::Unauthorized,
            Outcome::Declined(_) => OutcomeKind::Declined,
            Outcome::NotFound => OutcomeKind::NotFound,
            Outcome::Throttled { .. } => OutcomeKind::Throttled,
            Outcome::Failed(_) => OutcomeKind::Failed,
            Outcome::TimedOut { .. } => OutcomeKind::TimedOut,
            Outcome::Interrupted => OutcomeKind::Interrupted,
            Outcome::Cancelled => OutcomeKind::Cancelled,
        }
    }
}

/// [`Outcome`] without its particulars: what strategies see, and the label of logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words are those of `Outcome`, which documents them")]
pub enum OutcomeKind {
    Succeeded,
    Rejected,
    Unauthorized,
    Declined,
    NotFound,
    Throttled,
    Failed,
    TimedOut,
    Interrupted,
    Cancelled,
}

impl OutcomeKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [OutcomeKind; 10] = [
        OutcomeKind::Succeeded,
        OutcomeKind::Rejected,
        OutcomeKind::Unauthorized,
        OutcomeKind::Declined,
        OutcomeKind::NotFound,
        OutcomeKind::Throttled,
        OutcomeKind::Failed,
        OutcomeKind::TimedOut,
        OutcomeKind::Interrupted,
        OutcomeKind::Cancelled,
    ];

    /// The label in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            OutcomeKind::Succeeded => "succeeded",
            OutcomeKind::Rejected => "rejected",
            OutcomeKind::Unauthorized => "unauthorized",
            OutcomeKind::Declined => "declined",
            OutcomeKind::NotFound => "not_found",
            OutcomeKind::Throttled => "throttled",
            OutcomeKind::Failed => "failed",
            OutcomeKind::TimedOut => "timed_out",
            OutcomeKind::Interrupted => "interrupted",
            OutcomeKind::Cancelled => "cancelled",
        }
    }
}

/// One attempt after its end, as strategies learn of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Index of the target.
    pub target: u32,
    /// Its end.
    pub kind: OutcomeKind,
    /// From sending to the first body byte; zero when there was none.
    pub first_byte: Duration,
    /// From sending to the end.
    pub total: Duration,
    /// Tokens of the request, as the provider counted them; 0 when it did not say.
    pub input_tokens: u32,
    /// Tokens of the answer, likewise.
    pub output_tokens: u32,
    /// Its cost in dollars; 0 when unknown.
    pub cost: f64,
}

impl Report {
    /// An attempt of which only the end is known.
    pub fn of(target: u32, kind: OutcomeKind, first_byte: Duration, total: Duration) -> Self {
        Self { target, kind, first_byte, total, input_tokens: 0, output_tokens: 0, cost: 0.0 }
    }
}

/// Whole microseconds, at most `u32::MAX` (over an hour).
pub fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_fault_is_answered_and_never_tried_elsewhere() {
        for status in [400, 405, 409, 410, 413, 415, 418, 422, 451] {
            assert_eq!(Outcome::of_status(status, None), Outcome::Rejected(status));
            assert_eq!(Outcome::of_status(status, None).next(), Next::Answer);
        }
    }

    #[test]
    fn what_another_provider_may_do_better_goes_on() {
        let wait = Some(Duration::from_secs(1));
        let table = [
            (401, None, OutcomeKind::Unauthorized),
            (402, None, OutcomeKind::Unauthorized),
            (403, None, OutcomeKind::Declined),
            (408, None, OutcomeKind::Declined),
            (404, None, OutcomeKind::NotFound),
            (429, None, OutcomeKind::Throttled),
            (503, wait, OutcomeKind::Throttled),
            (503, None, OutcomeKind::Failed),
            (500, wait, OutcomeKind::Failed),
            (424, None, OutcomeKind::Declined),
            (425, None, OutcomeKind::Declined),
            (501, wait, OutcomeKind::Declined),
            (505, None, OutcomeKind::Declined),
            (302, None, OutcomeKind::Failed),
            (529, None, OutcomeKind::Failed),
            (599, None, OutcomeKind::Failed),
        ];
        for (status, retry_after, kind) in table {
            let outcome = Outcome::of_status(status, retry_after);
            assert_eq!((outcome.kind(), outcome.next()), (kind, Next::TryNext), "status {status}");
        }
    }

    #[test]
    fn one_odd_request_is_at_most_soft_evidence_and_a_machine_that_lacks_something_none() {
        for status in [302, 500, 502, 503, 529] {
            assert_eq!(Outcome::of_status(status, None).evidence(), Evidence::Soft, "{status}");
        }
        for status in [304, 400, 403, 404, 408, 424, 425, 501, 505] {
            assert_eq!(Outcome::of_status(status, None).evidence(), Evidence::Good, "{status}");
        }
        assert_eq!(Outcome::Failed(FailureKind::Refused).evidence(), Evidence::Hard);
        assert_eq!(Outcome::Failed(FailureKind::Local(Lack::Files)).evidence(), Evidence::None);
    }

    #[test]
    fn nothing_follows_once_the_answer_began_or_the_client_left() {
        assert_eq!(Outcome::Interrupted.next(), Next::Stop);
        assert_eq!(Outcome::Cancelled.next(), Next::Stop);
    }
}
