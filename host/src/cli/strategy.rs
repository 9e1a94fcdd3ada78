//! `pointsman strategy`: the commands of those who write strategies. They need no configuration and serve nothing, which
//! is why they stand apart from the others.

mod new;

use std::process::ExitCode;

use clap::Subcommand;

/// What can be done with a strategy.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin a strategy: a folder with all that it takes, a policy that works, its test and how to go on.
    New(new::New),
}

/// Runs one of the commands.
pub(super) fn run(command: &Command) -> ExitCode {
    match command {
        Command::New(new) => new::run(new),
    }
}
