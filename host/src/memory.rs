//! The memory that this process may use: the machine's, or less if its cgroup has a limit.

use std::path::Path;

/// The memory that is assumed when the system does not report any, in bytes.
const ASSUMED: u64 = 4 << 30;
/// The least memory for bodies, in bytes: two bodies of the default largest size.
const LEAST: u64 = 64 << 20;

/// A quarter of the memory, in bytes: the default limit for all bodies together.
pub fn quarter() -> usize {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let all = [machine(&read), cgroup(&read)].into_iter().flatten().min().unwrap_or(ASSUMED);
    usize::try_from((all / 4).max(LEAST)).unwrap_or(usize::MAX)
}

type Files<'a> = dyn Fn(&Path) -> Option<String> + 'a;

/// proc_meminfo(5).
fn machine(read: &Files<'_>) -> Option<u64> {
    let text = read(Path::new("/proc/meminfo"))?;
    let kib: u64 =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1 << 10)
}

/// The smallest limit of the process's cgroup and its ancestors (see the kernel's cgroup-v2 documentation). In the
/// older hierarchy, a container has one file for it.
fn cgroup(read: &Files<'_>) -> Option<u64> {
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_owned();
    let root = Path::new("/sys/fs/cgroup");
    let folder = root.join(own);
    let newer =
        folder.ancestors().take_while(|folder| folder.starts_with(root)).map(|folder| folder.join("memory.max"));
    let older = std::iter::once(root.join("memory/memory.limit_in_bytes"));
    newer.chain(older).filter_map(|file| read(&file)?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_limit_counts() {
        let files = |path: &Path| {
            let text = match path.to_str()? {
                "/proc/meminfo" => "MemTotal:        8000000 kB\nMemFree: 1 kB\n",
                "/proc/self/cgroup" => "0::/pod/proxy\n",
                "/sys/fs/cgroup/pod/proxy/memory.max" => "max\n",
                "/sys/fs/cgroup/pod/memory.max" => "536870912\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(machine(&files), Some(8_192_000_000));
        assert_eq!(cgroup(&files), Some(512 << 20));
        assert_eq!(cgroup(&|_: &Path| None), None);
        assert!(quarter() >= 64 << 20);
    }
}
