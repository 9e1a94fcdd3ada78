//! What is said about a key at run time, as JSON in the words of the file: read by the same rules.

use std::path::Path;

use serde_json::Value;

use super::super::node::Node;
use super::super::problem::{Findings, Place};
use super::super::read::Reader;
use super::super::schema::KEY_TERMS;
use super::{ClientKey, Names, describe};

/// Reads the terms of a key.
///
/// # Errors
///
/// All that is wrong with them, one sentence each.
pub fn terms(json: &Value, is_group: impl Fn(&str) -> bool) -> Result<ClientKey, Vec<String>> {
    if refers(json) {
        return Err(vec!["`${` has no meaning here: values are taken as they are".to_owned()]);
    }
    let node = Node::of_json(json);
    let mut findings = Findings::new(Path::new("body"));
    let mut reader = Reader::new(&mut findings, &|_| None);
    let mut key = None;
    if let Ok(entry) = reader.mapping(Some(&node), Place::file(), Some(KEY_TERMS)) {
        let name = Names::default().take(&mut reader, &entry);
        let described = describe(&mut reader, &entry, is_group);
        key = name.ok().map(|name| ClientKey { name, ..described });
    }
    findings.conclude(|_| key).map_err(|error| {
        let sentence = |problem: &super::super::Problem| {
            let place = if problem.key.is_empty() { String::new() } else { format!("`{}` ", problem.key) };
            let help = problem.help.as_ref().map(|help| format!(" ({})", help.replace('\n', " "))).unwrap_or_default();
            format!("{place}{}{help}", problem.message)
        };
        error.problems.iter().map(sentence).collect()
    })
}

/// True when a text in it would be taken for a reference to a variable or a file.
fn refers(json: &Value) -> bool {
    match json {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(refers),
        Value::Object(entries) => entries.iter().any(|(key, value)| key.contains("${") || refers(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_are_read_as_in_the_file_and_wrong_ones_are_all_told() {
        let read = terms(
            &json!({"name": "search", "group": "g", "models": ["gpt-4o*"], "expires": "2027-01-31",
                    "limits": {"rpm": 600, "parallel": 20}, "budget": {"usd": 50, "per": "day"}}),
            |group| group == "g",
        );
        let read = read.unwrap();
        assert_eq!((read.name.as_str(), read.group.as_deref(), read.limits.parallel), ("search", Some("g"), Some(20)));
        let wrong = terms(&json!({"name": "", "group": "h", "limits": {"rpm": "many"}, "hash": "x"}), |_| false);
        let wrong = wrong.unwrap_err().join("\n");
        for part in ["`name` must not be empty", "`group`", "`limits.rpm`", "`hash` is not a known key"] {
            assert!(wrong.contains(part), "{part} is missing in:\n{wrong}");
        }
        for text in ["${HOME}", "${file:/etc/passwd}"] {
            assert!(terms(&json!({"name": text}), |_| true).unwrap_err()[0].contains("no meaning"));
        }
        assert!(terms(&json!([]), |_| true).is_err() && terms(&json!({}), |_| true).is_err());
    }
}
