//! Tests of the cache with a real engine, and against attempts to plant code in it.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::wasm::engine;

/// The smallest component.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn digest() -> Digest {
    Digest::of([EMPTY])
}

fn wasm() -> wasmtime::Engine {
    engine::Engine::shared().expect("an engine").wasm().clone()
}

/// A folder, and in it a cache that has the empty component.
fn filled() -> (tempfile::TempDir, Cache, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(&folder.path().join("deep/er")).expect("made and ours");
    let component = Component::from_binary(&wasm(), EMPTY).expect("compiles");
    cache.store(&wasm(), &digest(), &component);
    let path = cache.path(&wasm(), &digest());
    (folder, cache, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn names(cache: &Cache) -> Vec<String> {
    let entries = fs::read_dir(&cache.folder).expect("a folder").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_was_stored_is_loaded_and_nobody_else_may_touch_it() {
    let (_folder, cache, path) = filled();
    assert!(cache.load(&wasm(), &digest()).is_some());
    assert_eq!((mode(&cache.folder), mode(&path)), (0o700, 0o600));
    assert_eq!(names(&cache).len(), 1, "no temporary file is left");
    assert!(cache.load(&wasm(), &Digest::of([&b"other"[..]])).is_none());
}

#[test]
fn a_damaged_file_is_discarded() {
    for damage in ["flip", "cut", "header", "empty", "longer", "magic"] {
        let (_folder, cache, path) = filled();
        let mut content = fs::read(&path).expect("is there");
        match damage {
            "flip" => *content.last_mut().expect("not empty") ^= 1,
            "cut" => content.truncate(content.len() - 1),
            "header" => content.truncate(HEADER - 1),
            "empty" => content.clear(),
            "longer" => content.push(0),
            _ => content[0] = b'P',
        }
        fs::write(&path, content).expect("it is ours");
        assert!(cache.load(&wasm(), &digest()).is_none(), "{damage}");
        assert!(!path.exists(), "{damage}");
    }
}

#[test]
fn code_of_another_component_under_this_name_is_discarded() {
    let (_folder, cache, path) = filled();
    let other = Digest::of([&b"other"[..]]);
    fs::rename(path, cache.path(&wasm(), &other)).expect("it is ours");
    assert!(cache.load(&wasm(), &other).is_none());
}

#[test]
fn an_engine_with_other_settings_has_code_of_its_own() {
    let (_folder, cache, _) = filled();
    let mut config = wasmtime::Config::new();
    config.wasm_component_model(true).epoch_interruption(false);
    let other = wasmtime::Engine::new(&config).expect("an engine");
    assert_ne!(cache.path(&other, &digest()), cache.path(&wasm(), &digest()));
    assert!(cache.load(&other, &digest()).is_none());
}

#[test]
fn a_file_that_others_may_write_or_that_is_none_is_not_used() {
    let (_folder, cache, path) = filled();
    for open in [0o620, 0o602] {
        set_mode(&path, open);
        assert!(cache.load(&wasm(), &digest()).is_none());
    }
    set_mode(&path, 0o600);
    let elsewhere = cache.folder.join("elsewhere");
    fs::rename(&path, &elsewhere).expect("it is ours");
    symlink(&elsewhere, &path).expect("a link");
    assert!(cache.load(&wasm(), &digest()).is_none());
    fs::rename(&elsewhere, &path).expect("replaces the link");
    assert!(cache.load(&wasm(), &digest()).is_some());
}

#[test]
fn a_file_of_another_user_is_not_used() {
    let (_folder, Cache { folder, us }, _) = filled();
    let cache = Cache { folder, us: us + 1 };
    assert!(cache.load(&wasm(), &digest()).is_none());
}

#[test]
fn a_folder_that_cannot_be_trusted_or_used_is_told_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |path: &Path| Cache::open(path).err().expect("should be refused").to_string();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writable");
    assert!(refused(&file).contains("exists"), "{}", refused(&file));
    assert!(refused(&file.join("below")).contains("ot a directory"), "{}", refused(&file.join("below")));
    for open in [0o770, 0o707, 0o777] {
        set_mode(folder.path(), open);
        assert_eq!(refused(folder.path()), format!("others may write to it (mode {open:03o}); `chmod 700` it"));
    }
    set_mode(folder.path(), 0o755);
    assert!(Cache::open(folder.path()).is_ok());
    // People who keep their caches on another disk have a link to the folder.
    let link = folder.path().join("link");
    symlink(folder.path(), &link).expect("a link");
    assert_eq!(Cache::open(&link).ok().map(|cache| cache.folder), folder.path().canonicalize().ok());
}

#[test]
fn a_cache_that_has_gone_is_no_error() {
    let (folder, cache, _) = filled();
    drop(folder);
    let component = Component::from_binary(&wasm(), EMPTY).expect("compiles");
    cache.store(&wasm(), &digest(), &component);
    assert!(cache.load(&wasm(), &digest()).is_none());
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let (_folder, cache, path) = filled();
    fs::remove_file(path).expect("it is ours");
    let now = SystemTime::now();
    let code = |number: u32| format!("{number:064}-0123456789abcdef.code");
    let make = |name: &str, age: u64| {
        let path = cache.folder.join(name);
        fs::write(&path, [0; 100]).expect("it is ours");
        let file = OpenOptions::new().write(true).open(path).expect("it is ours");
        file.set_modified(now - Duration::from_secs(age)).expect("it is ours");
    };
    for (number, age) in [(1, 1), (2, 300), (3, 400)] {
        make(&code(number), age);
    }
    for (name, age) in [(".pointsman-7-1", 5000), (".pointsman-7-2", 50), ("my own.code", 9999)] {
        make(name, age);
    }
    cache.prune(2, 1000);
    assert_eq!(names(&cache), [".pointsman-7-2", &code(1), &code(2), "my own.code"]);
    cache.prune(2, 150);
    assert_eq!(names(&cache), [".pointsman-7-2", &code(1), "my own.code"]);
}

#[test]
fn the_folder_follows_from_the_environment() {
    let folder = |variables: &[(&str, &str)]| {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        cache_folder(&find).map(|path| path.display().to_string())
    };
    let (home, caches) = (("HOME", "/home/ada"), ("XDG_CACHE_HOME", "/caches"));
    assert_eq!(folder(&[home]).as_deref(), Some("/home/ada/.cache/pointsman"));
    assert_eq!(folder(&[home, caches]).as_deref(), Some("/caches/pointsman"));
    assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "")]).as_deref(), Some("/home/ada/.cache/pointsman"));
    assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "relative")]).as_deref(), Some("/home/ada/.cache/pointsman"));
    assert_eq!(folder(&[home, caches, (VARIABLE, "here")]).as_deref(), Some("here"));
    assert_eq!(folder(&[home, (VARIABLE, "off")]), None);
    assert_eq!(folder(&[home, (VARIABLE, "")]), None);
    assert_eq!(folder(&[]), None);
    assert_eq!(folder(&[("HOME", "")]), None);
}
