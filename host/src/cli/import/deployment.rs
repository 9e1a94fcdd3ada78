//! One entry of `model_list`: an endpoint, and the model that is requested from it.

mod endpoint;
mod known;

use serde_yaml::{Mapping, Value};

use super::money::Budget;
use super::report::{About, Keys, Report, Status, items, number, plain, text};
use super::vendor::{AZURE, Vendor, Whose, vendor, whose};
use known::{INFO, PARAMS, known, signed};

/// The note on `rpm` and `tpm`.
const LIMIT: &str = "limits of a provider of its own, which is passed over while they are used up";

/// The properties of a provider; deployments with equal endpoints share a provider.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    /// The vendor's prefix, for the provider's name.
    pub vendor: &'static str,
    pub azure: bool,
    pub base_url: String,
    pub api_key: String,
    pub api_version: Option<String>,
    pub headers: Vec<(String, String)>,
    pub max_concurrent: Option<u32>,
    /// What it may be asked for.
    pub limits: Limits,
    /// The only entry that it belongs to, if a limit must not be shared.
    pub alone: Option<usize>,
    /// Seconds; only where the deployments of a group differ.
    pub request: Option<f64>,
}

/// What a deployment may be asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Limits {
    pub rpm: Option<u64>,
    pub tpm: Option<u64>,
    pub budget: Option<Budget>,
}

/// One deployment of a model group.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub endpoint: Endpoint,
    /// The vendor's name of the model; `None` passes the client's name through.
    pub model: Option<String>,
    pub weight: Option<f64>,
    pub rpm: Option<f64>,
    pub tpm: Option<f64>,
    pub order: Option<f64>,
    /// The prices of a million tokens, of requests and of answers.
    pub price: Option<(f64, f64)>,
    /// All rates, where there are more than these two.
    pub rates: Option<Mapping>,
    pub context: Option<u32>,
    pub labels: Vec<(String, String)>,
    /// Seconds.
    pub timeout: Option<f64>,
    pub stream_timeout: Option<f64>,
}

/// `credential_list`: values by name.
pub(super) type Credentials<'v> = Vec<(String, &'v Mapping)>;

/// The name of the group and its deployments: one, or one for each organization; none if the vendor is not supported.
pub(super) fn read(
    index: usize,
    entry: &Value,
    credentials: &Credentials<'_>,
    report: &mut Report,
) -> Option<(String, Vec<Deployment>)> {
    let path = format!("model_list[{index}]");
    let Some(mut keys) = Keys::of(&path, Some(entry)) else {
        report.say(&About::File, path, Status::Manual, "is not a mapping, and was left out");
        return None;
    };
    let Some(group) = keys.take("model_name").map(plain) else {
        report.say(&About::File, path, Status::Manual, "has no model_name, and was left out");
        return None;
    };
    let about = About::Group(group.clone());
    report.say(&about, keys.path("model_name"), Status::Exact, "a name in the route's models");
    let params = keys.take("litellm_params");
    let Some(params) = Keys::of(keys.path("litellm_params"), params) else {
        report.say(&about, keys.path("litellm_params"), Status::Manual, "is not a mapping, and was left out");
        return Some((group, Vec::new()));
    };
    let info = keys.take("model_info");
    let info = Keys::of(keys.path("model_info"), info).unwrap_or_else(|| {
        report.say(&about, keys.path("model_info"), Status::Manual, "is not a mapping, and was left out");
        Keys::none("")
    });
    let mut read = Entry { index, about: &about, report, credentials };
    let found = read.deployments(params, info, &group);
    keys.rest(report, &about, |_| None);
    Some((group, found))
}

/// The state while one entry is read.
struct Entry<'e> {
    index: usize,
    about: &'e About,
    report: &'e mut Report,
    credentials: &'e Credentials<'e>,
}

impl<'e> Entry<'e> {
    fn deployments<'v>(&mut self, mut params: Keys<'v>, mut info: Keys<'v>, group: &str) -> Vec<Deployment> {
        let Some((vendor, model)) = self.vendor(&mut params, group) else {
            params.rest(self.report, self.about, |_| {
                Some((Status::Unsupported, "belongs to a deployment that was left out"))
            });
            info.rest(self.report, self.about, |_| {
                Some((Status::Unsupported, "belongs to a deployment that was left out"))
            });
            return Vec::new();
        };
        let credential = self.credential(&mut params);
        let max_concurrent = params.take("max_parallel_requests").and_then(|value| {
            let count = number(value).filter(|count| *count >= 1.0 && count.fract() == 0.0).map(|count| count as u32);
            self.noted(&params, "max_parallel_requests", count.is_some(), "max_concurrent of a provider of its own");
            count
        });
        let rpm = self.figure(&mut params, "rpm", Status::Exact, LIMIT);
        let tpm = self.figure(&mut params, "tpm", Status::Exact, LIMIT);
        let limits = Limits {
            rpm: self.amount(&params, "rpm", rpm),
            tpm: self.amount(&params, "tpm", tpm),
            budget: self.budget(&mut params),
        };
        let is_alone = max_concurrent.is_some() || limits != Limits::default();
        let endpoint = Endpoint {
            vendor: if vendor.is_azure() { AZURE } else { vendor.prefix },
            azure: vendor.is_azure(),
            base_url: self.base_url(&mut params, credential, vendor),
            api_key: self.api_key(&mut params, credential, vendor),
            api_version: self.api_version(&mut params, credential, vendor),
            headers: self.headers(&mut params),
            max_concurrent,
            limits,
            alone: is_alone.then_some(self.index),
            request: None,
        };
        let organizations = params.take("organization").map(|value| {
            let key = params.path("organization");
            self.report.say(self.about, key, Status::Exact, "the header openai-organization, a provider for each");
            items(value).into_iter().map(text).collect::<Vec<_>>()
        });
        let labels = self.labels(&mut params, &mut info);
        let deployment = Deployment {
            model,
            weight: self.figure(&mut params, "weight", Status::Exact, "weight of the target"),
            rpm,
            tpm,
            order: self.figure(&mut params, "order", Status::Exact, "tier of the target"),
            rates: self.rates(&mut params, &mut info),
            price: self.price(&mut params, &mut info),
            context: self.context(&mut info),
            labels,
            timeout: self.figure(&mut params, "timeout", Status::Exact, "timeouts.request"),
            stream_timeout: self.figure(
                &mut params,
                "stream_timeout",
                Status::Approximate,
                "timeouts.first_token of the route: up to the first event, not for the whole stream",
            ),
            endpoint,
        };
        params.rest(self.report, self.about, |key| known(PARAMS, key).or_else(|| signed(key)));
        info.rest(self.report, self.about, |key| known(INFO, key));
        match organizations.filter(|found| !found.is_empty()) {
            None => vec![deployment],
            Some(organizations) => organizations.into_iter().map(|name| deployment.within(name)).collect(),
        }
    }

    /// The vendor and its name for the model; `None` when the deployment has to be left out.
    fn vendor(&mut self, params: &mut Keys<'_>, group: &str) -> Option<(&'static Vendor, Option<String>)> {
        let key = params.path("model");
        let Some(model) = params.take("model").map(text) else {
            self.report.say(self.about, key, Status::Manual, "is missing, so the deployment was left out");
            return None;
        };
        if let Some(prefix) = params.take("custom_llm_provider").map(plain) {
            let known = vendor(&prefix);
            let status = if known.is_some() { Status::Exact } else { Status::Unsupported };
            self.report.say(self.about, params.path("custom_llm_provider"), status, format!("the vendor is {prefix}"));
            let known = known?;
            let bare = model.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix('/'));
            self.report.say(self.about, key, known.status, provider_of(known));
            return Some((known, self.model(bare.unwrap_or(&model), group)));
        }
        let wanted = match whose(&model) {
            Whose::Known(vendor, "") => {
                self.report.say(
                    self.about,
                    key,
                    Status::Manual,
                    format!("names no model of {}, so the deployment was left out", vendor.prefix),
                );
                return None;
            }
            Whose::Known(vendor, rest) => {
                let (rest, has_series) = azure_series(vendor, rest);
                let status = if has_series { Status::Approximate } else { vendor.status };
                self.report.say(self.about, key, status, provider_of(vendor));
                (vendor, rest)
            }
            Whose::Guessed(_, "*") => {
                let note = "LiteLLM finds the vendor by the name of the model, Pointsman by routes: give each vendor one, such as \
                            `openai/*`; left out";
                self.report.say(self.about, key, Status::Unsupported, note);
                return None;
            }
            Whose::Guessed(vendor, model) => {
                let note = "has no prefix and belongs to no known family, so it is taken for a model of OpenAI";
                self.report.say(self.about, key, Status::Approximate, note);
                (vendor, model)
            }
            Whose::Stranger(prefix) => {
                let note = format!(
                    "the API of `{prefix}/` is not OpenAI's, so the deployment was left out; a gateway that translates can be put in between"
                );
                self.report.say(self.about, key, Status::Unsupported, note);
                return None;
            }
            Whose::Unknown(prefix) => {
                let note = format!(
                    "`{prefix}/` is not a known vendor, so the deployment was left out; for a server that speaks OpenAI's API write `openai/{model}` and an api_base"
                );
                self.report.say(self.about, key, Status::Manual, note);
                return None;
            }
        };
        Some((wanted.0, self.model(wanted.1, group)))
    }

    /// The model of a target, with the group's `*`.
    fn model(&mut self, model: &str, group: &str) -> Option<String> {
        match (model.matches('*').count(), group.contains('*')) {
            (0, _) | (1, true) => Some(model.to_owned()),
            _ => {
                let key = format!("model_list[{}].model_name", self.index);
                let note = "has a different `*` than the model, so the client's model name is passed through";
                self.report.say(self.about, key, Status::Approximate, note);
                None
            }
        }
    }

    /// The values of the credential that the deployment names.
    fn credential(&mut self, params: &mut Keys<'_>) -> Option<&'e Mapping> {
        let name = params.take("litellm_credential_name").map(plain)?;
        let found = self.credentials.iter().find(|(known, _)| *known == name).map(|(_, values)| *values);
        let (status, note) = match found {
            Some(_) => (Status::Exact, "its values were copied to the provider"),
            None => (Status::Manual, "no credential in `credential_list` has this name"),
        };
        self.report.say(self.about, params.path("litellm_credential_name"), status, note);
        found
    }

    fn figure(&mut self, keys: &mut Keys<'_>, key: &str, status: Status, note: &str) -> Option<f64> {
        let value = keys.take(key)?;
        let found = number(value).filter(|number| *number >= 0.0);
        let (status, note) =
            if found.is_some() { (status, note) } else { (Status::Manual, "is not a legal number, and was left out") };
        self.report.say(self.about, keys.path(key), status, note);
        found
    }

    /// A number of requests or tokens as a limit.
    fn amount(&mut self, params: &Keys<'_>, key: &str, figure: Option<f64>) -> Option<u64> {
        let figure = figure?;
        if figure < 1.0 {
            let key = params.path(key);
            if let Some(line) = self.report.lines.iter_mut().rfind(|line| line.key == key) {
                (line.status, line.note) = (Status::Manual, "allows nothing, and was left out as a limit".to_owned());
            }
            return None;
        }
        Some(figure.min(1e10) as u64)
    }

    /// The budget of the deployment.
    fn budget(&mut self, params: &mut Keys<'_>) -> Option<Budget> {
        let most = params.take("max_budget");
        let time = params.take("budget_duration").map(plain);
        let Some(most) = most else {
            if time.is_some() {
                let note = "stands without a max_budget, and was left out";
                self.report.say(self.about, params.path("budget_duration"), Status::Manual, note);
            }
            return None;
        };
        let found = Budget::of(number(most), time.as_deref());
        let (status, note) = match &found {
            Ok(_) => (Status::Exact, "budget of a provider of its own"),
            Err(wrong) => (Status::Manual, *wrong),
        };
        self.report.say(self.about, params.path("max_budget"), status, note);
        if time.is_some() {
            self.report.say(self.about, params.path("budget_duration"), status, note);
        }
        found.ok()
    }

    fn noted(&mut self, keys: &Keys<'_>, key: &str, done: bool, note: &str) {
        let (status, note) =
            if done { (Status::Exact, note) } else { (Status::Manual, "cannot be interpreted, and was left out") };
        self.report.say(self.about, keys.path(key), status, note);
    }
}

/// The description of the provider in the report.
fn provider_of(vendor: &Vendor) -> String {
    match (vendor.status, vendor.is_ollama()) {
        (_, true) => "a target at a provider of Ollama's OpenAI-compatible API, under /v1".to_owned(),
        (Status::Exact, _) => format!("a target at a provider of {}", vendor.prefix),
        _ => format!(
            "a target at the OpenAI-compatible API of {}; features that only its own API has are lost",
            vendor.prefix
        ),
    }
}

/// Removes the part between `azure/` and a deployment's name with which LiteLLM names the series of a model.
fn azure_series<'m>(vendor: &Vendor, model: &'m str) -> (&'m str, bool) {
    let series = ["o_series/", "gpt5_series/", "responses/"];
    let rest = series.iter().find_map(|series| model.strip_prefix(series)).filter(|_| vendor.is_azure());
    rest.map_or((model, false), |rest| (rest, true))
}

impl Deployment {
    /// The same deployment, billed to an organization.
    fn within(&self, organization: String) -> Self {
        let mut other = self.clone();
        other.endpoint.headers.push(("openai-organization".to_owned(), organization));
        other
    }
}
