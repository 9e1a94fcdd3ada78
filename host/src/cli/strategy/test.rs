//! `pointsman strategy test`: whether a strategy keeps the contract, and decides as its author's fixtures expect.
//!
//! Exit codes: 0 every claim holds, 1 some do not, 2 the arguments are wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pointsman_fixture::File;
use serde_json::{Value, json};

use super::super::report::{self, say_json};
use super::super::{say, use_cache, wrong};
use super::examine::{Case, Target, complaint, problem};
use crate::routing::RouteFacts;
use crate::wasm::LoadError;
use crate::workbench::{Claim, Played, Subject, facts_of, play_fixtures, try_out};

#[derive(Debug, Args)]
pub struct Test {
    #[command(flatten)]
    target: Target,
    /// Play the fixtures in this folder (*.json), or the one in this file; without --config and --proxy-config, the
    /// claims
    /// are tried with the providers and the config of the first fixture.
    #[arg(long, value_name = "DIR|FILE")]
    fixtures: Option<PathBuf>,
}

pub fn run(test: &Test) -> ExitCode {
    let read = test.target.read().and_then(|case| {
        let files = test.fixtures.as_ref().map_or(Ok(Vec::new()), |place| pointsman_fixture::read(place));
        files.map(|files| (case, files))
    });
    let (mut case, files) = match read {
        Ok(read) => read,
        Err(problem) => return wrong(&problem),
    };
    if !case.is_given
        && let Some(fixture) =
            files.iter().filter_map(|file| file.fixture.as_ref().ok()).find(|fixture| fixture.starts())
    {
        let setup = fixture.setup();
        case.config = setup.config.clone();
        let (targets, attributes) = (setup.providers.iter().map(facts_of).collect(), setup.attributes.clone());
        (case.route, case.prompt) = (RouteFacts { name: setup.route.clone(), targets, attributes }, setup.prompt);
    }
    use_cache();
    let tried = try_all(&case, &files);
    let holds = tried.as_ref().is_ok_and(|(claims, fixtures)| {
        claims.iter().all(|claim| claim.holds) && fixtures.iter().all(|fixture| fixture.holds)
    });
    if test.target.json {
        say_json(&for_programs(&case, holds, &tried));
    } else {
        say(&in_words(&case, &tried));
    }
    ExitCode::from(u8::from(!holds))
}

type Tried<'a> = Result<(Vec<Claim>, Vec<Played>), Problem<'a>>;

/// The reason why nothing could be tried.
enum Problem<'a> {
    Unread(&'a LoadError),
    Unloaded(LoadError),
}

impl Problem<'_> {
    fn error(&self) -> &LoadError {
        match self {
            Problem::Unread(error) => error,
            Problem::Unloaded(error) => error,
        }
    }
}

fn try_all<'a>(case: &'a Case, files: &[File]) -> Tried<'a> {
    let component = case.component.as_ref().map_err(Problem::Unread)?;
    let claims = try_out(&Subject { component, setup: &case.setup() });
    let fixtures = play_fixtures(component, files);
    Ok((claims.map_err(Problem::Unloaded)?, fixtures.map_err(Problem::Unloaded)?))
}

fn for_programs(case: &Case, holds: bool, tried: &Tried<'_>) -> Value {
    let (claims, fixtures, problems) = match tried {
        Ok((claims, fixtures)) => (claims.as_slice(), fixtures.as_slice(), Vec::new()),
        Err(error) => (&[][..], &[][..], vec![problem(error.error())]),
    };
    json!({"file": case.shown, "holds": holds, "claims": claims, "fixtures": fixtures, "problems": problems})
}

fn in_words(case: &Case, tried: &Tried<'_>) -> String {
    let (claims, fixtures) = match tried {
        Ok(tried) => tried,
        Err(error) => return format!("{}{}\nnothing could be tried", case.shown, complaint(error.error())),
    };
    report::tried(&case.shown, claims, fixtures, ("the config is refused, as it should be", "decision"))
}
