//! The vendor of a provider in files of prices, which call vendors by names of their own.

use std::collections::HashMap;

use url::Url;

use super::{Entry, Named, ProviderKind, Source};
use crate::config::{self, FilePrice};

/// The hosts of vendors, and the names that files have for them: models.dev's, and LiteLLM's where it differs.
const VENDORS: [(&str, &[&str]); 20] = [
    ("api.anthropic.com", &["anthropic"]),
    ("api.cerebras.ai", &["cerebras"]),
    ("api.cohere.ai", &["cohere", "cohere_chat"]),
    ("api.cohere.com", &["cohere", "cohere_chat"]),
    ("api.deepinfra.com", &["deepinfra"]),
    ("api.deepseek.com", &["deepseek"]),
    ("api.fireworks.ai", &["fireworks-ai", "fireworks_ai"]),
    ("api.groq.com", &["groq"]),
    ("api.mistral.ai", &["mistral"]),
    ("api.moonshot.ai", &["moonshotai", "moonshot"]),
    ("api.moonshot.cn", &["moonshotai-cn", "moonshot"]),
    ("api.openai.com", &["openai"]),
    ("api.perplexity.ai", &["perplexity"]),
    ("api.sambanova.ai", &["sambanova"]),
    ("api.together.xyz", &["togetherai", "together_ai"]),
    ("api.x.ai", &["xai"]),
    ("dashscope-intl.aliyuncs.com", &["alibaba", "dashscope"]),
    ("dashscope.aliyuncs.com", &["alibaba-cn", "dashscope"]),
    ("generativelanguage.googleapis.com", &["google", "gemini"]),
    ("openrouter.ai", &["openrouter"]),
];

/// Vendors that sell models of their own making: their price counts where no vendor is named.
const MAKERS: [&str; 12] = [
    "openai",
    "anthropic",
    "google",
    "gemini",
    "deepseek",
    "mistral",
    "xai",
    "moonshotai",
    "moonshot",
    "alibaba",
    "dashscope",
    "cohere",
];

/// The prices of a file, by vendor and model.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    vendors: Named<Named<Entry>>,
    /// The names of vendors, by the hosts of their APIs.
    hosts: HashMap<String, Vec<String>>,
    /// For each model the price that holds where no vendor is named; `None` where vendors differ.
    common: Named<String>,
}

impl Shelf {
    pub(super) fn of(prices: &[FilePrice]) -> Self {
        let mut shelf = Self::default();
        for FilePrice { vendor, model, api, rates, tiers } in prices {
            let source = Source::File { vendor: vendor.clone(), model: model.clone() };
            let entry = Entry::new(source, rates, tiers);
            let of_vendor = shelf.vendors.entry(vendor.clone()).or_default();
            of_vendor.insert(model.clone(), entry);
            if let Some(host) = api.as_deref().and_then(|api| Some(Url::parse(api).ok()?.host_str()?.to_owned())) {
                let names = shelf.hosts.entry(host).or_default();
                if !names.contains(vendor) {
                    names.push(vendor.clone());
                }
            }
        }
        shelf.common = shelf.common_names();
        shelf
    }

    fn common_names(&self) -> Named<String> {
        let mut sellers: HashMap<&str, Vec<&str>> = HashMap::new();
        for (vendor, models) in &self.vendors {
            for model in models.keys() {
                sellers.entry(model).or_default().push(vendor);
            }
        }
        let common = sellers.into_iter().filter_map(|(model, mut vendors)| {
            vendors.sort_unstable();
            let maker = MAKERS.iter().find(|maker| vendors.contains(maker));
            let price = |vendor: &str| {
                let entry = self.vendors.get(vendor)?.get(model)?;
                Some((entry.rates, &entry.tiers))
            };
            let agree = vendors.iter().all(|vendor| price(vendor) == price(vendors[0]));
            let vendor = maker.copied().or_else(|| agree.then_some(vendors[0]))?;
            Some((model.to_owned(), vendor.to_owned()))
        });
        common.collect()
    }

    /// The price of a model that one of `vendors` sells. Where the file knows none of them: of a name such as `openai/gpt-4o`,
    /// which resellers give, the price of that vendor; else that of the model's maker, or the one that all vendors agree on.
    pub(super) fn find(&self, vendors: &[String], model: &str) -> Option<&Entry> {
        let of = |vendor: &String| self.vendors.get(vendor)?.get(model);
        let own = vendors.iter().find_map(of);
        let named = || {
            let (vendor, model) = model.split_once('/')?;
            self.vendors.get(vendor)?.get(model)
        };
        own.or_else(named).or_else(|| of(self.common.get(model)?))
    }
}

/// The names of a provider's vendor in a file: the provider's own name, and those of the host that it is at.
pub(super) fn vendors(provider: &config::Provider, file: &Shelf) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |name: &str| {
        if file.vendors.contains_key(name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    if provider.kind == ProviderKind::Azure {
        add("azure");
    }
    let host = provider.base_url.host_str().unwrap_or_default();
    let known = VENDORS.iter().find(|(vendor, _)| *vendor == host);
    known.into_iter().flat_map(|(_, names)| *names).for_each(|name| add(name));
    file.hosts.get(host).into_iter().flatten().for_each(|name| add(name));
    add(&provider.name);
    names
}
