//! `pointsman strategy`: what an author needs beside the language's own tools.

use std::process::ExitCode;

use clap::Subcommand;

use super::replay::{self, Diff, Replay};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Strategy {
    /// Ask a strategy once more what was recorded, and say whether it answers the same.
    Replay(Replay),
    /// Ask two strategies what was recorded, and say where they differ.
    Diff(Diff),
}

/// Does it.
pub fn run(strategy: &Strategy) -> ExitCode {
    match strategy {
        Strategy::Replay(replay) => replay::run(replay),
        Strategy::Diff(diff) => replay::run_diff(diff),
    }
}
