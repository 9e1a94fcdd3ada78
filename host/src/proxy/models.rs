//! `GET /v1/models`: what the healthy providers list, and what the configuration names.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::generation::Generation;
use super::respond::ProxyError;
use crate::provider::Provider;
use crate::provider::ejection::Standing;

/// A list larger than this is not read.
const MAX_LIST: usize = 4 << 20;

/// Answers `models` or `models/{id}`.
///
/// # Errors
///
/// [`ProxyError::UnknownModel`] when no provider lists the id.
pub async fn answer(generation: &Generation, path: &str) -> Result<Response<Full<Bytes>>, ProxyError> {
    let models = union(generation).await;
    let answer = match path.strip_prefix("models/") {
        None => json!({"object": "list", "data": models}),
        Some(id) => {
            let id = percent_decode_str(id).decode_utf8_lossy().into_owned();
            models.into_iter().find(|model| model["id"] == id.as_str()).ok_or(ProxyError::UnknownModel(id))?
        }
    };
    let mut response = Response::new(Full::from(answer.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// All models, each once, in the order of the providers.
async fn union(generation: &Generation) -> Vec<Value> {
    let fleet = &generation.fleet;
    let lists = fleet.providers().iter().map(|provider| async {
        let healthy = fleet.snapshot().of(provider.record()).standing(Instant::now()) == Standing::Admitted;
        let listed = if healthy { timeout(generation.list_timeout, list(provider)).await.ok().flatten() } else { None };
        named(provider, listed.unwrap_or_default())
    });
    let mut seen = HashSet::new();
    let mut models = Vec::new();
    for model in join_all(lists).await.into_iter().flatten() {
        if let Some(id) = model["id"].as_str()
            && seen.insert(id.to_owned())
        {
            models.push(model);
        }
    }
    models
}

/// What a provider lists, as far as requests for it are sent there, and the names that the configuration gives it.
fn named(provider: &Arc<Provider>, mut listed: Vec<Value>) -> Vec<Value> {
    let config = &provider.config;
    if !config.models.is_empty() {
        listed.retain(|model| config.models.iter().any(|served| model["id"] == served.as_str()));
    }
    let mut names: Vec<&String> = config.model_map.keys().collect();
    names.sort();
    names.extend(&config.models);
    listed.extend(
        names.into_iter().map(|name| json!({"id": name, "object": "model", "created": 0, "owned_by": config.name})),
    );
    listed
}

/// One provider's own list; `None` when it has none to give.
async fn list(provider: &Provider) -> Option<Vec<Value>> {
    let mut answer = provider.client.list_models().await.ok()?;
    if !answer.status.is_success() {
        return None;
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer.body.chunk().await {
        let chunk: Bytes = chunk.ok()?;
        if text.len() + chunk.len() > MAX_LIST {
            return None;
        }
        text.extend_from_slice(&chunk);
    }
    match serde_json::from_slice::<Value>(&text).ok()? {
        Value::Object(mut list) => match list.remove("data") {
            Some(Value::Array(models)) => Some(models.into_iter().filter(|model| model["id"].is_string()).collect()),
            _ => None,
        },
        _ => None,
    }
}
