//! Programs that tests run beside cargo: `tests/tools` puts below `target/` what the machine lacks, and whatever a package
//! manager caches stays there too.

use std::fs::File;
use std::process::Command;

use crate::{target, workspace};

/// Has a part of what `tests/tools` knows where [`tool`] finds it.
///
/// # Panics
///
/// When it is neither there nor to be had; the message says what would help.
pub fn fetch(part: &str) {
    alone("tools", || {
        let script = workspace().join("tests/tools");
        let got = Command::new("sh").arg(script).arg("get").arg(target().join("tools")).arg(part).output();
        let got = got.expect("there is a shell");
        assert!(got.status.success(), "tests/tools cannot get {part}:\n{}", String::from_utf8_lossy(&got.stderr));
    });
}

/// A command that finds on its `PATH` what has been fetched.
///
/// # Panics
///
/// When the `PATH` that it adds to is none.
pub fn tool(program: &str) -> Command {
    let tools = target().join("tools");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools.join("bin")).chain(std::env::split_paths(&path));
    let mut command = Command::new(program);
    command.env("PATH", std::env::join_paths(folders).expect("taken from a PATH"));
    command.env("npm_config_cache", tools.join("cache/npm")).env("npm_config_prefer_offline", "true");
    command.env("PIP_CACHE_DIR", tools.join("cache/pip"));
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
    command
}

/// Runs `install` while no other test does one of this name, in whichever process.
///
/// # Panics
///
/// When `target/` is not writable.
pub fn alone<T>(name: &str, install: impl FnOnce() -> T) -> T {
    let lock = File::create(target().join(format!("{name}.lock"))).expect("target/ is writable");
    lock.lock().expect("a file of ours can be locked");
    install()
}
