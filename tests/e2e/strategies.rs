//! Strategies of the user's own: declared, dropped into the folder, given as a path.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use harness::{Mock, Proxy, Reply, build_component, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The worked example, copied out of the repository and built there as a user would: with nothing but the SDK.
fn night_shift() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let outside = TempDir::new().expect("a temporary folder");
        let example = workspace().join("strategies/examples/night_shift");
        copy(&example, outside.path());
        let manifest = outside.path().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).expect("the example has a manifest");
        let sdk = workspace().join("guest-sdk");
        let relative = "../../../guest-sdk";
        assert!(text.contains(relative), "the example finds the SDK by its relative path:\n{text}");
        std::fs::write(&manifest, text.replace(relative, sdk.to_str().expect("text"))).expect("writable");
        build_component(outside.path(), "example")
    })
}

/// Copies a folder without what was built in it.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the folder exists") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            if entry.file_name() != "target" {
                std::fs::create_dir_all(&target).expect("writable");
                copy(&entry.path(), &target);
            }
        } else {
            std::fs::copy(entry.path(), target).expect("writable");
        }
    }
}

/// A shift that lasts all day but for a minute, which is another one before and after noon.
fn all_day() -> Value {
    json!({"provider": "b", "from": "00:00", "until": "23:59"})
}

/// Starts `strategy` before `a` and `b` and claims that the example routes: `b` is on shift.
async fn routes(strategy: &str, strategies: Value, place: impl FnOnce(&Path)) {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    place(builder.folder());
    let builder = builder.strategy(strategy).set(json!({ "strategies": strategies }));
    let proxy = builder.start().await;
    for _ in 0..4 {
        assert_eq!(proxy.chat().await.provider(), "b");
    }
    assert_eq!((a.calls(), b.calls()), (0, 4));
}

fn drop_into(folder: &Path, name: &str) {
    let folder = folder.join("strategies");
    std::fs::create_dir_all(&folder).expect("writable");
    std::fs::copy(night_shift(), folder.join(name)).expect("writable");
}

#[tokio::test]
async fn the_example_built_outside_the_workspace_routes_when_dropped_into_the_folder() {
    let config = json!({"night_shift": {"config": all_day()}});
    routes("night_shift", config, |folder| drop_into(folder, "night_shift.wasm")).await;
}

#[tokio::test]
async fn a_declared_name_may_have_a_path_relative_to_the_configuration() {
    let declared = json!({"nights": {"path": "strategies/other.wasm", "config": all_day()}});
    routes("nights", declared, |folder| drop_into(folder, "other.wasm")).await;
}

#[tokio::test]
async fn a_declared_name_may_have_an_absolute_path() {
    let declared = json!({"nights": {"path": night_shift(), "config": all_day()}});
    routes("nights", declared, |_| {}).await;
}

#[tokio::test]
async fn a_path_that_ends_in_wasm_is_a_strategy() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let folder = builder.folder().to_path_buf();
    std::fs::copy(harness::misbehave(), folder.join("mine.wasm")).expect("writable");
    let proxy = builder.strategy("./mine.wasm").start().await;
    assert_eq!(proxy.chat().await.provider(), "b", "the fixture orders backwards");
}

#[tokio::test]
async fn the_strategys_own_complaint_about_its_config_reaches_the_operator() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let wrong = json!({"provider": "nobody", "from": "22:00", "until": "06:00"});
    let strategies = json!({"nights": {"path": night_shift(), "config": wrong}});
    let builder = Proxy::builder().provider(&a, json!({})).strategy("nights").set(json!({ "strategies": strategies }));
    let error = builder.bind(&builder.write()).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("nobody") && error.contains("nights"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_component_is_refused_with_its_name() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let contents: [(&str, &[u8]); 4] = [
        ("empty", b""),
        ("text", b"hello, I am no component"),
        ("module", b"\0asm\x01\0\0\0"),
        ("other_world", b"\0asm\x0d\0\x01\0"),
    ];
    for (name, bytes) in contents {
        let builder = Proxy::builder().provider(&a, json!({})).strategy("broken");
        let folder = builder.folder().join("strategies");
        std::fs::create_dir_all(&folder).expect("writable");
        std::fs::write(folder.join("broken.wasm"), bytes).expect("writable");
        let error = builder.bind(&builder.write()).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains("broken"), "{name}: {error:?}");
    }
}
