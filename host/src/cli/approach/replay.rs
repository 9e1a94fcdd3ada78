//! `pointsman approach replay`: plays recorded runs again, and shows where they go otherwise.
//!
//! Exit codes: 0 all went as recorded, 1 some did not, 2 the arguments or the record are wrong.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::super::report::say_json;
use super::super::{say, use_cache, wrong};
use super::cost::load;
use crate::approach::Approach;
use crate::workbench::{Rerun, rerun};

#[derive(Debug, Args)]
pub struct Replay {
    /// The record that `approach.record` has written; - is standard input.
    log: PathBuf,
    /// Play the runs to this component, such as the next version, instead of the built-in approach of their name.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Play only the runs of this approach [default: with --component that of the file's name, else all].
    #[arg(long, value_name = "NAME")]
    approach: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(replay: &Replay) -> ExitCode {
    match answered(replay) {
        Err(problem) => wrong(&problem),
        Ok(result) => {
            if replay.json {
                say_json(&serde_json::to_value(&result).unwrap_or_default());
            } else {
                say(&in_words(&result));
            }
            ExitCode::from(u8::from(result.different() > 0))
        }
    }
}

fn answered(replay: &Replay) -> Result<Rerun, String> {
    let log = replay.log.display().to_string();
    let reader: Box<dyn BufRead> = if log == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(&replay.log).map_err(|error| format!("{log}: cannot be read: {error}"))?;
        Box::new(BufReader::new(file))
    };
    use_cache();
    let stem = replay.component.as_ref().and_then(|file| file.file_stem());
    let stem = stem.map(|stem| stem.to_string_lossy().replace('-', "_").to_lowercase());
    let only = replay.approach.clone().or(stem);
    let component = match &replay.component {
        Some(file) if !file.is_file() => return Err(format!("--component: there is no file {}", file.display())),
        Some(file) => Some(load(&file.display().to_string())?),
        None => None,
    };
    let mut known: HashMap<String, Arc<Approach>> = HashMap::new();
    let mut choose = |name: &str| {
        if only.as_ref().is_some_and(|only| only != name) {
            return Ok(None);
        }
        if let Some(component) = &component {
            return Ok(Some(Arc::clone(component)));
        }
        if let Some(approach) = known.get(name) {
            return Ok(Some(Arc::clone(approach)));
        }
        let approach = load(name).map_err(|problem| format!("{problem}; give its file with --component"))?;
        known.insert(name.to_owned(), Arc::clone(&approach));
        Ok(Some(approach))
    };
    rerun(reader, &mut choose).map_err(|error| format!("{log}: {error}"))
}

fn in_words(result: &Rerun) -> String {
    let Rerun { runs, same, skipped, missing, other_digest, differences } = result;
    let mut text = format!("{runs} runs: {same} as recorded, {} otherwise", result.different());
    let notes = [
        (*other_digest, "by another component than the recorded one"),
        (*skipped, "of other approaches, not played"),
        (*missing, "missing in the record"),
    ];
    for (count, note) in notes.iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, "\n  {count} {note}");
    }
    for difference in differences {
        let _ = write!(
            text,
            "\nline {}, {} {}, question {}:\n  recorded  {}\n  now       {}",
            difference.line,
            difference.approach,
            difference.id,
            difference.question,
            difference.recorded,
            difference.now
        );
    }
    text
}
