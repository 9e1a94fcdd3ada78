//! Arbitrary input: loading it ends quickly and never panics.

use proptest::prelude::*;

use super::*;

#[test]
fn large_files_are_answered_quickly() {
    let started = std::time::SystemTime::now();
    let keys: String = (0..100_000).map(|i| format!("k{i}: 1\n")).collect();
    let flow = "[".repeat(500_000);
    let dollars = format!("a: {}", "${A:-".repeat(150_000));
    let merges = format!("a: &a {{b: 1}}\n{}", (0..15_000).map(|i| format!("c{i}: {{<<: *a}}\n")).collect::<String>());
    let layout = format!("p:\n  q: [\n{}", "a,\n".repeat(100_000));
    for text in [keys, flow, dollars, merges, layout, "- ".repeat(300_000), "? ".repeat(300_000), "&a ".repeat(300_000)]
    {
        let _ = parse(&text, Path::new("x.yaml"), &|_| None, &BUILTINS);
    }
    assert!(started.elapsed().unwrap() < seconds(20.0));
}

/// Snippets that often belong together, so that random texts get past the parser.
fn yaml_ish() -> impl Strategy<Value = String> {
    let snippets = [
        "providers:",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "name: ",
        "base_url: ",
        "https://a.example/v1",
        "api_key: ",
        "weight: ",
        "routing: ",
        "strategy: ",
        "health_check: ",
        "interval: ",
        "strategies: ",
        "config: ",
        "path: ",
        "timeouts: ",
        "request: ",
        "queue: ",
        "server: ",
        "api_keys: ",
        "headers: ",
        "model_map: ",
        "port: ",
        "${A}",
        "${B:-",
        "}",
        "{",
        "[",
        "]",
        ", ",
        "&a ",
        "*a",
        "<<: ",
        "\"",
        "'",
        "|",
        ">-",
        "!!str ",
        "!x ",
        "# ",
        "---",
        "~",
        "true",
        "-1",
        "1e999",
        ".inf",
        "0x1",
        "\t",
        "é",
        "\u{0}",
        "%",
        "? ",
        ": ",
        "@",
        "`",
        "\u{feff}",
        "\r",
        "\\",
    ];
    proptest::collection::vec(proptest::sample::select(snippets.to_vec()), 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nothing_a_user_writes_panics(text in yaml_ish()) {
        let env = |name: &str| (name == "A").then(|| "1".to_owned());
        if let Err(error) = parse(&text, Path::new("x.yaml"), &env, &BUILTINS) {
            prop_assert!(!error.problems.is_empty());
        }
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in any::<String>()) {
        let _ = parse(&text, Path::new("x.yaml"), &secrets, &BUILTINS);
    }

    #[test]
    fn arbitrary_values_do_not_panic(value in ".{0,30}", key in 0..12_usize) {
        let value = serde_json::to_string(&value).unwrap();
        let text = format!("providers: [{{name: a, base_url: 'http://a', api_key: k}}, {{{}: {value}}}]", schema::PROVIDER.rows[key].key);
        let _ = parse(&text, Path::new("x.yaml"), &secrets, &BUILTINS);
        let text = format!("providers: [{{name: a, base_url: 'http://a', api_key: k}}]\nrouting: {{strategy: {value}}}");
        let _ = parse(&text, Path::new("x.yaml"), &secrets, &BUILTINS);
    }
}
