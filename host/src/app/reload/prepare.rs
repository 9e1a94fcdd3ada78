//! The part of a reload that takes time and changes nothing: reading, compiling, trying. It runs on threads where it
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

/// The readings of a configuration whose mistake is a missing file: one more, after the file was looked at.
const READINGS: usize = 3;

/// A configuration as it was read.
pub struct Reading {
    /// The files that were watched before, and those that a refused configuration names.
    known: Vec<PathBuf>,
    /// These files, and those that the configuration names.
    pub files: Vec<PathBuf>,
    /// The state of the files before they were read: a later change is another cause.
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
        let (files, now) = match &read {
            Ok(config) => {
                let files = watch::with(known.clone(), &watch::files(config));
                let before = Look::before(config.begun, &files);
                (files, before)
            }
            Err(error) => {
                let files = watch::with(known.clone(), &error.names);
                let now = Look::at(&files);
                (files, now)
            }
        };
        let looked = looked.over(now);
        Reading { known, files, looked, config: read.map_err(anyhow::Error::from) }
    };
    let nothing = |error| Reading { known: Vec::new(), files: Vec::new(), looked: Look::default(), config: Err(error) };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| nothing(anyhow::Error::from(error)))
}

/// A preparation under way. Dropping it ends it: compilations that nobody else needs are stopped.
pub struct Preparation {
    errand: Errand,
    task: JoinHandle<Prepared>,
    /// The outcome, if it has ended and was not taken.
    unwanted: Option<Prepared>,
}

impl Preparation {
    /// Prepares the successor of a generation and its strategies from this reading. It replaces `older`, which keeps
    /// shared compilations until this one has taken them over.
    pub fn begin(reading: Reading, (generation, live): (Arc<Generation>, Vec<Live>), older: Option<&Self>) -> Self {
        let errand = older.map_or_else(Errand::default, |older| Errand::instead_of(older.errand.clone()));
        let work = errand.clone();
        let prepare = move || {
            let Reading { known, looked, config, .. } = reading;
            let approaches = &generation.approaches;
            let before = Before { fleet: &generation.fleet, routes: &generation.routes, live: &live, approaches };
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

    /// The outcome. It can be asked for only once.
    pub async fn prepared(&mut self) -> Prepared {
        (&mut self.task).await.unwrap_or_else(|error| (Look::default(), Err(error.into())))
    }

    /// Waits until it has stopped, and keeps its compilations for others that need them.
    pub async fn gone(&mut self) {
        if self.is_gone() {
            return;
        }
        self.unwanted = Some(self.prepared().await);
    }

    /// True when it has stopped.
    pub fn is_gone(&self) -> bool {
        self.unwanted.is_some()
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        self.errand.end();
    }
}
