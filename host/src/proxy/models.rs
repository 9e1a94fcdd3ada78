//! `GET /v1/models`: the models that healthy providers list and that the configuration names. It is answered at once
//! from known lists; providers are asked in the background.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::{Answered, Content};
use super::generation::Generation;
use super::respond::ProxyError;
use crate::clients::Client;
use crate::config;
use crate::provider::Provider;
use crate::provider::ejection::Standing;
use crate::provider::listing::{Model, Models};

/// The longest wait for a list that is not known yet; a provider that hangs delays nobody longer.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The number of providers that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// The lists of all providers as one, and the tasks that ask for them.
pub struct Catalogue {
    union: ArcSwapOption<Union>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// All models, made of these lists; shared by all who ask while nothing changes, so that a long list is there once.
struct Union {
    generation: u64,
    /// The lists of healthy providers, each with the provider's index.
    of: Vec<Option<Option<Arc<Models>>>>,
    models: Vec<Model>,
    text: Bytes,
}

impl Catalogue {
    /// No lists yet. Providers are asked by tasks that `tasks` tracks and `stop` ends.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        let slots = Arc::new(Semaphore::new(ASKED_AT_ONCE));
        Self { union: ArcSwapOption::empty(), slots, tasks, stop }
    }

    /// Asks the providers that have not been asked for a while.
    pub fn refresh(&self, generation: &Generation) {
        for provider in generation.fleet.providers() {
            let Some(asking) = provider.listing().is_due(generation.list_interval) else { continue };
            let (provider, limit) = (Arc::clone(provider), generation.list_timeout);
            let (slots, stop) = (Arc::clone(&self.slots), self.stop.clone());
            self.tasks.spawn(async move {
                stop.run_until_cancelled(async {
                    // Never closed.
                    let Ok(_slot) = slots.acquire().await else { return };
                    let name = &provider.config.name;
                    provider.listing().refresh(&provider.client, name, limit, asking).await;
                })
                .await
            });
        }
    }

    /// Answers `models` or `models/{id}`; `None` for a model that nobody lists, or that the client may not use.
    pub async fn answer(
        &self,
        generation: &Generation,
        path: &str,
        client: Option<&Client>,
    ) -> Option<Response<Full<Bytes>>> {
        self.refresh(generation);
        for provider in generation.fleet.providers() {
            provider.listing().settled(FIRST_WAIT).await;
        }
        let union = self.union(generation);
        let shown = |model: &&Model| client.is_none_or(|client| may_see(generation, client, &model.id));
        match wanted(path) {
            None if client.is_none_or(|client| client.models().is_none()) => Some(json(union.text.clone())),
            None => Some(json(as_json(union.models.iter().filter(shown)))),
            Some(id) => {
                let found = union.models.iter().filter(shown).find(|model| model.id == id);
                found.map(|model| json(model.text.clone().into()))
            }
        }
    }

    /// All models, each once, in the order of the providers.
    fn union(&self, generation: &Generation) -> Arc<Union> {
        let fleet = &generation.fleet;
        let now = Instant::now();
        let snapshot = fleet.snapshot();
        let list = |provider: &Arc<Provider>| {
            let healthy = snapshot.of(provider.seat()).standing(now) == Standing::Admitted;
            healthy.then(|| provider.listing().known())
        };
        let of: Vec<Option<Option<Arc<Models>>>> = fleet.providers().iter().map(list).collect();
        let same = |one: &Option<Option<Arc<Models>>>, other: &Option<Option<Arc<Models>>>| match (one, other) {
            (Some(Some(one)), Some(Some(other))) => Arc::ptr_eq(one, other),
            (Some(None), Some(None)) | (None, None) => true,
            (Some(_) | None, _) => false,
        };
        if let Some(union) = self.union.load_full()
            && union.generation == generation.number
            && union.of.len() == of.len()
            && union.of.iter().zip(&of).all(|(one, other)| same(one, other))
        {
            return union;
        }
        let mut seen = HashSet::new();
        let mut models = Vec::new();
        for (provider, known) in fleet.providers().iter().zip(&of) {
            let listed = known.iter().flatten().flat_map(|list| &list.0);
            // A listed model counts only if requests for it are sent there.
            let routed = generation.routes.are_named();
            let served = |id: &str| provider.config.models.is_empty() && !routed || serves(generation, provider, id);
            let named = named(provider).filter(|model| !routed || serves(generation, provider, &model.id));
            for model in listed.filter(|model| served(&model.id)).cloned().chain(named) {
                if seen.insert(model.id.clone()) {
                    models.push(model);
                }
            }
        }
        for route in generation.routes.all() {
            let owner = route.targets().first().map(|target| &fleet.provider(target.provider).config.name);
            for name in route.named_models().filter(|name| !seen.contains(*name)) {
                models.push(Model::named(name, owner.map_or("", String::as_str)));
            }
        }
        if generation.approaches.settings.list {
            let combined = with_approaches(generation, &models);
            models.extend(combined.into_iter().filter(|model| !seen.contains(&model.id)));
        }
        let text = as_json(models.iter());
        let union = Arc::new(Union { generation: generation.number, of, models, text });
        self.union.store(Some(Arc::clone(&union)));
        union
    }
}

/// The list of these models, as an answer has it.
fn as_json<'m>(models: impl Iterator<Item = &'m Model>) -> Bytes {
    let texts: Vec<&str> = models.map(|model| model.text.as_str()).collect();
    format!("{{\"object\":\"list\",\"data\":[{}]}}", texts.join(",")).into()
}

/// True when a client may use a model of the list, be it behind an approach.
fn may_see(generation: &Generation, client: &Client, id: &str) -> bool {
    let behind = |name: &str| id.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    let is_listed = generation.approaches.settings.list;
    client.may_use(id)
        || is_listed && generation.approaches.menu.available().filter_map(behind).any(|model| client.may_use(model))
}

/// Each model behind each approach that clients may use, such as `bon-gpt-4o`.
fn with_approaches(generation: &Generation, models: &[Model]) -> Vec<Model> {
    let combined = |model: &Model| {
        let said: Value = serde_json::from_str(&model.text).unwrap_or_default();
        let owner = said["owned_by"].as_str().unwrap_or_default();
        let named = |name| Model::named(&format!("{name}-{}", model.id), owner);
        generation.approaches.menu.available().map(named).collect::<Vec<_>>()
    };
    models.iter().flat_map(combined).collect()
}

/// The model named by `models/{id}`.
pub fn wanted(path: &str) -> Option<String> {
    let id = path.strip_prefix("models/")?;
    Some(percent_decode_str(id).decode_utf8_lossy().into_owned())
}

/// True when requests for a model are sent to a provider.
fn serves(generation: &Generation, provider: &Provider, id: &str) -> bool {
    let Some(route) = generation.routes.of(id) else { return false };
    route.eligible(id).targets().iter().any(|&target| route.target(target).provider == provider.index)
}

/// The names that the configuration gives a provider's models, without patterns.
fn named(provider: &Provider) -> impl Iterator<Item = Model> {
    let config = &provider.config;
    config.named_models().into_iter().map(|name| Model::named(name, &config.name))
}

/// True when providers are to be asked for a model that nobody lists, because the configuration lists no models for
/// them.
pub fn is_asked_for(generation: &Generation, id: &str) -> bool {
    serving(generation, id).any(|provider| provider.models.is_empty())
}

/// The providers to which requests for a model are sent.
fn serving<'g>(generation: &'g Generation, id: &str) -> impl Iterator<Item = &'g config::Provider> {
    let serving = generation.routes.of(id).map(|route| (route, route.eligible(id).targets().to_vec()));
    let providers = serving
        .into_iter()
        .flat_map(|(route, targets)| targets.into_iter().map(|target| route.target(target).provider));
    providers.map(|provider| &generation.fleet.provider(provider).config)
}

/// The error for a model that nobody serves, with the name that was probably meant, if the client may use that.
pub fn unknown(generation: &Generation, model: &str, client: Option<&Client>) -> ProxyError {
    /// The most names that are compared: a client must not choose how long this takes.
    const LOOKED_AT: usize = 500;
    let of_routes = generation.routes.all().iter().flat_map(|route| route.named_models());
    let of_providers = generation.fleet.providers().iter().flat_map(|provider| provider.config.named_models());
    let may_use = |name: &str| client.is_none_or(|client| client.may_use(name));
    let alike = |name: &&str| name.len().abs_diff(model.len()) <= 1.max(model.len() / 3) && may_use(name);
    let names: Vec<&str> = of_routes.chain(of_providers).filter(alike).take(LOOKED_AT).collect();
    let near = config::nearest(model, &names).map(str::to_owned);
    ProxyError::UnknownModel { model: model.to_owned(), near }
}

/// True when a provider that was asked for the model `id` described it, rather than anything else.
pub fn is_described(answered: &Answered, id: &str) -> bool {
    let Content::Whole(text) = &answered.content else { return false };
    answered.status.is_success()
        && serde_json::from_slice::<Value>(text).is_ok_and(|model| model["object"] == "model" || model["id"] == id)
}

/// The entry of a model that nobody lists and that the proxy would serve nevertheless.
pub fn assumed(generation: &Generation, id: &str) -> Option<Response<Full<Bytes>>> {
    let owner =
        serving(generation, id).find(|provider| !provider.models.is_empty() || provider.model_map.contains_key(id))?;
    Some(json(Model::named(id, &owner.name).text.into()))
}

fn json(text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
