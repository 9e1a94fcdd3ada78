//! The export before collectors that do not answer.

use super::*;
use crate::observe::ledger::Record;
use crate::observe::trace::{SpanId, Trace, TraceId};

fn config(endpoint: &str) -> Config {
    let text = format!(
        "providers: [{{name: a, base_url: 'http://a/v1', api_key: k}}]\ntelemetry: {{otlp: {{endpoint: '{endpoint}'}}}}\n"
    );
    crate::config::parse(&text, std::path::Path::new("x.yaml"), &|_| None, &["round_robin"]).unwrap()
}

fn record(at: u64) -> Arc<Record> {
    let trace = Trace { id: TraceId(1), span: SpanId(at + 1), parent: None, is_sampled: true };
    Arc::new(Record { trace: Some(trace), ..Record::default() })
}

fn dropped(metrics: &Metrics) -> f64 {
    let families = metrics.gather(&crate::metrics::state::Scraped::default());
    let family = families.iter().find(|family| family.name() == "pointsman_otel_spans_total");
    let of = |metric: &&prometheus::proto::Metric| metric.get_label()[0].value() == "dropped";
    family.and_then(|family| family.get_metric().iter().find(of)).map_or(0.0, |metric| metric.get_counter().get_value())
}

/// A collector that accepts connections and never answers.
async fn deaf() -> (tokio::net::TcpListener, Config) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(&format!("http://{}", listener.local_addr().unwrap()));
    (listener, config)
}

#[tokio::test]
async fn records_are_taken_however_slow_the_collector_and_what_is_too_much_is_dropped_and_counted() {
    let (_listener, config) = deaf().await;
    let (metrics, ledger) = (Metrics::new(&["other"]), Ledger::new(0, None));
    let (mut shipping, mut voice, terms) = (Shipping::default(), Voice::of("spans"), Terms::of(&config));
    let around = (&*ledger, &metrics.otel, &mut voice);
    shipping.change(config.telemetry.traces.as_ref(), &terms.resource("x"), around).await;
    let most = queue::MOST + queue::BATCH;
    for round in 0..100 {
        let mut came: Vec<_> = (0..1_000).map(|at| record(round * 1_000 + at)).collect();
        shipping.take(&mut came, &metrics.otel);
        if round == 0 {
            shipping.send(&terms.facts);
        }
    }
    assert_eq!(dropped(&metrics), (100_000 - most) as f64);
    // At the end nothing is left over that is not counted.
    shipping.finish(&terms.facts, &metrics.otel, &mut voice, Instant::now()).await;
    assert_eq!(dropped(&metrics), 100_000.0);
}

#[tokio::test]
async fn a_collector_without_usable_certificates_is_reported_and_nothing_is_kept_for_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let mut config = config("https://collector.example");
    config.telemetry.traces.as_mut().unwrap().to.tls.ca = Some(file);
    let (metrics, ledger) = (Metrics::new(&["other"]), Ledger::new(0, None));
    let (mut shipping, mut voice, terms) = (Shipping::default(), Voice::of("spans"), Terms::of(&config));
    let around = (&*ledger, &metrics.otel, &mut voice);
    shipping.change(config.telemetry.traces.as_ref(), &terms.resource("x"), around).await;
    assert!(format!("{voice:?}").contains("is_failing: true"), "{voice:?}");
    shipping.finish(&terms.facts, &metrics.otel, &mut voice, Instant::now()).await;
}
