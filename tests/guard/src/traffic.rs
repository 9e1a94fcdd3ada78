//! The real binary under valgrind, between a client and a provider that keep step: what it finds at each of its reads is
//! the same in every run.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::peers::{Client, Provider};
use crate::valgrind::{self, instructions};

/// The traffic through the proxy.
#[derive(Clone, Copy)]
pub enum Traffic {
    /// Chat requests of 1 KB, one after the other on one connection, where no keys are asked for.
    Requests,
    /// The same by a client that is known by its key.
    Known,
    /// The same by a client whose key is under four limits, one of each unit: of requests, of tokens, of money, which needs the
    /// prices of answers, and of requests at once.
    Limited,
    /// One stream, each event sent when the client has the one before.
    Events,
}

/// Requests before the counted ones: connections are made, buffers have grown.
const WARM_UP: u32 = 20;

/// Runs the proxy: the instructions of `times` requests or events, with those of its start.
pub fn run(
    pointsman: &Path,
    config: &Path,
    cache: &Path,
    out: &Path,
    traffic: Traffic,
    times: u32,
) -> anyhow::Result<u64> {
    let mut provider = Provider::start()?;
    std::fs::write(config, configuration(provider.address(), traffic))?;
    let mut command = valgrind::command(pointsman, out);
    command.args(["serve", "--port", "0", "--config"]).arg(config);
    command.env("POINTSMAN_CACHE", cache).env("TOKIO_WORKER_THREADS", "1");
    let mut proxy = Process::start(command)?;
    let mut client = Client::connect(proxy.address()?)?;
    for _ in 0..WARM_UP {
        client.ask()?;
    }
    match traffic {
        Traffic::Requests | Traffic::Known | Traffic::Limited => (0..times).try_for_each(|_| client.ask())?,
        Traffic::Events => client.follow(&mut provider, times)?,
    }
    drop(client);
    proxy.end()?;
    instructions(out)
}

/// Two providers at one address. No checks and no look at the files, which come by the clock; metrics and the log are
/// on, of which only errors are written. The ledger keeps as few stories as are there after a moment, because until it is
/// full every story takes new memory, which costs the first 10,000 requests of a server 2 % and the others nothing.
fn configuration(provider: SocketAddr, traffic: Traffic) -> String {
    let clients = match traffic {
        Traffic::Requests | Traffic::Events => "",
        Traffic::Known => KNOWN,
        Traffic::Limited => LIMITED,
    };
    let listed = [("a", 2), ("b", 1)]
        .map(|(name, weight)| {
            format!("  - {{name: {name}, base_url: 'http://{provider}/v1', api_key: sk-{name}, weight: {weight}}}\n")
        })
        .concat();
    format!(
        "server: {{watch: false}}\nrouting: {{strategy: weighted, health_check: {{enabled: false}}}}\n\
         monitoring: {{log_level: ERROR, ledger: {{stories: 64}}}}\n{clients}providers:\n{listed}"
    )
}

/// The key that the client shows.
const KNOWN: &str = "\
clients: {keys: [{name: client, key: sk-guard}]}
";

/// The same key under limits that are never reached.
const LIMITED: &str = "\
clients:
  keys:
    - {name: client, key: sk-guard, limits: {rpm: 100000, tpm: 100000000, parallel: 1000}, budget: {usd: 1000000, per: day}}
prices: {models: {gpt-4o-mini: {input: 0.15, output: 0.6}}}
";

/// The proxy; killed when dropped before its end.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        Ok(Self(command.stderr(Stdio::piped()).spawn().context("valgrind does not start")?))
    }

    /// The address in its log.
    fn address(&mut self) -> anyhow::Result<SocketAddr> {
        let stderr = self.0.stderr.take().context("asked for once")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = lines.next().transpose()? else { bail!("pointsman does not start: {said}") };
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.split_whitespace().next().unwrap_or_default().parse()?;
            }
            said.push_str(&line);
        };
        // What else it says is shown, as the pipe must not fill.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| crate::say(&line)));
        Ok(address)
    }

    /// Ends it as an operator would.
    fn end(&mut self) -> anyhow::Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status()?;
        let ended = self.0.wait()?;
        if !(told.success() && ended.success()) {
            bail!("pointsman has not ended well: {ended}");
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
