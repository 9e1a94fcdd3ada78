//! What requests cost: the prices of a configuration, found by provider and model, and applied to the parts of a usage.
//!
//! Rates are whole nano-dollars for a million tokens, so a cost is exact up to the one rounding at its end, which goes up.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::money::Nano;
use super::usage::{Part, Usage};
use crate::config::{self, Config, ModelPrice, PriceTier, ProviderKind, Unpriced};

mod vendor;

use vendor::{Shelf, vendors};

/// A rate that is not known.
const NONE: u64 = u64::MAX;

/// The most models without a price that are warned about.
const WARNED: usize = 200;

/// The tokens that a rate is for.
const MILLION: u64 = 1_000_000;

/// The rates of one price, one for each part of a usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates([u64; Part::ALL.len()]);

impl Rates {
    /// The given rates; a part without a rate has that of the prompt or of the answer.
    fn of(given: &config::Rates) -> Self {
        let nano = |rate: f64| (rate * 1e9).round() as u64;
        let or = |rate: Option<f64>, other: u64| rate.map_or(other, nano);
        let (input, output) = (or(given.input, NONE), or(given.output, NONE));
        let cache_write = or(given.cache_write, input);
        Self(Part::ALL.map(|part| match part {
            Part::Input => input,
            Part::AudioIn => or(given.audio_in, input),
            Part::ImageIn => or(given.image_in, input),
            Part::CacheRead => or(given.cached, input),
            Part::CacheWrite => cache_write,
            Part::CacheWriteHour => or(given.cache_write_1h, cache_write),
            Part::Output => output,
            Part::Reasoning => or(given.reasoning, output),
            Part::AudioOut => or(given.audio_out, output),
            Part::Image => or(given.image, output),
        }))
    }

    fn of_part(&self, part: Part) -> u64 {
        self.0[part as usize]
    }

    /// The cost of so many tokens of each part; `None` when the rate of one is not known.
    fn cost(&self, tokens: impl Iterator<Item = (Part, u64)>) -> Option<Nano> {
        let mut sum = 0_u128;
        for (part, tokens) in tokens.filter(|(_, tokens)| *tokens > 0) {
            let rate = self.of_part(part);
            if rate == NONE {
                return None;
            }
            sum += u128::from(rate) * u128::from(tokens);
        }
        let nano = match u64::try_from(sum) {
            // Nearly every sum fits, and then costs a tenth of a division of two words.
            Ok(sum) => sum.div_ceil(MILLION),
            Err(_large) => u64::try_from(sum.div_ceil(MILLION.into())).unwrap_or(u64::MAX),
        };
        Some(Nano(nano))
    }
}

/// One price: rates, and others for long prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it is written.
    pub source: Source,
    /// The rates as they are written, in dollars for a million tokens.
    pub written: config::Rates,
    /// The tiers as they are written.
    pub written_tiers: Vec<PriceTier>,
    rates: Rates,
    /// By the tokens above which they hold, ascending.
    tiers: Vec<(u64, Rates)>,
}

/// The place that a price comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `prices.providers.NAME.MODEL`.
    OfProvider {
        /// The provider.
        provider: String,
        /// The name, perhaps with a `*`.
        model: String,
    },
    /// `prices.models.MODEL`.
    OfModel(String),
    /// `prices.file`.
    File {
        /// The vendor in whose list it is; empty if the file has none.
        vendor: String,
        /// The name there.
        model: String,
    },
    /// `price` of the provider, or of a target.
    Price,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind =
            |model: &str| if model.contains('*') { "the most special pattern that fits" } else { "the exact name" };
        match self {
            Self::OfProvider { provider, model } => {
                write!(f, "prices.providers.{provider}.{model}, {} for this provider", kind(model))
            }
            Self::OfModel(model) => write!(f, "prices.models.{model}, {}", kind(model)),
            Self::File { vendor, model } if vendor.is_empty() => write!(f, "{model} in prices.file"),
            Self::File { vendor, model } => write!(f, "{model} of {vendor} in prices.file"),
            Self::Price => f.write_str("`price` of the provider or target, as `prices` has nothing that fits"),
        }
    }
}

impl Entry {
    fn new(source: Source, written: &config::Rates, tiers: &[PriceTier]) -> Self {
        let mut all = *written;
        let mut made = Vec::with_capacity(tiers.len());
        for tier in tiers {
            all = over(&all, &tier.rates);
            made.push((tier.above, Rates::of(&all)));
        }
        Self { source, written: *written, written_tiers: tiers.to_vec(), rates: Rates::of(written), tiers: made }
    }

    /// The rates for a prompt of so many tokens.
    fn for_prompt(&self, tokens: u64) -> &Rates {
        let tier = self.tiers.iter().rev().find(|(above, _)| tokens > *above);
        tier.map_or(&self.rates, |(_, rates)| rates)
    }

    /// The cost of a usage; `None` when it has tokens of a sort that has no rate.
    pub fn cost(&self, usage: &Usage) -> Option<Nano> {
        let rates = self.for_prompt(usage.prompt_tokens().unwrap_or(0));
        rates.cost(Part::ALL.into_iter().map(|part| (part, usage.count(part))))
    }

    /// The most that so many tokens of text cost.
    pub fn most(&self, prompt: u64, answer: u64) -> Option<Nano> {
        let rates = self.for_prompt(prompt);
        // Where one rate is unknown, the known one counts. Rates of audio and pictures are left out, as they are many times as high.
        let dearer = |one: Part, other: Part| {
            let (a, b) = (rates.of_part(one), rates.of_part(other));
            if b == NONE || (a != NONE && a >= b) { one } else { other }
        };
        let (prompt_part, answer_part) = (dearer(Part::Input, Part::CacheWrite), dearer(Part::Output, Part::Reasoning));
        rates.cost([(prompt_part, prompt), (answer_part, answer)].into_iter())
    }
}

/// The rates of `above` where it has them, otherwise those of `below`.
fn over(below: &config::Rates, above: &config::Rates) -> config::Rates {
    config::Rates {
        input: above.input.or(below.input),
        cached: above.cached.or(below.cached),
        cache_write: above.cache_write.or(below.cache_write),
        cache_write_1h: above.cache_write_1h.or(below.cache_write_1h),
        output: above.output.or(below.output),
        reasoning: above.reasoning.or(below.reasoning),
        audio_in: above.audio_in.or(below.audio_in),
        audio_out: above.audio_out.or(below.audio_out),
        image_in: above.image_in.or(below.image_in),
        image: above.image.or(below.image),
    }
}

/// A map by names of the configuration, so that nobody can choose them to collide.
type Named<T> = HashMap<String, T, RandomState>;

/// Prices by the names of models.
#[derive(Debug, Default)]
struct Table {
    exact: Named<Entry>,
    /// The patterns with a `*`, the most special first: by the length of the text before it, and then behind it.
    patterns: Vec<(String, String, Entry)>,
}

impl Table {
    fn of<'p>(prices: impl Iterator<Item = &'p ModelPrice>) -> Self {
        let mut table = Self::default();
        for price in prices {
            let model = price.model.clone();
            let source = match &price.provider {
                Some(provider) => Source::OfProvider { provider: provider.clone(), model: model.clone() },
                None => Source::OfModel(model.clone()),
            };
            let entry = Entry::new(source, &price.rates, &price.tiers);
            match model.split_once('*') {
                Some((before, after)) => table.patterns.push((before.to_owned(), after.to_owned(), entry)),
                None => drop(table.exact.insert(model, entry)),
            }
        }
        table.patterns.sort_by_key(|(before, after, _)| std::cmp::Reverse((before.len(), after.len())));
        table
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    fn find(&self, model: &str) -> Option<&Entry> {
        let fits = |(before, after, _): &&(String, String, Entry)| {
            model.strip_prefix(before.as_str()).is_some_and(|rest| rest.ends_with(after.as_str()))
        };
        self.exact.get(model).or_else(|| self.patterns.iter().find(fits).map(|(_, _, entry)| entry))
    }
}

/// The prices of one provider.
#[derive(Debug)]
struct OfProvider {
    own: Table,
    /// The names of its vendor in files.
    vendors: Vec<String>,
    /// Its `price`.
    price: Option<Entry>,
    reported: bool,
}

/// The prices of a configuration.
#[derive(Debug, Default)]
pub struct Prices {
    providers: Named<OfProvider>,
    models: Table,
    file: Shelf,
    /// The treatment of a request without a known price while a budget counts money.
    pub unpriced: Unpriced,
    are_set: bool,
    are_common: bool,
    /// The models without a price that were warned about, each with its provider. Bounded.
    warned: Mutex<HashSet<(String, String)>>,
}

impl Prices {
    /// The prices of a configuration.
    pub fn new(config: &Config) -> Self {
        let written = &config.prices;
        let file = written.file.as_ref().map(|file| Shelf::of(&file.prices)).unwrap_or_default();
        let providers = config.providers.iter().map(|provider| {
            let own = written.models.iter().filter(|price| price.provider.as_ref() == Some(&provider.name));
            let of_provider = OfProvider {
                own: Table::of(own),
                vendors: vendors(provider, &file),
                price: provider.price.map(plain),
                reported: provider.reports_cost,
            };
            (provider.name.clone(), of_provider)
        });
        let providers: Named<_> = providers.collect();
        let of_targets = config.routes.iter().flat_map(|route| &route.targets).any(|target| target.price.is_some());
        let are_set = of_targets
            || !written.models.is_empty()
            || written.file.is_some()
            || providers.values().any(|provider| provider.price.is_some() || provider.reported);
        let is_plain =
            |provider: &OfProvider| provider.own.is_empty() && provider.price.is_none() && !provider.reported;
        let are_common = written.file.is_none() && providers.values().all(is_plain);
        Self {
            providers,
            models: Table::of(written.models.iter().filter(|price| price.provider.is_none())),
            file,
            unpriced: written.unpriced,
            are_set,
            are_common,
            warned: Mutex::default(),
        }
    }

    /// True when the configuration has any price, so that a request without one is worth a warning.
    pub fn are_set(&self) -> bool {
        self.are_set
    }

    /// True when the price of a model is the same at every provider.
    pub fn are_common(&self) -> bool {
        self.are_common
    }

    /// True when no warning was given yet that this model has no price.
    pub fn is_new_unpriced(&self, provider: &str, model: &str) -> bool {
        let mut warned = self.warned.lock();
        warned.len() < WARNED && warned.insert((provider.to_owned(), model.to_owned()))
    }

    /// The price of a model, as the provider calls it: the provider's own, that of all providers, that of the file, and last
    /// the provider's `price`.
    pub fn entry(&self, provider: &str, model: &str) -> Option<&Entry> {
        let of_provider = self.providers.get(provider);
        let own = of_provider.and_then(|provider| provider.own.find(model)).or_else(|| self.models.find(model));
        let vendors = || of_provider.map(|provider| &provider.vendors[..]).unwrap_or_default();
        own.or_else(|| self.file.find(vendors(), model)).or_else(|| of_provider?.price.as_ref())
    }

    /// As [`Prices::entry`], for a target with a price of its own, of requests and of answers in dollars for a million tokens:
    /// that is used in the place of the provider's.
    pub fn entry_at(&self, (provider, model): (&str, &str), target: Option<(f64, f64)>) -> Option<Cow<'_, Entry>> {
        match (self.entry(provider, model), target) {
            (None | Some(Entry { source: Source::Price, .. }), Some((input, output))) => {
                Some(Cow::Owned(plain(config::Price { input, output })))
            }
            (entry, _) => entry.map(Cow::Borrowed),
        }
    }

    /// True when the cost that this provider's answers name counts.
    pub fn are_reported(&self, provider: &str) -> bool {
        self.providers.get(provider).is_some_and(|provider| provider.reported)
    }

    /// The cost of a usage; `None` when there is no price. The cost that the answer names counts where the provider's price
    /// is `reported`.
    pub fn cost(&self, provider: &str, model: &str, usage: &Usage) -> Option<Nano> {
        self.cost_at((provider, model), None, usage)
    }

    /// As [`Prices::cost`], for a target with a price of its own.
    pub fn cost_at(&self, (provider, model): (&str, &str), target: Option<(f64, f64)>, usage: &Usage) -> Option<Nano> {
        if !self.are_set {
            return None;
        }
        let reported = usage.reported.filter(|_| self.are_reported(provider));
        reported.or_else(|| self.entry_at((provider, model), target)?.cost(usage))
    }

    /// The most that a request with so many tokens of text can cost, before it is sent; `None` when there is no price. It is
    /// nothing where only the answer will tell.
    pub fn most(&self, provider: &str, model: &str, prompt_tokens: u64, answer_tokens: u64) -> Option<Nano> {
        self.most_at((provider, model), None, (prompt_tokens, answer_tokens))
    }

    /// As [`Prices::most`], for a target with a price of its own.
    pub fn most_at(
        &self,
        (provider, model): (&str, &str),
        target: Option<(f64, f64)>,
        (prompt_tokens, answer_tokens): (u64, u64),
    ) -> Option<Nano> {
        match self.entry_at((provider, model), target) {
            Some(entry) => entry.most(prompt_tokens, answer_tokens),
            None => self.are_reported(provider).then_some(Nano::ZERO),
        }
    }
}

/// The entry of a `price` with one rate for requests and one for answers.
fn plain(price: config::Price) -> Entry {
    let rates = config::Rates { input: Some(price.input), output: Some(price.output), ..config::Rates::default() };
    Entry::new(Source::Price, &rates, &[])
}

#[cfg(test)]
mod tests;
