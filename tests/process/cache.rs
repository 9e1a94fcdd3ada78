//! Compiled strategies on disk, as the real binary keeps them: what is written, and that no state of it stops a start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Mock, Process, Reply};
use tempfile::TempDir;

use super::{NAME, check, folder_with, run};

pub(super) fn with_cache(mut command: Command, cache: &Path) -> Command {
    command.env("POINTSMAN_CACHE", cache);
    command
}

/// The files in a cache.
fn files(cache: &Path) -> Vec<PathBuf> {
    fs::read_dir(cache).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

/// A configuration and a place for a cache beside it.
async fn stage() -> (Mock, TempDir, PathBuf, PathBuf) {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "");
    let (config, cache) = (folder.path().join(NAME), folder.path().join("cache"));
    (a, folder, config, cache)
}

#[tokio::test]
async fn a_second_start_finds_what_the_first_has_compiled() {
    let (_a, _folder, config, cache) = stage().await;
    assert_eq!(run(with_cache(check(&config), &cache)).0, Some(0));
    let [file] = &files(&cache)[..] else { panic!("one file, not {:?}", files(&cache)) };
    assert_eq!((mode(&cache), mode(file)), (0o700, 0o600));
    let written = fs::read(file).expect("readable");
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().write(true).open(file).expect("ours").set_modified(old).expect("ours");
    assert_eq!(run(with_cache(check(&config), &cache)).0, Some(0));
    assert_eq!((files(&cache), fs::read(file).expect("readable")), (vec![file.clone()], written));
    assert!(fs::metadata(file).expect("is there").modified().expect("told") > old, "it was used");
}

#[tokio::test]
async fn damaged_code_is_compiled_anew() {
    let (_a, _folder, config, cache) = stage().await;
    run(with_cache(check(&config), &cache));
    let file = files(&cache).remove(0);
    let written = fs::read(&file).expect("readable");
    for damaged in [&written[..written.len() / 2], b"", b"\x7fELF and so on"] {
        fs::write(&file, damaged).expect("ours");
        let (code, _, stderr) = run(with_cache(check(&config), &cache));
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(fs::read(&file).expect("readable").len(), written.len());
    }
}

#[tokio::test]
async fn a_cache_that_others_may_write_to_is_not_used_and_the_log_says_so() {
    let (a, _folder, config, cache) = stage().await;
    fs::create_dir(&cache).expect("writable");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("ours");
    let serve = Process::command(&["serve", "--port", "0", "--config", config.to_str().expect("text")]);
    let process = Process::start(with_cache(serve, &cache));
    process.listening_line().await;
    let warnings = process.stderr().matches("others may write to it (mode 777)").count();
    assert_eq!((warnings, files(&cache)), (1, vec![]), "{}", process.stderr());
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn no_cache_is_kept_where_none_is_wanted_or_possible() {
    let (_a, folder, config, _) = stage().await;
    let home = folder.path().join("home");
    let mut off = check(&config);
    off.env("POINTSMAN_CACHE", "off").env("HOME", &home);
    assert_eq!(run(off).0, Some(0));
    assert!(!home.exists());
    let (code, _, stderr) = run(with_cache(check(&config), Path::new("/proc/no/such")));
    assert_eq!(code, Some(0), "{stderr}");
    let mut default = check(&config);
    default.env_remove("POINTSMAN_CACHE").env("HOME", &home);
    assert_eq!(run(default).0, Some(0));
    assert_eq!(files(&home.join(".cache/pointsman")).len(), 1);
}
