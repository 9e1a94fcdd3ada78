//! Reloading: from a changed file to the next generation, or to a report of why not.
//!
//! One task owns all of it: signals, requests to `/admin/reload` and changes of the files come together here, so there
//! is never more than one reload at a time. Everything that can fail is done first; then one pointer is swapped.
//! Requests in flight finish with what they began with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Doors, facts, load_tls, strategy_problem};
use crate::admin::{Failure, ReloadRequest, Reloaded, Status};
use crate::config::{Config, LoadError};
use crate::provider::{Fleet, health, summary};
use crate::proxy::Proxy;
use crate::proxy::generation::Generation;
use crate::strategy::Succession;
use crate::telemetry;

/// Reads the configuration anew.
pub type Source = Arc<dyn Fn() -> Result<Config, LoadError> + Send + Sync>;

/// How often the files are looked at. A change is acted on when it has not gone on for as long, so a file that is still
/// being written is left alone.
const LOOK: Duration = Duration::from_millis(500);

/// What the task works with.
pub struct Reloader {
    pub proxy: Arc<Proxy>,
    pub strategy: Arc<Succession>,
    pub source: Source,
    /// What is in force now.
    pub config: Config,
    pub status: Arc<Status>,
    pub doors: Doors,
    /// Whether there is a second listener, which is bound at the start alone.
    pub second_listener: bool,
    pub logs: telemetry::Handle,
    /// Ends the active checks and the summaries of the generation in force.
    pub checks: CancellationToken,
    pub tasks: TaskTracker,
    pub draining: CancellationToken,
}

/// All that a reload needs to take effect.
struct Prepared {
    config: Config,
    tls: Option<Arc<rustls::ServerConfig>>,
    fleet: Arc<Fleet>,
    strategy: Arc<Succession>,
}

/// The files that a configuration is made of, as they looked.
type Look = Vec<(PathBuf, Option<Print>)>;

/// Tells a file from an earlier version of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Reloader {
    /// Reloads whenever asked to, or when a file has changed, until the server goes down.
    pub async fn run(mut self, mut requests: mpsc::Receiver<ReloadRequest>) {
        let mut seen = look(files(&self.config)).await;
        let mut unsettled: Option<Look> = None;
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let draining = self.draining.clone();
        loop {
            let (cause, mut waiting) = tokio::select! {
                () = draining.cancelled() => return,
                request = requests.recv() => match request {
                    Some(request) => (request.cause, vec![request]),
                    None => return,
                },
                _ = ticks.tick(), if self.config.server.watch => {
                    let now = look(files(&self.config)).await;
                    let settled = now != seen && unsettled.as_ref() == Some(&now);
                    unsettled = (now != seen).then_some(now);
                    if !settled {
                        continue;
                    }
                    ("a file has changed", Vec::new())
                }
            };
            // Whoever asked meanwhile gets the same answer.
            while let Ok(request) = requests.try_recv() {
                waiting.push(request);
            }
            // Before it is read: what changes from here on is another change.
            seen = look(files(&self.config)).await;
            let outcome = self.reload(cause).await;
            if outcome.is_ok() {
                let now = look(files(&self.config)).await;
                // A file that was not looked at before is as new as it was read.
                seen = now.into_iter().map(|(file, print)| known(&seen, file, print)).collect();
            }
            unsettled = None;
            for request in waiting {
                // Nobody may be waiting any more.
                request.answer(outcome.clone());
            }
        }
    }

    async fn reload(&mut self, cause: &'static str) -> Result<Reloaded, Failure> {
        tracing::info!(cause, "reloading: {cause}");
        match self.prepare().await {
            Ok(prepared) => Ok(self.swap(prepared)),
            Err(error) => {
                let failure = Failure::of(&error);
                let in_force = self.proxy.generation().number;
                tracing::error!(
                    generation = in_force,
                    "reload failed, generation {in_force} stays in force:\n{error:#}"
                );
                self.proxy.metrics().reloaded(false);
                self.status.failed(failure.clone());
                Err(failure)
            }
        }
    }

    /// All that can fail, on a thread where it holds up no request.
    async fn prepare(&self) -> anyhow::Result<Prepared> {
        let (source, predecessor) = (Arc::clone(&self.source), Arc::clone(&self.proxy.generation().fleet));
        let (metrics, running) = (Arc::clone(self.proxy.metrics()), Arc::clone(&self.strategy));
        let prepared = tokio::task::spawn_blocking(move || {
            let config = source()?;
            let strategy = running.reload(&config.strategy, facts(&config));
            let strategy = strategy.map_err(|error| strategy_problem(&config, &error))?;
            let tls = load_tls(&config)?;
            let fleet = Fleet::new(&config, strategy.clone(), &metrics, Some(&predecessor))?;
            Ok(Prepared { config, tls, fleet, strategy })
        });
        prepared.await?
    }

    /// Puts the next generation in force. Nothing here fails or waits.
    fn swap(&mut self, prepared: Prepared) -> Reloaded {
        let Prepared { config, tls, fleet, strategy } = prepared;
        let before = self.proxy.generation();
        let mut warnings = config.warnings.clone();
        warnings.extend(needs_restart(&self.config, &config));
        fleet.take_over(Some(&before.fleet));
        self.proxy.queue().resize(&config.queue);
        self.doors.change(&config, tls);
        self.logs.set_level(config.monitoring.log_level);
        let next = Generation::new(before.number + 1, &config, Arc::clone(&fleet), self.second_listener);
        let number = next.number;
        self.proxy.succeed(next);
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
        self.status.succeeded();
        (self.config, self.strategy) = (config, strategy);
        Reloaded { generation: number, providers, strategy: name, warnings }
    }

    /// Starts the active checks and the summaries of a generation, and ends those of the one before.
    pub fn start_checks(&mut self, fleet: &Arc<Fleet>, config: &Config) {
        let next = self.draining.child_token();
        std::mem::replace(&mut self.checks, next.clone()).cancel();
        health::start(fleet, &config.health_check, &self.tasks, &next);
        summary::start(fleet, &config.monitoring, &self.tasks, &next);
    }
}

/// What a reload does not change, as sentences for the log.
fn needs_restart(before: &Config, after: &Config) -> Vec<String> {
    let address = |config: &Config| (config.server.host.clone(), config.server.port);
    let admin = |config: &Config| config.server.admin.as_ref().map(|admin| (admin.host.clone(), admin.port));
    let changes = [
        ("server.host and server.port", address(before) != address(after)),
        ("server.admin", admin(before) != admin(after)),
        ("monitoring.log_format", before.monitoring.log_format != after.monitoring.log_format),
    ];
    let changed = changes.iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| format!("{key}: the change takes effect at the next start only")).collect()
}

/// The files that a configuration is made of.
fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = vec![config.file.clone()];
    if let crate::config::StrategySource::File(file) = &config.strategy.source {
        files.push(file.clone());
    }
    if let Some(tls) = &config.server.tls {
        files.extend([tls.cert.clone(), tls.key.clone()]);
    }
    files
}

/// Looks at files, where a slow file system holds up no request.
async fn look(files: Vec<PathBuf>) -> Look {
    let look = || files.into_iter().map(|file| (print(&file), file)).map(|(print, file)| (file, print)).collect();
    // The task neither panics nor is aborted.
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// `None` when there is no such file, or it cannot be looked at.
fn print(file: &Path) -> Option<Print> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(file).ok()?;
    Some(Print {
        inode: found.ino(),
        length: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// What was seen of a file before, or else what is seen now.
fn known(seen: &Look, file: PathBuf, now: Option<Print>) -> (PathBuf, Option<Print>) {
    let before = seen.iter().find(|(other, _)| *other == file).map(|(_, print)| *print);
    (file, before.unwrap_or(now))
}
