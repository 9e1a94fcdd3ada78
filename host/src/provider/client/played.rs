//! A provider that is played: what a simulation puts in the place of the network.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;

use super::{Answer, AttemptError, Call};

/// Plays a provider in a simulation: everything above this module is as it is in a server.
pub trait Player: std::fmt::Debug + Send + Sync {
    /// Answers a request, or lets it fail, whenever the provider would.
    fn answer(&self, call: &Call<'_>) -> BoxFuture<'static, Result<Answer, AttemptError>>;
}

/// What a played provider says.
pub(super) struct PlayedBody(pub(super) Pieces);

/// What a played provider says, piece by piece.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, AttemptError>> + Send + Sync>>;

impl std::fmt::Debug for PlayedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlayedBody")
    }
}
