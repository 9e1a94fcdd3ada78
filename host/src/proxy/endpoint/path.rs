//! Normalises a client's path. Spellings that could mean something else to a provider than to this proxy are refused.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A normalised path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain<'a> {
    /// Without leading and trailing slash, `v1/`, `openai/` and deployment; may be empty.
    pub endpoint: Cow<'a, str>,
    /// True when the client wrote `/v1` or a deployment before it: any endpoint may follow.
    pub below_v1: bool,
    /// The deployment that an Azure SDK names, which is the model.
    pub deployment: Option<String>,
}

/// The number of times that a path is decoded to find dot segments, since a chain of servers may decode it as often.
const DECODINGS: usize = 3;

/// Reads a path; `None` when it could lead out of the provider's base URL.
pub(super) fn plain(path: &str) -> Option<Plain<'_>> {
    if path.contains('\\') || has_dot_segment(path) {
        return None;
    }
    let mut rest = folded(path);
    let mut below_v1 = false;
    let mut deployment = None;
    loop {
        if let Some(behind) = after(&rest, "v1/").or_else(|| after(&rest, "openai/v1/")) {
            rest = behind;
        } else if let Some(behind) = after(&rest, "openai/deployments/").filter(|behind| behind.contains('/')) {
            let (name, behind) = behind.split_once('/').unwrap_or_default();
            let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
            if name.chars().any(char::is_control) {
                return None;
            }
            deployment = Some(name);
            rest = Cow::Owned(behind.to_owned());
        } else if let Some(behind) = after(&rest, "openai/").filter(|_| !below_v1) {
            // Azure's SDKs use this prefix for endpoints of no deployment. The endpoints allowed behind it are those
            // allowed without `/v1`.
            rest = behind;
            continue;
        } else {
            return Some(Plain { endpoint: rest, below_v1, deployment });
        }
        below_v1 = true;
    }
}

/// The part of `text` behind `prefix`, not copied if `text` was not.
fn after<'a>(text: &Cow<'a, str>, prefix: &str) -> Option<Cow<'a, str>> {
    match text {
        Cow::Borrowed(text) => text.strip_prefix(prefix).map(Cow::Borrowed),
        Cow::Owned(text) => text.strip_prefix(prefix).map(|rest| Cow::Owned(rest.to_owned())),
    }
}

/// Removes slashes at both ends and doubled ones within, since clients join their base URL and the path literally.
fn folded(path: &str) -> Cow<'_, str> {
    let path = path.trim_matches('/');
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    Cow::Owned(segments.join("/"))
}

/// Finds `.` and `..` between slashes and backslashes, in any encoding of either. The part of a segment behind a
/// semicolon is ignored, as some servers do.
fn has_dot_segment(path: &str) -> bool {
    let mut decoded = Cow::Borrowed(path.as_bytes());
    for _ in 0..=DECODINGS {
        let segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
        if segments.into_iter().any(|segment| matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b"..")))
        {
            return true;
        }
        if !decoded.contains(&b'%') {
            return false;
        }
        decoded = Cow::Owned(percent_encoding::percent_decode(&decoded).collect());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(path: &str) -> Option<String> {
        plain(path).map(|plain| plain.endpoint.into_owned())
    }

    #[test]
    fn doubled_slashes_and_prefixes_are_folded() {
        for path in [
            "/v1/chat/completions",
            "/chat/completions",
            "/v1//chat/completions",
            "//v1/chat///completions/",
            "/v1/v1/chat/completions",
            "/v1/v1//v1/chat/completions",
            "/openai/v1/chat/completions",
            "/openai/chat/completions",
            "/openai/deployments/m/chat/completions",
            "/v1/openai/deployments/m/chat/completions",
        ] {
            assert_eq!(endpoint(path).as_deref(), Some("chat/completions"), "{path}");
        }
        assert_eq!(endpoint("/v1/v10/x").as_deref(), Some("v10/x"));
        assert_eq!(endpoint("/v1").as_deref(), Some("v1"));
        assert_eq!(endpoint("/").as_deref(), Some(""));
    }

    #[test]
    fn a_deployment_is_a_model() {
        let named = |path: &str| plain(path).and_then(|plain| plain.deployment);
        assert_eq!(named("/openai/deployments/gpt-4o/embeddings").as_deref(), Some("gpt-4o"));
        assert_eq!(named("/openai/deployments/meta%2Fllama%203/embeddings").as_deref(), Some("meta/llama 3"));
        assert_eq!(named("/v1/chat/completions"), None);
        assert_eq!(plain("/openai/deployments/a%00b/embeddings"), None);
    }

    #[test]
    fn nobody_climbs_out_of_the_base_url() {
        for path in [
            "/v1/../admin",
            "/v1/files/%2e%2E/x",
            "/v1/./x",
            "/v1/a\\..\\b",
            "/v1/a\\b",
            "/v1/x/.%2e",
            "/v1/..%2fadmin",
            "/v1/..%2Fadmin",
            "/v1/files%2f..%2f..%2fadmin",
            "/v1/%2e%2e%5cadmin",
            "/v1/%252e%252e/admin",
            "/v1/files/%252e%252e%252fadmin",
            "/v1/..;/admin",
            "/v1/..",
            "/..",
        ] {
            assert_eq!(plain(path), None, "{path}");
        }
        for path in ["/v1/files/a..b", "/v1/files/a%2Fb", "/v1/models/a%2f.b", "/v1/files/...", "/v1/files/100%"] {
            assert!(plain(path).is_some(), "{path}");
        }
    }
}
