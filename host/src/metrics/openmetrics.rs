//! The OpenMetrics text format, which has exemplars: beside the count of a bucket, one request that fell into it.
//!
//! Written by <https://prometheus.io/docs/specs/om/open_metrics_spec/>; the library has Prometheus's older format only.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::LONG;

/// The type of the answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The most characters of the names and values of an exemplar's labels, by the specification.
const MOST_LABELS: usize = 128;

/// True when whoever asks can read it. Whoever does not name it gets the older format.
pub fn is_accepted(accept: &str) -> bool {
    accept.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        let is_named = words.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        let is_refused = words.any(|word| {
            let weight = word.strip_prefix("q=").and_then(|weight| weight.parse::<f64>().ok());
            weight.is_some_and(|weight| weight <= 0.0)
        });
        is_named && !is_refused
    })
}

/// A request that fell into a bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its id.
    pub request_id: String,
    /// The id of its trace, where requests are traced.
    pub trace_id: Option<String>,
    /// The value that was counted, in seconds.
    pub value: f64,
    /// The moment of that, in seconds since 1970.
    pub at: f64,
}

impl Exemplar {
    fn fits(&self) -> bool {
        let trace = self.trace_id.as_ref().map_or(0, |id| "trace_id".len() + id.chars().count());
        "request_id".len() + self.request_id.chars().count() + trace <= MOST_LABELS
    }
}

/// A histogram of long times that has exemplars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// Whole requests, by endpoint.
    Requests,
    /// Attempts, by provider.
    Attempts,
}

impl Of {
    fn named(family: &str) -> Option<Self> {
        match family {
            "pointsman_request_duration_seconds" => Some(Self::Requests),
            "pointsman_attempt_duration_seconds" => Some(Self::Attempts),
            _ => None,
        }
    }
}

/// The exemplars of one scrape, at most one for each bucket.
#[derive(Clone, Debug, Default)]
pub struct Exemplars(HashMap<(Of, String), [Option<Exemplar>; LONG.len() + 1]>);

impl Exemplars {
    /// Takes an exemplar for the bucket of its value, unless there is one already; it is only made if it is wanted.
    pub fn offer(&mut self, of: Of, label: &str, value: f64, made: impl FnOnce() -> Exemplar) {
        let bucket = LONG.partition_point(|bound| *bound < value);
        // A `HashMap` looks up a borrowed pair only with a trait of its own; there are a few labels.
        let known = self.0.iter_mut().find(|((known, name), _)| *known == of && name == label);
        let buckets = match known {
            Some((_, buckets)) => buckets,
            None => self.0.entry((of, label.to_owned())).or_default(),
        };
        if buckets[bucket].is_none() {
            buckets[bucket] = Some(made()).filter(Exemplar::fits);
        }
    }

    fn get(&self, family: &str, labels: &[LabelPair], bucket: usize) -> Option<&Exemplar> {
        let (of, label) = (Of::named(family)?, labels.first()?);
        self.0.get(&(of, label.value().to_owned()))?.get(bucket)?.as_ref()
    }
}

/// All metrics, with exemplars.
pub fn write(families: &[MetricFamily], exemplars: &Exemplars) -> Vec<u8> {
    let mut out = String::with_capacity(32 << 10);
    for family in families {
        // Writing to a String cannot fail.
        let _ = write_family(&mut out, family, exemplars);
    }
    out.push_str("# EOF\n");
    out.into_bytes()
}

fn write_family(out: &mut String, family: &MetricFamily, exemplars: &Exemplars) -> std::fmt::Result {
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => match family.name().strip_suffix("_total") {
            Some(name) => (name, "counter"),
            None => (family.name(), "unknown"),
        },
        MetricType::GAUGE => (family.name(), "gauge"),
        MetricType::HISTOGRAM => (family.name(), "histogram"),
        MetricType::SUMMARY | MetricType::UNTYPED => (family.name(), "unknown"),
    };
    writeln!(out, "# TYPE {name} {kind}")?;
    writeln!(out, "# HELP {name} {}", escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::COUNTER => sample(out, family.name(), labels, None, metric.get_counter().get_value())?,
            MetricType::GAUGE => sample(out, name, labels, None, metric.get_gauge().get_value())?,
            MetricType::HISTOGRAM => write_histogram(out, name, metric, exemplars)?,
            // None of ours is of another kind.
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
        if family.get_field_type() != MetricType::HISTOGRAM {
            out.push('\n');
        }
    }
    Ok(())
}

fn write_histogram(out: &mut String, name: &str, metric: &Metric, exemplars: &Exemplars) -> std::fmt::Result {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let mut bounds: Vec<(String, u64)> = Vec::with_capacity(histogram.get_bucket().len() + 1);
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        // A bound that is a whole number has a point, by the specification.
        let bound = bucket.upper_bound();
        let text = if bound.fract() == 0.0 { format!("{bound:.1}") } else { bound.to_string() };
        bounds.push((text, bucket.cumulative_count()));
    }
    bounds.push(("+Inf".to_owned(), histogram.get_sample_count()));
    for (place, (bound, count)) in bounds.iter().enumerate() {
        sample(out, &format!("{name}_bucket"), labels, Some(bound), *count as f64)?;
        if let Some(exemplar) = exemplars.get(name, labels, place) {
            write!(out, " # {{request_id=\"{}\"", escaped(&exemplar.request_id))?;
            if let Some(trace) = &exemplar.trace_id {
                write!(out, ",trace_id=\"{}\"", escaped(trace))?;
            }
            write!(out, "}} {} {:.3}", exemplar.value, exemplar.at)?;
        }
        out.push('\n');
    }
    sample(out, &format!("{name}_count"), labels, None, histogram.get_sample_count() as f64)?;
    out.push('\n');
    sample(out, &format!("{name}_sum"), labels, None, histogram.get_sample_sum())?;
    out.push('\n');
    Ok(())
}

/// A name, its labels and a value, without the end of the line.
fn sample(out: &mut String, name: &str, labels: &[LabelPair], bound: Option<&str>, value: f64) -> std::fmt::Result {
    out.push_str(name);
    let bound = bound.map(|bound| ("le", bound));
    let all = labels.iter().map(|label| (label.name(), label.value())).chain(bound);
    for (place, (label, text)) in all.enumerate() {
        write!(out, "{}{label}=\"{}\"", if place == 0 { '{' } else { ',' }, escaped(text))?;
    }
    if !labels.is_empty() || bound.is_some() {
        out.push('}');
    }
    match value {
        value if value.is_nan() => write!(out, " NaN"),
        value if value.is_infinite() => write!(out, " {}Inf", if value > 0.0 { '+' } else { '-' }),
        value => write!(out, " {value}"),
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['\\', '"', '\n']) {
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Metrics;
    use super::super::state::Scraped;
    use super::*;
    use crate::routing::OutcomeKind;

    fn exemplar(id: &str, value: f64) -> Exemplar {
        Exemplar { request_id: id.to_owned(), trace_id: None, value, at: 1_700_000_000.25 }
    }

    #[test]
    fn whoever_names_the_format_and_does_not_refuse_it_can_read_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("text/plain, application/OpenMetrics-Text; q=0", false),
            ("text/plain;version=0.0.4", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(is_accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_bucket_names_the_first_request_that_was_offered_for_it() {
        let metrics = Metrics::new(&["chat/completions"]);
        metrics.request_took(0, Duration::from_millis(40));
        metrics.request_took(0, Duration::from_secs(400));
        let provider = metrics.of_provider("a \"b\"");
        provider.attempt(OutcomeKind::Failed, Duration::from_secs(1));
        let mut exemplars = Exemplars::default();
        exemplars.offer(Of::Requests, "chat/completions", 0.04, || exemplar("req_1", 0.04));
        exemplars.offer(Of::Requests, "chat/completions", 0.045, || exemplar("req_2", 0.045));
        let traced = Exemplar { trace_id: Some("ab".repeat(16)), ..exemplar("req_\"3", 400.0) };
        exemplars.offer(Of::Requests, "chat/completions", 400.0, || traced.clone());
        exemplars.offer(Of::Attempts, "a \"b\"", 1.0, || exemplar("req_4", 1.0));
        exemplars.offer(Of::Attempts, "a \"b\"", 0.001, || exemplar(&"x".repeat(200), 0.001));
        let text = write(&metrics.gather(&Scraped::default()), &exemplars);
        let text = String::from_utf8(text).expect("text");
        let requests = "pointsman_request_duration_seconds_bucket{endpoint=\"chat/completions\",le=";
        let attempts = "pointsman_attempt_duration_seconds_bucket{provider=\"a \\\"b\\\"\",le=";
        for line in [
            format!("{requests}\"0.025\"}} 0"),
            format!("{requests}\"0.05\"}} 1 # {{request_id=\"req_1\"}} 0.04 1700000000.250"),
            format!("{requests}\"1.0\"}} 1"),
            format!(
                "{requests}\"+Inf\"}} 2 # {{request_id=\"req_\\\"3\",trace_id=\"{}\"}} 400 1700000000.250",
                "ab".repeat(16)
            ),
            format!("{attempts}\"0.005\"}} 0"),
            format!("{attempts}\"1.0\"}} 1 # {{request_id=\"req_4\"}} 1 1700000000.250"),
            "# TYPE pointsman_attempts counter".to_owned(),
            "pointsman_attempts_total{outcome=\"failed\",provider=\"a \\\"b\\\"\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
    }
}
