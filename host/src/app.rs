//! The composition root: the only file that knows every module.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod advice;
mod assemble;
mod contents;
mod doors;
mod engines;
mod ledger;
mod load;
mod reload;
mod sites;
mod watch;

use crate::admin::{self, Operations, ReloadRequest};
use crate::clients::{Keys, Store};
use crate::config::Config;
use crate::listener::exposure::{Door, warn_if_open};
use crate::listener::socket::{Address, Socket};
use crate::listener::{Listening, Settings};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::observe::otel::Otel;
use crate::provider::client;
use crate::proxy::generation::Generation;
use crate::proxy::{self, Proxy, intake::budget::Budget, visitors::Bound};
use crate::queue::Queue;
use crate::state::Engines;
use crate::{drain, listener, memory, telemetry};
pub use advice::advice;
pub use assemble::strategies;
use assemble::{Assembly, assemble};
use doors::Doors;
use ledger::Kept;
pub use load::{check_descriptors, load_tls};
pub use reload::Source;
use reload::{Reloader, keeps_out};
use sites::{Back, Front};
use watch::Look;

/// The most requests for a reload that may wait while one is under way; the next reload answers them all.
const RELOADS: usize = 16;

/// The interval at which unused connections to providers are looked for.
const BETWEEN_SWEEPS: std::time::Duration = std::time::Duration::from_secs(1);

/// The interval at which the store of keys is asked whether others have changed any.
const BETWEEN_LOOKS: std::time::Duration = std::time::Duration::from_millis(500);

/// A server that is bound but not yet running.
pub struct App {
    listener: Socket,
    address: Address,
    operators: Option<(Socket, Address)>,
    operations: Arc<Operations>,
    engines: Arc<Engines>,
    reloader: Reloader,
    requests: TaskTracker,
    reloads: mpsc::Receiver<ReloadRequest>,
    kept: Kept,
}

/// The options that a server is started with beside its configuration.
#[derive(Default)]
pub struct Options {
    /// The source that a reload reads the configuration from; without it, a reload applies the same one again.
    pub source: Option<Source>,
    /// The handle that changes the level of the logs.
    pub logs: telemetry::Handle,
    /// The messages to the service manager.
    pub notifier: Notifier,
    /// The store of keys made at run time, in place of the one that the configuration names.
    pub key_store: Option<Arc<dyn Store>>,
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
        // What changes from here on, while components compile or an engine is waited for, is a cause of a reload.
        let looked = Look::before(config.begun, &watch::files(&config));
        // Compiling a component would block other tasks of the runtime for too long.
        let assembled = tokio::task::spawn_blocking(move || assemble(config, None)).await;
        let mut assembly = assembled.context("loading the strategies panicked")??;
        check_descriptors(&assembly.config)?;
        client::set_up_tls();
        let metrics = Arc::new(Metrics::new(&proxy::endpoint::LABELS));
        let (fleet, routes) = assembly.put_together(&metrics, None);
        fleet.take_over(None);
        let Assembly { mut config, contents, advice, tls, live, approaches, .. } = assembly;
        for warning in config.warnings.iter().chain(&advice) {
            tracing::warn!("{warning}");
        }
        let doors = Doors::new(&config, tls);
        let (requests, draining) = (TaskTracker::new(), CancellationToken::new());
        let book = Arc::default();
        let mut begun = engines::begin(&config, fleet.clock(), Arc::clone(&book)).await?;
        let second = config.server.admin.is_some();
        let generation = Generation::new(1, &config, (fleet, routes, approaches), book, second);
        let queue = Queue::new(&config.queue);
        let budget = Budget::new(config.server.max_buffered_bytes.unwrap_or_else(memory::quarter));
        let clients = Arc::new(Keys::new(&config, Arc::clone(&begun.book)));
        let kept = Kept::open(&config)?;
        let proxy = Proxy::new((generation, clients), queue, metrics, requests.clone(), draining.clone(), budget);
        let proxy = Arc::new(proxy.keeping(Arc::clone(&kept.ledger)));
        if let Some(valkey) = begun.engines.valkey() {
            proxy.means().share(valkey.clone());
        }
        begun.keep(&config, &proxy, proxy.clients()).await?;
        let engines = begun.engines;
        if let Some(store) = options.key_store
            && let Err(error) = proxy.clients().keep_in(store).await
        {
            tracing::warn!("the keys made at run time cannot be read yet: {error}");
        }
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
        let (reload, reloads) = mpsc::channel(RELOADS);
        let operations = Operations::new(
            proxy.clone(),
            (doors.traffic.clone(), doors.clients.clone()),
            reload,
            Arc::clone(&engines),
        );
        operations.status().put_in_force(&config.written);
        let operations = Arc::new(operations);
        let source = options.source.unwrap_or_else(|| {
            let again = config.clone();
            Arc::new(move || Ok(again.clone()))
        });
        config.clients.let_go_of_keys();
        let reloader = Reloader {
            proxy,
            live,
            source,
            config,
            contents,
            looked,
            wanted: Vec::new(),
            exposed,
            status: operations.status(),
            otel: None,
            doors,
            second_listener: operators.is_some(),
            logs: options.logs,
            notifier: options.notifier,
            checks: draining.child_token(),
            tasks: TaskTracker::new(),
            draining,
        };
        Ok(Self { listener, address, operators, operations, engines, reloader, requests, reloads, kept })
    }

    /// The settings of the listener for clients, swapped by a reload.
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

    /// A handle to ask for reloads, as long as the server runs.
    pub fn reloads(&self) -> mpsc::Sender<ReloadRequest> {
        self.operations.reloads()
    }

    /// Serves until `shutdown` is ready, then drains.
    ///
    /// # Errors
    ///
    /// None at present; the type leaves room for listeners that fail.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, address, operators, operations, engines, mut reloader, requests, reloads, kept } = self;
        let proxy = reloader.proxy.clone();
        let recorders: Vec<_> = reloader.live.iter().map(|live| Arc::clone(live.strategy.recorder())).collect();
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
        let operations_of_clients = admin::router(operations.clone(), false);
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
            tasks.spawn(listener::serve(Listening {
                socket: listener,
                site: Back {
                    proxy: proxy.clone(),
                    operations: admin::router(operations.clone(), true),
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
        let strategy = generation.routes.everything().strategy().name().to_owned();
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
        tasks.spawn(ledger::settle(proxy.clone(), draining.clone()));
        let (writing, written) = (TaskTracker::new(), CancellationToken::new());
        kept.start(&writing, written.clone());
        let metrics = Arc::clone(&operations);
        let gather = Arc::new(move || metrics.families());
        let instance = proxy::entropy::Entropy::default().next();
        let otel = Arc::new(Otel::start(&config, proxy.ledger(), proxy.metrics(), gather, instance));
        reloader.otel = Some(Arc::clone(&otel));
        tasks.spawn(admin::dashboard::run(Arc::clone(&operations), close.clone()));
        tasks.spawn(follow_keys(proxy.clone(), draining.clone()));
        tasks.spawn(engines::exchange(proxy.clone(), Arc::clone(&engines), draining.clone()));
        tasks.spawn(admin::replicas::introduce(Arc::clone(&operations), listening_at, close.clone()));
        tasks.spawn(reloader.run(reloads));
        let mut shutdown = std::pin::pin!(shutdown);
        let by_signal = tokio::select! {
            () = &mut shutdown => true,
            () = operations.asked_to_end() => false,
        };
        notifier.stopping();
        let drained = async {
            let delay = proxy.generation().drain_delay;
            if !delay.is_zero() {
                // Load balancers must see it before connections are refused.
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
        };
        // If it was an operator who asked, a signal must find somebody who hears it, so that the next one is the second.
        let hears = async {
            if !by_signal {
                shutdown.await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = drained => {}
            () = hears => {}
        }
        tasks.close();
        tasks.wait().await;
        // Now the story of every request is over.
        proxy.ledger().finish();
        written.cancel();
        otel.finish().await;
        writing.close();
        writing.wait().await;
        // The rest of the records must reach the disk. This cannot fail, since no file is opened.
        let runs = proxy.generation().approaches.recorder.get().cloned();
        let end = move || {
            recorders.iter().for_each(|recorder| drop(recorder.record_to(None)));
            runs.iter().for_each(|recorder| recorder.finish());
            engines.finish();
        };
        let _ = tokio::task::spawn_blocking(end).await;
        Ok(())
    }
}

/// They run until `stop`; then they end with the process.
async fn close_idle_connections(proxy: Arc<Proxy>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(BETWEEN_SWEEPS)).await.is_some() {
        proxy.generation().fleet.close_idle_connections();
    }
}

/// Takes over what others change in the store of keys. Without a store there is nothing to do.
async fn follow_keys(proxy: Arc<Proxy>, stop: CancellationToken) {
    let mut is_out = false;
    while stop.run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS)).await.is_some() {
        match proxy.clients().follow().await {
            Err(error) if !is_out => {
                is_out = true;
                tracing::warn!("the store of keys does not answer ({error}): those that are known go on");
            }
            Ok(()) if is_out => {
                is_out = false;
                tracing::info!("the store of keys answers again");
            }
            Ok(()) | Err(_) => {}
        }
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
