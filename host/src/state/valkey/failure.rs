//! The reasons why a question to the engine fails.

use redis::{ErrorKind, RedisError};
use tokio::time::error::Elapsed;

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

    /// True when the connection is of no more use.
    pub fn loses_connection(&self) -> bool {
        matches!(self, Self::Error(error) if error.is_unrecoverable_error() || error.is_io_error())
    }
}

/// A question that was bounded in time.
pub fn flat<T>(answer: Result<Result<T, RedisError>, Elapsed>) -> Result<T, Failure> {
    answer.map_err(|_elapsed| Failure::Silence)?.map_err(Failure::Error)
}
