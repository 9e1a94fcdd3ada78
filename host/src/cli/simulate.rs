//! `pointsman simulate`: a scenario, and what strategies make of it.
//!
//! Exit codes: 0 played, 2 the arguments or the scenario are wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::time::Instant;

use super::{say, say_error, use_cache, wrong};
use crate::config::environment;
use crate::simulate::{Scenario, page, simulate, table};

#[derive(Debug, Args)]
pub struct Simulate {
    /// What happens: traffic, a proxy, and how its providers behave.
    scenario: PathBuf,
    /// A built-in strategy, a name under `strategies` of the scenario's proxy, or a path ending in .wasm relative to the
    /// scenario; may be given more than once [default: the one that the scenario's proxy names, or round_robin].
    #[arg(long, value_name = "NAME|FILE")]
    strategy: Vec<String>,
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
        Err(error) => return wrong(&error.to_string()),
    };
    scenario.script.seed = arguments.seed.unwrap_or(scenario.script.seed);
    let mut strategies = arguments.strategy.clone();
    if strategies.is_empty() {
        strategies.push(scenario.strategy().unwrap_or("round_robin").to_owned());
    }
    let mut reports = Vec::new();
    for strategy in &strategies {
        let began = Instant::now();
        match simulate(&scenario, strategy, arguments.requests, &environment) {
            Ok(report) => {
                let (requests, took) = (report.requests, began.elapsed().as_secs_f64());
                say_error(&format!("{strategy}: {requests} requests in {took:.1} s"));
                reports.push(report);
            }
            Err(error) => return wrong(&format!("{}: {error}", arguments.scenario.display())),
        }
    }
    if let Some(file) = &arguments.html
        && let Err(error) = std::fs::write(file, page(&scenario, &reports))
    {
        return wrong(&format!("{}: cannot be written: {error}", file.display()));
    }
    if arguments.json {
        say(&serde_json::to_string_pretty(&reports).unwrap_or_default());
    } else {
        say(&table(&scenario, &reports));
    }
    ExitCode::SUCCESS
}
