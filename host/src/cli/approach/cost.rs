//! `pointsman approach cost`: what approaches cost as a multiple of the plain request, without asking a provider.
//!
//! Exit codes: 0 all of them answered, 1 some did not, 2 the arguments are wrong.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::super::report::say_json;
use super::super::{say, say_error, use_cache, wrong};
use crate::approach::{Approach, Entry, Registry, builtins};
use crate::workbench::Rehearsal;
use crate::workbench::cost::{ANSWER, QUESTIONS, Row, markdown, table};

#[derive(Debug, Args)]
pub struct Cost {
    /// Built-in approaches, or files of components [default: all that are built in].
    #[arg(value_name = "NAME|FILE")]
    approaches: Vec<String>,
    /// The price of a million tokens of prompts and of answers, such as 2.50,10; the report then has the money for one
    /// request.
    #[arg(long, value_name = "IN,OUT", value_parser = prices)]
    price: Option<(f64, f64)>,
    /// Print the report as a table of Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Two prices with a comma between them.
fn prices(text: &str) -> Result<(f64, f64), String> {
    let read = |price: &str| price.trim().parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
    let read = text.split_once(',').and_then(|(input, output)| read(input).zip(read(output)));
    read.ok_or_else(|| "two prices, 0 or more, with a comma between them, such as 2.50,10".to_owned())
}

/// Loads a built-in approach or the file of a component.
///
/// # Errors
///
/// Says why it cannot be used.
pub(super) fn load(named: &str) -> Result<Arc<Approach>, String> {
    let path = Path::new(named);
    let (name, entry) = if path.is_file() {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        (stem.clone(), Some(Entry::file(stem, path)))
    } else {
        (named.to_owned(), None)
    };
    let loaded = Registry::new(entry, None).load(&name);
    loaded.map_err(|error| match error {
        crate::approach::Unavailable::Unknown => {
            format!("{named} is neither a file nor a built-in approach; built in are {}", builtins().join(", "))
        }
        error => format!("{named} {}", super::list::chain(&error)),
    })
}

pub fn run(cost: &Cost) -> ExitCode {
    use_cache();
    let all = || builtins().iter().map(|name| (*name).to_owned()).collect();
    let names: Vec<String> = if cost.approaches.is_empty() { all() } else { cost.approaches.clone() };
    let mut loaded = Vec::new();
    for name in &names {
        match load(name) {
            Ok(approach) => loaded.push(approach),
            Err(problem) => return wrong(&format!("approach cost: {problem}")),
        }
    }
    let (mut rows, mut failed) = (Vec::new(), false);
    for approach in loaded {
        let name = approach.name().to_owned();
        let mut rehearsal = match Rehearsal::new(approach) {
            Ok(rehearsal) => rehearsal,
            Err(error) => return wrong(&format!("approach cost: {error}")),
        };
        match Row::of(&name, &mut rehearsal) {
            Ok(row) => rows.push(row),
            Err(problem) => {
                failed = true;
                say_error(&format!("{name} {problem}"));
            }
        }
    }
    if cost.json {
        say_json(&json!({"questions": QUESTIONS, "answer": ANSWER, "price": cost.price, "approaches": rows}));
    } else if cost.markdown {
        say(markdown(&rows, cost.price).trim_end());
    } else {
        let [short, long] = QUESTIONS;
        say(&table(&rows, cost.price));
        say(&format!(
            "\nA question of {short} and of {long} tokens, answers of {ANSWER}; as a multiple of the plain request. A model that \
             only plays: a real one writes as much as it likes."
        ));
    }
    ExitCode::from(u8::from(failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_two_numbers() {
        assert_eq!(prices("2.50, 10"), Ok((2.5, 10.0)));
        for wrong in ["2.5", "a,b", "-1,2", "1,inf", ""] {
            assert!(prices(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_approach_is_told_with_those_that_are() {
        let problem = load("nothing").err().expect("there is none");
        assert!(problem.starts_with("nothing is neither a file nor a built-in approach") && problem.contains("bon"));
    }
}
