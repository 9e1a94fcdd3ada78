//! The only HTTP client: sends one request to one provider, and says precisely what went wrong.
//!
//! Over connections and a pool of our own (`connection`, [`pool`]): the cost of forwarding is decided here. Bodies are
//! reference counted bytes, so an attempt costs no copy; redirects are not followed, nothing is decompressed, and
//! HTTP/1.1 is spoken: one request per connection, so that closing the connection cancels exactly that request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use parking_lot::Mutex;

mod body;
pub mod connect;
mod connection;
mod failure;
mod http2;
mod names;
mod outgoing;
mod played;
pub mod pool;
mod stream;
pub mod trust;
mod tunnel;
mod upgrade;

use super::dialect::Dialect;
use crate::config;
use crate::http1::fields::Fields;
use crate::http1::framing::Framing;
use crate::http1::response::Head;
use crate::metrics::ConnectionMetrics;
use crate::routing::FailureKind;
pub use body::AnswerBody;
use body::Source;
use connect::{Dialer, Origin};
use connection::{Broken, Connection, Outgoing, Progress};
pub use failure::AttemptError;
use names::Resolver;
use outgoing::OwnFields;
pub use played::{Pieces, Player};
use pool::Pool;
pub use stream::Stream;
use trust::Trust;
pub use upgrade::{Switched, Switching};

/// Sends requests to one provider.
#[derive(Clone, Debug)]
pub struct Client(Way);

/// The endpoint that lists a provider's models.
pub const MODELS: &str = "models";

/// The proxy's `User-Agent` in its own requests: some providers refuse requests without one.
const USER_AGENT: &str = concat!("pointsman/", env!("CARGO_PKG_VERSION"));

/// The way to a provider.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a server has only the large one; the other is for simulations")]
enum Way {
    Http(Http),
    /// A simulation plays it.
    Played(Arc<dyn Player>),
}

/// Over the network.
#[derive(Clone, Debug)]
struct Http {
    pool: Arc<Pool>,
    connect_timeout: Duration,
    dialect: Dialect,
    /// The headers of every request: the host, the key, and others from the configuration.
    own: HeaderMap,
    /// The same as they go over the wire with HTTP/1.1.
    fields: OwnFields,
    metrics: ConnectionMetrics,
    /// `http://host:port`, where the target of each request tells a forward proxy its destination.
    absolute: Option<http::uri::Authority>,
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
    /// The client's headers, as far as they are forwarded.
    pub headers: &'a Fields,
    /// The body, as this provider gets it.
    pub body: Bytes,
    /// The limit of the time to connect; `None` is the provider's own.
    pub connect: Option<Duration>,
    /// True when the request may reach the provider once at most: a kept connection that ends under it is its end.
    pub once: bool,
}

/// The head of an answer, and its body to come.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers as they came.
    pub headers: Fields,
    /// True when only the end of the connection ends the body, so that a cut cannot be told from an end.
    pub ends_with_connection: bool,
    /// Its body.
    pub body: AnswerBody,
}

/// Outgoing connections cannot be set up on this machine.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A value that no header can carry, or a URL of another scheme than http; the configuration refuses both before.
    #[error("the key, a header or the URL of provider {0} cannot be used")]
    Provider(String),
}

/// A client that has no metrics yet. Everything that can fail is done.
pub struct Draft(Drafted);

/// The drafts for all providers of a configuration, and the maker of them.
#[derive(Default)]
pub struct Drafts {
    /// In the order of the configuration.
    pub drafts: Vec<Draft>,
    /// The clients whose pools they share.
    pub clients: Clients,
}

#[expect(clippy::large_enum_variant, reason = "each lives for a moment")]
enum Drafted {
    Http {
        pool: Arc<Pool>,
        connect_timeout: Duration,
        dialect: Dialect,
        own: HeaderMap,
        absolute: Option<http::uri::Authority>,
    },
    Played(Arc<dyn Player>),
}

impl Draft {
    /// The client, which counts its connections in these metrics.
    pub fn counted_by(self, metrics: &ConnectionMetrics) -> Client {
        Client(match self.0 {
            Drafted::Http { pool, connect_timeout, dialect, own, absolute } => {
                let fields = OwnFields::of(&own);
                Way::Http(Http { pool, connect_timeout, dialect, own, fields, metrics: metrics.clone(), absolute })
            }
            Drafted::Played(player) => Way::Played(player),
        })
    }
}

/// Makes clients; those of one origin share one pool of connections, over all reloads.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    pools: Arc<Mutex<Pools>>,
    /// Makes clients of a simulation, in which these play the providers by name.
    players: Option<Arc<HashMap<String, Arc<dyn Player>>>>,
}

#[derive(Debug, Default)]
struct Pools {
    names: Resolver,
    /// The client's side of TLS, by its settings.
    trusts: HashMap<config::ProviderTls, Arc<Trust>>,
    by_origin: HashMap<Origin, Arc<Pool>>,
    /// The generation that is being made: files are read once in each.
    round: u64,
}

impl Clients {
    /// Clients of providers that are played, by name.
    pub fn played(players: HashMap<String, Arc<dyn Player>>) -> Self {
        Self { players: Some(Arc::new(players)), ..Self::default() }
    }

    /// Begins another generation, for which certificates are read again.
    pub fn next_round(&self) {
        self.pools.lock().round += 1;
    }

    /// The client of one provider. Blocks on the file system where certificates have to be read.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when the machine or the provider's configuration does not allow it.
    pub fn draft_for(&self, provider: &config::Provider) -> Result<Draft, SetupError> {
        let unusable = || SetupError::Provider(provider.name.clone());
        if let Some(players) = &self.players {
            let player = players.get(&provider.name).ok_or_else(unusable)?;
            return Ok(Draft(Drafted::Played(Arc::clone(player))));
        }
        let origin = Origin::of(provider).ok_or_else(unusable)?;
        let mut own = HeaderMap::new();
        own.insert(header::HOST, HeaderValue::try_from(origin.authority()).map_err(|_invalid| unusable())?);
        let (name, value) = Dialect::key_header(provider).map_err(|_invalid| unusable())?;
        own.insert(name, value);
        // An encoded answer cannot be read: neither the events of a stream nor the key in an error's text. A provider's
        // `headers` override this.
        own.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &provider.headers {
            let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.reveal()))
            else {
                return Err(unusable());
            };
            value.set_sensitive(true);
            own.insert(name, value);
        }
        let mut absolute = None;
        if let config::Way::Proxy(proxy) = &provider.way
            && origin.tls().is_none()
        {
            absolute = Some(http::uri::Authority::try_from(origin.authority()).map_err(|_invalid| unusable())?);
            if let Some(authorization) = &proxy.authorization {
                let mut value = HeaderValue::try_from(authorization.reveal()).map_err(|_invalid| unusable())?;
                value.set_sensitive(true);
                own.insert(header::PROXY_AUTHORIZATION, value);
            }
        }
        let pool = self.pools.lock().pool(origin);
        let (connect_timeout, dialect) = (provider.timeouts.connect, Dialect::new(provider));
        Ok(Draft(Drafted::Http { pool, connect_timeout, dialect, own, absolute }))
    }

    /// Closes connections that have been idle for too long, and forgets pools that nobody uses any more.
    pub fn sweep(&self) {
        let mut pools = self.pools.lock();
        pools.by_origin.retain(|_, pool| Arc::strong_count(pool) > 1);
        for pool in pools.by_origin.values() {
            pool.sweep();
        }
        pools.trusts.retain(|_, trust| Arc::strong_count(trust) > 1);
    }
}

impl Pools {
    fn pool(&mut self, origin: Origin) -> Arc<Pool> {
        let trust = origin.tls().map(|wanted| {
            let round = self.round;
            let trust = self.trusts.entry(wanted.clone());
            let trust = trust.or_insert_with_key(|wanted| Arc::new(Trust::new(wanted.clone(), round)));
            trust.refresh(round);
            Arc::clone(trust)
        });
        let names = &self.names;
        let pool = self.by_origin.entry(origin);
        Arc::clone(pool.or_insert_with_key(|origin| Arc::new(Pool::new(Dialer::new(origin.clone(), names, trust)))))
    }
}

impl Client {
    /// Sends one request and waits for the head of the answer. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// [`AttemptError`]: connecting, sending or the head of the answer failed.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, AttemptError> {
        match &self.0 {
            Way::Http(http) => http.send(call).await,
            Way::Played(player) => player.answer(&call).await,
        }
    }

    /// The path at the provider of a request to `endpoint` for `model`.
    pub fn path(&self, endpoint: &str, model: &str) -> String {
        match &self.0 {
            Way::Http(http) => http.dialect.target(endpoint, None, model).path().to_owned(),
            Way::Played(_) => format!("/{endpoint}"),
        }
    }

    /// `GET models` with the provider's key, as the list of models is asked for.
    ///
    /// # Errors
    ///
    /// The errors of [`Client::send`].
    pub async fn list_models(&self) -> Result<Answer, AttemptError> {
        self.check(None).await
    }

    /// `GET` of a path below the base URL, or below the server's root if it begins with a slash, with the provider's
    /// key; of `models` where none is given.
    ///
    /// # Errors
    ///
    /// The errors of [`Client::send`].
    pub async fn check(&self, path: Option<&str>) -> Result<Answer, AttemptError> {
        let headers = Fields::from_iter([("user-agent", USER_AGENT)]);
        let call = Call {
            method: Method::GET,
            endpoint: path.unwrap_or(MODELS),
            query: None,
            model: "",
            headers: &headers,
            body: Bytes::new(),
            connect: None,
            once: false,
        };
        self.send(call).await
    }
}

impl Http {
    /// Sends a request on an idle connection or a new one. An idle one may end while the request is on its way; then
    /// the request is sent once more, on a new one (RFC 9110, 9.2.2, would have it for idempotent requests alone, and
    /// 9.3.1 of RFC 9112 for those of which the other side is known to have done nothing: a server that closes an idle
    /// connection has read nothing).
    async fn send(&self, call: Call<'_>) -> Result<Answer, AttemptError> {
        if self.pool.is_shared() {
            // Boxed: large, and not the usual way.
            return Box::pin(self.send_shared(call)).await;
        }
        if let Some(mut connection) = self.pool.take() {
            match connection.exchange(self.outgoing(&call, b"")).await {
                Ok(head) => {
                    self.metrics.reused.inc();
                    return self.answer(head, connection);
                }
                Err(Broken { progress: Progress::Unsent, .. }) => {}
                Err(Broken { progress: Progress::Sent, .. }) if !call.once => self.metrics.stale.inc(),
                Err(broken) => return Err(AttemptError::of_head(broken)),
            }
        }
        // Boxed: rare, and large.
        let opened = Box::pin(self.pool.open(call.connect.unwrap_or(self.connect_timeout))).await;
        let mut connection = opened.map_err(AttemptError::of_connect)?;
        self.metrics.opened.inc();
        match connection.exchange(self.outgoing(&call, b"")).await {
            Ok(head) => self.answer(head, connection),
            Err(broken) => Err(AttemptError::of_head(broken)),
        }
    }

    /// The call as this provider gets it over HTTP/1.1, with `more` fields.
    fn outgoing(&self, call: &Call<'_>, more: &[u8]) -> Outgoing {
        self.fields.request(call, &self.target(call), more)
    }

    /// The call as this provider gets it over HTTP/2.
    fn request(&self, call: &Call<'_>) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(call.body.clone()));
        *request.uri_mut() = self.target(call);
        let headers = request.headers_mut();
        *headers = call.headers.to_map();
        for (name, value) in &self.own {
            headers.insert(name.clone(), value.clone());
        }
        if call.method == Method::POST && call.body.is_empty() {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.method_mut() = call.method.clone();
        request
    }

    /// The target in the request line: the path, or before a forward proxy the whole URL (RFC 9112, 3.2.2).
    fn target(&self, call: &Call<'_>) -> http::Uri {
        let target = self.dialect.target(call.endpoint, call.query, call.model);
        let Some(authority) = &self.absolute else { return target };
        let mut parts = target.into_parts();
        (parts.scheme, parts.authority) = (Some(http::uri::Scheme::HTTP), Some(authority.clone()));
        // A path, an authority and a scheme are a URI.
        http::Uri::from_parts(parts).unwrap_or_default()
    }

    fn answer(&self, head: Head, connection: Box<Connection>) -> Result<Answer, AttemptError> {
        let Head { status, headers, framing, .. } = head;
        if self.absolute.is_some() && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(AttemptError::failed(FailureKind::ForwardProxy(Some(status.as_u16()))));
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // Nobody had asked for another protocol.
            return Err(AttemptError::failed(FailureKind::Malformed));
        }
        let source = Source::Http { connection: Some(connection), pool: Arc::clone(&self.pool) };
        Ok(Answer {
            status,
            headers,
            ends_with_connection: framing == Framing::Close,
            body: AnswerBody { unread: Bytes::new(), source },
        })
    }
}

/// Chooses the cryptography of outgoing TLS; without effect after the first time.
pub fn set_up_tls() {
    // An error only means that it has been chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
