//! Metrics by the same exporter.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric};

use super::*;

/// The metrics of the latest request.
fn latest(collector: &Mock) -> Option<(BTreeMap<String, Value>, Vec<Metric>)> {
    let all = collector.requests();
    let seen = all.iter().rev().find(|seen| seen.target == "/v1/metrics")?;
    let mut request = ExportMetricsServiceRequest::decode(&seen.body[..]).expect("protobuf");
    let mut of_resource = request.resource_metrics.remove(0);
    let resource = attributes(&of_resource.resource.expect("a resource").attributes);
    Some((resource, of_resource.scope_metrics.remove(0).metrics))
}

/// The value of a counter.
fn counter(metrics: &[Metric], name: &str, labels: &Value) -> Option<f64> {
    let found = metrics.iter().find(|metric| metric.name == name)?;
    let sum = match &found.data {
        Some(metric::Data::Sum(sum)) => Some(sum),
        _ => None,
    };
    let sum = sum.expect("a counter is a sum");
    assert!(sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Cumulative);
    let point = sum.data_points.iter().find(|point| json!(attributes(&point.attributes)) == *labels)?;
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano <= point.time_unix_nano);
    match point.value {
        Some(number_data_point::Value::AsDouble(value)) => Some(value),
        _ => None,
    }
}

#[tokio::test]
async fn the_metrics_of_the_proxy_reach_the_collector_with_their_names_labels_and_values() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = collector().await;
    let proxy = exporting(&collector, json!({"metrics": {"interval": 0.1}})).provider(&a, json!({})).start().await;
    for _ in 0..3 {
        proxy.chat().await;
    }
    let labels = json!({"endpoint": "chat/completions", "provider": "a", "outcome": "succeeded"});
    let count = || latest(&collector).and_then(|(_, metrics)| counter(&metrics, "pointsman_requests_total", &labels));
    eventually("three requests are counted", || async { count() == Some(3.0) }).await;
    let (resource, metrics) = latest(&collector).expect("metrics");
    assert_eq!((&resource["service.name"], resource.len()), (&json!("pointsman"), 3));
    let of = |name: &str| metrics.iter().find(|metric| metric.name == name).and_then(|metric| metric.data.clone());
    let Some(metric::Data::Gauge(slots)) = of("pointsman_queue_max_concurrent") else {
        panic!("no gauge in {metrics:?}")
    };
    assert_eq!(slots.data_points[0].value, Some(number_data_point::Value::AsDouble(100.0)));
    let Some(metric::Data::Histogram(times)) = of("pointsman_request_duration_seconds") else { panic!("no histogram") };
    let chat = json!({"endpoint": "chat/completions"});
    let times = times.data_points.iter().find(|point| json!(attributes(&point.attributes)) == chat).expect("its times");
    assert_eq!((times.count, times.bucket_counts.iter().sum::<u64>()), (3, 3));
    assert_eq!(times.bucket_counts.len(), times.explicit_bounds.len() + 1);
    let text = proxy.get("/metrics").await.text();
    for metric in &metrics {
        assert!(text.contains(&format!("# TYPE {} ", metric.name)), "{} is not in /metrics", metric.name);
    }
}
