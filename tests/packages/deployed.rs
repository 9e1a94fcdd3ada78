//! What is given to Kubernetes, systemd and compose: each is examined by their own code where that can be had here. No cluster
//! and no daemon is started.

use std::collections::BTreeSet;
use std::process::Command;

use harness::{binary, workspace};

use crate::{must, with_tools};

fn check(arguments: &[&str]) {
    let mut command = with_tools("python3");
    must(command.arg("tests/packages/check.py").args(arguments).current_dir(workspace()));
}

#[test]
fn the_chart_renders_what_kubernetes_and_the_program_accept() {
    check(&["chart", "packaging/helm/pointsman", binary().to_str().expect("a path of UTF-8")]);
}

#[test]
fn the_chart_refuses_values_that_cannot_be_right() {
    check(&["chart-refuses", "packaging/helm/pointsman"]);
}

#[test]
fn the_compose_file_is_one_and_what_it_mounts_is_there() {
    check(&["compose", "packaging/compose/compose.yaml"]);
}

/// The configuration of the compose file, with secrets in place.
#[test]
fn the_compose_files_configuration_is_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shipped = workspace().join("packaging/compose/pointsman/proxy_config.yaml");
    let text = std::fs::read_to_string(shipped).expect("it is there");
    for secret in ["openai", "admin", "valkey"] {
        std::fs::write(folder.path().join(secret), "sk-0123456789abcdef").expect("writable");
        assert!(text.contains(&format!("/run/secrets/{secret}")), "it uses the secret {secret}");
    }
    let text = text.replace("/run/secrets", folder.path().to_str().expect("a path of UTF-8"));
    let file = folder.path().join("proxy_config.yaml");
    std::fs::write(&file, text).expect("writable");
    must(Command::new(binary()).arg("check").arg(&file));
}

#[test]
fn prometheus_accepts_the_compose_files_configuration() {
    // Beside the rules and the key, as in the container.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shipped = workspace().join("packaging/compose/prometheus.yml");
    let text = std::fs::read_to_string(shipped).expect("it is there");
    let key = folder.path().join("admin");
    std::fs::write(&key, "key").expect("writable");
    let text = text.replace("/run/secrets/admin", key.to_str().expect("a path of UTF-8"));
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, text).expect("writable");
    std::fs::copy(workspace().join("docs/alerts.yaml"), folder.path().join("alerts.yaml")).expect("it is there");
    must(Command::new("promtool").args(["check", "config"]).arg(&file));
}

/// The unit, with the program at hand in the place of the one that is installed.
#[cfg(target_os = "linux")]
fn unit(folder: &std::path::Path) -> std::path::PathBuf {
    let text = std::fs::read_to_string(workspace().join("packaging/systemd/pointsman.service")).expect("it is there");
    let program = crate::program().to_str().expect("a path of UTF-8");
    let file = folder.join("pointsman.service");
    std::fs::write(&file, text.replace("/usr/local/bin/pointsman", program)).expect("writable");
    file
}

/// True where this machine has systemd's tools; where it has none, it has no use for a unit.
#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "nothing is left out without saying so")]
fn has_systemd() -> bool {
    let found = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("systemd-analyze is not on this machine, so the unit is examined by nothing but its text");
    }
    found
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_accepts_the_unit_and_calls_it_well_protected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = unit(folder.path());
    if !has_systemd() {
        return;
    }
    let verified = Command::new("systemd-analyze").arg("verify").arg(&file).output().expect("it was there");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // It also says what it thinks of other units of the machine.
    let about: Vec<&str> = said.lines().filter(|line| line.contains("pointsman")).collect();
    assert!(verified.status.success() && about.is_empty(), "{said}");
    // At most 2.0 of 10.
    must(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=20"]).arg(&file));
}

#[test]
fn the_unit_keeps_what_the_compiler_of_strategies_needs() {
    let text = std::fs::read_to_string(workspace().join("packaging/systemd/pointsman.service")).expect("it is there");
    let lines: BTreeSet<&str> = text.lines().collect();
    for line in [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "MemoryDenyWriteExecute=no",
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "SystemCallFilter=@system-service",
        "CacheDirectory=pointsman",
        "LoadCredential=keys:/etc/pointsman/keys",
        "Environment=POINTSMAN_CACHE=/var/cache/pointsman/compiled",
    ] {
        assert!(lines.contains(line), "{line}");
    }
    assert!(!text.contains("~@resources\n"), "the process that compiles bounds itself");
}
