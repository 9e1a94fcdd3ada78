//! The composition root: the only file that knows every module.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, HealthCheck, LoadError, Problem};
use crate::provider::{Fleet, Provider, client, health};
use crate::proxy::{self, Proxy, request::Approach};
use crate::strategy::Succession;
use crate::{admin, drain, listener, telemetry};

/// A server that is bound and not yet running.
pub struct App {
    listener: TcpListener,
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
pub fn load_strategy(config: &Config) -> Result<Arc<Succession>, LoadError> {
    let facts = config.providers.iter().map(Provider::facts).collect();
    match Succession::start(&config.strategy, facts) {
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
        let (config, strategy) = tokio::task::spawn_blocking(move || {
            let strategy = load_strategy(&config);
            (config, strategy)
        })
        .await
        .context("loading the strategy panicked")?;
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
        Ok(Self {
            listener,
            address,
            router,
            fleet,
            health_check: config.health_check,
            drain_timeout: config.server.drain_timeout,
            requests,
            draining,
        })
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
        let Self { listener, address, router, fleet, health_check, drain_timeout, requests, draining } = self;
        let (connections, tasks, close) = (TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
        health::start(&fleet, &health_check, &tasks, &draining);
        tasks.spawn(listener::serve(listener, router, connections.clone(), draining.clone(), close.clone()));
        let strategy = fleet.strategy().name().to_owned();
        tracing::info!(
            target: telemetry::LISTENING,
            providers = fleet.providers().len(),
            strategy,
            "listening on http://{address}"
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
