//! The metrics of what is exported to a collector.

use prometheus::{IntCounterVec, Opts, Registry};

use super::sound;

/// All metrics of the export.
#[derive(Debug)]
pub struct OtelMetrics {
    spans: IntCounterVec,
}

impl OtelMetrics {
    /// Registers them. They have no series until something is to be exported.
    pub(super) fn new(registry: &Registry) -> Self {
        let help =
            "Spans of requests: exported, dropped because the collector did not take them in time, or refused by it.";
        let spans = sound(IntCounterVec::new(Opts::new("pointsman_otel_spans_total", help), &["result"]));
        sound(registry.register(Box::new(spans.clone())));
        Self { spans }
    }

    /// Makes all series, because Prometheus does not see an increase in one that begins with it.
    pub fn begin(&self) {
        for result in ["exported", "dropped", "refused"] {
            self.spans.with_label_values(&[result]);
        }
    }

    /// Counts spans that a collector has taken, and those among them that it did not want.
    pub fn exported(&self, spans: usize, refused: u64) {
        let refused = refused.min(spans as u64);
        self.spans.with_label_values(&["exported"]).inc_by(spans as u64 - refused);
        self.spans.with_label_values(&["refused"]).inc_by(refused);
    }

    /// Counts spans that a collector does not want.
    pub fn refused(&self, spans: usize) {
        self.spans.with_label_values(&["refused"]).inc_by(spans as u64);
    }

    /// Counts spans for which there was no room, or no time.
    pub fn dropped(&self, spans: usize) {
        self.spans.with_label_values(&["dropped"]).inc_by(spans as u64);
    }
}
