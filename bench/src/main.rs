//! `pointsman-bench`: Pointsman beside nginx, haproxy, envoy and other gateways, end to end.
//!
//! One program in three roles, each a process of its own: the mock ([`mock`]), the load ([`load`]), and what starts
//! them and the targets, in rounds ([`run`]), and prints the report ([`report`]). It measures the program
//! `pointsman` from outside and shares no code with it. `docs/performance.md` says what the figures mean.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

mod contention;
mod goals;
mod load;
mod machine;
mod mock;
mod plan;
mod process;
mod report;
mod results;
mod run;
mod stage;
mod startup;
mod stats;
mod targets;
mod tls;
mod train;
mod wire;

/// Of every listener: with fewer, some of 1,000 connections at once would try again after a second.
const BACKLOG: u32 = 4096;

/// Set by a signal, and checked in every wait.
static STOP: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Parser)]
#[command(name = "pointsman-bench", about = "Measures pointsman beside nginx, haproxy, envoy and other gateways")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Measure and print.
    Run(Options),
    /// Put a program that counts where it goes under load, for packaging/profiled.
    Train {
        /// The program.
        #[arg(long, value_name = "FILE")]
        pointsman: PathBuf,
    },
    /// Simulate what workers cost each other; no machine with more cores is needed.
    Contention(contention::Figures),
    #[command(hide = true)]
    Mock { folder: PathBuf },
    #[command(hide = true)]
    Load { job: String },
    #[command(hide = true)]
    Calibrate,
}

/// The options of a run.
#[derive(Debug, Args)]
pub struct Options {
    /// Run only the most important measures, for about two minutes.
    #[arg(long)]
    quick: bool,
    /// The number of rounds, instead of the default.
    #[arg(long)]
    rounds: Option<usize>,
    /// Run only these measures: 1k, slow, 32k, paced, alone, mixed, burst, rate500,
    /// rate2000, 1m.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    measures: Vec<String>,
    /// The program to measure.
    #[arg(long, default_value = "target/release/pointsman", value_name = "FILE")]
    pointsman: PathBuf,
    /// The file for the report in JSON.
    #[arg(long, default_value = "target/bench/report.json", value_name = "FILE")]
    json: PathBuf,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().role {
        Role::Run(options) => watch_signals().and_then(|()| run::main(&options)),
        Role::Train { pointsman } => watch_signals().and_then(|()| train::main(&pointsman)),
        Role::Contention(figures) => {
            contention::main(&figures);
            Ok(())
        }
        Role::Mock { folder } => mock::main(&folder),
        Role::Load { job } => load::main(&job),
        Role::Calibrate => machine::calibrate().map(|ms| say(&ms.to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("pointsman-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// From now on SIGINT and SIGTERM make [`check_stop`] fail, so that children are ended on the way out.
fn watch_signals() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()).context("SIGINT")?, signal(SignalKind::terminate()).context("SIGTERM")?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            STOP.store(true, Relaxed);
        });
    });
    Ok(())
}

/// An error after a signal.
fn check_stop() -> anyhow::Result<()> {
    if STOP.load(Relaxed) {
        bail!("stopped by a signal");
    }
    Ok(())
}

/// Writes a line of results; a closed pipe must not cause a panic.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes a line about the progress.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
