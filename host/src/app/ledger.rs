//! The ledger of a server: what is in memory, the folder if there is one, and who listens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config, LoadError};
use crate::observe::Ledger;
use crate::observe::ledger::folder::{OpenError, ROOM, Reading, Writer};
use crate::observe::ledger::{Filter, Record};
use crate::proxy::Proxy;
use crate::proxy::respond::chain;

/// The interval at which the ledger does what is due.
const TICK: Duration = Duration::from_millis(100);

/// The ledger, and the writer of its folder.
pub(super) struct Kept {
    pub ledger: Arc<Ledger>,
    writer: Option<Writer>,
}

impl Kept {
    /// Opens what a configuration names. The stories of before are read in the background, by [`Kept::start`].
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the folder cannot be used.
    pub fn open(config: &Config) -> Result<Self, LoadError> {
        let config::Ledger { stories, folder } = &config.monitoring.ledger;
        let writer = folder.as_ref().map(Writer::open).transpose();
        let writer = writer.map_err(|error| {
            let line = folder.as_ref().map_or(0, |folder| folder.line);
            let help = match &error {
                OpenError::InUse => "give each server a folder of its own",
                OpenError::Folder(_) => "name a folder that this user may write to",
            };
            LoadError::one(config, line, "monitoring.ledger.path", chain(&error), Some(help.to_owned()))
        })?;
        let reading = folder.as_ref().map(|folder| Reading::of(&folder.path));
        Ok(Self { ledger: Ledger::new(*stories, reading), writer })
    }

    /// Begins to write to the folder, until `stop`; the task in `tasks` ends when all is written.
    pub fn start(self, tasks: &TaskTracker, stop: CancellationToken) {
        let Some(writer) = self.writer else { return };
        let (ledger, records) = (Arc::clone(&self.ledger), self.ledger.listen(ROOM));
        tasks.spawn(async move {
            let remembered = tokio::task::spawn_blocking(move || remember(&ledger));
            writer.run(records, stop).await;
            remembered.abort();
        });
    }
}

/// Puts the latest stories of the folder into memory.
fn remember(ledger: &Ledger) {
    let Some(reading) = ledger.reading() else { return };
    let (mut latest, capacity) = (Vec::<Record>::new(), ledger.capacity());
    let filter = Filter { inner: true, ..Filter::default() };
    let mut see = |record| {
        latest.push(record);
        latest.len() < capacity
    };
    if capacity == 0 {
        return;
    }
    if let Err(error) = reading.backwards(&filter, &mut see) {
        tracing::warn!("the stories of before cannot be read: {error}");
    }
    latest.reverse();
    ledger.remember(latest);
}

/// Has the ledger of a proxy do what is due, until `stop`.
pub(super) async fn settle(proxy: Arc<Proxy>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
        if proxy.ledger().is_due(Instant::now(), proxy.generation().number) {
            let ledger = Arc::clone(proxy.ledger());
            // Thousands of stories take milliseconds, for which no request shall wait.
            if tokio::task::spawn_blocking(move || ledger.settle()).await.is_err() {
                return;
            }
        }
    }
}
