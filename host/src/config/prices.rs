//! `prices`: what the tokens of each model cost, written here or in a file that another project keeps.

use std::path::{Path, PathBuf};

pub(crate) mod file;

use super::node::Node;
use super::problem::{Place, Reported};
use super::provider::several_stars;
use super::read::{Reader, Section, content_up_to};
use super::schema::{MODEL_PRICE, PRICE, PRICE_TIER, PRICES};
use super::{Config, Counts, Limits, Price, Provider};

/// The largest file of prices; LiteLLM's has 2 MB, models.dev's 3.
pub(crate) const MAX_FILE: u64 = 16 << 20;

/// The most tokens of a prompt that a tier can begin above.
const MAX_TOKENS: u64 = 1_000_000_000;

/// `prices`: all that is known of what tokens cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    /// Those written in the configuration, in its order: those of one provider, and then those of all.
    pub models: Vec<ModelPrice>,
    /// Those of the file, if one is named.
    pub file: Option<PriceFile>,
    /// The treatment of a request without a known price while a budget counts money.
    pub unpriced: Unpriced,
}

/// A file of prices, read.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceFile {
    /// The file.
    pub path: PathBuf,
    /// Its format, in a word or two.
    pub format: &'static str,
    /// Its prices, in no order.
    pub prices: Vec<FilePrice>,
}

/// One price of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePrice {
    /// The vendor, as the file calls it; empty if the file does not say.
    pub vendor: String,
    /// The vendor's name for the model.
    pub model: String,
    /// The address of the vendor's API, if the file names it.
    pub api: Option<String>,
    /// The rates.
    pub rates: Rates,
    /// Others for long prompts.
    pub tiers: Vec<PriceTier>,
}

/// The treatment of a request without a known price while a budget counts money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unpriced {
    /// It is refused.
    #[default]
    Refuse,
    /// It costs nothing, is counted, and warned about.
    Free,
}

/// The price of the models of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPrice {
    /// The provider that it is for, by its name; `None` is every one.
    pub provider: Option<String>,
    /// The provider's name for the model, with one `*` at most.
    pub model: String,
    /// The rates.
    pub rates: Rates,
    /// Others for long prompts, by their beginning.
    pub tiers: Vec<PriceTier>,
}

/// The rates for prompts above a number of tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PriceTier {
    /// The tokens of the prompt above which they hold, for all of its tokens and those of the answer.
    pub above: u64,
    /// Those that differ; the others stay.
    pub rates: Rates,
}

/// Dollars for a million tokens, of each sort that has a rate of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// The rate of a prompt.
    pub input: Option<f64>,
    /// The rate of a prompt that is read from a cache; as `input` without it.
    pub cached: Option<f64>,
    /// The rate of a prompt that is written to a cache; as `input` without it.
    pub cache_write: Option<f64>,
    /// The rate of a prompt that is written to a cache for an hour; as `cache_write` without it.
    pub cache_write_1h: Option<f64>,
    /// The rate of an answer.
    pub output: Option<f64>,
    /// The rate of reasoning; as `output` without it.
    pub reasoning: Option<f64>,
    /// The rate of audio in a prompt; as `input` without it.
    pub audio_in: Option<f64>,
    /// The rate of audio in an answer; as `output` without it.
    pub audio_out: Option<f64>,
    /// The rate of pictures in a prompt; as `input` without it.
    pub image_in: Option<f64>,
    /// The rate of pictures in an answer; as `output` without it.
    pub image: Option<f64>,
}

/// The names of the rates.
pub(crate) const RATES: [&str; 10] = [
    "input",
    "cached",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "audio_in",
    "audio_out",
    "image_in",
    "image",
];

impl Config {
    /// True when a limit of tokens, a budget or a price needs the usage of every answer: `price` alone, which is for strategies,
    /// does not.
    pub fn counts_tokens(&self) -> bool {
        let prices = !self.prices.models.is_empty() || self.prices.file.is_some();
        let counts = |limits: &Limits| {
            let tokens = limits.rates.iter().any(|rate| rate.counts == Counts::Tokens);
            tokens || limits.tokens_per_request.is_some() || !limits.budgets.is_empty()
        };
        prices
            || self.providers.iter().any(|provider| provider.reports_cost || counts(&provider.limits))
            || self.routes.iter().any(|route| counts(&route.limits))
    }
}

impl Rates {
    /// The rate of this name.
    pub(crate) fn named(&mut self, name: &str) -> Option<&mut Option<f64>> {
        Some(match name {
            "input" => &mut self.input,
            "cached" => &mut self.cached,
            "cache_write" => &mut self.cache_write,
            "cache_write_1h" => &mut self.cache_write_1h,
            "output" => &mut self.output,
            "reasoning" => &mut self.reasoning,
            "audio_in" => &mut self.audio_in,
            "audio_out" => &mut self.audio_out,
            "image_in" => &mut self.image_in,
            "image" => &mut self.image,
            _ => return None,
        })
    }

    /// Those that are set, with their names.
    pub fn set(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let mut all = *self;
        RATES.into_iter().filter_map(move |name| Some((name, (*all.named(name)?)?)))
    }
}

/// Reads `prices`.
pub(super) fn prices(reader: &mut Reader<'_>, top: &Section<'_>, providers: &[Provider]) -> Prices {
    let section = reader.section(top, "prices", Some(PRICES));
    let policies = [("refuse", Unpriced::Refuse), ("free", Unpriced::Free)];
    let unpriced = reader.one_of(&section, "unpriced", &policies, false).unwrap_or_default();
    let file = named_file(reader, &section);
    let mut models = Vec::new();
    for (at, name, node) in reader.section(&section, "providers", None).entries() {
        if !providers.iter().any(|provider| provider.name == name) {
            let names: Vec<&str> = providers.iter().map(|provider| provider.name.as_str()).collect();
            let help = format!("the providers are {}", names.join(", "));
            reader.findings.problem(&at, "is not the name of a provider", Some(help));
        }
        let Ok(of_provider) = reader.mapping(Some(node), at, None) else { continue };
        for (at, model, node) in of_provider.entries() {
            models.extend(price_of(reader, (at, model, node), Some(name)).ok());
        }
    }
    for entry in reader.section(&section, "models", None).entries() {
        models.extend(price_of(reader, entry, None).ok());
    }
    Prices { models, file, unpriced }
}

/// One entry of `prices.models`.
fn price_of(
    reader: &mut Reader<'_>,
    (at, model, node): (Place, &str, &Node),
    provider: Option<&str>,
) -> Result<ModelPrice, Reported> {
    if model.is_empty() {
        return Err(reader.findings.problem(&at, "must not be empty", None));
    }
    if model.matches('*').count() > 1 {
        return Err(several_stars(reader, &at));
    }
    let section = reader.mapping(Some(node), at.clone(), Some(MODEL_PRICE))?;
    let rates = rates(reader, &section);
    if RATES.iter().all(|name| section.get(name).is_none()) {
        let help = "such as {input: 2.5, cached: 1.25, output: 10}, in dollars per million tokens".to_owned();
        return Err(reader.findings.problem(&at, "has no rate", Some(help)));
    }
    let mut tiers: Vec<PriceTier> = Vec::new();
    for (at, node) in reader.list(&section, "tiers") {
        let Ok(section) = reader.mapping(Some(node), at.clone(), Some(PRICE_TIER)) else { continue };
        let above = reader.integer(&section, "above", "a number of tokens, 1 or more", 1, MAX_TOKENS);
        if section.get("above").is_none() {
            let help = "the tokens of a prompt above which these rates hold, such as 200000".to_owned();
            reader.findings.problem(&section.place("above"), "is required", Some(help));
        }
        let Some(above) = above else { continue };
        if tiers.iter().any(|tier| tier.above == above) {
            reader.findings.problem(&section.place("above"), format!("is given twice: {above}"), None);
        }
        tiers.push(PriceTier { above, rates: self::rates(reader, &section) });
    }
    tiers.sort_by_key(|tier| tier.above);
    Ok(ModelPrice { provider: provider.map(str::to_owned), model: model.to_owned(), rates, tiers })
}

fn rates(reader: &mut Reader<'_>, section: &Section<'_>) -> Rates {
    let mut rates = Rates::default();
    for name in RATES {
        let rate = reader.number_that(section, name, "dollars per million tokens, from 0 to 1000000", |rate| {
            (0.0..=1e6).contains(&rate)
        });
        if let Some(place) = rates.named(name) {
            *place = rate;
        }
    }
    rates
}

/// Reads the file that `file` names.
fn named_file(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<PriceFile> {
    let found = reader.text(section, "file").ok()??;
    if found.text.is_empty() {
        reader.findings.problem(&found.at, "must not be empty", Some("such as prices.json".to_owned()));
        return None;
    }
    let path = reader.findings.names(&found.text);
    match read_file(&path) {
        Ok(file) => Some(file),
        Err((message, help)) => {
            reader.findings.problem(&found.at, message, help);
            None
        }
    }
}

/// Reads a file of prices; the error is a message and perhaps a help.
pub(crate) fn read_file(path: &Path) -> Result<PriceFile, (String, Option<String>)> {
    let shown = path.display();
    let bytes = match content_up_to(path, MAX_FILE) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let help = "nothing is fetched: put the file there, such as models.dev's api.json or LiteLLM's \
                        model_prices_and_context_window.json";
            return Err((format!("there is no file {shown}"), Some(help.to_owned())));
        }
        Err(why) => return Err((format!("the file {shown} cannot be read: {why}"), None)),
    };
    let (format, prices) = file::read(&bytes)
        .map_err(|(message, help)| (format!("the file {shown} {message}"), help.map(str::to_owned)))?;
    Ok(PriceFile { path: path.to_owned(), format, prices })
}

/// `price: 0.5` for requests and answers alike, `price: {input: 0.15, output: 0.6}`, or `price: reported`; true in the last
/// case.
pub(super) fn price(reader: &mut Reader<'_>, section: &Section<'_>) -> (Option<Price>, bool) {
    let Some((_, node)) = section.get("price") else { return (None, false) };
    if node.as_text() == Some("reported") {
        return (None, true);
    }
    if node.describe() != "a mapping" {
        return (reader.amount(section, "price").map(|both| Price { input: both, output: both }), false);
    }
    let section = reader.section(section, "price", Some(PRICE));
    let mut side = |key| {
        if section.get(key).is_none() {
            reader.findings.problem(&section.place(key), "is required", Some("write 0 if it is free".to_owned()));
        }
        reader.amount(&section, key)
    };
    let (input, output) = (side("input"), side("output"));
    (input.zip(output).map(|(input, output)| Price { input, output }), false)
}
