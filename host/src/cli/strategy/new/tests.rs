//! Tests of the files of a project, and of failures to write them.

use super::*;
use tempfile::TempDir;

fn names() -> [(Language, &'static str); 4] {
    [
        (Language::Rust, "Cargo.toml"),
        (Language::CargoComponent, "Cargo.toml"),
        (Language::Js, "package.json"),
        (Language::Python, "app.py"),
    ]
}

fn name() -> Name {
    Name::parse("eu-first").expect("a name")
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
        assert_eq!(written.iter().filter(|path| path.ends_with("wit/strategy.wit")).count(), 1, "{language:?}");
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

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("mine"), "mine").expect("writable");
    let error = create(folder.path(), &project(Language::Js, &name())).expect_err("it is not empty").to_string();
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(files(folder.path()), [folder.path().join("mine")]);
    let error = create(&folder.path().join("mine"), &[]).expect_err("a file").to_string();
    assert!(error.contains("is not a folder"), "{error}");
}

#[test]
fn nothing_stays_of_a_project_that_cannot_be_finished() {
    let outside = TempDir::new().expect("a temporary folder");
    let text = || "text".to_owned();
    // A file in the place where the next one needs a folder.
    let files_of = [("a".to_owned(), text()), ("b/c".to_owned(), text()), ("a/d".to_owned(), text())];
    let fresh = outside.path().join("fresh");
    create(&fresh, &files_of).expect_err("`a` is a file");
    assert!(!fresh.exists());
    fs::create_dir(&fresh).expect("writable");
    create(&fresh, &files_of).expect_err("`a` is a file");
    assert_eq!(fs::read_dir(&fresh).expect("it was there before").count(), 0);
}

#[test]
fn a_path_is_quoted_where_a_shell_would_misread_it() {
    assert_eq!(quoted("./eu-first"), "./eu-first");
    assert_eq!(quoted("my strategies/it's"), r"'my strategies/it'\''s'");
}
