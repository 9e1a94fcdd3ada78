//! `approach` and `approaches`: which approaches clients may use, within which bounds, and where their components are.
//!
//! Names are not looked up here: which approaches are built in is known to whoever loads them, and the loader checks whether a
//! file holds a component of the right world.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check::record;
use super::image::{Registries, image};
use super::problem::Place;
use super::read::{Reader, Section, Zero};
use super::schema::{APPROACH, APPROACH_ENTRY};
use super::strategy::{empty, file, in_folder};
use super::{Image, Record};

/// The folder beside the configuration whose components are approaches.
const FOLDER: &str = "approaches";

/// Mebibytes of memory that a run may take.
const MEMORY: u64 = 64;

/// How requests that choose an approach are answered.
#[derive(Clone, Debug)]
pub struct Approaches {
    /// The approach of requests that choose none, and the line that says so; `None` is plain proxying.
    pub default: Option<(String, usize)>,
    /// The names of those that clients may use, each with its line; `None` is every one there is.
    pub allow: Option<Vec<(String, usize)>>,
    /// The most answers of the model that one request may ask for; at least 1.
    pub max_calls: u32,
    /// The most tokens that one request may take, of questions and answers together; `None` is without limit.
    pub max_tokens: Option<u32>,
    /// The longest time of one request; above 0.
    pub timeout: Duration,
    /// The most calls of one request at once; at least 1.
    pub parallel: u32,
    /// The processor time that one run may use; above 0.
    pub cpu: Duration,
    /// The manner in which several answers to one question are asked for.
    pub fan_out: FanOut,
    /// What the second approach of `a&b` sees.
    pub pipeline: Pipeline,
    /// The sign by which a client that reads a stream learns that a run goes on.
    pub progress: Progress,
    /// The time between two such signs; above 0.
    pub heartbeat: Duration,
    /// True when the list of models has combinations such as `bon-gpt-4o`.
    pub list: bool,
    /// The record of runs, if one is kept.
    pub record: Option<Record>,
    /// The entries under `approaches`, in the order of the file; names unique.
    pub entries: Vec<ApproachEntry>,
    /// The components in the folder `approaches` beside the file, by name.
    pub found: BTreeMap<String, PathBuf>,
}

impl Default for Approaches {
    fn default() -> Self {
        Self {
            default: None,
            allow: None,
            max_calls: 64,
            max_tokens: None,
            timeout: Duration::from_secs(300),
            parallel: 8,
            cpu: Duration::from_secs(2),
            fan_out: FanOut::default(),
            pipeline: Pipeline::default(),
            progress: Progress::default(),
            heartbeat: Duration::from_secs(10),
            list: false,
            record: None,
            entries: Vec::new(),
            found: BTreeMap::new(),
        }
    }
}

/// The manner in which several answers to one question are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FanOut {
    /// By `n`, and one by one at providers that do not do that.
    #[default]
    Auto,
    /// One by one.
    Always,
    /// By `n`.
    Never,
}

/// What the second approach of `a&b` sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pipeline {
    /// The question, and the first one's answer as an attempt to be improved.
    #[default]
    Refine,
    /// The first one's answer in the place of the question, as OptiLLM has it.
    Replace,
}

/// The sign by which a client that reads a stream learns that a run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Comments of the stream.
    #[default]
    Comments,
    /// Events with an empty text, for clients that do not count comments.
    Chunks,
    /// Notes in `reasoning_content`, which many clients show as thoughts.
    Reasoning,
    /// None.
    Off,
}

/// What a client gets when an approach breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFault {
    /// An error.
    #[default]
    Error,
    /// The plain answer of the model.
    Plain,
}

/// One entry under `approaches`.
#[derive(Clone, Debug)]
pub struct ApproachEntry {
    /// Lower case letters, digits and `_`.
    pub name: String,
    /// The line of the file on which it begins.
    pub line: usize,
    /// Its component; `None` is the one that is built in under its name, or lies in the folder.
    pub path: Option<PathBuf>,
    /// Its component in a registry, in the place of `path`.
    pub image: Option<Box<Image>>,
    /// A JSON object.
    pub config: serde_json::Value,
    /// The models that it may ask besides the client's; `*` is any.
    pub models: Vec<String>,
    /// Its own limit of answers.
    pub max_calls: Option<u32>,
    /// The bytes of memory that a run may take.
    pub memory: usize,
    /// What a client gets when it breaks.
    pub on_fault: OnFault,
}

impl ApproachEntry {
    /// The entry of an approach about which the file says nothing.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            line: 0,
            path: None,
            image: None,
            config: empty(),
            models: Vec::new(),
            max_calls: None,
            memory: (MEMORY << 20) as usize,
            on_fault: OnFault::Error,
        }
    }
}

/// Reads both sections.
pub(super) fn approaches(
    reader: &mut Reader<'_>,
    top: &Section<'_>,
    folder: &Path,
    registries: &Registries,
) -> Approaches {
    let section = reader.section(top, "approach", Some(APPROACH));
    let default = reader.text(&section, "default").ok().flatten().map(|found| (found.text, found.at.line));
    let allow = section.get("allow").is_some().then(|| {
        let listed = reader.list(&section, "allow");
        let names = listed.into_iter().filter_map(|(at, node)| reader.text_at(node, at, false).ok());
        names.map(|found| (found.text, found.at.line)).collect()
    });
    let fan_out = [("auto", FanOut::Auto), ("always", FanOut::Always), ("never", FanOut::Never)];
    let pipeline = [("refine", Pipeline::Refine), ("replace", Pipeline::Replace)];
    let progress = [
        ("comments", Progress::Comments),
        ("chunks", Progress::Chunks),
        ("reasoning", Progress::Reasoning),
        ("off", Progress::Off),
    ];
    let usual = Approaches::default();
    Approaches {
        default,
        allow,
        max_calls: reader.count(&section, "max_calls").unwrap_or(usual.max_calls),
        max_tokens: tokens(reader, &section),
        timeout: reader.seconds(&section, "timeout", Zero::Illegal).unwrap_or(usual.timeout),
        parallel: reader.count(&section, "parallel").unwrap_or(usual.parallel),
        cpu: reader.seconds(&section, "cpu", Zero::Illegal).unwrap_or(usual.cpu),
        fan_out: reader.one_of(&section, "fan_out", &fan_out, false).unwrap_or_default(),
        pipeline: reader.one_of(&section, "pipeline", &pipeline, false).unwrap_or_default(),
        progress: reader.one_of(&section, "progress", &progress, false).unwrap_or_default(),
        heartbeat: reader.seconds(&section, "heartbeat", Zero::Illegal).unwrap_or(usual.heartbeat),
        list: reader.boolean(&section, "list", false),
        record: record(reader, &section, folder, "such as runs.ndjson"),
        entries: entries(reader, top, registries),
        found: in_folder(folder, FOLDER)
            .into_iter()
            .map(|stem| (stem.clone(), folder.join(FOLDER).join(format!("{stem}.wasm"))))
            .collect(),
    }
}

/// `max_tokens`: a number, or `none`.
fn tokens(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<u32> {
    if section.get("max_tokens").is_some_and(|(_, node)| node.as_text() == Some("none")) {
        return None;
    }
    let wanted = "none, or a positive number of tokens";
    let tokens = reader.integer(section, "max_tokens", wanted, 1, u64::from(u32::MAX) - 1)?;
    u32::try_from(tokens).ok()
}

fn entries(reader: &mut Reader<'_>, top: &Section<'_>, registries: &Registries) -> Vec<ApproachEntry> {
    let section = reader.section(top, "approaches", None);
    let mut entries = Vec::new();
    for (at, name, node) in section.entries() {
        if !is_name(name) {
            let help = "such as my_approach: clients write it before the model, as in my_approach-gpt-4o".to_owned();
            let message =
                "is no name of an approach: lower case letters, digits and _ only, and not proxy, none or auto";
            reader.findings.problem(&at, message.to_owned(), Some(help));
            continue;
        }
        let Ok(section) = reader.mapping(Some(node), at, Some(APPROACH_ENTRY)) else { continue };
        entries.push(entry(reader, (top, &section), name, registries));
    }
    entries
}

fn entry(
    reader: &mut Reader<'_>,
    (top, section): (&Section<'_>, &Section<'_>),
    name: &str,
    registries: &Registries,
) -> ApproachEntry {
    let usual = ApproachEntry::new(name);
    let path = reader.text(section, "path").ok().flatten();
    let from_registry = image(reader, top, section, registries).ok().flatten();
    if let (Some(found), Some(_)) = (&path, &from_registry) {
        let help = "an approach comes from one place: leave out one of them";
        reader.findings.problem(&found.at, "cannot be combined with `image`", Some(help.to_owned()));
    }
    let path = path.and_then(|found| file(reader, &found.at, &found.text).ok());
    let config = match section.get("config") {
        Some((at, node)) => object(reader, node, &at),
        None => usual.config,
    };
    let models = reader.list(section, "models");
    let models = models.into_iter().filter_map(|(at, node)| Some(reader.text_at(node, at, false).ok()?.text)).collect();
    let memory = reader.integer(section, "memory", "a number of MiB from 1 to 4096", 1, 4096).unwrap_or(MEMORY);
    let on_fault = [("error", OnFault::Error), ("plain", OnFault::Plain)];
    ApproachEntry {
        name: name.to_owned(),
        line: section.at.line,
        path,
        image: from_registry.map(Box::new),
        config,
        models,
        max_calls: reader.count(section, "max_calls"),
        memory: usize::try_from(memory << 20).unwrap_or(usize::MAX),
        on_fault: reader.one_of(section, "on_fault", &on_fault, false).unwrap_or_default(),
    }
}

/// What `config` may be: a mapping, as clients' options are laid over it.
fn object(reader: &mut Reader<'_>, node: &super::node::Node, at: &Place) -> serde_json::Value {
    match reader.json(node, at) {
        value @ serde_json::Value::Object(_) => value,
        _ => {
            reader.not(at, "a mapping", node.describe(), None);
            empty()
        }
    }
}

fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(legal) && !matches!(name, "proxy" | "none" | "auto")
}
