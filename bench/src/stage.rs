//! What a run stands on: a folder, a certificate and the mock.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::machine::{self, Cores};
use crate::mock::Addresses;
use crate::process::Process;
use crate::targets::Scene;
use crate::tls;

/// The stage of a run; the mock ends with it.
#[derive(Debug)]
pub struct Stage {
    /// The environment of all targets.
    pub scene: Scene,
    _mock: Process,
    _folder: TempDir,
}

impl Stage {
    /// Makes the certificate and starts the mock, for this program to measure.
    pub fn set(pointsman: &Path, cores: Cores) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("pointsman-bench").tempdir()?;
        let certificate = tls::Files::make(folder.path())?;
        let (mock, providers) = start_mock(cores, folder.path())?;
        let scene = Scene {
            cache: folder.path().join("cache"),
            folder: folder.path().to_owned(),
            pointsman: pointsman.to_owned(),
            cores,
            providers,
            mock: mock.id(),
            certificate,
        };
        std::fs::create_dir(&scene.cache)?;
        Ok(Self { scene, _mock: mock, _folder: folder })
    }
}

fn start_mock(cores: Cores, folder: &Path) -> anyhow::Result<(Process, Addresses)> {
    let mut command = machine::pinned(&[cores.load], &this_program()?);
    command.arg("mock").arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut mock = Process::start("the mock", command, folder)?;
    let mut line = String::new();
    BufReader::new(mock.stdout()?).read_line(&mut line)?;
    let addresses = serde_json::from_str(&line).with_context(|| format!("the mock: {}", mock.log_tail()))?;
    Ok((mock, addresses))
}

/// The file of this program, which is in all its roles.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("where this program is")
}
