//! An attempt at a WebSocket: it is over for the dispatcher once the provider has changed its protocol.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};

use super::refusal::{Asked, refused};
use super::{Answered, Attempted, Content, fail};
use crate::patience;
use crate::provider::Permit;
use crate::provider::client::{AttemptError, Call, Stream, Switched, Switching};
use crate::proxy::websocket::handshake;
use crate::routing::{FailureKind, Outcome, Phase};

/// A connection on which a provider speaks WebSocket.
pub struct Switch {
    /// The connection.
    pub stream: Stream,
    /// The frames that came along with the head.
    pub early: Bytes,
    /// The attempt's slot, until the end.
    pub permit: Permit,
}

/// Makes one attempt. Dropping the future closes the provider's connection and reports `Cancelled`.
pub(in crate::proxy) async fn attempt(mut permit: Permit, call: Call<'_>) -> Attempted {
    let deadline = permit.began() + permit.bounds().request.limit;
    let asked = Asked { method: call.method.clone(), endpoint: call.endpoint, model: call.model };
    let expected = call.headers.get(SEC_WEBSOCKET_KEY).and_then(handshake::accept);
    let provider = permit.provider().clone();
    let switching = match patience::until(deadline, provider.client.switch(call)).await {
        Ok(Ok(switching)) => switching,
        Ok(Err(error)) => return fail(permit, error),
        Err(_elapsed) => return fail(permit, AttemptError::timed_out(Phase::Request)),
    };
    let mut answer = match switching {
        Switching::Answered(answer) => answer,
        Switching::Switched(Switched { mut headers, stream, early }) => {
            permit.told(&headers);
            provider.masks.mask_headers(&mut headers);
            if headers.get(SEC_WEBSOCKET_ACCEPT) != expected.as_ref().map(HeaderValue::as_bytes) {
                return fail(permit, AttemptError::failed(FailureKind::Malformed));
            }
            permit.first_byte();
            let content = Content::Switched(Box::new(Switch { stream, early, permit }));
            let (status, outcome) = (StatusCode::SWITCHING_PROTOCOLS, Outcome::Succeeded);
            return Attempted::Answered(Answered { status, headers, content, outcome, usage: None, cost: None });
        }
    };
    permit.told(&answer.headers);
    provider.masks.mask_headers(&mut answer.headers);
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        permit.limits_account();
    }
    if Outcome::of_status(answer.status.as_u16(), None) == Outcome::Succeeded {
        // It does not know what an upgrade is, which says nothing about its other endpoints.
        return fail(permit, AttemptError::declined(answer.status));
    }
    refused(answer, permit, deadline, &asked).await
}
