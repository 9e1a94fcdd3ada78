//! The settings of the two listeners, which a reload changes.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::listener::{Settings, Traffic, descriptors};

/// The settings of the listeners, and the counters of the one for clients.
#[derive(Clone)]
pub(super) struct Doors {
    pub clients: Arc<ArcSwap<Settings>>,
    /// The settings for operators: those for clients, without TLS, since that listener is for this machine or a private
    /// network.
    pub operators: Arc<ArcSwap<Settings>>,
    pub traffic: Arc<Traffic>,
}

impl Doors {
    pub fn new(config: &Config, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let [clients, operators] = Self::settings(config, tls).map(|settings| Arc::new(ArcSwap::new(settings)));
        Self { clients, operators, traffic: Arc::default() }
    }

    /// Sets them for connections that come from now on.
    pub fn change(&self, config: &Config, tls: Option<Arc<rustls::ServerConfig>>) {
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
