//! What the file and the variables come to together.

use std::path::Path;

use super::*;
use crate::config::{Config, parse};

/// The configuration of a file with `rest`, in an environment such as `A=1 B=2`.
fn config(rest: &str, given: &str) -> Config {
    let env = |name: &str| {
        let pairs = given.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let text = format!("providers: [{{name: a, base_url: 'http://a/v1', api_key: k}}]\n{rest}");
    parse(&text, Path::new("x.yaml"), &env, &["round_robin"]).unwrap_or_else(|error| panic!("{error}"))
}

fn telemetry(rest: &str, given: &str) -> Telemetry {
    let config = config(rest, given);
    assert_eq!(config.warnings, [""; 0]);
    *config.telemetry
}

fn header(collector: &Collector, name: &str) -> Option<String> {
    collector.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.reveal().to_owned())
}

#[test]
fn nothing_is_exported_unless_the_file_or_a_variable_wants_it() {
    assert_eq!(telemetry("", ""), Telemetry::default());
    // Those alone name no collector.
    assert_eq!(telemetry("", "OTEL_SERVICE_NAME=x OTEL_TRACES_SAMPLER=nonsense"), Telemetry::default());
    let traces = telemetry("telemetry: {otlp: {}}", "").traces.unwrap();
    assert_eq!(traces.to.url.as_str(), "http://localhost:4318/v1/traces");
    assert_eq!((traces.ratio, traces.follows_parent, traces.propagate), (1.0, true, true));
    assert_eq!((traces.always, traces.names), (Always::default(), GenAiNames::V1_41));
    assert_eq!((traces.to.timeout, traces.to.gzip, traces.to.headers.len()), (Duration::from_secs(10), false, 0));
    let by_variable = telemetry("", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318");
    assert_eq!(by_variable.traces.unwrap().to.url.as_str(), "http://collector:4318/v1/traces");
    assert_eq!(by_variable.metrics, None);
}

#[test]
fn the_file_says_where_to_and_how() {
    let telemetry = telemetry(
        "telemetry:\n  otlp:\n    endpoint: https://otlp.example/base/\n    headers: {Authorization: 'Bearer ${TOKEN}'}\n    \
         service_name: gateway\n    attributes: {deployment.environment.name: prod}\n    timeout: 2.5\n    compression: gzip\n  \
         traces: {ratio: 0.05, always: [errors, failovers, {slower_than: 10}], propagate: false}\n  metrics: {interval: 15}\n",
        "TOKEN=secret",
    );
    assert_eq!(telemetry.service_name, "gateway");
    assert_eq!(telemetry.attributes, [("deployment.environment.name".to_owned(), "prod".to_owned())]);
    let traces = telemetry.traces.unwrap();
    assert_eq!(traces.to.url.as_str(), "https://otlp.example/base/v1/traces");
    assert_eq!(header(&traces.to, "authorization").as_deref(), Some("Bearer secret"));
    assert_eq!((traces.to.timeout, traces.to.gzip), (Duration::from_millis(2500), true));
    assert_eq!((traces.ratio, traces.propagate), (0.05, false));
    let slower_than = Some(Duration::from_secs(10));
    assert_eq!(traces.always, Always { errors: true, failovers: true, slower_than });
    let metrics = telemetry.metrics.unwrap();
    assert_eq!(metrics.to.url.as_str(), "https://otlp.example/base/v1/metrics");
    assert_eq!(metrics.interval, Duration::from_secs(15));
    assert_eq!(header(&metrics.to, "authorization").as_deref(), Some("Bearer secret"));
}

#[test]
fn variables_count_where_the_file_is_silent() {
    let given = "OTEL_EXPORTER_OTLP_ENDPOINT=http://all:4318/x OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://own/as/it/is \
                 OTEL_EXPORTER_OTLP_HEADERS=api-key=a%20b,x=1 OTEL_EXPORTER_OTLP_METRICS_HEADERS=y=2 \
                 OTEL_EXPORTER_OTLP_TIMEOUT=3000 OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=1500 \
                 OTEL_EXPORTER_OTLP_COMPRESSION=gzip OTEL_SERVICE_NAME=named OTEL_METRICS_EXPORTER=otlp \
                 OTEL_RESOURCE_ATTRIBUTES=service.name=other,region=eu OTEL_METRIC_EXPORT_INTERVAL=5000 \
                 OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.25 \
                 OTEL_SEMCONV_STABILITY_OPT_IN=http,gen_ai_latest_experimental";
    let Telemetry { service_name, attributes, traces, metrics } = telemetry("", given);
    assert_eq!((service_name.as_str(), attributes), ("named", vec![("region".to_owned(), "eu".to_owned())]));
    let (traces, metrics) = (traces.unwrap(), metrics.unwrap());
    assert_eq!(traces.to.url.as_str(), "http://own/as/it/is");
    assert_eq!(metrics.to.url.as_str(), "http://all:4318/x/v1/metrics");
    assert_eq!(header(&traces.to, "api-key").as_deref(), Some("a b"));
    assert_eq!((header(&metrics.to, "x"), header(&metrics.to, "y").as_deref()), (None, Some("2")));
    assert_eq!((traces.to.timeout, traces.to.gzip), (Duration::from_millis(1500), true));
    assert_eq!((metrics.to.timeout, metrics.interval), (Duration::from_secs(3), Duration::from_secs(5)));
    assert_eq!((traces.ratio, traces.follows_parent), (0.25, true));
    assert_eq!(traces.names, GenAiNames::Latest);
    let file = "telemetry: {otlp: {endpoint: 'http://file', headers: {z: '3'}, service_name: file, timeout: 1, \
                attributes: {region: us}}, traces: {ratio: 1}, metrics: {interval: 7}}";
    let Telemetry { service_name, attributes, traces, metrics } = telemetry(file, given);
    assert_eq!((service_name.as_str(), attributes), ("file", vec![("region".to_owned(), "us".to_owned())]));
    let traces = traces.unwrap();
    assert_eq!((traces.to.url.as_str(), traces.ratio), ("http://file/v1/traces", 1.0));
    assert_eq!((header(&traces.to, "api-key"), header(&traces.to, "z").as_deref()), (None, Some("3")));
    assert_eq!((traces.to.timeout, metrics.unwrap().interval), (Duration::from_secs(1), Duration::from_secs(7)));
}

#[test]
fn samplers_have_opentelemetrys_names() {
    let sampler = |given: &str| {
        let given = format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://a OTEL_TRACES_SAMPLER={given}");
        let traces = telemetry("", &given).traces.unwrap();
        (traces.ratio, traces.follows_parent)
    };
    assert_eq!(sampler("always_on"), (1.0, false));
    assert_eq!(sampler("always_off"), (0.0, false));
    assert_eq!(sampler("traceidratio OTEL_TRACES_SAMPLER_ARG=0.5"), (0.5, false));
    assert_eq!(sampler("parentbased_always_on"), (1.0, true));
    assert_eq!(sampler("parentbased_always_off"), (0.0, true));
}

#[test]
fn export_is_turned_off_by_its_variables() {
    let named = "OTEL_EXPORTER_OTLP_ENDPOINT=http://a";
    assert_eq!(telemetry("", &format!("{named} OTEL_TRACES_EXPORTER=none")).traces, None);
    assert_eq!(telemetry("", &format!("{named} OTEL_SDK_DISABLED=TRUE")).traces, None);
    // The file wins over the one, but not over the other, which says so.
    let traces = telemetry("telemetry: {traces: {ratio: 1}}", &format!("{named} OTEL_TRACES_EXPORTER=none")).traces;
    assert!(traces.is_some());
    let config = config("telemetry: {traces: {ratio: 1}}", "OTEL_SDK_DISABLED=true");
    assert_eq!(config.telemetry.traces, None);
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("OTEL_SDK_DISABLED"), "{:?}", config.warnings);
}

#[test]
fn variables_that_cannot_be_understood_are_ignored_with_one_warning_each_that_shows_no_value() {
    let given = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://u:never-shown@a OTEL_EXPORTER_OTLP_HEADERS=a\u{7f}b=never-shown \
                 OTEL_EXPORTER_OTLP_TIMEOUT=soon OTEL_EXPORTER_OTLP_COMPRESSION=brotli OTEL_TRACES_SAMPLER=jaeger_remote \
                 OTEL_EXPORTER_OTLP_PROTOCOL=http/json OTEL_TRACES_EXPORTER=zipkin";
    let config = config("telemetry: {metrics: {}}", given);
    assert_eq!(config.warnings.len(), 7, "{:#?}", config.warnings);
    assert!(config.warnings.iter().all(|warning| !warning.contains("never-shown")), "{:#?}", config.warnings);
    assert_eq!(config.telemetry.traces.unwrap().to.url.as_str(), "http://localhost:4318/v1/traces");
}
