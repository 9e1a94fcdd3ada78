//! Requests that approaches answer: from the choice of one to the answer.
//!
//! A request is planned before it takes a slot (`plan`): whatever is wrong with it is said then. Its course runs in ONE task,
//! that of the client's request: guests are coroutines, and their wants become `inner` requests, which go through the
//! queue, the strategy, failover and limits as any request does. A client that leaves drops it all.
//!
//! | file | |
//! | --- | --- |
//! | `plan` | checks the request; says which approaches run over what |
//! | `course` | runs them, one after the other and side by side |
//! | `stage` | one run of one approach: answers what its guest wants |
//! | `inner` | one question to the model |
//! | `body`, `conversation`, `object` | what goes to the model, byte for byte where it is the client's |
//! | `completion`, `events`, `kept` | what comes back, and what was spent |
//! | `answer`, `outbox` | what the client gets |

pub(crate) mod answer;
mod body;
mod completion;
mod conversation;
mod course;
mod events;
mod inner;
mod kept;
mod load;
mod object;
mod outbox;
pub(super) mod plan;
mod refusal;
mod stage;
mod unwanted;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use super::request::{Approach, Menu};
use crate::approach::record::Recorder;
use crate::approach::{self, Registry};
use crate::config::{self, ApproachEntry};
use inner::Asking;
use kept::{Kept, Limits, Purse};
use outbox::Outbox;
use unwanted::Peculiarities;

pub use answer::Running;
pub use load::{load, record};
pub use plan::Agenda;
pub use refusal::Refusal;

/// The approaches of one configuration.
pub struct Approaches {
    /// The settings of all.
    pub settings: Arc<config::Approaches>,
    /// The components by name.
    pub registry: Registry,
    /// The settings of those that have an entry.
    pub entries: HashMap<String, Arc<ApproachEntry>>,
    /// What requests can choose from.
    pub menu: Arc<Menu>,
    /// What a request gets that chooses none, by the route that it takes.
    pub of_routes: HashMap<String, Approach>,
    /// What it gets on every other route; `None` is plain proxying.
    pub default: Option<Approach>,
    /// What models have been seen to refuse.
    pub peculiarities: Arc<Peculiarities>,
    /// Writes down every run, if anybody wants that.
    pub recorder: OnceLock<Arc<Recorder>>,
}

impl fmt::Debug for Approaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approaches").field("menu", &self.menu).finish_non_exhaustive()
    }
}

impl Default for Approaches {
    /// None that requests could choose.
    fn default() -> Self {
        Self {
            settings: Arc::default(),
            registry: Registry::new([], None),
            entries: HashMap::new(),
            menu: Arc::default(),
            of_routes: HashMap::new(),
            default: None,
            peculiarities: Arc::default(),
            recorder: OnceLock::new(),
        }
    }
}

impl Approaches {
    /// Those of a configuration, of which nothing is loaded yet; what `before` has loaded is kept where it is the same.
    pub fn new(config: &config::Config, before: Option<&Approaches>) -> Self {
        let settings = &config.approaches;
        let found = settings.found.iter().map(|(name, path)| approach::Entry::file(name, path));
        let declared = settings.entries.iter();
        let declared = declared.filter_map(|entry| match (&entry.path, &entry.image) {
            (Some(path), _) => Some(approach::Entry::file(&entry.name, path)),
            (None, Some(image)) => Some(approach::Entry::image(&entry.name, image.clone())),
            (None, None) => None,
        });
        let limits = config.strategy.limits;
        let built_in = settings.entries.iter().filter(|entry| {
            entry.path.is_none() && entry.image.is_none() && approach::builtins().contains(&entry.name.as_str())
        });
        let built_in = built_in.map(|entry| approach::Entry::built_in(&entry.name));
        let memory_of = |name: &str| settings.entries.iter().find(|entry| entry.name == name).map(|entry| entry.memory);
        let limited = |entry: approach::Entry| {
            let memory = memory_of(&entry.name).unwrap_or(entry.memory);
            approach::Entry { limits, memory, ..entry }
        };
        // Of one name the last counts: a file in the folder before what is built in, and an entry with a path before both.
        let entries = built_in.chain(found).chain(declared).map(limited);
        let registry = Registry::new(entries, before.map(|before| &before.registry));
        let is_allowed =
            |name: &str| settings.allow.as_ref().is_none_or(|allow| allow.iter().any(|(one, _)| one == name));
        let (available, forbidden): (BTreeSet<String>, BTreeSet<String>) =
            registry.names().map(str::to_owned).partition(|name| is_allowed(name));
        let menu = Arc::new(Menu::new(available, forbidden, listed(config)));
        let entries = settings.entries.iter().map(|entry| (entry.name.clone(), Arc::new(entry.clone()))).collect();
        Self {
            settings: Arc::new(settings.clone()),
            registry,
            entries,
            menu,
            of_routes: HashMap::new(),
            default: None,
            peculiarities: Arc::default(),
            recorder: OnceLock::new(),
        }
    }

    /// True when a request may get an approach that chooses none.
    pub fn has_defaults(&self) -> bool {
        self.default.is_some() || !self.of_routes.is_empty()
    }

    /// The approach of a request that chooses none.
    pub fn default_of(&self, route: &str) -> Option<&Approach> {
        self.of_routes.get(route).or(self.default.as_ref())
    }

    /// The settings of an approach.
    pub fn entry(&self, name: &str) -> Arc<ApproachEntry> {
        self.entries.get(name).cloned().unwrap_or_else(|| Arc::new(ApproachEntry::new(name)))
    }
}

/// The models that the configuration lists by name: no prefix is cut from them.
fn listed(config: &config::Config) -> HashSet<String> {
    let of_providers =
        config.providers.iter().flat_map(|provider| provider.models.iter().chain(provider.model_map.keys()));
    let of_routes = config.routes.iter().flat_map(|route| &route.models);
    of_providers.chain(of_routes).filter(|model| !model.contains('*')).cloned().collect()
}

/// One approach of a request, ready to run.
pub struct Member {
    /// The name by which the client chose it; `proxy` for the plain answer.
    pub name: String,
    /// Its component; `None` is the plain answer of the model.
    pub approach: Option<Arc<approach::Approach>>,
    /// A JSON object: the operator's configuration, and over it the client's options.
    pub config: String,
    /// Its settings.
    pub entry: Arc<ApproachEntry>,
    /// The choices that it may ask for in this request, wherever in the combination it stands.
    pub purse: Arc<Purse>,
}

/// Everything that the runs of one request share.
struct Shared {
    pub asking: Asking,
    pub settings: Arc<config::Approaches>,
    pub peculiarities: Arc<Peculiarities>,
    pub kept: Kept,
    pub limits: Limits,
    /// For a client that reads a stream.
    pub outbox: Option<Arc<Outbox>>,
    /// Milliseconds since 1970 when it began.
    pub now_ms: u64,
    /// Random bits of the request.
    pub entropy: u64,
    /// Counts runs.
    pub runs: AtomicU32,
    /// Sequences that run side by side.
    pub width: u32,
}
