//! `pointsman approach eval`: compares approaches on questions whose answers are known.
//!
//! Exit codes: 0 it has run, 1 it could not run to its end, 2 the arguments, the questions or the configuration are wrong.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::super::report::say_json;
use super::super::{say, say_error, use_cache, wrong};
use crate::config::{self, ApproachEntry, Config, environment};
use crate::workbench::eval::{
    Contender, Evaluation, Grader, Item, Profile, Report, configuration, evaluate, is_partly_priced, page, table,
};

/// The time between two reports on how far it is, and between two writes of the report.
const BETWEEN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct Eval {
    /// The questions, a line of JSON each: {"question": "2+2?", "answer": 4}. Also `id`; `messages` instead of `question`;
    /// `grade` for one that is graded otherwise; `example`, an answer that fits, where `answer` is a pattern.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// How the final answer is graded: exact, number, choice, contains, regex or json.
    #[arg(long, default_value = "exact", value_parser = grader)]
    grade: Grader,
    /// An approach, or several in one such as re2&bon, or the file of a component; none is the plain answer. A colon and options
    /// in JSON may follow: bon:{"best_of_n":5}. May be repeated; all are compared with the first.
    #[arg(long, required = true, value_name = "NAME|FILE[:JSON]")]
    approach: Vec<String>,
    /// The model, as a client asks for it.
    #[arg(long)]
    model: String,
    /// The configuration of a proxy, whose providers are asked.
    #[arg(long, value_name = "FILE", required_unless_present = "model_profile")]
    config: Option<PathBuf>,
    /// Play a model that knows the answers, instead of asking providers: accuracy=0.6,judge=0.8,latency=2s,tokens=300,
    /// truncate=0.02,seed=1,price=IN/OUT, each with a default. With --config it plays the providers of that.
    #[arg(long, value_name = "KEY=VALUE,...")]
    model_profile: Option<Profile>,
    /// The first so many questions.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Questions at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Write the report, every answer in it, to this file, as JSON; also while it runs.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on where the report in --out ends: what it has is not asked for again, but what failed is.
    #[arg(long, requires = "out")]
    resume: bool,
    /// Write the report as an HTML page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn grader(text: &str) -> Result<Grader, String> {
    let found = Grader::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, grader)| grader);
    found.ok_or_else(|| format!("one of {}", Grader::ALL.map(|(name, _)| name).join(", ")))
}

/// An approach of the command line, and its file if it is one.
fn contender(given: &str) -> Result<(Contender, Option<(String, PathBuf)>), String> {
    let (named, options) = match given.split_once(":{") {
        Some((named, options)) => {
            let options: Map<String, Value> =
                serde_json::from_str(&format!("{{{options}")).map_err(|error| format!("{given}: {error}"))?;
            (named, options)
        }
        None => (given, Map::new()),
    };
    let path = Path::new(named);
    let file = named.ends_with(".wasm").then(|| {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().replace('-', "_")).unwrap_or_default();
        (stem.to_lowercase(), path.to_owned())
    });
    let expression = file.as_ref().map_or_else(|| named.to_owned(), |(name, _)| name.clone());
    Ok((Contender { shown: given.to_owned(), expression, options }, file))
}

impl Eval {
    fn config(&self) -> Result<Config, String> {
        match (&self.config, &self.model_profile) {
            (Some(file), _) => super::super::load(Some(file)),
            (None, profile) => {
                let text = configuration(&profile.unwrap_or_default());
                let file = Path::new("approach-eval.yaml");
                config::parse(&text, file, &environment, crate::strategy::builtins()).map_err(|error| error.to_string())
            }
        }
    }

    fn read(&self) -> Result<(Evaluation, Report), String> {
        let shown = self.data.display().to_string();
        let text = fs::read_to_string(&self.data).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let items = Item::read(&text, self.grade, limit).map_err(|problem| format!("{shown}: {problem}"))?;
        let mut config = self.config()?;
        let mut contenders: Vec<Contender> = Vec::new();
        for given in &self.approach {
            let (contender, file) = contender(given).map_err(|problem| format!("--approach {problem}"))?;
            if contenders.iter().any(|known| known.shown == contender.shown) {
                return Err(format!("--approach {given} is there twice"));
            }
            if let Some((name, path)) = file {
                config.approaches.entries.retain(|entry| entry.name != name);
                config.approaches.entries.push(ApproachEntry { path: Some(path), ..ApproachEntry::new(&name) });
            }
            contenders.push(contender);
        }
        let report = Report {
            data: shown,
            grade: self.grade.name().to_owned(),
            model: self.model.clone(),
            played: self.model_profile,
            questions: items.len(),
            partly_priced: is_partly_priced(&config),
            approaches: Vec::new(),
        };
        let (model, parallel, played) = (self.model.clone(), usize::from(self.parallel), self.model_profile);
        Ok((Evaluation { config, model, items, contenders, parallel, played }, report))
    }

    /// The report to go on with.
    fn known(&self, report: &Report) -> Result<Option<Report>, String> {
        let Some(file) = self.out.as_ref().filter(|_| self.resume) else { return Ok(None) };
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: cannot be read: {error}", file.display())),
        };
        let known: Report =
            serde_json::from_str(&text).map_err(|error| format!("{}: is no report: {error}", file.display()))?;
        let same = known.data == report.data && known.grade == report.grade && known.model == report.model;
        if same && known.played == report.played {
            return Ok(Some(known));
        }
        Err(format!("{}: is about other questions, another grader or another model", file.display()))
    }
}

/// Writes a file so that a reader finds it whole, the old one or the new one.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut output = fs::File::create(&part)?;
    output.write_all(text.as_bytes())?;
    drop(output);
    fs::rename(&part, file)
}

pub fn run(eval: &Eval) -> ExitCode {
    let (evaluation, empty) = match eval.read() {
        Ok(read) => read,
        Err(problem) => return wrong(&problem),
    };
    let known = match eval.known(&empty) {
        Ok(known) => known,
        Err(problem) => return wrong(&problem),
    };
    use_cache();
    let in_json = |report: &Report| serde_json::to_string_pretty(report).unwrap_or_default();
    let questions = evaluation.items.len();
    let (began, mut last) = (Instant::now(), Instant::now());
    // On a virtual clock nothing takes long enough to be told.
    let is_played = eval.model_profile.is_some();
    let mut failed = None;
    let mut note = |contender: &Contender, count: usize, so_far: &dyn Fn() -> Report| {
        if is_played || last.elapsed() < BETWEEN {
            return;
        }
        last = Instant::now();
        say_error(&format!("{}: {count} of {questions}", contender.shown));
        if let Some(file) = &eval.out
            && let Err(error) = write(file, &in_json(&so_far()))
        {
            failed = Some(error);
        }
    };
    let report = match evaluate(evaluation, empty, known, &mut note) {
        Ok(report) => report,
        Err(error) => return wrong(&format!("approach eval: {error}")),
    };
    let files = [(&eval.out, in_json(&report)), (&eval.html, page(&report))];
    for (file, text) in files.iter().filter_map(|(file, text)| Some((file.as_ref()?, text))) {
        if let Err(error) = write(file, text) {
            return wrong(&format!("{}: cannot be written: {error}", file.display()));
        }
    }
    if let Some(error) = failed {
        say_error(&format!("the report could not be written in between: {error}"));
    }
    if eval.json {
        say_json(&serde_json::to_value(&report).unwrap_or_default());
    } else {
        say(&table(&report));
        say_error(&format!("{:.1} s", began.elapsed().as_secs_f64()));
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approach_may_have_options_or_be_a_file() {
        let (bon, file) = contender(r#"bon:{"best_of_n":5}"#).expect("sound");
        assert_eq!((bon.expression.as_str(), bon.options["best_of_n"].as_u64(), file), ("bon", Some(5), None));
        let (mine, file) = contender("dist/My-own.wasm").expect("sound");
        assert_eq!((mine.shown.as_str(), mine.expression.as_str()), ("dist/My-own.wasm", "my_own"));
        assert_eq!(file, Some(("my_own".to_owned(), PathBuf::from("dist/My-own.wasm"))));
        assert!(contender("bon:{x").is_err());
        assert_eq!(contender("re2&bon").expect("sound").0.expression, "re2&bon");
    }
}
