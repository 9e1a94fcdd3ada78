//! Tests of the files of a project.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::cli::project::{NAME, STEM};

fn names() -> [(Language, &'static str); 4] {
    [
        (Language::Rust, "Cargo.toml"),
        (Language::CargoComponent, "Cargo.toml"),
        (Language::Js, "package.json"),
        (Language::Python, "app.py"),
    ]
}

fn name() -> Name {
    Name::parse(GuestKind::Strategy, "eu-first").expect("a name")
}

/// The files of a folder, below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_project_has_all_that_it_takes_and_no_placeholder_is_left() {
    for (language, own) in names() {
        let folder = TempDir::new().expect("a temporary folder");
        let project = project(language, &name());
        create(folder.path(), &project).expect("writable");
        let written: Vec<String> = files(folder.path())
            .iter()
            .map(|path| path.strip_prefix(folder.path()).expect("below it").display().to_string())
            .collect();
        for needed in [own, "README.md", ".gitignore", "fixtures/region.json"] {
            assert!(written.iter().any(|path| path == needed), "{language:?} has {needed}: {written:?}");
        }
        let contracts: Vec<&String> = written.iter().filter(|path| path.ends_with("wit/strategy.wit")).collect();
        assert_eq!(contracts.len(), 1, "{language:?}");
        let read = |path: &str| fs::read_to_string(folder.path().join(path)).expect("readable");
        // Byte for byte, and the README names its version.
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/strategy.wit");
        let original = fs::read_to_string(original).expect("the contract");
        assert!(read(contracts[0]) == original, "{language:?}: {contracts:?} differs from wit/strategy.wit");
        let package = original.lines().find_map(|line| line.strip_prefix("package ")).expect("a package");
        assert!(read("README.md").contains(&format!("`{}`", package.trim_end_matches(';'))), "{language:?}: {package}");
        for path in &written {
            let text = fs::read_to_string(folder.path().join(path)).expect("readable");
            assert!(!text.contains(NAME) && !text.contains(STEM), "{language:?}: {path}");
        }
    }
}

#[test]
fn the_sdk_stands_without_the_workspace() {
    let manifests: Vec<_> = SDK.iter().filter(|(path, _)| path.ends_with("Cargo.toml")).collect();
    assert!(!manifests.is_empty());
    for (path, text) in manifests {
        assert!(!text.contains("workspace"), "{path}:\n{text}");
    }
}
