//! `pointsman strategy`: the commands of those who write strategies. They need no configuration and serve nothing, which
//! is why they stand apart from the others.

mod examine;
mod new;
mod replay;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

pub(super) use replay::read_config;

/// What can be done with a strategy.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin a strategy: a folder with all that it takes, a policy that works, its test and how to go on.
    New(new::New),
    /// Say what a file is and whether a proxy would take it: what it imports, whether it fits the contract, accepts a config, and
    /// breaks when it is tried.
    Check(examine::Target),
    /// Say what a strategy does: what it says of itself, how long it takes to compile and to decide, what memory it needs.
    Inspect(examine::Target),
    /// Try whether a strategy keeps the contract, whatever it is asked, and whether it does what fixtures say.
    Test(test::Test),
    /// Ask a strategy once more what was recorded, and say whether it answers the same.
    Replay(replay::Replay),
    /// Ask two strategies what was recorded, and say where they differ.
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
        Command::Diff(diff) => replay::run_diff(diff),
    }
}
