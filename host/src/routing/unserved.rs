//! Refusals of targets to serve an endpoint or model. They are remembered for a minute, so that those targets are asked
//! last for it.
//!
//! Of two local servers, one for chat and one for embeddings, both are healthy; without this every second request would
//! be refused once. It is no part of a provider's health: it is asked for everything else as before.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{ModelKey, Outcome};

/// The time for which a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The most refusals that are remembered; of more, the oldest are forgotten.
const MOST: usize = 256;

/// The part of a request that a target may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The endpoint and the model.
    model: ModelKey,
    /// The endpoint alone.
    endpoint: ModelKey,
}

impl Wanted {
    /// A request to `endpoint` for `model`.
    pub fn new(endpoint: &str, model: ModelKey) -> Self {
        let endpoint = ModelKey::of(endpoint);
        Self { model: endpoint.with(model), endpoint }
    }
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    target: u32,
    what: ModelKey,
    until: Instant,
}

/// The refusals of all targets of a route.
#[derive(Debug, Default)]
pub struct Unserved {
    /// The number of refusals. It is nearly always 0, and then nobody takes the lock.
    count: AtomicUsize,
    refusals: Mutex<Vec<Refusal>>,
}

impl Unserved {
    /// Takes note of how an attempt at a target ended at `now`. A 404 may mean the model, a 501 means the endpoint.
    pub fn note(&self, target: u32, wanted: Wanted, outcome: Outcome, now: Instant) {
        let what = match outcome {
            Outcome::NotFound => wanted.model,
            Outcome::Declined(501) => wanted.endpoint,
            Outcome::Succeeded
            | Outcome::Rejected(_)
            | Outcome::ContextWindow(_)
            | Outcome::ContentPolicy(_)
            | Outcome::Unauthorized(_)
            | Outcome::Declined(_)
            | Outcome::Throttled { .. }
            | Outcome::Failed(_)
            | Outcome::TimedOut { .. }
            | Outcome::Interrupted
            | Outcome::Cancelled => return,
        };
        let mut refusals = self.refusals.lock();
        refusals.retain(|refusal| refusal.until > now && (refusal.target != target || refusal.what != what));
        if refusals.len() >= MOST {
            refusals.remove(0);
        }
        refusals.push(Refusal { target, what, until: now + REMEMBERED });
        self.count.store(refusals.len(), Relaxed);
    }

    /// True when nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// The targets that have said that they do not serve what is wanted.
    pub fn by(&self, wanted: Wanted, now: Instant) -> Vec<u32> {
        let mut refusals = self.refusals.lock();
        refusals.retain(|refusal| refusal.until > now);
        self.count.store(refusals.len(), Relaxed);
        let about = |refusal: &&Refusal| refusal.what == wanted.model || refusal.what == wanted.endpoint;
        refusals.iter().filter(about).map(|refusal| refusal.target).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(endpoint: &str, model: &str) -> Wanted {
        Wanted::new(endpoint, ModelKey::of(model))
    }

    #[test]
    fn a_501_is_about_the_endpoint_and_a_404_about_a_model_of_it_for_a_minute() {
        let (unserved, now) = (Unserved::default(), Instant::now());
        unserved.note(0, wanted("embeddings", "m"), Outcome::Declined(501), now);
        unserved.note(1, wanted("chat/completions", "m"), Outcome::NotFound, now);
        assert_eq!(unserved.by(wanted("embeddings", "other"), now), [0]);
        assert_eq!(unserved.by(wanted("chat/completions", "m"), now), [1]);
        assert!(unserved.by(wanted("chat/completions", "other"), now).is_empty());
        assert!(unserved.by(wanted("embeddings", "m"), now + REMEMBERED).is_empty() && unserved.is_empty());
    }

    #[test]
    fn other_ends_say_nothing_and_clients_that_invent_models_fill_no_memory() {
        let (unserved, now) = (Unserved::default(), Instant::now());
        for outcome in [Outcome::Succeeded, Outcome::Declined(403), Outcome::Rejected(400), Outcome::Unauthorized(401)]
        {
            unserved.note(0, wanted("embeddings", "m"), outcome, now);
        }
        assert!(unserved.is_empty());
        for model in 0..1000 {
            unserved.note(0, wanted("embeddings", &model.to_string()), Outcome::NotFound, now);
        }
        assert_eq!(unserved.refusals.lock().len(), MOST);
    }
}
