//! `pointsman import`: translates configurations of other proxies.
//!
//! [`litellm`] goes from file to file. A `deployment` is an entry of the other's list, `groups` makes routes of them,
//! `fallbacks` and `settings` add the rest, `keys` those of clients, `money` budgets and rates, `output` writes the result, and `report` reports what became of each key.

mod deployment;
mod fallbacks;
mod groups;
mod keys;
mod litellm;
mod money;
mod output;
mod report;
mod settings;
#[cfg(test)]
mod tests;
mod vendor;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{say, say_error, wrong};
use keys::Tables;

/// The proxies whose configurations can be read.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Translate a LiteLLM configuration; a report on each of its keys goes to stderr.
    Litellm(File),
}

/// The input and the output.
#[derive(Debug, Args)]
pub(super) struct File {
    /// LiteLLM's config.yaml.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// LiteLLM's table of keys, `LiteLLM_VerificationToken`, as CSV with headings: clients keep their keys.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// LiteLLM's table of teams, `LiteLLM_TeamTable`, as CSV with headings: each becomes a group of clients.
    #[arg(long, value_name = "FILE")]
    teams: Option<PathBuf>,
    /// Write to this file, which must not exist yet, instead of stdout.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(command: &Command) -> ExitCode {
    let Command::Litellm(File { file, keys, teams, output }) = command;
    let imported = match litellm::import(file, Tables { keys: keys.as_deref(), teams: teams.as_deref() }) {
        Ok(imported) => imported,
        Err(problem) => return wrong(&problem),
    };
    if let Some(output) = output {
        if let Err(error) = create(output, &imported.yaml) {
            let help = match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    "\n  help: it is not overwritten; name another, or remove it first"
                }
                _ => "",
            };
            return wrong(&format!("{}: cannot be written: {error}{help}", output.display()));
        }
        say_error(litellm::printed(&imported).trim_end());
    } else {
        say_error(litellm::printed(&imported).trim_end());
        say(imported.yaml.trim_end());
    }
    ExitCode::SUCCESS
}

/// Writes a new file that only its owner can read, because it may contain secrets.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
