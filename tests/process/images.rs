//! Components in registries, with a real one.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{Mock, Process, Reply, chat_request, misbehave};
use http::Method;
use tempfile::TempDir;

use super::{NAME, config_for, run, write};

/// A registry on a port of its own.
struct Registry {
    child: Child,
    host: String,
    _folder: TempDir,
}

/// The password `sesame` of the user `reader`.
const LOGIN: &str = "reader:$2y$05$OU7CBjizavS5hfJhnHF9euOWa.biaCU0EByFfispwMcZBuKNq9smi\n";

impl Registry {
    fn start(asks_for_password: bool) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let auth = match asks_for_password {
            true => format!("auth: {{htpasswd: {{realm: test, path: '{}'}}}}\n", path("logins")),
            false => String::new(),
        };
        write(&folder.path().join("logins"), LOGIN);
        let storage = path("data");
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{storage}'}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n{auth}"
        );
        write(&folder.path().join("config.yml"), &config);
        let mut command = Command::new("docker-registry");
        command.args(["serve", &path("config.yml")]).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("docker-registry is missing: install the package docker-registry");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(log.read_line(&mut line).expect("text") > 0, "the registry ended before it listened");
        }
        let host = line.split("listening on ").nth(1).and_then(|rest| rest.split(['"', ' ', ',']).next());
        let host = host.expect("an address").to_owned();
        // It must be able to go on writing.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, host, _folder: folder }
    }

    fn stop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command with a cache of its own.
fn command(cache: &Path, arguments: &[&str]) -> Command {
    let mut command = Process::command(arguments);
    command.env("POINTSMAN_CACHE", cache);
    command
}

fn push(cache: &Path, file: &Path, name: &str) -> String {
    let file = file.to_str().expect("text");
    let (code, stdout, stderr) = run(command(cache, &["strategy", "push", file, name]));
    assert_eq!(code, Some(0), "{stderr}");
    stdout.strip_prefix("image: ").expect("the line for the configuration").trim().to_owned()
}

#[tokio::test]
async fn a_strategy_from_a_registry_decides_also_when_the_registry_is_gone() {
    let (mut registry, a) = (Registry::start(false), Mock::start("a", Reply::chat("a")).await);
    let folder = TempDir::new().expect("a temporary folder");
    let (cache, config) = (folder.path().join("cache"), folder.path().join(NAME));
    let name = format!("{}/acme/pick:1.2", registry.host);
    let image = push(&cache, misbehave(), &name);
    assert_eq!(push(&cache, misbehave(), &name), image, "the same bytes have the same digest");
    let more = |image: &str| {
        config_for(&a, "")
            .replace("routing: {", &format!("strategies: {{pick: {{image: '{image}'}}}}\nrouting: {{strategy: pick, "))
    };
    write(&config, &more(&image));
    let check = || run(command(&cache, &["check", config.to_str().expect("text")]));
    let (code, stdout, stderr) = check();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("pick"), "{stdout}");
    registry.stop();
    let process =
        Process::start(command(&cache, &["serve", "--port", "0", "--config", config.to_str().expect("text")]));
    let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
    assert_eq!(answer.status, 200);
    let health = process.call(Method::GET, "/health").await.answer().await.json();
    assert_eq!(health["strategy"]["name"], "pick", "{health}");
    // Whatever happens to what was kept, nothing else is loaded.
    let kept = std::fs::read_dir(cache.join("images")).expect("the folder").flatten();
    for file in kept.filter(|file| file.path().extension().is_some_and(|kind| kind == "wasm")) {
        std::fs::write(file.path(), "something else").expect("writable");
    }
    let (code, _, stderr) = check();
    assert!(code == Some(2) && stderr.contains("cannot be asked"), "{code:?} {stderr}");
    assert!(stderr.contains(&registry.host) && stderr.contains("routing.strategy"), "{stderr}");
}

#[test]
fn pull_gives_back_what_was_pushed() {
    let registry = Registry::start(false);
    let folder = TempDir::new().expect("a temporary folder");
    let (cache, file) = (folder.path().join("cache"), folder.path().join("pulled.wasm"));
    let image = push(&cache, misbehave(), &format!("{}/acme/pick:1.2", registry.host));
    let pull = |name: &str| run(command(&cache, &["strategy", "pull", name, "-o", file.to_str().expect("text")]));
    for name in [format!("{}/acme/pick:1.2", registry.host), image.clone()] {
        let (code, stdout, stderr) = pull(&name);
        assert_eq!((code, stdout.trim()), (Some(0), format!("image: {image}").as_str()), "{stderr}");
        assert!(std::fs::read(&file).expect("written") == std::fs::read(misbehave()).expect("a component"));
    }
    for (name, code, words) in [
        (format!("{}/acme/pick:9", registry.host), 1, "has no"),
        (format!("{}/acme/pick@sha256:{}", registry.host, "ab".repeat(32)), 1, "has no"),
        ("acme/pick:1".to_owned(), 2, "such as ghcr.io/acme/pick:1.2"),
        ("127.0.0.1:9/acme/pick:1".to_owned(), 1, "cannot be asked"),
    ] {
        let (found, _, stderr) = pull(&name);
        assert!(found == Some(code) && stderr.contains(words), "{name}: {found:?} {stderr}");
    }
}

#[test]
fn a_registry_that_asks_for_a_password_gets_that_of_the_configuration() {
    let registry = Registry::start(true);
    let folder = TempDir::new().expect("a temporary folder");
    let (cache, config) = (folder.path().join("cache"), folder.path().join(NAME));
    let name = format!("{}/acme/pick:1.2", registry.host);
    let file = misbehave().to_str().expect("text");
    let mut push = command(&cache, &["strategy", "push", file, &name, "--username", "reader"]);
    push.env("POINTSMAN_REGISTRY_PASSWORD", "sesame");
    let (code, stdout, stderr) = run(push);
    assert_eq!(code, Some(0), "{stderr}");
    let image = stdout.trim().trim_start_matches("image: ").to_owned();
    let text = |registries: &str| {
        format!(
            "providers: [{{name: a, base_url: 'http://a/v1', api_key: k}}]\n{registries}\
             strategies: {{pick: {{image: '{image}'}}}}\nrouting: {{strategy: pick}}\n"
        )
    };
    let check = |registries: &str| {
        write(&config, &text(registries));
        run(command(&cache, &["check", config.to_str().expect("text")]))
    };
    let (code, _, stderr) = check("");
    assert!(code == Some(2) && stderr.contains("does not let us in") && stderr.contains("registries:"), "{stderr}");
    let with =
        |password: &str| format!("registries: {{'{}': {{username: reader, password: {password}}}}}\n", registry.host);
    let (code, _, stderr) = check(&with("wrong-one"));
    assert!(code == Some(2) && stderr.contains("does not let us in") && !stderr.contains("wrong-one"), "{stderr}");
    let (code, _, stderr) = check(&with("sesame"));
    assert_eq!(code, Some(0), "{stderr}");
}
