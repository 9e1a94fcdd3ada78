//! Programs under valgrind, and what it counted.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// The command that runs `program` and counts its instructions into `out`, in an environment without anything of the
/// developer's.
pub fn command(program: &Path, out: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=cachegrind", "--cache-sim=no", "--branch-sim=no"]);
    // What it says of itself goes to a file, as the program's own words are read.
    command.arg(format!("--log-file={}", out.with_extension("log").display()));
    command.arg(format!("--cachegrind-out-file={}", out.display())).arg(program);
    command.env_clear().stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// The instructions of a run that has ended.
pub fn instructions(out: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(out).with_context(|| format!("valgrind has not written {}", out.display()))?;
    let summary = text.lines().rev().find_map(|line| line.strip_prefix("summary:")).context("a file without a sum")?;
    summary.trim().parse().with_context(|| format!("`{summary}` is not a number"))
}
