//! `pointsman strategy new`: makes a project from templates in the binary, without a network.
//!
//! `host/build/templates.rs` embeds the templates and `new/name.rs` checks the name; here they become files, either all
//! of them or none.

mod name;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::{say, wrong};
use name::Name;

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// The placeholder for the strategy's name, in templates and in the names of their files.
const NAME: &str = "{{name}}";
/// The placeholder for the name as Rust's compiler writes it in file names.
const STEM: &str = "{{stem}}";

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

/// The reason why no project was made.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Name(#[from] name::Error),
    #[error("{} exists and is not empty; name another folder with --path", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} exists and is not a folder; name another one with --path", .0.display())]
    NotAFolder(PathBuf),
    #[error("cannot write {}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Makes the project and prints the next steps.
pub(super) fn run(new: &New) -> ExitCode {
    let made = Name::parse(&new.name).map_err(Error::from).and_then(|name| {
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
fn project(language: Language, name: &Name) -> Vec<(String, String)> {
    let own = match language {
        Language::Rust => RUST,
        Language::CargoComponent => CARGO_COMPONENT,
        Language::Js => JS,
        Language::Python => PYTHON,
    };
    let fill = |text: &str| text.replace(NAME, name.as_str()).replace(STEM, &name.stem());
    let mut files: Vec<_> = COMMON.iter().chain(own).map(|(path, text)| (fill(path), fill(text))).collect();
    match language {
        // The contract is part of the SDK.
        Language::Rust => {
            files.extend(SDK.iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned())));
        }
        Language::CargoComponent | Language::Js | Language::Python => {
            files.push(("wit/strategy.wit".to_owned(), CONTRACT.to_owned()));
        }
    }
    files
}

/// Writes `files` into `folder`. If one cannot be written, all are removed again.
fn create(folder: &Path, files: &[(String, String)]) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    let existed = match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(Error::NotEmpty(folder.to_owned())),
        Ok(false) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotAFolder(folder.to_owned()));
        }
        Err(error) => return Err(failed(folder)(error)),
    };
    let written = fs::create_dir_all(folder).map_err(failed(folder)).and_then(|()| {
        files.iter().try_for_each(|(name, text)| {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(failed(parent))?;
            }
            // Does not overwrite a file that somebody else has put there meanwhile.
            let file =
                fs::File::create_new(&path).and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
            file.map_err(failed(&path))
        })
    });
    if written.is_err() {
        undo(folder, existed, files);
    }
    written
}

/// Removes the files that were written. If that fails too, the user is still told of the first failure only.
fn undo(folder: &Path, existed: bool, files: &[(String, String)]) {
    if !existed {
        let _ = fs::remove_dir_all(folder);
        return;
    }
    // The folder was empty, so files with these names are ours. The folder itself stays, because it may be a mount or
    // the shell's current folder.
    let mut tops: Vec<_> = files.iter().filter_map(|(name, _)| name.split('/').next()).collect();
    tops.dedup();
    for top in tops {
        let path = folder.join(top);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
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

/// Quotes a path for a shell.
fn quoted(path: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "/._-+@%:,".contains(char);
    if path.chars().all(plain) && !path.starts_with('-') {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
