//! `pointsman approach test`: whether an approach keeps the contract, and answers as its author's fixtures expect.
//!
//! Exit codes: 0 every claim holds, 1 some do not, 2 the arguments are wrong.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use pointsman_fixture::approach::{File, read};
use serde_json::{Map, Value, json};

use super::super::report::{self, say_json};
use super::super::{say, use_cache, wrong};
use super::examine::{Looked, Target};
use crate::workbench::{Claim, Played, Rehearsal};

#[derive(Debug, Args)]
pub struct Test {
    #[command(flatten)]
    target: Target,
    /// Play the fixtures in this folder (*.json), or the one in this file; without --options, an approach that needs some
    /// is tried with those of the first fixture.
    #[arg(long, value_name = "DIR|FILE")]
    fixtures: Option<PathBuf>,
}

pub fn run(test: &Test) -> ExitCode {
    let given = test.target.read().and_then(|case| {
        let files = test.fixtures.as_deref().map_or(Ok(Vec::new()), read);
        files.map(|files| (case, files))
    });
    let (case, files) = match given {
        Ok(given) => given,
        Err(problem) => return wrong(&problem),
    };
    use_cache();
    let looked = case.look();
    let (claims, played) = match rehearse(&looked, &files) {
        Ok(tried) => tried,
        Err(problem) => return wrong(&format!("approach test: {problem}")),
    };
    let holds = looked.problems.is_empty()
        && claims.iter().all(|claim| claim.holds)
        && played.iter().all(|fixture| fixture.holds);
    if test.target.json {
        let played = played.iter().map(fixture_for_programs);
        say_json(&json!({
            "file": looked.shown,
            "holds": holds,
            "claims": claims,
            "fixtures": played.collect::<Value>(),
            "problems": looked.complaints(),
        }));
    } else if looked.problems.is_empty() {
        let words = ("it is refused before anything is asked, as it should be", "question");
        say(&report::tried(&looked.shown, &claims, &played, words));
    } else {
        say(&format!("{}\nnothing could be tried", looked.complain(looked.shown.clone())));
    }
    ExitCode::from(u8::from(!holds))
}

/// Tries the claims and plays the fixtures, if it could be loaded.
fn rehearse(looked: &Looked, files: &[File]) -> std::io::Result<(Vec<Claim>, Vec<Played>)> {
    let approach = match &looked.approach {
        Some(approach) if looked.problems.is_empty() => Arc::clone(approach),
        _ => return Ok((Vec::new(), Vec::new())),
    };
    let mut rehearsal = Rehearsal::new(approach)?;
    let claims = rehearsal.battery(&options(looked, files));
    Ok((claims, rehearsal.fixtures(files)))
}

/// The options that the claims are tried with.
fn options(looked: &Looked, files: &[File]) -> Map<String, Value> {
    let first = files.iter().find_map(|file| file.fixture.as_ref().ok()).filter(|_| looked.wants.is_some());
    let first = first.map(|fixture| fixture.request().config.clone());
    looked.options.clone().or(first).unwrap_or_default()
}

fn fixture_for_programs(played: &Played) -> Value {
    let Played { file, name, holds, decisions: questions, detail } = played;
    json!({"file": file, "name": name, "holds": holds, "questions": questions, "detail": detail})
}
