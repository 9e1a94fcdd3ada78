//! `pointsman prices`: which price applies to a model and why, and files of prices turned into YAML.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{load, say, wrong};
use crate::config::prices::read_file;
use crate::config::{Config, FilePrice, PriceTier, Rates, fits};
use crate::limits::{Nano, Prices, Usage};

/// The tokens of the prompt and of the answer that a price is shown for.
const SAMPLE: u64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show which price applies to a model at each provider, why, and what 1,000 tokens in and out cost.
    Show(Show),
    /// Print prices of a file, models.dev's api.json or LiteLLM's model_prices_and_context_window.json, as `prices` in YAML.
    Convert(Convert),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The model, as clients ask for it.
    model: String,
    /// Show this provider alone.
    #[arg(long)]
    provider: Option<String>,
    /// The configuration [default: as for `serve`].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Convert {
    /// The file.
    file: PathBuf,
    /// The models, with commas between, exactly or with one `*`.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    models: Vec<String>,
}

pub(super) fn run(command: &Command) -> ExitCode {
    let outcome = match command {
        Command::Show(show) => run_show(show),
        Command::Convert(convert) => run_convert(convert),
    };
    match outcome {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(problem) => wrong(&problem),
    }
}

fn run_show(show: &Show) -> Result<String, String> {
    let config = load(show.config.as_deref())?;
    if let Some(name) = &show.provider
        && !config.providers.iter().any(|provider| provider.name == *name)
    {
        let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
        return Err(format!("there is no provider {name}; the providers are {}", names.join(", ")));
    }
    let prices = Prices::new(&config);
    let mut places = places(&config, &show.model);
    places.retain(|place| show.provider.as_ref().is_none_or(|name| place.provider == *name));
    if places.is_empty() {
        let at = show.provider.as_ref().map(|name| format!(" at {name}")).unwrap_or_default();
        return Err(format!("{} is not served{at} by this configuration", show.model));
    }
    if show.json {
        let shown: Vec<Value> = places.iter().map(|place| place.json(&prices)).collect();
        return Ok(format!("{:#}", json!({"model": show.model, "prices": shown})));
    }
    Ok(places.iter().map(|place| place.text(&prices)).collect())
}

/// A provider that serves the model, by its own name for it.
struct Place {
    provider: String,
    model: String,
    /// The price of the target.
    price: Option<(f64, f64)>,
}

/// The places where a model is served: the targets of its route, or all providers that have it.
fn places(config: &Config, model: &str) -> Vec<Place> {
    let route = config.routes.iter().find(|route| route.models.iter().any(|name| fits(name, model)));
    let Some(route) = route.filter(|route| !route.targets.is_empty()) else {
        if route.is_none() && !config.routes.is_empty() {
            return Vec::new();
        }
        let serving = config.providers.iter().filter(|provider| provider.serves(model));
        return serving
            .map(|provider| Place {
                provider: provider.name.clone(),
                model: provider.model_for(model).into_owned(),
                price: provider.price.map(|price| (price.input, price.output)),
            })
            .collect();
    };
    let pattern = route.models.iter().find(|name| fits(name, model)).map_or("", String::as_str);
    let taken = pattern.split_once('*').and_then(|(before, after)| model.strip_prefix(before)?.strip_suffix(after));
    let place = |target: &crate::config::Target| {
        let provider = &config.providers[target.provider];
        let model = match &target.model {
            Some(own) => own.replacen('*', taken.unwrap_or_default(), 1),
            None => provider.model_for(model).into_owned(),
        };
        let price = target.price.map(|price| (price.input, price.output));
        Place { provider: provider.name.clone(), model, price }
    };
    route.targets.iter().map(place).collect()
}

impl Place {
    fn cost(&self, prices: &Prices) -> Option<Nano> {
        let usage = Usage::of(Some(SAMPLE), Some(SAMPLE));
        prices.cost_at((&self.provider, &self.model), self.price, &usage)
    }

    /// The rates, the tiers, and why they apply.
    fn found(&self, prices: &Prices) -> Option<(Rates, Vec<PriceTier>, String)> {
        let entry = prices.entry_at((&self.provider, &self.model), self.price)?;
        Some((entry.written, entry.written_tiers.clone(), entry.source.to_string()))
    }

    fn text(&self, prices: &Prices) -> String {
        let Self { provider, model, .. } = self;
        let mut text = format!("{model} at {provider}\n");
        if prices.are_reported(provider) {
            text += "  the cost that its answers name counts (`price: reported`); where one names none:\n";
        }
        let Some((rates, tiers, source)) = self.found(prices) else {
            return text + "  no price: neither `prices` nor `price` of the provider has one that fits\n";
        };
        text += &format!("  by {source}\n  {} dollars per million tokens\n", listed(&rates));
        for tier in tiers {
            text += &format!("  for prompts above {} tokens: {}\n", tier.above, listed(&tier.rates));
        }
        match self.cost(prices) {
            Some(cost) => text + &format!("  {SAMPLE} + {SAMPLE} tokens: {cost} dollars\n"),
            None => {
                text + "  without a rate for requests, or none for answers, so those that have them have no price\n"
            }
        }
    }

    fn json(&self, prices: &Prices) -> Value {
        let object = |rates: &Rates| {
            rates.set().map(|(name, rate)| (name.to_owned(), json!(rate))).collect::<serde_json::Map<_, _>>()
        };
        let found = self.found(prices);
        let tiers = found.as_ref().map(|(_, tiers, _)| {
            let tier = |tier: &PriceTier| json!({"above": tier.above, "rates": object(&tier.rates)});
            tiers.iter().map(tier).collect::<Vec<_>>()
        });
        json!({
            "provider": self.provider,
            "model": self.model,
            "reported": prices.are_reported(&self.provider),
            "source": found.as_ref().map(|(.., source)| source),
            "rates": found.as_ref().map(|(rates, ..)| object(rates)),
            "tiers": tiers,
            "sample": {"prompt_tokens": SAMPLE, "completion_tokens": SAMPLE, "cost": self.cost(prices).map(Nano::dollars)},
        })
    }
}

fn listed(rates: &Rates) -> String {
    rates.set().map(|(name, rate)| format!("{name} {rate}")).collect::<Vec<_>>().join(", ")
}

fn run_convert(convert: &Convert) -> Result<String, String> {
    if let Some(name) = convert.models.iter().find(|name| name.is_empty() || name.matches('*').count() > 1) {
        return Err(format!("--models: `{name}` must be a name, with one `*` at most"));
    }
    let file = read_file(&convert.file).map_err(|(message, help)| match help {
        Some(help) => format!("{message}\n  help: {help}"),
        None => message,
    })?;
    let mut chosen: Vec<&FilePrice> = Vec::new();
    for price in &file.prices {
        if convert.models.iter().any(|name| fits(name, &price.model)) {
            chosen.push(price);
        }
    }
    if chosen.is_empty() {
        return Err(format!("no model in {} is called {}", convert.file.display(), convert.models.join(" or ")));
    }
    chosen.sort_by(|a, b| (&a.model, &a.vendor).cmp(&(&b.model, &b.vendor)));
    Ok(yaml(&chosen, file.format))
}

/// `prices` with these; a model that several vendors sell at different prices stands there once for each, all but the
/// first as comments.
fn yaml(chosen: &[&FilePrice], format: &str) -> String {
    let mut text = format!("# From a file in {format} format; dollars per million tokens.\nprices:\n  models:\n");
    let mut written: Vec<(&str, String)> = Vec::new();
    for price in chosen {
        let line = entry(price);
        if written.iter().any(|(model, other)| *model == price.model && *other == line) {
            continue;
        }
        let is_other = written.iter().any(|(model, _)| *model == price.model);
        let mark = if is_other { "# " } else { "" };
        text += &format!("    {mark}{}: {line}  # {}\n", quoted(&price.model), price.vendor);
        written.push((&price.model, line));
    }
    text
}

fn entry(price: &FilePrice) -> String {
    let pairs = |rates: &Rates| rates.set().map(|(name, rate)| format!("{name}: {rate}")).collect::<Vec<_>>();
    let mut parts = pairs(&price.rates);
    if !price.tiers.is_empty() {
        let tier = |tier: &PriceTier| {
            let rates: Vec<String> =
                std::iter::once(format!("above: {}", tier.above)).chain(pairs(&tier.rates)).collect();
            format!("{{{}}}", rates.join(", "))
        };
        parts.push(format!("tiers: [{}]", price.tiers.iter().map(tier).collect::<Vec<_>>().join(", ")));
    }
    format!("{{{}}}", parts.join(", "))
}

/// A name as a YAML key that is the same text whatever it looks like.
fn quoted(name: &str) -> String {
    serde_json::to_string(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
providers:
  - {name: a, base_url: 'http://a/v1', api_key: k, model_map: {gpt-4o: gpt-4o-deploy}}
  - {name: r, base_url: 'http://r/v1', api_key: k, price: reported}
prices:
  models:
    'gpt-4o*': {input: 2.5, cached: 1.25, output: 10, tiers: [{above: 200000, input: 5}]}
";

    fn config(text: &str) -> Config {
        crate::config::parse(text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).expect("valid")
    }

    #[test]
    fn a_price_is_shown_with_its_reason_and_a_sample() {
        let config = config(CONFIG);
        let prices = Prices::new(&config);
        let [a, r] = &places(&config, "gpt-4o")[..] else { panic!("both") };
        assert_eq!(
            a.text(&prices),
            "gpt-4o-deploy at a\n  by prices.models.gpt-4o*, the most special pattern that fits\n  input 2.5, cached 1.25, \
             output 10 dollars per million tokens\n  for prompts above 200000 tokens: input 5\n  1000 + 1000 tokens: 0.0125 \
             dollars\n"
        );
        assert!(r.text(&prices).contains("(`price: reported`)"));
        let json = a.json(&prices);
        assert_eq!((&json["sample"]["cost"], &json["rates"]["cached"]), (&json!(0.0125), &json!(1.25)));
        let unknown = &places(&config, "other")[0];
        assert!(unknown.text(&prices).contains("no price"), "{}", unknown.text(&prices));
        assert_eq!(unknown.json(&prices)["sample"]["cost"], Value::Null);
    }

    #[test]
    fn the_targets_of_a_route_are_shown_by_their_own_names() {
        let routes =
            "routes: [{models: ['v-*'], targets: [{provider: a, model: 'x-*', price: {input: 1, output: 2}}]}]";
        let config = config(&format!("{CONFIG}{routes}\n"));
        let [place] = &places(&config, "v-1")[..] else { panic!("one") };
        assert_eq!((place.provider.as_str(), place.model.as_str()), ("a", "x-1"));
        assert_eq!(place.cost(&Prices::new(&config)), Nano::of_dollars("0.003"));
        assert!(places(&config, "gpt-4o").is_empty(), "no route is for it");
    }

    #[test]
    fn what_is_converted_is_a_configuration_with_the_same_prices() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("api.json");
        let text = r#"{"v": {"models": {"m-1": {"cost": {"input": 0.15, "output": 0.6, "tiers": [
            {"input": 0.3, "output": 1.2, "tier": {"size": 128000}}]}}, "n": {"cost": {"input": 1}}}},
            "w": {"models": {"m-1": {"cost": {"input": 0.2, "output": 0.8}}, "m-2": {"cost": {"input": 3, "output": 4}}}}}"#;
        std::fs::write(&file, text).expect("written");
        let convert = |models: &str| {
            run_convert(&Convert { file: file.clone(), models: models.split(',').map(str::to_owned).collect() })
        };
        let yaml = convert("m-*").expect("found");
        assert!(yaml.contains("    # \"m-1\": {input: 0.2, output: 0.8}  # w\n"), "{yaml}");
        let providers = "providers: [{name: a, base_url: 'http://a/v1', api_key: k}]\n";
        let config = config(&format!("{providers}{yaml}"));
        assert_eq!(config.prices.models.len(), 2);
        assert_eq!(
            (config.prices.models[0].tiers[0].above, config.prices.models[1].rates.output),
            (128_000, Some(4.0))
        );
        assert!(convert("q").unwrap_err().contains("is called q"));
        assert!(convert("a*b*").unwrap_err().contains("one `*` at most"));
    }
}
