//! The models that a provider lists, as they were last known. Clients are answered from here. A provider is asked in
//! the background, by one request at a time and once per interval, however many clients ask.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{Answer, Client};

/// A larger list is read on a thread of its own: one of the largest size takes some ms.
const READ_IN_PLACE: usize = 64 << 10;
/// A list larger than this is not read, in bytes.
const MAX_LIST: usize = 1 << 20;
/// More models than this are not kept of one provider.
const MAX_MODELS: usize = 10_000;

/// The models that one provider lists.
#[derive(Debug, Default)]
pub struct Listing {
    known: ArcSwapOption<Models>,
    /// The first and the latest time at which it was asked.
    asked: Mutex<Option<(Instant, Instant)>>,
    /// Held by the task that asks it.
    turn: Arc<Turn<()>>,
}

/// A list of models, in the provider's order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Models(pub Vec<Model>);

/// One model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name that it is asked for by.
    pub id: String,
    /// The whole object, as JSON.
    pub text: String,
}

impl Model {
    /// A model of which only the name is known, as an object.
    pub fn named(id: &str, owner: &str) -> Self {
        let text = json!({"id": id, "object": "model", "created": 0, "owned_by": owner}).to_string();
        Self { id: id.to_owned(), text }
    }
}

/// The right to ask a provider, which only one task has at a time.
#[derive(Debug)]
pub struct Asking(OwnedMutexGuard<()>);

impl Listing {
    /// The list that was read last; `None` before the first.
    pub fn known(&self) -> Option<Arc<Models>> {
        self.known.load_full()
    }

    /// True when somebody should ask now: nobody does, and nobody has for `interval`. Counts as asked from here on.
    pub fn is_due(&self, interval: Duration) -> Option<Asking> {
        let turn = Arc::clone(&self.turn).try_lock_owned().ok()?;
        let now = Instant::now();
        let mut asked = self.asked.lock();
        if asked.is_some_and(|(_, last)| now.duration_since(last) < interval) {
            return None;
        }
        *asked = Some((asked.map_or(now, |(first, _)| first), now));
        Some(Asking(turn))
    }

    /// While nothing is known yet, waits until the provider has been asked, but not longer than `patience` since it was
    /// first asked.
    pub async fn settled(&self, patience: Duration) {
        let first = self.asked.lock().map(|(first, _)| first);
        if let Some(first) = first.filter(|_| self.known.load().is_none()) {
            // Either way there is nothing more to wait for.
            let _ = timeout_at(first + patience, self.turn.lock()).await;
        }
    }

    /// Reads the list from the answer to another request, such as an active check.
    pub async fn take(&self, answer: Answer, owner: &str, limit: Duration) {
        let now = Instant::now();
        {
            let mut asked = self.asked.lock();
            *asked = Some((asked.map_or(now, |(first, _)| first), now));
        }
        if let Ok(Some(text)) = timeout(limit, text_of(answer)).await {
            self.note(text, owner).await;
        }
    }

    async fn note(&self, text: Vec<u8>, owner: &str) {
        let models = if text.len() <= READ_IN_PLACE {
            parse(&text, owner)
        } else {
            let owner = owner.to_owned();
            tokio::task::spawn_blocking(move || parse(&text, &owner)).await.ok().flatten()
        };
        if let Some(models) = models
            && self.known.load().as_deref() != Some(&models)
        {
            self.known.store(Some(Arc::new(models)));
        }
    }

    /// Asks the provider, and keeps its answer if it comes within `limit`. Without one the list before stays.
    pub async fn refresh(&self, client: &Client, owner: &str, limit: Duration, asking: Asking) {
        let text = async { text_of(client.list_models().await.ok()?).await };
        if let Ok(Some(text)) = timeout(limit, text).await {
            self.note(text, owner).await;
        }
        drop(asking.0);
    }
}

/// The text of the list; `None` when it could not be fetched.
async fn text_of(mut answer: Answer) -> Option<Vec<u8>> {
    if !answer.status.is_success() {
        return None;
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer.body.chunk().await {
        let chunk: Bytes = chunk.ok()?;
        if text.len() + chunk.len() > MAX_LIST {
            return None;
        }
        text.extend_from_slice(&chunk);
    }
    Some(text)
}

/// Reads OpenAI's object around `data`, and the bare array that some providers send, of objects or of names.
fn parse(text: &[u8], owner: &str) -> Option<Models> {
    let listed = match serde_json::from_slice::<Value>(text).ok()? {
        Value::Object(mut list) => list.remove("data").or_else(|| list.remove("models"))?,
        list => list,
    };
    let Value::Array(listed) = listed else { return None };
    let model = |value: &Value| match value {
        Value::String(id) => Some(Model::named(id, owner)),
        Value::Object(fields) => {
            let id = fields.get("id")?.as_str()?.to_owned();
            Some(Model { id, text: value.to_string() })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    Some(Models(listed.iter().filter_map(model).take(MAX_MODELS).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Option<Vec<String>> {
        parse(text.as_bytes(), "a").map(|models| models.0.into_iter().map(|model| model.id).collect())
    }

    #[test]
    fn lists_are_read_with_and_without_an_object_around_them() {
        let listed = Some(vec!["x".to_owned(), "y".to_owned()]);
        assert_eq!(ids(r#"{"object":"list","data":[{"id":"x"},{"id":"y"}]}"#), listed);
        assert_eq!(ids(r#"[{"id":"x"},{"id":"y"}]"#), listed);
        assert_eq!(ids(r#"["x","y"]"#), listed);
        assert_eq!(ids(r#"{"models":[{"id":"x"},{"id":"y"}]}"#), listed);
        assert_eq!(ids(r#"{"data":[{"id":"x"},7,{"name":"z"},{"id":"y"}]}"#), listed);
        for nothing in ["", "nonsense", "{}", r#"{"data":{}}"#, "7", "null"] {
            assert_eq!(ids(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_model_stays_as_its_provider_describes_it() {
        let models = parse(br#"[{"id":"x","pricing":{"prompt":"0.1"},"a":1.50}]"#, "a").expect("a list");
        assert_eq!(models.0[0].text, r#"{"id":"x","pricing":{"prompt":"0.1"},"a":1.5}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_is_asked_once_at_a_time_and_once_per_interval() {
        let listing = Listing::default();
        let interval = Duration::from_secs(30);
        let asking = listing.is_due(interval).expect("never asked");
        assert!(listing.is_due(interval).is_none(), "somebody asks");
        drop(asking);
        assert!(listing.is_due(interval).is_none(), "somebody has just asked");
        tokio::time::advance(interval).await;
        assert!(listing.is_due(interval).is_some());
    }
}
