//! `pointsman replicas`: the replicas that share an engine, what each runs, and which one differs.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::key::Server;
use super::report::say_json;
use super::say;
use crate::telemetry::printable;

/// Ends with exit code 1 if a replica differs, as `diff` does.
#[derive(Debug, Args)]
pub(super) struct Replicas {
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(Replicas { server }: &Replicas) -> ExitCode {
    let answer = match server.read("pointsman replicas", "/admin/replicas") {
        Ok(answer) => answer,
        Err(wrong) => return wrong.exit(),
    };
    let replicas = answer["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
    if server.wants_json() {
        say_json(&answer);
    } else {
        say(&told(replicas));
    }
    let differs = |one: &Value| one["differs"].as_array().is_some_and(|differs| !differs.is_empty());
    if replicas.iter().any(differs) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A table, and a sentence about it.
fn told(replicas: &[Value]) -> String {
    let heads = ["replica", "state", "version", "configuration", "number", "strategies", "started", "differs in"];
    let mut rows = vec![heads.map(str::to_owned)];
    for one in replicas {
        let text = |name: &str| printable(one[name].as_str().unwrap_or("–"));
        let list = |value: &Value| {
            let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            printable(&texts.collect::<Vec<_>>().join(", "))
        };
        let strategies = one["strategies"].as_object().into_iter().flatten();
        let strategies =
            strategies.map(|(route, strategy)| format!("{route}: {}", strategy.as_str().unwrap_or_default()));
        let name = if one["name"].is_string() { text("name") } else { text("id") };
        let this = if one["this"] == true { " (this one)" } else { "" };
        let number = one["generation"].as_u64().map_or_else(|| "–".to_owned(), |number| number.to_string());
        rows.push([
            format!("{name}{this}"),
            text("state"),
            text("version"),
            text("config"),
            number,
            printable(&strategies.collect::<Vec<_>>().join(", ")),
            text("started"),
            list(&one["differs"]),
        ]);
    }
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |row: &[String; 8]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let lines: Vec<String> = rows.iter().map(line).collect();
    let different = replicas.iter().filter(|one| one["differs"].as_array().is_some_and(|all| !all.is_empty())).count();
    let sentence = match (replicas.len(), different) {
        (1, _) => "This one alone.".to_owned(),
        (count, 0) => format!("{count} replicas, all alike."),
        (count, 1) => format!("{count} replicas, and 1 is different."),
        (count, different) => format!("{count} replicas, and {different} are different."),
    };
    format!("{}\n\n{sentence}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_one_that_differs_is_named_and_nothing_can_forge_a_line() {
        let one = |name: &str, differs: Value| {
            json!({
                "id": "1f", "this": name == "a", "name": name, "version": "0.1.0", "config": "ab12", "generation": 2,
                "strategies": {"default": "weighted 92d6"}, "started": "2026-11-26T14:05:00Z", "state": "serving",
                "differs": differs,
            })
        };
        let old = json!({"id": "77", "this": false, "differs": ["version", "config", "strategies"]});
        let text = told(&[one("a", json!([])), one("b\u{1b}[2J", json!([])), old]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("a (this one)  serving  0.1.0    ab12"), "{text}");
        assert!(lines[3].starts_with("77 ") && lines[3].ends_with("version, config, strategies"), "{text}");
        assert!(text.ends_with("3 replicas, and 1 is different.") && !text.contains('\u{1b}'), "{text}");
        assert!(told(&[one("a", json!([]))]).ends_with("This one alone."));
    }
}
