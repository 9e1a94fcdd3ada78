//! `pointsman approach`: the commands for authors of approaches, and for operators who want to know which there are.

mod cost;
mod eval;
mod examine;
mod list;
mod new;
mod replay;
mod run;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

/// The commands for authors of approaches.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the approaches: name, description and options of each.
    List(list::List),
    /// Create a project for an approach: a folder with a working algorithm, its tests and a README.
    New(new::New),
    /// Check whether a proxy would accept a file: its imports, whether it fits the contract, and whether it accepts options.
    Check(examine::Target),
    /// Describe an approach: what it says of itself, its options, and the time that it takes to compile.
    Inspect(examine::Target),
    /// Test whether an approach keeps the contract whatever the model says, and whether it answers as fixtures expect.
    Test(test::Test),
    /// Ask one question through the proxy of a configuration, and say what the answer took.
    Run(run::Run),
    /// Say what approaches cost as a multiple of the plain request: answers, waiting, tokens, money.
    Cost(cost::Cost),
    /// Compare approaches on questions whose answers are known: accuracy, differences, tokens, money, time.
    Eval(Box<eval::Eval>),
    /// Play the runs that `approach.record` has written again, and show where another version goes otherwise.
    Replay(replay::Replay),
}

/// Runs one of the commands.
pub(super) fn run(command: &Command) -> ExitCode {
    match command {
        Command::List(list) => list::run(list),
        Command::New(new) => new::run(new),
        Command::Check(target) => examine::run_check(target),
        Command::Inspect(target) => examine::run_inspect(target),
        Command::Test(test) => test::run(test),
        Command::Run(run) => run::run(run),
        Command::Cost(cost) => cost::run(cost),
        Command::Eval(eval) => eval::run(eval),
        Command::Replay(replay) => replay::run(replay),
    }
}
