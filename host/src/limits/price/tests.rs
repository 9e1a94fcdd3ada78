//! Tests of prices: which one is found, and what it makes of a usage.

use proptest::prelude::*;

use super::*;

fn prices(providers: &str, prices: &str) -> Prices {
    let text = format!("providers: [{providers}]\nprices: {prices}\n");
    let config = config::parse(&text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).expect("valid");
    Prices::new(&config)
}

const PROVIDERS: &str = "{name: a, base_url: 'http://a/v1', api_key: k}, \
                         {name: b, base_url: 'http://b/v1', api_key: k, price: {input: 1, output: 2}}, \
                         {name: r, base_url: 'https://openrouter.ai/api/v1', api_key: k, price: reported}";

fn usage(parts: &[(Part, u64)]) -> Usage {
    let mut usage = Usage::default();
    parts.iter().for_each(|(part, tokens)| usage.set(*part, *tokens));
    usage
}

fn nano(dollars: &str) -> Option<Nano> {
    Nano::of_dollars(dollars)
}

#[test]
fn the_providers_own_price_goes_first_then_that_of_all_then_its_price() {
    let prices = prices(
        PROVIDERS,
        "{models: {m: {input: 10, output: 10}, 'm-*': {input: 20, output: 20}, 'm-4*': {input: 30, output: 30}}, \
         providers: {b: {m: {input: 40, output: 40}}}}",
    );
    for (provider, model, cost) in [
        ("a", "m", Some("0.02")),
        ("b", "m", Some("0.08")),
        ("a", "m-1", Some("0.04")),
        ("b", "m-4", Some("0.06")),
        ("b", "other", Some("0.003")),
        ("a", "other", None),
        ("unknown", "m", Some("0.02")),
    ] {
        let cost = cost.and_then(nano);
        assert_eq!(prices.cost(provider, model, &Usage::of(Some(1000), Some(1000))), cost, "{model} at {provider}");
    }
}

#[test]
fn a_missing_rate_is_that_of_the_prompt_or_of_the_answer() {
    let prices = prices(PROVIDERS, "{models: {m: {input: 1, output: 2}, w: {input: 1, cache_write: 3}}}");
    let cost = |model: &str, part| prices.cost("a", model, &usage(&[(part, 1_000_000)]));
    for part in Part::PROMPT {
        assert_eq!(cost("m", part), nano("1"), "{}", part.name());
    }
    for part in Part::ANSWER {
        assert_eq!(cost("m", part), nano("2"), "{}", part.name());
    }
    assert_eq!(cost("w", Part::CacheWriteHour), nano("3"));
    assert_eq!(cost("w", Part::Output), None, "no rate at all is no price, and not nothing");
}

#[test]
fn each_part_has_its_own_rate_and_a_long_prompt_other_ones() {
    let prices = prices(
        PROVIDERS,
        "{models: {'claude-*': {input: 3, cached: 0.3, cache_write: 3.75, cache_write_1h: 6, output: 15, \
         tiers: [{above: 200000, input: 6, output: 22.5}]}}}",
    );
    let short = usage(&[
        (Part::Input, 2048),
        (Part::CacheRead, 1800),
        (Part::CacheWrite, 148),
        (Part::CacheWriteHour, 100),
        (Part::Output, 503),
    ]);
    assert_eq!(prices.cost("a", "claude-sonnet", &short), nano("0.015384"));
    let long = usage(&[(Part::Input, 200_000), (Part::CacheRead, 1), (Part::Output, 1000)]);
    assert_eq!(prices.cost("a", "claude-sonnet", &long), nano("1.2225003"), "what the tier does not name stays");
    let at = usage(&[(Part::Input, 199_999), (Part::CacheRead, 1), (Part::Output, 1000)]);
    assert_eq!(prices.cost("a", "claude-sonnet", &at), nano("0.6149973"));
}

#[test]
fn a_cost_is_rounded_once_and_up() {
    let prices = prices(PROVIDERS, "{models: {tiny: {input: 0.0000004, output: 0.0000004}, e: {input: 0.02}}}");
    assert_eq!(prices.cost("a", "tiny", &Usage::of(Some(1), Some(1))), Some(Nano(1)));
    assert_eq!(prices.cost("a", "e", &Usage::of(Some(10), None)), Some(Nano(200)), "ten tokens of an embedding");
    assert_eq!(prices.cost("a", "e", &Usage::default()), Some(Nano(0)));
}

#[test]
fn the_cost_that_a_provider_names_counts_where_its_price_is_reported() {
    let prices = prices(PROVIDERS, "{models: {m: {input: 1, output: 1}}}");
    let mut usage = Usage::of(Some(1000), Some(1000));
    assert_eq!(prices.cost("r", "m", &usage), nano("0.002"), "an answer without a cost");
    assert_eq!(prices.cost("r", "other", &usage), None);
    usage.reported = nano("0.95");
    assert_eq!((prices.cost("r", "m", &usage), prices.cost("a", "m", &usage)), (nano("0.95"), nano("0.002")));
    assert_eq!(prices.most("r", "other", 1000, 1000), Some(Nano::ZERO), "only the answer will tell");
}

#[test]
fn a_targets_price_stands_in_for_the_providers() {
    let prices = prices(PROVIDERS, "{models: {m: {input: 1, output: 1}}}");
    let usage = Usage::of(Some(1000), Some(1000));
    let target = Some((10.0, 20.0));
    assert_eq!(prices.cost_at(("b", "other"), target, &usage), nano("0.03"));
    assert_eq!(prices.cost_at(("a", "other"), target, &usage), nano("0.03"));
    assert_eq!(prices.cost_at(("b", "m"), target, &usage), nano("0.002"), "`prices` goes first");
    assert_eq!(prices.most_at(("b", "other"), target, (1000, 1000)), nano("0.03"));
}

#[test]
fn the_most_that_a_request_costs_counts_the_dearest_text() {
    let prices = prices(
        PROVIDERS,
        "{models: {m: {input: 3, cache_write: 3.75, output: 15, reasoning: 20, audio_in: 100, \
         tiers: [{above: 1000, input: 6}]}}}",
    );
    assert_eq!(prices.most("a", "m", 1000, 1000), nano("0.02375"));
    assert_eq!(prices.most("a", "m", 2000, 0), nano("0.012"));
    assert_eq!(prices.most("a", "other", 1, 1), None);
}

#[test]
fn prices_of_a_file_are_those_of_the_providers_vendor() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("prices.json");
    let text = r#"{
        "openai": {"api": null, "models": {"m": {"cost": {"input": 1, "output": 1}}, "own": {"cost": {"input": 9}}}},
        "reseller": {"api": "https://api.reseller.example/v1", "models": {"m": {"cost": {"input": 2, "output": 2}},
            "same": {"cost": {"input": 5}}, "differs": {"cost": {"input": 1}}}},
        "other": {"models": {"m": {"cost": {"input": 3, "output": 3}}, "same": {"cost": {"input": 5}},
            "differs": {"cost": {"input": 2}}}},
        "azure": {"models": {"m": {"cost": {"input": 4, "output": 4}}}}}"#;
    std::fs::write(&file, text).expect("written");
    let prices = prices(
        "{name: x, base_url: 'http://x/v1', api_key: k}, {name: other, base_url: 'http://y/v1', api_key: k}, \
         {name: z, base_url: 'https://api.reseller.example/v1', api_key: k}, \
         {name: w, base_url: 'https://w.openai.azure.com', api_key: k}",
        &format!("{{file: '{}'}}", file.display()),
    );
    let cost = |provider: &str, model: &str| prices.cost(provider, model, &Usage::of(Some(1_000_000), None));
    for (provider, model, dollars) in [
        ("x", "m", Some("1")),
        ("other", "m", Some("3")),
        ("z", "m", Some("2")),
        ("w", "m", Some("4")),
        ("x", "same", Some("5")),
        ("x", "differs", None),
        ("z", "differs", Some("1")),
        ("z", "own", Some("9")),
        ("x", "other/m", Some("3")),
        ("x", "nobody/m", None),
    ] {
        assert_eq!(cost(provider, model), dollars.and_then(nano), "{model} at {provider}");
    }
}

proptest! {
    #[test]
    fn a_cost_is_the_sum_of_its_parts_to_a_nano_dollar_and_never_less(tokens in proptest::collection::vec(0_u64..4_000_000_000, 10)) {
        let prices = prices(
            PROVIDERS,
            "{models: {m: {input: 2.5, cached: 0.3, cache_write: 3.75, output: 10.000000001, reasoning: 12}}}",
        );
        let parts: Vec<(Part, u64)> = Part::ALL.into_iter().zip(tokens).collect();
        let whole = prices.cost("a", "m", &usage(&parts)).expect("priced").0;
        let apart: u64 = parts.iter().map(|part| prices.cost("a", "m", &usage(&[*part])).expect("priced").0).sum();
        prop_assert!(whole <= apart && apart <= whole + 10);
    }
}
