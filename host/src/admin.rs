//! The paths for operators and their load balancers: `/health`, `/ready`, `/metrics`, `/admin/reload`,
//! `/admin/shadow`, `/admin/spend`, `/admin/stories`, `/admin/config`, `/admin/report`, `/admin/events.json` and `/admin/replicas`.

pub mod dashboard;
mod events;
mod health;
mod history;
mod keys;
mod levels;
mod limits;
mod openapi;
pub mod replicas;
mod report;
mod scrape;
mod settings;
mod shadow;
mod spend;
mod stories;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use axum::{Extension, Json, Router, body::Body};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clients::Known;
use crate::listener::{Peer, Settings, Traffic};

use crate::proxy::generation::{Operators, shows};
use crate::proxy::respond::{self, Form, ProxyError};
use crate::proxy::{Proxy, REQUEST_ID};
use crate::state::Engines;

use dashboard::Dashboard;
use health::{health, state_word};
pub use history::{Failure, Status};
pub use openapi::OPENAPI;

/// One path for operators, with its properties outside its handler.
pub struct Path {
    /// The path.
    pub path: &'static str,
    /// True when everybody who reaches a listener may request it, as load balancers do.
    pub is_open: bool,
    /// True when it is served by the listener for operators alone: whoever asks there has a key that is nobody else's.
    apart: bool,
    handler: fn() -> MethodRouter<Arc<Operations>>,
}

/// A path that every listener serves.
const fn path_of(path: &'static str, is_open: bool, handler: fn() -> MethodRouter<Arc<Operations>>) -> Path {
    Path { path, is_open, apart: false, handler }
}

/// A path that the listener for operators alone serves.
const fn apart(path: &'static str, handler: fn() -> MethodRouter<Arc<Operations>>) -> Path {
    Path { path, is_open: false, apart: true, handler }
}

/// All paths for programs of operators; those of [`dashboard`] are for their browsers.
pub const PATHS: [Path; 17] = [
    path_of("/metrics", false, || any(metrics)),
    path_of("/admin/reload", false, || any(reload)),
    path_of("/admin/shadow", false, || any(shadow)),
    path_of("/admin/spend", false, || any(spend)),
    path_of("/admin/stories", false, || any(stories::all)),
    path_of("/admin/stories/{id}", false, || any(stories::one)),
    path_of("/admin/config", false, || any(settings::settings)),
    path_of("/admin/report", false, || any(report::report)),
    path_of("/admin/events.json", false, || any(events::events)),
    path_of("/admin/events", false, || any(dashboard::events)),
    path_of("/admin/replicas", false, || any(replicas::replicas)),
    apart("/admin/keys", || any(keys::all)),
    apart("/admin/keys/{id}", || any(keys::one)),
    apart("/admin/keys/{id}/{action}", || any(keys::act)),
    path_of("/admin/openapi.json", false, || any(openapi::openapi)),
    path_of("/health", true, || any(health)),
    path_of("/ready", true, || any(ready)),
];

/// All paths for operators; every other path is for clients.
fn paths() -> impl Iterator<Item = &'static Path> {
    PATHS.iter().chain(&dashboard::PATHS)
}

/// The entry of a path, if it is for operators and the listener for clients serves it.
pub fn path(asked: &str) -> Option<&'static Path> {
    // Of every request this is asked, so nothing is searched for.
    let fits = |path: &&Path| match path.path.strip_suffix("{id}") {
        Some(before) => asked.strip_prefix(before).is_some_and(|id| !id.is_empty() && !id.contains('/')),
        None => path.path == asked,
    };
    let of_browsers = if asked.starts_with("/admin") { dashboard::PATHS.as_slice() } else { &[] };
    PATHS.iter().chain(of_browsers).filter(|path| !path.apart).find(fits)
}

/// The handlers of these paths; a listener of their own also answers requests for unknown paths.
pub fn router(operations: Arc<Operations>, of_its_own: bool) -> Router {
    let served = paths().filter(|path| of_its_own || !path.apart);
    let router = served.fold(Router::new(), |router, path| router.route(path.path, (path.handler)()));
    let router = if of_its_own { router.fallback(unknown).layer(Extension(SecondListener)) } else { router };
    router.with_state(operations)
}

/// The state and the operations behind these paths.
pub struct Operations {
    proxy: Arc<Proxy>,
    status: Arc<Status>,
    traffic: Arc<Traffic>,
    /// The settings of the listener for clients.
    settings: Arc<ArcSwap<Settings>>,
    reloads: mpsc::Sender<ReloadRequest>,
    engines: Arc<Engines>,
    dashboard: Dashboard,
    /// The name of this replica, once it is served.
    name: OnceLock<String>,
    /// The digest of the configuration, with its number.
    digest: Mutex<(u64, String)>,
    /// The time of the start.
    began: Instant,
    /// True when the server still serves but is about to drain.
    leaving: AtomicBool,
    /// Cancelled when an operator has asked the server to end.
    ended: CancellationToken,
}

/// Marks requests that came through the second listener.
#[derive(Clone, Copy, Debug)]
pub struct SecondListener;

/// A request for a reload.
#[derive(Debug)]
pub struct ReloadRequest {
    /// The cause, for the log.
    pub cause: &'static str,
    answer: Option<oneshot::Sender<Result<Reloaded, Failure>>>,
}

/// A successful reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The number of the generation that is in force now.
    pub generation: u64,
    /// The number of its providers.
    pub providers: usize,
    /// The name of its strategy.
    pub strategy: String,
    /// Warnings, one sentence each.
    pub warnings: Vec<String>,
}

impl ReloadRequest {
    /// A request whose outcome nobody waits for.
    pub fn because(cause: &'static str) -> Self {
        Self { cause, answer: None }
    }

    /// A request, and the receiver of its outcome.
    pub fn awaited(cause: &'static str) -> (Self, oneshot::Receiver<Result<Reloaded, Failure>>) {
        let (answer, outcome) = oneshot::channel();
        (Self { cause, answer: Some(answer) }, outcome)
    }

    /// Sends the outcome to the caller, if there is one.
    pub fn answer(self, outcome: Result<Reloaded, Failure>) {
        if let Some(answer) = self.answer {
            // The caller may have gone; then nobody needs the answer.
            let _ = answer.send(outcome);
        }
    }
}

impl Operations {
    /// The operations on `proxy`; requests for reloads go to `reloads`.
    pub fn new(
        proxy: Arc<Proxy>,
        (traffic, settings): (Arc<Traffic>, Arc<ArcSwap<Settings>>),
        reloads: mpsc::Sender<ReloadRequest>,
        engines: Arc<Engines>,
    ) -> Self {
        let began = Instant::now();
        Self {
            proxy,
            status: Arc::default(),
            traffic,
            settings,
            reloads,
            engines,
            dashboard: Dashboard::new(began),
            name: OnceLock::new(),
            digest: Mutex::default(),
            began,
            leaving: AtomicBool::new(false),
            ended: CancellationToken::new(),
        }
    }

    /// Asks the server to drain and end, as a signal does.
    fn ask_to_end(&self) {
        self.ended.cancel();
    }

    /// Ready once an operator has asked the server to end.
    pub async fn asked_to_end(&self) {
        self.ended.cancelled().await;
    }

    /// Makes the server say that it is not ready, although it goes on serving.
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// True when new requests should go elsewhere.
    fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed) || self.proxy.is_draining()
    }

    /// The history of reloads.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// The channel for requests for reloads.
    pub fn reloads(&self) -> mpsc::Sender<ReloadRequest> {
        self.reloads.clone()
    }

    /// True when a request may see and do everything that operators may.
    fn admits(&self, request: &Request) -> Result<(), ProxyError> {
        self.admits_with(request, request.headers())
    }

    /// The same of a request that shows keys in these headers.
    fn admits_with(&self, request: &Request, shown: &HeaderMap) -> Result<(), ProxyError> {
        let generation = self.proxy.generation();
        let second = request.extensions().get::<SecondListener>().is_some();
        match &generation.operators {
            Operators::SecondListener(_) if !second => Err(ProxyError::UnknownPath(request.uri().path().to_owned())),
            Operators::SecondListener(None) => Ok(()),
            Operators::SecondListener(Some(key)) => {
                if shows(key, shown) {
                    Ok(())
                } else {
                    Err(ProxyError::WrongKey)
                }
            }
            Operators::Clients => match self.proxy.clients().identify(shown) {
                Known::Client(client) if client.is_operator() => Ok(()),
                Known::Client(_) if self.proxy.clients().refuse_unknown() => Err(ProxyError::NotForClients),
                _ if self.proxy.clients().refuse_unknown() => Err(ProxyError::WrongKey),
                _ => {
                    let peer = request.extensions().get::<Peer>();
                    let near = peer.is_some_and(|peer| peer.is_loopback());
                    if near { Ok(()) } else { Err(ProxyError::NotFromHere) }
                }
            },
        }
    }
}

/// `GET /ready`: tells whether new requests are welcome.
async fn ready(State(operations): State<Arc<Operations>>, method: Method, headers: HeaderMap) -> Response {
    let proxy = &operations.proxy;
    if operations.is_leaving() {
        reads(proxy, &method, &headers, StatusCode::SERVICE_UNAVAILABLE, json!({"status": "draining"}))
    } else if !operations.engines.are_ready() {
        reads(proxy, &method, &headers, StatusCode::SERVICE_UNAVAILABLE, json!({"status": "without state"}))
    } else {
        reads(proxy, &method, &headers, StatusCode::OK, json!({"status": "ready"}))
    }
}

/// `GET /metrics`: all metrics, for Prometheus.
async fn metrics(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    operations.shown(&request, || operations.metrics(request.headers()))
}

/// `GET /admin/shadow`: how the shadows compare with the strategy that decides, as JSON or for a browser.
async fn shadow(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let generation = operations.proxy.generation();
    let routes = || generation.routes.all().iter().rev().map(|route| route.strategy().health());
    operations.shown(&request, || shadow::answer(&shadow::together(routes()), request.headers()))
}

/// `GET /admin/spend`: what has been spent here, or what all replicas have spent of budgets.
async fn spend(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let (query, headers) = (request.uri().query(), request.headers());
    let of_all = spend::concerns_all(query) && stories::may_read(&operations, &request).is_ok();
    if of_all {
        let answer = spend::of_all(&operations, query).await;
        return named(answer, operations.proxy.request_id(headers));
    }
    operations.shown(&request, || spend::answer(operations.proxy.spend(), query, headers))
}

/// `POST /admin/reload`: reads the configuration again and reports the outcome.
async fn reload(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let answer = match operations.admits(&request) {
        Err(error) => own(error),
        Ok(()) if request.method() != Method::POST => own(ProxyError::WrongMethod("POST")),
        Ok(()) => operations.reload().await,
    };
    named(answer, id)
}

impl Operations {
    /// Answers a path that can be read, if the request may.
    fn shown<R: IntoResponse>(&self, request: &Request, show: impl FnOnce() -> R) -> Response {
        let reads = request.method() == Method::GET || request.method() == Method::HEAD;
        let answer = match self.admits(request) {
            Err(error) => own(error),
            Ok(()) if !reads => own(ProxyError::WrongMethod("GET, HEAD")),
            Ok(()) => show().into_response(),
        };
        named(answer, self.proxy.request_id(request.headers()))
    }

    /// Has the configuration read again; `None` if the server is ending.
    async fn reload_for(&self, cause: &'static str) -> Option<Result<Reloaded, Failure>> {
        let (request, outcome) = ReloadRequest::awaited(cause);
        self.reloads.send(request).await.ok()?;
        // The task may end while the request is still waiting.
        outcome.await.ok()
    }

    async fn reload(&self) -> Response {
        match self.reload_for("POST /admin/reload").await {
            None => own(ProxyError::Draining),
            Some(Err(failure)) => {
                let generation = self.proxy.generation().number;
                let text = failure.text.trim_end();
                let message = format!("Generation {generation} stays in force. {text}");
                let error = respond::error_json(&message, "invalid_request_error", None, "reload_failed");
                let json = [(http::header::CONTENT_TYPE, "application/json")];
                (StatusCode::UNPROCESSABLE_ENTITY, json, Body::from(error)).into_response()
            }
            Some(Ok(Reloaded { generation, providers, strategy, warnings })) => {
                let body = json!({
                    "status": "reloaded",
                    "generation": generation,
                    "providers": providers,
                    "strategy": strategy,
                    "warnings": warnings,
                });
                (StatusCode::OK, Json(body)).into_response()
            }
        }
    }
}

/// The answer of the second listener to every other path.
async fn unknown(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let asked = request.uri().path().to_owned();
    let served = PATHS.map(|path| path.path).join(", ") + ", and /admin for browsers";
    named(own(ProxyError::NotForOperators { asked, served }), id)
}

fn reads(proxy: &Proxy, method: &Method, headers: &HeaderMap, status: StatusCode, body: Value) -> Response {
    let answer = if method == Method::GET || method == Method::HEAD {
        (status, Json(body)).into_response()
    } else {
        own(ProxyError::WrongMethod("GET, HEAD"))
    };
    named(answer, proxy.request_id(headers))
}

/// A refusal by the proxy itself.
pub fn own(error: ProxyError) -> Response {
    error.into_response(Form::OpenAi, "", 0).map(Body::new)
}

/// Adds the id of the request to an answer.
pub fn named(mut response: Response, id: String) -> Response {
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
