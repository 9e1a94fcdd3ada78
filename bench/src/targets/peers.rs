//! Gateways for language models beside Pointsman, where they are installed. They are slower by an order of magnitude or two, and write
//! answers anew, so that only requests of 1 KB are measured, and what they answer is not compared.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Scene, write};
use crate::machine::{self, find_program};

/// A gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// LiteLLM's proxy, of PyPI.
    Litellm,
    /// Portkey's gateway, of npm.
    Portkey,
    /// SGLang's router, of PyPI.
    Sglang,
}

/// All of them.
pub const PEERS: [Peer; 3] = [Peer::Litellm, Peer::Portkey, Peer::Sglang];

impl Peer {
    /// Its name in tables and in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Litellm => "litellm",
            Self::Portkey => "portkey",
            Self::Sglang => "sglang-router",
        }
    }

    /// Its command in `PATH`, and the variable that may name another file.
    const fn command_and_variable(self) -> (&'static str, &'static str) {
        match self {
            Self::Litellm => ("litellm", "BENCH_LITELLM"),
            Self::Portkey => ("gateway", "BENCH_PORTKEY"),
            Self::Sglang => ("sglang-router", "BENCH_SGLANG_ROUTER"),
        }
    }

    /// Its program, or how to get it.
    pub fn program(self) -> Result<PathBuf, String> {
        let (command, variable) = self.command_and_variable();
        let named = std::env::var_os(variable).map(PathBuf::from);
        if let Some(named) = named.as_ref().filter(|named| !named.is_file()) {
            return Err(format!("{} was left out: {variable} is {}, which is no file", self.name(), named.display()));
        }
        let package = match self {
            Self::Litellm => "PyPI's litellm[proxy]",
            Self::Portkey => "npm's @portkey-ai/gateway",
            Self::Sglang => "PyPI's sglang-router",
        };
        named.or_else(|| find_program(command)).ok_or_else(|| {
            format!(
                "{} was left out: it is not installed ({package} has it; {variable} may name its {command})",
                self.name()
            )
        })
    }

    /// The headers that its requests must have beside those that all have.
    pub fn fields(self, scene: &Scene) -> String {
        match self {
            Self::Litellm | Self::Sglang => String::new(),
            Self::Portkey => {
                let target = |name: &str, at: std::net::SocketAddr, weight: f64| {
                    format!(
                        r#"{{"provider":"openai","api_key":"sk-of-{name}","custom_host":"http://{at}/v1","weight":{weight}}}"#
                    )
                };
                let (a, b) = (target("a", scene.providers.a, 0.667), target("b", scene.providers.b, 0.333));
                format!("x-portkey-config: {{\"strategy\":{{\"mode\":\"loadbalance\"}},\"targets\":[{a},{b}]}}\r\n")
            }
        }
    }

    /// The command that runs it.
    pub fn start(self, scene: &Scene, port: u16, folder: &Path) -> anyhow::Result<Command> {
        let program = self.program().map_err(anyhow::Error::msg)?;
        let mut command = machine::pinned(&[scene.cores.proxy], &program);
        let port_text = port.to_string();
        match self {
            Self::Litellm => {
                let template = include_str!("../../templates/litellm.yaml");
                let config = write(&folder.join("litellm.yaml"), template, scene, port)?;
                command.args(["--host", "127.0.0.1", "--num_workers", "1", "--port", &port_text, "--config"]);
                command.arg(config).args(["--telemetry", "False"]).env("LITELLM_LOG", "ERROR");
                // Pointsman asks for no key in this configuration either.
                command.env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true");
                // Without this it asks the network for a list of prices.
                command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
            }
            Self::Portkey => {
                command.arg("--headless").arg(format!("--port={port_text}"));
                // Hosts of this machine are refused otherwise.
                command.env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost").env("NODE_ENV", "production");
            }
            Self::Sglang => {
                let (a, b) = (format!("http://{}", scene.providers.a), format!("http://{}", scene.providers.b));
                command.args(["launch", "--host", "127.0.0.1", "--port", &port_text, "--policy", "round_robin"]);
                command.args(["--log-level", "error", "--prometheus-port"]);
                command.arg(super::free_port().context("a second port")?.to_string());
                command.args(["--worker-urls", &a, &b]);
            }
        }
        Ok(command)
    }
}
