//! The dialect of a provider: its URLs and the header that carries its key. The submodules read its error answers.

use std::borrow::Cow;

use http::Uri;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

pub mod peculiarities;
pub mod remaining;
pub mod said;
pub mod waits;

use crate::config::{Provider, ProviderKind};

/// Bytes that are not escaped in a path segment (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The endpoints that Azure serves below a deployment; all others stand directly below `/openai`.
const DEPLOYMENT_ENDPOINTS: [&str; 8] = [
    "chat/completions",
    "completions",
    "embeddings",
    "audio/transcriptions",
    "audio/translations",
    "audio/speech",
    "images/generations",
    "images/edits",
];

/// The endpoints that clients ask for most.
const USUAL_ENDPOINTS: [&str; 5] = ["chat/completions", "completions", "embeddings", "responses", "messages"];

/// A provider's addresses, worked out once.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Parsed once: a request only sets its path.
    base: Url,
    /// The path of the base URL, without a trailing slash.
    path: String,
    /// Azure's `api-version`, where the URL must carry one.
    api_version: Option<String>,
    /// True for Azure: other providers do not know that parameter, and some refuse it.
    is_azure: bool,
    /// The targets of the endpoints that most requests go to, where they are the same for all of them.
    usual: Vec<(&'static str, Uri)>,
}

impl Dialect {
    /// Reads the dialect off a provider's configuration.
    pub fn new(provider: &Provider) -> Self {
        let base = provider.base_url.clone();
        let path = base.path().trim_end_matches('/');
        let (path, api_version) = match provider.kind {
            ProviderKind::OpenAi => (path, None),
            // Azure's v1 surface is the same as OpenAI's, except for the header with the key.
            ProviderKind::Azure if path.ends_with("/openai/v1") => (path, None),
            ProviderKind::Azure => (path.strip_suffix("/openai").unwrap_or(path), Some(provider.api_version.clone())),
        };
        let is_azure = provider.kind == ProviderKind::Azure;
        let mut dialect = Self { path: path.to_owned(), base, api_version, is_azure, usual: Vec::new() };
        if dialect.api_version.is_none() {
            dialect.usual = USUAL_ENDPOINTS.map(|endpoint| (endpoint, dialect.target(endpoint, None, ""))).into();
        }
        dialect
    }

    /// The request target (RFC 9112, 3.2.1) of `endpoint` (without `v1/`; with a leading slash it is meant from the
    /// server's root on) for `model`, with the client's query.
    pub fn target(&self, endpoint: &str, query: Option<&str>, model: &str) -> Uri {
        if query.is_none()
            && let Some((_, target)) = self.usual.iter().find(|(usual, _)| *usual == endpoint)
        {
            return target.clone();
        }
        let url = self.url(endpoint, query, model);
        // A URL's path and query hold no character that a target may not.
        Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).unwrap_or_default()
    }

    fn url(&self, endpoint: &str, query: Option<&str>, model: &str) -> Url {
        let (mut url, path) = (self.base.clone(), self.path.as_str());
        // The paths that a server has beside `/v1`, and not below it.
        let (path, endpoint) = match endpoint.strip_prefix('/') {
            Some(endpoint) => (path.strip_suffix("/v1").unwrap_or(path), endpoint),
            None => (path, endpoint),
        };
        let Some(version) = &self.api_version else {
            url.set_path(&format!("{path}/{endpoint}"));
            url.set_query(
                if self.is_azure { query.map(Cow::Borrowed) } else { query.and_then(without_version) }.as_deref(),
            );
            return url;
        };
        if !model.is_empty() && DEPLOYMENT_ENDPOINTS.contains(&endpoint) {
            let deployment = utf8_percent_encode(model, SEGMENT);
            url.set_path(&format!("{path}/openai/deployments/{deployment}/{endpoint}"));
        } else {
            url.set_path(&format!("{path}/openai/{endpoint}"));
        }
        // What OpenAI calls the model of a session.
        let query = query.map(|query| match endpoint {
            "realtime" | "realtime/translations" => {
                Cow::Owned(format!("&{query}").replace("&model=", "&deployment=")[1..].to_owned())
            }
            _ => Cow::Borrowed(query),
        });
        url.set_query(query.as_deref());
        if !url.query_pairs().any(|(name, _)| name == "api-version") {
            url.query_pairs_mut().append_pair("api-version", version);
        }
        url
    }

    /// The header that carries the key; marked sensitive, so that no debug output prints it.
    ///
    /// # Errors
    ///
    /// When the key holds a character that no header may hold; the configuration refuses such keys.
    pub fn key_header(provider: &Provider) -> Result<(HeaderName, HeaderValue), http::header::InvalidHeaderValue> {
        let key = provider.api_key.reveal();
        let (name, mut value) = match provider.kind {
            ProviderKind::OpenAi => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}"))?),
            ProviderKind::Azure => (HeaderName::from_static("api-key"), HeaderValue::try_from(key)?),
        };
        value.set_sensitive(true);
        Ok((name, value))
    }
}

/// The query without the parameter that Azure's SDKs send; every other byte stays. `None` when nothing is left.
fn without_version(query: &str) -> Option<Cow<'_, str>> {
    if !query.contains("api-version=") {
        return Some(Cow::Borrowed(query));
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("api-version=")).collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn url_of(provider: &str, endpoint: &str, query: Option<&str>, model: &str) -> String {
        let text = format!("providers:\n  - {{name: a, api_key: key, {provider}}}\n");
        let config = config::parse(&text, Path::new("x.yaml"), &|_| None, &["round_robin"]).expect("valid");
        Dialect::new(&config.providers[0]).url(endpoint, query, model).to_string()
    }

    #[test]
    fn openai_appends_the_endpoint_to_the_base() {
        let chat = |base: &str| url_of(&format!("base_url: '{base}'"), "chat/completions", None, "m");
        assert_eq!(chat("http://h:1/v1"), "http://h:1/v1/chat/completions");
        assert_eq!(chat("http://h:1/v1/"), "http://h:1/v1/chat/completions");
        assert_eq!(chat("http://h:1"), "http://h:1/chat/completions");
        let files = url_of("base_url: 'http://h/v1'", "files/a%2Fb", Some("limit=2"), "");
        assert_eq!(files, "http://h/v1/files/a%2Fb?limit=2");
    }

    #[test]
    fn what_stands_beside_v1_is_asked_for_there() {
        let tokenize = |base: &str| url_of(&format!("base_url: '{base}'"), "/tokenize", None, "m");
        assert_eq!(tokenize("http://h:1/v1"), "http://h:1/tokenize");
        assert_eq!(tokenize("http://h:1/llm/v1/"), "http://h:1/llm/tokenize");
        assert_eq!(tokenize("http://h:1"), "http://h:1/tokenize");
    }

    #[test]
    fn azures_parameter_is_for_azure_alone() {
        let files = |query| url_of("base_url: 'http://h/v1'", "files", Some(query), "");
        assert_eq!(files("api-version=2024-10-21"), "http://h/v1/files");
        assert_eq!(files("a=%2F&api-version=1&b"), "http://h/v1/files?a=%2F&b");
        assert_eq!(files("x-api-version=1"), "http://h/v1/files?x-api-version=1");
        let v1 = url_of("base_url: 'https://x.openai.azure.com/openai/v1'", "files", Some("api-version=preview"), "");
        assert_eq!(v1, "https://x.openai.azure.com/openai/v1/files?api-version=preview");
    }

    #[test]
    fn azure_names_the_deployment_and_the_version() {
        let azure = "base_url: 'https://x.openai.azure.com/', api_version: '2'";
        let base = "https://x.openai.azure.com/openai";
        let chat = url_of(azure, "chat/completions", None, "gpt 4/x");
        assert_eq!(chat, format!("{base}/deployments/gpt%204%2Fx/chat/completions?api-version=2"));
        assert_eq!(url_of(azure, "models", None, ""), format!("{base}/models?api-version=2"));
        let own = url_of(azure, "chat/completions", Some("api-version=1"), "m");
        assert_eq!(own, format!("{base}/deployments/m/chat/completions?api-version=1"));
        let session = url_of(azure, "realtime", Some("intent=x&model=m"), "m");
        assert_eq!(session, format!("{base}/realtime?intent=x&deployment=m&api-version=2"));
        let v1 = "base_url: 'https://x.openai.azure.com/openai/v1'";
        assert_eq!(url_of(v1, "chat/completions", None, "m"), format!("{base}/v1/chat/completions"));
    }
}
