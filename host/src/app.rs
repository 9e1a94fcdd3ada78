//! The composition root: the only file that knows every module.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, HealthCheck, LoadError, Problem};
use crate::listener::exposure::{Door, warn_if_open};
use crate::listener::{Listening, Settings, Traffic, descriptors, tls};
use crate::provider::{Fleet, Provider, client, health};
use crate::proxy::{self, Proxy, request::Approach};
use crate::routing::Strategy;
use crate::{admin, drain, listener, strategy, telemetry};

/// A server that is bound and not yet running.
pub struct App {
    listener: TcpListener,
    settings: Arc<ArcSwap<Settings>>,
    address: SocketAddr,
    router: Router,
    fleet: Arc<Fleet>,
    health_check: HealthCheck,
    drain_timeout: Duration,
    requests: TaskTracker,
    draining: CancellationToken,
}

/// Loads the strategy that a configuration chose.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load_strategy(config: &Config) -> Result<Arc<dyn Strategy>, LoadError> {
    let facts = config.providers.iter().map(Provider::facts).collect();
    match strategy::load(&config.strategy, facts) {
        Ok(strategy) => Ok(strategy),
        Err(error) => {
            let line = config.strategy.line;
            let message = format!("{} {}", config.strategy, proxy::respond::chain(&error));
            let key = "routing.strategy".to_owned();
            let file = config.file.clone();
            let problem = Problem { file: file.clone(), line, key, message, help: None };
            Err(LoadError { file, problems: vec![problem] })
        }
    }
}

/// Loads the certificate of the listener, if it has one.
///
/// # Errors
///
/// [`LoadError`], in the form of the configuration's own problems.
pub fn load_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, LoadError> {
    let Some(files) = &config.server.tls else { return Ok(None) };
    tls::load(files).map(Some).map_err(|error| {
        let file = config.file.clone();
        let problem = Problem {
            file: file.clone(),
            line: files.line,
            key: error.key().to_owned(),
            message: proxy::respond::chain(&error),
            help: Some(error.help().to_owned()),
        };
        LoadError { file, problems: vec![problem] }
    })
}

impl App {
    /// Loads the strategy, sets up the providers and binds the listener.
    ///
    /// # Errors
    ///
    /// When the strategy does not load, TLS cannot be set up or the address cannot be bound.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        Self::bind_with(config, Approach::Proxy).await
    }

    /// As [`App::bind`], with another approach for requests that name none.
    ///
    /// # Errors
    ///
    /// As [`App::bind`].
    pub async fn bind_with(config: Config, approach: Approach) -> anyhow::Result<Self> {
        // Compiling a component takes long enough to be felt by whatever else the runtime does.
        let (config, strategy, tls) = tokio::task::spawn_blocking(move || {
            let (strategy, tls) = (load_strategy(&config), load_tls(&config));
            (config, strategy, tls)
        })
        .await
        .context("loading the strategy panicked")?;
        let settings = Settings::new(&config.server, tls?);
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        client::set_up_tls();
        let fleet = Fleet::new(&config, strategy?)?;
        let (requests, draining) = (TaskTracker::new(), CancellationToken::new());
        let proxy = Proxy::new(&config, fleet.clone(), approach, requests.clone(), draining.clone());
        let router = Router::new()
            .route("/health", any(admin::health))
            .route("/ready", any(admin::ready))
            .fallback(proxy::handle)
            .with_state(Arc::new(proxy));
        let (host, port) = (&config.server.host, config.server.port);
        let listener = listener::bind(host, port).await.with_context(|| {
            format!("cannot listen on {host}:{port}; choose another with --host and --port, or server: in the config")
        })?;
        let address = listener.local_addr()?;
        warn_if_open(Door::Clients, address, !config.server.api_keys.is_empty());
        descriptors::provide(config.server.max_connections.saturating_add(config.queue.max_concurrent) as u64);
        Ok(Self {
            listener,
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            address,
            router,
            fleet,
            health_check: config.health_check,
            drain_timeout: config.server.drain_timeout,
            requests,
            draining,
        })
    }

    /// What the listener keeps to, to be swapped by a reload.
    pub fn settings(&self) -> Arc<ArcSwap<Settings>> {
        Arc::clone(&self.settings)
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, then drains.
    ///
    /// # Errors
    ///
    /// None at present; the type leaves room for listeners that fail.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, settings, address, router, fleet, health_check, drain_timeout, requests, draining } = self;
        let (connections, tasks, close) = (TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
        health::start(&fleet, &health_check, &tasks, &draining);
        let scheme = if settings.load().tls.is_some() { "https" } else { "http" };
        tasks.spawn(listener::serve(Listening {
            socket: listener,
            router,
            settings,
            traffic: Arc::new(Traffic::default()),
            connections: connections.clone(),
            stop: draining.clone(),
            close: close.clone(),
        }));
        let strategy = fleet.strategy().name().to_owned();
        tracing::info!(
            target: telemetry::LISTENING,
            providers = fleet.providers().len(),
            strategy,
            "listening on {scheme}://{address}"
        );
        shutdown.await;
        // New connections are refused from here on, and requests on old ones get 503.
        draining.cancel();
        drain::drain(&requests, &connections, &close, drain_timeout).await;
        tasks.close();
        tasks.wait().await;
        Ok(())
    }
}
