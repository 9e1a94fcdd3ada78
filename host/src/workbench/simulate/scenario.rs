//! What a user writes: traffic, a proxy, and how its providers behave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{self, Config, Env, Findings, LoadError, Node, Place, Problem};

mod read;

/// Requests of one simulation: what its percentiles need of memory is bounded.
pub const MAX_REQUESTS: f64 = 10_000_000.0;

/// The proxy's strategy when neither the scenario nor a command names one.
const DEFAULT: &str = "round_robin";

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file it came from.
    pub file: PathBuf,
    /// What it says.
    pub script: Script,
    /// A configuration as for a server, with what may be left out of it here.
    proxy: Node,
}

/// What the file says.
#[derive(Clone, Debug)]
pub struct Script {
    /// A title.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// What all chance follows from.
    pub seed: u64,
    /// For how many seconds requests come.
    pub duration: f64,
    /// What comes.
    pub traffic: Traffic,
    /// How the providers behave, by name.
    pub providers: BTreeMap<String, Behaviour>,
}

/// The requests that come.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Requests per second.
    pub rate: f64,
    /// Times at which it is another.
    pub bursts: Vec<Burst>,
    /// The model that is asked for.
    pub model: String,
    /// The share of requests that want a stream, 0 to 1.
    pub streaming: f64,
    /// Tokens of a request.
    pub input_tokens: Spread,
    /// Tokens of an answer.
    pub output_tokens: Spread,
    /// How many sessions the requests belong to; without it, to none.
    pub sessions: Option<u32>,
}

/// A while with another rate.
#[derive(Clone, Debug)]
pub struct Burst {
    /// Seconds from the beginning.
    pub from: f64,
    /// Likewise.
    pub until: f64,
    /// Requests per second.
    pub rate: f64,
}

/// A log-normal distribution.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Half are below.
    pub median: f64,
    /// One in twenty is above.
    pub p95: f64,
}

/// How a provider behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Seconds from the request to the first token.
    pub first_token: Spread,
    /// Tokens per second from then on.
    pub tokens_per_second: f64,
    /// Requests that it works on at once; others wait there.
    pub slots: Option<u32>,
    /// Beyond so many it answers 429; it saves up to a tenth of a minute.
    pub requests_per_minute: Option<f64>,
    /// The share of requests that it answers with 500, 0 to 1.
    pub errors: f64,
    /// Seconds that it takes to answer an active check; at once without.
    pub check: Option<f64>,
    /// It remembers what it has read.
    pub cache: Option<Cache>,
    /// Times at which it behaves differently.
    pub events: Vec<Event>,
}

/// The beginnings of conversations that a provider need not read again.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// How many sessions it remembers, the latest.
    pub sessions: usize,
    /// What the time to the first token is multiplied by for one of them.
    pub factor: f64,
}

/// A while in which a provider behaves differently.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Seconds from the beginning.
    pub from: f64,
    /// Likewise.
    pub until: f64,
    /// It refuses connections.
    pub down: bool,
    /// What all its times are multiplied by.
    pub slow: f64,
    /// The share of requests that it answers with 500.
    pub errors: Option<f64>,
}

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file is wrong: everything that is.
    #[error(transparent)]
    Invalid(#[from] LoadError),
    /// The name that was asked for beside the file is that of no strategy.
    #[error("{message}{}", help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default())]
    Strategy {
        /// What is wrong.
        message: String,
        /// A remedy: what would be right.
        help: Option<String>,
    },
}

impl Scenario {
    /// Reads and checks a file, its proxy included, but for what the proxy says of its strategy: a command may say it better.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it at once.
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

    /// Says more of a strategy than the scenario does: the file it is in, and its config. A file for which there is no
    /// config takes that of the strategy which the scenario calls by the file's stem.
    pub fn declare(&mut self, strategy: &str, file: Option<&Path>, config: Option<Value>) {
        let stem = file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        // What is wrong with the proxy says `config`.
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

/// Lets a proxy route with this strategy.
fn choose(proxy: &mut Node, strategy: &str) {
    if let Some(chosen) = proxy.entry("routing").and_then(|routing| routing.entry("strategy")) {
        *chosen = Node::text(strategy);
    }
}
