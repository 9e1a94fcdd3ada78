//! Writes the tables of the components of `strategies/` and `approaches/` that `strategy/builtin.rs` and `approach/builtin.rs`
//! include; `build/templates.rs` writes another, of what `strategy new` puts into a project.
//!
//! The components themselves are committed, in `host/components`, so that a first build needs neither the target for the
//! sandbox nor the time for them. Where their sources have changed since (`build/sources.rs`), they are built here, and
//! `make components` has them committed: with the profile, the lock file and the toolchain of this workspace; in a target
//! directory of its own, because the outer build holds the lock of the other, and one for all profiles of the host,
//! because they are the same components in each.

#[path = "build/sources.rs"]
mod sources;
#[path = "build/templates.rs"]
mod templates;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip2";
/// Names a folder into which the components are put, built anew: for `make components`, which runs this without cargo.
const RENEW: &str = "POINTSMAN_RENEW_COMPONENTS";

/// Components of one kind.
struct Kind {
    /// Their folder in the workspace, which has a crate for each; also what they are called.
    folder: &'static str,
    /// The folder of the SDK that they are made with.
    sdk: &'static str,
    /// The table of them in `OUT_DIR`.
    table: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind { folder: "strategies", sdk: "guest-sdk", table: "builtins.rs" },
    Kind { folder: "approaches", sdk: "approach-sdk", table: "approaches.rs" },
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("cargo::error={}", problem.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = host.parent().ok_or("the host has no workspace")?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    let mut all = Vec::new();
    for kind in &KINDS {
        let names = crates(root, kind)?;
        watch(root, kind, &names);
        all.push((kind, names));
    }
    templates::write(root, &out)?;

    let target_dir = shared(&out).join("strategies");
    // For the tests, whose components are made of the same.
    println!("cargo::rustc-env=STRATEGIES_TARGET_DIR={}", target_dir.display());

    let committed = host.join("components");
    let folders: Vec<String> =
        all.iter().flat_map(|(kind, names)| names.iter().map(|name| format!("{}/{name}", kind.folder))).collect();
    let now = sources::now(root, &KINDS.map(|kind| kind.sdk), &folders)?;
    let changed = sources::changed(&sources::recorded(&committed.join("sources")), &now);
    let renewed = env::var_os(RENEW).map(PathBuf::from);
    if changed.is_empty() && renewed.is_none() {
        return all.iter().try_for_each(|(kind, names)| write(&committed, &out, kind, names));
    }
    if renewed.is_none() {
        let what = changed.join(", ");
        println!("cargo::warning=the components are built here, as their sources have changed: {what}");
        println!("cargo::warning=`make components` renews those in host/components, for the commit");
    }
    compile(root, &target_dir, all.iter().flat_map(|(_, names)| names))?;
    let built = target_dir.join(TARGET).join("strategy");
    if let Some(renewed) = renewed {
        renew(&built, &renewed, &folders, &now)?;
    }
    all.iter().try_for_each(|(kind, names)| write(&built, &out, kind, names))
}

/// Puts what was built, and what it was built of, into a folder.
fn renew(built: &Path, renewed: &Path, folders: &[String], now: &sources::Parts) -> Result<(), String> {
    let failed = |error| format!("cannot write {}: {error}", renewed.display());
    if renewed.exists() {
        fs::remove_dir_all(renewed).map_err(failed)?;
    }
    fs::create_dir_all(renewed).map_err(failed)?;
    for name in folders.iter().filter_map(|folder| folder.rsplit('/').next()) {
        let file = file_of(name);
        fs::copy(built.join(&file), renewed.join(&file)).map_err(failed)?;
    }
    fs::write(renewed.join("sources"), sources::text(now)).map_err(failed)
}

/// The file that cargo makes of a crate.
fn file_of(name: &str) -> String {
    format!("{}.wasm", name.replace('-', "_"))
}

/// Copies the components of a kind, and writes the table of them.
fn write(made: &Path, out: &Path, kind: &Kind, names: &[String]) -> Result<(), String> {
    let Kind { folder, table, .. } = kind;
    let mut components = String::new();
    for name in names {
        let file = made.join(file_of(name));
        if !file.is_file() {
            return Err(format!("{folder}/{name} did not become {}; is it a cdylib?", file.display()));
        }
        // A copy, since the next build of another profile may write there.
        let copy = out.join(format!("{name}.wasm"));
        fs::copy(&file, &copy).map_err(|error| format!("cannot copy {}: {error}", file.display()))?;
        let _ = writeln!(components, "    include_bytes!({:?}),", copy.display().to_string());
    }
    let mut text = String::new();
    let _ =
        writeln!(text, "/// The names of the {folder} in the binary, sorted.\npub static NAMES: &[&str] = &{names:?};");
    let _ =
        writeln!(text, "/// Their components, in the same order.\nstatic COMPONENTS: &[&[u8]] = &[\n{components}];");
    fs::write(out.join(table), text).map_err(|error| format!("cannot write {table}: {error}"))
}

/// The folder above those of the profiles, if `out` lies where cargo puts it: TARGET/PROFILE/build/PACKAGE/out.
fn shared(out: &Path) -> &Path {
    let mut above = out.ancestors().skip(2);
    let is_usual = above.next().and_then(Path::file_name).is_some_and(|name| name == "build");
    above.nth(1).filter(|_| is_usual).unwrap_or(out)
}

/// The folders of a kind that are crates, sorted. A folder is named like its package.
fn crates(root: &Path, kind: &Kind) -> Result<Vec<String>, String> {
    let folder = root.join(kind.folder);
    let unreadable = |error| format!("cannot list {}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "examples" && entry.path().join("Cargo.toml").is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Tells cargo which files the components are made of. A new crate shows in the workspace's manifest.
fn watch(root: &Path, kind: &Kind, names: &[String]) {
    let Kind { folder, sdk, .. } = kind;
    let shared = ["wit", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "host/components"].map(str::to_owned);
    let sdk = ["src", "Cargo.toml"].map(|part| format!("{sdk}/{part}"));
    let own = names.iter().flat_map(|name| ["src", "Cargo.toml"].map(|part| format!("{folder}/{name}/{part}")));
    for part in shared.into_iter().chain(sdk).chain(own) {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
}

#[expect(clippy::print_stderr, reason = "where cargo looks for what a build script has to say")]
fn compile<'n>(root: &Path, target_dir: &Path, names: impl Iterator<Item = &'n String>) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(root).args(["build", "--locked", "--profile", "strategy", "--target", TARGET, "--lib"]);
    cargo.arg("--target-dir").arg(target_dir);
    for name in names {
        cargo.args(["-p", name]);
    }
    // The same bytes wherever the sources of libraries lie: messages of panics name them.
    let flags: Vec<String> =
        registries().iter().map(|folder| format!("--remap-path-prefix={}=/registry", folder.display())).collect();
    // What the outer build was told about its own target, flags and tools (clippy, coverage, sanitizers) is not meant
    // for the components, and would make them another build each time.
    for (variable, _) in env::vars_os() {
        if is_of_the_outer_build(&variable.to_string_lossy()) {
            cargo.env_remove(variable);
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if errors.contains("can't find crate for `core`") || errors.contains("can't find crate for `std`") {
        return Err(format!("the components need the target {TARGET}: run `rustup target add {TARGET}`"));
    }
    // The whole of it, where cargo shows it: before the error.
    eprint!("{errors}");
    Err(format!("the components do not build for {TARGET}; their errors are above"))
}

/// The folders into which cargo unpacks packages, one for each registry.
fn registries() -> Vec<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let listed = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok());
    let mut folders: Vec<PathBuf> = listed.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn is_of_the_outer_build(variable: &str) -> bool {
    const NAMES: [&str; 10] = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_ENCODED_RUSTDOCFLAGS",
        "CARGO_TARGET_DIR",
        "LLVM_PROFILE_FILE",
    ];
    const PREFIXES: [&str; 7] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_MANIFEST_",
    ];
    NAMES.contains(&variable) || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}
