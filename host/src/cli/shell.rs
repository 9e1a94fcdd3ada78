//! `pointsman completions` and `pointsman man`: the command line told to shells and to readers of manuals.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Arguments, say, say_error};

const NAME: &str = "pointsman";

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell; for bash: source <(pointsman completions bash).
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write a page for every command into this folder, which is made if need be [default: the main page to the standard output].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The command line as people see it: without the commands that the program starts for itself.
fn command() -> clap::Command {
    let whole = Arguments::command();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let about = whole.get_about().cloned().unwrap_or_default();
    clap::Command::new(NAME)
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .subcommands(shown)
}

pub(super) fn completions(arguments: &Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command(), NAME, &mut script);
    // A closed pipe must not cause a panic.
    let _ = io::stdout().write_all(&script);
    ExitCode::SUCCESS
}

pub(super) fn man(arguments: &Man) -> ExitCode {
    let written = match &arguments.dir {
        None => clap_mangen::Man::new(command()).render(&mut io::stdout()),
        Some(folder) => {
            fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command(), folder)).map(|()| {
                say(&format!("The pages are in {0}: man -l {0}/{NAME}.1", folder.display()));
            })
        }
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let place = arguments.dir.as_ref().map(|folder| format!("{}: ", folder.display())).unwrap_or_default();
            say_error(&format!("pointsman man: {place}{error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
