//! The keys of what is watched: the log, measurements, stories, and what is exported by OpenTelemetry's protocol.

use super::{Absent, Kind, PATH, Schema, row};

use Absent::{As, Each, Is, Nothing, Required};

pub(in crate::config) const MONITORING: Schema = Schema::new(
    "`monitoring`",
    &[
        row(
            "log_level",
            Kind::AnyCase(&["TRACE", "DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL"]),
            Is("INFO"),
            "The lowest level that is logged.",
        ),
        row("log_format", Kind::Word(&["text", "json"]), Is("text"), "For people, or one JSON object per line."),
        row("track_latency", Kind::Boolean, Is("true"), "Measure and log the latency of each provider."),
        row("track_errors", Kind::Boolean, Is("true"), "False: failed requests do not eject their provider."),
        row("interval", Kind::Seconds, Is("60"), "Between two summaries of each provider's latency in the log."),
        row(
            "explain",
            Kind::Boolean,
            Is("false"),
            "True: answers say why they went where they went, and what they cost.",
        ),
        row(
            "usage",
            Kind::Word(&["auto", "always"]),
            Is("auto"),
            "The usage of a stream whose client does not say: asked for where a limit, a budget or `prices` needs it, or always.",
        ),
        row(
            "record",
            PATH,
            Nothing,
            "What the strategy is asked and answers, for `pointsman strategy replay` and `diff`; holds no keys and no prompts.",
        ),
        row("record_max_bytes", Kind::Integer(1 << 20, 1 << 40), Is("67108864"), "Then it is put aside as FILE.1."),
        row("ledger", Kind::Section(&LEDGER), Each, "The stories of requests; they hold neither keys nor prompts."),
        row(
            "labels",
            Kind::List(&Kind::Word(&["status", "model", "client"])),
            Nothing,
            "Requests, tokens and cost are counted in metrics by these besides.",
        ),
    ],
);
pub(in crate::config) const LEDGER: Schema = Schema::new(
    "`monitoring.ledger`",
    &[
        row("path", PATH, Nothing, "A folder in which they are kept as well, as files of JSON lines."),
        row(
            "keep",
            Kind::Measured("^[0-9.]+ *(ms|s|m|min|h|d|w)?$", "a time such as 7d or 12h, at least a minute"),
            Is("7d"),
            "Older ones are removed.",
        ),
        row(
            "max_bytes",
            Kind::Measured(
                "^[0-9.]+ *(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)?$",
                "a number of bytes such as 1GiB, at least 1MiB",
            ),
            Is("1GiB"),
            "The oldest are removed when there are more.",
        ),
        row("stories", Kind::Integer(0, 1_000_000), Is("10000"), "The latest ones in memory; 0: none."),
    ],
);
pub(in crate::config) const TELEMETRY: Schema = Schema::new(
    "`telemetry`",
    &[
        row("otlp", Kind::Section(&OTLP), Each, "Where it goes."),
        row("traces", Kind::Section(&TRACES), Each, "Spans of requests."),
        row("metrics", Kind::Section(&OTLP_METRICS), Nothing, "The metrics of /metrics to the collector as well."),
    ],
);
pub(in crate::config) const OTLP: Schema = Schema::new(
    "`telemetry.otlp`",
    &[
        row(
            "endpoint",
            Kind::Text,
            As("OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318"),
            "The collector; /v1/traces and /v1/metrics are appended.",
        ),
        row(
            "protocol",
            Kind::Word(&["http", "grpc"]),
            As("OTEL_EXPORTER_OTLP_PROTOCOL, else http"),
            "http with protobuf; grpc in a binary that was built with it.",
        ),
        row(
            "headers",
            Kind::Map(&Kind::Secret, &[]),
            As("OTEL_EXPORTER_OTLP_HEADERS"),
            "Headers that are sent with every request.",
        ),
        row("service_name", Kind::Text, As("OTEL_SERVICE_NAME, else pointsman"), "The name of this server."),
        row("attributes", Kind::Map(&Kind::Text, &[]), As("OTEL_RESOURCE_ATTRIBUTES"), "More about this server."),
        row("timeout", Kind::Seconds, As("OTEL_EXPORTER_OTLP_TIMEOUT, else 10"), "For one request to the collector."),
        row(
            "compression",
            Kind::Word(&["none", "gzip"]),
            As("OTEL_EXPORTER_OTLP_COMPRESSION, else none"),
            "How bodies are compressed.",
        ),
        row(
            "tls",
            Kind::Section(&OTLP_TLS),
            As("the system's certificates"),
            "Whom to trust, and the certificate to show.",
        ),
    ],
);
pub(in crate::config) const OTLP_TLS: Schema = Schema::new(
    "`telemetry.otlp.tls`",
    &[
        row("ca", PATH, As("the system's certificates"), "A PEM file: whom to trust."),
        row("cert", PATH, Nothing, "A PEM file: the chain of a client certificate."),
        row("key", PATH, Nothing, "A PEM file: its private key."),
    ],
);
pub(in crate::config) const TRACES: Schema = Schema::new(
    "`telemetry.traces`",
    &[
        row(
            "ratio",
            Kind::Number(0.0, 1.0),
            As("OTEL_TRACES_SAMPLER_ARG, else 1"),
            "The share of traces that are exported; of a client that traces, its flag decides.",
        ),
        row(
            "always",
            Kind::List(&Kind::OneOf(&[Kind::Word(&["errors", "failovers"]), Kind::Section(&ALWAYS)])),
            Nothing,
            "What is exported in any case, by how it ended.",
        ),
        row(
            "propagate",
            Kind::Boolean,
            Is("true"),
            "Providers get a traceparent of the attempt; false: as the client sent it.",
        ),
    ],
);
pub(in crate::config) const ALWAYS: Schema = Schema::new(
    "`telemetry.traces.always[]`",
    &[row("slower_than", Kind::Seconds, Required, "Requests that took longer.")],
);
pub(in crate::config) const OTLP_METRICS: Schema = Schema::new(
    "`telemetry.metrics`",
    &[row("interval", Kind::Seconds, As("OTEL_METRIC_EXPORT_INTERVAL, else 60"), "Between two exports.")],
);
