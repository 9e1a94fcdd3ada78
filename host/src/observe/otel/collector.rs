//! The way to a collector: one HTTP client, which says what became of a request.
//!
//! reqwest, since nothing here is on a request's path; TLS is the host's own (rustls with ring, and the same trust), no
//! forward proxy is used, and no redirect is followed, which would take the headers elsewhere.

use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use parking_lot::Mutex;

use crate::config;
use crate::provider::client::trust;

/// A longer answer is not read.
const MOST_ANSWER: usize = 1 << 20;
/// The longest wait that a collector may ask for.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// The way to one collector; clones share its connections.
#[derive(Clone, Debug)]
pub struct Way {
    client: reqwest::Client,
    url: reqwest::Url,
    headers: HeaderMap,
    gzip: bool,
    /// The end of the latest request, for [`Way::latest`].
    latest: Arc<Mutex<Option<Sent>>>,
}

/// What became of a request: the body of the answer, or a refusal.
pub type Sent = Result<Bytes, Refusal>;

/// A request that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, in words, without anything that was sent or said.
    pub why: String,
    /// True when the same request may succeed later.
    pub is_passing: bool,
    /// The time that the collector asks to wait.
    pub wait: Option<Duration>,
}

/// No way to a collector can be made.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// The certificates.
    #[error("the certificates for the collector cannot be used")]
    Trust(#[from] trust::TrustError),
    /// The client.
    #[error("the client for the collector cannot be set up")]
    Client(#[from] reqwest::Error),
    /// A header that the configuration should have refused.
    #[error("the header {0} cannot be sent")]
    Header(String),
}

impl Way {
    /// Makes one. Blocks on the file system where certificates have to be read.
    ///
    /// # Errors
    ///
    /// [`WayError`].
    pub fn to(collector: &config::Collector) -> Result<Self, WayError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("pointsman/", env!("CARGO_PKG_VERSION"))));
        if collector.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        for (name, value) in &collector.headers {
            let wrong = || WayError::Header(name.clone());
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_illegal| wrong())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name.as_str()).map_err(|_illegal| wrong())?, value);
        }
        let tls = match collector.url.scheme() {
            "https" => trust::load(&collector.tls)?,
            // A machine without certificates can reach a collector that needs none.
            _ => trust::of_nobody()?,
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(collector.timeout)
            .build()?;
        Ok(Self { client, url: collector.url.clone(), headers, gzip: collector.gzip, latest: Arc::default() })
    }

    /// Sends protobuf.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn send(&self, body: Bytes) -> Sent {
        let body = if self.gzip { compressed(&body) } else { body };
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(status, response.headers()));
        }
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            if body.len() + piece.len() > MOST_ANSWER {
                break;
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// What became of the latest request that was sent through [`HttpClient`], which tells no such thing; once.
    pub fn latest(&self) -> Option<Sent> {
        self.latest.lock().take()
    }
}

fn compressed(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

/// A request without an answer.
fn broken(error: reqwest::Error) -> Refusal {
    let mut why = if error.is_timeout() { "did not answer in time".to_owned() } else { String::new() };
    // Not the error itself, which names the URL.
    let mut cause = error.source();
    while let Some(error) = cause.filter(|_| why.len() < 200 && !why.starts_with("did")) {
        let separator = if why.is_empty() { "" } else { ": " };
        // Writing to a String cannot fail.
        let _ = write!(why, "{separator}{error}");
        cause = error.source();
    }
    if why.is_empty() {
        why.push_str("could not be reached");
    }
    Refusal { why, is_passing: true, wait: None }
}

/// An answer with a status of failure. OTLP's text says which of them are passing.
fn refused(status: StatusCode, headers: &HeaderMap) -> Refusal {
    let is_passing = matches!(status.as_u16(), 429 | 502 | 503 | 504);
    let wait = headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()).and_then(wait_of);
    Refusal { why: format!("answered with status {}", status.as_u16()), is_passing, wait }
}

fn wait_of(text: &str) -> Option<Duration> {
    let wait = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wait.min(MOST_WAIT))
}

impl HttpClient for Way {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            // The body alone: where it goes, and with what headers, is not the exporter's to say.
            let sent = self.send(request.into_body()).await;
            *self.latest.lock() = Some(sent.clone());
            match sent {
                Ok(body) => Ok(Response::new(body)),
                Err(refusal) => Err(refusal.why.into()),
            }
        })
    }
}

/// Says once that an export began to fail, and once that it works again.
#[derive(Debug)]
pub struct Voice {
    what: &'static str,
    is_failing: bool,
}

impl Voice {
    /// The voice of the export of `what`.
    pub fn of(what: &'static str) -> Self {
        Self { what, is_failing: false }
    }

    /// It does not work, because the collector does this.
    pub fn fails(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let what = self.what;
            tracing::warn!(
                "{what} cannot be exported: the collector {why}. Requests go on; what it does not take is dropped and counted"
            );
        }
    }

    /// It works.
    pub fn works(&mut self) {
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!("{} are exported again", self.what);
        }
    }
}

/// Makes the way to a collector, beside the runtime, as it may have to read certificates. A failure is said.
pub async fn way_to(collector: &config::Collector, voice: &mut Voice) -> Option<Way> {
    let collector = collector.clone();
    match tokio::task::spawn_blocking(move || Way::to(&collector)).await {
        Ok(Ok(way)) => Some(way),
        Ok(Err(error)) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            voice.fails(&format!("cannot be used ({error}{cause})"));
            None
        }
        // It has been reported.
        Err(_panicked) => None,
    }
}

/// Waits for the end of a request; for ever if there is none.
pub async fn end_of<T>(sending: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    let end = match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    };
    *sending = None;
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_whether_and_when_to_come_back() {
        let mut headers = HeaderMap::new();
        for status in [429, 502, 503, 504] {
            assert!(refused(StatusCode::from_u16(status).unwrap(), &headers).is_passing, "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500] {
            assert!(!refused(StatusCode::from_u16(status).unwrap(), &headers).is_passing, "{status}");
        }
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let refusal = refused(StatusCode::TOO_MANY_REQUESTS, &headers);
        assert_eq!((refusal.why.as_str(), refusal.wait), ("answered with status 429", Some(Duration::from_secs(7))));
        assert_eq!(wait_of("86400"), Some(MOST_WAIT));
        assert_eq!(wait_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(wait_of("soon"), None);
    }
}
