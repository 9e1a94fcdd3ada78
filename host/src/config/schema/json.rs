//! The table as a JSON Schema, draft 2020-12, for editors and other programs.
//!
//! It allows whatever the reader of the file allows, such as a variable in place of a number, and more: what depends on
//! other keys, on files and on the environment, only `pointsman check` can tell. So an editor never complains of a file that
//! is right.

use serde_json::{Map, Value, json};

use super::{ALL, Absent, Kind, Row, Schema, TOP};

/// A reference to a variable or a file, without anything around it.
const REFERENCE: &str = r"\$\{(?:[A-Za-z_][A-Za-z0-9_]*(?::-[\s\S]*)?|file:[\s\S]+)\}";
/// A text with a reference somewhere.
const REFERS: &str = r"\$\{";
/// YAML 1.1's booleans, which are texts to YAML 1.2.
const YES_OR_NO: &str = "[yY][eE][sS]|[nN][oO]|[oO][nN]|[oO][fF][fF]";

/// The schema of the whole file.
pub(crate) fn json_schema() -> Value {
    let definitions = ALL.iter().filter(|schema| schema.path != TOP.path);
    let definitions: Map<String, Value> =
        definitions.map(|schema| (slug(schema.path), Value::Object(mapping(schema)))).collect();
    let mut root = Map::new();
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!("The configuration of Pointsman, proxy_config.yaml"));
    root.extend(mapping(&TOP));
    root.insert("type".to_owned(), json!("object"));
    // Other tools use such keys as a place for anchors.
    root.insert("patternProperties".to_owned(), json!({"^x-": true}));
    root.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(root)
}

/// The name of a section among the definitions.
fn slug(path: &str) -> String {
    let words = path.trim_matches('`').replace("[]", "").replace("NAME", "name");
    words
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// A section. A key without a value is one that is left out, so it may be null; but no key that is required.
fn mapping(schema: &Schema) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("type".to_owned(), json!(["object", "null"]));
    all.insert("additionalProperties".to_owned(), json!(false));
    let required = schema.rows.iter().filter(|row| row.absent == Absent::Required);
    let required: Vec<&str> = required.map(|row| row.key).collect();
    if !required.is_empty() {
        all.insert("required".to_owned(), json!(required));
    }
    if !schema.either.is_empty() {
        let one: Vec<Value> = schema.either.iter().map(|key| json!({"required": [key]})).collect();
        all.insert("anyOf".to_owned(), Value::Array(one));
    }
    let properties: Map<String, Value> = schema.rows.iter().map(|row| (row.key.to_owned(), property(row))).collect();
    all.insert("properties".to_owned(), Value::Object(properties));
    all
}

fn property(row: &Row) -> Value {
    let Row { kind, absent, text, .. } = row;
    let mut value = of(kind);
    let Some(fields) = value.as_object_mut() else { return value };
    if *absent == Absent::Required {
        if matches!(kind, Kind::List(_)) {
            fields.insert("minItems".to_owned(), json!(1));
        }
    } else {
        or_null(fields);
    }
    let default = match absent {
        Absent::As(words) => format!(" Default: {words}."),
        Absent::Nothing if !matches!(kind, Kind::Section(_)) => " Default: none.".to_owned(),
        Absent::Required | Absent::Nothing | Absent::Is(_) | Absent::Each => String::new(),
    };
    let values = match kind {
        Kind::Formed(_, words) | Kind::Measured(_, words) => format!(" Written as {words}."),
        _ => String::new(),
    };
    fields.insert("description".to_owned(), json!(format!("{text}{values}{default}")));
    if let Absent::Is(written) = absent {
        fields.insert("default".to_owned(), value_of(written));
    }
    value
}

/// A default as it is written in the file.
pub(super) fn value_of(written: &str) -> Value {
    serde_json::from_str(written).unwrap_or_else(|_text| json!(written))
}

/// Allows null as well.
fn or_null(fields: &mut Map<String, Value>) {
    match fields.get_mut("type") {
        Some(Value::Array(types)) => {
            if !types.contains(&json!("null")) {
                types.push(json!("null"));
            }
        }
        Some(one) => *one = json!([one.take(), "null"]),
        None => {
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.push(json!({"type": "null"}));
            }
        }
    }
}

fn of(kind: &Kind) -> Value {
    let only = format!("^{REFERENCE}$");
    match kind {
        Kind::Any => json!({}),
        Kind::Object => json!({"type": "object"}),
        Kind::Text | Kind::Secret => json!({"type": "string"}),
        Kind::Formed(pattern, _) => json!({"type": "string", "pattern": format!("{pattern}|{REFERS}")}),
        Kind::Word(words) => json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": REFERS}]}),
        Kind::AnyCase(words) => {
            let words_of = words.iter().map(|word| any_case(word)).collect::<Vec<_>>().join("|");
            json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": format!("^(?:{words_of})$|{REFERS}")}]})
        }
        Kind::Boolean => json!({"type": ["boolean", "string"], "pattern": format!("^(?:{YES_OR_NO}|{REFERENCE})$")}),
        Kind::Integer(least, most) => {
            json!({"type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": only})
        }
        Kind::Number(least, most) => {
            json!({"type": ["number", "string"], "minimum": least, "maximum": most, "pattern": only})
        }
        Kind::Above(bound, most) => {
            json!({"type": ["number", "string"], "exclusiveMinimum": bound, "maximum": most, "pattern": only})
        }
        Kind::Seconds => {
            json!({"type": ["number", "string"], "minimum": MIN_SECONDS, "maximum": MAX_SECONDS, "pattern": only})
        }
        Kind::SecondsOrZero => {
            json!({"type": ["number", "string"], "minimum": 0, "maximum": MAX_SECONDS, "pattern": only})
        }
        Kind::Measured(pattern, _) => {
            json!({"type": ["number", "string"], "minimum": 0, "pattern": format!("{pattern}|{only}")})
        }
        Kind::Section(schema) => json!({"$ref": format!("#/$defs/{}", slug(schema.path))}),
        Kind::Map(each, fixed) => {
            let mut map = json!({"type": "object", "additionalProperties": of(each)});
            if !fixed.is_empty() {
                let fixed: Map<String, Value> = fixed.iter().map(|row| (row.key.to_owned(), property(row))).collect();
                map["properties"] = Value::Object(fixed);
            }
            map
        }
        Kind::List(each) => json!({"type": "array", "items": of(each)}),
        Kind::OneOf(kinds) => json!({"anyOf": kinds.iter().map(of).collect::<Vec<_>>()}),
    }
}

/// The shortest and the longest duration, as [`Reader`](crate::config::read::Reader) has them.
pub(super) const MIN_SECONDS: f64 = 0.001;
pub(super) const MAX_SECONDS: f64 = 315_360_000.0;

/// A regular expression for a word in upper or lower case.
fn any_case(word: &str) -> String {
    word.chars().map(|c| format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase())).collect()
}
