//! `pointsman approach check` and `inspect`: whether a file is a usable approach, and what it says of itself.
//!
//! Exit codes: 0 nothing is wrong, 1 something is wrong with the approach, 2 the arguments are wrong.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::super::report::{self, say_json};
use super::super::strategy::read_config;
use super::super::{say, use_cache, use_compiler, wrong};
use crate::approach::{Approach, Info, Source, builtin_component, builtins};
use crate::strategy::read_component;
use crate::wasm::{GuestKind, LoadError};
use crate::workbench::{Examined, examine};

#[derive(Debug, Args)]
pub struct Target {
    /// The component's file, or the name of a built-in approach.
    file: PathBuf,
    /// Try it with these options, as JSON or as @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    options: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Target {
    /// Reads the options that were given, and the file.
    ///
    /// # Errors
    ///
    /// When the options are no JSON object.
    pub(super) fn read(&self) -> Result<Case, String> {
        let shown = self.file.display().to_string();
        let built_in = builtin_component(&shown).filter(|_| !self.file.exists());
        let is_name = |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let component = match built_in {
            Some(component) => Ok(Cow::Borrowed(component)),
            None if is_name(&shown) && !self.file.exists() => {
                let (wanted, name, builtins) = (GuestKind::Approach, shown.clone(), builtins());
                Err(LoadError::NotBuiltIn { wanted, name, builtins })
            }
            None => read_component(&self.file).map(Cow::Owned),
        };
        let options = self.options.as_deref().map(read_options).transpose()?;
        Ok(Case { shown, options, component, built_in: built_in.is_some() })
    }
}

/// Reads options, JSON or @FILE.
///
/// # Errors
///
/// When they are no JSON object.
pub(super) fn read_options(given: &str) -> Result<Map<String, Value>, String> {
    let text = read_config(given).map_err(|error| format!("--options: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("--options: {error}"))
}

/// The parsed arguments.
pub(super) struct Case {
    shown: String,
    options: Option<Map<String, Value>>,
    component: Result<Cow<'static, [u8]>, LoadError>,
    built_in: bool,
}

/// The findings about a file.
pub(super) struct Looked {
    /// The file, or the name, as it was given.
    pub shown: String,
    /// The options that were given.
    pub options: Option<Map<String, Value>>,
    /// Loaded; `None` if there are problems.
    pub approach: Option<Arc<Approach>>,
    /// The reasons why a proxy would not accept it.
    pub problems: Vec<LoadError>,
    examined: Option<Examined>,
    compile: Duration,
    /// The sentence with which it refuses to run without options, if it does and none were given.
    pub wants: Option<String>,
}

impl Case {
    /// Examines the file, loads it, and tries the options.
    pub(super) fn look(self) -> Looked {
        let Case { shown, options, component, built_in } = self;
        let (approach, problems) = (None, Vec::new());
        let mut looked =
            Looked { shown, options, approach, problems, examined: None, compile: Duration::ZERO, wants: None };
        let bytes = match component {
            Ok(bytes) => bytes,
            Err(error) => {
                looked.problems.push(error);
                return looked;
            }
        };
        let mut examined = examine(GuestKind::Approach, &bytes);
        looked.problems.append(&mut examined.problems);
        looked.examined = Some(examined);
        if looked.problems.is_empty() {
            // The name of the file, without its folder.
            let stem = Path::new(&looked.shown).file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let name = stem.unwrap_or_else(|| looked.shown.clone());
            let began = Instant::now();
            match Approach::load(&Source { built_in, ..Source::new(&name, &bytes) }) {
                Ok(approach) => looked.try_options(approach),
                Err(error) => looked.problems.push(error),
            }
            looked.compile = began.elapsed();
        }
        looked
    }
}

impl Looked {
    fn try_options(&mut self, approach: Approach) {
        let config = self.options.clone().map_or_else(|| "{}".to_owned(), |options| Value::Object(options).to_string());
        match approach.check_now(&config) {
            Err(text) if self.options.is_some() => self.problems.push(LoadError::Rejected(text)),
            verdict => self.wants = verdict.err(),
        }
        self.approach = Some(Arc::new(approach));
    }

    /// The problems, for programs.
    pub(super) fn complaints(&self) -> Vec<Value> {
        self.problems.iter().map(|error| report::problem(error, &remedy(error))).collect()
    }

    /// The problems, in words.
    pub(super) fn complain(&self, text: String) -> String {
        self.problems.iter().fold(text, |text, error| text + &report::complaint(error, &remedy(error)))
    }
}

/// The remedy for an error, in terms of a command line.
fn remedy(error: &LoadError) -> String {
    match error {
        LoadError::Rejected(_) => "correct the options as the message says".to_owned(),
        error => error.remedy(),
    }
}

pub(super) fn run_check(target: &Target) -> ExitCode {
    use_cache();
    examined(target, false)
}

pub(super) fn run_inspect(target: &Target) -> ExitCode {
    // Without the cache, because the time of compilation is measured.
    use_compiler();
    examined(target, true)
}

fn examined(target: &Target, in_full: bool) -> ExitCode {
    let looked = match target.read() {
        Ok(case) => case.look(),
        Err(problem) => return wrong(&problem),
    };
    if target.json {
        say_json(&for_programs(&looked, in_full));
    } else {
        say(&in_words(&looked, in_full));
    }
    ExitCode::from(u8::from(!looked.problems.is_empty()))
}

fn for_programs(looked: &Looked, in_full: bool) -> Value {
    let mut report = json!({"file": looked.shown, "ok": looked.problems.is_empty(), "problems": looked.complaints()});
    if let Some(examined) = &looked.examined {
        report::add_surface(&mut report, examined);
    }
    let Some(approach) = &looked.approach else { return report };
    let Info { name, version, description, options, many, tools } = approach.info();
    (report["name"], report["version"]) = (json!(name), json!(version));
    report["options"] = match (&looked.options, looked.problems.is_empty()) {
        (None, _) => Value::Null,
        (Some(_), true) => json!("accepted"),
        (Some(_), false) => json!("rejected"),
    };
    if in_full {
        let options = options.iter().map(|(name, about)| json!({"name": name, "about": about}));
        report["inspection"] = json!({
            "description": description,
            "options": options.collect::<Value>(),
            "many": many,
            "tools": tools,
            "compile_ms": looked.compile.as_secs_f64() * 1e3,
        });
    }
    report
}

fn in_words(looked: &Looked, in_full: bool) -> String {
    let Some(examined) = &looked.examined else { return looked.complain(looked.shown.clone()) };
    let mut text = match (&examined.contract, &looked.approach) {
        (Some(contract), Some(_)) => format!("{}: an approach, contract {contract}", looked.shown),
        _ => format!("{}: cannot be used as an approach", looked.shown),
    };
    text.push_str(&report::surface(examined));
    if let Some(approach) = &looked.approach {
        text.push_str(&described(approach.info(), in_full));
    }
    let mut line = |name: &str, words: &str| {
        let _ = write!(text, "\n  {name:8}  {words}");
    };
    if in_full && looked.approach.is_some() {
        line("compile", &format!("{:.0} ms", looked.compile.as_secs_f64() * 1e3));
    }
    match (&looked.options, &looked.wants) {
        (Some(_), _) if looked.approach.is_some() => {
            line("config", if looked.problems.is_empty() { "accepted" } else { "not accepted" });
        }
        (None, Some(wants)) => line("config", &format!("none was given, but the approach needs one: {wants}")),
        _ => {}
    }
    looked.complain(text)
}

fn described(info: &Info, in_full: bool) -> String {
    let Info { name, version, description, options, many, tools } = info;
    let mut text = String::new();
    let mut line = |name: &str, words: &str| {
        let _ = write!(text, "\n  {name:8}  {words}");
    };
    if name.is_empty() {
        line("name", "it does not say: it exports no `meta`");
        return text;
    }
    line("name", &format!("{name} {version}"));
    if !in_full {
        return text;
    }
    line("says", description);
    let longest = options.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (number, (name, about)) in options.iter().enumerate() {
        line(if number == 0 { "options" } else { "" }, &format!("{name:longest$}  {about}"));
    }
    line("many", if *many { "one run gives several answers" } else { "a run for each answer that a client wants" });
    line("tools", if *tools { "it works with a client's tools" } else { "requests with tools are refused" });
    text
}
