//! The wheel, the npm package and the archive, each installed from its file into a clean folder, without a network.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Process, eventually, fetch, tool, workspace};
use serde_json::Value;

use crate::{folder, must, only, pack, serves_a_newcomer, with_tools};

/// Without what a developer's shell has set, such as another Python's path.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command.env("POINTSMAN_CACHE", folder().join("cache"));
    command
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

#[tokio::test]
async fn a_wheel_brings_the_program_and_a_module() {
    fetch("venv");
    fetch("maturin");
    let made = pack("wheel", &[]);
    let wheel = only(made.path());
    let environment = tempfile::tempdir().expect("a temporary folder");
    must(tool("python3").args(["-m", "venv"]).arg(environment.path()));
    let python = environment.path().join("bin/python");
    must(tool(path(&python)).args(["-m", "pip", "install", "--quiet", "--no-index", "--no-cache-dir"]).arg(&wheel));

    let script = environment.path().join("bin/pointsman");
    let by_script = |arguments: &[&str]| {
        let mut command = clean(&script);
        command.args(arguments);
        command
    };
    serves_a_newcomer(by_script).await;

    let module = must(clean(&python).args(["-m", "pointsman", "--version"]));
    assert_eq!(module, must(&mut by_script(&["--version"])));
    let refused = clean(&python).args(["-m", "pointsman", "no-such-command"]).output().expect("Python starts");
    assert_eq!(refused.status.code(), Some(2), "the module's exit code is the program's: {refused:?}");
    let found = must(clean(&python).args(["-c", "import pointsman; print(pointsman.find())"]));
    assert_eq!(Path::new(found.trim()).canonicalize().ok(), script.canonicalize().ok());

    // Where the scripts of another place were left out, it says what to do.
    std::fs::remove_file(&script).expect("it is there");
    let missing = clean(&python).args(["-m", "pointsman"]).output().expect("Python starts");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && said.contains("--force-reinstall"), "{said}");
}

/// The npm packages, installed into a folder, and Node.
fn node_modules(packages: &[PathBuf]) -> tempfile::TempDir {
    fetch("node");
    let project = tempfile::tempdir().expect("a temporary folder");
    let mut npm = tool("npm");
    npm.args(["install", "--offline", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(project.path());
    must(npm.args(packages));
    project
}

/// `pointsman` as npm has installed it.
fn by_npm(project: &Path, arguments: &[&str]) -> Command {
    let mut command = tool(path(&project.join("node_modules/.bin/pointsman")));
    command.args(arguments).env("POINTSMAN_CACHE", folder().join("cache")).env_remove("POINTSMAN_BINARY");
    command
}

#[tokio::test]
async fn a_package_of_npm_starts_the_program_for_this_platform() {
    let made = [pack("npm-launcher", &[]), pack("npm", &[])];
    let project = node_modules(&made.each_ref().map(|made| only(made.path())));
    serves_a_newcomer(|arguments| by_npm(project.path(), arguments)).await;

    // As from a service manager, which has no terminal.
    let mut server = by_npm(project.path(), &["demo", "--port", "0"]);
    server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Process::start(server);
    eventually("the demo introduces itself", async || server.stdout().contains("Ctrl-C")).await;
    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(0), "{}", server.stderr());
}

#[test]
fn the_launcher_of_npm_says_what_is_missing() {
    let launcher = pack("npm-launcher", &[]);
    // As with --omit=optional, or with node_modules of another platform.
    let project = node_modules(&[only(launcher.path())]);
    let said = |command: &mut Command| {
        let output = command.output().expect("Node starts");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let missing = said(&mut by_npm(project.path(), &["--version"]));
    assert!(missing.contains("is not installed") && missing.contains("npm install @pointsman/"), "{missing}");

    let other = project.path().join("other.cjs");
    std::fs::write(&other, "Object.defineProperty(process, 'arch', { value: 'mips' })").expect("writable");
    let mut mips = by_npm(project.path(), &["--version"]);
    let unknown = said(mips.env("NODE_OPTIONS", format!("--require={}", other.display())));
    assert!(unknown.contains("there is no package for") && unknown.contains("-mips"), "{unknown}");
    assert!(unknown.contains("linux-x64") && unknown.contains("cargo build --release"), "{unknown}");

    let mut named = by_npm(project.path(), &["--version"]);
    let version = must(named.env("POINTSMAN_BINARY", crate::program()));
    assert!(version.starts_with("pointsman "), "{version}");
    let mut nowhere = by_npm(project.path(), &["--version"]);
    let nowhere = said(nowhere.env("POINTSMAN_BINARY", "/no/such/program"));
    assert!(nowhere.contains("/no/such/program does not start"), "{nowhere}");
}

#[tokio::test]
async fn an_archive_has_the_program_and_what_it_needs_to_be_read() {
    let made = pack("archive", &[]);
    let archive = only(made.path());
    let unpacked = tempfile::tempdir().expect("a temporary folder");
    must(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(unpacked.path()));
    let top = only(unpacked.path());
    for file in
        ["LICENSE", "README.md", "THIRD-PARTY.txt", "docs/fleet.md", "host/config/full.yaml", "wit/strategy.wit"]
    {
        assert!(top.join(file).is_file(), "{file} is in the archive");
    }
    let notices = std::fs::read_to_string(top.join("THIRD-PARTY.txt")).expect("readable");
    for part in ["hyper 1.", "wasmtime 48.", "ring 0."] {
        assert!(notices.contains(part), "the licence of {part} is there");
    }
    serves_a_newcomer(|arguments| {
        let mut command = clean(&top.join("pointsman"));
        command.args(arguments);
        command
    })
    .await;
}

#[test]
fn packages_of_the_same_sources_are_the_same_bytes() {
    let bytes = |what: &str| {
        let made = pack(what, &[]);
        std::fs::read(only(made.path())).expect("readable")
    };
    for what in ["npm-launcher", "chart"] {
        assert!(bytes(what) == bytes(what), "{what} is the same twice");
    }
}

#[test]
fn the_bill_of_materials_is_valid_and_whole() {
    let made = pack("sbom", &["--target", "x86_64-unknown-linux-gnu"]);
    let file = only(made.path());
    let mut check = with_tools("python3");
    must(check.arg(workspace().join("tests/packages/check.py")).arg("sbom").arg(&file));
    let bill: Value = serde_json::from_slice(&std::fs::read(&file).expect("readable")).expect("JSON");
    let names: Vec<&str> =
        bill["components"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    // Of the program, and of the components in it; not what is for tests or for building alone.
    for name in ["hyper", "wasmtime", "round_robin", "wit-bindgen"] {
        assert!(names.contains(&name), "{name} is listed");
    }
    for name in ["criterion", "proptest", "pointsman-tests"] {
        assert!(!names.contains(&name), "{name} is not part of the program");
    }
}

#[test]
fn checksums_are_those_that_sha256sum_checks() {
    let made = pack("chart", &[]);
    let out = made.path();
    must(with_tools("python3").arg(workspace().join("packaging/pack")).args(["sums", "--out"]).arg(out));
    let sums = std::fs::read_to_string(out.join("SHA256SUMS")).expect("readable");
    let (sum, name) = sums.trim_end().split_once("  ").expect("a sum and a name");
    let python = "import hashlib,sys; print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())";
    assert_eq!(must(tool("python3").args(["-c", python]).arg(out.join(name))).trim(), sum);
}
