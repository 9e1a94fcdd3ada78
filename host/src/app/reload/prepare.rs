//! The part of a reload that takes its time and changes nothing: reading, compiling, trying. It works on threads where it
//! holds up no request.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Source;
use crate::app::assemble::{Assembly, Before, Live, assemble};
use crate::app::watch::{self, Look};
use crate::config::{Config, LoadError};
use crate::proxy::generation::Generation;
use crate::wasm::Errand;

/// Readings of a configuration whose mistake is a file that is not there: one more, after the file was looked at.
const READINGS: usize = 3;

/// A configuration as it was read.
pub struct Reading {
    /// Those that were watched before, and those that a refused configuration names.
    known: Vec<PathBuf>,
    /// They, and those that the configuration names.
    pub files: Vec<PathBuf>,
    /// The state of the files before they were read: what changes from then on is another change.
    pub looked: Look,
    config: anyhow::Result<Config>,
}

/// The look of the files that were read, and the result of preparing them.
pub type Prepared = (Look, anyhow::Result<Assembly>);

/// Reads the configuration, while the files in `known` are watched.
pub async fn read(source: Source, mut known: Vec<PathBuf>) -> Reading {
    let read = move || {
        let mut looked = Look::at(&known);
        let mut read = source();
        // A file that arrives after it was found missing, and before it is looked at, would be missed.
        for _ in 1..READINGS {
            let Err(error) = &read else { break };
            if error.names.iter().all(|name| known.contains(name)) {
                break;
            }
            known = watch::with(known, &error.names);
            looked = Look::at(&known);
            read = source();
        }
        let files = match &read {
            Ok(config) => watch::with(known.clone(), &watch::files(config)),
            Err(error) => watch::with(known.clone(), &error.names),
        };
        // Those of strategies are read later than this.
        let looked = looked.over(Look::at(&files));
        Reading { known, files, looked, config: read.map_err(anyhow::Error::from) }
    };
    let nothing = |error| Reading { known: Vec::new(), files: Vec::new(), looked: Look::default(), config: Err(error) };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| nothing(anyhow::Error::from(error)))
}

/// A preparation under way. Dropped, it ends: what it compiles for nobody else is compiled no further.
pub struct Preparation {
    errand: Errand,
    task: JoinHandle<Prepared>,
    /// The outcome, if it has ended and nobody wanted it.
    unwanted: Option<Prepared>,
}

impl Preparation {
    /// Prepares what was read to follow a generation and its strategies; in the place of `older`, which lets go of what both need only when
    /// this one has got hold of it.
    pub fn begin(reading: Reading, (generation, live): (Arc<Generation>, Vec<Live>), older: Option<&Self>) -> Self {
        let errand = older.map_or_else(Errand::default, |older| Errand::instead_of(older.errand.clone()));
        let work = errand.clone();
        let prepare = move || {
            let Reading { known, looked, config, .. } = reading;
            let before = Before { fleet: &generation.fleet, routes: &generation.routes, live: &live };
            let prepared = config.and_then(|config| assemble(config, Some(&before)));
            let files = match &prepared {
                Ok(prepared) => watch::files(&prepared.config),
                Err(error) => match error.downcast_ref::<LoadError>() {
                    Some(error) => watch::with(known, &error.names),
                    None => known,
                },
            };
            (looked.over(Look::at(&files)), prepared)
        };
        let task = tokio::task::spawn_blocking(move || work.run(prepare));
        Self { errand, task, unwanted: None }
    }

    /// The outcome; to be asked for once.
    pub async fn prepared(&mut self) -> Prepared {
        (&mut self.task).await.unwrap_or_else(|error| (Look::default(), Err(error.into())))
    }

    /// Waits until it is at work no more, and keeps what it has compiled for those who need it too.
    pub async fn gone(&mut self) {
        if self.is_gone() {
            return;
        }
        self.unwanted = Some(self.prepared().await);
    }

    /// True when it is at work no more.
    pub fn is_gone(&self) -> bool {
        self.unwanted.is_some()
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        self.errand.end();
    }
}
