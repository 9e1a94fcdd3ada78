//! The ways to run Pointsman: as its peers do, and with what each of its features adds.

use crate::targets::Scene;
use crate::wire::CLIENT_KEY;

/// A way to run Pointsman.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As its peers do.
    Plain,
    /// With a line in the log for each request.
    AccessLog,
    /// With 1,000 providers instead of two, all at the same address.
    ManyProviders,
    /// With two workers on both cores.
    TwoWorkers,
    /// With twenty routes, of which the last one fits.
    Routes,
    /// With a client that is known by its key and is under four limits, and with prices.
    Limits,
    /// With no stories in memory.
    NoLedger,
    /// With spans that go to a collector, of one trace in a hundred.
    Telemetry,
    /// With TLS towards clients.
    ClientTls,
    /// With TLS towards providers.
    ProviderTls,
    /// With clients that speak HTTP/2.
    ClientHttp2,
}

/// The other forms of Pointsman, measured at 1 KB.
pub const OTHER_FORMS: [Form; 10] = [
    Form::AccessLog,
    Form::ManyProviders,
    Form::TwoWorkers,
    Form::Routes,
    Form::Limits,
    Form::NoLedger,
    Form::Telemetry,
    Form::ClientTls,
    Form::ProviderTls,
    Form::ClientHttp2,
];

impl Form {
    /// Its name in tables and in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "pointsman",
            Self::AccessLog => "pointsman, access log",
            Self::ManyProviders => "pointsman, 1,000 providers",
            Self::TwoWorkers => "pointsman, 2 workers",
            Self::Routes => "pointsman, 20 routes",
            Self::Limits => "pointsman, a key under 4 limits",
            Self::NoLedger => "pointsman, no ledger",
            Self::Telemetry => "pointsman, OpenTelemetry at 1 %",
            Self::ClientTls => "pointsman, TLS to clients",
            Self::ProviderTls => "pointsman, TLS to providers",
            Self::ClientHttp2 => "pointsman, HTTP/2 to clients",
        }
    }

    /// The configuration of this form at a port.
    pub fn configuration(self, scene: &Scene, port: u16) -> String {
        let addresses = scene.providers;
        let (certificate, key) = (scene.certificate.certificate.display(), scene.certificate.key.display());
        let provider = |name: &str, weight: u32| {
            let (plain, tls) =
                if name == "b" { (addresses.b, addresses.b_tls) } else { (addresses.a, addresses.a_tls) };
            let place = match self {
                Self::ProviderTls => format!("\"https://{tls}/v1\", tls: {{ca: \"{certificate}\"}}"),
                _ => format!("\"http://{plain}/v1\""),
            };
            format!(
                "  - {{name: {name}, base_url: {place}, api_key: sk-of-{name}, weight: {weight}, max_concurrent: 4096}}\n"
            )
        };
        let providers: String = match self {
            Self::ManyProviders => (0..1000).map(|number| provider(&format!("p{number}"), 1)).collect(),
            _ => provider("a", 2) + &provider("b", 1),
        };
        let log_level = if self == Self::AccessLog { "INFO" } else { "WARNING" };
        let monitoring = if self == Self::NoLedger { "  ledger: {stories: 0}\n" } else { "" };
        let server = match self {
            Self::ClientTls => format!("  tls: {{cert: \"{certificate}\", key: \"{key}\"}}\n"),
            _ => String::new(),
        };
        let more = match self {
            Self::Routes => routes(),
            Self::Limits => limits(),
            Self::Telemetry => {
                format!("telemetry: {{otlp: {{endpoint: \"http://{}\"}}, traces: {{ratio: 0.01}}}}\n", addresses.a)
            }
            _ => String::new(),
        };
        include_str!("../../templates/pointsman.yaml")
            .replace("{{providers}}\n", &providers)
            .replace("{{log_level}}", log_level)
            .replace("{{monitoring}}\n", monitoring)
            .replace("{{port}}", &port.to_string())
            .replace("{{server}}\n", &server)
            .replace("{{more}}\n", &more)
    }
}

fn routes() -> String {
    let others = (0..19).map(|number| {
        format!(
            "  - {{models: [other-{number}, \"family-{number}-*\"], targets: [a, {{provider: b, model: other}}]}}\n"
        )
    });
    let fits = "  - {models: [gpt-4o], targets: [a, b]}\n".to_owned();
    format!("routes:\n{}", others.chain([fits]).collect::<String>())
}

/// Limits that are never reached.
fn limits() -> String {
    format!(
        "clients:\n  keys:\n    - name: client\n      key: {CLIENT_KEY}\n      \
         limits: {{rpm: 1000000000, tpm: 10000000000, parallel: 4096}}\n      budget: {{usd: 9000000, per: day}}\n\
         prices: {{models: {{gpt-4o: {{input: 2.5, output: 10}}}}}}\n"
    )
}
