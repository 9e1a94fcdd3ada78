//! The export of spans: records are taken as soon as they come, however slow the collector is, and sent in batches, one at a
//! time. What is not taken is tried again a few times, as OTLP's text has it, and then dropped and counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::SpanExporter as _;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::collector::{Refusal, Voice, Way, end_of, way_to};
use super::queue::{BATCH, Batch, Queue};
use super::select::Choice;
use super::spans::Facts;
use crate::config::{Collector, OtlpProtocol, Traces};
use crate::metrics::OtelMetrics;
use crate::observe::Ledger;
use crate::observe::ledger::Record;

/// The records that the ledger may send before this task looks: those of a tenth of a second.
const ROOM: usize = 8192;
/// The longest time that a span waits for others.
const GATHERING: Duration = Duration::from_secs(1);
/// A batch is given up after so many tries.
const MOST_TRIES: u32 = 6;
/// The pause before the second try; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The number of spans that a collector did not want, or why it took none.
type Shipped = Result<u64, Refusal>;

/// The export of spans.
#[derive(Default)]
pub struct Shipping {
    open: Option<Open>,
    choice: Choice,
    queue: Queue,
    batch: Option<Batch>,
    sending: Option<Pin<Box<dyn Future<Output = Shipped> + Send>>>,
    /// When something is to be sent, if nothing is being sent.
    due: Option<Instant>,
}

/// What is there while spans are exported.
struct Open {
    records: mpsc::Receiver<Arc<Record>>,
    to: Collector,
    resource: Vec<(String, String)>,
    exporter: Arc<SpanExporter>,
    way: Way,
}

/// What has happened.
pub enum Event {
    /// So many records have come.
    Came(usize),
    /// A batch has been sent.
    Sent(Shipped),
    /// A batch is to be sent.
    Due,
}

impl Shipping {
    /// Exports what a configuration wants from now on, or nothing.
    pub async fn change(
        &mut self,
        wanted: Option<&Traces>,
        resource: &[(String, String)],
        (ledger, metrics, voice): (&Ledger, &OtelMetrics, &mut Voice),
    ) {
        let Some(traces) = wanted else {
            self.close(metrics);
            return;
        };
        self.choice.change(traces.always);
        let is_same = |open: &Open| open.to == traces.to && open.resource == resource;
        if self.open.as_ref().is_some_and(is_same) {
            return;
        }
        let Some(way) = way_to(&traces.to, voice).await else {
            self.close(metrics);
            return;
        };
        let exporter = match exporter(&traces.to, &way, resource) {
            Ok(exporter) => Arc::new(exporter),
            Err(error) => {
                voice.fails(&format!("cannot be used ({error})"));
                self.close(metrics);
                return;
            }
        };
        metrics.begin();
        let records = self.open.take().map_or_else(|| ledger.listen(ROOM), |open| open.records);
        self.open = Some(Open { records, to: traces.to.clone(), resource: resource.to_vec(), exporter, way });
        // What is being sent is sent again, to where it is to go now.
        self.sending = None;
        self.due = (self.batch.is_some() || self.queue.spans() > 0).then(Instant::now);
    }

    /// Exports nothing any more.
    fn close(&mut self, metrics: &OtelMetrics) {
        let lost = self.batch.take().map_or(0, |batch| batch.spans) + self.queue.clear();
        if lost > 0 {
            metrics.dropped(lost);
        }
        (self.open, self.sending, self.due, self.choice) = (None, None, None, Choice::default());
    }

    /// Waits until something happens; records that come are put into `came`.
    pub async fn next(&mut self, came: &mut Vec<Arc<Record>>) -> Event {
        let Self { open: Some(Open { records, .. }), sending, due, .. } = self else {
            return std::future::pending().await;
        };
        let is_sending = sending.is_some();
        let until = due.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            count = records.recv_many(came, ROOM) => Event::Came(count),
            sent = end_of(sending) => Event::Sent(sent),
            () = sleep_until(until), if due.is_some() && !is_sending => Event::Due,
        }
    }

    /// Takes records that have come.
    pub fn take(&mut self, came: &mut Vec<Arc<Record>>, metrics: &OtelMetrics) {
        let (queue, mut lost) = (&mut self.queue, 0);
        for record in came.drain(..) {
            let mut pushed_out = 0;
            lost += self.choice.take(record, &mut |record| pushed_out += queue.push(record)) + pushed_out;
        }
        if lost > 0 {
            metrics.dropped(lost);
        }
        self.plan();
    }

    /// Says when the next batch is to be sent, unless one is under way.
    fn plan(&mut self) {
        if self.batch.is_some() || self.queue.spans() == 0 {
            return;
        }
        let now = Instant::now();
        if self.queue.spans() >= BATCH {
            self.due = Some(now);
        } else {
            self.due.get_or_insert(now + GATHERING);
        }
    }

    /// Begins to send what is due.
    pub fn send(&mut self, facts: &Facts) {
        self.due = None;
        let Some(open) = &self.open else { return };
        if self.batch.is_none() {
            self.batch = self.queue.take();
        }
        let Some(batch) = &mut self.batch else { return };
        batch.tries += 1;
        let mut spans = Vec::with_capacity(batch.spans);
        for record in &batch.records {
            facts.add(record, &mut spans);
        }
        let (exporter, way) = (Arc::clone(&open.exporter), open.way.clone());
        self.sending = Some(Box::pin(async move {
            let exported = exporter.export(spans).await;
            match (exported, way.latest()) {
                (Ok(()), latest) => Ok(latest.and_then(Result::ok).map_or(0, |body| unwanted(&body))),
                (Err(_), Some(Err(refusal))) => Err(refusal),
                // Over gRPC that is all that is known.
                (Err(error), _) => {
                    Err(Refusal { why: format!("cannot be asked ({error})"), is_passing: true, wait: None })
                }
            }
        }));
    }

    /// Takes note of what became of a batch.
    pub fn conclude(&mut self, sent: Shipped, metrics: &OtelMetrics, voice: &mut Voice) {
        let Some(batch) = self.batch.take() else { return };
        match sent {
            Ok(unwanted) => {
                metrics.exported(batch.spans, unwanted);
                voice.works();
            }
            Err(refusal) => {
                voice.fails(&refusal.why);
                if refusal.is_passing && batch.tries < MOST_TRIES {
                    let pause = FIRST_PAUSE.saturating_mul(1 << batch.tries.saturating_sub(1));
                    self.due = Some(Instant::now() + refusal.wait.unwrap_or(pause));
                    self.batch = Some(batch);
                } else if refusal.is_passing {
                    metrics.dropped(batch.spans);
                } else {
                    metrics.refused(batch.spans);
                }
            }
        }
        self.plan();
    }

    /// Sends what is left, until it has gone, one batch has failed, or `until`.
    pub async fn finish(&mut self, facts: &Facts, metrics: &OtelMetrics, voice: &mut Voice, until: Instant) {
        let mut came = Vec::new();
        if let Some(open) = &mut self.open {
            while let Ok(record) = open.records.try_recv() {
                came.push(record);
            }
        }
        self.take(&mut came, metrics);
        loop {
            if self.sending.is_none() {
                self.send(facts);
            }
            if self.sending.is_none() {
                break;
            }
            let late =
                || Refusal { why: "did not answer before the server ended".to_owned(), is_passing: true, wait: None };
            let sent = timeout_at(until, end_of(&mut self.sending)).await.unwrap_or_else(|_late| Err(late()));
            let has_failed = sent.is_err();
            self.conclude(sent, metrics, voice);
            if has_failed {
                break;
            }
        }
        self.close(metrics);
    }
}

/// The exporter of a collector that speaks gRPC. Its connections are tonic's own, with the system's certificates.
#[cfg(feature = "otlp-grpc")]
fn by_grpc(to: &Collector) -> Result<SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use opentelemetry_otlp::WithTonicConfig as _;
    use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
    use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;

    // The configuration has checked them.
    let header = |(name, value): &(String, crate::config::Secret)| {
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.reveal()).ok()?))
    };
    let headers: HeaderMap = to.headers.iter().filter_map(header).collect();
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(to.url.as_str())
        .with_timeout(to.timeout)
        .with_metadata(MetadataMap::from_headers(headers))
        .with_retry_policy(RetryPolicy::disabled());
    match to.url.scheme() {
        "https" => exporter.with_tls_config(ClientTlsConfig::new().with_native_roots()).build(),
        _ => exporter.build(),
    }
}

#[cfg(not(feature = "otlp-grpc"))]
fn by_grpc(_to: &Collector) -> Result<SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    // The configuration knows no such collector in this binary.
    SpanExporter::builder().build()
}

fn exporter(
    to: &Collector,
    way: &Way,
    resource: &[(String, String)],
) -> Result<SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    let mut exporter = match to.protocol {
        OtlpProtocol::Grpc => by_grpc(to)?,
        OtlpProtocol::Http => SpanExporter::builder()
            .with_http()
            .with_http_client(way.clone())
            .with_endpoint(to.url.as_str())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(to.timeout)
            // It would put this thread to sleep between two tries.
            .with_retry_policy(RetryPolicy::disabled())
            .build()?,
    };
    let attributes = resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let sdk = Resource::builder_empty().with_detector(Box::new(TelemetryResourceDetector));
    exporter.set_resource(&sdk.with_attributes(attributes).build());
    Ok(exporter)
}

/// The number of spans that an answer says were not wanted.
fn unwanted(body: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(body).ok();
    let unwanted = answer.and_then(|answer| answer.partial_success).map_or(0, |partial| partial.rejected_spans);
    u64::try_from(unwanted).unwrap_or(0)
}
