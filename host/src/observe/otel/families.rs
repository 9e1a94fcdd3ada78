//! The metrics of `/metrics` as OTLP has them: the same names, labels and values, so that dashboards suit both.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{self, MetricFamily, MetricType};
use prost::Message as _;

/// The body of a request with all metrics; `since` is when they began to count.
pub fn body(families: &[MetricFamily], resource: &[(String, String)], since: SystemTime, now: SystemTime) -> Vec<u8> {
    let times = (nanos(since), nanos(now));
    let metrics = families.iter().filter_map(|family| metric_of(family, times)).collect();
    let scope = InstrumentationScope {
        name: "pointsman".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let attributes = resource.iter().map(|(key, value)| text(key, value)).collect();
    let metrics = ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() };
    let resource = Resource { attributes, ..Resource::default() };
    let resource_metrics =
        ResourceMetrics { resource: Some(resource), scope_metrics: vec![metrics], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }.encode_to_vec()
}

fn nanos(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn labels(metric: &proto::Metric) -> Vec<KeyValue> {
    metric.get_label().iter().map(|label| text(label.name(), label.value())).collect()
}

fn metric_of(family: &MetricFamily, times: (u64, u64)) -> Option<Metric> {
    let points = |value: &dyn Fn(&proto::Metric) -> f64| -> Vec<NumberDataPoint> {
        let point = |metric: &proto::Metric| NumberDataPoint {
            attributes: labels(metric),
            start_time_unix_nano: times.0,
            time_unix_nano: times.1,
            value: Some(Value::AsDouble(value(metric))),
            ..NumberDataPoint::default()
        };
        family.get_metric().iter().map(point).collect()
    };
    let cumulative = AggregationTemporality::Cumulative as i32;
    let data = match family.get_field_type() {
        MetricType::COUNTER => metric::Data::Sum(Sum {
            data_points: points(&|metric| metric.get_counter().get_value()),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::GAUGE => {
            metric::Data::Gauge(Gauge { data_points: points(&|metric| metric.get_gauge().get_value()) })
        }
        MetricType::HISTOGRAM => metric::Data::Histogram(Histogram {
            data_points: family.get_metric().iter().map(|metric| histogram(metric, times)).collect(),
            aggregation_temporality: cumulative,
        }),
        // There are none.
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit(family.name()).to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn histogram(metric: &proto::Metric, times: (u64, u64)) -> HistogramDataPoint {
    let histogram = metric.get_histogram();
    let mut below = 0;
    // Prometheus counts what is in a bucket and all before it.
    let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (mut counts, mut bounds) = (Vec::new(), Vec::new());
    for bucket in finite {
        counts.push(bucket.cumulative_count().saturating_sub(below));
        bounds.push(bucket.upper_bound());
        below = bucket.cumulative_count();
    }
    counts.push(histogram.get_sample_count().saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(metric),
        start_time_unix_nano: times.0,
        time_unix_nano: times.1,
        count: histogram.get_sample_count(),
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

/// The unit that a name says, as UCUM writes it.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{GaugeVec, HistogramOpts, IntCounterVec, Opts, Registry};

    #[test]
    fn every_kind_of_metric_keeps_its_name_labels_and_values() {
        let registry = Registry::new();
        let counters = IntCounterVec::new(Opts::new("a_total", "An a."), &["provider"]).unwrap();
        counters.with_label_values(&["x"]).inc_by(7);
        let gauges = GaugeVec::new(Opts::new("b_bytes", "A b."), &["kind"]).unwrap();
        gauges.with_label_values(&["y"]).set(-1.5);
        let options = HistogramOpts::new("c_seconds", "A c.").buckets(vec![0.1, 1.0]);
        let times = prometheus::Histogram::with_opts(options).unwrap();
        for time in [0.05, 0.5, 0.6, 9.0] {
            times.observe(time);
        }
        registry.register(Box::new(counters)).unwrap();
        registry.register(Box::new(gauges)).unwrap();
        registry.register(Box::new(times)).unwrap();
        let resource = [("service.name".to_owned(), "pointsman".to_owned())];
        let since = UNIX_EPOCH + std::time::Duration::from_secs(1);
        let body = body(&registry.gather(), &resource, since, since + std::time::Duration::from_secs(1));
        let mut request = ExportMetricsServiceRequest::decode(&body[..]).unwrap();
        let mut of_resource = request.resource_metrics.remove(0);
        assert_eq!(of_resource.resource.unwrap().attributes, [text("service.name", "pointsman")]);
        let metrics = of_resource.scope_metrics.remove(0).metrics;
        let named: Vec<_> =
            metrics.iter().map(|m| (m.name.as_str(), m.description.as_str(), m.unit.as_str())).collect();
        assert_eq!(named, [("a_total", "An a.", ""), ("b_bytes", "A b.", "By"), ("c_seconds", "A c.", "s")]);
        let point = |value, label| NumberDataPoint {
            attributes: vec![label],
            start_time_unix_nano: 1_000_000_000,
            time_unix_nano: 2_000_000_000,
            value: Some(Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let cumulative = AggregationTemporality::Cumulative as i32;
        let sum = Sum {
            data_points: vec![point(7.0, text("provider", "x"))],
            aggregation_temporality: cumulative,
            is_monotonic: true,
        };
        assert_eq!(metrics[0].data, Some(metric::Data::Sum(sum)));
        let gauge = Gauge { data_points: vec![point(-1.5, text("kind", "y"))] };
        assert_eq!(metrics[1].data, Some(metric::Data::Gauge(gauge)));
        let Some(metric::Data::Histogram(histogram)) = &metrics[2].data else { panic!("no histogram") };
        assert_eq!(histogram.aggregation_temporality, cumulative);
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(10.15)));
        assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[1, 2, 1][..], &[0.1, 1.0][..]));
    }
}
