//! `pointsman strategy replay` and `diff`: replay recorded requests to strategies and compare the decisions.
//!
//! Exit codes: 0 all decisions are the same (for `diff`: they were compared), 1 some differ, 2 the arguments or the
//! record are wrong.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::super::{say, use_cache, wrong};
use super::examine::{choice_for, choices};
use crate::config::{self, Config, StrategyChoice, environment};
use crate::routing::Candidate;
use crate::strategy::{builtin_component, builtins, chosen_component, read_component};
use crate::wasm::LoadError;
use crate::workbench::{Comparison, ReplayError, Respondent, Skipped, compare};

/// The remedy for a strategy that needs a config and was given none.
const GIVE: &str = "give it one with --config (for `diff`, --config-a and --config-b), or with --proxy-config the configuration \
    of a proxy that has it";

/// The most kinds of change that a report lists.
const MOVES: usize = 12;

#[derive(Debug, Args)]
pub struct Replay {
    /// The record that `monitoring.record` has written; - is standard input.
    log: PathBuf,
    /// A built-in strategy, the file of a component, or with --proxy-config a strategy of that configuration.
    #[arg(long, value_name = "NAME|FILE")]
    strategy: String,
    /// Take strategies and their configs from this proxy configuration, as far as it has them.
    #[arg(long, value_name = "FILE")]
    proxy_config: Option<PathBuf>,
    /// Its config, as JSON or as @FILE [default: the recorded one, or none for a strategy that was not recorded].
    #[arg(long, value_name = "JSON|@FILE")]
    config: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// A built-in strategy, the file of a component, or with --proxy-config a strategy of that configuration.
    #[arg(value_name = "A")]
    left: String,
    /// Another strategy, or the same one with another config.
    #[arg(value_name = "B")]
    right: String,
    /// The record that `monitoring.record` has written; - is standard input.
    log: PathBuf,
    /// The config of A, as JSON or as @FILE [default: the recorded one, or none for a strategy that was not recorded].
    #[arg(long, value_name = "JSON|@FILE")]
    config_a: Option<String>,
    /// The config of B, likewise.
    #[arg(long, value_name = "JSON|@FILE")]
    config_b: Option<String>,
    /// Take strategies and their configs from this proxy configuration, as far as it has them.
    #[arg(long, value_name = "FILE")]
    proxy_config: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(replay: &Replay) -> ExitCode {
    let respondents = || {
        let proxy = proxy(replay.proxy_config.as_deref())?;
        Ok([Respondent::Recorded, respondent(&replay.strategy, replay.config.as_deref(), proxy.as_ref())?])
    };
    match answered(respondents(), &replay.log) {
        Err(problem) => wrong(&problem),
        Ok(comparison) => {
            say(&report(&comparison, replay.json));
            ExitCode::from(u8::from(comparison.differences() > 0))
        }
    }
}

pub fn run_diff(diff: &Diff) -> ExitCode {
    let respondents = || {
        let proxy = proxy(diff.proxy_config.as_deref())?;
        let left = respondent(&diff.left, diff.config_a.as_deref(), proxy.as_ref())?;
        Ok([left, respondent(&diff.right, diff.config_b.as_deref(), proxy.as_ref())?])
    };
    match answered(respondents(), &diff.log) {
        Err(problem) => wrong(&problem),
        Ok(comparison) => {
            say(&report(&comparison, diff.json));
            ExitCode::SUCCESS
        }
    }
}

fn answered(respondents: Result<[Respondent; 2], String>, log: &Path) -> Result<Comparison, String> {
    let wrong = |error: &dyn std::error::Error| {
        let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        format!("{}: {error}{source}", log.display())
    };
    let respondents = respondents?;
    let input: Box<dyn BufRead> = if log.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(
            File::open(log).map_err(|error| format!("{}: cannot be read: {error}", log.display()))?,
        ))
    };
    compare(input, respondents).map_err(|error| match &error {
        ReplayError::Strategy { error: LoadError::Rejected(_), .. } => format!("{}\n  help: {GIVE}", wrong(&error)),
        error => wrong(error),
    })
}

fn proxy(file: Option<&Path>) -> Result<Option<Config>, String> {
    let load = |file| config::load(file, &environment, builtins()).map_err(|error| error.to_string());
    file.map(load).transpose()
}

/// The strategy that an argument names.
fn respondent(strategy: &str, config: Option<&str>, proxy: Option<&Config>) -> Result<Respondent, String> {
    let config = config.map(read_config).transpose()?;
    use_cache();
    let fails = |error| format!("strategy {strategy} {error}");
    let path = Path::new(strategy);
    if let Some(proxy) = proxy {
        let of_proxy = |choice: &StrategyChoice| config.clone().or_else(|| Some(choice.config.to_string()));
        if let Some(choice) = choices(proxy).find(|choice| choice.name == strategy) {
            let component = chosen_component(choice).map_err(fails)?;
            return Respondent::strategy(strategy, &component, of_proxy(choice)).map_err(fails);
        }
        if let Some(choice) = choice_for(proxy, path).filter(|_| path.is_file()) {
            let component = read_component(path).map_err(fails)?;
            return Respondent::strategy(&choice.name, &component, of_proxy(choice)).map_err(fails);
        }
    }
    if let Some(component) = builtin_component(strategy) {
        return Respondent::strategy(strategy, component, config).map_err(fails);
    }
    if !path.is_file() {
        let names = builtins().join(", ");
        let more = match proxy {
            Some(_) => "",
            None => "; to use a name under `strategies` of a proxy's configuration, add --proxy-config",
        };
        return Err(format!(
            "{strategy} is neither a file nor a built-in strategy; built-in strategies: {names}{more}"
        ));
    }
    let component = read_component(path).map_err(fails)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Respondent::strategy(&name, &component, config).map_err(fails)
}

/// A config that is given as JSON or as @FILE.
pub(in crate::cli) fn read_config(given: &str) -> Result<String, String> {
    let text = match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{file}: cannot be read: {error}"))?,
        None => given.to_owned(),
    };
    serde_json::from_str::<serde_json::Value>(&text).map_err(|error| format!("the config is not JSON: {error}"))?;
    Ok(text)
}

fn report(comparison: &Comparison, json: bool) -> String {
    if json { serde_json::to_string_pretty(comparison).unwrap_or_default() } else { in_words(comparison) }
}

fn in_words(comparison: &Comparison) -> String {
    let Comparison { names: [left, right], decisions, same, other_first, uncertain, missing, .. } = comparison;
    let differences = comparison.differences();
    let mut text = if differences == 0 {
        format!("{left} and {right} agree: {same} of {decisions} decisions are the same")
    } else {
        let share = |count: u64| format!("{:.2} %", 100.0 * count as f64 / *decisions as f64);
        format!(
            "{left} and {right} differ in {differences} of {decisions} decisions ({}); in {other_first} ({}) another provider comes first",
            share(differences),
            share(*other_first)
        )
    };
    let mut line = |words: String| {
        text.push('\n');
        if !words.is_empty() {
            let _ = write!(text, "  {words}");
        }
    };
    if *uncertain > 0 {
        line(format!(
            "{uncertain} more decisions differ, but prove nothing: the record has a gap before them, or begins after the start of the instance"
        ));
    }
    if *missing > 0 {
        line(format!("{missing} lines are missing from the record"));
    }
    if let Some(Skipped { line: from, recorded, strategy, why }) = &comparison.skipped_from {
        line(format!("{} decisions of {recorded} were left out, from line {from} on:", comparison.skipped));
        line(format!("{strategy} rejects the config that was recorded there: {why}"));
        line(format!("help: {GIVE}"));
    }
    for (name, faults) in comparison.names.iter().zip(comparison.faults).filter(|(_, faults)| *faults > 0) {
        line(format!("{name} broke {faults} times"));
    }
    let widest = comparison.firsts.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(8);
    line(String::new());
    line(format!("{:widest$}  {:>14}  {:>14}", "first", left, right));
    for (name, counts) in &comparison.firsts {
        let [left, right] = counts.map(|count| format!("{count} {:>5.1} %", 100.0 * count as f64 / *decisions as f64));
        line(format!("{name:widest$}  {left:>14}  {right:>14}"));
    }
    let mut moves: Vec<_> = comparison.moves.iter().collect();
    moves.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    if !moves.is_empty() {
        line(String::new());
        line("changes of the first choice".to_owned());
        for (path, count) in moves.iter().take(MOVES) {
            line(format!("{count:>10}  {path}"));
        }
        if let Some(more) = moves.len().checked_sub(MOVES).filter(|more| *more > 0) {
            let kinds = if more == 1 { "kind" } else { "kinds" };
            line(format!("{:>10}  and {more} other {kinds} of change", "…"));
        }
    }
    for example in &comparison.examples {
        let q = &example.question;
        line(String::new());
        line(format!(
            "line {}: model {:?}, tier {}, seq {}, {} candidate{}",
            example.line,
            q.model,
            q.tier,
            q.seq,
            q.candidates.len(),
            if q.candidates.len() == 1 { "" } else { "s" }
        ));
        for (name, measured) in example.candidates.iter().zip(&q.candidates) {
            let Candidate { in_flight, latency_us, failure_permille: failures, .. } = Candidate::from(*measured);
            line(format!(
                "  {name}: {in_flight} in flight, {} ms to the first byte, {} % failures",
                f64::from(latency_us) / 1000.0,
                f64::from(failures) / 10.0
            ));
        }
        for (name, answer) in comparison.names.iter().zip(&example.answers) {
            line(format!("  {name}: {answer}"));
        }
    }
    text
}
