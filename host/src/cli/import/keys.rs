//! `--keys`: LiteLLM's table of keys, `LiteLLM_VerificationToken`, as CSV. Its hashes are SHA-256 of the whole key, as
//! here, so that clients keep their keys. `--teams`: its table of teams, `LiteLLM_TeamTable`, which become groups.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::money::Budget;
use super::report::{About, Report, Status};
use crate::config::{Digest, Expiry};

/// The largest table that is read, in bytes.
const MAX_TABLE: u64 = 64 << 20;

/// Columns that are read in both tables; those of one of them are listed where they are read.
const KNOWN: [&str; 9] = [
    "models",
    "max_budget",
    "budget_duration",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
    "blocked",
    "spend",
    "team_id",
];

/// The tables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tables<'p> {
    pub keys: Option<&'p Path>,
    pub teams: Option<&'p Path>,
}

/// A team.
#[derive(Debug)]
struct Team {
    /// The name of its group.
    name: String,
    models: Vec<String>,
    blocked: bool,
}

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

/// Reads the tables, and adds keys and groups to the section `clients`. Days of budgets begin in `zone`.
///
/// # Errors
///
/// A text for the user.
pub(super) fn read(
    tables: Tables<'_>,
    zone: Option<&str>,
    clients: &mut Mapping,
    report: &mut Report,
) -> Result<(), String> {
    let mut groups = Vec::new();
    let teams = match tables.teams {
        Some(path) => teams(path, zone, &mut groups, report)?,
        None => HashMap::new(),
    };
    let Some(path) = tables.keys else {
        clients.insert("groups".into(), Value::Sequence(groups));
        return Ok(());
    };
    let table = table(path, "token", "LiteLLM_VerificationToken")?;
    let Some((heads, rows)) = table.split_first() else { return Ok(()) };
    let mut keys = Vec::new();
    // Teams of which nothing but the id is known.
    let mut others: BTreeMap<String, Team> = BTreeMap::new();
    let mut seen = Seen { names: HashSet::new(), digests: HashSet::new() };
    for (cells, line) in rows.iter().zip(2..) {
        let row = Row { heads, cells };
        let team = row.get("team_id").map(|id| {
            let unknown = || Team { name: id.to_owned(), models: Vec::new(), blocked: false };
            teams.get(id).unwrap_or_else(|| others.entry(id.to_owned()).or_insert_with(unknown))
        });
        keys.extend(one(&row, line, (team, zone), &mut seen, report).map(Value::Mapping));
    }
    let about = About::Section("clients");
    rest(heads, "keys", &["token", "key_alias", "expires"], report);
    if !others.is_empty() {
        let note = "a group each, without limits: those of a team are in another table, LiteLLM_TeamTable, for --teams";
        report.say(&about, "keys: team_id", Status::Approximate, note);
        let named = |team: &Team| Value::Mapping([("name".into(), team.name.as_str().into())].into_iter().collect());
        groups.extend(others.values().map(named));
    }
    let note = format!("{} keys with their hashes, so that clients keep their keys", keys.len());
    report.say(&about, "keys: token", Status::Exact, note);
    if !groups.is_empty() {
        clients.insert("groups".into(), Value::Sequence(groups));
    }
    clients.insert("keys".into(), Value::Sequence(keys));
    Ok(())
}

/// The rows of a file, the headings first, which must have a `column`.
fn table(path: &Path, column: &str, name: &str) -> Result<Vec<Vec<String>>, String> {
    let shown = path.display();
    let length = std::fs::metadata(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?.len();
    if length > MAX_TABLE {
        return Err(format!("{shown}: is larger than 64 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
    let table = rows(&text);
    if table.first().is_none_or(|heads| heads.iter().all(|head| head != column)) {
        return Err(format!(
            "{shown}: has no column `{column}`\n  help: it must be CSV with a line of headings, as \
             `COPY \"{name}\" TO STDOUT WITH CSV HEADER` writes it"
        ));
    }
    Ok(table)
}

/// Reports the columns that are not read.
fn rest(heads: &[String], table: &str, own: &[&str], report: &mut Report) {
    let is_read = |head: &str| KNOWN.contains(&head) || own.contains(&head);
    let others: Vec<&str> = heads.iter().map(String::as_str).filter(|head| !is_read(head)).collect();
    if !others.is_empty() {
        let key = format!("{table}: other columns");
        report.say(&About::Section("clients"), key, Status::Unsupported, others.join(", "));
    }
}

/// The teams by their ids; each becomes a group.
fn teams(
    path: &Path,
    zone: Option<&str>,
    groups: &mut Vec<Value>,
    report: &mut Report,
) -> Result<HashMap<String, Team>, String> {
    let table = table(path, "team_id", "LiteLLM_TeamTable")?;
    let Some((heads, rows)) = table.split_first() else { return Ok(HashMap::new()) };
    let about = About::Section("clients");
    let (mut teams, mut names) = (HashMap::new(), HashSet::new());
    for (cells, line) in rows.iter().zip(2..) {
        let row = Row { heads, cells };
        let mut say =
            |column: &str, status, note: &str| report.say(&about, format!("teams: line {line} {column}"), status, note);
        let Some(id) = row.get("team_id") else {
            say("team_id", Status::Manual, "is empty, and the team was left out");
            continue;
        };
        let alias = named(row.get("team_alias").unwrap_or_default());
        let name = if alias.is_empty() || names.contains(&alias) { named(id) } else { alias };
        if !names.insert(name.clone()) || teams.contains_key(id) {
            say("team_id", Status::Manual, "is there twice, and was left out");
            continue;
        }
        let mut group = Mapping::new();
        group.insert("name".into(), name.as_str().into());
        let mut blocked = is_true(row.get("blocked"));
        if let Err(column) = limits(&row, zone, &mut group, &mut say) {
            say(column, Status::Manual, "allows the team nothing, and its keys were left out");
            blocked = true;
        }
        groups.push(Value::Mapping(group));
        let models = row.get("models").map(list).unwrap_or_default();
        teams.insert(id.to_owned(), Team { name, models: allowed(models), blocked });
    }
    rest(heads, "teams", &["team_alias"], report);
    report.say(&about, "teams: team_id", Status::Exact, format!("{} groups of clients", groups.len()));
    Ok(teams)
}

/// A name without characters that no name may have, and not too long.
fn named(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(90).collect();
    plain.trim().to_owned()
}

fn is_true(text: Option<&str>) -> bool {
    text.is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "t" | "true" | "1"))
}

/// A list of models; an empty one for all.
fn allowed(models: Vec<String>) -> Vec<String> {
    if models.iter().any(|model| EVERY.contains(&model.as_str())) { Vec::new() } else { models }
}

/// Reads `limits` and `budget` of a key or a team. The error is the column that allows nothing at all.
fn limits(
    row: &Row<'_>,
    zone: Option<&str>,
    owner: &mut Mapping,
    say: &mut impl FnMut(&str, Status, &str),
) -> Result<(), &'static str> {
    let limits = [("rpm_limit", "rpm"), ("tpm_limit", "tpm"), ("max_parallel_requests", "parallel")];
    let mut section = Mapping::new();
    for (column, limit) in limits {
        let Some(number) = row.number(column) else { continue };
        if number < 1.0 {
            return Err(column);
        }
        section.insert(limit.into(), (number.min(1e9) as u64).into());
    }
    if !section.is_empty() {
        owner.insert("limits".into(), section.into());
    }
    let Some(most) = row.number("max_budget") else { return Ok(()) };
    if most <= 0.0 {
        return Err("max_budget");
    }
    match Budget::of(Some(most), row.get("budget_duration")) {
        Ok(budget) => {
            owner.insert("budget".into(), budget.written(zone).into());
            if let Some(spent) = row.number("spend").filter(|spent| *spent > 0.0) {
                let note = format!("{spent} dollars are spent there; the budget begins anew here");
                say("spend", Status::Approximate, &note);
            }
        }
        Err(wrong) => say("budget_duration", Status::Manual, wrong),
    }
    Ok(())
}

/// What must be there once.
struct Seen {
    names: HashSet<String>,
    digests: HashSet<Digest>,
}

/// One key; `None` when it was left out, which the report says.
fn one(
    row: &Row<'_>,
    line: usize,
    (team, zone): (Option<&Team>, Option<&str>),
    seen: &mut Seen,
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
    if is_true(row.get("blocked")) {
        say("blocked", Status::Exact, "the key is blocked there, and was left out");
        return None;
    }
    if team.is_some_and(|team| team.blocked) {
        say("team_id", Status::Exact, "the team is blocked there, and the key was left out");
        return None;
    }
    if !seen.digests.insert(digest) {
        say("token", Status::Manual, "is there twice, and was left out");
        return None;
    }
    let written = digest.written();
    let begin = written.get(7..15).unwrap_or_default();
    let alias = named(row.get("key_alias").unwrap_or_default());
    let alias = if alias.is_empty() { format!("litellm-{begin}") } else { alias };
    let name = if seen.names.contains(&alias) { format!("{alias}-{begin}") } else { alias };
    seen.names.insert(name.clone());
    let mut key = Mapping::new();
    let mut set = |name: &str, value: Value| drop(key.insert(name.into(), value));
    set("name", name.into());
    set("hash", written.into());
    if let Some(team) = team {
        set("group", team.name.as_str().into());
    }
    let models = row.get("models").map(list).unwrap_or_default();
    if models.iter().any(|model| model == "no-default-models") {
        say("models", Status::Manual, "allows no model, and the key was left out");
        return None;
    }
    // A key without models of its own has those of its team.
    let own = allowed(models);
    let models = if own.is_empty() { team.map(|team| team.models.clone()).unwrap_or_default() } else { own };
    if !models.is_empty() {
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
    if let Err(column) = limits(row, zone, &mut key, &mut say) {
        say(column, Status::Manual, "allows nothing, and the key was left out");
        return None;
    }
    Some(key)
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
    }
}
