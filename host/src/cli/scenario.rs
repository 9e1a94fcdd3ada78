//! `pointsman scenario from-ledger`: a scenario from the stories of a ledger, for `pointsman simulate`.

use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{say, say_error, wrong};
use crate::observe::ledger::folder::Reading;
use crate::observe::ledger::{Filter, Record, Time};
use crate::workbench::simulate::{Fitted, write};

/// The most stories that are fitted to; of more, the latest.
const MOST: usize = 1_000_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a scenario that plays the requests of a ledger, over providers that behave as they were seen to.
    FromLedger(FromLedger),
}

#[derive(Debug, Args)]
pub(super) struct FromLedger {
    /// The folder of a ledger (`monitoring.ledger.path`), or one of its files.
    #[arg(value_name = "PATH")]
    ledger: PathBuf,
    /// The configuration that was in force, for its routes, weights and limits; nothing of it that names a place or a key is
    /// printed [default: the providers that were asked, and the strategy that decided].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The beginning: RFC 3339, a day in UTC, or a span before now such as 24h [default: all that is kept].
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The end, likewise.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Draw requests at the rates that were seen, instead of playing them as they came.
    #[arg(long)]
    drawn: bool,
}

pub(super) fn run(command: &Command) -> ExitCode {
    let Command::FromLedger(arguments) = command;
    match from_ledger(arguments) {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(problem) => wrong(&problem),
    }
}

fn from_ledger(arguments: &FromLedger) -> Result<String, String> {
    let FromLedger { ledger, config, since, until, drawn } = arguments;
    let (mut filter, now) = (Filter { inner: true, ..Filter::default() }, Time::now());
    for (name, value) in [("since", since), ("until", until)] {
        if let Some(value) = value {
            filter.set(name, value, now).map_err(|(name, wrong)| format!("--{name} {wrong}"))?;
        }
    }
    let config = config.as_deref().map(read).transpose()?;
    let mut records: Vec<Record> = Vec::new();
    let mut see = |record| {
        records.push(record);
        records.len() < MOST
    };
    let read = Reading::of(ledger).backwards(&filter, &mut see);
    read.map_err(|error| format!("{}: cannot be read: {error}", ledger.display()))?;
    let none = || format!("{}: holds no request that went to a provider in that time", ledger.display());
    let fitted = Fitted::of(&records).ok_or_else(none)?;
    for doubt in &fitted.doubts {
        say_error(&format!("mind: {doubt}"));
    }
    let path = absolute(ledger).map_err(|error| error.to_string())?;
    Ok(write(&fitted, config.as_ref(), (!drawn).then_some(path.as_path())))
}

fn read(file: &Path) -> Result<serde_yaml::Value, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
    let mut config: serde_yaml::Value =
        serde_yaml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    // What is beside the configuration is not beside the scenario.
    let folder = file.parent().unwrap_or(Path::new(""));
    let anchor = |path: &mut serde_yaml::Value| {
        if let Some(found) = path.as_str().and_then(|path| absolute(folder.join(path)).ok()) {
            *path = found.display().to_string().into();
        }
    };
    if let Some(file) = config.get_mut("prices").and_then(|prices| prices.get_mut("file")) {
        anchor(file);
    }
    if let Some(strategies) = config.get_mut("strategies").and_then(serde_yaml::Value::as_mapping_mut) {
        strategies.values_mut().filter_map(|strategy| strategy.get_mut("path")).for_each(anchor);
    }
    if let Some(strategy) = config.get_mut("routing").and_then(|routing| routing.get_mut("strategy"))
        && strategy.as_str().is_some_and(|strategy| strategy.ends_with(".wasm"))
    {
        anchor(strategy);
    }
    Ok(config)
}
