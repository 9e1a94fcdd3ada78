//! `pointsman strategy`: the commands of those who write strategies. They need no configuration and serve nothing, which
//! is why they stand apart from the others.

mod new;
mod replay;

use std::process::ExitCode;

use clap::Subcommand;

/// What can be done with a strategy.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin a strategy: a folder with all that it takes, a policy that works, its test and how to go on.
    New(new::New),
    /// Ask a strategy once more what was recorded, and say whether it answers the same.
    Replay(replay::Replay),
    /// Ask two strategies what was recorded, and say where they differ.
    Diff(replay::Diff),
}

/// Runs one of the commands.
pub(super) fn run(command: &Command) -> ExitCode {
    match command {
        Command::New(new) => new::run(new),
        Command::Replay(replay) => replay::run(replay),
        Command::Diff(diff) => replay::run_diff(diff),
    }
}
