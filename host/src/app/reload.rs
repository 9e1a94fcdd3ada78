//! Reloads: turns a changed file into the next generation, or into a report of the reason why not.
//!
//! One task does all of it: signals, requests to `/admin/reload` and changes of the files come together here, so there
//! is never more than one reload at a time. Everything that can fail is done first; then one pointer is swapped.
//! Requests in flight finish with what they began with. As the first part may take a minute, a newer cause ends it: the
//! older one's preparation never takes effect, and its callers get the outcome of the newer one.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod causes;
mod prepare;

use super::Doors;
use super::assemble::{Assembly, Before, Live};
use super::contents::Contents;
use super::watch::{self, Look};
use crate::admin::{Failure, ReloadRequest, Reloaded, Status};
use crate::config::{Config, LoadError};
use crate::listener::exposure::{Door, warn_if_open};
use crate::listener::socket::Address;
use crate::notify::Notifier;
use crate::observe::otel::Otel;
use crate::provider::{Fleet, checks, summary};
use crate::proxy::Proxy;
use crate::proxy::generation::Generation;
use crate::telemetry;
use causes::{Cause, Causes, FILE_CHANGED};
use prepare::{Preparation, Prepared};

/// Reads the configuration anew.
pub type Source = Arc<dyn Fn() -> Result<Config, LoadError> + Send + Sync>;

/// The state of the task that reloads.
pub struct Reloader {
    pub proxy: Arc<Proxy>,
    /// The strategies of all routes in force.
    pub live: Vec<Live>,
    pub source: Source,
    /// The configuration in force.
    pub config: Config,
    /// The contents of the files that this configuration names, as they were read.
    pub contents: Contents,
    /// The look of the watched files when they were read.
    pub looked: Look,
    /// Files that a refused configuration names: it may be right when one of them arrives.
    pub wanted: Vec<PathBuf>,
    /// The listeners, for a warning when they become open to everybody.
    pub exposed: Vec<(Door, Address)>,
    pub status: Arc<Status>,
    /// The exporter of finished requests, once the server runs.
    pub otel: Option<Arc<Otel>>,
    pub doors: Doors,
    /// True when there is a second listener, which is bound only at the start.
    pub second_listener: bool,
    pub logs: telemetry::Handle,
    pub notifier: Notifier,
    /// Ends the active checks and the summaries of the generation in force.
    pub checks: CancellationToken,
    pub tasks: TaskTracker,
    pub draining: CancellationToken,
}

impl Reloader {
    /// Reloads whenever asked to, or when a file has changed, until the server goes down.
    pub async fn run(mut self, requests: mpsc::Receiver<ReloadRequest>) {
        let draining = self.draining.clone();
        let reloads = async {
            let mut seen = self.looked.clone();
            let mut causes = Causes::new(requests, watch::files(&self.config), seen.clone());
            while let Some(cause) = causes.next(|look| *look != seen).await {
                seen = self.reload(cause, &mut causes).await;
                causes.watch(self.watched());
            }
        };
        // A component may take a minute to compile, and the server does not wait for that when it ends.
        // Boxed, because it holds whole configurations.
        Box::pin(draining.run_until_cancelled(reloads)).await;
    }

    fn watched(&self) -> Vec<PathBuf> {
        watch::with(watch::files(&self.config), &self.wanted)
    }

    /// Reloads, and answers all who have asked for it by the end; returns the look of the files that were read.
    async fn reload(&mut self, cause: Cause, causes: &mut Causes) -> Look {
        self.notifier.reloading();
        let (mut why, asker) = cause;
        let mut waiting: Vec<ReloadRequest> = asker.into_iter().collect();
        let mut older: Option<Preparation> = None;
        let (looked, prepared) = loop {
            waiting.extend(causes.waiting());
            tracing::info!(cause = why, "reloading: {why}");
            let reading = prepare::read(Arc::clone(&self.source), self.watched()).await;
            // A component may be replaced while it compiles.
            causes.watch(reading.files.clone());
            let looked = reading.looked.clone();
            let before = (self.proxy.generation(), self.live.clone());
            let mut newer = Preparation::begin(reading, before, older.as_ref());
            match first(&mut newer, &mut older, causes, &looked).await {
                First::Prepared(prepared) => break *prepared,
                First::Superseded((newer_cause, asker)) => {
                    tracing::info!(cause = why, "the reload ({why}) gives way to a newer one ({newer_cause})");
                    self.status.superseded(why, self.proxy.generation().number);
                    waiting.extend(asker);
                    (why, older) = (newer_cause, Some(newer));
                }
            }
        };
        let outcome = self.conclude(why, prepared);
        for request in waiting {
            // The caller may have gone.
            request.answer(outcome.clone());
        }
        looked
    }

    fn conclude(&mut self, cause: &'static str, prepared: anyhow::Result<Assembly>) -> Result<Reloaded, Failure> {
        let outcome = match prepared {
            Ok(prepared) => Ok(self.succeed(cause, prepared)),
            Err(error) => {
                let failure = Failure::of(&error);
                let in_force = self.proxy.generation().number;
                tracing::error!(
                    generation = in_force,
                    "reload failed, generation {in_force} stays in force:\n{error:#}"
                );
                self.proxy.metrics().reloaded(false);
                self.wanted = error.downcast_ref::<LoadError>().map(|error| error.names.clone()).unwrap_or_default();
                self.status.failed(cause, in_force, failure.clone());
                Err(failure)
            }
        };
        let in_force = self.proxy.generation().number;
        let how = if outcome.is_ok() { "" } else { "; the latest reload failed" };
        self.notifier.ready(&format!("generation {in_force} of the configuration is in force{how}"));
        outcome
    }

    /// Puts a configuration in force, unless nothing has changed and nobody has asked for it; logs the differences.
    fn succeed(&mut self, cause: &'static str, prepared: Assembly) -> Reloaded {
        let mut changes = self.config.written.changes(&prepared.config.written);
        changes.extend(self.contents.changes(&prepared.contents));
        self.wanted.clear();
        if changes.is_empty() && cause == FILE_CHANGED {
            let generation = self.proxy.generation().number;
            let providers = self.config.providers.len();
            tracing::info!(generation, "reload: nothing has changed, generation {generation} stays in force");
            self.proxy.metrics().reloaded(true);
            self.status.succeeded(cause, generation, &changes);
            return Reloaded {
                generation,
                providers,
                strategy: self.config.strategy.name.clone(),
                warnings: Vec::new(),
            };
        }
        for change in &changes {
            tracing::info!(key = change.key, "changed: {}", change.line());
        }
        let reloaded = self.swap(prepared);
        self.status.put_in_force(&self.config.written);
        self.status.succeeded(cause, reloaded.generation, &changes);
        reloaded
    }

    /// Puts the next generation in force. Nothing here fails or waits.
    fn swap(&mut self, mut prepared: Assembly) -> Reloaded {
        let generation = self.proxy.generation();
        let approaches = &generation.approaches;
        let before = Before { fleet: &generation.fleet, routes: &generation.routes, live: &self.live, approaches };
        let (fleet, routes) = prepared.put_together(self.proxy.metrics(), Some(&before));
        let before = generation;
        let Assembly { mut config, tls, live, approaches, contents, advice, .. } = prepared;
        let mut warnings = config.warnings.clone();
        warnings.extend(advice);
        warnings.extend(needs_restart(&self.config, &config));
        fleet.take_over(Some(&before.fleet));
        self.proxy.queue().resize(&config.queue);
        self.doors.change(&config, tls);
        self.logs.set_level(config.monitoring.log_level);
        if let Some(otel) = &self.otel {
            otel.change(&config);
        }
        let made = (Arc::clone(&fleet), routes, approaches);
        let book = Arc::clone(before.accounts.book());
        let next = Generation::new(before.number + 1, &config, made, book, self.second_listener);
        let number = next.number;
        self.proxy.clients().configure(&config);
        config.clients.let_go_of_keys();
        self.proxy.succeed(next);
        self.proxy.ledger().resize(config.monitoring.ledger.stories);
        self.start_checks(&fleet, &config);
        let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
        self.proxy.metrics().keep(&names);
        self.proxy.metrics().reloaded(true);
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let (providers, name) = (config.providers.len(), config.strategy.name.clone());
        tracing::info!(
            generation = number,
            providers,
            strategy = name,
            "reloaded: generation {number} with {providers} providers and strategy {name} is in force"
        );
        for (door, address) in &self.exposed {
            // A listener that was open before has had its warning.
            if keeps_out(*door, &self.config) && !keeps_out(*door, &config) {
                warn_if_open(*door, address, false);
            }
        }
        (self.config, self.live, self.contents) = (config, live, contents);
        Reloaded { generation: number, providers, strategy: name, warnings }
    }

    /// Starts the active checks and the summaries of a generation, and ends those of the one before.
    pub fn start_checks(&mut self, fleet: &Arc<Fleet>, config: &Config) {
        let next = self.draining.child_token();
        std::mem::replace(&mut self.checks, next.clone()).cancel();
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        checks::start(fleet, &self.tasks, &next, clock.subsec_nanos());
        summary::start(fleet, &config.monitoring, &self.tasks, &next);
    }
}

/// The end of a preparation.
enum First {
    /// The preparation has ended.
    Prepared(Box<Prepared>),
    /// There is a cause for a newer one.
    Superseded(Cause),
}

/// Waits for the preparation or for another cause. There are never more than two preparations at work, however many
/// causes come: a third has to wait for the end of the `older` one.
async fn first(newer: &mut Preparation, older: &mut Option<Preparation>, causes: &mut Causes, looked: &Look) -> First {
    loop {
        let is_alone = older.as_ref().is_none_or(Preparation::is_gone);
        let older_gone = async {
            if let Some(older) = older {
                older.gone().await;
            }
        };
        tokio::select! {
            biased;
            prepared = newer.prepared() => return First::Prepared(Box::new(prepared)),
            () = older_gone, if !is_alone => {}
            Some(cause) = causes.next(|look| looked.is_outdated_by(look)), if is_alone => return First::Superseded(cause),
        }
    }
}

/// True when a client key or an operator's key is needed at one of the listeners.
pub fn keeps_out(door: Door, config: &Config) -> bool {
    match door {
        Door::Clients => config.refuses_unknown(),
        Door::Operators => config.server.admin.as_ref().is_none_or(|admin| admin.api_key.is_some()),
    }
}

/// The changes that need a restart, as sentences for the log.
fn needs_restart(before: &Config, after: &Config) -> Vec<String> {
    let address = |config: &Config| (config.server.host.clone(), config.server.port);
    let admin = |config: &Config| config.server.admin.as_ref().map(|admin| (admin.host.clone(), admin.port));
    let folder = |config: &Config| {
        let folder = config.monitoring.ledger.folder.as_ref();
        folder.map(|folder| (folder.path.clone(), folder.keep, folder.max_bytes))
    };
    let changes = [
        ("server.host and server.port", address(before) != address(after)),
        ("server.max_buffered_bytes", before.server.max_buffered_bytes != after.server.max_buffered_bytes),
        ("server.admin", admin(before) != admin(after)),
        ("clients.store", before.clients.store != after.clients.store),
        ("state", before.state != after.state),
        ("monitoring.ledger.path, keep and max_bytes", folder(before) != folder(after)),
        ("monitoring.log_format", before.monitoring.log_format != after.monitoring.log_format),
    ];
    let changed = changes.iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| format!("{key}: the change takes effect at the next start only")).collect()
}
