//! Children: started on their cores, and ended by their ids whatever happens.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::machine;

/// The pause between two checks of a child.
const GLANCE: Duration = Duration::from_millis(10);
/// The time that a child has to end by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// A child process, which is ended with all its descendants when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// The file for its stderr.
    log: PathBuf,
}

impl Process {
    /// Starts a server, whose log goes to a file in `folder`.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("log");
        command.stderr(File::create(&log)?);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The pipe of its standard output.
    pub fn stdout(&mut self) -> anyhow::Result<std::process::ChildStdout> {
        self.child.stdout.take().context("standard output was not piped, or taken before")
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready`, at most 20 s; an error when it ends before.
    pub fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !ready() {
            crate::check_stop()?;
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}; its log:\n{}", self.name, self.log_tail());
            }
            ensure!(begun.elapsed() < Duration::from_secs(20), "{} does not listen:\n{}", self.name, self.log_tail());
            // Short, as the time to the first connection is of interest to whoever waits.
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Found before it ends: afterwards its children are somebody else's.
        let tree = machine::tree(self.child.id());
        end(&mut self.child);
        for &pid in tree.iter().skip(1) {
            // Most have gone with their parent.
            signal(pid, Signal::KILL);
        }
    }
}

/// Asks a child to end, and kills it after a while.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    signal(child.id(), Signal::TERM);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(None) => sleep(GLANCE),
            _ => return,
        }
    }
    // An error means that it has just ended.
    let _ = child.kill();
    let _ = child.wait();
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // An error means that it has ended.
        let _ = kill_process(pid, signal);
    }
}

/// Runs a command that prints a few lines to its end, and returns what it printed.
pub fn output(mut command: Command) -> anyhow::Result<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let status = wait(&mut child)?;
    let (mut printed, mut said) = (String::new(), String::new());
    child.stdout.take().context("piped")?.read_to_string(&mut printed)?;
    child.stderr.take().context("piped")?.read_to_string(&mut said)?;
    ensure!(status.success(), "{}", said.trim());
    Ok(printed)
}

fn wait(child: &mut Child) -> anyhow::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Err(stop) = crate::check_stop() {
            end(child);
            return Err(stop);
        }
        sleep(GLANCE);
    }
}
