//! The dashboard in a real browser: Chromium of the machine, driven by `playwright-core`, and judged by `axe-core`. What is
//! claimed stands in `dashboard.mjs`; here are the proxies that it looks at.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use harness::{Mock, Proxy, Reply, Script, alone, chat_request, fetch, stream_request, target, tool, workspace};
use serde_json::{Value, json};

/// The versions that the tests were written against.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];
const ADMIN: &str = "admin-zq7-s3cr3t";

/// The script, where Node finds its packages.
fn script() -> &'static Path {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY.get_or_init(|| {
        fetch("node");
        fetch("chromium");
        let folder = target().join("browser");
        let (stamp, versions) = (folder.join("installed"), PACKAGES.join(" "));
        alone("browser", || {
            if std::fs::read_to_string(&stamp).ok().as_deref() != Some(versions.as_str()) {
                let _ = std::fs::remove_dir_all(&folder);
                std::fs::create_dir_all(&folder).expect("target/ is writable");
                let mut npm = tool("npm");
                npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).args(PACKAGES);
                let output = npm.output().expect("npm starts");
                assert!(output.status.success(), "{npm:?}: {output:#?}");
                std::fs::write(&stamp, versions).expect("target/ is writable");
            }
            let script = folder.join("dashboard.mjs");
            std::fs::copy(workspace().join("tests/browser/dashboard.mjs"), &script).expect("target/ is writable");
            script
        })
    })
}

/// Has the browser claim something of a proxy.
async fn claim(proxy: &Proxy, what: &'static str) {
    let mut node: Command = tool("node");
    node.arg(script()).arg(what).env("ADMIN", format!("http://{}", proxy.operators())).env("ADMIN_KEY", ADMIN);
    node.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || node.output()).await.expect("no panic").expect("Node starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}:\n{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), "ok");
}

/// A provider that fails, and one that answers, in this order.
async fn two() -> (Mock, Mock, Proxy) {
    let fails = Mock::start("bad", Reply::error(500, "<b>no</b>")).await;
    let works =
        Script::by(
            |number, _| {
                if number % 2 == 0 { Reply::chat("Hello") } else { Reply::stream(&["Hello", " from", " a"]) }
            },
        );
    let works = Mock::start("a", works).await;
    let clients =
        json!({"unknown": "allow", "keys": [{"name": "team", "key": "sk-team-zq7-s3cr3t", "limits": {"rpm": 60}}]});
    let server = json!({"admin": {"port": 0, "api_key": ADMIN}});
    let builder = Proxy::builder().provider(&fails, json!({"max_concurrent": 8})).provider(&works, json!({}));
    let proxy = builder.set(json!({"server": server, "clients": clients})).start().await;
    (fails, works, proxy)
}

#[tokio::test]
async fn operators_sign_in_and_out() {
    let (_fails, _works, proxy) = two().await;
    claim(&proxy, "signs_in_and_out").await;
}

#[tokio::test]
async fn figures_change_while_requests_go_on() {
    let (_fails, _works, proxy) = two().await;
    let asks = async {
        loop {
            proxy.chat_call(&chat_request()).answer().await;
            proxy.chat_call(&stream_request()).answer().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = claim(&proxy, "shows_live_values") => {}
        () = asks => {}
    }
}

#[tokio::test]
async fn a_page_is_complete_without_script() {
    let (_fails, _works, proxy) = two().await;
    claim(&proxy, "works_without_script").await;
}

#[tokio::test]
async fn forms_of_others_are_refused() {
    let (_fails, _works, proxy) = two().await;
    claim(&proxy, "refuses_forms_of_others").await;
}

#[tokio::test]
async fn pages_keep_to_their_policy() {
    let (_fails, _works, proxy) = two().await;
    claim(&proxy, "keeps_its_policy").await;
}

#[tokio::test]
async fn everything_can_be_done_by_keyboard() {
    let (_fails, _works, proxy) = two().await;
    claim(&proxy, "obeys_the_keyboard").await;
}

#[tokio::test]
async fn pages_are_accessible_in_light_and_dark_and_at_two_hundred_percent() {
    let (_fails, _works, proxy) = two().await;
    proxy.chat().await;
    claim(&proxy, "is_accessible_in_light_and_dark_and_large").await;
}

#[tokio::test]
async fn a_thousand_providers_do_not_block_the_page() {
    let mock = Mock::start("a", Reply::chat("Hello")).await;
    let many: Vec<Value> =
        (0..1000).map(|number| harness::provider(&mock, json!({"name": format!("p{number:05}")}))).collect();
    let server = json!({"admin": {"port": 0, "api_key": ADMIN}});
    let piece = json!({"providers": many, "server": server, "routing": {"strategy": "round_robin"}});
    let proxy = Proxy::builder().set(piece).start().await;
    for _ in 0..20 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    claim(&proxy, "carries_a_thousand_providers").await;
}
