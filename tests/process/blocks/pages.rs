//! What a reader of each page has before its first block: files, servers, traffic; and the mocks in the place of the vendors.

use harness::{Reply, Script, workspace};
use serde_json::{Value, json};

use super::session::free_ports;

/// The pages that are followed here.
const KNOWN: [&str; 10] = [
    "README.md",
    "docs/approaches.md",
    "docs/editors-and-shells.md",
    "docs/fleet.md",
    "docs/from-litellm.md",
    "docs/from-nginx.md",
    "docs/from-optillm.md",
    "docs/operations.md",
    "docs/simulation.md",
    "strategies/README.md",
];

pub(super) fn is_known(page: &str) -> bool {
    KNOWN.contains(&page)
}

/// The surroundings of a page.
#[derive(Default)]
pub(super) struct Scene {
    /// Texts of the page, and what stands for them: ports by free ones.
    replaced: Vec<(&'static str, String)>,
    /// Files in the reader's folder, which is also the home.
    pub files: Vec<(&'static str, String)>,
    /// Commands before the first block, and after the last.
    pub before: String,
    pub after: &'static str,
    /// True if parts of a configuration are appended to the one of the files as they come.
    pub takes_fragments: bool,
}

impl Scene {
    fn with_ports(ports: &[&'static str]) -> Self {
        let replaced = ports.iter().copied().zip(free_ports(ports.len())).collect();
        Self { replaced, ..Self::default() }
    }

    /// The text with what stands for its parts. A number is replaced where it is one of its own.
    pub fn replace(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| {
            let mut result = String::new();
            let mut parts = text.split(from);
            result.push_str(parts.next().unwrap_or_default());
            for part in parts {
                let is_inside = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
                let is_part =
                    from.parse::<u16>().is_ok() && (is_inside(result.chars().last()) || is_inside(part.chars().next()));
                result.extend([if is_part { from } else { to.as_str() }, part]);
            }
            result
        })
    }
}

/// A provider in a configuration of a scene; its address is put in later.
fn entry(name: &str, more: &str) -> String {
    format!("  - {{name: {name}, base_url: 'http://vendor/v1', api_key: key-of-{name}{more}}}\n")
}

/// Asks for a model, as the one client of a scene.
const ASK: &str = r#"
ask() {
  curl -si 127.0.0.1:8000/v1/chat/completions -H 'Authorization: Bearer key-of-search-prod' \
    -d '{"model": "'"$1"'", "messages": [{"role": "user", "content": "Hi"}]}'
}
"#;

pub(super) fn scene(page: &str) -> Scene {
    match page {
        "README.md" => Scene {
            before: "mkdir -p target/release; ln -s ../../bin/pointsman target/release/pointsman\nin_background pointsman demo".to_owned(),
            ..Scene::with_ports(&["8000"])
        },
        "docs/approaches.md" => Scene {
            files: vec![("proxy_config.yaml", format!("providers:\n{}", entry("openai", "")))],
            before: "mkdir approaches; head -n 3 \"$ROOT/approaches/questions.jsonl\" >approaches/questions.jsonl".to_owned(),
            after: "test -s report.json; test -s report.html",
            ..Scene::default()
        },
        "docs/editors-and-shells.md" => Scene {
            files: vec![("variables", "${AZURE_KEY} ${ANTHROPIC_API_KEY}".to_owned())],
            after: "grep -q json-schema.org pointsman.schema.json",
            ..Scene::with_ports(&["9000"])
        },
        "docs/fleet.md" => fleet(),
        "docs/from-litellm.md" => {
            let file = |name: &str| std::fs::read_to_string(workspace().join("tests/import").join(name)).expect("text");
            let files = vec![
                ("config.yaml", file("limits_and_money.yaml")),
                ("keys.csv", file("limits_and_money.csv")),
                ("teams.csv", file("limits_and_money.teams.csv")),
                // Those that the report of the import names.
                ("variables", "${ANTHROPIC_API_KEY} ${GROQ_API_KEY} ${MISTRAL_API_KEY} ${AZURE_API_KEY}".to_owned()),
            ];
            Scene { files, ..Scene::default() }
        }
        "docs/from-nginx.md" => Scene::with_ports(&["8000"]),
        "docs/from-optillm.md" => Scene {
            files: vec![(".optillm/proxy_config.yaml", OPTILLM.to_owned())],
            after: r#"
curl -s localhost:8000/v1/chat/completions -d '{"model": "gpt-4", "messages": [{"role": "user", "content": "Hi"}],
  "extra_body": {"optillm_approach": "proxy", "proxy_wrap": "moa"}}'
"#,
            ..Scene::with_ports(&["8000"])
        },
        "docs/operations.md" => operations(),
        "docs/simulation.md" => simulation(),
        "strategies/README.md" => strategies(),
        _ => Scene::default(),
    }
}

/// As the readme of OptiLLM's proxy has it.
const OPTILLM: &str = r#"providers:
  - name: primary
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}
    weight: 2
    model_map:
      gpt-4: gpt-4-turbo-preview
  - name: backup
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY_BACKUP}
    weight: 1
routing:
  strategy: weighted
  health_check:
    enabled: true
    interval: 30
    timeout: 5
timeouts:
  request: 30
  connect: 5
queue:
  max_concurrent: 100
  timeout: 60
monitoring:
  log_level: INFO
  track_latency: true
  track_errors: true
"#;

fn fleet() -> Scene {
    let mut scene = Scene::with_ports(&["6379", "8001", "8002"]);
    scene.replaced.push(("valkey.internal", "127.0.0.1".to_owned()));
    Scene {
        files: vec![("proxy_config.yaml", format!("providers:\n{}", entry("openai", "")))],
        takes_fragments: true,
        after: r#"
for port in 8001 8002; do
  eventually curl -s http://127.0.0.1:$port/ready
  curl -s 127.0.0.1:$port/v1/chat/completions -d '{"model": "any", "messages": [{"role": "user", "content": "Hi"}]}'
done
two() { test "$(pointsman replicas --url http://127.0.0.1:8001 | grep -c 127.0.0.1)" = 2; }
eventually two
"#,
        ..scene
    }
}

/// The night that the page shows: three providers, two that fail once, a change of a weight, a model without a price.
fn operations() -> Scene {
    let providers = [
        entry("openai", ", weight: 3, models: [gpt-4o, gpt-9]"),
        entry("azure", ", models: [gpt-4o]"),
        entry("groq", ", models: [llama-3.3-70b]"),
    ];
    let config = format!(
        "providers:\n{}routing: {{strategy: weighted, health_check: {{enabled: false}}}}\n\
         server: {{port: 8000, admin: {{port: 9090, api_key: key-of-operators}}}}\n\
         clients: {{keys: [{{name: search-prod, key: key-of-search-prod, budget: {{usd: 50, per: day}}}}]}}\n\
         prices: {{models: {{gpt-4o: {{input: 2.5, output: 10}}, 'llama-*': {{input: 0.5, output: 1}}}}}}\n\
         telemetry: {{otlp: {{endpoint: 'http://127.0.0.1:9'}}, traces: {{ratio: 1}}}}\n\
         monitoring:\n  ledger: {{path: ledger}}\n",
        providers.concat()
    );
    const BEFORE: &str = r#"
in_background pointsman serve
for _ in 1 2 3 4 5 6 7 8 9; do ask gpt-4o; ask llama-3.3-70b; done
! ask gpt-9
sed -i 's/weight: 3/weight: 1/' proxy_config.yaml
eventually grep -q 'reloaded: generation 2' server.log
until ask gpt-4o | grep 'x-pointsman-provider: azure'; do :; done
told() { pointsman why | grep -q azure; }
eventually told
"#;
    Scene {
        files: vec![("proxy_config.yaml", config)],
        before: format!("{ASK}{BEFORE}"),
        ..Scene::with_ports(&["8000", "9090"])
    }
}

/// A ledger of today in the place of the page's, whose day is another.
fn simulation() -> Scene {
    let mut scene = Scene::with_ports(&["8000"]);
    scene.replaced.push(("2026-11-24", "$(date -u +%F)".to_owned()));
    scene.replaced.push(("2026-11-25", "$(date -u -d tomorrow +%F)".to_owned()));
    let providers = [entry("a", ", weight: 2"), entry("b", "")].concat();
    let config = format!(
        "providers:\n{providers}routing: {{strategy: weighted}}\nserver: {{port: 8000}}\n\
         monitoring: {{ledger: {{path: ledger}}}}\n"
    );
    const BEFORE: &str = r#"
ln -s "$ROOT/scenarios" scenarios
cp "$ROOT/host/components/weighted.wasm" my_strategy.wasm
in_background pointsman serve
for _ in 1 2 3 4 5 6; do ask gpt-4o; done
end_server
"#;
    Scene {
        files: vec![("proxy_config.yaml", config)],
        before: format!("{ASK}{BEFORE}"),
        after: "test -s report.html; test -s tuesday.html",
        ..scene
    }
}

/// A strategy of the reader's own, which is the one that is built in under another name, and a record of decisions.
fn strategies() -> Scene {
    let providers = [entry("old", ", weight: 2"), entry("new", "")].concat();
    let config = format!(
        "providers:\n{providers}routing: {{strategy: weighted}}\nserver: {{port: 8000}}\n\
         strategies:\n  my_strategy: {{path: my_strategy.wasm}}\n  night: {{path: my_strategy.wasm}}\n\
         monitoring: {{record: decisions.ndjson}}\n"
    );
    const BEFORE: &str = r#"
ln -s "$ROOT/scenarios" scenarios
ln -s "$ROOT/strategies/weighted/fixtures" fixtures
cp "$ROOT/host/components/weighted.wasm" my_strategy.wasm
in_background pointsman serve
for _ in 1 2 3 4 5 6; do ask gpt-4o; done
end_server
"#;
    Scene {
        files: vec![("proxy_config.yaml", config)],
        before: format!("{ASK}{BEFORE}"),
        after: "test -s report.html; test -f eu-first/src/lib.rs",
        ..Scene::with_ports(&["8000"])
    }
}

/// The provider `name` of a page.
pub(super) fn provider(page: &str, name: &str) -> Script {
    match (page, name) {
        // The page shows an answer at the second attempt.
        ("README.md", "openai") => Reply::error(500, "down").into(),
        ("README.md", "local") => Script::by(|_, seen| match seen.json()["n"].as_u64() {
            Some(n) => completion(n),
            None => Reply::status(200).header("content-type", "application/json").body(SHOWN),
        }),
        // Each fails once, at another request, and one says what is left of its limit.
        ("docs/operations.md", "openai") => Script::by(|number, _| match number {
            1 => Reply::error(500, "down"),
            _ => {
                completion(1).header("x-ratelimit-limit-requests", "100").header("x-ratelimit-remaining-requests", "7")
            }
        }),
        ("docs/operations.md", "azure") => Script::by(|number, _| match number {
            2 => Reply::error(500, "down"),
            _ => completion(1),
        }),
        _ => Script::by(|_, seen| completion(seen.json()["n"].as_u64().unwrap_or(1))),
    }
}

/// The answer that README.md shows, with the end that it leaves out.
const SHOWN: &str = r#"{"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}"#;

fn completion(n: u64) -> Reply {
    let choice = |index| json!({"index": index, "message": {"role": "assistant", "content": "It is 4."}, "finish_reason": "stop"});
    let choices: Vec<Value> = (0..n).map(choice).collect();
    let usage = json!({"prompt_tokens": 1000, "completion_tokens": 100 * n, "total_tokens": 1000 + 100 * n});
    Reply::json(200, &json!({"id": "1", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}))
}
