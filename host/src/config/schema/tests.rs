//! The table against the readers of the sections, against real files, and against what is made from it.

mod editor;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::json::{MAX_SECONDS, MIN_SECONDS};
use super::reference::reference;
use super::*;
use crate::config::{Config, LoadError, environment, parse};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn helps_with_spelling_then_with_the_section_then_with_the_list() {
    assert_eq!(help_for_unknown("slotwait", QUEUE), "did you mean `slot_wait`?");
    assert_eq!(help_for_unknown("strategy", TOP), "it belongs to `routing` or `routes[]`");
    assert_eq!(help_for_unknown("max_concurrent", TOP), "it belongs to `providers[]` or `queue`");
    assert_eq!(
        help_for_unknown("colour", ROUTING),
        "known keys: strategy, health_check, retries, affinity, attributes, shadow, model_names"
    );
}

/// The sections that a kind of value leads to.
fn leads_to(kind: &Kind, found: &mut BTreeSet<&'static str>) {
    match kind {
        Kind::Section(schema) => {
            found.insert(schema.path);
            schema.rows.iter().for_each(|row| leads_to(&row.kind, found));
        }
        Kind::Map(each, fixed) => {
            leads_to(each, found);
            fixed.iter().for_each(|row| leads_to(&row.kind, found));
        }
        Kind::List(each) => leads_to(each, found),
        Kind::OneOf(kinds) => kinds.iter().for_each(|kind| leads_to(kind, found)),
        _ => {}
    }
}

#[test]
fn every_section_is_in_the_list_once_and_every_key_says_in_a_sentence_what_it_is_for() {
    let mut reached = BTreeSet::from([TOP.path]);
    leads_to(&Kind::Section(&TOP), &mut reached);
    let listed: Vec<&str> = ALL.iter().map(|schema| schema.path).collect();
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), reached);
    assert_eq!(listed.len(), reached.len(), "one is listed twice");
    for schema in ALL {
        assert!(schema.rows.len() < 64, "{}", schema.path);
        let keys: BTreeSet<&str> = schema.rows.iter().map(|row| row.key).collect();
        assert_eq!(keys.len(), schema.rows.len(), "a key of {} is there twice", schema.path);
        assert!(schema.either.iter().all(|key| keys.contains(key)), "{}", schema.path);
        for row in schema.rows {
            assert!(row.text.ends_with('.') && !row.text.contains('\n'), "{} {}: {}", schema.path, row.key, row.text);
        }
    }
}

/// Fails unless the file holds this text; `BLESS=1` writes it.
fn is_kept(file: &str, text: &str) {
    let path = root().join(file);
    if environment("BLESS").is_some() {
        fs::write(&path, text).expect("writable");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{file} is out of date: BLESS=1 cargo test -p pointsman config::schema writes it");
}

#[test]
fn the_reference_of_the_documentation_is_made_from_the_table() {
    is_kept("docs/configuration-reference.md", &reference());
}

#[test]
fn the_schema_beside_the_shipped_files_is_made_from_the_table() {
    is_kept("host/config/pointsman.schema.json", &format!("{:#}\n", json_schema()));
}

/// A value for each required key, for files that are made here.
fn example(schema: &Schema) -> Map<String, Value> {
    let all = json!({
        "name": "n", "base_url": "http://a/v1", "api_key": "k", "models": ["m"], "provider": "n", "usd": 1, "per": "day",
        "url": "redis://a:1", "urls": ["redis://a:1"], "after": "p95", "above": 1, "port": 1, "slower_than": 1, "input": 1,
        "output": 1, "header": "x-a", "hash": format!("sha256:{}", "0".repeat(64)), "path": "keys.redb", "cert": "c", "key": "k",
    });
    let needed =
        schema.rows.iter().filter(|row| row.absent == Absent::Required || schema.either.first() == Some(&row.key));
    let mut fields: Map<_, _> = needed.map(|row| (row.key.to_owned(), all[row.key].clone())).collect();
    // Of the rates none is required, but there must be one.
    if schema.path == MODEL_PRICE.path {
        fields.insert("input".to_owned(), json!(1));
    }
    fields
}

/// Sections that another one must stand beside, or that have a name.
const PLACES: [(&str, &str); 3] =
    [("strategies.NAME", "weighted"), ("approaches.NAME", "bon"), ("registries.NAME", "localhost")];

/// Is shown the section, its key path, and the file around what stands there.
type Visit<'a> = &'a mut dyn FnMut(&'static Schema, &str, &dyn Fn(Value) -> Value);

/// For each place of a section in the file, the file around what stands there, and the key path of that.
fn places(kind: &Kind, at: &str, around: &dyn Fn(Value) -> Value, visit: Visit<'_>) {
    match kind {
        Kind::Section(schema) => {
            visit(schema, at, around);
            for row in schema.rows {
                let here = |value: Value| {
                    let mut fields = example(schema);
                    if schema.either.contains(&row.key) {
                        schema.either.iter().for_each(|key| drop(fields.remove(*key)));
                    }
                    fields.insert(row.key.to_owned(), value);
                    around(Value::Object(fields))
                };
                let below = if at.is_empty() { row.key.to_owned() } else { format!("{at}.{}", row.key) };
                places(&row.kind, &below, &here, visit);
            }
        }
        Kind::Map(each, fixed) => {
            let known = PLACES.iter().find(|(path, _)| path.strip_suffix(".NAME") == Some(at));
            // A map of maps has the name of the provider.
            let name = known.map_or("n", |(_, name)| *name);
            places(each, &format!("{at}.{name}"), &|value| around(json!({name: value})), visit);
            for row in *fixed {
                places(&row.kind, &format!("{at}.{}", row.key), &|value| around(json!({row.key: value})), visit);
            }
        }
        Kind::List(each) => places(each, &format!("{at}[0]"), &|value| around(json!([value])), visit),
        Kind::OneOf(kinds) => kinds.iter().for_each(|kind| places(kind, at, around, visit)),
        _ => {}
    }
}

/// The file with what every file needs.
fn whole(mut value: Value) -> String {
    if value.get("providers").is_none_or(Value::is_null) {
        value["providers"] = json!([example(&PROVIDER)]);
    }
    // JSON is YAML; on one line, so that nothing differs by its line.
    value.to_string()
}

fn read(text: &str) -> Result<Config, LoadError> {
    parse(text, Path::new("x.yaml"), &|_| None, &["failover", "round_robin", "weighted", "bon"])
}

/// True when the reader finds the value at this place of the wrong kind or out of bounds.
fn is_refused(text: &str, at: &str) -> bool {
    let Err(error) = read(text) else { return false };
    error.problems.iter().any(|problem| problem.key == at && problem.message.starts_with("must be "))
}

/// Values that a kind allows, and some that it does not.
fn samples(kind: &Kind) -> (Vec<Value>, Vec<Value>) {
    match kind {
        Kind::Boolean => {
            (vec![json!(true), json!(false), json!("${A:-true}")], vec![json!(1), json!("maybe"), json!([])])
        }
        Kind::Integer(least, most) => {
            let mut wrong = vec![json!(most + 1), json!(1.5), json!("many"), json!({})];
            wrong.extend(least.checked_sub(1).map(|below| json!(below)));
            (vec![json!(least), json!(most), json!(format!("${{A:-{least}}}"))], wrong)
        }
        Kind::Number(least, most) => {
            let below = if *least > 0.0 { least / 2.0 } else { -0.5 };
            (vec![json!(least), json!(most)], vec![json!(below), json!(most * 1.5), json!({})])
        }
        Kind::Above(bound, most) => {
            (vec![json!(most), json!(most / 2.0)], vec![json!(bound), json!(most * 1.5), json!({})])
        }
        Kind::Seconds => (
            vec![json!(MIN_SECONDS), json!(MAX_SECONDS)],
            vec![json!(0), json!(-1), json!(MAX_SECONDS * 2.0), json!("1m")],
        ),
        Kind::SecondsOrZero => {
            (vec![json!(0), json!(MAX_SECONDS)], vec![json!(-1), json!(MAX_SECONDS * 2.0), json!("1m")])
        }
        Kind::Word(words) | Kind::AnyCase(words) => {
            (words.iter().map(|word| json!(word)).collect(), vec![json!("nonsense"), json!([])])
        }
        Kind::Text | Kind::Secret => (Vec::new(), vec![json!({}), json!([]), json!(1)]),
        Kind::Section(_) | Kind::Map(..) => (Vec::new(), vec![json!([]), json!("nonsense")]),
        Kind::List(_) => (Vec::new(), vec![json!({}), json!("nonsense")]),
        Kind::OneOf(kinds) => (kinds.iter().flat_map(|kind| samples(kind).0).collect(), vec![json!("nonsense")]),
        Kind::Any | Kind::Object | Kind::Formed(..) | Kind::Measured(..) => (Vec::new(), Vec::new()),
    }
}

/// Values whose meaning hangs on other keys: the bounds of these are not tried.
const DEPENDENT: [&str; 3] = ["starts", "store", "url"];

#[test]
fn the_reader_takes_what_the_table_allows_and_nothing_else() {
    let mut tried = 0;
    places(&Kind::Section(&TOP), "", &|value| value, &mut |schema, at, around| {
        for row in schema.rows.iter().filter(|row| !DEPENDENT.contains(&row.key)) {
            let path = if at.is_empty() { row.key.to_owned() } else { format!("{at}.{}", row.key) };
            let file = |value: &Value| {
                let mut fields = example(schema);
                if schema.either.contains(&row.key) {
                    schema.either.iter().for_each(|key| drop(fields.remove(*key)));
                }
                fields.insert(row.key.to_owned(), value.clone());
                whole(around(Value::Object(fields)))
            };
            let (right, wrong) = samples(&row.kind);
            for value in right {
                tried += 1;
                assert!(!is_refused(&file(&value), &path), "{path}: {value}: {:?}", read(&file(&value)).err());
            }
            // Texts have more rules than the table knows, and say other things about them.
            for value in wrong
                .iter()
                .filter(|value| !(value.is_string() && matches!(row.kind, Kind::OneOf(_)) && takes_text(&row.kind)))
            {
                tried += 1;
                assert!(is_refused(&file(value), &path), "{path}: {value} is taken: {:?}", read(&file(value)).err());
            }
        }
    });
    assert!(tried > 500, "{tried}");
}

fn takes_text(kind: &Kind) -> bool {
    match kind {
        Kind::Text | Kind::Secret => true,
        Kind::OneOf(kinds) => kinds.iter().any(takes_text),
        _ => false,
    }
}

/// Keys of which the configuration keeps the line as well, for problems found later.
const WITH_LINES: [&str; 2] = ["routing.strategy", "approach.default"];

#[test]
fn a_default_that_is_written_out_changes_nothing() {
    let shown = |text: &str| {
        let mut config = read(text).map_err(|error| error.to_string())?;
        config.written = crate::config::Written::default();
        config.begun = std::time::SystemTime::UNIX_EPOCH;
        // Some keys are warned about where they have no effect.
        config.warnings = Vec::new();
        Ok::<_, String>(format!("{config:?}"))
    };
    let (mut tried, mut wrong) = (0, Vec::new());
    places(&Kind::Section(&TOP), "", &|value| value, &mut |schema, at, around| {
        for row in schema.rows {
            let Absent::Is(written) = row.absent else { continue };
            if WITH_LINES.contains(&format!("{at}.{}", row.key).as_str()) {
                continue;
            }
            let mut fields = example(schema);
            let without = shown(&whole(around(Value::Object(fields.clone()))));
            fields.insert(row.key.to_owned(), super::json::value_of(written));
            let with = shown(&whole(around(Value::Object(fields))));
            // Some sections need more than this test writes, such as files.
            let (Ok(without), Ok(with)) = (&without, &with) else { continue };
            tried += 1;
            if without != with {
                wrong.push(format!("{at}.{} is not {written} by default", row.key));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 70, "{tried}");
}
