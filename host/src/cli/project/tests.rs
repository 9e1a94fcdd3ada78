//! Tests of failures to write the files of a project.

use super::*;
use tempfile::TempDir;

/// The files of a folder, below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("mine"), "mine").expect("writable");
    let error = create(folder.path(), &[("a".to_owned(), "text".to_owned())]).expect_err("it is not empty").to_string();
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
