//! `pointsman approach list`: the approaches that there are.
//!
//! Exit codes: 0 all of them load, 1 some do not, 2 the arguments are wrong.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::Args;
use serde_json::{Value, json};

use super::super::report::say_json;
use super::super::{say, use_cache, wrong};
use crate::approach::{Approach, Registry, Unavailable};
use crate::proxy::approach::Approaches;

#[derive(Debug, Args)]
pub struct List {
    /// List those of this configuration of a proxy: its own, and the files in the folder `approaches` beside it, too.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(list: &List) -> ExitCode {
    let config = match list.config.as_deref().map(|file| super::super::load(Some(file))).transpose() {
        Ok(config) => config,
        Err(problems) => return wrong(&problems),
    };
    use_cache();
    let approaches = config.as_ref().map(|config| Approaches::new(config, None)).unwrap_or_default();
    let loaded = load(&approaches.registry);
    let loaded: Vec<_> = loaded.into_iter().map(|(name, loaded)| Listed::new(&approaches, name, loaded)).collect();
    let ok = loaded.iter().all(|listed| listed.loaded.is_ok());
    if list.json {
        say_json(&json!({"approaches": loaded.iter().map(Listed::json).collect::<Vec<_>>()}));
    } else {
        say(&loaded.iter().map(Listed::words).collect::<Vec<_>>().join("\n\n"));
    }
    ExitCode::from(u8::from(!ok))
}

type Loaded = Result<Arc<Approach>, Unavailable>;

/// Loads all of them, on as many threads as there are processors: each takes a part of a second, if it is not in the cache.
fn load(registry: &Registry) -> Vec<(&str, Loaded)> {
    let names: Vec<&str> = registry.names().collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let part = |number: usize| {
        let mine = names.iter().skip(number).step_by(threads);
        mine.map(|name| (*name, registry.load(name))).collect::<Vec<_>>()
    };
    let mut loaded = thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|number| scope.spawn(move || part(number))).collect();
        parts.into_iter().filter_map(|part| part.join().ok()).flatten().collect::<Vec<_>>()
    });
    loaded.sort_by_key(|(name, _)| *name);
    loaded
}

struct Listed<'a> {
    name: &'a str,
    /// Its file; `None` for one in the binary.
    file: Option<String>,
    /// True when clients may choose it.
    is_allowed: bool,
    loaded: Loaded,
}

impl<'a> Listed<'a> {
    fn new(approaches: &Approaches, name: &'a str, loaded: Loaded) -> Self {
        let settings = &approaches.settings;
        let file = approaches.entry(name).path.clone().or_else(|| settings.found.get(name).cloned());
        let allow = settings.allow.as_ref();
        let is_allowed = allow.is_none_or(|allowed| allowed.iter().any(|(allowed, _)| allowed == name));
        Self { name, file: file.map(|file| file.display().to_string()), is_allowed, loaded }
    }

    fn words(&self) -> String {
        let file = self.file.as_ref().map(|file| format!("  ({file})")).unwrap_or_default();
        let allowed = if self.is_allowed { "" } else { "  (`approach.allow` leaves it out)" };
        let mut text = format!("{}{file}{allowed}", self.name);
        match &self.loaded {
            Ok(approach) => {
                let info = approach.info();
                let description =
                    if info.description.is_empty() { "It does not say what it does." } else { &info.description };
                let _ = write!(text, "\n  {description}");
                for (name, about) in &info.options {
                    let _ = write!(text, "\n    {name}: {about}");
                }
            }
            Err(error) => {
                let _ = write!(text, "\n  error: {}", chain(error));
            }
        }
        text
    }

    fn json(&self) -> Value {
        let mut listed = json!({"name": self.name, "file": self.file, "allowed": self.is_allowed});
        match &self.loaded {
            Ok(approach) => {
                let info = approach.info();
                let options = info.options.iter().map(|(name, about)| json!({"name": name, "about": about}));
                listed["description"] = json!(info.description);
                listed["version"] = json!(info.version);
                listed["options"] = options.collect();
                listed["many"] = json!(info.many);
                listed["tools"] = json!(info.tools);
            }
            Err(error) => listed["error"] = json!(chain(error)),
        }
        listed
    }
}

/// The error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
