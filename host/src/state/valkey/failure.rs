//! The reasons why a question to the engine fails.

use redis::{ErrorKind, RedisError};
use tokio::time::error::Elapsed;

use crate::limits::terms::Mode;

/// The reason why a question failed.
#[derive(Debug)]
pub enum Failure {
    /// No answer in time.
    Silence,
    /// The connection, or the engine's answer.
    Error(RedisError),
    /// An answer that is none.
    Nonsense,
}

impl Failure {
    /// In words, without addresses and secrets.
    pub fn words(&self) -> String {
        match self {
            Self::Silence => "it does not answer in time".to_owned(),
            Self::Error(error) => match (error.kind(), error.code()) {
                (ErrorKind::AuthenticationFailed, _) => "it refuses the user or the password".to_owned(),
                (ErrorKind::Io, _) => "there is no connection".to_owned(),
                (ErrorKind::InvalidClientConfig, _) => "its certificates cannot be used".to_owned(),
                (_, Some(code)) => format!("it answers {code}"),
                (kind, None) => format!("{kind:?}"),
            },
            Self::Nonsense => "its answer is not understood".to_owned(),
        }
    }

    /// Warns that for this reason limits are kept otherwise from now on.
    pub fn warn(&self, mode: Mode, replicas: u64) {
        let words = self.words();
        let meanwhile = match mode {
            Mode::Closed => "requests with limits are refused",
            Mode::Open => "requests are let in without limits",
            Mode::Local | Mode::Leased => "this replica keeps to its share of the limits",
        };
        tracing::warn!(replicas, "state: the engine is out of reach ({words}): {meanwhile}");
    }

    /// True when the connection is of no more use.
    pub fn loses_connection(&self) -> bool {
        let Self::Error(error) = self else { return false };
        // A server that takes no writes has been replaced by another one.
        error.is_unrecoverable_error() || error.is_io_error() || error.code() == Some("READONLY")
    }
}

/// A question that was bounded in time.
pub fn flat<T>(answer: Result<Result<T, RedisError>, Elapsed>) -> Result<T, Failure> {
    answer.map_err(|_elapsed| Failure::Silence)?.map_err(Failure::Error)
}
