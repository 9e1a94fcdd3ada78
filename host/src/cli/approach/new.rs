//! `pointsman approach new`: makes a project from templates in the binary, without a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::project::templates::{
    APPROACH_COMMON, APPROACH_CONTRACT, APPROACH_JS, APPROACH_PYTHON, APPROACH_RUST, APPROACH_SDK,
};
use crate::cli::project::{Error, Files, Name, create, filled, quoted, vendored};
use crate::cli::{say, wrong};
use crate::wasm::GuestKind;

#[derive(Debug, Args)]
pub struct New {
    /// The name: at most 64 lower-case letters, digits and _, beginning with a letter.
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
    /// JavaScript, by componentize-js.
    Js,
    /// Python, by componentize-py.
    Python,
}

/// Makes the project and prints the next steps.
pub fn run(new: &New) -> ExitCode {
    let made = Name::parse(GuestKind::Approach, &new.name).map_err(Error::from).and_then(|name| {
        let folder = new.path.clone().unwrap_or_else(|| PathBuf::from(name.as_str()));
        create(&folder, &project(new.lang, &name)).map(|()| (name, folder))
    });
    match made {
        Ok((name, folder)) => {
            say(&farewell(new.lang, &name, &folder));
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&format!("approach new: {error}")),
    }
}

/// The files of a project by their path in it.
fn project(language: Language, name: &Name) -> Files {
    let own = match language {
        Language::Rust => APPROACH_RUST,
        Language::Js => APPROACH_JS,
        Language::Python => APPROACH_PYTHON,
    };
    let mut files = filled(&[APPROACH_COMMON, own], name);
    match language {
        // The contract is part of the SDK.
        Language::Rust => files.extend(vendored(APPROACH_SDK)),
        Language::Js | Language::Python => files.push(("wit/approach.wit".to_owned(), APPROACH_CONTRACT.to_owned())),
    }
    files
}

/// Describes the project, the next three commands, and where to put the result.
fn farewell(language: Language, name: &Name, folder: &Path) -> String {
    let (test, build, component) = match language {
        Language::Rust => (
            "cargo test",
            "cargo build --release --target wasm32-wasip2".to_owned(),
            format!("target/wasm32-wasip2/release/{name}.wasm"),
        ),
        Language::Js => ("npm install && npm test", "npm run build".to_owned(), format!("{name}.wasm")),
        Language::Python => (
            "python3 -m unittest",
            format!(
                "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && \
                 .venv/bin/componentize-py -d wit -w approach-full componentize --stub-wasi app -o {name}.wasm"
            ),
            format!("{name}.wasm"),
        ),
    };
    let shown = folder.display();
    format!(
        "{shown}: an approach that asks for several answers and has the model pick the best\n\n  cd {}\n  {test}\n  {build}\n\n\
         The component is {component}; README.md says where to put it.",
        quoted(&shown.to_string())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::project::{NAME, STEM};

    #[test]
    fn a_project_has_all_that_it_takes_and_no_placeholder_is_left() {
        let name = Name::parse(GuestKind::Approach, "best_of").expect("a name");
        for (language, own) in
            [(Language::Rust, "Cargo.toml"), (Language::Js, "package.json"), (Language::Python, "app.py")]
        {
            let files = project(language, &name);
            for needed in [own, "README.md", ".gitignore", "fixtures/best.json"] {
                assert!(files.iter().any(|(path, _)| path == needed), "{language:?} has {needed}: {files:?}");
            }
            let contracts: Vec<_> = files.iter().filter(|(path, _)| path.ends_with("wit/approach.wit")).collect();
            assert_eq!(contracts.len(), 1, "{language:?}");
            // Byte for byte, and the README names its version.
            let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/approach/approach.wit");
            let original = std::fs::read_to_string(original).expect("the contract");
            assert!(contracts[0].1 == original, "{language:?} has another contract than wit/approach/approach.wit");
            let package = original.lines().find_map(|line| line.strip_prefix("package ")).expect("a package");
            let package = format!("`{}`", package.trim_end_matches(';'));
            let is_named = |(path, text): &(String, String)| path == "README.md" && text.contains(&package);
            assert!(files.iter().any(is_named), "{language:?}: {package}");
            assert!(!files.iter().any(|(path, _)| path.ends_with("strategy.wit")), "{language:?}");
            for (path, text) in &files {
                assert!(!text.contains(NAME) && !text.contains(STEM), "{language:?}: {path}");
            }
        }
    }

    /// What the guide promises.
    #[test]
    fn the_algorithm_is_short_in_every_language() {
        for (table, file, end) in [
            (APPROACH_RUST, "src/lib.rs", "const PICK"),
            (APPROACH_JS, "src/best_of.js", "/** The options"),
            (APPROACH_PYTHON, "best_of.py", "def read"),
        ] {
            let (_, text) = table.iter().find(|(path, _)| *path == file).expect("it is there");
            let begin = text.find("fn run(").or(text.find("def run(")).or(text.find("function run(")).expect("it runs");
            let lines = text[begin..].split(end).next().unwrap_or_default().lines().count();
            assert!((10..40).contains(&lines), "{file}: {lines} lines");
        }
    }

    #[test]
    fn the_sdk_stands_without_the_workspace() {
        let manifests: Vec<_> = APPROACH_SDK.iter().filter(|(path, _)| path.ends_with("Cargo.toml")).collect();
        assert!(!manifests.is_empty());
        for (path, text) in manifests {
            assert!(!text.contains("workspace"), "{path}:\n{text}");
        }
    }
}
