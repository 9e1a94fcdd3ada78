//! Components are compiled by a process of their own: what it may take, and what comes of one that takes more.

use std::path::{Path, PathBuf};

use harness::{Process, build_component, workspace};
use tempfile::TempDir;

use super::{check, run, write};

/// Unsigned LEB128.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &number(content.len()), content].concat()
}

/// A component around a module of so many functions.
pub(super) fn of_functions(count: usize) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, &[1, 0x60, 0, 0]));
    module.extend(section(3, &[number(count), vec![0; count]].concat()));
    // Of each: its length, no locals, a constant that is dropped, its end.
    module.extend(section(10, &[number(count), [5, 0, 0x41, 1, 0x1a, 0x0b].repeat(count)].concat()));
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

/// A configuration with a strategy of this file, and limits.
fn configured(folder: &Path, component: &Path, limits: &str) -> PathBuf {
    let file = folder.join("proxy_config.yaml");
    write(
        &file,
        &format!(
            "providers:\n  - {{name: a, base_url: 'http://127.0.0.1:9/v1', api_key: k}}\nrouting: {{strategy: own}}\n\
             strategies:\n  limits: {limits}\n  own: {{path: '{}'}}\n",
            component.display()
        ),
    );
    file
}

#[test]
fn a_component_that_takes_more_than_it_may_is_refused_with_what_it_takes() {
    let folder = TempDir::new().expect("a folder");
    let large = folder.path().join("large.wasm");
    std::fs::write(&large, of_functions(400_000)).expect("writable");
    for (limits, words) in [
        ("{compile_timeout: 0.05}", "takes longer than 0.05 s to compile"),
        ("{compile_memory: 67108864}", "takes more than 64 MiB of memory to compile"),
        ("{max_bytes: 1048576}", "is larger than 1 MiB, the limit set by `strategies.limits.max_bytes`"),
    ] {
        let config = configured(folder.path(), &large, limits);
        let mut command = check(&config);
        command.env("POINTSMAN_CACHE", "off");
        let (code, _, stderr) = run(command);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("proxy_config.yaml:3: routing.strategy") && stderr.contains(words), "{stderr}");
    }
}

#[test]
fn a_component_is_compiled_without_a_cache_and_without_the_environment() {
    let folder = TempDir::new().expect("a folder");
    let misbehave = build_component(&workspace().join("tests/fixtures/components/misbehave"), "fixtures");
    let config = configured(folder.path(), &misbehave, "{}");
    let mut command = check(&config);
    command.env("POINTSMAN_CACHE", "off");
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let nothing = run(Process::command(&["compile-component", "--memory=1073741824", "--seconds=60", "--bytes=1000"]));
    assert_eq!(nothing.0, Some(3), "nothing is no component: {}", nothing.2);
}

#[test]
fn limits_is_no_name_for_a_strategy() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("proxy_config.yaml");
    write(
        &file,
        "providers:\n  - {name: a, base_url: 'http://a/v1', api_key: k}\nstrategies:\n  limits: {path: x.wasm}\n",
    );
    let (code, _, stderr) = run(check(&file));
    assert!(
        code == Some(2) && stderr.contains("strategies.limits: is reserved and cannot name a strategy"),
        "{stderr}"
    );
}

/// `ulimit -v` is common on shared machines; there a memory of 4 GiB cannot be reserved.
#[cfg(target_os = "linux")]
#[test]
fn strategies_run_where_address_space_is_limited() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("proxy_config.yaml");
    write(&file, "providers:\n  - {name: a, base_url: 'http://a/v1', api_key: k}\n");
    let checked = check(&file);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -v 3000000; exec \"$0\" \"$@\""]).arg(checked.get_program()).args(checked.get_args());
    limited.env("POINTSMAN_CACHE", "off").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let (code, stdout, stderr) = run(limited);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}
