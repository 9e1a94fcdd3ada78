//! Files of prices that other projects keep, recognised by their shape.
//!
//! - LiteLLM's `model_prices_and_context_window.json` (schema: `model_prices_and_context_window.schema.json` beside it): an
//!   object of models, each with dollars per token: `input_cost_per_token`, `cache_read_input_token_cost` and so on;
//!   `..._above_200k_tokens` are the rates for longer prompts, `tiered_pricing` those by ranges.
//! - models.dev's `api.json` (<https://models.dev>, "API"): an object of vendors, each with its models, of which `cost` has
//!   dollars per million tokens: `input`, `cache_read` and so on; `tiers` and `context_over_200k` are the rates for longer
//!   prompts.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{FilePrice, PriceTier, Rates};

/// The files that are understood, for help.
const SHAPES: &str = "a file is in the form of models.dev's api.json or of LiteLLM's \
                      model_prices_and_context_window.json";

/// LiteLLM's names for the rates.
const LITELLM: [(&str, &str); 10] = [
    ("input_cost_per_token", "input"),
    ("output_cost_per_token", "output"),
    ("cache_read_input_token_cost", "cached"),
    ("cache_creation_input_token_cost", "cache_write"),
    ("cache_creation_input_token_cost_above_1hr", "cache_write_1h"),
    ("output_cost_per_reasoning_token", "reasoning"),
    ("input_cost_per_audio_token", "audio_in"),
    ("output_cost_per_audio_token", "audio_out"),
    ("input_cost_per_image_token", "image_in"),
    ("output_cost_per_image_token", "image"),
];

/// The names of models.dev for them.
const MODELS_DEV: [(&str, &str); 7] = [
    ("input", "input"),
    ("output", "output"),
    ("cache_read", "cached"),
    ("cache_write", "cache_write"),
    ("reasoning", "reasoning"),
    ("input_audio", "audio_in"),
    ("output_audio", "audio_out"),
];

/// The format of a file, and its prices.
type Found = (&'static str, Vec<FilePrice>);

/// Reads a file. The error is a message and perhaps a help.
pub(super) fn read(bytes: &[u8]) -> Result<Found, (String, Option<&'static str>)> {
    let entries: BTreeMap<String, &RawValue> =
        serde_json::from_slice(bytes).map_err(|error| (format!("is not a JSON object: {error}"), Some(SHAPES)))?;
    let entries = entries.into_iter().filter_map(|(name, entry)| {
        let entry: Map<String, Value> = serde_json::from_str(entry.get()).ok()?;
        Some((name, entry))
    });
    let (mut prices, mut vendors, mut models) = (Vec::new(), 0, 0);
    for (name, entry) in entries {
        match entry.get("models") {
            Some(Value::Object(of_vendor)) => {
                vendors += 1;
                let api = entry.get("api").and_then(Value::as_str).map(str::to_owned);
                prices.extend(
                    of_vendor.iter().filter_map(|(model, entry)| models_dev(&name, model, api.as_ref(), entry)),
                );
            }
            _ if name != "sample_spec" => {
                let is_model = entry.keys().any(|key| key == "litellm_provider" || key.contains("_cost_per_"));
                models += usize::from(is_model);
                prices.extend(litellm(&name, &entry));
            }
            _ => {}
        }
    }
    match (vendors, models) {
        (0, 0) => Err(("has no prices that are understood".to_owned(), Some(SHAPES))),
        _ if prices.is_empty() => Err(("has no model with a price per token".to_owned(), Some(SHAPES))),
        (0, _) => Ok(("LiteLLM's", prices)),
        (_, _) => Ok(("models.dev's", prices)),
    }
}

/// A rate in dollars per million; `None` for what is no sane one.
fn rate(value: Option<&Value>, factor: f64) -> Option<f64> {
    let rate = match value? {
        Value::String(text) => text.parse().ok()?,
        value => value.as_f64()?,
    };
    let rate = rate * factor;
    // To the nearest nano-dollar, because the product of two floats has an error in its last digits.
    ((0.0..=1e6).contains(&rate)).then(|| (rate * 1e9).round() / 1e9)
}

/// The rates under these names, each with `suffix`.
fn rates(entry: &Map<String, Value>, names: &[(&str, &str)], suffix: &str, factor: f64) -> Rates {
    let mut rates = Rates::default();
    for (theirs, ours) in names {
        if let Some(place) = rates.named(ours) {
            *place = rate(entry.get(&format!("{theirs}{suffix}")), factor);
        }
    }
    rates
}

fn is_set(rates: &Rates) -> bool {
    rates.set().next().is_some()
}

/// True for a key by which LiteLLM names a rate for each token.
pub(crate) fn is_litellm_rate(key: &str) -> bool {
    let plain = match thousands(key) {
        Some(_) => key.rsplit_once("_above_").map_or(key, |(plain, _)| plain),
        None => key,
    };
    LITELLM.iter().any(|(theirs, _)| *theirs == plain)
}

/// The rates of an entry of LiteLLM's, and those for longer prompts.
pub(crate) fn litellm_rates(entry: &Map<String, Value>) -> Option<(Rates, Vec<PriceTier>)> {
    const PER_TOKEN: f64 = 1e6;
    let mut base = rates(entry, &LITELLM, "", PER_TOKEN);
    let mut tiers = Vec::new();
    let mut marks: Vec<u64> = entry.keys().filter_map(|key| thousands(key)).collect();
    marks.sort_unstable();
    marks.dedup();
    for mark in marks {
        let rates = rates(entry, &LITELLM, &format!("_above_{mark}k_tokens"), PER_TOKEN);
        if is_set(&rates) {
            tiers.push(PriceTier { above: mark * 1000, rates });
        }
    }
    for range in entry.get("tiered_pricing").and_then(Value::as_array).into_iter().flatten() {
        let Some(range) = range.as_object() else { continue };
        let above = range.get("range").and_then(|range| range.get(0)).and_then(Value::as_f64).unwrap_or(0.0);
        let rates = rates(range, &LITELLM, "", PER_TOKEN);
        match above {
            0.0 if !is_set(&base) => base = rates,
            above if above > 0.0 && is_set(&rates) => tiers.push(PriceTier { above: above as u64, rates }),
            _ => {}
        }
    }
    tiers.sort_by_key(|tier| tier.above);
    is_set(&base).then_some((base, tiers))
}

/// One model of LiteLLM's file. Its name may begin with that of its vendor.
fn litellm(name: &str, entry: &Map<String, Value>) -> Option<FilePrice> {
    let (base, tiers) = litellm_rates(entry)?;
    let vendor = entry.get("litellm_provider").and_then(Value::as_str).unwrap_or_default();
    let model = name.strip_prefix(vendor).and_then(|rest| rest.strip_prefix('/')).filter(|_| !vendor.is_empty());
    Some(FilePrice {
        vendor: vendor.to_owned(),
        model: model.unwrap_or(name).to_owned(),
        api: None,
        rates: base,
        tiers,
    })
}

/// The thousands of tokens in a key such as `input_cost_per_token_above_200k_tokens`.
fn thousands(key: &str) -> Option<u64> {
    let (_, mark) = key.strip_suffix("k_tokens")?.rsplit_once("_above_")?;
    mark.parse().ok().filter(|mark| (1..=100_000).contains(mark))
}

/// One model of models.dev's file.
fn models_dev(vendor: &str, model: &str, api: Option<&String>, entry: &Value) -> Option<FilePrice> {
    let cost = entry.get("cost")?.as_object()?;
    let base = rates(cost, &MODELS_DEV, "", 1.0);
    let mut tiers = Vec::new();
    for tier in cost.get("tiers").and_then(Value::as_array).into_iter().flatten() {
        let Some(tier) = tier.as_object() else { continue };
        let Some(size) = tier.get("tier").and_then(|tier| tier.get("size")).and_then(Value::as_u64) else { continue };
        let rates = rates(tier, &MODELS_DEV, "", 1.0);
        if is_set(&rates) {
            tiers.push(PriceTier { above: size, rates });
        }
    }
    // Of both, the tiers are newer and say more.
    if tiers.is_empty()
        && let Some(long) = cost.get("context_over_200k").and_then(Value::as_object)
    {
        let rates = rates(long, &MODELS_DEV, "", 1.0);
        if is_set(&rates) {
            tiers.push(PriceTier { above: 200_000, rates });
        }
    }
    tiers.sort_by_key(|tier| tier.above);
    let (vendor, model, api) = (vendor.to_owned(), model.to_owned(), api.cloned());
    is_set(&base).then_some(FilePrice { vendor, model, api, rates: base, tiers })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITELLMS: &str = r#"{
      "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of https://docs.litellm.ai/docs/providers"},
      "gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06,
        "litellm_provider": "openai", "mode": "chat", "supports_vision": true},
      "azure/gpt-4o": {"input_cost_per_token": 2.75e-06, "output_cost_per_token": 1.1e-05, "litellm_provider": "azure"},
      "claude-sonnet-4-5": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
        "cache_read_input_token_cost": 3e-07, "cache_creation_input_token_cost": 3.75e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06, "input_cost_per_token_above_200k_tokens": 6e-06,
        "output_cost_per_token_above_200k_tokens": 2.25e-05, "litellm_provider": "anthropic"},
      "dashscope/qwen-plus": {"litellm_provider": "dashscope", "tiered_pricing": [
        {"range": [0, 256000.0], "input_cost_per_token": 4e-07, "output_cost_per_token": 1.2e-06},
        {"range": [256000.0, 1000000.0], "input_cost_per_token": 1.2e-06, "output_cost_per_token": 3.6e-06}]},
      "dall-e-3": {"input_cost_per_image": 0.04, "litellm_provider": "openai"}}"#;

    const MODELSDEVS: &str = r#"{
      "openai": {"id": "openai", "api": "https://api.openai.com/v1", "models": {"gpt-5.5": {"cost": {"input": 5, "output": 30,
        "cache_read": 0.5, "tiers": [{"input": 10, "output": 45, "cache_read": 1, "tier": {"type": "context",
        "size": 272000}}], "context_over_200k": {"input": 10, "output": 45}}}}},
      "google": {"models": {"gemini-2.5-flash": {"cost": {"input": 0.3, "output": 2.5, "cache_read": 0.075,
        "input_audio": 1}}, "gemma": {"limit": {"context": 8192}}, "gemini-3-pro": {"cost": {"input": 2, "output": 12,
        "context_over_200k": {"input": 4, "output": 18}}}}}}"#;

    fn find<'p>(prices: &'p [FilePrice], vendor: &str, model: &str) -> &'p FilePrice {
        prices.iter().find(|price| (price.vendor.as_str(), price.model.as_str()) == (vendor, model)).unwrap()
    }

    #[test]
    fn litellms_prices_per_token_are_read_with_their_tiers() {
        let (format, prices) = read(LITELLMS.as_bytes()).unwrap();
        assert_eq!((format, prices.len()), ("LiteLLM's", 4), "neither the sample nor one per picture");
        let gpt = find(&prices, "openai", "gpt-4o");
        assert_eq!((gpt.rates.input, gpt.rates.cached, gpt.rates.output), (Some(2.5), Some(1.25), Some(10.0)));
        assert_eq!(find(&prices, "azure", "gpt-4o").rates.input, Some(2.75));
        let claude = find(&prices, "anthropic", "claude-sonnet-4-5");
        assert_eq!((claude.rates.cached, claude.rates.cache_write_1h), (Some(0.3), Some(6.0)));
        let [tier] = &claude.tiers[..] else { panic!("{claude:?}") };
        assert_eq!((tier.above, tier.rates.input, tier.rates.output), (200_000, Some(6.0), Some(22.5)));
        let qwen = find(&prices, "dashscope", "qwen-plus");
        assert_eq!(
            (qwen.rates.input, qwen.tiers[0].above, qwen.tiers[0].rates.output),
            (Some(0.4), 256_000, Some(3.6))
        );
    }

    #[test]
    fn models_devs_prices_per_million_are_read_with_their_tiers() {
        let (format, prices) = read(MODELSDEVS.as_bytes()).unwrap();
        assert_eq!((format, prices.len()), ("models.dev's", 3));
        let gpt = find(&prices, "openai", "gpt-5.5");
        assert_eq!((gpt.rates.cached, gpt.tiers.len(), gpt.tiers[0].above), (Some(0.5), 1, 272_000));
        assert_eq!(gpt.api.as_deref(), Some("https://api.openai.com/v1"));
        assert_eq!(find(&prices, "google", "gemini-2.5-flash").rates.audio_in, Some(1.0));
        assert_eq!(find(&prices, "google", "gemini-3-pro").tiers[0].rates.output, Some(18.0));
    }

    #[test]
    fn a_file_of_another_kind_is_refused_with_the_kinds_that_are_understood() {
        for (text, message) in [
            ("[]", "is not a JSON object"),
            ("{", "is not a JSON object"),
            ("{}", "has no prices that are understood"),
            (r#"{"name": "x", "version": 1}"#, "has no prices that are understood"),
            (r#"{"dall-e-3": {"litellm_provider": "openai"}}"#, "has no model with a price per token"),
        ] {
            let (wrong, help) = read(text.as_bytes()).unwrap_err();
            assert!(wrong.starts_with(message) && help.is_some(), "{text}: {wrong}");
        }
    }
}
