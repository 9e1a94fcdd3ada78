//! `pointsman strategy`: the commands for authors of strategies. They stand apart from the other commands because they
//! need no configuration and serve nothing.

mod examine;
mod images;
mod new;
mod replay;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

pub(super) use replay::read_config;

/// The commands for authors of strategies.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a project for a strategy: a folder with a working policy, its tests and a README.
    New(new::New),
    /// Check whether a proxy would accept a file: its imports, whether it fits the contract and accepts a config, and
    /// whether it breaks when it is tried.
    Check(examine::Target),
    /// Describe a strategy: its metadata, the time that it takes to compile and to decide, and its memory.
    Inspect(examine::Target),
    /// Test whether a strategy keeps the contract for any input, and whether it decides as fixtures expect.
    Test(test::Test),
    /// Replay recorded requests to a strategy, and report whether it makes the recorded decisions.
    Replay(replay::Replay),
    /// Put a component into a registry, and print the digest by which configurations name it.
    Push(images::Push),
    /// Fetch a component from a registry into a file, and print its digest.
    Pull(images::Pull),
    /// Replay recorded requests to two strategies, and report where their decisions differ.
    Diff(replay::Diff),
}

/// Runs one of the commands.
pub(super) fn run(command: &Command) -> ExitCode {
    match command {
        Command::New(new) => new::run(new),
        Command::Check(target) => examine::run_check(target),
        Command::Inspect(target) => examine::run_inspect(target),
        Command::Test(test) => test::run(test),
        Command::Replay(replay) => replay::run(replay),
        Command::Push(push) => images::run_push(push),
        Command::Pull(pull) => images::run_pull(pull),
        Command::Diff(diff) => replay::run_diff(diff),
    }
}
