//! `pointsman strategy check` and `inspect`: whether a file is a usable strategy, and what it does.
//!
//! Exit codes: 0 nothing is wrong, 1 something is wrong with the strategy, 2 the arguments are wrong.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::report::{self, say_json};
use super::super::{say, use_cache, use_compiler, wrong};
use super::replay::read_config;
use crate::config::{self, Config, StrategyChoice, StrategySource, environment};
use crate::provider::facts;
use crate::routing::{RouteFacts, TargetFacts};
use crate::strategy::{Setup, builtin_component, builtins, read_component, try_component};
use crate::wasm::{GuestKind, LoadError};
use crate::workbench::{Examined, Inspection, Subject, Timing, examine, inspect};

/// The remedy for a strategy that needs a config and was given none.
const WANTED: &str = "give `--config` with JSON or @FILE, or `--proxy-config` with the configuration of a proxy that has it \
    under `strategies.NAME.config`";

#[derive(Debug, Args)]
pub struct Target {
    /// The component's file, or the name of a built-in strategy.
    file: PathBuf,
    /// Try it with this config, as JSON or as @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    config: Option<String>,
    /// Try it with the providers of this proxy configuration, and with its `strategies.NAME.config`.
    #[arg(long, value_name = "FILE")]
    proxy_config: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The parsed arguments.
pub(super) struct Case {
    pub shown: String,
    pub component: Result<Vec<u8>, LoadError>,
    pub config: Value,
    pub route: RouteFacts,
    /// True when it is granted the prompt.
    pub prompt: bool,
    /// True when a config or providers were given.
    pub is_given: bool,
}

impl Target {
    pub(super) fn read(&self) -> Result<Case, String> {
        let shown = self.file.display().to_string();
        let component = match builtin_component(&shown).filter(|_| !self.file.exists()) {
            Some(component) => Ok(component.to_vec()),
            None => read_component(&self.file),
        };
        let (route, config) = (RouteFacts::from(Vec::new()), json!({}));
        let mut case = Case { shown, component, config, route, prompt: false, is_given: false };
        if let Some(file) = &self.proxy_config {
            let config = config::load(file, &environment, builtins()).map_err(|error| error.to_string())?;
            case.route = facts::everything(&config);
            if let Some(choice) = choice_for(&config, &self.file) {
                (case.config, case.prompt) = (choice.config.clone(), choice.grants.prompt);
            }
            case.is_given = true;
        }
        if let Some(config) = &self.config {
            case.config = serde_json::from_str(&read_config(config)?).map_err(|error| error.to_string())?;
            case.is_given = true;
        }
        Ok(case)
    }
}

impl Case {
    /// The setup that it is started with.
    pub(super) fn setup(&self) -> Setup {
        Setup::new(self.route.clone(), self.prompt, self.config.to_string())
    }
}

/// All strategies that a configuration names.
pub(super) fn choices(config: &Config) -> impl Iterator<Item = &StrategyChoice> {
    std::iter::once(&config.strategy).chain(&config.shadows).chain(&config.declared)
}

/// The strategy of a configuration that is this file, or has its name, if there is one.
pub(super) fn choice_for<'c>(config: &'c Config, file: &Path) -> Option<&'c StrategyChoice> {
    let real = |path: &Path| path.canonicalize().ok();
    let is_this = |source: &StrategySource| match source {
        StrategySource::File(path) => real(path).is_some() && real(path) == real(file),
        StrategySource::BuiltIn(name) => file.as_os_str() == name.as_str(),
        StrategySource::Image(image) => file.as_os_str() == image.to_string().as_str(),
    };
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let chosen = choices(config).find(|choice| is_this(&choice.source));
    chosen.or_else(|| choices(config).find(|choice| Some(&choice.name) == stem.as_ref()))
}

pub fn run_check(target: &Target) -> ExitCode {
    let case = match target.read() {
        Ok(case) => case,
        Err(problem) => return wrong(&problem),
    };
    use_cache();
    let (examined, tried) = looked_at(&case);
    let problems = problems(&examined, &tried);
    if target.json {
        say_json(&checked(&case, &examined, &tried));
    } else {
        say(&in_words(&case, &examined, &tried));
    }
    ExitCode::from(u8::from(!problems.is_empty()))
}

pub fn run_inspect(target: &Target) -> ExitCode {
    let case = match target.read() {
        Ok(case) => case,
        Err(problem) => return wrong(&problem),
    };
    // Without the cache, because the time of compilation is measured.
    use_compiler();
    let (examined, tried, inspection) = inspect_it(&case);
    let failed = !problems(&examined, &tried).is_empty();
    if target.json {
        let mut report = checked(&case, &examined, &tried);
        if let Some(inspection) = &inspection {
            report["inspection"] = json!(inspection);
        }
        say_json(&report);
    } else {
        let mut report = in_words(&case, &examined, &tried);
        if let Some(inspection) = &inspection {
            report.push_str(&inspected(inspection, &examined));
        }
        say(&report);
    }
    ExitCode::from(u8::from(failed))
}

/// Examines the file, tries it, and measures it.
fn inspect_it(case: &Case) -> (Result<Examined, &LoadError>, Tried, Option<Inspection>) {
    let component = match &case.component {
        Ok(component) => component,
        Err(error) => return (Err(error), Tried::Not, None),
    };
    let examined = examine(GuestKind::Strategy, component);
    if !examined.problems.is_empty() {
        return (Ok(examined), Tried::Not, None);
    }
    match inspect(&Subject { component, setup: &case.setup() }) {
        Ok(inspection) => (Ok(examined), Tried::Accepted, Some(inspection)),
        Err(error) => (Ok(examined), Tried::Refused(error), None),
    }
}

/// The result of a trial.
enum Tried {
    /// The file could not be tried, for a reason that its examination found.
    Not,
    /// A proxy would accept it, with the config that was given, or with none.
    Accepted,
    /// No config was given, and it needs one.
    Wants(String),
    /// A proxy would refuse it.
    Refused(LoadError),
}

impl Tried {
    fn problem(&self) -> Option<&LoadError> {
        match self {
            Tried::Refused(error) => Some(error),
            Tried::Not | Tried::Accepted | Tried::Wants(_) => None,
        }
    }
}

/// Examines the file, and tries whether a proxy would accept it.
fn looked_at(case: &Case) -> (Result<Examined, &LoadError>, Tried) {
    let component = match &case.component {
        Ok(component) => component,
        Err(error) => return (Err(error), Tried::Not),
    };
    let examined = examine(GuestKind::Strategy, component);
    if !examined.problems.is_empty() {
        return (Ok(examined), Tried::Not);
    }
    let mut setup = case.setup();
    if setup.targets.is_empty() {
        setup.targets = (0..3).map(made_up).collect();
    }
    let tried = match try_component(&case.shown, component, &setup) {
        Ok(()) => Tried::Accepted,
        Err(LoadError::Rejected(text)) if !case.is_given => Tried::Wants(text),
        Err(error) => Tried::Refused(error),
    };
    (Ok(examined), tried)
}

fn made_up(index: u32) -> TargetFacts {
    TargetFacts {
        price: Some((1.0, 2.0)),
        labels: vec![("region".to_owned(), "eu".to_owned())],
        ..TargetFacts::named(format!("p{index}"))
    }
}

fn problems<'a>(examined: &'a Result<Examined, &'a LoadError>, tried: &'a Tried) -> Vec<&'a LoadError> {
    let own: Vec<&LoadError> = match examined {
        Ok(examined) => examined.problems.iter().collect(),
        Err(error) => vec![*error],
    };
    own.into_iter().chain(tried.problem()).collect()
}

pub(super) fn problem(error: &LoadError) -> Value {
    report::problem(error, &remedy(error))
}

fn checked(case: &Case, examined: &Result<Examined, &LoadError>, tried: &Tried) -> Value {
    let problems: Vec<Value> = problems(examined, tried).into_iter().map(problem).collect();
    let mut report = json!({"file": case.shown, "ok": problems.is_empty(), "problems": problems});
    if let Ok(examined) = examined {
        report::add_surface(&mut report, examined);
    }
    report["config"] = match tried {
        Tried::Accepted if case.is_given => json!("accepted"),
        Tried::Refused(_) if case.is_given => json!("rejected"),
        Tried::Not | Tried::Accepted | Tried::Wants(_) | Tried::Refused(_) => Value::Null,
    };
    report
}

fn in_words(case: &Case, examined: &Result<Examined, &LoadError>, tried: &Tried) -> String {
    let Ok(examined) = examined else {
        return problems(examined, tried).into_iter().fold(case.shown.clone(), |text, error| text + &complaint(error));
    };
    let mut text = match &examined.contract {
        Some(contract) if examined.problems.is_empty() => format!("{}: a strategy, contract {contract}", case.shown),
        _ => format!("{}: cannot be used as a strategy", case.shown),
    };
    text.push_str(&report::surface(examined));
    let mut line = |name: &str, words: &str| {
        let _ = write!(text, "\n  {name:8}  {words}");
    };
    match tried {
        Tried::Accepted if case.is_given => line("config", "accepted"),
        Tried::Refused(_) if case.is_given => line("config", "not accepted"),
        Tried::Wants(text) => {
            line("config", &format!("none was given, but the strategy needs one: {text}\n{:12}help: {WANTED}", ""))
        }
        Tried::Not | Tried::Accepted | Tried::Refused(_) => {}
    }
    examined.problems.iter().chain(tried.problem()).fold(text, |text, error| text + &complaint(error))
}

pub(super) fn complaint(error: &LoadError) -> String {
    report::complaint(error, &remedy(error))
}

/// The remedy for an error, in terms of a command line.
fn remedy(error: &LoadError) -> String {
    match error {
        LoadError::Rejected(_) => format!("correct it as the message says: {WANTED}"),
        error => error.remedy(),
    }
}

fn inspected(inspection: &Inspection, examined: &Result<Examined, &LoadError>) -> String {
    let Inspection { name, version, description, reasons, observes, stateless, compile_ms, memory, calls } = inspection;
    let mut text = String::new();
    let mut line = |name: &str, words: &str| {
        let _ = write!(text, "\n  {name:8}  {words}");
    };
    line("name", &format!("{name} {version}"));
    line("says", description);
    let has = |interface| examined.as_ref().is_ok_and(|examined| examined.has(interface));
    let hooks = match (has("meta"), has("feedback"), observes) {
        (_, true, true) => "meta, feedback: it is told the outcome of every attempt",
        (true, true, false) => "meta, feedback; but `meta` does not request `feedback`, so it is never called",
        (true, false, _) => "meta",
        (false, true, _) => "feedback; but without `meta` nothing requests `feedback`, so it is never called",
        (false, false, _) => "none",
    };
    line("hooks", hooks);
    let state = match (stateless, has("state")) {
        (true, _) => "none: an instance for each worker, where they are needed",
        (false, true) => "kept: one instance for each route",
        (false, false) => "not said: one instance for each route",
    };
    line("state", state);
    for (number, reason) in reasons.iter().enumerate() {
        line(if number == 0 { "reasons" } else { "" }, &format!("{number}  {reason}"));
    }
    line("compile", &format!("{compile_ms:.0} ms"));
    line("memory", &format!("{} KiB after start", memory >> 10));
    for (number, Timing { candidates, p50_us, p99_us, max_us }) in calls.iter().enumerate() {
        let words =
            format!("{candidates:>4} candidates: {p50_us:.2} us, 99 of 100 below {p99_us:.2}, at most {max_us:.1}");
        line(if number == 0 { "a call" } else { "" }, &words);
    }
    text
}
