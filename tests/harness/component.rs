//! Builds strategies for `wasm32-wasip2` as their authors do: by calling cargo.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Once, OnceLock};

/// The root of the repository.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_path_buf()
}

/// The folder into which this test run was built, such as `target/debug`.
pub(crate) fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a file");
    test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps").to_path_buf()
}

/// The `target/` that this test run was built into, where tests keep what they download.
pub fn target() -> PathBuf {
    profile_folder().parent().expect("tests lie in target/PROFILE/deps").to_path_buf()
}

/// Builds the crate in `folder` and gives its component. `target` names a folder below the build's own target folder,
/// so that this build neither waits for the one that runs the tests nor spoils it.
///
/// # Panics
///
/// When it does not build; the message has the compiler's words.
pub fn build_component(folder: &Path, target: &str) -> PathBuf {
    let target = profile_folder().parent().expect("below target/").join(target);
    let built = cargo()
        .args(["build", "--release", "--target", "wasm32-wasip2", "--target-dir"])
        .arg(&target)
        .current_dir(folder)
        .output()
        .expect("cargo can be called");
    assert!(built.status.success(), "{folder:?} builds:\n{}", String::from_utf8_lossy(&built.stderr));
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a crate has a manifest");
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).expect("a crate has a name");
    let stem = name.trim_matches('"').replace('-', "_");
    let component = target.join("wasm32-wasip2/release").join(format!("{stem}.wasm"));
    assert!(component.exists(), "{component:?} was built");
    component
}

/// The strategy that misbehaves on command.
pub fn misbehave() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build_component(&workspace().join("tests/fixtures/components/misbehave"), "fixtures"))
}

/// Cargo as a user calls it, without what the cargo that runs the tests has set.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "RUSTFLAGS" {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Keeps what the servers in this process compile: all of them would compile the same few components each for itself.
pub(crate) fn keep_compiled_code() {
    static CHOSEN: Once = Once::new();
    CHOSEN.call_once(|| pointsman::wasm::use_cache(&profile_folder().join("code-cache")));
}

/// The strategy that says whether it was told what a request claims.
pub fn clerk() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build_component(&workspace().join("tests/fixtures/components/clerk"), "fixtures"))
}

/// The approach that does as its configuration says.
pub fn asker() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let path = build_component(&workspace().join("tests/fixtures/components/asker"), "fixtures");
        // Compiled once here, and from then on taken from the cache.
        keep_compiled_code();
        let bytes = std::fs::read(&path).expect("just built");
        drop(pointsman::approach::Approach::load(&pointsman::approach::Source::new("asker", &bytes)));
        path
    })
}
