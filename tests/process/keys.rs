//! `pointsman key`: keys are made, hashed and checked, and none is printed but by the command that makes it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use harness::{Mock, Process, Reply, chat_request};
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::{NAME, folder_with, run, write};

/// Runs a command that reads a key; gives its exit code and all that it says.
fn with_input(mut command: Command, input: &str) -> (Option<i32>, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn a_new_key_opens_a_server_that_knows_its_hash_alone() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let new = ["key", "new", "--name", "search-prod", "--models", "m,gpt-4o*", "--rpm", "600"];
    let (code, out, err) = run(Process::command(&new));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let key = out.lines().map(str::trim).find(|line| line.starts_with("pm-")).expect("the key is printed").to_owned();
    let yaml = out.split("clients:").nth(1).expect("what to write");
    let folder = folder_with(NAME, &a, &format!("clients:{yaml}"));
    let config = folder.path().join(NAME);
    let process = Process::serve(&config);
    let ask = async |key: &str| {
        let mut body = chat_request();
        body["model"] = "m".into();
        let call = process.call(Method::POST, "/v1/chat/completions").await.json(&body);
        call.header("authorization", &format!("Bearer {key}")).answer().await.status
    };
    assert_eq!(ask(&key).await, 200);
    assert_eq!(ask(&format!("{}x", &key[..key.len() - 1])).await, 401);

    let config = config.to_str().expect("text");
    let check = ["key", "check", "--config", config];
    let (code, said) = with_input(Process::command(&check), &format!("{key}\n"));
    assert!(code == Some(0) && said.contains("client: search-prod") && !said.contains(&key), "{said}");
    let (code, said) = with_input(Process::command(&check), "sk-other");
    assert!(code == Some(1) && said.contains("none in") && !said.contains("sk-other"), "{said}");
    let damaged = key.replace(&key[16..18], if &key[16..18] == "aa" { "bb" } else { "aa" });
    let (code, said) = with_input(Process::command(&check), &damaged);
    assert!(code == Some(1) && said.contains("checksum is wrong") && !said.contains(&damaged), "{said}");
    let (code, hash) = with_input(Process::command(&["key", "hash"]), &key);
    assert!(code == Some(0) && out.contains(hash.trim()), "{hash}");
    // A key that was given as an argument is not repeated.
    let (code, said) = with_input(Process::command(&["key", "hash", &key]), "");
    assert!(code == Some(2) && !said.contains(&key), "{said}");
}

#[tokio::test]
async fn what_is_wrong_with_a_new_key_is_told() {
    for (arguments, said) in [
        (vec!["--name", ""], "`name` must not be empty"),
        (vec!["--name", "x", "--expires", "tomorrow"], "`expires`"),
        (vec!["--name", "x", "--budget", "50"], "50/day"),
        (vec!["--name", "x", "--models", "a*b*"], "one `*`"),
    ] {
        let (code, out, err) = run(Process::command(&[vec!["key", "new"], arguments].concat()));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(err.contains(said), "{err}");
    }
}

#[tokio::test]
async fn a_running_server_is_asked_with_the_operators_key() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join(NAME);
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port").port();
    let admin = format!(
        "server: {{admin: {{port: {port}, api_key: admin-key}}}}\nclients: {{keys: [{{name: of-file, key: k}}]}}\n"
    );
    write(&config, &super::config_for(&a, &admin));
    let process = Process::serve(&config);
    process.address().await;
    let config = config.to_str().expect("text");
    let (code, out, err) = run(Process::command(&["key", "list", "--config", config]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("of-file") && out.contains(NAME), "{out}");
    let url = format!("http://127.0.0.1:{port}");
    let mut command = Process::command(&["key", "list", "--url", &url, "--json"]);
    command.env("POINTSMAN_ADMIN_KEY", "admin-key");
    let (code, out, err) = run(command);
    assert_eq!(code, Some(0), "{err}");
    let listed: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(listed["data"][0]["name"], "of-file");
    let (code, _, err) = run(Process::command(&["key", "list", "--url", &url, "--admin-key", "wrong-key"]));
    assert!(code == Some(1) && err.contains("401") && !err.contains("wrong-key"), "{err}");
    let (code, _, err) = run(Process::command(&["key", "block", "of-file", "--config", config]));
    assert!(code == Some(1) && err.contains(&format!("{NAME}:")), "{err}");
    let (code, _, err) = run(Process::command(&["key", "create", "--config", config, "--name", "new"]));
    assert!(code == Some(1) && err.contains("clients.store"), "{err}");
}

/// Speaks TLS before `mock` with a certificate of its own; gives the port, and the certificate in PEM.
async fn behind_tls(mock: &Mock) -> (u16, String) {
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let settings = builder.expect("versions").with_no_client_auth();
    let settings = settings.with_single_cert(vec![certificate.der().clone()], private).expect("they match");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(settings));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let (port, behind) = (listener.local_addr().expect("bound").port(), mock.address());
    harness::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            harness::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut inner = tokio::net::TcpStream::connect(behind).await.expect("the mock accepts");
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut inner).await);
                }
            });
        }
    });
    (port, certificate.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_is_asked_over_tls_and_must_be_trusted() {
    let listed = serde_json::json!({"object": "list", "data": [{"name": "search", "id": "abc", "source": "store"}]});
    let a = Mock::start("a", Reply::json(200, &listed)).await;
    let (port, certificate) = behind_tls(&a).await;
    let folder = TempDir::new().expect("a temporary folder");
    let ca = folder.path().join("ca.pem");
    write(&ca, &certificate);
    let (url, ca) = (format!("https://127.0.0.1:{port}"), ca.to_str().expect("text").to_owned());
    let ask = |more: &[&str]| {
        let mut command = Process::command(&[&["key", "list", "--url", &url][..], more].concat());
        command.env("POINTSMAN_ADMIN_KEY", "admin-key");
        tokio::task::block_in_place(|| run(command))
    };
    let (code, out, err) = ask(&["--ca", &ca]);
    assert!(code == Some(0) && out.contains("search"), "{out}{err}");
    assert_eq!(a.only_request().header("authorization"), "Bearer admin-key");
    // The system does not know it, and nothing is sent to whom nobody vouches for.
    let (code, _, err) = ask(&[]);
    assert!(code == Some(1) && err.contains("certificate"), "{err}");
    let (code, _, err) = ask(&["--ca", "/no/such/file.pem"]);
    assert!(code == Some(1) && err.contains("/no/such/file.pem"), "{err}");
    assert_eq!(a.calls(), 1);
    let plain = url.replace("https", "http");
    let (code, _, err) = run(Process::command(&["key", "list", "--url", &plain, "--ca", &ca]));
    assert!(code == Some(2) && err.contains("--ca is for"), "{err}");
}
