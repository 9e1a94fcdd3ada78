//! The guard: counts the instructions that fixed scenarios cost and compares them with those on record, so that no change
//! makes the proxy slower unnoticed.
//!
//! Instructions, because they hardly differ from run to run, as times on a shared machine do. They are not times: what
//! waits for memory or for the kernel costs more than they say, and `make bench` is what shows it.
//!
//! `guard check` and `guard record` do it; both run this binary, or `pointsman` beside it, under valgrind. Each scenario
//! runs twice, and the second run repeats it twice as often: the difference is what the repetitions cost, without
//! start and end.

mod counts;
mod decisions;
mod peers;
mod traffic;
mod valgrind;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use counts::Counts;
use traffic::Traffic;

/// The scenarios, by their names in the record, and the number of repetitions of the shorter run.
const SCENARIOS: [(&str, Scenario, u32); 5] = [
    ("request", Scenario::Traffic(Traffic::Requests), 400),
    ("known", Scenario::Traffic(Traffic::Known), 400),
    ("limited", Scenario::Traffic(Traffic::Limited), 400),
    ("event", Scenario::Traffic(Traffic::Events), 500),
    ("decision", Scenario::Decisions, 4000),
];

#[derive(Clone, Copy)]
enum Scenario {
    /// The real binary between a client and a provider.
    Traffic(Traffic),
    /// This one as a host of the strategy alone.
    Decisions,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["check"] => check(),
        ["record"] => record(),
        [decisions::COMMAND, cache, number] => {
            decisions::make(Path::new(cache), number.parse()?).map(|()| ExitCode::SUCCESS)
        }
        _ => bail!("usage: guard check | guard record"),
    }
}

fn check() -> anyhow::Result<ExitCode> {
    let expected = Counts::read(&record_file())?;
    let counted = count()?;
    let problems = counted.compare(&expected);
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        say(&format!("guard: {problem}"));
    }
    say(&format!(
        "guard: `cg_annotate {}/SCENARIO.out` says where the instructions go, docs/performance.md how to compare with an \
         earlier build; when the change is meant, `make guard-record` and say why in the commit",
        folder()?.display()
    ));
    Ok(ExitCode::FAILURE)
}

fn record() -> anyhow::Result<ExitCode> {
    count()?.write(&record_file())?;
    say(&format!("guard: recorded in {}", record_file().display()));
    Ok(ExitCode::SUCCESS)
}

fn record_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.toml")
}

/// The folder for valgrind's files and the compiled strategies, beside the binaries.
fn folder() -> anyhow::Result<PathBuf> {
    Ok(binaries()?.join("guard-runs"))
}

fn binaries() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("a running program has a file")?;
    Ok(this.parent().context("a file lies in a folder")?.to_path_buf())
}

fn count() -> anyhow::Result<Counts> {
    let (binaries, folder) = (binaries()?, folder()?);
    let cache = folder.join("cache");
    std::fs::create_dir_all(&folder)?;
    let run = |scenario, out: &Path, times| match scenario {
        Scenario::Traffic(traffic) => {
            let config = folder.join("config.yaml");
            traffic::run(&binaries.join("pointsman"), &config, &cache, out, traffic, times)
        }
        Scenario::Decisions => decisions::run(&binaries.join("guard"), &cache, out, times),
    };
    // Compiles the strategy, as seen from within valgrind, whose processor is not quite this machine's.
    decisions::run(&binaries.join("guard"), &cache, &folder.join("warm-up.out"), 1)?;
    let mut counts = Counts::default();
    for (name, scenario, times) in SCENARIOS {
        let out = folder.join(format!("{name}.out"));
        let once = run(scenario, &out, times).with_context(|| format!("counting {name}"))?;
        let twice = run(scenario, &out, 2 * times).with_context(|| format!("counting {name}"))?;
        let repeated =
            twice.checked_sub(once).context("twice as many repetitions cost less: something else was counted")?;
        let each = repeated / u64::from(times);
        say(&format!("guard: {each} instructions per {name}"));
        counts.set(name, each);
    }
    Ok(counts)
}

/// Says it where whoever called `make` sees it.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
