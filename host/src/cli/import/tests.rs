//! Whole files: `tests/import/NAME.yaml` becomes exactly `NAME.out` and says exactly `NAME.report`; what cannot be read says
//! exactly `NAME.err`. `BLESS=1 cargo test import` rewrites them, to be reviewed in the diff.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use super::keys::Tables;
use super::litellm::{Imported, import, printed};
use crate::config;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/import").canonicalize().unwrap()
}

fn cases() -> BTreeSet<PathBuf> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// An environment that has what the file says it needs.
fn loads(imported: &Imported) -> config::Config {
    let env = |name: &str| {
        let value = if name.contains("BASE") { "https://api.example/v1" } else { "2024-10-21" };
        imported.variables.contains(name).then(|| value.to_owned())
    };
    config::parse(&imported.yaml, "x.yaml".as_ref(), &env, crate::strategy::builtins()).unwrap()
}

#[test]
fn each_file_becomes_exactly_this() {
    let bless = config::environment("BLESS").is_some();
    let mut wrong = Vec::new();
    let mut compare = |golden: &Path, text: &str| {
        if bless {
            fs::write(golden, text).unwrap();
        }
        let expected = fs::read_to_string(golden).unwrap_or_default();
        if expected != text {
            wrong.push(format!("--- {}\n{expected}--- got\n{text}", golden.display()));
        }
    };
    let cases = cases();
    assert!(cases.len() > 8, "the cases are gone");
    for file in &cases {
        let [keys, teams] = ["csv", "teams.csv"].map(|extension| file.with_extension(extension));
        let given = |table: &'_ Path| table.exists().then(|| table.to_owned());
        let (keys, teams) = (given(&keys), given(&teams));
        match import(file, Tables { keys: keys.as_deref(), teams: teams.as_deref() }) {
            Ok(imported) => {
                compare(&file.with_extension("out"), &imported.yaml);
                compare(&file.with_extension("report"), &printed(&imported));
                assert!(!printed(&imported).contains("never-shown"), "a secret is in the report of {}", file.display());
            }
            Err(problem) => {
                let text = problem.replace(&format!("{}/", folder().display()), "");
                compare(&file.with_extension("err"), &format!("{text}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "BLESS=1 rewrites these:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_written_loads_with_the_variables_that_it_names() {
    for imported in cases().iter().filter_map(|file| import(file, Tables::default()).ok()) {
        let config = loads(&imported);
        assert!(!config.routes.is_empty());
    }
}

/// The keys of a file, two levels of sections and three of the list of models deep.
fn keys(value: &Value, path: &str, depth: usize, all: &mut Vec<String>) {
    match value {
        Value::Mapping(entries) if depth > 0 && !entries.is_empty() => {
            for (key, value) in entries {
                let key = super::report::plain(key);
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                let deeper = if path.starts_with("model_list") { depth } else { depth - 1 };
                let is_deep = ["litellm_params", "model_info"].iter().any(|end| path.ends_with(end));
                keys(value, &path, if path.starts_with("model_list[") && !is_deep { 0 } else { deeper }, all);
            }
        }
        Value::Sequence(items) if path == "model_list" => {
            for (index, item) in items.iter().enumerate() {
                keys(item, &format!("{path}[{index}]"), 3, all);
            }
        }
        _ => all.push(path.to_owned()),
    }
}

#[test]
fn every_key_is_in_the_report() {
    for file in cases() {
        let Ok(imported) = import(&file, Tables::default()) else { continue };
        let mut all = Vec::new();
        keys(&serde_yaml::from_str(&fs::read_to_string(&file).unwrap()).unwrap(), "", 2, &mut all);
        for key in all {
            let said = |line: &super::report::Line| {
                let begins = |long: &str, short: &str| {
                    long == short || long.strip_prefix(short).is_some_and(|rest| rest.starts_with(['.', '[']))
                };
                begins(&line.key, &key) || begins(&key, &line.key)
            };
            assert!(imported.report.lines.iter().any(said), "{}: {key} is not in the report", file.display());
        }
    }
}
