//! The paths of well-known vendors' OpenAI-compatible APIs, to warn of a base URL that lacks them.
//!
//! Each path comes from the base URL that the vendor documents for OpenAI's SDKs. Vendors that accept requests both
//! with and without `/v1`, such as DeepSeek and Perplexity, are not in the list.

use url::Url;

/// Hosts, and the path of the base URL there.
const VENDORS: [(&str, &str); 22] = [
    ("api.anthropic.com", "/v1"),
    ("api.cerebras.ai", "/v1"),
    ("api.cohere.ai", "/compatibility/v1"),
    ("api.cohere.com", "/compatibility/v1"),
    ("api.deepinfra.com", "/v1/openai"),
    ("api.fireworks.ai", "/inference/v1"),
    ("api.groq.com", "/openai/v1"),
    ("api.hyperbolic.xyz", "/v1"),
    ("api.mistral.ai", "/v1"),
    ("api.moonshot.ai", "/v1"),
    ("api.moonshot.cn", "/v1"),
    ("api.openai.com", "/v1"),
    ("api.sambanova.ai", "/v1"),
    ("api.siliconflow.cn", "/v1"),
    ("api.together.ai", "/v1"),
    ("api.together.xyz", "/v1"),
    ("api.x.ai", "/v1"),
    ("dashscope-intl.aliyuncs.com", "/compatible-mode/v1"),
    ("dashscope.aliyuncs.com", "/compatible-mode/v1"),
    ("generativelanguage.googleapis.com", "/v1beta/openai"),
    ("integrate.api.nvidia.com", "/v1"),
    ("openrouter.ai", "/api/v1"),
];

/// Ollama's port, on any host.
const OLLAMA: u16 = 11434;

/// The path that the base URL should have at a known host, if it is missing.
pub(super) fn missing_path(url: &Url) -> Option<&'static str> {
    let host = url.host_str()?.trim_end_matches('.');
    let known = VENDORS.iter().find(|(vendor, _)| *vendor == host).map(|(_, path)| *path);
    let right = known.or_else(|| (url.port() == Some(OLLAMA)).then_some("/v1"))?;
    let path = url.path().trim_end_matches('/');
    let stops_short = right.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    (stops_short || (path == "/v1" && right != path)).then_some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(url: &str) -> Option<&'static str> {
        missing_path(&url.parse().unwrap())
    }

    #[test]
    fn a_known_host_without_its_path_is_seen() {
        for (url, right) in [
            ("https://api.openai.com", "/v1"),
            ("https://api.openai.com/", "/v1"),
            ("https://openrouter.ai/api", "/api/v1"),
            ("https://openrouter.ai/v1", "/api/v1"),
            ("https://api.groq.com/openai", "/openai/v1"),
            ("https://api.mistral.ai", "/v1"),
            ("https://api.together.xyz", "/v1"),
            ("https://api.deepinfra.com/v1", "/v1/openai"),
            ("http://localhost:11434", "/v1"),
        ] {
            assert_eq!(missing(url), Some(right), "{url}");
        }
    }

    #[test]
    fn what_is_right_or_not_known_is_left_alone() {
        for url in [
            "https://api.openai.com/v1",
            "https://api.openai.com/proxied",
            "https://api.deepseek.com",
            "https://gateway.example",
            "https://openrouter.ai/api/v1",
            "http://localhost:11434/v1",
            "http://localhost:8000",
        ] {
            assert_eq!(missing(url), None, "{url}");
        }
    }
}
