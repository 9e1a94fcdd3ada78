//! How a provider wants to be addressed: its URLs and the header that carries its key.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::config::{Provider, ProviderKind};

/// What stays as it is in a path segment (RFC 3986, unreserved).
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

/// A provider's addresses, worked out once.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Without a trailing slash.
    base: String,
    /// Azure's `api-version`, where the URL must carry one.
    api_version: Option<String>,
}

impl Dialect {
    /// Reads the dialect off a provider's configuration.
    pub fn new(provider: &Provider) -> Self {
        let base = provider.base_url.as_str().trim_end_matches('/');
        match provider.kind {
            ProviderKind::OpenAi => Self { base: base.to_owned(), api_version: None },
            // The v1 surface of Azure is OpenAI's own, but for the header of the key.
            ProviderKind::Azure if base.ends_with("/openai/v1") => Self { base: base.to_owned(), api_version: None },
            ProviderKind::Azure => Self {
                base: base.strip_suffix("/openai").unwrap_or(base).to_owned(),
                api_version: Some(provider.api_version.clone()),
            },
        }
    }

    /// The URL of `endpoint` (without leading slash or `v1/`) for `model`, with the client's query.
    ///
    /// # Errors
    ///
    /// When the endpoint does not make a URL.
    pub fn url(&self, endpoint: &str, query: Option<&str>, model: &str) -> Result<Url, url::ParseError> {
        let Some(version) = &self.api_version else {
            let mut url = Url::parse(&format!("{}/{endpoint}", self.base))?;
            url.set_query(query);
            return Ok(url);
        };
        let base = &self.base;
        let mut url = if !model.is_empty() && DEPLOYMENT_ENDPOINTS.contains(&endpoint) {
            let deployment = utf8_percent_encode(model, SEGMENT);
            Url::parse(&format!("{base}/openai/deployments/{deployment}/{endpoint}"))?
        } else {
            Url::parse(&format!("{base}/openai/{endpoint}"))?
        };
        url.set_query(query);
        if !url.query_pairs().any(|(name, _)| name == "api-version") {
            url.query_pairs_mut().append_pair("api-version", version);
        }
        Ok(url)
    }

    /// The header that carries the key; marked sensitive, so that no debug output prints it.
    ///
    /// # Errors
    ///
    /// When the key holds what no header may hold; the configuration refuses such keys.
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
