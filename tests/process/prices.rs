//! `pointsman prices`, and the cost in the log.

use harness::{Mock, Process, Reply, chat_request, eventually};
use http::Method;
use serde_json::{Value, json};

use super::{folder_with, run};

const PRICES: &str = "prices: {models: {'gpt-*': {input: 2.5, cached: 1.25, output: 10}}}\n";

#[tokio::test]
async fn shows_which_price_applies_and_why() {
    let a = Mock::start("a", Reply::chat("x")).await;
    let folder = folder_with("c.yaml", &a, PRICES);
    let config = folder.path().join("c.yaml").display().to_string();
    let (code, stdout, stderr) = run(Process::command(&["prices", "show", "gpt-4", "--config", &config]));
    assert_eq!(code, Some(0), "{stderr}");
    for part in ["gpt-4 at a", "prices.models.gpt-*", "1000 + 1000 tokens: 0.0125 dollars"] {
        assert!(stdout.contains(part), "{part} is missing in {stdout}");
    }
    let (_, stdout, _) = run(Process::command(&["prices", "show", "gpt-4", "--config", &config, "--json"]));
    let shown: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(shown["prices"][0]["sample"]["cost"], json!(0.0125));
    let (code, _, stderr) = run(Process::command(&["prices", "show", "x", "--provider", "b", "--config", &config]));
    assert!(code == Some(2) && stderr.contains("there is no provider b; the providers are a"), "{stderr}");
}

#[test]
fn a_file_becomes_yaml_and_one_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("prices.json");
    std::fs::write(&file, r#"{"azure/m": {"litellm_provider": "azure", "input_cost_per_token": 1.5e-07}}"#)
        .expect("written");
    let name = file.display().to_string();
    let (code, stdout, stderr) = run(Process::command(&["prices", "convert", &name, "--models", "m,other*"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.ends_with("prices:\n  models:\n    \"m\": {input: 0.15}  # azure\n"), "{stdout}");
    std::fs::write(&file, "[1]").expect("written");
    let (code, _, stderr) = run(Process::command(&["prices", "convert", &name, "--models", "m"]));
    assert!(code == Some(2) && stderr.contains("models.dev's api.json"), "{stderr}");
}

#[tokio::test]
async fn the_log_says_what_a_request_cost() {
    for (format, line) in [("text", "cost=0.0000125"), ("json", "\"cost\":0.0000125")] {
        let a = Mock::start("a", Reply::chat("x")).await;
        let folder =
            folder_with("c.yaml", &a, &format!("{PRICES}monitoring: {{log_format: {format}}}\nserver: {{port: 0}}\n"));
        let process = Process::serve(&folder.path().join("c.yaml"));
        let call = process.call(Method::POST, "/v1/chat/completions").await;
        assert_eq!(call.json(&chat_request()).answer().await.status, 200);
        let text = || format!("{}{}", process.stderr(), process.stdout());
        let costs = || text().lines().any(|line| line.contains("cost"));
        eventually("the request is logged", async || costs()).await;
        let text = text().replace("1.25e-5", "0.0000125");
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}
