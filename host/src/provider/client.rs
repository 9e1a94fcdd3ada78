//! The only HTTP client: sends one request to one provider, and says precisely what went wrong.
//!
//! `reqwest` stays behind this file. Bodies are reference counted bytes, so an attempt costs no copy; redirects are not
//! followed and nothing is decompressed.

use std::collections::HashMap;
use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use http_body::Body as _;

use super::dialect::Dialect;
use crate::config;
use crate::routing::{FailureKind, Outcome, Phase};

/// An idle connection is closed after this long: below the 5 s after which common servers (uvicorn, Node) close theirs,
/// so that a request is not sent into a connection that is just being closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// Sends requests to one provider.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    dialect: Dialect,
    key: (HeaderName, HeaderValue),
    extra: HeaderMap,
}

/// One request to a provider.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The client's method.
    pub method: Method,
    /// The path without leading slash and without `v1/`.
    pub endpoint: &'a str,
    /// The client's query.
    pub query: Option<&'a str>,
    /// The provider's name of the model, or empty.
    pub model: &'a str,
    /// What is forwarded of the client's headers.
    pub headers: &'a HeaderMap,
    /// The body, as this provider gets it.
    pub body: Bytes,
}

/// The head of an answer, and its body to come.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers as they came.
    pub headers: HeaderMap,
    /// Whether only the end of the connection ends the body, so that a cut cannot be told from an end.
    pub ends_with_connection: bool,
    /// Its body.
    pub body: AnswerBody,
}

/// The body of an answer.
#[derive(Debug)]
pub struct AnswerBody(reqwest::Body);

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
#[error("{outcome}")]
pub struct AttemptError {
    /// What it means for routing.
    pub outcome: Outcome,
    /// Whether bytes of the request may have reached the provider.
    pub sent: bool,
    /// The chain behind it, for the log; may name addresses.
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Outgoing connections cannot be set up on this machine.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS, its root certificates for the most part.
    #[error("cannot set up TLS for outgoing connections")]
    Tls(#[source] reqwest::Error),
    /// A key that no header can carry; the configuration refuses it before.
    #[error("the key of provider {0} cannot be sent in a header")]
    Key(String),
}

/// Makes clients; those with the same connect timeout share one pool of connections.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    by_connect_timeout: HashMap<Duration, reqwest::Client>,
}

impl Clients {
    /// The client of one provider.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when the machine or the key does not allow it.
    pub fn client_for(&mut self, provider: &config::Provider) -> Result<Client, SetupError> {
        let connect = provider.timeouts.connect;
        let http = match self.by_connect_timeout.get(&connect) {
            Some(shared) => shared.clone(),
            None => {
                let built = reqwest::Client::builder()
                    .connect_timeout(connect)
                    .pool_idle_timeout(IDLE_CONNECTION)
                    .redirect(reqwest::redirect::Policy::none())
                    .retry(reqwest::retry::never())
                    .tcp_nodelay(true)
                    .http1_only()
                    .no_proxy()
                    .build()
                    .map_err(SetupError::Tls)?;
                self.by_connect_timeout.insert(connect, built.clone());
                built
            }
        };
        let key = Dialect::key_header(provider).map_err(|_invalid| SetupError::Key(provider.name.clone()))?;
        let mut extra = HeaderMap::new();
        for (name, value) in &provider.headers {
            let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.reveal()))
            else {
                return Err(SetupError::Key(provider.name.clone()));
            };
            value.set_sensitive(true);
            extra.insert(name, value);
        }
        Ok(Client { http, dialect: Dialect::new(provider), key, extra })
    }

    /// Forgets the pools that none of `providers` uses.
    pub fn keep_for(&mut self, providers: &[config::Provider]) {
        self.by_connect_timeout
            .retain(|connect, _| providers.iter().any(|provider| provider.timeouts.connect == *connect));
    }
}

impl Client {
    /// Sends one request and waits for the head of the answer. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// [`AttemptError`]: connecting, sending or the head of the answer failed.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, AttemptError> {
        let url = self.dialect.url(call.endpoint, call.query, call.model);
        let is_post = call.method == Method::POST;
        let mut request = reqwest::Request::new(call.method, url);
        let headers = request.headers_mut();
        headers.clone_from(call.headers);
        headers.insert(self.key.0.clone(), self.key.1.clone());
        for (name, value) in &self.extra {
            headers.insert(name.clone(), value.clone());
        }
        if is_post && call.body.is_empty() {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if !call.body.is_empty() {
            *request.body_mut() = Some(call.body.into());
        }
        let response = self.http.execute(request).await.map_err(AttemptError::of_head)?;
        let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let framed = head.headers.contains_key(header::CONTENT_LENGTH)
            || head.headers.contains_key(header::TRANSFER_ENCODING)
            || head.version > Version::HTTP_11;
        Ok(Answer {
            status: head.status,
            ends_with_connection: !framed && !body.is_end_stream(),
            headers: head.headers,
            body: AnswerBody(body),
        })
    }

    /// `GET models` with the provider's key, as the active check and the list of models send it.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    pub async fn list_models(&self) -> Result<Answer, AttemptError> {
        let headers = HeaderMap::new();
        let call = Call {
            method: Method::GET,
            endpoint: "models",
            query: None,
            model: "",
            headers: &headers,
            body: Bytes::new(),
        };
        self.send(call).await
    }
}

impl AnswerBody {
    /// The next piece of the body, `None` at its end. Trailers are dropped.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, AttemptError>>> {
        loop {
            match std::task::ready!(Pin::new(&mut self.0).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(AttemptError::of_body(error)))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => {}
                },
            }
        }
    }

    /// As [`AnswerBody::poll_chunk`].
    ///
    /// # Errors
    ///
    /// [`AttemptError`]: the body was cut or malformed.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, AttemptError>> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }
}

impl AttemptError {
    /// Nothing was wrong but the time.
    pub fn timed_out(phase: Phase) -> Self {
        Self { outcome: Outcome::TimedOut { phase }, sent: true, source: None }
    }

    /// An answer that means failure, though it arrived.
    pub fn failed(kind: FailureKind) -> Self {
        Self { outcome: Outcome::Failed(kind), sent: true, source: None }
    }

    fn of_head(error: reqwest::Error) -> Self {
        let sent = !error.is_connect();
        let outcome = if error.is_connect() && error.is_timeout() {
            Outcome::TimedOut { phase: Phase::Connect }
        } else if error.is_connect() {
            Outcome::Failed(connect_failure(&error))
        } else if is_malformed(&error) {
            Outcome::Failed(FailureKind::Malformed)
        } else {
            Outcome::Failed(FailureKind::Reset)
        };
        Self { outcome, sent, source: Some(error.without_url().into()) }
    }

    fn of_body(error: reqwest::Error) -> Self {
        let kind = if is_malformed(&error) { FailureKind::Malformed } else { FailureKind::CutShort };
        Self { outcome: Outcome::Failed(kind), sent: true, source: Some(error.without_url().into()) }
    }
}

/// The errors behind an error.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

fn connect_failure(error: &reqwest::Error) -> FailureKind {
    for cause in chain(error) {
        if cause.is::<rustls::Error>() {
            return FailureKind::Tls;
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            if io.kind() == std::io::ErrorKind::ConnectionRefused {
                return FailureKind::Refused;
            }
            if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                return FailureKind::Tls;
            }
        }
        // The resolver's error has no public type.
        if cause.to_string().starts_with("dns error") {
            return FailureKind::UnknownHost;
        }
    }
    FailureKind::Unreachable
}

fn is_malformed(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| {
        let framing = cause.downcast_ref::<std::io::Error>();
        cause.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_parse())
            || framing.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidInput)
    })
}

/// Chooses the cryptography of outgoing TLS; without effect after the first time.
pub fn set_up_tls() {
    // An error only says that it has been chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
