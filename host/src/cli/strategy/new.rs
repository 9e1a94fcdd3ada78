//! `pointsman strategy new`: makes a project from templates in the binary, without a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::project::templates::{CARGO_COMPONENT, COMMON, CONTRACT, JS, PYTHON, RUST, SDK};
use crate::cli::project::{Error, Files, Name, create, filled, quoted, vendored};
use crate::cli::{say, wrong};
use crate::wasm::GuestKind;

#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// The name: at most 64 lower-case letters, digits, _ and -, beginning with a letter.
    name: String,
    /// The language to write it in.
    #[arg(long, value_enum)]
    lang: Language,
    /// The folder to make; it must not exist, or be empty [default: ./NAME].
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Language {
    /// Rust with the SDK, by cargo alone.
    Rust,
    /// Rust without the SDK, by cargo-component.
    CargoComponent,
    /// JavaScript, by componentize-js.
    Js,
    /// Python, by componentize-py.
    Python,
}

/// Makes the project and prints the next steps.
pub(super) fn run(new: &New) -> ExitCode {
    let made = Name::parse(GuestKind::Strategy, &new.name).map_err(Error::from).and_then(|name| {
        let folder = new.path.clone().unwrap_or_else(|| PathBuf::from(name.as_str()));
        create(&folder, &project(new.lang, &name)).map(|()| (name, folder))
    });
    match made {
        Ok((name, folder)) => {
            say(&farewell(new.lang, &name, &folder));
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&format!("strategy new: {error}")),
    }
}

/// The files of a project by their path in it.
fn project(language: Language, name: &Name) -> Files {
    let own = match language {
        Language::Rust => RUST,
        Language::CargoComponent => CARGO_COMPONENT,
        Language::Js => JS,
        Language::Python => PYTHON,
    };
    let mut files = filled(&[COMMON, own], name);
    match language {
        // The contract is part of the SDK.
        Language::Rust => files.extend(vendored(SDK)),
        Language::CargoComponent | Language::Js | Language::Python => {
            files.push(("wit/strategy.wit".to_owned(), CONTRACT.to_owned()));
        }
    }
    files
}

/// Describes the project, the next three commands, and where to put the result.
fn farewell(language: Language, name: &Name, folder: &Path) -> String {
    let stem = name.stem();
    let (test, build, component) = match language {
        Language::Rust => (
            "cargo test",
            "cargo build --release --target wasm32-wasip2".to_owned(),
            format!("target/wasm32-wasip2/release/{stem}.wasm"),
        ),
        Language::CargoComponent => (
            "cargo test",
            "cargo component build --release".to_owned(),
            format!("target/wasm32-wasip1/release/{stem}.wasm"),
        ),
        Language::Js => ("npm install && npm test", "npm run build".to_owned(), format!("{name}.wasm")),
        Language::Python => (
            "python3 -m unittest",
            format!(
                "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && \
                 .venv/bin/componentize-py -d wit -w strategy-full componentize --stub-wasi app -o {name}.wasm"
            ),
            format!("{name}.wasm"),
        ),
    };
    let shown = folder.display();
    format!(
        "{shown}: a strategy that prefers the providers of a region\n\n  cd {}\n  {test}\n  {build}\n\n\
         The component is {component}; README.md says where to put it.",
        quoted(&shown.to_string())
    )
}

#[cfg(test)]
mod tests;
