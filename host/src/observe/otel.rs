//! The export of finished requests, as spans, and of metrics, by OpenTelemetry's protocol (OTLP).
//!
//! It listens to the ledger: a request is over and has given its story away before anything of this is done, so off it
//! costs a branch and on it never costs a request's time. `select` chooses, `spans` makes spans of a record, `names` knows
//! how they are called, `shipping` sends them through a `queue` of bounded length to the `collector`; `metering` and
//! `families` do the like with metrics.
//! The crates of OpenTelemetry and reqwest are named here alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod collector;
mod families;
mod metering;
mod names;
mod queue;
mod select;
mod shipping;
mod spans;

use super::Ledger;
use crate::config::{Config, GenAiNames, Telemetry};
use crate::metrics::{MetricFamily, Metrics};
use collector::Voice;
use metering::Metering;
use shipping::{Event, Shipping};
use spans::Facts;

/// The time that the last export may take when the server ends.
const LAST: Duration = Duration::from_millis(1500);

/// Gives all metrics.
pub type Gather = Arc<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

/// What a configuration wants.
#[derive(Debug)]
struct Terms {
    telemetry: Box<Telemetry>,
    facts: Facts,
}

impl Terms {
    fn of(config: &Config) -> Arc<Self> {
        let names = config.telemetry.traces.as_ref().map_or(GenAiNames::V1_41, |traces| traces.names);
        Arc::new(Self { telemetry: config.telemetry.clone(), facts: Facts::of(config, names) })
    }

    /// The attributes of this server, the name of the service first; `instance` tells it from others.
    fn resource(&self, instance: &str) -> Vec<(String, String)> {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut all = vec![
            own("service.name", &self.telemetry.service_name),
            own("service.version", env!("CARGO_PKG_VERSION")),
            own("service.instance.id", instance),
        ];
        for (name, value) in &self.telemetry.attributes {
            all.retain(|(other, _)| other != name);
            all.push((name.clone(), value.clone()));
        }
        all
    }
}

/// The export under way.
#[derive(Debug)]
pub struct Otel {
    terms: watch::Sender<Arc<Terms>>,
    end: CancellationToken,
    task: TaskTracker,
}

impl Otel {
    /// Begins to export what `config` wants, which may be nothing. `instance` tells this process from others.
    pub fn start(config: &Config, ledger: &Arc<Ledger>, metrics: &Arc<Metrics>, gather: Gather, instance: u64) -> Self {
        let (terms, wanted) = watch::channel(Terms::of(config));
        let (end, task) = (CancellationToken::new(), TaskTracker::new());
        let export = Export {
            ledger: Arc::clone(ledger),
            metrics: Arc::clone(metrics),
            instance: format!("{instance:016x}"),
            shipping: Shipping::default(),
            metering: Metering::new(gather),
            voices: [Voice::of("spans"), Voice::of("metrics")],
        };
        task.spawn(export.run(wanted, end.clone()));
        Self { terms, end, task }
    }

    /// Exports what another configuration wants from now on. What waits goes where that says.
    pub fn change(&self, config: &Config) {
        self.terms.send_replace(Terms::of(config));
    }

    /// Exports what is left, for a second or two, and ends.
    pub async fn finish(&self) {
        self.end.cancel();
        self.task.close();
        self.task.wait().await;
    }
}

/// The task that exports.
struct Export {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    instance: String,
    shipping: Shipping,
    metering: Metering,
    /// That of spans, and that of metrics.
    voices: [Voice; 2],
}

impl Export {
    /// Exports until `end`, and then what is left.
    async fn run(mut self, mut wanted: watch::Receiver<Arc<Terms>>, end: CancellationToken) {
        let mut terms = wanted.borrow_and_update().clone();
        self.change(&terms).await;
        let (mut came, otel) = (Vec::new(), Arc::clone(&self.metrics));
        loop {
            tokio::select! {
                biased;
                () = end.cancelled() => break,
                changed = wanted.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    terms = wanted.borrow_and_update().clone();
                    self.change(&terms).await;
                }
                event = self.shipping.next(&mut came) => match event {
                    // The ledger is gone, and so is the server.
                    Event::Came(0) => break,
                    Event::Came(_) => self.shipping.take(&mut came, &otel.otel),
                    Event::Sent(sent) => self.shipping.conclude(sent, &otel.otel, &mut self.voices[0]),
                    Event::Due => self.shipping.send(&terms.facts),
                },
                sent = self.metering.next() => match sent {
                    Some(sent) => Metering::conclude(sent, &mut self.voices[1]),
                    None => self.metering.send(&terms.resource(&self.instance)),
                },
            }
        }
        let (until, [of_spans, of_metrics]) = (Instant::now() + LAST, &mut self.voices);
        let resource = terms.resource(&self.instance);
        let spans = self.shipping.finish(&terms.facts, &otel.otel, of_spans, until);
        tokio::join!(spans, self.metering.finish(&resource, of_metrics, until));
    }

    async fn change(&mut self, terms: &Terms) {
        let (telemetry, resource) = (&terms.telemetry, terms.resource(&self.instance));
        let [of_spans, of_metrics] = &mut self.voices;
        let around = (&*self.ledger, &self.metrics.otel, of_spans);
        self.shipping.change(telemetry.traces.as_ref(), &resource, around).await;
        self.metering.change(telemetry.metrics.as_ref(), of_metrics).await;
    }
}

#[cfg(test)]
mod tests;
