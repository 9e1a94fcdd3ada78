//! Data from the system: cores, CPU time, memory, and the load of other processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// CPU time, user and system, in ticks of the kernel (10 ms nearly everywhere): what `/proc` has for a process that
/// may have started and ended threads meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks(u64);

impl Ticks {
    /// Of one process, all its threads.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        Ok(Self(stat(pid)?.own))
    }

    /// Of some processes.
    pub fn of_all(pids: &[u32]) -> anyhow::Result<Self> {
        pids.iter().try_fold(Self(0), |sum, &pid| Ok(Self(sum.0 + stat(pid)?.own)))
    }

    /// Of this process and of its children that have ended.
    pub fn of_this() -> anyhow::Result<Self> {
        let stat = stat(std::process::id())?;
        Ok(Self(stat.own + stat.children))
    }

    /// Of everything that runs on `core`, from the kernel's own samples.
    pub fn of_core(core: usize) -> anyhow::Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let name = format!("cpu{core} ");
        let line = text.lines().find(|line| line.starts_with(&name)).context("the core in /proc/stat")?;
        let numbers: Vec<u64> = line.split_whitespace().skip(1).filter_map(|number| number.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; the guests' are in user already.
        Ok(Self([0, 1, 2, 5, 6, 7].iter().filter_map(|&column: &usize| numbers.get(column)).sum()))
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Microseconds since `earlier`.
    pub fn since(self, earlier: Self) -> f64 {
        let ticks = self.0.saturating_sub(earlier.0);
        let (ticks, per_second) = (ticks as f64, rustix::param::clock_ticks_per_second() as f64);
        ticks / per_second * 1e6
    }
}

struct Stat {
    parent: u32,
    own: u64,
    children: u64,
}

fn stat(pid: u32) -> anyhow::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    parse_stat(&text).with_context(|| format!("/proc/{pid}/stat is not as expected"))
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name in brackets may hold spaces and brackets. Counted from behind it: state is field 3 of proc(5).
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(4)?).ok()?,
        own: number(14)? + number(15)?,
        children: number(16)? + number(17)?,
    })
}

/// The process `root` and all that descend from it.
pub fn tree(root: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, stat(pid).ok()?.parent))).collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        tree.extend(all.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| pid));
        next += 1;
    }
    tree
}

/// Resident memory of some processes together; what they share is counted for each.
pub fn rss_kib(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum()
}

/// The number of times that all threads of some processes have gone to sleep so far: as often they were woken.
pub fn wakes(pids: &[u32]) -> u64 {
    let threads = pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten());
    let of = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    threads.filter_map(of).sum()
}

/// KiB as MB of 2^20 bytes.
pub fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// The assignment of cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The proxy.
    pub proxy: usize,
    /// Mock and load; the same as the proxy's where there is only one.
    pub load: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub fn find() -> anyhow::Result<Self> {
        let status = fs::read_to_string("/proc/self/status").context("/proc: this benchmark is for Linux")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let cores = parse_cores(list.context("Cpus_allowed_list")?.trim()).context("Cpus_allowed_list")?;
        let (&proxy, &load) = (cores.first().context("no core")?, cores.get(1).or(cores.first()).context("no core")?);
        Ok(Self { proxy, load })
    }

    /// True when there is only one core.
    pub fn shared(self) -> bool {
        self.proxy == self.load
    }
}

/// Reads `0-2,5`.
fn parse_cores(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}

/// A command that runs `program` on `cores` alone, with all its children and threads.
pub fn pinned(cores: &[usize], program: &Path) -> Command {
    let list: Vec<String> = cores.iter().map(ToString::to_string).collect();
    let mut command = Command::new("taskset");
    command.arg("-c").arg(list.join(",")).arg(program);
    command
}

/// Does fixed work and returns its CPU time in milliseconds, as a measure of the core's present speed.
pub fn calibrate() -> anyhow::Result<f64> {
    let before = thread_ms()?;
    let mut sum = 0_u64;
    for number in 0..20_000_000_u64 {
        sum = std::hint::black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(number));
    }
    Ok(thread_ms()? - before)
}

/// Milliseconds that this thread has been on a core.
fn thread_ms() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().context("an empty schedstat")?.parse()?;
    Ok(nanoseconds / 1e6)
}

/// The path of `program`, which may be in a folder that only root has in its `PATH`.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder: PathBuf| folder.join(program)).find(|file| file.is_file())
}

/// Raises the limit of descriptors of this process and its children to the system's maximum, and returns it.
pub fn raise_descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If the limit cannot be raised, the present one may still be enough.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The name of the processor and the number of cores.
pub fn describe() -> (String, usize) {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = name.map_or("unknown", |(_, name)| name).to_owned();
    (name, std::thread::available_parallelism().map_or(1, usize::from))
}

/// The version of the kernel.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "77 (a) b (c) S 5 77 77 0 -1 4194304 100 0 0 0 250 50 7 3 20 0 4 0 900 1000 200";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.parent, stat.own, stat.children), (5, 300, 10));
    }

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(parse_cores("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_cores("3"), Some(vec![3]));
        assert_eq!(parse_cores("all"), None);
    }

    #[test]
    fn a_child_belongs_to_the_tree_and_uses_memory() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let tree = tree(std::process::id());
        assert!(tree.contains(&child.id()));
        assert!(rss_kib(&tree) > 100);
        assert!(Ticks::of_all(&tree).is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Ticks::of(child.id()).is_err(), "it is gone");
    }
}
