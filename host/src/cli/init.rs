//! `pointsman init`: writes a first configuration that passes `pointsman check`.
//!
//! It asks for the provider, the variable that holds the key, and a model to try; on a terminal in words, otherwise by flags. Of the
//! environment it looks at the names of variables alone, never at a value, and no key is ever written to the file.

mod starters;

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{WRONG, say, say_error};
use crate::config::{self, environment};
use starters::{STARTERS, Starter};

/// The name of the schema beside the configuration.
const SCHEMA: &str = "pointsman.schema.json";

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Provider to begin with, such as openai, anthropic, azure or ollama; `other` for any server that speaks OpenAI's API. May be
    /// given several times [default: those whose variable of the key is set].
    #[arg(long, value_name = "KIND")]
    provider: Vec<String>,
    /// Address of the API; needed for azure, vllm and other.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Environment variable that holds the key [default: the usual one of the provider].
    #[arg(long, value_name = "NAME")]
    key_variable: Option<String>,
    /// Model to try it with.
    #[arg(long)]
    model: Option<String>,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "proxy_config.yaml")]
    output: PathBuf,
    /// Write the JSON Schema beside it and name it in the file, so that editors help with the keys.
    #[arg(long)]
    schema: bool,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
    /// Ask nothing.
    #[arg(long, short)]
    yes: bool,
}

/// One provider of the file.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    starter: &'static Starter,
    base_url: String,
    variable: Option<String>,
}

pub(super) fn run(init: &Init) -> ExitCode {
    let is_set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    let asks = !init.yes && init.provider.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal();
    match begin(init, &is_set, asks.then(|| (io::stdin().lock(), io::stdout()))) {
        Ok(said) => {
            say(&said);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            say_error(&format!("pointsman init: {problem}"));
            ExitCode::from(WRONG)
        }
    }
}

/// Does all of it; `people` answer questions. Returns what to say at the end.
fn begin(
    init: &Init,
    is_set: &dyn Fn(&str) -> bool,
    people: Option<(impl BufRead, impl Write)>,
) -> Result<String, String> {
    let file = &init.output;
    // Told before anything is asked.
    if file.exists() && !init.force {
        return Err(format!(
            "{} exists and is left alone; --force replaces it, --output names another",
            file.display()
        ));
    }
    let (chosen, model) = match people {
        Some((input, output)) => ask(init, is_set, Dialogue { input, output })?,
        None => (by_flags(init, is_set)?, None),
    };
    let model = init.model.clone().or(model).unwrap_or_else(|| chosen[0].starter.model.to_owned());
    let text = text(&chosen, init.schema);
    check(&text, file, &chosen)?;
    write(file, &text, init.force).map_err(|error| format!("{}: cannot be written: {error}", file.display()))?;
    if init.schema {
        let schema = file.with_file_name(SCHEMA);
        let text = format!("{:#}\n", config::json_schema());
        write(&schema, &text, true).map_err(|error| format!("{}: cannot be written: {error}", schema.display()))?;
    }
    Ok(next(&chosen, file, &model, is_set))
}

/// The providers that flags name, or else those whose variable is set.
fn by_flags(init: &Init, is_set: &dyn Fn(&str) -> bool) -> Result<Vec<Chosen>, String> {
    let named: Vec<&Starter> = init.provider.iter().map(|name| starters::named(name)).collect::<Result<_, _>>()?;
    let starters = if named.is_empty() { starters::with_key(is_set) } else { named };
    if starters.is_empty() {
        let variables: Vec<&str> = STARTERS.iter().filter_map(|starter| starter.variable).collect();
        return Err(format!(
            "no provider is named and no key is set\n  help: --provider openai, or another of {}; or set one of {}",
            starters::names(),
            variables.join(", ")
        ));
    }
    if starters.len() > 1 && (init.base_url.is_some() || init.key_variable.is_some()) {
        return Err("--base-url and --key-variable are for one provider, and there are several".to_owned());
    }
    let of = |starter: &'static Starter| {
        let base_url = match (&init.base_url, starter.base_url) {
            (Some(url), _) => url.clone(),
            (None, Some(url)) => url.to_owned(),
            (None, None) => return Err(format!("{} needs --base-url, such as {}", starter.name, starter.such_as)),
        };
        let variable = init.key_variable.clone().or(starter.variable.map(str::to_owned));
        Ok(Chosen { starter, base_url, variable })
    };
    let chosen: Vec<Chosen> = starters.into_iter().map(of).collect::<Result<_, _>>()?;
    match chosen.iter().filter_map(|one| one.variable.as_deref()).find(|name| !is_variable(name)) {
        Some(wrong) => Err(format!("{wrong:?} is no name of a variable; the key itself is never written to the file")),
        None => Ok(chosen),
    }
}

/// The person at the terminal, by what they write and read.
struct Dialogue<R, W> {
    input: R,
    output: W,
}

impl<R: BufRead, W: Write> Dialogue<R, W> {
    /// Asks; an empty answer takes what stands in brackets.
    fn ask(&mut self, text: &str, usual: &str) -> Result<String, String> {
        let brackets = if usual.is_empty() { String::new() } else { format!(" [{usual}]") };
        self.tell(&format!("{text}{brackets}: "))?;
        let mut line = String::new();
        let read = self.input.read_line(&mut line).map_err(|error| format!("the terminal is gone: {error}"))?;
        if read == 0 {
            return Err("nothing was written, as the questions were not answered".to_owned());
        }
        let answer = line.trim();
        Ok(if answer.is_empty() { usual.to_owned() } else { answer.to_owned() })
    }

    fn tell(&mut self, text: &str) -> Result<(), String> {
        let told = write!(self.output, "{text}").and_then(|()| self.output.flush());
        told.map_err(|error| format!("the terminal is gone: {error}"))
    }
}

/// Asks for all of it. The second value is the model.
fn ask(
    init: &Init,
    is_set: &dyn Fn(&str) -> bool,
    mut people: Dialogue<impl BufRead, impl Write>,
) -> Result<(Vec<Chosen>, Option<String>), String> {
    let found = starters::with_key(is_set);
    let usual = found.first().map_or("openai", |starter| starter.name);
    let set: Vec<&str> = found.iter().filter_map(|starter| starter.variable).collect();
    let hint = if set.is_empty() { String::new() } else { format!(" (set here: {})", set.join(", ")) };
    let starter = loop {
        match starters::named(&people.ask(&format!("Provider, one of {}{hint}", starters::names()), usual)?) {
            Ok(starter) => break starter,
            Err(problem) => people.tell(&format!("{problem}\n"))?,
        }
    };
    let base_url = match init.base_url.as_deref().or(starter.base_url) {
        Some(url) => url.to_owned(),
        None => loop {
            let url = people.ask(&format!("Address of its API, such as {}", starter.such_as), "")?;
            if !url.is_empty() {
                break url;
            }
        },
    };
    let variable = match init.key_variable.as_deref().or(starter.variable) {
        None => None,
        Some(usual) => Some(loop {
            let name = people.ask("Variable of the environment that holds the key", usual)?;
            if is_variable(&name) {
                break name;
            }
            people.tell("That is no name of a variable. The key itself is never written to the file.\n")?;
        }),
    };
    let model = match &init.model {
        Some(model) => model.clone(),
        None => people.ask("Model to try it with", starter.model)?,
    };
    Ok((vec![Chosen { starter, base_url, variable }], Some(model)))
}

fn is_variable(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The file.
fn text(chosen: &[Chosen], schema: bool) -> String {
    let mut text = String::new();
    if schema {
        text.push_str(&format!("# yaml-language-server: $schema={SCHEMA}\n"));
    }
    text.push_str("# Checked by `pointsman check`, shown with all defaults by `pointsman config show`.\nproviders:\n");
    for Chosen { starter, base_url, variable } in chosen {
        // JSON is YAML, and quotes whatever has to be.
        let base_url = serde_json::Value::from(base_url.as_str());
        let key = variable.as_ref().map_or_else(|| "none".to_owned(), |name| format!("${{{name}}}"));
        text.push_str(&format!("  - name: {}\n    base_url: {base_url}\n    api_key: {key}\n", starter.name));
        if starter.name == "azure" {
            text.push_str(
                "    # model_map: {gpt-4o: my-deployment}   # where deployments are not called as their models\n",
            );
        }
        // Otherwise a request could go to a provider that has never heard of the model.
        if chosen.len() > 1 && !starter.models.is_empty() {
            let models = starter.models.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            text.push_str(&format!("    models: [{models}]\n"));
        }
    }
    text
}

/// Refuses a text that would not pass, such as one with an address that is none. The variables count as set.
fn check(text: &str, file: &Path, chosen: &[Chosen]) -> Result<(), String> {
    let is_key = |name: &str| chosen.iter().any(|one| one.variable.as_deref() == Some(name));
    let env = |name: &str| if is_key(name) { Some("set-for-the-check".to_owned()) } else { environment(name) };
    config::parse(text, file, &env, crate::strategy::builtins()).map(drop).map_err(|error| error.to_string())
}

/// Writes a file; without `force`, only a new one.
fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).create_new(!force).truncate(force);
    options.open(path)?.write_all(text.as_bytes())
}

/// The text that names the next commands.
fn next(chosen: &[Chosen], file: &Path, model: &str, is_set: &dyn Fn(&str) -> bool) -> String {
    let names: Vec<&str> = chosen.iter().map(|one| one.starter.name).collect();
    let mut text = format!("Wrote {} with {}.\n\nNext:\n\n", file.display(), names.join(", "));
    for name in chosen.iter().filter_map(|one| one.variable.as_deref()).filter(|name| !is_set(name)) {
        text.push_str(&format!("  export {name}=...            # is not set yet\n"));
    }
    let named = if file == Path::new("proxy_config.yaml") {
        String::new()
    } else {
        format!(" --config {}", super::project::quoted(&file.display().to_string()))
    };
    let body = serde_json::json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    let body = body.to_string().replace('\'', r"'\''");
    text.push_str(&format!(
        "  pointsman check{named}\n  pointsman serve{named}\n  curl -s localhost:8000/v1/chat/completions -d '{body}'"
    ));
    text
}

#[cfg(test)]
mod tests;
