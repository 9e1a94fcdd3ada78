//! `pointsman why`: the course of one request as a person would tell it, from a running server or from the folder of a
//! ledger.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use super::key::{Server, Wrong};
use super::report::say_json;
use super::say;
use crate::observe::ledger::folder::Reading;
use crate::observe::ledger::{Filter, Record};
use crate::observe::why::Course;

#[derive(Debug, Args)]
pub(super) struct Why {
    /// The request's id, as `x-request-id` and the log have it [default: the latest request].
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// The folder of a ledger, or one of its files, instead of a running server.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "admin_key", "config"])]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

/// A request, with the questions that approaches have asked for it.
#[derive(Debug, Deserialize)]
struct Told {
    story: Record,
    questions: Vec<Arc<Record>>,
}

pub(super) fn run(why: &Why) -> ExitCode {
    let told = match &why.ledger {
        Some(path) => from_files(path, why.id.as_deref()),
        None => from_server(&why.server, why.id.as_deref()),
    };
    match told {
        Ok(told) if why.server.wants_json() => say_json(&json!({"story": told.story, "questions": told.questions})),
        Ok(Told { story, questions }) => say(Course::of(&story, &questions).to_string().trim_end()),
        Err(wrong) => return wrong.exit(),
    }
    ExitCode::SUCCESS
}

fn from_server(server: &Server, id: Option<&str>) -> Result<Told, Wrong> {
    let id = match id {
        Some(id) => id.to_owned(),
        None => {
            let latest = server.read("pointsman why", "/admin/stories?limit=1")?;
            let latest = latest.pointer("/stories/0/request_id").and_then(|id| id.as_str());
            let none = || Wrong::Failed("pointsman why: the server has not served a request yet".to_owned());
            latest.ok_or_else(none)?.to_owned()
        }
    };
    let path = format!("/admin/stories/{}", utf8_percent_encode(&id, NON_ALPHANUMERIC));
    let answer = server.read("pointsman why", &path)?;
    let strange = |error| Wrong::Failed(format!("pointsman why: the server's answer is not understood: {error}"));
    serde_json::from_value(answer).map_err(strange)
}

fn from_files(path: &PathBuf, id: Option<&str>) -> Result<Told, Wrong> {
    let shown = path.display();
    let failed = |error| Wrong::Failed(format!("pointsman why: {shown} cannot be read: {error}"));
    let reading = Reading::of(path);
    let id = match id {
        Some(id) => id.to_owned(),
        None => {
            let mut latest = None;
            let mut see = |record: Record| {
                latest = Some(record.request_id.to_string());
                false
            };
            reading.backwards(&Filter::default(), &mut see).map_err(failed)?;
            latest.ok_or_else(|| Wrong::Failed(format!("pointsman why: {shown} holds no requests")))?
        }
    };
    let found = reading.find(&id).map_err(failed)?;
    let (story, questions) =
        found.ok_or_else(|| Wrong::Failed(format!("pointsman why: {shown} holds no request {id}")))?;
    Ok(Told { story, questions: questions.into_iter().map(Arc::new).collect() })
}
