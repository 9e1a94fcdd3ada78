//! The engines behind limits, as a configuration names them: started before anything listens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clients::{Keys, Store};
use crate::config::{Config, KeyStore, LoadError};
use crate::limits::terms::{Engine, Terms};
use crate::limits::{Book, Clock};
use crate::proxy::Proxy;
use crate::proxy::respond::chain;
use crate::state::Engines;
use crate::state::local::{self, Local, OpenError};
use crate::state::valkey::Valkey;

/// Replicas tell each other of limits of providers at this interval.
const EXCHANGE: Duration = Duration::from_millis(100);

/// What has begun before there is a proxy.
pub struct Begun {
    /// The engines.
    pub engines: Arc<Engines>,
    /// All counters.
    pub book: Arc<Book>,
    store: Option<Arc<Local>>,
}

/// Opens the file and connects to the engine, if the configuration names them.
///
/// # Errors
///
/// [`LoadError`] when the file cannot be used. An engine that does not answer is no error.
pub async fn begin(config: &Config, clock: &Arc<Clock>, book: Arc<Book>) -> anyhow::Result<Begun> {
    let store = match &config.clients.store {
        Some(KeyStore::File(path)) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || Local::open(&path)).await;
            let opened = opened.context("opening clients.store panicked")?;
            Some(Arc::new(opened.map_err(|error| problem(config, &error))?))
        }
        Some(KeyStore::Engine) | None => None,
    };
    let valkey = match &config.state {
        Some(state) => {
            let terms = Arc::new(Terms::default());
            book.share(Arc::clone(&terms));
            let started = Valkey::start(state, Arc::clone(&terms), Arc::clone(&book), Arc::clone(clock)).await;
            let valkey = Arc::new(started.context("the thread for `state:` cannot be started")?);
            let engine: Arc<dyn Engine> = Arc::clone(&valkey) as Arc<dyn Engine>;
            terms.set_engine(Arc::downgrade(&engine));
            Some(valkey)
        }
        None => None,
    };
    Ok(Begun { engines: Arc::new(Engines::new(valkey)), book, store })
}

impl Begun {
    /// Takes over what the file holds, and begins to keep in it what changes.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the file cannot be read.
    pub async fn keep(&mut self, config: &Config, proxy: &Proxy, clients: &Keys) -> Result<(), LoadError> {
        let records: Arc<dyn Store> = match (&config.clients.store, self.store.take(), self.engines.valkey()) {
            (Some(KeyStore::File(_)), Some(store), _) => {
                let kept = self.engines.keep(Arc::clone(&store), &self.book, proxy.spend());
                kept.map_err(|error| problem(config, &error))?;
                Arc::new(local::keys::Records::new(store))
            }
            (Some(KeyStore::Engine), _, Some(valkey)) => Arc::clone(valkey.records()) as Arc<dyn Store>,
            _ => return Ok(()),
        };
        if let Err(error) = clients.keep_in(records).await {
            tracing::warn!("clients.store: the keys made at run time are not known yet: {error}");
        }
        Ok(())
    }
}

fn problem(config: &Config, error: &OpenError) -> LoadError {
    LoadError::one(config, 0, "clients.store.path", chain(error), Some(error.help().to_owned()))
}

/// Has replicas that share an engine obey the limits of providers that one of them has met, and check what one of them has
/// ejected; runs until `stop`.
pub async fn exchange(proxy: Arc<Proxy>, engines: Arc<Engines>, stop: CancellationToken) {
    let Some(valkey) = engines.valkey() else { return };
    let mut heard = Vec::new();
    while stop.run_until_cancelled(tokio::time::sleep(EXCHANGE)).await.is_some() {
        let fleet = Arc::clone(&proxy.generation().fleet);
        heard = valkey.exchange(fleet.met(&heard));
        fleet.heed(&heard);
    }
}
