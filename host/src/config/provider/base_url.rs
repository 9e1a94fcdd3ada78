//! `providers[].base_url`: a URL to which paths can be appended, or a socket in the file system.

use std::path::PathBuf;

use url::Url;

use super::super::problem::Reported;
use super::super::read::{Reader, Text};
use super::super::{network, vendor};

/// The suffixes of hosts that speak Azure's dialect.
const AZURE_HOSTS: [&str; 2] = [".openai.azure.com", ".cognitiveservices.azure.com"];

/// Endpoints that are appended to a base URL and must not be part of it; the longer ones first.
const ENDPOINTS: [&str; 11] = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/messages",
    "/models",
    "/moderations",
    "/rerank",
    "/audio/speech",
    "/audio/transcriptions",
    "/images/generations",
];

/// An http(s) URL to which paths can be appended. No problem shows what a variable held, nor a password.
///
/// The second value is the Unix socket, where the URL names one.
pub(super) fn base_url(reader: &mut Reader<'_>, found: &Text) -> Result<(Url, Option<PathBuf>), Reported> {
    let Text { at, text, shown, .. } = found;
    let mut problem =
        |message: String, help: Option<&str>| Err(reader.findings.problem(at, message, help.map(str::to_owned)));
    if text.is_empty() {
        return problem("must not be empty".to_owned(), Some("such as https://api.openai.com/v1"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return problem("must not contain white space".to_owned(), None);
    }
    match network::socket(text) {
        None => {}
        Some(Ok((url, socket))) => return Ok((url, Some(socket))),
        Some(Err(wrong)) => return problem(wrong.to_owned(), Some("such as unix:/run/llm.sock:/v1")),
    }
    // Before the `@` there may be a password.
    let not = if text.contains('@') { String::new() } else { format!(", not {shown}") };
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if !begins("http://") && !begins("https://") {
        let message = format!("must be a URL that begins with http:// or https://{not}");
        return problem(message, Some("such as https://api.openai.com/v1"));
    }
    // Browsers and the parser silently repair these; here they are mistakes.
    if text.contains(":///") || text.contains('\\') {
        return problem(format!("must be a URL{not}"), Some("such as https://api.openai.com/v1"));
    }
    let mut url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return problem(format!("must be a URL{not}: {error}"), None),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return problem("must not contain a user or password".to_owned(), Some("the key goes under `api_key`"));
    }
    if url.query().is_some() {
        let help = "remove the `?` and everything after it; Azure's `api-version` goes under `api_version`";
        return problem("must not contain a query".to_owned(), Some(help));
    }
    if url.fragment().is_some() {
        return problem("must not contain a fragment".to_owned(), Some("remove the `#` and everything after it"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    let lower = path.to_ascii_lowercase();
    if let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| lower.ends_with(**endpoint)) {
        let message = format!("must not end in {endpoint}, which is appended to each request");
        let right = path.get(..path.len() - endpoint.len()).unwrap_or_default();
        let right = format!("{}{right}", url.origin().ascii_serialization());
        let help = if found.written { format!("write {right}") } else { "remove it".to_owned() };
        return Err(reader.findings.problem(at, message, Some(help)));
    }
    if let Some(right) = vendor::missing_path(&url) {
        let host = url.host_str().unwrap_or_default();
        reader.findings.warn(at, &format!("lacks a part of the path: the API of {host} is at {right}"));
    }
    Ok((url, None))
}

/// True when the host speaks Azure's dialect. `Url` has lower-cased it, and a trailing dot means the same host.
pub(super) fn is_azure(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    AZURE_HOSTS.iter().any(|suffix| host.ends_with(suffix))
}
