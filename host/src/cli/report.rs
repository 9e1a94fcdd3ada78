//! The parts that the reports about components have in common, whether these are strategies or approaches.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::say;
use crate::wasm::LoadError;
use crate::workbench::{Class, Examined};

/// Prints a report as JSON.
pub(super) fn say_json(report: &Value) {
    say(&serde_json::to_string_pretty(report).unwrap_or_default());
}

/// The lines about a file that has been examined.
pub(super) fn surface(examined: &Examined) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: &str| {
        let _ = write!(text, "\n  {name:8}  {words}");
    };
    line("size", &format!("{} bytes", examined.bytes));
    line("sha256", &examined.sha256);
    for (number, name) in examined.exports.iter().enumerate() {
        line(if number == 0 { "exports" } else { "" }, name);
    }
    let classes = [Class::Forbidden, Class::Granted, Class::Inert];
    let sorted = classes.iter().flat_map(|class| examined.imports.iter().filter(move |import| import.class == *class));
    for (number, import) in sorted.enumerate() {
        line(if number == 0 { "imports" } else { "" }, &format!("{:9}  {}", import.class.name(), import.name));
    }
    text
}

/// Adds what is known of a file that has been examined.
pub(super) fn add_surface(report: &mut Value, examined: &Examined) {
    let imports = examined.imports.iter().map(|import| json!({"name": import.name, "class": import.class.name()}));
    report["bytes"] = json!(examined.bytes);
    report["sha256"] = json!(examined.sha256);
    report["contract"] = json!(examined.contract);
    report["exports"] = json!(examined.exports);
    report["imports"] = imports.collect();
}

/// A problem, for programs.
pub(super) fn problem(error: &LoadError, remedy: &str) -> Value {
    json!({"code": error.code(), "message": error.to_string(), "remedy": remedy})
}

/// A problem, in words.
pub(super) fn complaint(error: &LoadError, remedy: &str) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("\n  error[{}]: it {error}{source}\n    help: {remedy}", error.code())
}

/// The word before a claim.
pub(super) fn verdict(holds: bool) -> &'static str {
    if holds { "ok  " } else { "FAIL" }
}
