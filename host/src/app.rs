//! The composition root: the only file that knows every module.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::any;
use http::header::ORIGIN;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod advice;
mod contents;
mod reload;
mod watch;

use crate::admin::{self, Operations, ReloadRequest};
use crate::config::{Config, LoadError};
use crate::listener::exposure::{Door, warn_if_open};
use crate::listener::socket::{Address, Socket};
use crate::listener::{Closer, Listening, Peer, Settings, Site, Traffic, descriptors, tls};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::provider::client::trust::{self, TrustError};
use crate::provider::{Fleet, Provider, client};
use crate::proxy::generation::Generation;
use crate::proxy::{self, Proxy, intake::budget::Budget, reply::Reply, request::Approach, visitors::Bound};
use crate::queue::Queue;
use crate::routing::{ProviderFacts, Strategy};
use crate::strategy::{self, Shadowed, Shadows, Succession};
use crate::{drain, listener, memory, telemetry};
pub use advice::advice;
use contents::Contents;
pub use reload::Source;
use reload::{Reloader, keeps_out};

/// Reloads that may be asked for while one is going on; they are all answered by the next.
const RELOADS: usize = 16;

/// Between two looks for connections to providers that nobody needs any more.
const BETWEEN_SWEEPS: std::time::Duration = std::time::Duration::from_secs(1);

/// A server that is bound and not yet running.
pub struct App {
    listener: Socket,
    address: Address,
    operators: Option<(Socket, Address)>,
    operations: Arc<Operations>,
    reloader: Reloader,
    requests: TaskTracker,
    reloads: mpsc::Receiver<ReloadRequest>,
}

/// What a server is started with beside its configuration.
#[derive(Default)]
pub struct Options {
    /// What requests get that name no approach.
    pub approach: Approach,
    /// Where a reload reads the configuration; without it, it is the same again.
    pub source: Option<Source>,
    /// Changes the level of the logs.
    pub logs: telemetry::Handle,
    /// Tells the service manager.
    pub notifier: Notifier,
}

/// Loads the strategy that a configuration chose.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load_strategy(config: &Config) -> Result<Arc<Succession>, LoadError> {
    Succession::start(&config.strategy, facts(config)).map_err(|error| strategy_problem(config, &error))
}

/// What strategies are told of the providers.
fn facts(config: &Config) -> Vec<ProviderFacts> {
    config.providers.iter().map(Provider::facts).collect()
}

/// A strategy that does not load, as a problem of the configuration that chose it.
fn strategy_problem(config: &Config, error: &strategy::LoadError) -> LoadError {
    let message = format!("{} {}", config.strategy, proxy::respond::chain(error));
    LoadError::one(config, config.strategy.line, "routing.strategy", message, None)
}

/// The shadows that a configuration wants.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load_shadows(config: &Config, before: Option<&Arc<Shadows>>) -> Result<Option<Arc<Shadows>>, LoadError> {
    Shadows::of(&config.shadows, &facts(config), before).map_err(|(strategy, error)| {
        let message = format!("{strategy} {}", proxy::respond::chain(&error));
        let line = config.shadows.iter().find(|shadow| shadow.to_string() == strategy).map_or(0, |shadow| shadow.line);
        LoadError::one(config, line, "routing.shadow", message, None)
    })
}

/// What decides: the strategy, with its shadows if it has any.
fn deciding(strategy: &Arc<Succession>, shadows: Option<&Arc<Shadows>>) -> Arc<dyn Strategy> {
    match shadows {
        Some(shadows) => Arc::new(Shadowed::new(Arc::clone(strategy), Arc::clone(shadows))),
        None => Arc::clone(strategy) as Arc<dyn Strategy>,
    }
}

/// Begins the record of decisions that a configuration wants, or ends the one that it does not want any more.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
fn record(config: &Config, strategy: &Succession) -> Result<(), LoadError> {
    let wanted = config.monitoring.record.as_ref();
    let target = wanted.map(|record| strategy::Target { path: record.path.clone(), max_bytes: record.max_bytes });
    strategy.recorder().record_to(target.as_ref()).map_err(|error| {
        let path = target.map(|target| target.path.display().to_string()).unwrap_or_default();
        let message = format!("{path} cannot be written: {error}");
        LoadError::one(config, wanted.map_or(0, |record| record.line), "monitoring.record", message, None)
    })
}

/// Loads the certificate of the listener, if it has one, and tries those that are named for providers.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, LoadError> {
    let mut error: Option<LoadError> = None;
    let mut note = |line, key: String, message, help: &str| {
        let one = LoadError::one(config, line, &key, message, Some(help.to_owned()));
        match &mut error {
            Some(error) => error.problems.extend(one.problems),
            None => error = Some(one),
        }
    };
    for (index, provider) in config.providers.iter().enumerate() {
        // Without files of its own it wants what the system has, which is missed when it is needed and not before.
        let tls = &provider.tls;
        if tls.ca.is_none() && tls.cert.is_none() {
            continue;
        }
        match trust::load(tls) {
            Ok(_) | Err(TrustError::System(_)) => {}
            Err(wrong) => {
                let key = format!("providers[{index}].tls.{}", wrong.part());
                note(tls.line, key, proxy::respond::chain(&wrong), wrong.help());
            }
        }
    }
    let mut own = None;
    if let Some(files) = &config.server.tls {
        match tls::load(files) {
            Ok(loaded) => own = Some(loaded),
            Err(wrong) => {
                let key = format!("server.tls.{}", wrong.part());
                note(files.line, key, proxy::respond::chain(&wrong), wrong.help());
            }
        }
    }
    error.map_or(Ok(own), Err)
}

/// Raises the limit of open files as far as it may, and sees whether that is enough.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn check_descriptors(config: &Config) -> Result<(), LoadError> {
    descriptors::provide();
    let Some(limit) = descriptors::too_few() else { return Ok(()) };
    let least = descriptors::LEAST;
    let message = format!(
        "the system allows {limit} open files, too few for {least} connections of clients and {least} to providers"
    );
    let help = "allow more: ulimit -n 1024, or LimitNOFILE=1024 for a service of systemd".to_owned();
    Err(LoadError::one(config, 0, "server.max_connections", message, Some(help)))
}

impl App {
    /// Loads the strategy, sets up the providers and binds the listener.
    ///
    /// # Errors
    ///
    /// When the strategy does not load, TLS cannot be set up or the address cannot be bound.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        Self::bind_with(config, Options::default()).await
    }

    /// As [`App::bind`], with options.
    ///
    /// # Errors
    ///
    /// As [`App::bind`].
    pub async fn bind_with(config: Config, options: Options) -> anyhow::Result<Self> {
        // Compiling a component takes long enough to be felt by whatever else the runtime does.
        let (mut config, strategy, tls) = tokio::task::spawn_blocking(move || {
            let (strategy, tls) = (load_strategy(&config), load_tls(&config));
            let loaded = strategy.and_then(|strategy| {
                let advice = advice(&config, &strategy);
                Ok((strategy, load_shadows(&config, None)?, advice))
            });
            (config, loaded, tls)
        })
        .await
        .context("loading the strategy panicked")?;
        let ((strategy, shadows, advice), tls) = (strategy?, tls?);
        config.warnings.extend(advice);
        check_descriptors(&config)?;
        record(&config, &strategy)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        client::set_up_tls();
        let metrics = Arc::new(Metrics::new(&proxy::endpoint::LABELS));
        let fleet = Fleet::new(&config, deciding(&strategy, shadows.as_ref()), &metrics, None)?;
        fleet.take_over(None);
        let doors = Doors::new(&config, tls);
        let (requests, draining) = (TaskTracker::new(), CancellationToken::new());
        let generation = Generation::new(1, &config, fleet, config.server.admin.is_some());
        let queue = Queue::new(&config.queue);
        let budget = Budget::new(config.server.max_buffered_bytes.unwrap_or_else(memory::quarter));
        let (approach, stop) = (options.approach, draining.clone());
        let proxy = Proxy::new(generation, queue, metrics, approach, requests.clone(), stop, budget);
        let proxy = Arc::new(proxy);
        let (listener, address) = bind(&config.server.host, config.server.port, "server").await?;
        let mut exposed = vec![(Door::Clients, address.clone())];
        let operators = match &config.server.admin {
            Some(admin) => {
                let (listener, address) = bind(&admin.host, admin.port, "server.admin").await?;
                exposed.push((Door::Operators, address.clone()));
                Some((listener, address))
            }
            None => None,
        };
        for (door, address) in &exposed {
            warn_if_open(*door, address, keeps_out(*door, &config));
        }
        let contents = Contents::of(&config.names);
        let (reload, reloads) = mpsc::channel(RELOADS);
        let operations = Arc::new(Operations::new(proxy.clone(), doors.traffic.clone(), reload));
        let again = config.clone();
        let reloader = Reloader {
            proxy,
            strategy,
            shadows,
            source: options.source.unwrap_or_else(|| Arc::new(move || Ok(again.clone()))),
            config,
            contents,
            wanted: Vec::new(),
            exposed,
            status: operations.status(),
            doors,
            second_listener: operators.is_some(),
            logs: options.logs,
            notifier: options.notifier,
            checks: draining.child_token(),
            tasks: TaskTracker::new(),
            draining,
        };
        Ok(Self { listener, address, operators, operations, reloader, requests, reloads })
    }

    /// What the listener for clients keeps to, swapped by a reload.
    pub fn settings(&self) -> Arc<ArcSwap<Settings>> {
        Arc::clone(&self.reloader.doors.clients)
    }

    /// The address that the listener is bound to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address it is bound to, unless that is a socket in the file system.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Tcp(address) => Some(address),
            Address::Unix(_) => None,
        }
    }

    /// The address of the second listener, if there is one.
    pub fn operators_addr(&self) -> Option<SocketAddr> {
        match self.operators {
            Some((_, Address::Tcp(address))) => Some(address),
            Some((_, Address::Unix(_))) | None => None,
        }
    }

    /// Asks for reloads, as long as the server runs.
    pub fn reloads(&self) -> mpsc::Sender<ReloadRequest> {
        self.operations.reloads()
    }

    /// Serves until `shutdown` is ready, then drains.
    ///
    /// # Errors
    ///
    /// None at present; the type leaves room for listeners that fail.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, address, operators, operations, mut reloader, requests, reloads } = self;
        let (proxy, recorder) = (reloader.proxy.clone(), Arc::clone(reloader.strategy.recorder()));
        let (draining, tasks) = (reloader.draining.clone(), reloader.tasks.clone());
        let (connections, close) = (TaskTracker::new(), CancellationToken::new());
        let generation = proxy.generation();
        let config = reloader.config.clone();
        reloader.start_checks(&generation.fleet, &config);
        let Doors { clients: settings, operators: settings_of_operators, traffic } = reloader.doors.clone();
        let at = |address: &Address, scheme: &str| match address {
            Address::Tcp(address) => format!("{scheme}://{address}"),
            Address::Unix(_) => address.to_string(),
        };
        let bound = |address: &Address| match address {
            Address::Tcp(address) => Bound::new(*address),
            Address::Unix(_) => Bound::in_file_system(),
        };
        let scheme = if settings.load().tls.is_some() { "https" } else { "http" };
        let listening_at = at(&address, scheme);
        let open = Router::new().route("/health", any(admin::health)).route("/ready", any(admin::ready));
        let closed = Router::new()
            .route("/metrics", any(admin::metrics))
            .route("/admin/reload", any(admin::reload))
            .route("/admin/shadow", any(admin::shadow));
        let operations_of_clients = open.clone().merge(closed.clone()).with_state(operations.clone());
        tasks.spawn(listener::serve(Listening {
            socket: listener,
            site: Front { proxy: proxy.clone(), operations: operations_of_clients, bound: bound(&address) },
            settings,
            traffic,
            connections: connections.clone(),
            stop: draining.clone(),
            close: close.clone(),
        }));
        if let Some((listener, address)) = operators {
            let operators = open.merge(closed).fallback(admin::unknown).layer(axum::Extension(admin::SecondListener));
            tasks.spawn(listener::serve(Listening {
                socket: listener,
                site: Back {
                    proxy: proxy.clone(),
                    operations: operators.with_state(operations.clone()),
                    bound: bound(&address),
                },
                settings: settings_of_operators,
                traffic: Arc::default(),
                connections: connections.clone(),
                stop: draining.clone(),
                close: close.clone(),
            }));
            tracing::info!("operators are served at {}", at(&address, "http"));
        }
        let strategy = generation.fleet.strategy().name().to_owned();
        tracing::info!(
            target: telemetry::LISTENING,
            providers = generation.fleet.providers().len(),
            strategy,
            "listening on {listening_at}"
        );
        let notifier = reloader.notifier.clone();
        notifier.ready(&format!("listening on {listening_at}"));
        drop(generation);
        tasks.spawn(close_idle_connections(proxy.clone(), draining.clone()));
        tasks.spawn(reloader.run(reloads));
        shutdown.await;
        notifier.stopping();
        let delay = proxy.generation().drain_delay;
        if !delay.is_zero() {
            // Load balancers are to see it before connections are refused.
            operations.leave();
            tracing::info!(
                "the server was asked to end: it is not ready any more, and drains in {} s",
                delay.as_secs_f64()
            );
            tokio::time::sleep(delay).await;
        }
        // New connections are refused from here on, and requests on old ones get 503.
        draining.cancel();
        drain::drain(&requests, &connections, &close, proxy.generation().drain_timeout).await;
        tasks.close();
        tasks.wait().await;
        // What has been recorded shall be on the disk; nothing can go wrong where nothing is opened.
        let _ = tokio::task::spawn_blocking(move || recorder.record_to(None)).await;
        Ok(())
    }
}

/// Until `stop`; then they end with the process.
async fn close_idle_connections(proxy: Arc<Proxy>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(BETWEEN_SWEEPS)).await.is_some() {
        proxy.generation().fleet.close_idle_connections();
    }
}

/// What clients reach: the proxy, and what there is for operators beside it.
#[derive(Clone)]
struct Front {
    proxy: Arc<Proxy>,
    operations: Router,
    bound: Bound,
}

impl Site for Front {
    type Body = Reply;

    async fn answer(&self, request: Request<Incoming>, peer: Peer, closer: &Closer) -> Response<Reply> {
        // For pages of other origins that may ask; nearly no request comes from one.
        let origin = request.headers().get(ORIGIN).cloned();
        let path = request.uri().path();
        let mut response = if admin::PATHS.contains(&path) && request.method() != Method::OPTIONS {
            let keys = !self.proxy.generation().api_keys.is_empty();
            let own_pages = !matches!(path, "/health" | "/ready");
            operate(&self.proxy, &self.operations, &self.bound, (keys, own_pages), request, peer, closer).await
        } else {
            proxy::handle(&self.proxy, request, (peer, &self.bound), closer).await
        };
        if let Some(origin) = origin {
            self.proxy.generation().visitors.mark(&origin, response.headers_mut());
        }
        response
    }
}

/// The routes that operators reach by a listener of their own.
#[derive(Clone)]
struct Back {
    proxy: Arc<Proxy>,
    operations: Router,
    bound: Bound,
}

impl Site for Back {
    type Body = Reply;

    async fn answer(&self, request: Request<Incoming>, peer: Peer, closer: &Closer) -> Response<Reply> {
        let keys = self.proxy.generation().operators.have_key();
        operate(&self.proxy, &self.operations, &self.bound, (keys, true), request, peer, closer).await
    }
}

/// Answers operators, unless a web page asks that may not; `keys` and `own_pages` are as for `Visitors::admit`.
async fn operate(
    proxy: &Proxy,
    operations: &Router,
    bound: &Bound,
    (keys, own_pages): (bool, bool),
    request: Request<Incoming>,
    peer: Peer,
    closer: &Closer,
) -> Response<Reply> {
    let asked = (request.version(), request.uri(), request.headers());
    match proxy.generation().visitors.admit(asked, bound, keys, own_pages) {
        Ok(()) => operations.answer(request, peer, closer).await,
        Err(error) => admin::named(admin::own(error), proxy.request_id(request.headers())),
    }
    .map(Reply::Operations)
}

/// What the listeners keep to, and what the one for clients counts.
#[derive(Clone)]
struct Doors {
    clients: Arc<ArcSwap<Settings>>,
    /// As for clients, but for TLS: it is meant for this machine or a network of one's own.
    operators: Arc<ArcSwap<Settings>>,
    traffic: Arc<Traffic>,
}

impl Doors {
    fn new(config: &Config, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let [clients, operators] = Self::settings(config, tls).map(|settings| Arc::new(ArcSwap::new(settings)));
        Self { clients, operators, traffic: Arc::default() }
    }

    /// For connections that come from now on.
    fn change(&self, config: &Config, tls: Option<Arc<rustls::ServerConfig>>) {
        let [clients, operators] = Self::settings(config, tls);
        self.clients.store(clients);
        self.operators.store(operators);
    }

    fn settings(config: &Config, tls: Option<Arc<rustls::ServerConfig>>) -> [Arc<Settings>; 2] {
        let max_connections = descriptors::affordable(config.server.max_connections);
        let clients = Settings { max_connections, ..Settings::new(&config.server, tls) };
        let operators = Settings { tls: None, ..clients.clone() };
        [Arc::new(clients), Arc::new(operators)]
    }
}

/// Binds one listener; `section` is where the configuration names its address.
async fn bind(host: &str, port: u16, section: &str) -> anyhow::Result<(Socket, Address)> {
    let socket = Socket::bind(host, port).await.with_context(|| {
        let flags = if section == "server" { " with --host and --port, or" } else { "" };
        let place = if host.starts_with("unix:") { host.to_owned() } else { format!("{host}:{port}") };
        format!("cannot listen on {place}; choose another{flags} in {section}: of the config")
    })?;
    let address = socket.address()?;
    Ok((socket, address))
}
