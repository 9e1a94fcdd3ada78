//! `pointsman precompile` and `pointsman version`: the compiled code that the program carries.
//!
//! The first is the last step of a build, see `make dist`; nothing but the program itself can compile for its own engine.

use std::env::consts::ARCH;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{program, say, say_error};
use crate::{approach, strategy, wasm};

#[derive(Debug, Args)]
pub(super) struct Precompile {
    /// Write the program with the code there, and leave the one that runs as it is.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The components in this program.
fn components() -> Vec<&'static [u8]> {
    let strategies = strategy::builtins().iter().filter_map(|name| strategy::builtin_component(name));
    strategies.chain(approach::builtins().iter().filter_map(|name| approach::builtin_component(name))).collect()
}

pub(super) fn run(arguments: &Precompile) -> ExitCode {
    let components = components();
    let appended = std::env::current_exe().map_err(anyhow::Error::from).and_then(|program| {
        let to = arguments.out.clone().unwrap_or_else(|| program.clone());
        Ok((wasm::precompile(&program, &to, &components)?, to))
    });
    match appended {
        Ok((bytes, to)) => {
            let (count, megabytes, to) = (components.len(), bytes as f64 / 1e6, to.display());
            say(&format!("{to} carries the compiled code of {count} components, {megabytes:.1} MB"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say_error(&format!("pointsman precompile: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

pub(super) fn version() -> ExitCode {
    if let Some(program) = program() {
        wasm::carried_by(program);
    }
    let components = components();
    let count = components.len();
    let words = match wasm::number_carried(&components) {
        Ok(0) => "are compiled when they are first used, since this program carries no code of them".to_owned(),
        Ok(carried) if carried == count => format!("are compiled in this program, for any {ARCH} processor"),
        Ok(carried) => {
            format!("are compiled when they are first used, but for {carried} whose code is in this program")
        }
        Err(unfit) => format!("are compiled when they are first used; the code in this program is not used: {unfit}"),
    };
    say(&format!("pointsman {}\nits {count} built-in components {words}", env!("CARGO_PKG_VERSION")));
    ExitCode::SUCCESS
}
