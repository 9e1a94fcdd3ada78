//! Measures the time from the start of the process to the line in its log that says it listens.

use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::time::Instant;

use crate::machine;
use crate::process::Process;
use crate::stats::Spread;
use crate::targets::{self, Form, Scene};

/// Starts of each kind.
const STARTS: usize = 7;

/// The measurements of starts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Startup {
    /// Milliseconds without compiled strategies on disk: the first start ever, of a program that may carry them.
    pub cold: Spread,
    /// Resident memory after such a start, MB: what the compiler used stays with the process.
    pub cold_rss_mb: Spread,
    /// Milliseconds with them.
    pub warm: Spread,
}

/// Starts Pointsman again and again, on all cores, as its users do.
pub fn measure(scene: &Scene) -> anyhow::Result<Startup> {
    let (mut cold, mut cold_rss, mut warm) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let cache = tempfile::tempdir_in(&scene.folder)?;
        let (took, rss) = start(scene, cache.path(), &[])?;
        cold.push(took);
        cold_rss.push(rss);
        warm.push(start(scene, cache.path(), &[])?.0);
    }
    // So that none of the rounds has to compile.
    start(scene, &scene.cache, &[])?;
    let spread = |values| Spread::of(values).context("no start");
    Ok(Startup { cold: spread(cold)?, cold_rss_mb: spread(cold_rss)?, warm: spread(warm)? })
}

/// Starts it once, with these variables: milliseconds until it listened, and MB that it then held.
pub fn start(scene: &Scene, cache: &Path, environment: &[(&str, &str)]) -> anyhow::Result<(f64, f64)> {
    let folder = tempfile::tempdir_in(&scene.folder)?;
    // Two workers, and both cores.
    let mut command = targets::pointsman(scene, Form::TwoWorkers, 0, folder.path())?;
    command.envs(environment.iter().copied());
    command.env("POINTSMAN_CACHE", cache).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let mut process = Process::start("pointsman", command, folder.path())?;
    let mut took = None;
    let log = folder.path().join("log");
    process.wait_until(|| {
        let listens = std::fs::read_to_string(&log).is_ok_and(|text| text.contains("listening"));
        took = listens.then(|| begun.elapsed());
        listens
    })?;
    // It must not be ended while it still starts: what it keeps on disk would be missing for the next.
    sleep(Duration::from_millis(50));
    let took = took.context("it listens")?.as_secs_f64() * 1e3;
    Ok((took, machine::mebibytes(machine::rss_kib(&machine::tree(process.id())))))
}
