//! `pointsman simulate`: plays a scenario with one or several strategies.
//!
//! Exit codes: 0 the simulation has run, 2 the arguments or the scenario are wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::strategy::read_config;
use super::{say, say_error, use_cache, wrong};
use crate::config::environment;
use crate::wasm::LoadError;
use crate::workbench::simulate::{
    Scenario, ScenarioError, SimulationError, as_recorded, page, simulate, table, warnings,
};

#[derive(Debug, Args)]
pub struct Simulate {
    /// The scenario: traffic, a proxy's configuration, and the behaviour of its providers.
    scenario: PathBuf,
    /// A built-in strategy, a name under `strategies` of the scenario's proxy, or a file ending in .wasm; may be
    /// repeated [default: the strategy of the scenario's proxy, or round_robin].
    #[arg(long, value_name = "NAME|FILE")]
    strategy: Vec<String>,
    /// The config of a strategy, as JSON or as @FILE, instead of the scenario's; with several strategies, prefix it
    /// with the name or the stem of the file: --config eu-first='{"region": "eu"}'.
    #[arg(long, value_name = "[NAME=]JSON|@FILE")]
    config: Vec<String>,
    /// Simulate this many requests, instead of the scenario's duration.
    #[arg(long)]
    requests: Option<u64>,
    /// The seed, instead of the scenario's.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Also write an HTML page with charts to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub fn run(arguments: &Simulate) -> ExitCode {
    use_cache();
    let mut scenario = match Scenario::load(&arguments.scenario, &environment) {
        Ok(scenario) => scenario,
        Err(problems) => return wrong(&problems.to_string()),
    };
    scenario.script.seed = arguments.seed.unwrap_or(scenario.script.seed);
    let mut strategies = arguments.strategy.clone();
    if strategies.is_empty() {
        strategies.push(scenario.strategy().unwrap_or("round_robin").to_owned());
    }
    if let Err(problem) = declare(&mut scenario, &strategies, &arguments.config) {
        return wrong(&problem);
    }
    let mut reports = Vec::new();
    for strategy in &strategies {
        match simulate(&scenario, strategy, arguments.requests, &environment) {
            Ok(report) => {
                say_error(&format!("{strategy}: {} requests in {:.1} s", report.requests, report.took.as_secs_f64()));
                reports.push(report);
            }
            Err(error) => return wrong(&complaint(&scenario, strategy, &error)),
        }
    }
    let names = reports.first().map(|report| report.providers.iter().map(|provider| provider.name.clone()).collect());
    match as_recorded(&scenario.script, &names.unwrap_or_else(Vec::new)) {
        // What happened stands before what would have happened.
        Ok(Some(recorded)) => reports.insert(0, recorded),
        Ok(None) => {}
        Err(error) => return wrong(&format!("{}: its ledger cannot be read: {error}", scenario.file.display())),
    }
    if let Some(file) = &arguments.html
        && let Err(error) = std::fs::write(file, page(&scenario, &reports))
    {
        return wrong(&format!("{}: cannot be written: {error}", file.display()));
    }
    for warning in warnings(&reports) {
        say_error(&warning);
    }
    if arguments.json {
        say(&serde_json::to_string_pretty(&reports).unwrap_or_default());
    } else {
        say(&table(&scenario, &reports));
    }
    ExitCode::SUCCESS
}

/// The text of an error, which names the scenario or the strategy.
fn complaint(scenario: &Scenario, strategy: &str, error: &SimulationError) -> String {
    match error {
        SimulationError::Scenario(ScenarioError::Strategy { .. }) => format!("--strategy {strategy}: {error}"),
        SimulationError::Scenario(ScenarioError::Invalid(_)) => error.to_string(),
        SimulationError::Strategy { error: LoadError::Rejected(_), .. } => format!(
            "{}: {error}\n  help: give its config with --config, or under `proxy.strategies` of the scenario; \
             what it wants of the providers, under `proxy.providers`",
            scenario.file.display()
        ),
        SimulationError::Strategy { error: reason, .. } => {
            format!("--strategy {strategy}: {error}\n  help: {}", reason.remedy())
        }
        SimulationError::Ledger { .. } | SimulationError::Setup(_) | SimulationError::Runtime(_) => error.to_string(),
    }
}

/// Adds the files and configs from the command line to the scenario.
fn declare(scenario: &mut Scenario, strategies: &[String], configs: &[String]) -> Result<(), String> {
    let mut given: Vec<Option<Value>> = vec![None; strategies.len()];
    for text in configs {
        let (place, config) = match text.split_once('=').filter(|_| !text.starts_with(['{', '@'])) {
            Some((name, config)) => (strategies.iter().position(|strategy| is_called(strategy, name)), config),
            None => ((strategies.len() == 1).then_some(0), text.as_str()),
        };
        let place = place.ok_or_else(|| {
            format!(
                "--config {text}: name the strategy, as in --config NAME=...; the strategies are {}",
                strategies.join(", ")
            )
        })?;
        let config = serde_json::from_str(&read_config(config)?).map_err(|error| error.to_string())?;
        given[place] = Some(config);
    }
    for (strategy, config) in strategies.iter().zip(given) {
        // Paths on the command line are relative to the current folder, paths in a scenario to the scenario.
        let file = std::path::absolute(strategy).ok().filter(|file| strategy.ends_with(".wasm") && file.is_file());
        if file.is_some() || config.is_some() {
            scenario.declare(strategy, file.as_deref(), config);
        }
    }
    Ok(())
}

/// The strategy with this name, or with this file stem.
fn is_called(strategy: &str, name: &str) -> bool {
    let stem = Path::new(strategy).file_stem().filter(|_| strategy.ends_with(".wasm"));
    strategy == name || stem.is_some_and(|stem| stem == name)
}
