//! The parts of a deployment that become its provider, and the facts about its target for strategies.

use http::HeaderName;
use serde_yaml::{Mapping, Value};

use super::Entry;
use crate::cli::import::money;
use crate::cli::import::report::{Keys, Status, items, number, plain, text};
use crate::cli::import::vendor::Vendor;
use crate::config::{is_litellm_rate, is_no_key, litellm_rates};

/// The rates that are the price of a target, too.
const PLAIN: [&str; 2] = ["input_cost_per_token", "output_cost_per_token"];

/// Words that are commonly used as the key of a server that needs none.
const NO_KEYS: [&str; 9] =
    ["none", "fake", "fake-key", "dummy", "empty", "anything", "not-needed", "ollama", "lm-studio"];

impl Entry<'_> {
    /// A value of the deployment, or else of its credential.
    fn either(params: &mut Keys<'_>, credential: Option<&Mapping>, names: &[&str]) -> Option<(String, String)> {
        let own = names.iter().find_map(|name| Some((params.path(name), text(params.take(name)?))));
        let shared = || names.iter().find_map(|name| Some((String::new(), text(credential?.get(*name)?))));
        own.or_else(shared).filter(|(key, value)| !key.is_empty() || !value.is_empty())
    }

    pub(super) fn base_url(&mut self, params: &mut Keys<'_>, credential: Option<&Mapping>, vendor: &Vendor) -> String {
        let variable = || format!("${{{}}}", vendor.base_variable());
        let found = Self::either(params, credential, &["api_base", "base_url"]);
        // The same under its other name.
        if params.take("base_url").is_some() {
            self.report.say(
                self.about,
                params.path("base_url"),
                Status::Exact,
                "is given besides api_base, which takes precedence",
            );
        }
        let Some((key, url)) = found else {
            return vendor.base_url.map_or_else(variable, str::to_owned);
        };
        let say = |entry: &mut Self, status, note: &str| {
            if !key.is_empty() {
                entry.report.say(entry.about, key.as_str(), status, note);
            }
        };
        if url.starts_with("${") {
            say(self, Status::Exact, "base_url of the provider");
            return url;
        }
        if !(url.starts_with("http://") || url.starts_with("https://")) || url.contains(['<', '>', ' ']) {
            let variable = variable();
            say(self, Status::Manual, &format!("is not a URL, and was replaced by {variable}"));
            return variable;
        }
        let trimmed = url.trim_end_matches('/');
        let bare = trimmed.strip_suffix("/chat/completions").unwrap_or(trimmed);
        let without_path = url::Url::parse(bare).is_ok_and(|url| url.path() == "/");
        if without_path && (vendor.is_ollama() || matches!(vendor.prefix, "anthropic" | "huggingface")) {
            say(self, Status::Approximate, "base_url of the provider, with the /v1 of its OpenAI-compatible API");
            return format!("{bare}/v1");
        }
        say(self, Status::Exact, "base_url of the provider");
        bare.to_owned()
    }

    pub(super) fn api_key(&mut self, params: &mut Keys<'_>, credential: Option<&Mapping>, vendor: &Vendor) -> String {
        let Some((own, found)) = Self::either(params, credential, &["api_key"]) else {
            return vendor.key.map_or_else(|| "none".to_owned(), |name| format!("${{{name}}}"));
        };
        let key = if own.is_empty() { format!("model_list[{}].credential.api_key", self.index) } else { own.clone() };
        let lower = found.to_ascii_lowercase();
        let (status, note, value) = if found.starts_with("${") {
            (Status::Exact, format!("api_key of the provider, from {found}"), found)
        } else if found.is_empty() {
            (Status::Exact, "no key".to_owned(), "none".to_owned())
        } else if is_no_key(&found) || lower.starts_with("your") {
            let variable = format!("${{{}}}", vendor.key_variable());
            (Status::Manual, format!("is a placeholder, and was replaced by {variable}"), variable)
        } else if NO_KEYS.contains(&lower.as_str()) {
            (Status::Exact, "api_key of the provider".to_owned(), found)
        } else {
            self.report.secrets.push(key.clone());
            (Status::Exact, "api_key of the provider, copied to the output unchanged".to_owned(), found)
        };
        // The use of the credential has been reported already.
        if !own.is_empty() || status != Status::Exact {
            self.report.say(self.about, key, status, note);
        }
        value
    }

    pub(super) fn api_version(
        &mut self,
        params: &mut Keys<'_>,
        credential: Option<&Mapping>,
        vendor: &Vendor,
    ) -> Option<String> {
        let (key, version) = Self::either(params, credential, &["api_version"])?;
        let (status, note) = match vendor.is_azure() {
            true => (Status::Exact, "api_version of the provider"),
            false => (Status::Unsupported, "is Azure's alone"),
        };
        if !key.is_empty() {
            self.report.say(self.about, key, status, note);
        }
        vendor.is_azure().then_some(version)
    }

    pub(super) fn headers(&mut self, params: &mut Keys<'_>) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for name in ["extra_headers", "default_headers", "headers"] {
            let Some(value) = params.take(name) else { continue };
            let mut left_out = Vec::new();
            for (header, value) in value.as_mapping().into_iter().flatten() {
                let header = plain(header);
                let legal = HeaderName::from_bytes(header.as_bytes()).is_ok_and(|name| {
                    !matches!(
                        name.as_str(),
                        "authorization" | "api-key" | "host" | "content-length" | "connection" | "transfer-encoding"
                    )
                });
                let lower = header.to_ascii_lowercase();
                let is_secret = ["key", "token", "secret", "auth"].iter().any(|part| lower.contains(part));
                if legal && is_secret && !text(value).starts_with("${") {
                    self.report.secrets.push(format!("{}.{header}", params.path(name)));
                }
                if legal {
                    headers.push((header.to_ascii_lowercase(), text(value)));
                } else {
                    left_out.push(header);
                }
            }
            let (status, note) = match left_out.is_empty() {
                true => (Status::Exact, "headers of the provider".to_owned()),
                false => (
                    Status::Manual,
                    format!("headers of the provider, without {}, which cannot be sent", left_out.join(", ")),
                ),
            };
            self.report.say(self.about, params.path(name), status, note);
        }
        headers
    }

    /// All rates of a million tokens, where there are others than those of requests and answers. The deployment's figures take
    /// precedence over the model's.
    pub(super) fn rates<'v>(&mut self, params: &mut Keys<'v>, info: &mut Keys<'v>) -> Option<Mapping> {
        let mut all = serde_json::Map::new();
        let mut others = 0;
        for keys in [params, info] {
            for name in keys.names().filter(|name| is_litellm_rate(name)).map(str::to_owned).collect::<Vec<_>>() {
                let is_plain = PLAIN.contains(&name.as_str());
                // Those are reported with the price of the target.
                let value = if is_plain { keys.look(&name) } else { keys.take(&name) };
                let rate = value.and_then(number).filter(|rate| *rate >= 0.0);
                if !is_plain {
                    let (status, note) = match rate {
                        Some(_) => (Status::Exact, "a rate in prices, of a million tokens"),
                        None => (Status::Manual, "is not a legal number, and was left out"),
                    };
                    self.report.say(self.about, keys.path(&name), status, note);
                    others += usize::from(rate.is_some());
                }
                if let Some(rate) = rate {
                    all.entry(name).or_insert(rate.into());
                }
            }
        }
        if PLAIN.iter().any(|name| all.contains_key(*name)) {
            // As for the price of the target.
            for name in PLAIN {
                all.entry(name).or_insert(0.into());
            }
        }
        let (rates, tiers) = litellm_rates(&all).filter(|_| others > 0)?;
        Some(money::written(&rates, &tiers))
    }

    /// The price of a million tokens. The deployment's figures take precedence over the model's.
    pub(super) fn price<'v>(&mut self, params: &mut Keys<'v>, info: &mut Keys<'v>) -> Option<(f64, f64)> {
        let mut side = |name: &str| {
            let mut found = None;
            for keys in [&mut *params, &mut *info] {
                let key = keys.path(name);
                let Some(value) = keys.take(name) else { continue };
                let figure = number(value).filter(|figure| *figure >= 0.0);
                let (status, note) = match (figure, found) {
                    (Some(_), None) => (Status::Exact, "price of the target, per million tokens"),
                    (Some(_), Some(_)) => (Status::Exact, "is also in litellm_params, which takes precedence"),
                    (None, _) => (Status::Manual, "is not a legal number, and was left out"),
                };
                self.report.say(self.about, key, status, note);
                found = found.or(figure);
            }
            found.map(|figure| (figure * 1e15).round() / 1e9)
        };
        let (input, output) = (side("input_cost_per_token"), side("output_cost_per_token"));
        if input.is_some() != output.is_some() {
            let lacking = if input.is_some() { "output_cost_per_token" } else { "input_cost_per_token" };
            let note = "is not given, so 0 was used";
            self.report.say(self.about, params.path(lacking), Status::Approximate, note);
        }
        (input.is_some() || output.is_some()).then(|| (input.unwrap_or(0.0), output.unwrap_or(0.0)))
    }

    /// The context window, if `model_info` names it.
    pub(super) fn context(&mut self, info: &mut Keys<'_>) -> Option<u32> {
        let mut context = None;
        for name in ["max_input_tokens", "max_tokens"] {
            let key = info.path(name);
            let Some(value) = info.take(name) else { continue };
            let tokens = number(value).filter(|tokens| (1.0..=1e9).contains(tokens)).map(|tokens| tokens as u32);
            let (status, note) = match (tokens, context) {
                (Some(_), None) => {
                    (Status::Approximate, "context of the target, which is for requests and answers together")
                }
                (Some(_), Some(_)) => (Status::Unsupported, "max_input_tokens counts"),
                (None, _) => (Status::Manual, "is not a number of tokens, and was left out"),
            };
            self.report.say(self.about, key, status, note);
            context = context.or(tokens);
        }
        context
    }

    /// Labels of the target for strategies.
    pub(super) fn labels(&mut self, params: &mut Keys<'_>, info: &mut Keys<'_>) -> Vec<(String, String)> {
        let mut labels: Vec<(String, String)> = Vec::new();
        let mut add = |keys: &mut Keys<'_>, name: &str| {
            let Some(value) = keys.take(name) else { return };
            let texts: Vec<String> = items(value).into_iter().map(|item: &Value| text(item)).collect();
            self.report.say(self.about, keys.path(name), Status::Approximate, "a label of the target, for strategies");
            if !labels.iter().any(|(known, _)| known == name) {
                labels.push((name.to_owned(), texts.join(",")));
            }
        };
        for name in ["id", "base_model", "mode", "tags"] {
            add(info, name);
        }
        add(params, "tags");
        labels
    }
}
