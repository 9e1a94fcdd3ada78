//! The projects of `pointsman approach new`.

use harness::{Mock, Process, Reply, Script, fetch, provider};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{Project, build, show};

const NAME: &str = "best_of";

const APPROACH: Project = Project { kind: "approach", folder: "approaches", name: NAME };

/// A model that guesses, and knows the right answer when it sees it.
fn model() -> Script {
    Script::by(|_, seen| {
        let body = seen.json();
        let last = body["messages"].as_array().and_then(|messages| messages.last()).map(ToString::to_string);
        let compares = last.is_some_and(|last| last.contains("3. It is 4."));
        let texts = ["It is 5.", "It is 3.", "It is 4."];
        let n = usize::try_from(body["n"].as_u64().unwrap_or(1)).expect("few");
        let texts = if compares { &["BEST: 3"][..] } else { &texts[..n] };
        let choice = |(index, text): (usize, &&str)| json!({"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
        let choices: Vec<Value> = texts.iter().enumerate().map(choice).collect();
        Reply::json(200, &json!({"id": "x", "object": "chat.completion", "model": "m-1", "choices": choices}))
    })
}

/// Builds the project of `language` and claims that it answers requests that choose it.
async fn becomes_an_approach(language: &'static str) {
    let outside = TempDir::new().expect("a temporary folder");
    let folder = outside.path().to_owned();
    let project = tokio::task::spawn_blocking(move || build(&APPROACH, language, &folder)).await.expect("it builds");

    let mock = Mock::start("a", model()).await;
    let config = project.join("proxy_config.yaml");
    let write = |approaches: Value| {
        let whole = json!({
            "providers": [provider(&mock, json!({}))],
            "routing": {"health_check": {"enabled": false}},
            "approaches": approaches,
            "server": {"watch": false},
        });
        std::fs::write(&config, whole.to_string()).expect("writable");
    };
    let check = || {
        let output = Process::command(&["check", "--config", config.to_str().expect("text")]).output();
        let output = output.expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (wrong, complaint) in [
        (json!({"answers": 1}), "from 2 to 8"),
        (json!({"answers": "3"}), "answers: "),
        (json!({"anwsers": 3}), "`anwsers`"),
    ] {
        write(json!({NAME: {"config": wrong}}));
        let (code, stderr) = check();
        assert!(code == Some(2) && stderr.contains(complaint), "{complaint}: {code:?}: {stderr}");
    }

    // Nothing of the approach is in the configuration: the file lies beside it.
    write(json!({}));
    assert_eq!(check(), (Some(0), String::new()));
    let process = Process::serve(&config);
    let ask = async |model: &str, more: Value| {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": "What is 2+2?"}]});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let call = process.call(Method::POST, "/v1/chat/completions").await;
        let answer = call.json(&body).answer().await;
        let content = answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
        (answer.status, content, answer.header("x-pointsman-approach").to_owned())
    };
    assert_eq!(ask("gpt-4", json!({})).await.1, "It is 5.", "{}", process.stderr());
    let (status, content, took) = ask(&format!("{NAME}-gpt-4"), json!({})).await;
    assert_eq!((status, content.as_str()), (200, "It is 4."), "{}", process.stderr());
    assert!(took.starts_with("best_of; calls=2; choices=4; "), "{took}");
    assert_eq!(ask(&format!("{NAME}-gpt-4"), json!({"answers": 2})).await.1, "It is 5.");
    assert_eq!(ask(&format!("{NAME}-gpt-4"), json!({"answers": 9})).await.0, 400);
    let asked = mock.requests();
    assert!(asked.iter().all(|seen| seen.json()["model"] == "gpt-4" && seen.json()["answers"].is_null()));

    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(ask(&format!("{NAME}-gpt-4"), json!({})).await.0, 200);
    }
    show(&format!("{language}: {:.2} ms per request of two questions", began.elapsed().as_secs_f64() * 10.0));

    mock.follow(Reply::error(429, "slow down"));
    assert_eq!(ask(&format!("{NAME}-gpt-4"), json!({})).await.0, 429, "what it would have got without");
}

#[tokio::test]
async fn a_project_in_rust_becomes_an_approach() {
    becomes_an_approach("rust").await;
}

#[tokio::test]
async fn a_project_in_javascript_becomes_an_approach() {
    fetch("node");
    becomes_an_approach("js").await;
}

#[tokio::test]
async fn a_project_in_python_becomes_an_approach() {
    fetch("venv");
    becomes_an_approach("python").await;
}
