//! The targets: Pointsman and its peers, each configured for the same work.
//!
//! Two providers, 2:1, connections kept alive on both sides, nothing buffered on the way back, no access log, one
//! worker. The configurations are files in `bench/templates`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

mod form;
mod peers;

use crate::machine::{self, Cores};
use crate::mock::Addresses;
use crate::process::Process;
use crate::tls;
pub use form::{Form, OTHER_FORMS};
pub use peers::{PEERS, Peer};

/// The variable with Pointsman's number of workers.
const WORKERS: &str = "TOKIO_WORKER_THREADS";

/// A program to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The mock itself without a proxy, to show the cost of the benchmark.
    Direct,
    /// Pointsman in one of its forms.
    Pointsman(Form),
    /// nginx, of the Debian package.
    Nginx,
    /// haproxy, of the Debian package.
    Haproxy,
    /// envoy, where there is one.
    Envoy,
    /// Another gateway, where there is one.
    Peer(Peer),
}

impl Target {
    /// Its name in tables and in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Pointsman(form) => form.name(),
            Self::Peer(peer) => peer.name(),
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    /// False for what is measured only at requests of 1 KB.
    pub const fn takes_all(self) -> bool {
        !matches!(self, Self::Peer(_))
    }

    /// Further lines in the head of a request to it.
    pub fn fields(self, scene: &Scene) -> String {
        match self {
            Self::Peer(peer) => peer.fields(scene),
            _ => String::new(),
        }
    }

    /// The certificate of a target that speaks TLS.
    pub fn certificate(self, scene: &Scene) -> Option<PathBuf> {
        (self == Self::Pointsman(Form::ClientTls)).then(|| scene.certificate.certificate.clone())
    }

    /// The share of requests that the first provider must have got, if that can be said.
    pub fn share_of_first(self) -> Option<f64> {
        match self {
            Self::Direct => Some(1.0),
            // The gateways choose in ways of their own, and most do not say who has answered.
            Self::Pointsman(Form::ManyProviders) | Self::Peer(_) => None,
            _ => Some(2.0 / 3.0),
        }
    }
}

/// The environment of all targets.
#[derive(Debug)]
pub struct Scene {
    /// For configurations and logs.
    pub folder: PathBuf,
    /// The program under test.
    pub pointsman: PathBuf,
    /// Compiled strategies.
    pub cache: PathBuf,
    /// The assignment of cores.
    pub cores: Cores,
    /// The providers.
    pub providers: Addresses,
    /// The mock's process.
    pub mock: u32,
    /// The certificate of the mock, and of Pointsman where it speaks TLS.
    pub certificate: tls::Files,
}

/// A target that listens.
#[derive(Debug)]
pub struct Running {
    /// Its address.
    pub address: SocketAddr,
    /// `None` for the mock, which is there all the time.
    process: Option<Process>,
}

impl Running {
    /// Its processes just now: nginx listens before it has its worker.
    pub fn pids(&self, scene: &Scene) -> Vec<u32> {
        self.process.as_ref().map_or(vec![scene.mock], |process| machine::tree(process.id()))
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.process.as_ref().map_or(String::new(), Process::log_tail)
    }
}

/// Starts a target and waits until it listens.
pub fn start(target: Target, scene: &Scene) -> anyhow::Result<Running> {
    let port = free_port()?;
    let folder = tempfile::Builder::new().prefix("target").tempdir_in(&scene.folder)?.keep();
    let cores = [scene.cores.proxy];
    let command = match target {
        Target::Direct => {
            return Ok(Running { address: scene.providers.a, process: None });
        }
        Target::Pointsman(form) => pointsman(scene, form, port, &folder)?,
        Target::Nginx => {
            let config = write(&folder.join("nginx.conf"), include_str!("../templates/nginx.conf"), scene, port)?;
            let mut command = machine::pinned(&cores, &installed("nginx")?);
            // Before it has read where its log goes it would use that of the system.
            command.args(["-e", "stderr", "-p"]).arg(&folder).arg("-c").arg(config);
            command
        }
        Target::Haproxy => {
            let config = write(&folder.join("haproxy.cfg"), include_str!("../templates/haproxy.cfg"), scene, port)?;
            let mut command = machine::pinned(&cores, &installed("haproxy")?);
            command.args(["-db", "-f"]).arg(config);
            command
        }
        Target::Envoy => {
            let config = write(&folder.join("envoy.yaml"), include_str!("../templates/envoy.yaml"), scene, port)?;
            let mut command = machine::pinned(&cores, &installed("envoy")?);
            command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c"]).arg(config);
            command
        }
        Target::Peer(peer) => peer.start(scene, port, &folder)?,
    };
    let mut command = command;
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = Process::start(target.name(), command, &folder)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    process.wait_until(|| TcpStream::connect(address).is_ok())?;
    Ok(Running { address, process: Some(process) })
}

/// The command that runs Pointsman in a form.
pub fn pointsman(scene: &Scene, form: Form, port: u16, folder: &Path) -> anyhow::Result<Command> {
    let file = folder.join("pointsman.yaml");
    fs::write(&file, form.configuration(scene, port))?;
    let Cores { proxy, load } = scene.cores;
    let (cores, workers) = if form == Form::TwoWorkers { (vec![proxy, load], "2") } else { (vec![proxy], "1") };
    let mut command = machine::pinned(&cores, &scene.pointsman);
    command.arg("serve").arg("--config").arg(file).env("POINTSMAN_CACHE", &scene.cache).env(WORKERS, workers);
    command.env_remove("RUST_LOG").env_remove("OPTILLM_LOG_LEVEL");
    Ok(command)
}

/// Writes a configuration from its template.
fn write(file: &Path, template: &str, scene: &Scene, port: u16) -> anyhow::Result<PathBuf> {
    let Addresses { a, b, .. } = scene.providers;
    let folder = file.parent().context("a file in a folder")?.display().to_string();
    let values = [
        ("folder", folder),
        ("port", port.to_string()),
        ("backlog", crate::BACKLOG.to_string()),
        ("a", a.to_string()),
        ("b", b.to_string()),
        ("a_ip", a.ip().to_string()),
        ("b_ip", b.ip().to_string()),
        ("a_port", a.port().to_string()),
        ("b_port", b.port().to_string()),
    ];
    let text =
        values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value));
    fs::write(file, text)?;
    Ok(file.to_owned())
}

fn installed(program: &str) -> anyhow::Result<PathBuf> {
    machine::find_program(program).with_context(|| format!("{program} is missing"))
}

/// A port that is free just now; what takes it before the target does makes the run fail.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The version that a program prints, in one line.
pub fn version(program: &Path, argument: &str) -> String {
    let said = Command::new(program).arg(argument).output();
    let Ok(said) = said else { return "unknown".to_owned() };
    // nginx says it on stderr.
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown").trim();
    // envoy begins with its own path.
    line.trim_start_matches(&*program.to_string_lossy()).trim().to_owned()
}
