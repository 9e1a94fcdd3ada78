//! `--keys`: LiteLLM's table of keys, `LiteLLM_VerificationToken`, as CSV. Its hashes are SHA-256 of the whole key, as
//! here, so that clients keep their keys.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::report::{About, Report, Status};
use crate::config::{Digest, Expiry};

/// The largest table that is read, in bytes.
const MAX_TABLE: u64 = 64 << 20;

/// Columns that become something else than a column of the same meaning, or nothing.
const KNOWN: [&str; 12] = [
    "token",
    "key_alias",
    "models",
    "max_budget",
    "budget_duration",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
    "expires",
    "blocked",
    "spend",
    "team_id",
];

/// Words for all models.
const EVERY: [&str; 3] = ["all-proxy-models", "all-team-models", "*"];

/// One row by its columns.
struct Row<'t> {
    heads: &'t [String],
    cells: &'t [String],
}

impl Row<'_> {
    /// The text of a column, unless it is empty or null.
    fn get(&self, column: &str) -> Option<&str> {
        let at = self.heads.iter().position(|head| head == column)?;
        let text = self.cells.get(at)?.trim();
        (!text.is_empty() && !text.eq_ignore_ascii_case("null") && text != "\\N").then_some(text)
    }

    fn number(&self, column: &str) -> Option<f64> {
        self.get(column)?.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

/// Reads a table, and adds its keys to the section `clients`.
///
/// # Errors
///
/// A text for the user.
pub(super) fn read(path: &Path, clients: &mut Mapping, report: &mut Report) -> Result<(), String> {
    let shown = path.display();
    let length = std::fs::metadata(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?.len();
    if length > MAX_TABLE {
        return Err(format!("{shown}: is larger than 64 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
    let table = rows(&text);
    let Some((heads, rows)) = table.split_first().filter(|(heads, _)| heads.iter().any(|head| head == "token")) else {
        return Err(format!(
            "{shown}: has no column `token`\n  help: it must be CSV with a line of headings, as \
             `COPY \"LiteLLM_VerificationToken\" TO STDOUT WITH CSV HEADER` writes it"
        ));
    };
    let (mut keys, mut groups) = (Vec::new(), BTreeSet::new());
    let (mut names, mut seen) = (HashSet::new(), HashSet::new());
    for (cells, line) in rows.iter().zip(2..) {
        let row = Row { heads, cells };
        if let Some(key) = one(&row, line, (&mut names, &mut seen), report) {
            groups.extend(row.get("team_id").map(str::to_owned));
            keys.push(Value::Mapping(key));
        }
    }
    let about = About::Section("clients");
    let others: Vec<&str> = heads.iter().map(String::as_str).filter(|head| !KNOWN.contains(head)).collect();
    if !others.is_empty() {
        report.say(&about, "keys: other columns", Status::Unsupported, others.join(", "));
    }
    if !groups.is_empty() {
        let note = "a group each, without limits: those of a team are in another table";
        report.say(&about, "keys: team_id", Status::Approximate, note);
        let named = |name: &String| Value::Mapping([("name".into(), name.as_str().into())].into_iter().collect());
        clients.insert("groups".into(), groups.iter().map(named).collect());
    }
    let note = format!("{} keys with their hashes, so that clients keep their keys", keys.len());
    report.say(&about, "keys: token", Status::Exact, note);
    clients.insert("keys".into(), Value::Sequence(keys));
    Ok(())
}

/// One key; `None` when it was left out, which the report says.
fn one(
    row: &Row<'_>,
    line: usize,
    (names, seen): (&mut HashSet<String>, &mut HashSet<Digest>),
    report: &mut Report,
) -> Option<Mapping> {
    let about = About::Section("clients");
    let mut say =
        |column: &str, status, note: &str| report.say(&about, format!("keys: line {line} {column}"), status, note);
    // A token that is no digest may be a key itself, and is not repeated.
    let Some(digest) = row.get("token").and_then(Digest::parse) else {
        say("token", Status::Manual, "is not a SHA-256 in hexadecimal digits, and the key was left out");
        return None;
    };
    if row.get("blocked").is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "t" | "true" | "1")) {
        say("blocked", Status::Exact, "the key is blocked there, and was left out");
        return None;
    }
    if !seen.insert(digest) {
        say("token", Status::Manual, "is there twice, and was left out");
        return None;
    }
    let written = digest.written();
    let plain = |c: &char| !c.is_control();
    let alias: String = row.get("key_alias").unwrap_or_default().chars().filter(plain).take(90).collect();
    let begin = written.get(7..15).unwrap_or_default();
    let alias = if alias.trim().is_empty() { format!("litellm-{begin}") } else { alias.trim().to_owned() };
    let name = if names.contains(&alias) { format!("{alias}-{begin}") } else { alias };
    names.insert(name.clone());
    let mut key = Mapping::new();
    let mut set = |name: &str, value: Value| drop(key.insert(name.into(), value));
    set("name", name.into());
    set("hash", written.into());
    if let Some(team) = row.get("team_id") {
        set("group", team.into());
    }
    let models = row.get("models").map(list).unwrap_or_default();
    if models.iter().any(|model| model == "no-default-models") {
        say("models", Status::Manual, "allows no model, and the key was left out");
        return None;
    }
    if !models.is_empty() && !models.iter().any(|model| EVERY.contains(&model.as_str())) {
        set("models", models.iter().map(String::as_str).collect::<Vec<_>>().into());
    }
    if let Some(expires) = row.get("expires") {
        // Without a zone it is in UTC.
        let moment = Expiry::parse(expires).or_else(|| Expiry::parse(&format!("{expires}Z")));
        match moment.or_else(|| Expiry::parse(&format!("{expires}:00"))) {
            Some(moment) => set("expires", moment.to_string().into()),
            None => {
                say("expires", Status::Manual, "is not a moment, and the key was left out");
                return None;
            }
        }
    }
    let limits = [("rpm_limit", "rpm"), ("tpm_limit", "tpm"), ("max_parallel_requests", "parallel")];
    let mut section = Mapping::new();
    for (column, limit) in limits {
        let Some(number) = row.number(column) else { continue };
        if number >= 1.0 {
            section.insert(limit.into(), (number.min(1e10) as u64).into());
        } else {
            say(column, Status::Manual, "allows nothing, and the key was left out");
            return None;
        }
    }
    if !section.is_empty() {
        set("limits", section.into());
    }
    if let Some(most) = row.number("max_budget") {
        if most <= 0.0 {
            say("max_budget", Status::Manual, "allows nothing, and the key was left out");
            return None;
        }
        let per = row.get("budget_duration").map_or(Some("total".to_owned()), per);
        let Some(per) = per else {
            say("budget_duration", Status::Manual, "has no counterpart, so the budget was left out");
            return Some(key);
        };
        let budget = [("usd".into(), most.into()), ("per".into(), per.into())].into_iter().collect();
        set("budget", Value::Mapping(budget));
        if let Some(spent) = row.number("spend").filter(|spent| *spent > 0.0) {
            say("spend", Status::Approximate, &format!("{spent} dollars are spent there; the budget begins anew here"));
        }
    }
    Some(key)
}

/// The time of a budget from LiteLLM's text for it.
fn per(text: &str) -> Option<String> {
    match text {
        "1h" => Some("hour".to_owned()),
        "24h" | "1d" => Some("day".to_owned()),
        "7d" | "1w" => Some("week".to_owned()),
        "30d" | "1mo" => Some("month".to_owned()),
        _ => {
            let days: u32 = text.strip_suffix('d')?.parse().ok()?;
            (1..=366).contains(&days).then(|| format!("{days}d"))
        }
    }
}

/// A list as PostgreSQL writes it, `{a,"b c"}`, or as JSON.
fn list(text: &str) -> Vec<String> {
    if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
        return list;
    }
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let items = rows(inner);
    items.into_iter().flatten().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// The rows of a table in CSV (RFC 4180).
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut rest = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                cell.push('"');
                rest.next();
            }
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && rest.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lists_are_read_with_their_quotes() {
        assert_eq!(rows("a,b\r\n\"1,\"\"2\n3\",4\n\n"), [["a", "b"], ["1,\"2\n3", "4"]]);
        assert_eq!(list("{gpt-4o,\"a b\"}"), ["gpt-4o", "a b"]);
        assert_eq!(list("[\"gpt-4o\"]"), ["gpt-4o"]);
        assert!(list("{}").is_empty());
        let times = ["1h", "24h", "7d", "30d", "1mo", "14d", "30s", "x"].map(|text| per(text).unwrap_or_default());
        assert_eq!(times, ["hour", "day", "week", "month", "month", "14d", "", ""]);
    }
}
