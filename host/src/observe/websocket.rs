//! The part of a WebSocket in a story: how much went over it each way, and who ended it.

/// A WebSocket that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Why it is over.
    pub ended: Ended,
    /// The side that ended it: `client`, `provider` or `proxy`.
    pub by: &'static str,
    /// The code of the close, if it was closed with one.
    pub code: Option<u16>,
    /// The traffic from the client.
    pub from_client: Flow,
    /// The traffic from the provider.
    pub from_provider: Flow,
    /// Answers that the provider has ended.
    pub answers: u64,
    /// Messages that were too large to look at.
    pub unread: u64,
}

/// The traffic of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Messages.
    pub messages: u64,
    /// Bytes, with the heads of frames.
    pub bytes: u64,
}

/// Why a WebSocket is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// One side closed it.
    Closed,
    /// The connection of one side ended without a close.
    Left,
    /// No message came for too long.
    Idle,
    /// It lasted for too long.
    TooLong,
    /// The server went down.
    Drained,
    /// A budget of the client is used up.
    Limited,
    /// The first thing that the client asked for was refused.
    Refused,
    /// A message was larger than any may be.
    TooLarge,
    /// There was no memory for a large message.
    Crowded,
    /// The bytes were no frames.
    Malformed,
}

impl Ended {
    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Left => "left",
            Self::Idle => "idle",
            Self::TooLong => "max_duration",
            Self::Drained => "drained",
            Self::Limited => "limited",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Crowded => "crowded",
            Self::Malformed => "malformed",
        }
    }

    /// The reason that both sides are told, where the proxy ends it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Closed | Self::Left => "",
            Self::Idle => "no message came for server.websocket.idle_timeout",
            Self::TooLong => "it lasted for server.websocket.max_duration",
            Self::Drained => "the proxy is shutting down",
            Self::Limited => "a limit of the client is used up",
            Self::Refused => "the request was refused",
            Self::TooLarge => "a message is too large",
            Self::Crowded => "there is no memory for the message",
            Self::Malformed => "the bytes are no frames of WebSocket",
        }
    }
}
