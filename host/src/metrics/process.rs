//! The resources that the process uses, under the names that all Prometheus libraries use.
//!
//! They are read from `/proc` at the scrape; without it, only those that the system reports otherwise exist.

use prometheus::core::Collector;
use prometheus::{Counter, Gauge};
use rustix::process::{Resource, getrlimit};

use super::sound;

/// Fields of `/proc/self/stat` after the name of the program, by their numbers in proc_pid_stat(5).
struct Stat(Vec<u64>);

impl Stat {
    fn read() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name is in brackets and may contain anything.
        let (_, rest) = text.rsplit_once(')')?;
        Some(Self(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect()))
    }

    fn field(&self, number: usize) -> f64 {
        // The first field after the name is the third.
        self.0.get(number - 3).map_or(0.0, |value| *value as f64)
    }
}

/// Registers all of them.
pub(super) fn gather(register: &dyn Fn(Box<dyn Collector>)) {
    let gauge = |name: &str, help: &str, value: f64| {
        let gauge = sound(Gauge::new(name, help));
        gauge.set(value);
        register(Box::new(gauge));
    };
    let limit = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |limit| limit as f64);
    gauge("process_max_fds", "Maximum number of open file descriptors.", limit);
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the open folder itself.
        gauge("process_open_fds", "Number of open file descriptors.", open.count().saturating_sub(1) as f64);
    }
    let Some(stat) = Stat::read() else { return };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let seconds = sound(Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."));
    seconds.inc_by((stat.field(14) + stat.field(15)) / ticks);
    register(Box::new(seconds));
    gauge("process_threads", "Number of OS threads in the process.", stat.field(20));
    gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", stat.field(23));
    let page = rustix::param::page_size() as f64;
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", stat.field(24) * page);
    if let Some(booted) = booted() {
        let help = "Start time of the process since unix epoch in seconds.";
        gauge("process_start_time_seconds", help, booted + stat.field(22) / ticks);
    }
}

/// The time at which the machine was started, in seconds since 1970.
fn booted() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
