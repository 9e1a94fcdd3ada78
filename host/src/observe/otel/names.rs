//! How things are called in spans: OpenTelemetry's conventions, in tables.
//!
//! Those for generative AI left the general conventions after version 1.41 and go on changing
//! (<https://github.com/open-telemetry/semantic-conventions-genai>): what they call things has two columns, of which
//! `OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental` chooses the second, as the conventions want it.

use url::Url;

use crate::config::{GenAiNames, Provider, ProviderKind};

/// What has a name in both columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenAi {
    /// The kind of what is asked for.
    Operation,
    /// The vendor.
    Provider,
    /// The model that is asked for.
    Model,
    /// Whether a stream is asked for.
    Stream,
    /// The time to the first chunk of a stream, in seconds.
    FirstChunk,
    /// The tokens of the prompt.
    InputTokens,
    /// The tokens of the answer.
    OutputTokens,
    /// Of those of the prompt, those read from a cache.
    CacheRead,
    /// Of those of the prompt, those written to a cache.
    CacheWrite,
    /// Of those of the answer, those of reasoning.
    Reasoning,
}

/// The names by version 1.41, and by what came after it.
const GEN_AI: [(GenAi, &str, &str); 10] = [
    (GenAi::Operation, "gen_ai.operation.name", "gen_ai.operation.name"),
    (GenAi::Provider, "gen_ai.provider.name", "gen_ai.provider.name"),
    (GenAi::Model, "gen_ai.request.model", "gen_ai.request.model"),
    (GenAi::Stream, "gen_ai.request.stream", "gen_ai.request.stream"),
    (GenAi::FirstChunk, "gen_ai.response.time_to_first_chunk", "gen_ai.response.time_to_first_chunk"),
    (GenAi::InputTokens, "gen_ai.usage.input_tokens", "gen_ai.usage.input_tokens"),
    (GenAi::OutputTokens, "gen_ai.usage.output_tokens", "gen_ai.usage.output_tokens"),
    (GenAi::CacheRead, "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read.input_tokens"),
    (GenAi::CacheWrite, "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    (GenAi::Reasoning, "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning.output_tokens"),
];

impl GenAi {
    /// Its name.
    pub fn name(self, names: GenAiNames) -> &'static str {
        let (_, v1_41, latest) = GEN_AI[self as usize];
        match names {
            GenAiNames::V1_41 => v1_41,
            GenAiNames::Latest => latest,
        }
    }
}

/// The hosts of vendors, or how they end, with the names that the conventions have for them.
const VENDORS: [(&str, &str); 16] = [
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("api.cohere.ai", "cohere"),
    ("api.cohere.com", "cohere"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.x.ai", "x_ai"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".inference.ai.azure.com", "azure.ai.inference"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".ml.cloud.ibm.com", "ibm.watsonx.ai"),
];

/// The vendor of a provider. One that is not known speaks OpenAI's language at least.
pub fn vendor(provider: &Provider) -> &'static str {
    let host = provider.base_url.host_str().unwrap_or_default().trim_end_matches('.');
    let known = VENDORS.iter().find(|(vendor, _)| host.ends_with(vendor));
    match known {
        Some((_, name)) => name,
        // Much else is served below that name.
        None if host.starts_with("bedrock") && host.ends_with(".amazonaws.com") => "aws.bedrock",
        None if provider.kind == ProviderKind::Azure => "azure.ai.openai",
        None => "openai",
    }
}

/// The server's name and port in a URL.
pub fn server(url: &Url) -> Option<(String, i64)> {
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?.into()))
}

/// Endpoints below `/v1`, with the operation that the conventions know for them.
const ENDPOINTS: [(&str, &str, Option<&str>); 16] = [
    ("chat/completions", "/v1/chat/completions", Some("chat")),
    ("completions", "/v1/completions", Some("text_completion")),
    ("embeddings", "/v1/embeddings", Some("embeddings")),
    ("responses", "/v1/responses", Some("chat")),
    ("messages", "/v1/messages", Some("chat")),
    ("moderations", "/v1/moderations", None),
    ("rerank", "/v1/rerank", None),
    ("audio/speech", "/v1/audio/speech", None),
    ("audio/transcriptions", "/v1/audio/transcriptions", None),
    ("audio/translations", "/v1/audio/translations", None),
    ("images/generations", "/v1/images/generations", None),
    ("images/edits", "/v1/images/edits", None),
    ("images/variations", "/v1/images/variations", None),
    ("models", "/v1/models", None),
    ("files", "/v1/files", None),
    ("batches", "/v1/batches", None),
];

/// Things below `/v1` that have ids.
const THINGS: [(&str, &str); 4] = [
    ("models/", "/v1/models/{id}"),
    ("files/", "/v1/files/{id}"),
    ("batches/", "/v1/batches/{id}"),
    ("responses/", "/v1/responses/{id}"),
];

/// What a path is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The path without what differs from request to request; none for what is not known.
    pub route: Option<&'static str>,
    /// What is asked for, where that is an operation of generative AI.
    pub operation: Option<&'static str>,
}

/// What a client's path is about.
pub fn endpoint(path: &str) -> Endpoint {
    if path == "/" {
        return Endpoint { route: Some("/"), operation: None };
    }
    let path = path.trim_matches('/');
    let path = path.strip_prefix("v1/").or_else(|| deployed(path)).unwrap_or(path);
    let known = ENDPOINTS.iter().find(|(endpoint, ..)| *endpoint == path);
    if let Some((_, route, operation)) = known {
        return Endpoint { route: Some(route), operation: *operation };
    }
    let thing = THINGS.iter().find(|(prefix, _)| path.strip_prefix(prefix).is_some_and(|id| !id.contains('/')));
    Endpoint { route: thing.map(|(_, route)| *route), operation: None }
}

/// The endpoint of a path as Azure's clients have it.
fn deployed(path: &str) -> Option<&str> {
    Some(path.strip_prefix("openai/deployments/")?.split_once('/')?.1)
}

/// The methods that the conventions know; any other one is named as such.
pub fn method(method: &str) -> &'static str {
    const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    METHODS.iter().find(|known| **known == method).copied().unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_their_numbers_say_and_one_has_changed() {
        for (place, (name, ..)) in GEN_AI.into_iter().enumerate() {
            assert_eq!(name as usize, place);
        }
        assert_eq!(GenAi::CacheWrite.name(GenAiNames::V1_41), "gen_ai.usage.cache_creation.input_tokens");
        assert_eq!(GenAi::CacheWrite.name(GenAiNames::Latest), "gen_ai.usage.cache_write.input_tokens");
    }

    #[test]
    fn a_route_has_nothing_in_it_that_differs_from_request_to_request() {
        let of = |path: &str| (endpoint(path).route, endpoint(path).operation);
        assert_eq!(of("/v1/chat/completions"), (Some("/v1/chat/completions"), Some("chat")));
        assert_eq!(of("/chat/completions/"), (Some("/v1/chat/completions"), Some("chat")));
        assert_eq!(of("/openai/deployments/mine/chat/completions"), (Some("/v1/chat/completions"), Some("chat")));
        assert_eq!(of("/v1/embeddings"), (Some("/v1/embeddings"), Some("embeddings")));
        assert_eq!(of("/v1/files/file-123"), (Some("/v1/files/{id}"), None));
        assert_eq!(of("/v1/files/file-123/content"), (None, None));
        assert_eq!(of("/v1/whatever/123"), (None, None));
        assert_eq!((of("/"), of("/v1/")), ((Some("/"), None), (None, None)));
        assert_eq!((method("POST"), method("BREW")), ("POST", "_OTHER"));
    }
}
