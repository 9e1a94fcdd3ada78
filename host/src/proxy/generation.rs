//! The proxy as one configuration makes it. A reload makes the next generation; requests keep the one they began with.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};
use subtle::{Choice, ConstantTimeEq as _};

use super::approach::Approaches;
use super::limits::Accounts;
use super::visitors::Visitors;
use crate::clients::shown;
use crate::config::{Affinity, Attribute, Config, ModelNames, Secret, StreamUsage, WebSocket};
use crate::limits::{Book, Prices};
use crate::observe::trace::Tracing;
use crate::provider::Fleet;
use crate::routing::Routes;

/// One configuration in force.
#[derive(Debug)]
pub struct Generation {
    /// The number of the generation; that of the configuration at the start is 1.
    pub number: u64,
    /// The time since when it is in force.
    pub since: SystemTime,
    /// The providers.
    pub fleet: Arc<Fleet>,
    /// The routes: the providers of each model, and the strategy that decides.
    pub routes: Routes,
    /// The time that a request waits for a slot of one provider while another has one free.
    pub slot_wait: Duration,
    /// The longest time that a request waits for slots.
    pub queue_timeout: Duration,
    /// Attempts that a request is given after every candidate has failed softly.
    pub retries: u32,
    /// The longest time to fetch one provider's list of models.
    pub list_timeout: Duration,
    /// The age up to which a provider's list of models counts as fresh.
    pub list_interval: Duration,
    /// The web pages that requests may come from.
    pub visitors: Visitors,
    /// Headers about clients that providers get nevertheless.
    pub forward_headers: Vec<HeaderName>,
    /// The header that holds keys beside the usual ones, which providers do not get.
    pub clients_header: Option<HeaderName>,
    /// The most bytes of a body; larger ones are refused.
    pub max_body_bytes: usize,
    /// The time for which the server goes on before it drains.
    pub drain_delay: Duration,
    /// The longest time that a drain waits for requests in flight.
    pub drain_timeout: Duration,
    /// The time without a byte after which a stream gets a comment.
    pub keep_alive: Option<Duration>,
    /// The time limits of WebSockets.
    pub websocket: WebSocket,
    /// The parts of a request that tell which requests belong together.
    pub affinity: Affinity,
    /// The values of headers and bodies that strategies are told.
    pub attributes: Vec<Attribute>,
    /// The side whose name of the model stands in answers.
    pub model_names: ModelNames,
    /// The prices of tokens.
    pub prices: Arc<Prices>,
    /// True when the usage of every stream is needed.
    pub asks_for_usage: bool,
    /// The approaches that requests may choose.
    pub approaches: Arc<Approaches>,
    /// The accounts of those that have limits.
    pub accounts: Accounts,
    /// True when answers name the decision behind them.
    pub explain: bool,
    /// Gives requests their places in traces, where they are traced.
    pub tracing: Option<Tracing>,
    /// The callers that may use the routes for operators.
    pub operators: Operators,
}

/// The callers that may use `/metrics` and `/admin`.
#[derive(Clone, Debug)]
pub enum Operators {
    /// Anybody who reaches the second listener and shows its key, if it has one.
    SecondListener(Option<Secret>),
    /// Whoever shows a key of `server.api_keys`, or anybody on this machine if no key has to be shown.
    Clients,
}

impl Operators {
    /// True when operators must show a key of their own.
    pub fn have_key(&self) -> bool {
        matches!(self, Self::SecondListener(Some(_)))
    }
}

impl Generation {
    /// The generation of `config`, in force from now on. A second listener that the configuration names counts only if
    /// it exists: it is bound only at the start. Limits count on in `book`.
    pub fn new(
        number: u64,
        config: &Config,
        (fleet, routes, approaches): (Arc<Fleet>, Routes, Arc<Approaches>),
        book: Arc<Book>,
        second_listener: bool,
    ) -> Self {
        let operators = match &config.server.admin {
            Some(admin) if second_listener => Operators::SecondListener(admin.api_key.clone()),
            _ => Operators::Clients,
        };
        fleet.grant(&book);
        Self {
            number,
            since: SystemTime::now(),
            fleet,
            routes,
            slot_wait: config.queue.slot_wait,
            queue_timeout: config.queue.timeout,
            retries: config.retries,
            list_timeout: config.health_check.timeout,
            // Active checks fetch the list as well; a provider is asked for it only without them.
            list_interval: config.health_check.interval.mul_f64(1.25),
            visitors: Visitors { origins: config.server.cors_origins.clone(), hosts: config.server.hosts.clone() },
            forward_headers: config.server.forward_headers.clone(),
            clients_header: config.clients.header.clone(),
            max_body_bytes: config.server.max_body_bytes,
            drain_delay: config.server.drain_delay,
            drain_timeout: config.server.drain_timeout,
            keep_alive: config.server.keep_alive,
            websocket: config.server.websocket,
            affinity: config.affinity.clone(),
            attributes: config.attributes.clone(),
            model_names: config.model_names,
            prices: Arc::new(Prices::new(config)),
            asks_for_usage: config.monitoring.usage == StreamUsage::Always || config.counts_tokens(),
            approaches,
            accounts: Accounts::of(config, book),
            explain: config.monitoring.explain,
            tracing: config.telemetry.traces.as_ref().map(Tracing::of),
            operators,
        }
    }
}

/// True when a request shows this key, wherever clients may show theirs. The time of the comparison says nothing about
/// the key.
pub fn shows(key: &Secret, headers: &HeaderMap) -> bool {
    let same = |shown: &[u8]| key.reveal().as_bytes().ct_eq(shown);
    bool::from(shown(headers, None).fold(Choice::from(0), |accepted, shown| accepted | same(shown)))
}
