//! The limits of providers: what they say themselves is left, and what the operator grants their accounts.

use std::path::{Path, PathBuf};

use harness::{Mock, Proxy, Reply, eventually};
use serde_json::{Value, json};

mod granted;
mod said;

/// The decisions of a record, once there are so many: what each candidate had left, requests and tokens in permille.
async fn decisions(file: &Path, count: usize) -> Vec<Vec<(u64, u64)>> {
    let lines = || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|line| line["record"] == "decision").collect::<Vec<_>>()
    };
    eventually("the decisions are recorded", async || lines().len() >= count).await;
    let left = |candidate: &Value| {
        let at = |place: usize| candidate.get(place).and_then(Value::as_u64).unwrap_or(1000);
        (at(4), at(5))
    };
    let of_decision = |line: Value| line["candidates"].as_array().map(|all| all.iter().map(left).collect());
    lines().into_iter().map(|line| of_decision(line).expect("candidates")).collect()
}

/// A folder for a record, and the configuration that writes it there.
fn recorded() -> (tempfile::TempDir, PathBuf, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("decisions.ndjson");
    let piece = json!({"monitoring": {"record": file.display().to_string()}});
    (folder, file, piece)
}
