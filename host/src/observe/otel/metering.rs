//! The export of metrics, at an interval. What fails is not tried again: the next request has all that this one had.

use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::Gather;
use super::collector::{Refusal, Voice, Way, end_of, way_to};
use super::families;
use crate::config::MetricExport;

/// What became of a request.
pub type Metered = Result<(), Refusal>;

/// The export of metrics.
pub struct Metering {
    gather: Gather,
    began: SystemTime,
    open: Option<(MetricExport, Way)>,
    sending: Option<Pin<Box<dyn Future<Output = Metered> + Send>>>,
    due: Instant,
}

impl Metering {
    /// Exports nothing yet.
    pub fn new(gather: Gather) -> Self {
        Self { gather, began: SystemTime::now(), open: None, sending: None, due: Instant::now() }
    }

    /// Exports what a configuration wants from now on, or nothing.
    pub async fn change(&mut self, wanted: Option<&MetricExport>, voice: &mut Voice) {
        let Some(wanted) = wanted else {
            (self.open, self.sending) = (None, None);
            return;
        };
        if self.open.as_ref().is_some_and(|(open, _)| open == wanted) {
            return;
        }
        self.sending = None;
        self.open = way_to(&wanted.to, voice).await.map(|way| (wanted.clone(), way));
        self.due = Instant::now() + wanted.interval;
    }

    /// Waits for the end of a request, or for the time of the next one: `None`.
    pub async fn next(&mut self) -> Option<Metered> {
        if self.open.is_none() {
            return std::future::pending().await;
        }
        if self.sending.is_some() {
            return Some(end_of(&mut self.sending).await);
        }
        sleep_until(self.due).await;
        None
    }

    /// Begins to send all metrics.
    pub fn send(&mut self, resource: &[(String, String)]) {
        let Some((wanted, way)) = &self.open else { return };
        self.due = Instant::now() + wanted.interval;
        let body = families::body(&(self.gather)(), resource, self.began, SystemTime::now());
        let way = way.clone();
        self.sending = Some(Box::pin(async move { way.send(body.into()).await.map(drop) }));
    }

    /// Takes note of what became of a request.
    pub fn conclude(sent: Metered, voice: &mut Voice) {
        match sent {
            Ok(()) => voice.works(),
            Err(refusal) => voice.fails(&refusal.why),
        }
    }

    /// Sends all metrics for the last time.
    pub async fn finish(&mut self, resource: &[(String, String)], voice: &mut Voice, until: Instant) {
        self.send(resource);
        if self.sending.is_some()
            && let Ok(sent) = timeout_at(until, end_of(&mut self.sending)).await
        {
            Self::conclude(sent, voice);
        }
    }
}
