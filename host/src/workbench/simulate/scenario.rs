//! A scenario as the user writes it: traffic, a proxy's configuration, and the behaviour of its providers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{self, Config, Env, Findings, LoadError, Node, Place, Problem};
use crate::observe::ledger::Time;

mod clients;
mod read;

/// The most requests of one simulation, to bound the memory for percentiles.
pub const MAX_REQUESTS: f64 = 10_000_000.0;

/// The default strategy.
const DEFAULT: &str = "round_robin";

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file it came from.
    pub file: PathBuf,
    /// Its content.
    pub script: Script,
    /// The configuration of a server, with the values that a scenario may leave out filled in.
    proxy: Node,
}

/// The content of the file.
#[derive(Clone, Debug)]
pub struct Script {
    /// A title.
    pub name: String,
    /// A description.
    pub description: String,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The number of seconds during which requests come.
    pub duration: f64,
    /// The traffic.
    pub traffic: Traffic,
    /// The behaviour of each provider, by name.
    pub providers: BTreeMap<String, Behaviour>,
}

/// The requests that come.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The ledger whose requests are played as they came; `None` is to draw them.
    pub recorded: Option<Recorded>,
    /// Requests per second.
    pub rate: f64,
    /// Times with another rate.
    pub bursts: Vec<Burst>,
    /// The client that they come from, by its name under `proxy.clients.keys`; `None` is nobody in particular.
    pub client: Option<String>,
    /// The requested model.
    pub model: String,
    /// The share of requests that want a stream, 0 to 1.
    pub streaming: f64,
    /// Tokens of a request.
    pub input_tokens: Spread,
    /// Tokens of an answer.
    pub output_tokens: Spread,
    /// The number of sessions that the requests belong to; `None` means no sessions.
    pub sessions: Option<u32>,
}

/// Requests as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The folder of a ledger, or one of its files.
    pub ledger: PathBuf,
    /// The beginning of the first request.
    pub since: Time,
    /// The beginning of the last one.
    pub until: Time,
}

/// A period with another rate.
#[derive(Clone, Debug)]
pub struct Burst {
    /// Seconds from the beginning.
    pub from: f64,
    /// The end, likewise.
    pub until: f64,
    /// Requests per second.
    pub rate: f64,
    /// The client that the requests come from; `None` is that of the traffic.
    pub client: Option<String>,
}

/// A log-normal distribution.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The 95th percentile.
    pub p95: f64,
}

/// The behaviour of a provider.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Seconds from the request to the first token.
    pub first_token: Spread,
    /// Tokens per second after the first token.
    pub tokens_per_second: f64,
    /// The times of those of its models that take other times, by the names that it has for them.
    pub models: BTreeMap<String, ModelBehaviour>,
    /// The number of requests that it works on at once; others wait at the provider.
    pub slots: Option<u32>,
    /// The rate limit, beyond which it answers 429; it accumulates up to a tenth of a minute of unused requests.
    pub requests_per_minute: Option<f64>,
    /// The limit of tokens, of requests and answers, beyond which it answers 429; it accumulates up to a minute of unused
    /// tokens.
    pub tokens_per_minute: Option<f64>,
    /// True when its answers say what is left of its limits, in the headers of OpenAI.
    pub tells_limits: bool,
    /// The share of requests that it answers with 500, 0 to 1.
    pub errors: f64,
    /// Seconds until it answers an active check; `None` means at once.
    pub check: Option<f64>,
    /// Its cache of conversations.
    pub cache: Option<Cache>,
    /// Times with another behaviour.
    pub events: Vec<Event>,
}

impl Behaviour {
    /// One that answers at once, and has no limits.
    pub const NONE: Self = Self {
        first_token: Spread { median: 0.001, p95: 0.001 },
        tokens_per_second: 1e6,
        models: BTreeMap::new(),
        slots: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        tells_limits: false,
        errors: 0.0,
        check: None,
        cache: None,
        events: Vec::new(),
    };
}

/// The times of one model of a provider.
#[derive(Clone, Copy, Debug)]
pub struct ModelBehaviour {
    /// Seconds from the request to the first token.
    pub first_token: Spread,
    /// Tokens per second after the first token.
    pub tokens_per_second: f64,
}

/// A cache of the beginnings of conversations, which a provider need not process again.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// The number of latest sessions in the cache.
    pub sessions: usize,
    /// The factor for the time to the first token of a cached session.
    pub factor: f64,
}

/// A period in which a provider behaves differently.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Seconds from the beginning.
    pub from: f64,
    /// The end, likewise.
    pub until: f64,
    /// It refuses connections.
    pub down: bool,
    /// The factor for all its times.
    pub slow: f64,
    /// The share of requests that it answers with 500.
    pub errors: Option<f64>,
}

/// The reason why a scenario cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file has mistakes: all of them.
    #[error(transparent)]
    Invalid(#[from] LoadError),
    /// No strategy has the name that was given besides the file.
    #[error("{message}{}", help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default())]
    Strategy {
        /// The message.
        message: String,
        /// The remedy.
        help: Option<String>,
    },
}

impl Scenario {
    /// Reads and checks a file, including its proxy, except for the proxy's strategy, which a command may replace.
    ///
    /// # Errors
    ///
    /// All mistakes at once.
    pub fn load(file: &Path, env: &Env<'_>) -> Result<Self, LoadError> {
        let mut findings = Findings::new(file);
        let text = std::fs::read_to_string(file)
            .map_err(|error| findings.problem(&Place::file(), format!("cannot be read: {error}"), None));
        let root = text.and_then(|text| config::tree(&text, &mut findings));
        let read = root.ok().and_then(|root| read::read(root.as_ref(), file, env, &mut findings));
        findings.conclude(|_warnings| read.map(|(script, proxy)| Self { file: file.to_owned(), script, proxy }))
    }

    /// The name of its proxy's strategy, if it names one.
    pub fn strategy(&self) -> Option<&str> {
        self.proxy.get("routing")?.get("strategy")?.as_text()
    }

    /// Adds the file and the config of a strategy. A file without a config takes the one that the scenario has for the
    /// file's stem.
    pub fn declare(&mut self, strategy: &str, file: Option<&Path>, config: Option<Value>) {
        let stem = file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        // `config` reports mistakes in the proxy's configuration.
        let Some(known) = self.proxy.entry("strategies") else { return };
        let of_stem = stem.and_then(|stem| known.get(&stem)?.get("config").cloned());
        let Some(entry) = known.entry(strategy) else { return };
        if let (Some(file), Some(path)) = (file, entry.entry("path")) {
            *path = Node::text(file.to_string_lossy());
        }
        if let Some(here) = entry.entry("config") {
            match config {
                Some(config) => *here = Node::of_json(&config),
                None if here.is_null() => *here = of_stem.unwrap_or_else(|| here.clone()),
                None => {}
            }
        }
    }

    /// The configuration of its proxy, with this strategy.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`]
    pub fn config(&self, strategy: &str, env: &Env<'_>, builtins: &[&str]) -> Result<Config, ScenarioError> {
        let mut proxy = self.proxy.clone();
        let is_its_own = self.strategy() == Some(strategy);
        if !is_its_own {
            choose(&mut proxy, strategy);
        }
        config::within(&proxy, "proxy", &self.file, env, builtins).map_err(|error| {
            let of_command = |problem: &&Problem| !is_its_own && problem.key == "proxy.routing.strategy";
            match error.problems.iter().find(of_command) {
                Some(Problem { message, help, .. }) => {
                    ScenarioError::Strategy { message: message.clone(), help: help.clone() }
                }
                None => error.into(),
            }
        })
    }
}

/// Makes a proxy use this strategy, which then is no shadow any more.
fn choose(proxy: &mut Node, strategy: &str) {
    let Some(routing) = proxy.entry("routing") else { return };
    if let Some(shadows) = routing.entry_of("shadow") {
        shadows.take_out(strategy);
    }
    if let Some(chosen) = routing.entry("strategy") {
        *chosen = Node::text(strategy);
    }
}
