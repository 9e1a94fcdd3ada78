//! `routing.strategy` and `strategies`: the strategies that the configuration names, and where their components are.
//!
//! The strategy loader checks whether a file holds a component of the right world.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::image::{Registries, image};
use super::problem::{Place, Reported, quoted, suggest};
use super::read::{Reader, Section, Text, Zero};
use super::schema::{STRATEGY, STRATEGY_LIMITS};
use super::{Grants, StrategyChoice, StrategyLimits, StrategySource};

/// The strategy to use when none is named.
const DEFAULT: &str = "round_robin";

/// The strategies that OptiLLM's documentation names.
const SPECIFIED: [&str; 3] = ["failover", "round_robin", "weighted"];

/// The places in which a named strategy is looked for.
pub(super) struct Sources<'a> {
    /// The folder of the configuration file; empty for the current one.
    pub folder: &'a Path,
    /// The names of the built-in strategies.
    pub builtins: &'a [&'a str],
    /// The registries that the configuration names.
    pub registries: &'a Registries,
}

/// One entry under `strategies`; `source` is `None` after a problem.
struct Declared<'n> {
    name: &'n str,
    at: Place,
    source: Option<StrategySource>,
    config: serde_json::Value,
    grants: Grants,
    /// True once a route or `routing` uses it.
    chosen: Cell<bool>,
}

/// All strategies that a name can refer to.
pub(super) struct Known<'n> {
    declared: Vec<Declared<'n>>,
    /// The stems of the files in the folder `strategies/`.
    found: BTreeSet<String>,
    sources: Sources<'n>,
    limits: StrategyLimits,
}

/// The key under `strategies` that does not name a strategy.
const LIMITS: &str = "limits";

/// The most shadows; more are a mistake.
const MAX_SHADOWS: usize = 8;

/// Reads `strategies`; every entry is checked, used or not.
pub(super) fn known<'n>(reader: &mut Reader<'_>, top: &Section<'n>, sources: Sources<'n>) -> Known<'n> {
    let found = in_folder(sources.folder, "strategies");
    let strategies = reader.section(top, "strategies", None);
    let limits = limits(reader, &strategies);
    let declared = declared(reader, (top, &strategies), &sources, &found);
    Known { declared, found, sources, limits }
}

/// The strategy of `routing`, and its shadows.
pub(super) fn choose(reader: &mut Reader<'_>, routing: &Section<'_>, known: &Known<'_>) -> Option<Strategies> {
    let found = reader.text(routing, "strategy").ok()?.unwrap_or_else(|| {
        let at = Place { line: 0, ..routing.at.key("strategy", 0) };
        Text { at, text: DEFAULT.to_owned(), shown: quoted(DEFAULT), written: true, stray: false }
    });
    let chosen = known.resolve(reader, found);
    let mut shadows = Vec::new();
    let listed = reader.list(routing, "shadow");
    if let Some((at, _)) = listed.get(MAX_SHADOWS) {
        reader.findings.problem(at, format!("is one too many: at most {MAX_SHADOWS} shadows are allowed"), None);
    }
    for (at, node) in listed {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        if shadows.iter().chain(&chosen).any(|other: &StrategyChoice| other.name == found.text) {
            let help = "each name stands for one strategy; to try another config of the same one, give it its own name under \
                        `strategies`, with a `path` or `built_in`";
            reader.findings.problem(
                &found.at,
                format!("{} is already in use, as the strategy or as a shadow", found.shown),
                Some(help.to_owned()),
            );
        } else {
            shadows.extend(known.resolve(reader, found));
        }
    }
    let (limits, line) = (known.limits, routing.at.line);
    let declared = known.declared.iter().filter_map(|Declared { name, source, config, grants, .. }| {
        let (source, config) = (source.clone()?, config.clone());
        Some(StrategyChoice { name: (*name).to_owned(), source, config, grants: *grants, limits, line })
    });
    Some(Strategies { declared: declared.collect(), chosen: chosen?, shadows })
}

/// The strategies of a configuration.
pub(super) struct Strategies {
    pub chosen: StrategyChoice,
    pub shadows: Vec<StrategyChoice>,
    /// All under `strategies`.
    pub declared: Vec<StrategyChoice>,
}

impl Known<'_> {
    /// The strategy that a name refers to.
    pub fn resolve(&self, reader: &mut Reader<'_>, named: Text) -> Option<StrategyChoice> {
        let Text { at, text: name, shown, .. } = named;
        let (limits, line) = (self.limits, at.line);
        if let Some(entry) = self.declared.iter().find(|entry| entry.name == name) {
            if entry.grants.prompt && !entry.chosen.replace(true) {
                let message = format!("strategy {name} is shown the last user message of each request that it decides");
                reader.findings.warn(&entry.at.key("grants", entry.at.line), &message);
            }
            let (source, config, grants) = (entry.source.clone()?, entry.config.clone(), entry.grants);
            return Some(StrategyChoice { name, source, config, grants, limits, line });
        }
        let source = if let Some(source) = by_name(&name, &self.found, &self.sources) {
            source
        } else if name.ends_with(".wasm") {
            StrategySource::File(file(reader, &at, &name).ok()?)
        } else {
            // The file may be put there later, so it is watched.
            reader.findings.names(&dropped(Path::new(""), &name).to_string_lossy());
            let names = self.declared.iter().map(|entry| entry.name).chain(self.sources.builtins.iter().copied());
            let names: BTreeSet<&str> = names.chain(self.found.iter().map(String::as_str)).collect();
            let mut help = suggest(&name, names.iter().copied(), "available").unwrap_or_default();
            if help.starts_with("did") {
                help = format!("{help} available: {}", names.into_iter().collect::<Vec<_>>().join(", "));
            }
            reader.findings.problem(&at, format!("no strategy is called {shown}"), Some(help));
            return None;
        };
        Some(StrategyChoice { name, source, config: empty(), grants: Grants::default(), limits, line })
    }
}

/// A built-in strategy, or the file in the folder `strategies/`.
///
/// The names of OptiLLM's documentation always mean the built-in strategies. For all other names a file wins: a
/// strategy that a new version brings must not replace one that is already in the folder.
fn by_name(name: &str, found: &BTreeSet<String>, sources: &Sources<'_>) -> Option<StrategySource> {
    let is_found = found.contains(name);
    if sources.builtins.contains(&name) && (!is_found || SPECIFIED.contains(&name)) {
        return Some(StrategySource::BuiltIn(name.to_owned()));
    }
    is_found.then(|| StrategySource::File(dropped(sources.folder, name)))
}

/// `strategies.limits`; for this reason no strategy can be called `limits`.
fn limits(reader: &mut Reader<'_>, strategies: &Section<'_>) -> StrategyLimits {
    let usual = StrategyLimits::default();
    let given = strategies.get(LIMITS);
    if let Some((at, node)) = &given
        && (node.get("path").is_some() || node.get("config").is_some())
    {
        let help = "`limits` bounds the loading of strategies; give the strategy another name";
        reader.findings.problem(at, "is reserved and cannot name a strategy", Some(help.to_owned()));
        return usual;
    }
    let section = reader.section(strategies, LIMITS, Some(STRATEGY_LIMITS));
    let mut bytes = |key: &str, least: u64, most: u64, usual: u64| {
        let wanted = format!("a number of bytes from {least} to {most}");
        reader.integer(&section, key, &wanted, least, most).unwrap_or(usual)
    };
    let max_bytes = bytes("max_bytes", 1, 1 << 30, usual.max_bytes);
    let compile_memory = bytes("compile_memory", 64 << 20, 1 << 40, usual.compile_memory);
    let compile_timeout = reader.seconds(&section, "compile_timeout", Zero::Illegal).unwrap_or(usual.compile_timeout);
    StrategyLimits { max_bytes, compile_memory, compile_timeout }
}

fn declared<'n>(
    reader: &mut Reader<'_>,
    (top, strategies): (&Section<'_>, &Section<'n>),
    sources: &Sources<'_>,
    found: &BTreeSet<String>,
) -> Vec<Declared<'n>> {
    let mut declared = Vec::new();
    for (at, name, node) in strategies.entries() {
        if name == LIMITS {
            continue;
        }
        let Ok(section) = reader.mapping(Some(node), at.clone(), Some(STRATEGY)) else {
            let (grants, chosen) = (Grants::default(), Cell::new(false));
            declared.push(Declared { name, at, source: None, config: empty(), grants, chosen });
            continue;
        };
        let from_registry = image(reader, top, &section, sources.registries);
        let source = match (reader.text(&section, "path"), reader.text(&section, "built_in")) {
            (Ok(_), Ok(_)) if from_registry.is_err() => None,
            (Ok(path), Ok(built_in)) if !matches!(from_registry, Ok(None)) => {
                if let Some(other) = path.or(built_in) {
                    let help = "a strategy comes from one place: leave out one of them";
                    reader.findings.problem(&other.at, "cannot be combined with `image`", Some(help.to_owned()));
                    None
                } else {
                    from_registry.ok().flatten().map(|image| StrategySource::Image(Box::new(image)))
                }
            }
            (Err(Reported), _) | (_, Err(Reported)) => None,
            (Ok(Some(_)), Ok(Some(named))) => {
                let help = "`path` is for a file of your own, `built_in` for a strategy inside the program";
                reader.findings.problem(&named.at, "cannot be combined with `path`", Some(help.to_owned()));
                None
            }
            (Ok(Some(path)), Ok(None)) => file(reader, &path.at, &path.text).ok().map(StrategySource::File),
            (Ok(None), Ok(Some(named))) => built_in(reader, &named, sources),
            (Ok(None), Ok(None)) if let Some(source) = by_name(name, found, sources) => Some(source),
            (Ok(None), Ok(None)) => {
                reader.findings.names(&dropped(Path::new(""), name).to_string_lossy());
                let built_in = sources.builtins.join(", ");
                let help = format!(
                    "or `built_in`, one of {built_in}; or an `image` in a registry; or a file strategies/{name}.wasm beside this one"
                );
                reader.findings.problem(&at, "needs a `path` to its .wasm file", Some(help));
                None
            }
        };
        let config = match section.get("config") {
            Some((at, node)) => reader.json(node, &at),
            None => empty(),
        };
        let grants = grants(reader, &section);
        declared.push(Declared { name, at, source, config, grants, chosen: Cell::new(false) });
    }
    declared
}

/// `built_in`: a built-in strategy under another name, so that two routes can use it with different configs.
fn built_in(reader: &mut Reader<'_>, named: &Text, sources: &Sources<'_>) -> Option<StrategySource> {
    if sources.builtins.contains(&named.text.as_str()) {
        return Some(StrategySource::BuiltIn(named.text.clone()));
    }
    let help = suggest(&named.text, sources.builtins.iter().copied(), "available");
    reader.findings.problem(&named.at, format!("no built-in strategy is called {}", named.shown), help);
    None
}

/// `grants`: the data beyond the facts that a strategy may see.
fn grants(reader: &mut Reader<'_>, section: &Section<'_>) -> Grants {
    let mut grants = Grants::default();
    for (at, node) in reader.list(section, "grants") {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        if found.text == "prompt" {
            grants.prompt = true;
        } else {
            let help = "`prompt` shows it the last user message of each request".to_owned();
            reader.not(&found.at, "prompt", &found.shown, Some(help));
        }
    }
    grants
}

/// The file at `path`, relative to the configuration; it must exist.
pub(super) fn file(reader: &mut Reader<'_>, at: &Place, path: &str) -> Result<PathBuf, Reported> {
    if path.is_empty() {
        return Err(reader.findings.problem(at, "must not be empty", None));
    }
    let full = reader.findings.names(path);
    let wrong = match full.metadata() {
        Ok(found) if found.is_file() => return Ok(full),
        Ok(_) => "is not a file",
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist",
        Err(_) => "cannot be read",
    };
    let looked = std::path::absolute(&full).unwrap_or(full);
    let help = path.starts_with('~').then(|| "`~` is not expanded here; write ${HOME}".to_owned());
    Err(reader.findings.problem(at, format!("the file {} {wrong}", looked.display()), help))
}

/// The file in the folder `strategies/` beside the configuration that has this stem.
fn dropped(folder: &Path, stem: &str) -> PathBuf {
    folder.join("strategies").join(format!("{stem}.wasm"))
}

/// The stems of the `.wasm` files in this folder beside the configuration.
pub(super) fn in_folder(folder: &Path, name: &str) -> BTreeSet<String> {
    let Ok(entries) = folder.join(name).read_dir() else { return BTreeSet::new() };
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    let components = files.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    components.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

pub(super) fn empty() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}
