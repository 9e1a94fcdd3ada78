//! `pointsman simulate`: a scenario, and what strategies make of it.
//!
//! Exit codes: 0 played, 2 the arguments or the scenario are wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::strategy::read_config;
use super::{say, say_error, use_cache, wrong};
use crate::config::environment;
use crate::wasm::LoadError;
use crate::workbench::simulate::{Scenario, ScenarioError, SimulationError, page, simulate, table, warnings};

#[derive(Debug, Args)]
pub struct Simulate {
    /// What happens: traffic, a proxy, and how its providers behave.
    scenario: PathBuf,
    /// A built-in strategy, a name under `strategies` of the scenario's proxy, or a file ending in .wasm; may be given more than
    /// once [default: the one that the scenario's proxy names, or round_robin].
    #[arg(long, value_name = "NAME|FILE")]
    strategy: Vec<String>,
    /// The config of a strategy, as JSON or as @FILE, instead of what the scenario says; of several strategies each by its name,
    /// or the stem of its file: --config eu-first='{"region": "eu"}'.
    #[arg(long, value_name = "[NAME=]JSON|@FILE")]
    config: Vec<String>,
    /// As many requests, for however long they take to come, instead of the scenario's duration.
    #[arg(long)]
    requests: Option<u64>,
    /// Another seed than the scenario's.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Write a page with charts as well.
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

/// The sentence for what is wrong, which names the scenario or the strategy that was asked for beside it.
fn complaint(scenario: &Scenario, strategy: &str, error: &SimulationError) -> String {
    match error {
        SimulationError::Scenario(ScenarioError::Strategy { .. }) => format!("--strategy {strategy}: {error}"),
        SimulationError::Scenario(ScenarioError::Invalid(_)) => error.to_string(),
        SimulationError::Strategy { error: LoadError::Rejected(_), .. } => format!(
            "{}: {error}\n  help: what it wants of its config is given with --config, or under `proxy.strategies` of the scenario; \
             what it wants of the providers, under `proxy.providers`",
            scenario.file.display()
        ),
        SimulationError::Strategy { error: reason, .. } => {
            format!("--strategy {strategy}: {error}\n  help: {}", reason.remedy())
        }
        SimulationError::Setup(_) | SimulationError::Runtime(_) => error.to_string(),
    }
}

/// Tells the scenario where the files are, and which configs were given.
fn declare(scenario: &mut Scenario, strategies: &[String], configs: &[String]) -> Result<(), String> {
    let mut given: Vec<Option<Value>> = vec![None; strategies.len()];
    for text in configs {
        let (place, config) = match text.split_once('=').filter(|_| !text.starts_with(['{', '@'])) {
            Some((name, config)) => (strategies.iter().position(|strategy| is_called(strategy, name)), config),
            None => ((strategies.len() == 1).then_some(0), text.as_str()),
        };
        let place = place.ok_or_else(|| {
            format!("--config {text}: say whose it is, --config NAME=...; the strategies are {}", strategies.join(", "))
        })?;
        let config = serde_json::from_str(&read_config(config)?).map_err(|error| error.to_string())?;
        given[place] = Some(config);
    }
    for (strategy, config) in strategies.iter().zip(given) {
        // As every path on a command line, relative to where one is; what a scenario says is relative to the scenario.
        let file = std::path::absolute(strategy).ok().filter(|file| strategy.ends_with(".wasm") && file.is_file());
        if file.is_some() || config.is_some() {
            scenario.declare(strategy, file.as_deref(), config);
        }
    }
    Ok(())
}

/// By its name, or the stem of its file.
fn is_called(strategy: &str, name: &str) -> bool {
    let stem = Path::new(strategy).file_stem().filter(|_| strategy.ends_with(".wasm"));
    strategy == name || stem.is_some_and(|stem| stem == name)
}
