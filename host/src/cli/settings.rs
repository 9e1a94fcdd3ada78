//! `pointsman config show`: the configuration in force, and where each value comes from; and `pointsman schema`, for editors.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::key::Server;
use super::report::say_json;
use super::{load, say, wrong};
use crate::config::{self, Config, Origin, Setting, environment};
use crate::telemetry::printable;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show every key with its value in force and where that comes from: a line of the file, a variable, a flag, the default.
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Show the configuration as `serve --host` would have it; overrides server.host.
    #[arg(long, conflicts_with = "url")]
    host: Option<String>,
    /// Show the configuration as `serve --port` would have it; overrides server.port.
    #[arg(long, conflicts_with = "url")]
    port: Option<u16>,
    /// Show the configuration as `serve --approach` would have it; overrides approach.default.
    #[arg(long, conflicts_with = "url")]
    approach: Option<String>,
    /// Show only keys that the file, a variable or a flag sets.
    #[arg(long, conflicts_with = "defaults")]
    set: bool,
    /// Show every key that there is with its default, without a configuration.
    #[arg(long, conflicts_with_all = ["url", "host", "port", "approach", "config"])]
    defaults: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(command: &Command) -> ExitCode {
    let Command::Show(show) = command;
    if show.defaults {
        let all = config::defaults();
        if show.server.wants_json() {
            say_json(&Value::Array(all.iter().map(Setting::json).collect()));
        } else {
            say(&table(&all.iter().map(line).collect::<Vec<_>>()));
        }
        return ExitCode::SUCCESS;
    }
    if show.server.is_named() {
        return of_server(show);
    }
    let mut config = match load(show.server.config()) {
        Ok(config) => config,
        Err(problems) => return wrong(&problems),
    };
    set_over(&mut config, show.host.as_deref(), show.port, show.approach.as_deref());
    if show.server.wants_json() {
        say_json(&config.written.json(!show.set));
        return ExitCode::SUCCESS;
    }
    let lines: Vec<_> = config.written.in_force(!show.set).iter().map(line).collect();
    say(&format!("In force by {}:\n\n{}", printable(&config.file.display().to_string()), table(&lines)));
    ExitCode::SUCCESS
}

/// Puts the flags of the command line, and the variables that take precedence over the file, into the configuration.
pub(super) fn set_over(config: &mut Config, host: Option<&str>, port: Option<u16>, approach: Option<&str>) {
    if let Some(host) = host {
        host.clone_into(&mut config.server.host);
        config.written.set_over("server.host", host, "--host");
    }
    if let Some(port) = port {
        config.server.port = port;
        config.written.set_over("server.port", port.to_string(), "--port");
    }
    if let Some(approach) = approach {
        config.approaches.default = Some((approach.to_owned(), 0));
        config.written.set_over("approach.default", approach, "--approach");
    }
    // The stronger one is the second.
    for name in ["OPTILLM_LOG_LEVEL", "RUST_LOG"] {
        if let Some(level) = environment(name).filter(|level| !level.is_empty()) {
            config.written.set_over("monitoring.log_level", level, &format!("environment variable {name}"));
        }
    }
}

/// The table of a running server.
fn of_server(show: &Show) -> ExitCode {
    let path = if show.set { "/admin/config?defaults=false" } else { "/admin/config" };
    let answer = match show.server.read("pointsman config show", path) {
        Ok(answer) => answer,
        Err(wrong) => return wrong.exit(),
    };
    if show.server.wants_json() {
        say_json(&answer);
        return ExitCode::SUCCESS;
    }
    let settings = answer["settings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<_> = settings.iter().map(|setting| line(&read(setting))).collect();
    let (generation, file) = (&answer["generation"], answer["file"].as_str().unwrap_or_default());
    say(&format!("In force there by {}, generation {generation}:\n\n{}", printable(file), table(&lines)));
    ExitCode::SUCCESS
}

/// A setting as a server tells it.
fn read(setting: &Value) -> Setting {
    let text = |name: &str| setting[name].as_str().map(str::to_owned);
    let list = |name: &str| {
        let all = setting[name].as_array().into_iter().flatten();
        all.filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let origin = match setting["from"].as_str() {
        Some("file") => Origin::File {
            line: setting["line"].as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or_default(),
            variables: list("variables"),
            unset: list("unset"),
            files: list("files"),
        },
        Some("over") => Origin::Over(text("by").unwrap_or_default()),
        _ => Origin::Default { in_words: setting["in_words"] == true },
    };
    Setting { key: text("key").unwrap_or_default(), value: text("value"), origin }
}

/// The key, the value and the origin of a setting, as texts.
fn line(setting: &Setting) -> [String; 3] {
    let value = match (&setting.value, &setting.origin) {
        (None, _) => "***".to_owned(),
        (Some(words), Origin::Default { in_words: true }) => format!("({words})"),
        (Some(value), _) => value.clone(),
    };
    [printable(&setting.key), printable(&value), printable(&setting.origin.words())]
}

/// A table in which values and origins stand in columns; a text that is too long for its column moves the rest of its line.
fn table(lines: &[[String; 3]]) -> String {
    const WIDEST: usize = 48;
    let width = |place: usize| {
        let widths = lines.iter().map(|line| line[place].chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or_default()
    };
    let (keys, values) = (width(0), width(1));
    let mut text = String::new();
    for [key, value, origin] in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key:keys$}  {value:values$}  {origin}");
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_tells_reads_as_what_is_told_here() {
        let settings = [
            Setting {
                key: "server.port".to_owned(),
                value: Some("9000".to_owned()),
                origin: Origin::File {
                    line: 3,
                    variables: vec!["PORT".to_owned()],
                    unset: vec!["OTHER".to_owned()],
                    files: vec!["f".to_owned()],
                },
            },
            Setting { key: "k".to_owned(), value: None, origin: Origin::Over("--port".to_owned()) },
            Setting { key: "d".to_owned(), value: Some("w".to_owned()), origin: Origin::Default { in_words: true } },
        ];
        for setting in &settings {
            assert_eq!(read(&setting.json()), *setting);
        }
        assert_eq!(
            table(&settings.iter().map(line).collect::<Vec<_>>()),
            "server.port  9000  line 3, environment variable PORT, file f, as OTHER is not set\n\
             k            ***   --port\n\
             d            (w)   default"
        );
    }
}
