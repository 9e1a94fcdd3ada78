//! The configuration as a whole: golden files of problems, files that must load, and defaults.
//!
//! `tests/config/NAME.yaml` must fail with exactly the text of `NAME.err`; `BLESS=1 cargo test config` rewrites the
//! texts, to be reviewed in the diff. A first line `# env: A=1 B=` gives a case its environment.

mod foreign;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::*;

const BUILTINS: [&str; 3] = ["failover", "round_robin", "weighted"];

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/config").canonicalize().unwrap()
}

/// The files with this extension in a folder.
fn files(folder: &Path, extension: &str) -> BTreeSet<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

fn secrets(name: &str) -> Option<String> {
    if name.to_ascii_uppercase().ends_with("_PROXY") || name.starts_with("OTEL_") {
        return None;
    }
    Some(if name.contains("ENDPOINT") { "https://endpoint.example/v1".into() } else { format!("value-of-{name}") })
}

fn parse_one(provider: &str, env: &Env<'_>) -> Result<Provider, LoadError> {
    let text = format!("providers:\n  - {{name: a, {provider}}}\n");
    parse(&text, Path::new("x.yaml"), env, &BUILTINS).map(|mut config| config.providers.remove(0))
}

fn parse_with(rest: &str) -> Config {
    let text = format!("providers: [{{name: a, base_url: 'http://a/v1', api_key: k}}]\n{rest}");
    parse(&text, Path::new("x.yaml"), &|_| None, &BUILTINS).unwrap()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn bad_files_are_refused_with_exactly_these_problems() {
    let folder = cases();
    let bless = super::environment("BLESS").is_some();
    let mut wrong = Vec::new();
    let inputs = files(&folder, "yaml");
    for file in &inputs {
        let first =
            fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).lines().next().map(str::to_owned)).unwrap();
        let given = first.as_deref().and_then(|line| line.strip_prefix("# env: ")).unwrap_or_default().to_owned();
        let env = |name: &str| {
            given
                .split(' ')
                .filter_map(|pair| pair.split_once('='))
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.to_owned())
        };
        let text = match load(file, &env, &BUILTINS) {
            Ok(_) => "it loads, but must not\n".to_owned(),
            Err(error) => format!("{error}\n").replace(&format!("{}/", folder.display()), ""),
        };
        assert!(!text.contains("never-shown"), "a secret is in the problems of {}:\n{text}", file.display());
        let golden = file.with_extension("err");
        if bless {
            fs::write(&golden, &text).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if expected != text || text.starts_with("it loads") {
            wrong.push(format!("--- {}\n{expected}--- got\n{text}", golden.display()));
        }
    }
    let orphans: Vec<_> =
        files(&folder, "err").into_iter().filter(|golden| !inputs.contains(&golden.with_extension("yaml"))).collect();
    assert!(inputs.len() > 30, "the cases are gone");
    assert!(orphans.is_empty(), "without a .yaml file: {orphans:?}");
    assert!(wrong.is_empty(), "BLESS=1 rewrites these:\n{}", wrong.join("\n"));
}

#[test]
fn good_files_load_without_a_warning() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let inputs: Vec<PathBuf> =
        [cases().join("valid"), shipped].iter().flat_map(|folder| files(folder, "yaml")).collect();
    assert!(inputs.len() > 12, "the files are gone");
    for file in inputs {
        let config = load(&file, &secrets, &BUILTINS).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.warnings, [""; 0], "{}", file.display());
    }
}

/// The structure and the texts of a file, as our own code reads it.
fn ours(node: &node::Node) -> String {
    match &node.kind {
        node::NodeKind::Scalar(_) if node.is_null() => "null".to_owned(),
        node::NodeKind::Scalar(scalar) => scalar.text.clone(),
        node::NodeKind::List(items) => format!("{:?}", items.iter().map(ours).collect::<Vec<_>>()),
        node::NodeKind::Map(entries) => {
            let entries: BTreeMap<_, _> = entries.iter().map(|(key, value)| (key.text.clone(), ours(value))).collect();
            format!("{entries:?}")
        }
    }
}

/// The same, as a well-known library reads it.
fn theirs(value: &serde_yaml::Value) -> String {
    use serde_yaml::Value;
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(items) => format!("{:?}", items.iter().map(theirs).collect::<Vec<_>>()),
        Value::Mapping(entries) => {
            let entries: BTreeMap<_, _> = entries.iter().map(|(key, value)| (theirs(key), theirs(value))).collect();
            format!("{entries:?}")
        }
        Value::Tagged(tagged) => theirs(&tagged.value),
    }
}

#[test]
fn yaml_is_read_as_others_read_it() {
    for file in files(&cases().join("valid"), "yaml") {
        let text = fs::read_to_string(&file).unwrap();
        // The library rejects closing brackets in places that PyYAML, and so OptiLLM, accepts.
        let Ok(mut value) = serde_yaml::from_str::<serde_yaml::Value>(&text) else { continue };
        value.apply_merge().unwrap();
        let mut findings = problem::Findings::new(&file);
        let node = yaml::read(&text, &mut findings).unwrap().unwrap();
        assert_eq!(ours(&node), theirs(&value), "{}", file.display());
    }
}

#[test]
fn fragments_of_the_specification_load_beside_a_provider() {
    for file in files(&cases().join("fragments"), "yaml") {
        parse_with(&fs::read_to_string(file).unwrap());
    }
}

#[test]
fn full_yaml_has_every_key_and_says_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/full.yaml");
    let text = fs::read_to_string(&file).unwrap();
    for schema in schema::ALL {
        for key in schema.keys() {
            assert!(text.contains(&format!("{key}:")), "{key} of {} is missing", schema.path);
        }
    }
    let full = load(&file, &|_| None, &BUILTINS).unwrap();
    let least = parse_with("");
    assert_eq!(full.health_check, least.health_check);
    assert_eq!(full.queue, least.queue);
    assert_eq!(full.monitoring, least.monitoring);
    assert_eq!(format!("{:?}", full.server), format!("{:?}", least.server));
    let last = |config: &Config| config.providers.last().unwrap().timeouts;
    assert_eq!(last(&full), last(&least));
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let config = parse_with("");
    let provider = &config.providers[0];
    assert_eq!((provider.weight, provider.fallback_only, provider.max_concurrent), (1.0, false, None));
    assert_eq!((provider.kind, provider.api_version.as_str()), (ProviderKind::OpenAi, "2024-10-21"));
    assert_eq!(provider.timeouts, Timeouts { request: seconds(30.0), connect: seconds(5.0), idle: seconds(30.0) });
    assert_eq!(config.strategy.source, StrategySource::BuiltIn("round_robin".into()));
    assert_eq!((config.strategy.line, &config.strategy.config), (0, &serde_json::json!({})));
    assert_eq!(
        config.health_check,
        HealthCheck {
            enabled: true,
            interval: seconds(30.0),
            timeout: seconds(5.0),
            cooldown: seconds(30.0),
            failures: 3
        }
    );
    assert_eq!(
        config.queue,
        Queue { max_concurrent: 100, max_waiting: 1000, timeout: seconds(60.0), slot_wait: seconds(0.5) }
    );
    let Monitoring {
        log_level,
        log_format,
        track_latency,
        track_errors,
        interval,
        explain,
        usage,
        record,
        ledger,
        labels,
    } = config.monitoring;
    assert_eq!((log_level, log_format, track_latency, track_errors), (LogLevel::Info, LogFormat::Text, true, true));
    assert_eq!((interval, explain, record), (seconds(60.0), false, None));
    assert_eq!(usage, StreamUsage::Auto);
    assert_eq!((ledger.stories, ledger.folder, labels), (10_000, None, Vec::new()));
    let server = config.server;
    assert_eq!((server.host.as_str(), server.port, server.api_keys.len()), ("127.0.0.1", 8000, 0));
    assert_eq!((server.max_body_bytes, server.max_header_bytes, server.max_connections), (32 << 20, 32 << 10, 20_000));
    assert_eq!((server.header_timeout, server.idle_timeout), (seconds(10.0), seconds(75.0)));
    assert_eq!((server.drain_timeout, server.watch), (seconds(30.0), true));
    assert!(server.tls.is_none() && server.admin.is_none());
}

#[test]
fn timeouts_lie_over_each_other_and_idle_follows_request() {
    let timeouts = |global: &str, own: &str| {
        let text = format!(
            "timeouts: {{{global}}}\nproviders: [{{name: a, base_url: 'http://a', api_key: k, timeouts: {{{own}}}}}]"
        );
        let config = parse(&text, Path::new("x.yaml"), &|_| None, &BUILTINS).unwrap();
        let Timeouts { request, connect, idle } = config.providers[0].timeouts;
        (request.as_secs_f64(), connect.as_secs_f64(), idle.as_secs_f64())
    };
    assert_eq!(timeouts("request: 10", ""), (10.0, 5.0, 10.0));
    assert_eq!(timeouts("request: 10, idle: 3", "request: 20"), (20.0, 5.0, 3.0));
    assert_eq!(timeouts("request: 10", "request: 20.5, connect: 0.25"), (20.5, 0.25, 20.5));
    assert_eq!(timeouts("idle: 3", "idle: 4"), (30.0, 5.0, 4.0));
    let health = parse_with("routing: {health_check: {interval: 7}}").health_check;
    assert_eq!(health.cooldown, seconds(7.0));
    let queue = parse_with("queue: {timeout: 0, slot_wait: 0.0}").queue;
    assert_eq!((queue.timeout, queue.slot_wait), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn variables_become_what_their_key_wants() {
    let env = |name: &str| match name {
        "N" => Some("2".into()),
        "F" => Some(" 2.5\n".into()),
        "T" => Some("true".into()),
        "SEVEN" => Some("007".into()),
        _ => None,
    };
    let url = "base_url: 'http://a'";
    let one = |rest: &str| parse_one(&format!("{url}, {rest}"), &env).unwrap();
    assert_eq!(one("api_key: k, weight: '${W:-2}'").weight, 2.0);
    assert_eq!(one("api_key: k, weight: '${F}'").weight, 2.5);
    assert_eq!(one("api_key: k, max_concurrent: '${X:-${N}}'").max_concurrent, Some(2));
    assert!(one("api_key: k, fallback_only: '${T}'").fallback_only);
    assert!(one("api_key: k, fallback_only: '${X:-yes}'").fallback_only);
    assert_eq!(one("api_key: '${SEVEN}'").api_key.reveal(), "007");
    assert_eq!(one("api_key: '${T}', model_map: {a: '${N}'}").model_map["a"], "2");
    assert_eq!(one("api_key: '${T}'").api_key.reveal(), "true");
    assert_eq!(one("api_key: '$k${}'").api_key.reveal(), "$k${}");
}

#[test]
fn base_urls_are_normalised_and_azure_is_recognised_by_its_host() {
    let one = |url: &str, rest: &str| parse_one(&format!("base_url: '{url}', api_key: k{rest}"), &|_| None).unwrap();
    assert_eq!(one("https://a/v1///", "").base_url.as_str(), "https://a/v1");
    assert_eq!(one("HTTP://A", "").base_url.as_str(), "http://a/");
    assert_eq!(one("https://x.OpenAI.Azure.com/", "").kind, ProviderKind::Azure);
    assert_eq!(one("https://x.cognitiveservices.azure.com", "").kind, ProviderKind::Azure);
    assert_eq!(one("https://x.openai.azure.com/openai/v1/", "").base_url.path(), "/openai/v1");
    assert_eq!(one("https://azure.example/openai.azure.com", "").kind, ProviderKind::OpenAi);
    assert_eq!(one("https://notopenai.azure.com", "").kind, ProviderKind::OpenAi);
    assert_eq!(one("https://x.openai.azure.com", ", type: openai").kind, ProviderKind::OpenAi);
    assert_eq!(one("https://gateway.example", ", type: azure, api_version: 2025-01-01").api_version, "2025-01-01");
    let headers = one("https://a", ", headers: {X-Title: Pointsman}").headers;
    assert_eq!((headers[0].0.as_str(), headers[0].1.reveal()), ("x-title", "Pointsman"));
}

#[test]
fn what_is_legal_but_strange_is_a_warning() {
    let text = "providers:\n  - {base_url: 'https://api.openai.com', api_key: '$k${}', fallback_only: true, labels: {a: '${ K }'}}\n";
    let config = parse(text, Path::new("x.yaml"), &|_| None, &BUILTINS).unwrap();
    assert_eq!(config.providers[0].name, "provider_0");
    assert_eq!(
        config.warnings,
        [
            "x.yaml:2: providers[0]: has no name and is called provider_0",
            "x.yaml:2: providers[0].base_url: lacks a part of the path: the API of api.openai.com is at /v1",
            "x.yaml:2: providers[0].labels.a: holds a `${` that is not a reference to a variable and is kept as it is",
            "x.yaml:1: providers: all are `fallback_only`, so there is no primary provider",
        ]
    );
}

#[test]
fn keys_for_anchors_stand_at_the_top_and_nowhere_else() {
    let anchors =
        "x-common: &common {weight: 2}\nproviders: [{name: a, base_url: 'http://a', api_key: k, <<: *common}]\n";
    let config = parse(anchors, Path::new("x.yaml"), &|_| None, &BUILTINS).unwrap();
    assert_eq!((config.providers[0].weight, config.warnings.len()), (2.0, 0));
    let error = parse_one("base_url: 'http://a', api_key: k, x-b: 1", &|_| None).unwrap_err();
    assert!(error.to_string().contains("x-b"), "{error}");
}

#[test]
fn an_ipv6_address_may_stand_in_brackets() {
    assert_eq!(parse_with("server: {host: '[::1]'}").server.host, "::1");
}

#[test]
fn strategies_are_resolved_in_order() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("c.yaml");
    fs::create_dir(root.path().join("strategies")).unwrap();
    let files = [
        "strategies/stem.wasm",
        "strategies/weighted.wasm",
        "strategies/canary.wasm",
        "own.wasm",
        "strategies/note.txt",
    ];
    for name in files {
        fs::write(root.path().join(name), "").unwrap();
    }
    let choose = |strategy: &str, strategies: &str| {
        let text = format!(
            "providers: [{{name: a, base_url: 'http://a', api_key: k}}]\nrouting:\n  strategy: {strategy}\n{strategies}"
        );
        parse(&text, &file, &|name| (name == "V").then(|| "v".into()), &["canary", "cheapest", "failover", "weighted"])
            .map(|config| config.strategy)
    };
    let wasm = |name: &str| StrategySource::File(root.path().join(name));

    let declared = choose("weighted", "strategies: {weighted: {path: own.wasm}}").unwrap();
    assert_eq!((declared.source, declared.line), (wasm("own.wasm"), 3), "a declared name comes before a built-in");
    let built_in = choose("weighted", "").unwrap();
    assert_eq!(built_in.source, StrategySource::BuiltIn("weighted".into()), "a built-in before the folder");
    let dropped = choose("canary", "").unwrap();
    assert_eq!(
        dropped.source,
        wasm("strategies/canary.wasm"),
        "but not before it, where the specification has no such name"
    );
    let configured = choose("canary", "strategies: {canary: {config: {a: 1}}}").unwrap();
    assert_eq!(configured.source, wasm("strategies/canary.wasm"));
    assert_eq!(choose("cheapest", "").unwrap().source, StrategySource::BuiltIn("cheapest".into()));
    let second = choose("two", "strategies: {two: {built_in: canary, config: {a: 2}}}").unwrap();
    let canary = StrategySource::BuiltIn("canary".into());
    assert_eq!((second.name.as_str(), second.source), ("two", canary), "whatever the folder has");
    assert_eq!(choose("stem", "").unwrap().source, wasm("strategies/stem.wasm"));
    assert_eq!(choose("own.wasm", "").unwrap().source, wasm("own.wasm"));
    assert!(choose("note", "").is_err());
    assert!(choose("own", "").is_err(), "a stem counts in the folder `strategies` alone");

    let json = "strategies: {weighted: {config: {a: [1, -2.5, '${V}', ${V:-1}, true, ~, 010x], b: {007x: 18446744073709551615}}}}";
    let json = choose("weighted", &json.replace("${V:-1}", "'${V:-1}'")).unwrap().config;
    assert_eq!(
        json,
        serde_json::json!({"a": [1, -2.5, "v", "v", true, null, "010x"], "b": {"007x": 18_446_744_073_709_551_615_u64}})
    );
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let error = load(Path::new("/no/such.yaml"), &|_| None, &BUILTINS).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert!(error.to_string().starts_with("/no/such.yaml: cannot be read: "), "{error}");
    let folder = tempfile::tempdir().unwrap();
    assert!(load(folder.path(), &|_| None, &BUILTINS).is_err());
    let endless = load(Path::new("/dev/zero"), &|_| None, &BUILTINS).unwrap_err();
    assert!(endless.to_string().contains("not a regular file"), "{endless}");
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let waits_for_nobody = load(&fifo, &|_| None, &BUILTINS).unwrap_err();
    assert!(waits_for_nobody.to_string().contains("a pipe"), "{waits_for_nobody}");
    let large = folder.path().join("large");
    fs::write(&large, " ".repeat((32 << 20) + 1)).unwrap();
    let large = load(&large, &|_| None, &BUILTINS).unwrap_err();
    assert!(large.to_string().contains("larger than 32 MiB"), "{large}");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_not_matter() {
    let text = "\u{feff}providers:\r\n  - name: a\r\n    base_url: http://a\r\n    api_key: k\r\n    weight: 0\r\n";
    let error = parse(text, Path::new("x.yaml"), &|_| None, &BUILTINS).unwrap_err();
    assert_eq!(error.to_string(), "x.yaml:5: providers[0].weight: must be a positive number, not 0");
}

#[test]
fn a_last_line_that_nothing_ends_is_still_within_the_file() {
    for (text, lines) in [("providers:\n  - a: b\nm", 3), ("providers:\n  - ? ", 2)] {
        let error = parse(text, Path::new("x.yaml"), &|_| None, &BUILTINS).unwrap_err();
        assert!(error.problems.iter().all(|problem| problem.line <= lines), "{error}");
    }
}
