//! A provider that is asked for the usage of a stream although the client did not ask, and may refuse that.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::patience;
use crate::provider::Provider;
use crate::provider::client::{Answer, AttemptError, Call};
use crate::routing::Phase;

/// The most models that are remembered; of more, each refuses again.
const REMEMBERED: usize = 1000;

/// The models that refuse to be asked for the usage of a stream, by provider, for as long as the process runs.
#[derive(Debug, Default)]
pub struct Refusers(Mutex<HashMap<String, HashSet<String>>>);

impl Refusers {
    /// True when this model of this provider has refused.
    pub fn have(&self, provider: &str, model: &str) -> bool {
        self.0.lock().get(provider).is_some_and(|models| models.contains(model))
    }

    fn note(&self, provider: &str, model: &str) -> bool {
        let mut known = self.0.lock();
        let count: usize = known.values().map(HashSet::len).sum();
        count < REMEMBERED && known.entry(provider.to_owned()).or_default().insert(model.to_owned())
    }
}

/// What is sent to a provider that refuses.
pub struct Unasking<'a> {
    /// The body that does not ask.
    pub body: Bytes,
    /// The models that have refused.
    pub refusers: &'a Refusers,
}

/// Sends a request again that was refused, without asking; the answer to that, and true if the asking was to blame.
///
/// # Errors
///
/// When it cannot be sent, or nobody answers in time.
pub(super) async fn ask_without(
    provider: &Provider,
    call: Call<'_>,
    deadline: Instant,
    refusers: &Refusers,
) -> Result<(Answer, bool), AttemptError> {
    let model = call.model.to_owned();
    let sent = patience::until(deadline, provider.client.send(call)).await;
    let answer = sent.unwrap_or_else(|_elapsed| Err(AttemptError::timed_out(Phase::Request)))?;
    let refused = !is_refusal(&answer);
    let name = provider.config.name.as_str();
    if refused && refusers.note(name, &model) {
        tracing::info!(
            provider = name,
            provider_model = model,
            "{model} at {name} refuses to be asked for the usage of a stream, and is not asked any more; \
             `stream_usage: never` spares it the first time"
        );
    }
    Ok((answer, refused))
}

/// True for the statuses with which a member of a request that is not known is refused.
pub(super) fn is_refusal(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 400 | 422)
}
