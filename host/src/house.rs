//! Tests of the structure: which top-level module (a "room") may import which others, as ARCHITECTURE.md draws it,
//! which libraries they may name, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each room the rooms that it may import. Every room may import `config`.
const MAY_KNOW: [(&str, &[&str]); 29] = [
    ("config", &[]),
    ("routing", &[]),
    ("certificates", &[]),
    ("drain", &[]),
    ("html", &[]),
    ("http1", &[]),
    ("images", &[]),
    ("memory", &[]),
    ("notify", &[]),
    ("patience", &[]),
    ("slots", &[]),
    ("queue", &["slots"]),
    ("limits", &[]),
    ("clients", &["http1", "limits"]),
    ("state", &["limits", "clients"]),
    ("telemetry", &[]),
    ("metrics", &["routing"]),
    ("wasm", &["routing", "images"]),
    ("provider", &["http1", "routing", "slots", "limits", "metrics", "patience", "certificates"]),
    ("strategy", &["routing", "images", "wasm"]),
    ("approach", &["routing", "images", "wasm"]),
    ("observe", &["http1", "routing", "limits", "clients", "provider", "metrics", "telemetry"]),
    ("listener", &["http1", "certificates"]),
    (
        "proxy",
        &[
            "http1",
            "routing",
            "approach",
            "limits",
            "clients",
            "provider",
            "observe",
            "listener",
            "queue",
            "metrics",
            "patience",
            "telemetry",
        ],
    ),
    (
        "workbench",
        &[
            "http1", "routing", "limits", "clients", "wasm", "strategy", "approach", "provider", "observe", "proxy",
            "listener", "queue", "metrics", "html",
        ],
    ),
    (
        "admin",
        &[
            "routing",
            "limits",
            "clients",
            "state",
            "provider",
            "observe",
            "proxy",
            "listener",
            "metrics",
            "telemetry",
            "html",
        ],
    ),
    (
        "app",
        &[
            "routing",
            "limits",
            "clients",
            "state",
            "wasm",
            "strategy",
            "approach",
            "provider",
            "observe",
            "proxy",
            "listener",
            "admin",
            "queue",
            "metrics",
            "telemetry",
            "memory",
            "notify",
            "drain",
        ],
    ),
    ("demo", &["app", "listener", "strategy"]),
    (
        "cli",
        &[
            "routing",
            "limits",
            "clients",
            "state",
            "images",
            "wasm",
            "strategy",
            "approach",
            "workbench",
            "provider",
            "observe",
            "proxy",
            "admin",
            "app",
            "demo",
            "notify",
            "telemetry",
            "listener",
            "html",
        ],
    ),
];

/// Libraries that only these rooms, or these parts of them, may name.
const LIBRARIES: [(&str, &[&str]); 10] = [
    ("wasmtime", &["wasm", "strategy", "approach"]),
    ("wasmtime_wasi", &["wasm", "strategy", "approach"]),
    ("wasmtime_wasi_io", &["wasm", "strategy", "approach"]),
    ("hyper::client", &["provider", "cli"]),
    ("oci_client", &["images"]),
    ("redis", &["state"]),
    ("redb", &["state"]),
    ("ratatui", &["cli"]),
    ("opentelemetry", &["observe/otel"]),
    ("reqwest", &["observe/otel"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source is there").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true if path.ends_with("tests") => {}
            // A part of the tests that a fuzz target shares.
            false if path.ends_with("http1/compare.rs") => {}
            true => sources(&path, found),
            false if path.ends_with("tests.rs") || path.extension().is_none_or(|extension| extension != "rs") => {}
            false => found.push(path),
        }
    }
}

/// For each file its room, its name, its code without comments and tests, and its number of lines before its tests.
fn rooms() -> Vec<(String, String, String, usize)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let of = |file: &PathBuf| {
        let relative = file.strip_prefix(&root).expect("below it");
        let first = relative.components().next().expect("a file").as_os_str().to_string_lossy();
        let room = first.trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(file).expect("readable");
        let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        (room, relative.display().to_string(), lines.collect::<Vec<_>>().join("\n"), code.lines().count())
    };
    files.iter().map(of).filter(|(room, ..)| !matches!(room.as_str(), "lib" | "main" | "house")).collect()
}

/// The rooms that the code names as `crate::room` or in `crate::{...}`.
fn known(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let mut known = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                known.extend(list.split(',').map(|item| name(item.trim())));
            }
            None => drop(known.insert(name(after))),
        }
    }
    known.remove("");
    known
}

#[test]
fn no_room_knows_one_that_it_may_not() {
    let may: BTreeMap<&str, &[&str]> = MAY_KNOW.into_iter().collect();
    let mut wrong = Vec::new();
    for (room, file, code, _) in rooms() {
        let Some(allowed) = may.get(room.as_str()) else {
            wrong.push(format!("{file}: the room {room} is not in the list"));
            continue;
        };
        let may_know = |other: &String| *other == room || other == "config" || allowed.contains(&other.as_str());
        let others: Vec<String> = known(&code).into_iter().filter(|other| may.contains_key(other.as_str())).collect();
        wrong.extend(others.iter().filter(|other| !may_know(other)).map(|other| format!("{file}: {room} -> {other}")));
    }
    assert!(wrong.is_empty(), "imports against the order of ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn the_order_of_the_rooms_has_no_circle() {
    let place = |room: &str| MAY_KNOW.iter().position(|(name, _)| *name == room);
    for (index, (room, knows)) in MAY_KNOW.iter().enumerate() {
        for other in *knows {
            assert!(place(other).is_some_and(|place| place < index), "{room} stands before {other}, which it may know");
        }
    }
}

#[test]
fn libraries_are_named_where_they_belong() {
    let mut wrong = Vec::new();
    for (_, file, code, _) in rooms() {
        let is_in = |place: &&str| file.strip_prefix(place).is_some_and(|rest| rest.starts_with(['.', '/']));
        for (library, where_to) in LIBRARIES {
            let names = code.contains(&format!("{library}::")) || code.contains(&format!("use {library}"));
            if names && !where_to.iter().any(is_in) {
                wrong.push(format!("{file} names {library}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_long_before_its_tests() {
    let long = rooms().into_iter().filter(|(.., lines)| *lines > 400);
    let long: Vec<String> = long.map(|(_, file, _, lines)| format!("{file} ({lines})")).collect();
    assert!(long.is_empty(), "longer than 400 lines before their tests: {}", long.join(", "));
}
