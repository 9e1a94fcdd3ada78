//! Requests that ask a provider for another protocol on their connection: WebSocket.
//!
//! Each has a connection of its own with HTTP/1.1, whatever the provider speaks otherwise, and never one that was used before:
//! such a request may not be sent twice.

use bytes::Bytes;
use http::StatusCode;

use super::stream::Stream;
use super::{Answer, AttemptError, Call, Client, Http, Way};
use crate::http1::fields::Fields;

/// The answer to a request that asks for another protocol.
#[derive(Debug)]
pub enum Switching {
    /// The provider goes on with that protocol.
    Switched(Switched),
    /// It stays with HTTP.
    Answered(Answer),
}

/// A connection that has changed to another protocol. Dropping it closes it.
#[derive(Debug)]
pub struct Switched {
    /// The headers of the answer.
    pub headers: Fields,
    /// The connection.
    pub stream: Stream,
    /// Bytes of the new protocol that came along with the answer.
    pub early: Bytes,
}

impl Client {
    /// Asks for a WebSocket and waits for the head of the answer. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// The same errors as [`Client::send`].
    pub async fn switch(&self, call: Call<'_>) -> Result<Switching, AttemptError> {
        match &self.0 {
            Way::Http(http) => http.switch(call).await,
            // A simulation plays none.
            Way::Played(player) => player.answer(&call).await.map(Switching::Answered),
        }
    }
}

impl Http {
    async fn switch(&self, call: Call<'_>) -> Result<Switching, AttemptError> {
        let opened = self.pool.open(call.connect.unwrap_or(self.connect_timeout)).await;
        let mut connection = opened.map_err(AttemptError::of_connect)?;
        self.metrics.opened.inc();
        let request = self.outgoing(&call, b"connection: Upgrade\r\nupgrade: websocket\r\n");
        let head = connection.exchange(request).await.map_err(AttemptError::of_head)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let (stream, early) = connection.into_stream();
            return Ok(Switching::Switched(Switched { headers: head.headers, stream, early }));
        }
        self.answer(head, connection).map(Switching::Answered)
    }
}
