//! The resources of the proxy's process: memory, descriptors, threads.

use std::fmt;

#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    /// Resident memory in KiB.
    pub rss: u64,
    pub descriptors: usize,
    pub threads: u64,
}

impl Vitals {
    /// Of the process `pid`.
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Self { rss: number("VmRSS:"), descriptors, threads: number("Threads:") }
    }

    /// The larger of each.
    pub fn max(self, other: Self) -> Self {
        Self {
            rss: self.rss.max(other.rss),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }
}

impl fmt::Display for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB resident, {} descriptors, {} threads", self.rss, self.descriptors, self.threads)
    }
}
