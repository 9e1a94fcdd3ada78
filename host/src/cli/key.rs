//! `pointsman key`: makes, hashes and checks keys of clients; and has a running server list, make, block, change and
//! remove them.
//!
//! A key is printed once, by the command that makes it, and never taken as an argument, where other users of the machine
//! could read it.

mod remote;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

pub(super) use remote::Server;

use super::report::say_json;
use super::{ConfigFile, load, say, say_error, wrong};
use crate::clients::{Keys, new_key};
use crate::config::{KeyForm, digest_of, form_of, key_terms};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key: prints it, and what to write under `clients.keys`.
    New(New),
    /// Print the hash of the key that is read from the standard input.
    Hash(Given),
    /// Check the form of the key that is read from the standard input, and whether a configuration knows it.
    Check(Check),
    /// List the keys of a running server.
    List(remote::Server),
    /// Have a running server make a key, which counts at once.
    Create(Create),
    /// Have a running server refuse a key.
    Block(remote::One),
    /// Have a running server accept a key again.
    Unblock(remote::One),
    /// Have a running server give a key a new text.
    Rotate(Rotate),
    /// Have a running server forget a key.
    Delete(remote::One),
}

/// The flags that describe a new key.
#[derive(Debug, Args)]
struct Terms {
    /// Name of the client, in logs and metrics.
    #[arg(long)]
    name: String,
    /// Group whose limits it shares.
    #[arg(long)]
    group: Option<String>,
    /// Models that it may use, as clients name them, with commas between; each may have one `*` [default: all].
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Last day on which it is accepted, such as 2027-01-31, or a moment.
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
    /// Requests in a minute.
    #[arg(long)]
    rpm: Option<u64>,
    /// Tokens in a minute.
    #[arg(long)]
    tpm: Option<u64>,
    /// Requests at once.
    #[arg(long)]
    parallel: Option<u32>,
    /// Dollars and their time, such as 50/day or 1000/month; may be given several times.
    #[arg(long, value_name = "USD/TIME")]
    budget: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct New {
    #[command(flatten)]
    terms: Terms,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Given {
    /// File that holds the key; `-` is the standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    given: Given,
    /// The configuration that may know it [default: as for `serve`].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    server: remote::Server,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    one: remote::One,
    /// Seconds for which the old key goes on beside the new one.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    overlap: u64,
}

pub(super) fn run(command: &Command) -> ExitCode {
    let outcome = match command {
        Command::New(new) => make(new),
        Command::Hash(given) => hash(given),
        Command::Check(check) => self::check(check),
        Command::List(server) => server.list(),
        Command::Create(Create { server, terms }) => terms.json().and_then(|terms| server.create(&terms)),
        Command::Block(one) => one.act("block", None),
        Command::Unblock(one) => one.act("unblock", None),
        Command::Rotate(Rotate { one, overlap }) => one.act("rotate", Some(json!({"overlap": overlap}))),
        Command::Delete(one) => one.delete(),
    };
    outcome.unwrap_or_else(|wrong| wrong.exit())
}

/// The reason why a command does nothing.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The arguments are wrong.
    Usage(String),
    /// The server refuses, or does not answer.
    Failed(String),
}

impl Wrong {
    /// The message that says what is wrong.
    pub(super) fn text(self) -> String {
        match self {
            Self::Usage(text) | Self::Failed(text) => text,
        }
    }

    /// Prints it; the exit code that it has.
    pub(super) fn exit(&self) -> ExitCode {
        match self {
            Self::Usage(text) => wrong(text),
            Self::Failed(text) => {
                say_error(text);
                ExitCode::FAILURE
            }
        }
    }
}

impl Terms {
    /// The terms in the words of the file, if they are legal.
    fn json(&self) -> Result<Map<String, Value>, Wrong> {
        let mut terms = Map::new();
        let mut set = |key: &str, value: Value| drop(terms.insert(key.to_owned(), value));
        set("name", self.name.as_str().into());
        if let Some(group) = &self.group {
            set("group", group.as_str().into());
        }
        if !self.models.is_empty() {
            set("models", self.models.clone().into());
        }
        if let Some(expires) = &self.expires {
            set("expires", expires.as_str().into());
        }
        let limits = [("rpm", self.rpm), ("tpm", self.tpm), ("parallel", self.parallel.map(u64::from))];
        let limits: BTreeMap<&str, u64> = limits.into_iter().filter_map(|(key, amount)| Some((key, amount?))).collect();
        if !limits.is_empty() {
            set("limits", json!(limits));
        }
        let budgets = self.budget.iter().map(|text| budget(text)).collect::<Result<Vec<_>, _>>()?;
        if !budgets.is_empty() {
            set("budget", budgets.into());
        }
        let told = |wrong: Vec<String>| Wrong::Usage(format!("pointsman key: {}", wrong.join("\n")));
        key_terms(&Value::Object(terms.clone()), |_| true).map_err(told)?;
        Ok(terms)
    }
}

/// A budget from `50/day`.
fn budget(text: &str) -> Result<Value, Wrong> {
    let read = text.split_once('/').and_then(|(usd, per)| Some(json!({"usd": usd.parse::<f64>().ok()?, "per": per})));
    read.ok_or_else(|| Wrong::Usage(format!("pointsman key: --budget must be such as 50/day, not {text}")))
}

fn make(new: &New) -> Result<ExitCode, Wrong> {
    let terms = new.terms.json()?;
    let made = new_key(None).map_err(|error| Wrong::Failed(format!("pointsman key new: {error}")))?;
    if new.json {
        let entry = entry(&terms, &made.digest.written());
        say_json(&json!({"id": made.id, "key": made.text.reveal(), "entry": entry}));
        return Ok(ExitCode::SUCCESS);
    }
    say("The key, which is shown this once:\n");
    say(&format!("  {}\n", made.text.reveal()));
    say("For the configuration, which needs its hash alone:\n");
    say(&yaml(&entry(&terms, &made.digest.written())));
    Ok(ExitCode::SUCCESS)
}

/// The entry of the file: the name first, then the hash, then the rest.
fn entry(terms: &Map<String, Value>, hash: &str) -> Value {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), terms.get("name").cloned().unwrap_or_default());
    entry.insert("hash".to_owned(), hash.into());
    entry.extend(terms.iter().filter(|(key, _)| *key != "name").map(|(key, value)| (key.clone(), value.clone())));
    Value::Object(entry)
}

/// The entry as YAML, where it belongs.
fn yaml(entry: &Value) -> String {
    let whole = json!({"clients": {"keys": [entry]}});
    serde_yaml::to_string(&whole).unwrap_or_default().trim_end().to_owned()
}

/// The key that was given.
fn read(given: &Given) -> Result<String, Wrong> {
    let failed = |error: std::io::Error| Wrong::Usage(format!("pointsman key: {}: {error}", given.file.display()));
    let mut text = String::new();
    if given.file.as_os_str() == "-" {
        let mut input = std::io::stdin();
        if input.is_terminal() {
            say_error("Type or paste the key, and end with Ctrl-D:");
        }
        input.read_to_string(&mut text).map_err(failed)?;
    } else {
        text = std::fs::read_to_string(&given.file).map_err(|error| match error.kind() {
            // The name may be the key itself, given as an argument by mistake.
            std::io::ErrorKind::NotFound => Wrong::Usage(
                "pointsman key: there is no such file; the key is read from a file or from the standard input, not from an \
                 argument"
                    .to_owned(),
            ),
            _ => failed(error),
        })?;
    }
    let text = text.trim();
    if text.is_empty() || text.contains(['\n', '\r']) {
        return Err(Wrong::Usage("pointsman key: the input must be one line, which holds the key".to_owned()));
    }
    Ok(text.to_owned())
}

fn hash(given: &Given) -> Result<ExitCode, Wrong> {
    let key = read(given)?;
    if form_of(key.as_bytes()) == KeyForm::Damaged {
        let text = "pointsman key hash: the checksum of the key is wrong: a character was changed or lost";
        return Err(Wrong::Failed(text.to_owned()));
    }
    say(&digest_of(key.as_bytes()).written());
    Ok(ExitCode::SUCCESS)
}

fn check(check: &Check) -> Result<ExitCode, Wrong> {
    let key = read(&check.given)?;
    let (form, words, id) = match form_of(key.as_bytes()) {
        KeyForm::Ours(id) => {
            ("pointsman", "it has the form of a key of Pointsman, and its checksum is right", Some(id))
        }
        KeyForm::Damaged => {
            ("damaged", "its checksum is wrong: a character was changed or lost, and it is never accepted", None)
        }
        KeyForm::Foreign => ("foreign", "it has another form than keys of Pointsman", None),
    };
    let file = ConfigFile { config: check.config.clone(), file: None };
    let config = match load(file.path()) {
        Ok(config) => Some(config),
        Err(problems) if check.config.is_some() => return Err(Wrong::Usage(problems)),
        Err(_) => None,
    };
    let keys = config.as_ref().map(|config| Keys::new(config, Arc::default()));
    let client = keys.as_ref().map(|keys| keys.owner_of(&digest_of(key.as_bytes())));
    let known = client.as_ref().is_none_or(Option::is_some);
    if check.json {
        say_json(&json!({"form": form, "id": id, "configured": client.is_some(), "client": client.flatten()}));
    } else {
        say(&format!("form:   {words}"));
        if let Some(id) = id {
            say(&format!("id:     {id}"));
        }
        say(&match (&client, &config) {
            (Some(Some(client)), _) => format!("client: {client}"),
            (Some(None), Some(config)) => format!(
                "client: none in {}; one that was made at run time is known to the server alone",
                config.file.display()
            ),
            _ => "client: not looked for, as there is no configuration".to_owned(),
        });
    }
    Ok(if form != "damaged" && known { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
