//! From a point on a chart to a request: the exemplars of `/metrics`, read by a real Prometheus.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use harness::{Call, Mock, Proxy, Reply, eventually};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";

/// A Prometheus that reads one server, and ends with the test.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    fn start(server: SocketAddr) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let config = json!({
            "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms"},
            "scrape_configs": [{"job_name": "pointsman", "static_configs": [{"targets": [server.to_string()]}]}],
        });
        // JSON is YAML.
        std::fs::write(folder.path().join("prometheus.yml"), config.to_string()).expect("writable");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--enable-feature=exemplar-storage"]);
        command.arg(format!("--web.listen-address={free}")).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("prometheus is missing: install the package prometheus");
        Self { child, address: free, _folder: folder }
    }

    /// Those that it has kept of a series, each with the labels of the series.
    async fn exemplars(&self, query: &str) -> Vec<(Value, Value)> {
        if tokio::net::TcpStream::connect(self.address).await.is_err() {
            return Vec::new();
        }
        let query = query.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        let path = format!("/api/v1/query_exemplars?query={query}&start=1&end=9999999999");
        let answer = Call::to(self.address, Method::GET, &path).answer().await;
        if answer.status != 200 {
            return Vec::new();
        }
        let of_series = |series: &Value| {
            let exemplars = series["exemplars"].as_array().cloned().unwrap_or_default();
            exemplars.into_iter().map(|exemplar| (series["seriesLabels"].clone(), exemplar)).collect::<Vec<_>>()
        };
        answer.json()["data"].as_array().map(|data| data.iter().flat_map(of_series).collect()).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn prometheus_keeps_the_id_of_a_request_in_each_bucket() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let id = proxy.chat().await.header("x-request-id").to_owned();
    let prometheus = Prometheus::start(proxy.address());
    for (query, label, value) in [
        ("pointsman_request_duration_seconds_bucket", "endpoint", "chat/completions"),
        ("pointsman_attempt_duration_seconds_bucket{provider=\"a\"}", "provider", "a"),
    ] {
        eventually("the exemplar is there", async || {
            let found = prometheus.exemplars(query).await;
            found.iter().any(|(series, exemplar)| series[label] == value && exemplar["labels"]["request_id"] == id)
        })
        .await;
    }
}

#[tokio::test]
async fn whoever_does_not_ask_for_them_gets_the_format_of_before() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let id = proxy.chat().await.header("x-request-id").to_owned();
    let plain = proxy.get("/metrics").await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4");
    assert!(!plain.text().contains("# EOF") && !plain.text().contains(&id));
    let open = proxy.call(Method::GET, "/metrics").header("accept", OPEN_METRICS).answer().await;
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.text().ends_with("# EOF\n") && open.text().contains(&format!("# {{request_id=\"{id}\"}}")));
    let names = |text: &str| -> Vec<String> {
        let sample = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        let mut names: Vec<String> = text.lines().filter(|line| !line.starts_with('#')).map(sample).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names(&open.text()), names(&plain.text()), "both have the same series");
}

#[tokio::test]
async fn a_ledger_that_is_off_has_none() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let off = json!({"monitoring": {"ledger": {"stories": 0}}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(off).start().await;
    assert_eq!(proxy.chat().await.status, 200);
    let open = proxy.call(Method::GET, "/metrics").header("accept", OPEN_METRICS).answer().await;
    assert!(open.text().ends_with("# EOF\n") && !open.text().contains("request_id"), "{}", open.text());
}
