//! The dashboard under `/admin`: pages for people, rendered here and kept up to date by server-sent events.
//!
//! A task reads once a second the counters that exist (`past`); a request pays nothing for it. While somebody listens,
//! the same task makes one snapshot a second and sends it to all (`hub`). Browsers sign in with the operators' key
//! (`sessions`); everything else under `/admin` goes on to want the key itself.

mod cells;
mod chart;
mod entrance;
mod figures;
mod fleet;
mod happened;
mod hub;
mod page;
mod past;
mod rings;
mod sessions;
mod settings;
mod stories;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::stories::{find, select};
use super::{Operations, Path, SecondListener, named, own, path_of, state_word};
use crate::config::Secret;
use crate::observe::ledger::{Filter, Time};
use crate::proxy::respond::ProxyError;
use hub::Hub;
use page::Frame;
use past::{Past, Seen, Whole};
use rings::Span;
use sessions::Sessions;
use stories::Search;
use view::{Fullest, Spent, View};

/// The interval of readings and snapshots.
const INTERVAL: Duration = Duration::from_secs(1);

/// The policy of pages: they load nothing that is not of this listener, and have no script or style inside.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The paths of the pages, and of what they load.
pub(super) const PATHS: [Path; 13] = [
    path_of("/admin", false, || any(overview)),
    path_of("/admin/charts.html", false, || any(charts)),
    path_of("/admin/stories.html", false, || any(all_stories)),
    path_of("/admin/why.html", false, || any(why)),
    path_of("/admin/report.html", false, || any(figures::report)),
    path_of("/admin/events.html", false, || any(happened::events)),
    path_of("/admin/replicas.html", false, || any(fleet::replicas)),
    path_of("/admin/config.html", false, || any(config)),
    path_of("/admin/act", false, || any(entrance::act)),
    path_of("/admin/login", false, || any(entrance::login)),
    path_of("/admin/logout", false, || any(entrance::logout)),
    path_of("/admin/dashboard.css", false, || any(style)),
    path_of("/admin/dashboard.js", false, || any(script)),
];

/// The state behind the pages.
#[derive(Debug)]
pub(super) struct Dashboard {
    past: Mutex<Past>,
    spent: Spent,
    fullest: Fullest,
    sessions: Sessions,
    hub: Hub,
}

impl Dashboard {
    /// Without a past.
    pub fn new(now: Instant) -> Self {
        let past = Mutex::new(Past::new(now));
        Self {
            past,
            spent: Spent::default(),
            fullest: Fullest::default(),
            sessions: Sessions::default(),
            hub: Hub::default(),
        }
    }
}

/// Reads the counters once a second, and tells those who listen, until `stop`; then it lets them go.
pub async fn run(operations: Arc<Operations>, stop: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let operations = Arc::clone(&operations);
        // With many providers it takes milliseconds, for which no request shall wait.
        if tokio::task::spawn_blocking(move || operations.read_counters()).await.is_err() {
            break;
        }
    }
    operations.dashboard.hub.close();
}

/// Somebody who may see the pages.
struct Visitor {
    /// The token that the forms on their pages hold.
    token: Secret,
    /// True for one who has signed in, and not shown a key or been let in without one.
    has_session: bool,
}

impl Operations {
    fn read_counters(&self) {
        let (proxy, dashboard) = (&self.proxy, &self.dashboard);
        let generation = proxy.generation();
        let fleet = &generation.fleet;
        let (snapshot, now) = (fleet.snapshot(), Instant::now());
        let (metrics, queue) = (proxy.metrics(), proxy.queue());
        let whole = Whole {
            ended: metrics.ended(),
            alone: metrics.alone(),
            in_flight: queue.in_flight(),
            waiting: queue.waiting(),
            queue_waits: metrics.queue_waits(),
            overheads: metrics.overheads(),
        };
        let seen = fleet.providers().iter().map(|provider| Seen {
            name: &provider.config.name,
            state: state_word(snapshot.of(provider.seat()), now),
            in_flight: provider.in_flight(),
            metrics: &provider.metrics,
        });
        let mut past = dashboard.past.lock();
        past.read(now, seen, whole);
        if dashboard.hub.is_heard() {
            let view = View::of(self, &past, now);
            drop(past);
            match serde_json::to_string(&view) {
                Ok(json) => dashboard.hub.send(&json),
                Err(error) => tracing::error!(%error, "a snapshot for the dashboard cannot be written: {error}"),
            }
        }
    }

    /// Lets in whoever shows the key, needs none, or has signed in with it.
    fn visitor(&self, request: &Request) -> Result<Visitor, ProxyError> {
        let sessions = &self.dashboard.sessions;
        match self.admits(request) {
            Ok(()) => {
                let token = sessions.shared_token().map_err(|_| ProxyError::Draining)?;
                Ok(Visitor { token, has_session: false })
            }
            Err(ProxyError::WrongKey) => {
                let known = sessions.find(request.headers(), Instant::now()).ok_or(ProxyError::WrongKey)?;
                // The key may have been changed or blocked since.
                self.admits_with(request, &known.headers)?;
                Ok(Visitor { token: known.token, has_session: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Lets in a visitor who reads a page; others get the answer that is returned.
    fn reader(&self, request: &Request) -> Result<Visitor, Box<Response>> {
        match self.visitor(request) {
            Err(ProxyError::WrongKey) => Err(Box::new(to("/admin/login"))),
            Err(error) => Err(Box::new(own(error))),
            Ok(_) if !reads(request) => Err(Box::new(own(ProxyError::WrongMethod("GET, HEAD")))),
            Ok(visitor) => Ok(visitor),
        }
    }

    /// True when only a connection with TLS carries what this request brought.
    fn is_secure(&self, request: &Request) -> bool {
        let own = request.extensions().get::<SecondListener>().is_none() && self.settings.load().tls.is_some();
        let before = request.headers().get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        own || before
    }
}

fn reads(request: &Request) -> bool {
    request.method() == Method::GET || request.method() == Method::HEAD
}

/// The value of a parameter in a query or in a form.
fn value(form: &[u8], name: &str) -> String {
    let found = url::form_urlencoded::parse(form).find(|(other, _)| other == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn query(request: &Request) -> &[u8] {
    request.uri().query().unwrap_or_default().as_bytes()
}

/// Sends a browser on to another page, which it is to `GET`.
fn to(place: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
}

fn html(status: StatusCode, page: String) -> Response {
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

fn frame<'a>(title: &'a str, path: &'a str, visitor: &'a Visitor) -> Frame<'a> {
    Frame { title, path, visitor: Some((visitor.token.reveal(), visitor.has_session)), live: path == "/admin" }
}

/// Completes an answer with what browsers must be told.
fn guarded(operations: &Operations, headers: &HeaderMap, mut response: Response) -> Response {
    let answer = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: with it browsers do not say either which page a form comes from.
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        answer.insert(name, HeaderValue::from_static(value));
    }
    named(response, operations.proxy.request_id(headers))
}

/// Answers a page that is read.
fn page(operations: &Operations, request: &Request, make: impl FnOnce(&Visitor) -> Response) -> Response {
    let answer = operations.reader(request).map_or_else(|answer| *answer, |visitor| make(&visitor));
    guarded(operations, request.headers(), answer)
}

/// `GET /admin`.
async fn overview(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    page(&operations, &request, |visitor| {
        let span = Span::read(&value(query(&request), "span"));
        let provider = Some(value(query(&request), "provider")).filter(|name| !name.is_empty());
        if value(query(&request), "replicas") == "all" {
            return to("/admin/replicas.html");
        }
        let past = operations.dashboard.past.lock();
        let view = View::of(&operations, &past, Instant::now());
        let body = page::overview(&view, &past, span, provider.as_deref());
        drop(past);
        html(StatusCode::OK, frame("Overview", "/admin", visitor).around(&body))
    })
}

/// `GET /admin/charts.html`: the charts alone, for the script of the overview.
async fn charts(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    page(&operations, &request, |_| {
        let span = Span::read(&value(query(&request), "span"));
        let provider = Some(value(query(&request), "provider")).filter(|name| !name.is_empty());
        let mut out = String::with_capacity(32 << 10);
        page::charts(&mut out, &operations.dashboard.past.lock(), span, provider.as_deref());
        html(StatusCode::OK, out)
    })
}

/// `GET /admin/events`: a snapshot a second.
pub(super) async fn events(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let answer = match operations.visitor(&request) {
        Err(error) => own(error),
        Ok(_) if request.method() != Method::GET => own(ProxyError::WrongMethod("GET")),
        Ok(_) => match operations.dashboard.hub.join() {
            Some(body) => ([(CONTENT_TYPE, "text/event-stream")], body).into_response(),
            None => {
                let retry = [(RETRY_AFTER, "10")];
                (StatusCode::SERVICE_UNAVAILABLE, retry, "Too many listen already.\n").into_response()
            }
        },
    };
    guarded(&operations, request.headers(), answer)
}

/// `GET /admin/stories.html`: the search.
async fn all_stories(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let answer = match operations.reader(&request) {
        Err(answer) => *answer,
        Ok(visitor) => {
            let search = Search::read(request.uri().query().unwrap_or_default(), Time::now());
            let (ledger, filter) = (Arc::clone(operations.proxy.ledger()), search.filter.clone());
            let look = move |filter: Filter| (select(&ledger, &filter, stories::SHOWN), ledger.size().0);
            // The folder of stories may have to be read.
            let found = match filter {
                Ok(filter) => tokio::task::spawn_blocking(move || look(filter)).await.unwrap_or_default(),
                Err(_) => (Vec::new(), operations.proxy.ledger().size().0),
            };
            let body = search.html(&found.0, found.1);
            html(StatusCode::OK, frame("Stories", "/admin/stories.html", &visitor).around(&body))
        }
    };
    guarded(&operations, request.headers(), answer)
}

/// `GET /admin/why.html?id=`: the course of one request.
async fn why(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let answer = match operations.reader(&request) {
        Err(answer) => *answer,
        Ok(visitor) => {
            let mut id = value(query(&request), "id");
            if id.is_empty() {
                // As on the command line: the latest.
                let latest = operations.proxy.ledger().select(&Filter::default(), 1);
                id = latest.first().map(|record| record.request_id.to_string()).unwrap_or_default();
            }
            let (status, body) = match find(operations.proxy.ledger(), &id).await {
                Some((record, questions)) => (StatusCode::OK, stories::why(&record, &questions)),
                None => (StatusCode::NOT_FOUND, stories::unknown(&id)),
            };
            html(status, frame("Why", "/admin/why.html", &visitor).around(&body))
        }
    };
    guarded(&operations, request.headers(), answer)
}

/// `GET /admin/config.html`.
async fn config(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    page(&operations, &request, |visitor| {
        let (written, reloads) = (operations.status.in_force(), operations.status.entries());
        let key = value(query(&request), "key");
        let delay = operations.proxy.generation().drain_delay.as_secs_f64();
        let body = settings::html(&written, &reloads, visitor.token.reveal(), &key, delay);
        html(StatusCode::OK, frame("Configuration", "/admin/config.html", visitor).around(&body))
    })
}

/// `GET /admin/dashboard.css`; as the page for signing in needs it, for everybody who may see that.
async fn style(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    asset(&operations, &request, "text/css; charset=utf-8", include_str!("dashboard/dashboard.css"))
}

/// `GET /admin/dashboard.js`.
async fn script(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    asset(&operations, &request, "text/javascript; charset=utf-8", include_str!("dashboard/dashboard.js"))
}

fn asset(operations: &Operations, request: &Request, kind: &'static str, text: &'static str) -> Response {
    let answer = match operations.visitor(request) {
        Ok(_) | Err(ProxyError::WrongKey) if reads(request) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Ok(_) | Err(ProxyError::WrongKey) => own(ProxyError::WrongMethod("GET, HEAD")),
        Err(error) => own(error),
    };
    guarded(operations, request.headers(), answer)
}
