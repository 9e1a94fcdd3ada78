//! The table as a chapter of the documentation, docs/configuration-reference.md.

use std::fmt::Write as _;

use super::{ALL, Absent, Kind, Row, Schema};

/// The head of the chapter.
const HEAD: &str = "\
# The configuration, key by key

This page is made from the table in `host/src/config/schema.rs` that also tells `pointsman check` which keys there are; a test keeps it
true. The same as a file with examples: [full.yaml](../host/config/full.yaml). For editors: `pointsman schema` prints a JSON Schema. What is in
force, and where each value comes from: `pointsman config show`.

Every text may hold `${VARIABLE}`, `${VARIABLE:-default}`, `${file:PATH}` and `${file:PATH:-default}`; a number, a boolean or a word may be one such
reference and nothing else. Times are seconds, with fractions. Paths are relative to the file. A key without a value is a key that is left out. At the top
level, keys that begin with `x-` are ignored.
";

/// The whole chapter.
pub(crate) fn reference() -> String {
    let mut out = HEAD.to_owned();
    for schema in ALL {
        section(schema, &mut out);
    }
    out
}

/// The anchor of a section's heading, as GitHub and mdBook make it.
fn anchor(path: &str) -> String {
    path.chars().filter(|c| c.is_alphanumeric() || *c == '_').flat_map(char::to_lowercase).collect()
}

fn section(schema: &Schema, out: &mut String) {
    let title = if schema.path.starts_with('`') { schema.path.to_owned() } else { "The top level".to_owned() };
    // Writing to a String cannot fail.
    let _ = write!(out, "\n## {title}\n\n");
    if !schema.either.is_empty() {
        let keys: Vec<String> = schema.either.iter().map(|key| format!("`{key}`")).collect();
        let _ = write!(out, "One of {} must be there.\n\n", keys.join(", "));
    }
    out.push_str("| key | value | default | |\n| --- | --- | --- | --- |\n");
    for row in schema.rows {
        let _ = writeln!(out, "{}", line(row));
    }
    for (row, fixed) in schema.rows.iter().filter_map(|row| match row.kind {
        Kind::Map(_, fixed) if !fixed.is_empty() => Some((row, fixed)),
        _ => None,
    }) {
        for inner in fixed {
            let _ = writeln!(
                out,
                "{}",
                line(&Row { key: inner.key, ..*inner }).replacen("| `", &format!("| `{}.", row.key), 1)
            );
        }
    }
}

fn line(row: &Row) -> String {
    let Row { key, kind, absent, text } = row;
    let default = match absent {
        Absent::Required => "required".to_owned(),
        Absent::Nothing => "none".to_owned(),
        Absent::Is(written) => format!("`{written}`"),
        Absent::As(words) => (*words).to_owned(),
        Absent::Each => "that of each key".to_owned(),
    };
    format!("| `{key}` | {} | {} | {} |", words(kind), cell(&default), cell(text))
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*").replace("`\\*`", "`*`")
}

/// The values of a kind, in words.
pub(super) fn words(kind: &Kind) -> String {
    let one_of = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match kind {
        Kind::Any => "anything".to_owned(),
        Kind::Object => "a mapping".to_owned(),
        Kind::Text => "a text".to_owned(),
        Kind::Secret => "a text, never shown".to_owned(),
        Kind::Formed(_, words) | Kind::Measured(_, words) => (*words).to_owned(),
        Kind::Word(words) => one_of(words),
        Kind::AnyCase(words) => format!("{}, in any case", one_of(words)),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer(least, most) => format!("{least} to {most}"),
        Kind::Number(least, most) => format!("a number from {least} to {most}"),
        Kind::Above(bound, most) => format!("a number above {bound}, up to {most}"),
        Kind::Seconds => "seconds, above 0".to_owned(),
        Kind::SecondsOrZero => "seconds, 0 or more".to_owned(),
        Kind::Section(schema) => format!("[{}](#{})", schema.path, anchor(schema.path)),
        Kind::Map(each, _) => format!("by name: {}", words(each)),
        Kind::List(each) => format!("a list of: {}", words(each)),
        Kind::OneOf(kinds) => kinds.iter().map(words).collect::<Vec<_>>().join("; or "),
    }
}
