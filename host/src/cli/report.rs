//! The parts that the reports about components have in common, whether these are strategies or approaches.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::say;
use crate::wasm::LoadError;
use crate::workbench::{Claim, Class, Examined, Played};

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

/// What came of claims and fixtures, in words. `nothing` is said of a fixture that holds and in which nothing was asked;
/// `one` is what it counts.
pub(super) fn tried(shown: &str, claims: &[Claim], fixtures: &[Played], (nothing, one): (&str, &str)) -> String {
    let mut report = shown.to_owned();
    claims.iter().for_each(|claim| report.push_str(&claimed(claim)));
    if !fixtures.is_empty() {
        report.push_str("\n  fixtures");
    }
    fixtures.iter().for_each(|fixture| report.push_str(&played(fixture, nothing, one)));
    let broken = claims.iter().filter(|claim| !claim.holds).count();
    report.push_str(&match broken {
        0 => format!("\nit keeps the contract: {} claims hold", claims.len()),
        1 => format!("\n1 of {} claims does not hold", claims.len()),
        _ => format!("\n{broken} of {} claims do not hold", claims.len()),
    });
    match (fixtures.iter().filter(|fixture| !fixture.holds).count(), fixtures.len()) {
        (_, 0) => {}
        (0, 1) => report.push_str("\nit does what 1 fixture says"),
        (0, all) => report.push_str(&format!("\nit does what {all} fixtures say")),
        (1, all) => report.push_str(&format!("\n1 of {all} fixtures does not hold")),
        (broken, all) => report.push_str(&format!("\n{broken} of {all} fixtures do not hold")),
    }
    report
}

fn verdict(holds: bool) -> &'static str {
    if holds { "ok  " } else { "FAIL" }
}

fn claimed(claim: &Claim) -> String {
    let Claim { claim, holds, detail, warning } = claim;
    let mut text = format!("\n  {}  {claim}", verdict(*holds));
    if !detail.is_empty() {
        let _ = write!(text, "\n        {}", detail.replace('\n', "\n        "));
    }
    if let Some(warning) = warning {
        let _ = write!(text, "\n        note: {warning}");
    }
    text
}

fn played(fixture: &Played, nothing: &str, one: &str) -> String {
    let Played { file, name, holds, decisions, detail } = fixture;
    let mut text =
        format!("\n  {}  {}", verdict(*holds), if name.is_empty() { "it cannot be understood" } else { name });
    let _ = match (holds, decisions) {
        (true, 0) => write!(text, "\n        {file}: {nothing}"),
        (true, 1) => write!(text, "\n        {file}: 1 {one}"),
        (true, _) => write!(text, "\n        {file}: {decisions} {one}s"),
        (false, _) => write!(text, "\n        {file}: {}", detail.replace('\n', "\n        ")),
    };
    text
}
