//! The report of a run: tables for people, JSON for programs.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

mod table;

use crate::goals::{self, Goal};
use crate::machine::{self, Cores, find_program};
use crate::results::Results;
use crate::startup::Startup;
use crate::stats::Spread;
use crate::targets::{self, PEERS, Target};
use crate::{Options, say};
use table::Table;

/// Of the range of the calibration to its median, above which the core was not the same all the time.
const UNSTEADY: f64 = 0.15;
/// Cores' worth of other work above which a sample was disturbed.
const DISTURBED: f64 = 0.1;
/// Share of a core above which the load may have been what limited a rate.
const SATURATED: f64 = 0.9;

/// Everything, as it is written.
#[derive(Debug, Serialize)]
pub struct Report {
    form: &'static str,
    machine: Machine,
    versions: Vec<(String, String)>,
    startup: Startup,
    goals: Vec<Judged>,
    warnings: Vec<String>,
    #[serde(flatten)]
    results: Results,
}

#[derive(Debug, Serialize)]
struct Judged {
    #[serde(flatten)]
    goal: Goal,
    verdict: &'static str,
    /// Others were at work in most samples, and it is a figure that they change: unlike memory and sizes.
    doubtful: bool,
}

#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    proxy_core: usize,
    load_core: usize,
}

impl Report {
    /// Compares the measurements with the goals.
    pub fn new(
        form: &'static str,
        options: &Options,
        targets: &[Target],
        cores: Cores,
        startup: Startup,
        results: Results,
        mut warnings: Vec<String>,
    ) -> anyhow::Result<Self> {
        let (processor, count) = machine::describe();
        let bytes = std::fs::metadata(&options.pointsman)?.len();
        let binary_mb = bytes as f64 / f64::from(1 << 20);
        let goals = goals::judge(&results, &startup, binary_mb);
        warnings.extend(noise(&results));
        let foreign = Spread::of(results.records.iter().map(|record| record.foreign_cores));
        let disturbed = foreign.is_some_and(|foreign| foreign.median > DISTURBED);
        let judge = |goal: Goal| Judged {
            verdict: goal.verdict(),
            doubtful: disturbed && goal.measured.is_some() && !["MB", "KB"].contains(&goal.unit),
            goal,
        };
        Ok(Self {
            form,
            machine: Machine {
                processor,
                cores: count,
                kernel: machine::kernel(),
                proxy_core: cores.proxy,
                load_core: cores.load,
            },
            versions: versions(options, targets),
            startup,
            goals: goals.into_iter().map(judge).collect(),
            warnings,
            results,
        })
    }
}

fn versions(options: &Options, targets: &[Target]) -> Vec<(String, String)> {
    let mut versions = vec![("pointsman".to_owned(), targets::version(&options.pointsman, "--version"))];
    for (target, argument) in [(Target::Nginx, "-v"), (Target::Haproxy, "-v"), (Target::Envoy, "--version")] {
        let program = find_program(target.name()).filter(|_| targets.contains(&target));
        versions.extend(program.map(|program| (target.name().to_owned(), targets::version(&program, argument))));
    }
    for peer in PEERS.into_iter().filter(|peer| targets.contains(&Target::Peer(*peer))) {
        versions.extend(peer.program().ok().map(|program| (peer.name().to_owned(), program.display().to_string())));
    }
    versions
}

/// Reasons to doubt the figures.
fn noise(results: &Results) -> Vec<String> {
    let mut warnings = Vec::new();
    let records = &results.records;
    if let Some(Spread { median, min, max, .. }) = Spread::of(records.iter().map(|record| record.calibration_ms))
        && (max - min) / median > UNSTEADY
    {
        warnings.push(format!(
            "the proxy's core was unsteady: the same work took {min:.1} to {max:.1} ms of CPU time (median {median:.1})"
        ));
    }
    let disturbed = records.iter().filter(|record| record.foreign_cores > DISTURBED).count();
    if let Some(foreign) = Spread::of(records.iter().map(|record| record.foreign_cores)).filter(|_| disturbed > 0) {
        let (all, median, max) = (records.len(), foreign.median, foreign.max);
        warnings.push(format!(
            "others were at work during {disturbed} of {all} samples: {median:.2} cores in the median, {max:.2} at most"
        ));
    }
    for (measure, unit) in [("1k", "requests"), ("32k", "requests"), ("1m", "requests"), ("burst", "events")] {
        let busy = |target: &&str| {
            let share = results.spread(target, measure, "load_core_share");
            *target != "direct" && share.is_some_and(|share| share.median > SATURATED)
        };
        let limited: Vec<&str> = results.targets().into_iter().filter(|target| busy(target)).collect();
        if !limited.is_empty() {
            let limited = limited.join(", ");
            warnings.push(format!("{measure}: load and mock were at the limit of their core, so that the {unit} a second of {limited} are lower bounds"));
        }
    }
    warnings
}

/// Writes the report for programs.
pub fn write(report: &Report, file: &Path) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    say(&format!("\nAll samples: {}", file.display()));
    Ok(())
}

/// Prints the report for people.
pub fn print(report: &Report) {
    let Machine { processor, cores, kernel, proxy_core, load_core } = &report.machine;
    say(&format!(
        "\n{processor}, {cores} cores, Linux {kernel}; the proxy on core {proxy_core}, mock and load on core {load_core}"
    ));
    for (name, version) in &report.versions {
        say(&format!("  {name}: {version}"));
    }
    say(&format!(
        "\nMedians of {} rounds [least–most]; ratios and differences are taken within a round.\n",
        report.results.rounds
    ));
    say(&table::figures(&report.results).to_string());
    if let Some(forms) = table::forms(&report.results) {
        say(&forms.to_string());
    }
    say(&format!(
        "Start to listening: cold {}, warm {} ms\n",
        table::cell(report.startup.cold, 0),
        table::cell(report.startup.warm, 0)
    ));
    say(&goals(report).to_string());
    if report.goals.iter().any(|goal| goal.doubtful) {
        say("? others were at work during most samples: measure again on an idle machine");
    }
    for warning in &report.warnings {
        say(&format!("! {warning}"));
    }
}

fn goals(report: &Report) -> Table {
    let mut table = Table::new(["goal", "measured", "", "goal", "stretch", ""]);
    for Judged { goal, verdict, doubtful } in &report.goals {
        let measured = goal.measured.map_or("–".to_owned(), |spread| table::cell(spread, 2));
        let sign = if goal.more { "≥" } else { "≤" };
        table.row([
            goal.what.to_owned(),
            measured,
            goal.unit.to_owned(),
            format!("{sign} {}", goal.goal),
            format!("{sign} {}", goal.stretch),
            if *doubtful { format!("{verdict}?") } else { (*verdict).to_owned() },
        ]);
    }
    table.row(["one strategy call", "–", "µs", "≤ 1", "≤ 0.6", "make bench-parts"].map(str::to_owned));
    table
}
