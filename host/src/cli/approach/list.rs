//! `pointsman approach list`: the approaches that clients can choose.
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
use crate::approach::{Approach, Component, Entry, Registry, Unavailable};

#[derive(Debug, Args)]
pub struct List {
    /// List those of this configuration of a proxy too: the files in the folder `approaches` beside it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(list: &List) -> ExitCode {
    let entries = match &list.config {
        Some(file) if !file.is_file() => return wrong(&format!("approach list: there is no file {}", file.display())),
        Some(file) => file.parent().map(Entry::found_in).unwrap_or_default(),
        None => Vec::new(),
    };
    use_cache();
    let registry = Registry::new(entries.clone(), None);
    let loaded: Vec<_> =
        load(&registry).into_iter().map(|(name, loaded)| Listed::new(&entries, name, loaded)).collect();
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
    loaded: Loaded,
}

impl<'a> Listed<'a> {
    fn new(entries: &[Entry], name: &'a str, loaded: Loaded) -> Self {
        let file = entries.iter().find(|entry| entry.name == name).and_then(|entry| match &entry.component {
            Component::File(path) => Some(path.display().to_string()),
            Component::BuiltIn(_) => None,
        });
        Self { name, file, loaded }
    }

    fn words(&self) -> String {
        let file = self.file.as_ref().map(|file| format!("  ({file})")).unwrap_or_default();
        let mut text = format!("{}{file}", self.name);
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
        let mut listed = json!({"name": self.name, "file": self.file});
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
