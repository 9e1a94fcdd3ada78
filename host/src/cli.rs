//! The command line: arguments and environment in, exit code out.
//!
//! Commands for authors are in `cli/strategy.rs` and `cli/approach.rs`; the rest is here.
//!
//! Exit codes: 0 done, 1 could not run (an address in use), 2 the arguments or the configuration are wrong.

mod approach;
mod events;
mod figures;
mod import;
mod init;
mod key;
mod precompile;
mod prices;
mod probe;
mod project;
mod replicas;
mod report;
mod scenario;
mod settings;
mod shell;
mod signals;
mod simulate;
mod strategy;
mod summary;
mod top;
mod why;

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::app::{self, App};
use crate::config::{self, Config, environment};
use crate::notify::Notifier;
use crate::proxy::approach::{Approaches, load as load_approaches};
use crate::proxy::request::Approach;
use crate::{demo, telemetry};
use signals::{Others, Signals};

/// The exit code for wrong arguments or a wrong configuration, which is also clap's.
const WRONG: u8 = 2;
/// The longest time that the program waits at its end for the last lines of the log to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// OpenAI-compatible LLM proxy whose routing strategies are sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy.
    Serve(Serve),
    /// Check a configuration and its strategy, and list all problems.
    Check(ConfigFile),
    /// Write a first configuration: asks for the provider, or takes flags.
    Init(init::Init),
    /// Show the configuration in force, and where each value comes from.
    #[command(subcommand)]
    Config(settings::Command),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Simulate a scenario with one strategy or several, on a virtual clock and without providers.
    Simulate(simulate::Simulate),
    /// Make a scenario of the traffic that a ledger holds.
    #[command(subcommand)]
    Scenario(scenario::Command),
    /// Try the proxy without an account or a network: with embedded providers, one slow, one that fails now and then.
    Demo(DemoPort),
    /// Translate the configuration of another proxy.
    #[command(subcommand)]
    Import(import::Command),
    /// Show which prices apply, and turn files of prices into YAML.
    #[command(subcommand)]
    Prices(prices::Command),
    /// Make, check and manage keys of clients: new, hash, check, list, create, block, unblock, rotate, delete.
    #[command(subcommand)]
    Key(key::Command),
    /// Tell the course of one request: who was offered, what the strategy decided, what was tried, how it ended.
    Why(why::Why),
    /// Add requests up by client, model or whatever else: how many, how many failed, how fast, what they cost.
    Report(figures::Figures),
    /// List what has happened: reloads and what they changed, ejections, rate limits, faults, outages.
    Events(events::Events),
    /// List the replicas that share an engine, and what differs among them: exit code 1 if anything does.
    Replicas(replicas::Replicas),
    /// Watch a running server in the terminal: providers, routes, strategies, clients, requests.
    Top(top::Top),
    /// Ask a running server whether it is ready: exit code 0 or 1, for health checks of containers.
    Probe(probe::Probe),
    /// Write, examine and test strategies: new, check, inspect, test, replay, diff.
    #[command(subcommand)]
    Strategy(strategy::Command),
    /// Write, examine and test approaches: list, new, check, inspect, test, run, cost, eval, replay.
    #[command(subcommand)]
    Approach(approach::Command),
    /// Print the completions of this command line for a shell.
    Completions(shell::Completions),
    /// Print the manual page, or write the pages of all commands.
    Man(shell::Man),
    /// Print the version, and whether the program carries the compiled code of its components.
    Version,
    /// Compile the components in the program, and append their code to it, so that it starts without compiling.
    #[command(hide = true)]
    Precompile(precompile::Precompile),
    /// Compile a component; the proxy itself starts this as a process of its own.
    #[command(hide = true)]
    CompileComponent(crate::wasm::Compile),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration [default: $POINTSMAN_CONFIG, else ./proxy_config.yaml, else ~/.optillm/proxy_config.yaml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The same as --config FILE.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
}

impl ConfigFile {
    fn path(&self) -> Option<&Path> {
        self.config.as_deref().or(self.file.as_deref())
    }
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// Address or host name to listen on; overrides server.host [default: 127.0.0.1].
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on, 0 for any; overrides server.port [default: 8000].
    #[arg(long)]
    port: Option<u16>,
    /// Approach for requests that name none, such as bon, moa or re2&bon; overrides approach.default [default: proxy, which
    /// passes a request on as it is].
    #[arg(long)]
    approach: Option<String>,
}

#[derive(Debug, Args)]
struct DemoPort {
    /// Address to listen on, such as 0.0.0.0 in a container.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on, 0 for any [default: 8000, or any when that is taken].
    #[arg(long)]
    port: Option<u16>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(serve) => run_serve(&serve),
        Command::Check(file) => run_check(&file),
        Command::Init(arguments) => init::run(&arguments),
        Command::Config(command) => settings::run(&command),
        Command::Schema => {
            report::say_json(&config::json_schema());
            ExitCode::SUCCESS
        }
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Scenario(command) => scenario::run(&command),
        Command::Demo(DemoPort { host, port }) => run_demo(host, port),
        Command::Import(command) => import::run(&command),
        Command::Prices(command) => prices::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Why(arguments) => why::run(&arguments),
        Command::Report(arguments) => figures::run(&arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::Replicas(arguments) => replicas::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Strategy(command) => strategy::run(&command),
        Command::Approach(command) => approach::run(&command),
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => shell::man(&arguments),
        Command::Version => precompile::version(),
        Command::Precompile(arguments) => precompile::run(&arguments),
        Command::CompileComponent(wanted) => crate::wasm::compile(&wanted),
    }
}

fn run_serve(serve: &Serve) -> ExitCode {
    let approach = match serve.approach.as_deref().map(str::parse::<Approach>).transpose() {
        Ok(approach) => approach,
        Err(error) => return wrong(&format!("--approach: {error}")),
    };
    let named = serve.approach.clone();
    let file = match find(serve.file.path()) {
        Ok(file) => file,
        Err(problem) => return wrong(&problem),
    };
    let (host, port) = (serve.host.clone(), serve.port);
    let host = match host.as_deref().map(config::listening_host).transpose() {
        Ok(host) => host.map(str::to_owned),
        Err((problem, help)) => {
            let help = help.map(|help| format!("; {help}")).unwrap_or_default();
            return wrong(&format!("--host: {problem}{help}"));
        }
    };
    let source: app::Source = Arc::new(move || {
        let mut config = config::load(&file, &environment, crate::strategy::builtins())?;
        settings::set_over(&mut config, host.as_deref(), port, named.as_deref());
        Ok(config)
    });
    let config = match source() {
        Ok(config) => config,
        Err(problems) => return wrong(&problems.to_string()),
    };
    if let Some(approach) = &approach
        && let Err(error) = Approaches::new(&config, None).menu.check(approach)
    {
        return wrong(&format!("--approach: {error}"));
    }
    let logs = start_logs(&config);
    use_cache();
    run(async move {
        // Set up before anything slow, so that no signal is missed.
        let (mut signals, others) = (Signals::new()?, Others::new()?);
        let notifier = Notifier::to(environment("NOTIFY_SOCKET").as_deref());
        let options = app::Options { source: Some(source), logs, notifier, key_store: None };
        let bound = tokio::select! {
            biased;
            // A component may take a minute to compile. Nothing has started yet that needs a clean end.
            () = signals.next() => {
                tracing::info!("the server received a signal while it was starting, and ends at once");
                return Ok(ExitCode::SUCCESS);
            }
            bound = App::bind_with(config, options) => bound,
        };
        let app = match bound {
            Ok(app) => app,
            Err(error) if error.is::<config::LoadError>() => return Ok(wrong(&error.to_string())),
            Err(error) => return Err(error),
        };
        let reloads = app.reloads();
        tokio::select! {
            ended = app.run(signals.first()) => ended?,
            () = others.obey(reloads) => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn run_check(file: &ConfigFile) -> ExitCode {
    let config = match load(file.path()) {
        Ok(config) => config,
        Err(problems) => return wrong(&problems),
    };
    use_cache();
    let strategies = app::strategies(&config, &[]);
    let advice = strategies.as_ref().map(|live| app::advice(&config, live)).unwrap_or_default();
    let approaches = load_approaches(&config, None);
    let parts =
        [strategies.err(), approaches.err(), app::load_tls(&config).err(), app::check_descriptors(&config).err()];
    let problems: Vec<_> = parts.into_iter().flatten().map(|problem| problem.to_string()).collect();
    if !problems.is_empty() {
        return wrong(&problems.join("\n"));
    }
    for warning in config.warnings.iter().chain(&advice) {
        say_error(&format!("warning: {warning}"));
    }
    say(&summary::summary(&config));
    ExitCode::SUCCESS
}

fn run_demo(host: IpAddr, port: Option<u16>) -> ExitCode {
    start_logs_for_demo();
    use_cache();
    run(async move {
        let signals = Signals::new()?;
        // Boxed, because it holds whole configurations.
        let demo = Box::pin(demo::Demo::bind(host, port)).await?;
        say(&demo.introduction());
        demo.run(signals.first()).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Finds the configuration; the error is the text for stderr.
fn find(explicit: Option<&Path>) -> Result<PathBuf, String> {
    let home = environment("HOME").map(PathBuf::from);
    config::find(explicit, &environment, Path::new(""), home.as_deref()).map_err(|error| error.to_string())
}

/// Finds and loads the configuration; the error is the text for stderr.
fn load(explicit: Option<&Path>) -> Result<Config, String> {
    let file = find(explicit)?;
    config::load(&file, &environment, crate::strategy::builtins()).map_err(|error| error.to_string())
}

/// The running program.
fn program() -> Option<PathBuf> {
    // This names it even if its file has been replaced since.
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Some(running) } else { std::env::current_exe().ok() }
}

/// Lets strategies be compiled by processes of their own, and those in the program be taken from what it carries.
fn use_compiler() {
    if let Some(program) = program() {
        crate::wasm::carried_by(program.clone());
        crate::wasm::compile_with(program);
    }
}

/// Lets strategies be compiled by processes of their own, and caches them on disk if the environment names a folder.
fn use_cache() {
    use_compiler();
    if let Some(folder) = crate::wasm::cache_folder(&environment) {
        crate::wasm::use_cache(&folder);
        crate::images::use_store(&folder);
    }
}

fn start_logs(config: &Config) -> telemetry::Handle {
    let overrides =
        telemetry::Overrides { rust_log: environment("RUST_LOG"), optillm_log_level: environment("OPTILLM_LOG_LEVEL") };
    telemetry::start(&config.monitoring, overrides)
}

fn start_logs_for_demo() {
    let monitoring = config::Monitoring {
        log_level: config::LogLevel::Info,
        log_format: config::LogFormat::Text,
        track_latency: true,
        track_errors: true,
        interval: Duration::from_secs(60),
        explain: false,
        usage: config::StreamUsage::Auto,
        record: None,
        ledger: config::Ledger::default(),
        labels: Vec::new(),
    };
    let overrides = telemetry::Overrides { rust_log: environment("RUST_LOG"), optillm_log_level: None };
    telemetry::start(&monitoring, overrides);
}

/// The time after which an idle thread for blocking work ends. What works once a second takes the threads in turn, so with
/// the 10 s that Tokio waits, it would keep up to ten of them for good after a burst; with this it keeps one.
const IDLE_THREAD: Duration = Duration::from_millis(1500);

/// Runs the server's future to completion on a runtime of its own.
fn run(server: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_keep_alive(IDLE_THREAD).build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(server);
        // Tasks that a drain has given up must not delay the exit.
        runtime.shutdown_background();
        outcome
    });
    let code = outcome.unwrap_or_else(|error| {
        say_error(&format!("pointsman: {error:#}"));
        ExitCode::FAILURE
    });
    telemetry::flush(LAST_LINES);
    code
}

fn wrong(text: &str) -> ExitCode {
    say_error(text);
    ExitCode::from(WRONG)
}

/// Writes a line to standard output; a closed pipe must not cause a panic.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn say_error(text: &str) {
    telemetry::say(text);
}

#[cfg(test)]
mod tests;
