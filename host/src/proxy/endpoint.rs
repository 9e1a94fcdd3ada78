//! Which endpoint of the OpenAI API a path means, and what that says about its requests.

use http::Method;

/// First segments that are served without `/v1/` as well, since clients join their base URL and the path literally.
const ROOTS: [&str; 26] = [
    "assistants",
    "audio",
    "batches",
    "chat",
    "classify",
    "completions",
    "containers",
    "conversations",
    "embeddings",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "messages",
    "models",
    "moderations",
    "organization",
    "pooling",
    "realtime",
    "rerank",
    "responses",
    "score",
    "threads",
    "tokenize",
    "uploads",
    "vector_stores",
];

/// First segments below which everything is stored at one provider.
const STORED: [&str; 11] = [
    "assistants",
    "batches",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
];

/// `POST` endpoints whose body must be a JSON object, unless it is multipart.
const JSON: [&str; 12] = [
    "audio/speech",
    "chat/completions",
    "completions",
    "embeddings",
    "images/edits",
    "images/generations",
    "images/variations",
    "messages",
    "moderations",
    "rerank",
    "responses",
    "score",
];

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The path without leading slash and without `v1/`.
    pub path: String,
    /// What is asked of it.
    pub class: Class,
}

/// What metrics call an endpoint: one of these, so that no client can make more of them.
pub const LABELS: [&str; 12] = [
    "chat/completions",
    "completions",
    "embeddings",
    "responses",
    "messages",
    "moderations",
    "audio",
    "images",
    "models",
    "files",
    "batches",
    "other",
];

/// What sort of request goes to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The list of models, or one of them: answered by the proxy.
    Models,
    /// Makes something of a JSON object or a form, and leaves nothing behind.
    Generate,
    /// About things stored at a provider: one provider, never another one after bytes were sent.
    Stored,
    /// Everything else.
    Other,
}

impl Endpoint {
    /// Its place in [`LABELS`].
    pub fn label(&self) -> usize {
        let path = self.path.as_str();
        let root = path.split('/').next().unwrap_or_default();
        let is = |label: &str| path == label || root == label && root != "chat";
        LABELS.iter().position(|label| is(label)).unwrap_or(LABELS.len() - 1)
    }

    /// Reads a path; `None` when nothing is served there.
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        let path = match path.strip_prefix("/v1/") {
            Some(rest) => rest,
            None => {
                let rest = path.strip_prefix('/')?;
                let root = rest.split('/').next().unwrap_or_default();
                ROOTS.contains(&root).then_some(rest)?
            }
        };
        // A client must not climb out of the provider's base URL.
        if path.is_empty() || path.split('/').any(is_dots) || path.contains('\\') {
            return None;
        }
        let path = path.trim_end_matches('/');
        Some(Self { path: path.to_owned(), class: class(method, path) })
    }
}

fn class(method: &Method, path: &str) -> Class {
    let (root, below) = path.split_once('/').unwrap_or((path, ""));
    let reads = method == Method::GET || method == Method::HEAD;
    if root == "models" && reads {
        Class::Models
    } else if method == Method::POST && JSON.contains(&path) {
        Class::Generate
    } else if STORED.contains(&root) || root == "models" {
        Class::Stored
    } else if (root == "responses" && !below.is_empty()) || path.starts_with("chat/completions") {
        // A single stored response or chat completion, or the list of them.
        Class::Stored
    } else {
        Class::Other
    }
}

/// `.` and `..`, however they are written.
fn is_dots(segment: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(segment);
    decoded.clone().all(|byte| byte == b'.') && (1..=2).contains(&decoded.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, path: &str) -> Option<(String, Class)> {
        Endpoint::of(&method, path).map(|endpoint| (endpoint.path, endpoint.class))
    }

    #[test]
    fn v1_may_be_left_out_of_known_endpoints_only() {
        let chat = Some(("chat/completions".to_owned(), Class::Generate));
        assert_eq!(of(Method::POST, "/v1/chat/completions"), chat);
        assert_eq!(of(Method::POST, "/chat/completions"), chat);
        assert_eq!(of(Method::POST, "/v1/something/new"), Some(("something/new".to_owned(), Class::Other)));
        for unknown in ["/something/new", "/", "/v1", "/v1/", "/metrics", "/admin/reload", "/favicon.ico"] {
            assert_eq!(of(Method::GET, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn stored_things_are_told_from_new_ones() {
        for (method, path) in [
            (Method::GET, "/v1/files/file-1/content"),
            (Method::POST, "/v1/files"),
            (Method::POST, "/v1/batches/b/cancel"),
            (Method::GET, "/v1/responses/resp_1"),
            (Method::DELETE, "/v1/responses/resp_1"),
            (Method::POST, "/v1/responses/resp_1/cancel"),
            (Method::GET, "/v1/chat/completions"),
            (Method::DELETE, "/v1/models/ft:gpt"),
        ] {
            let (_, class) = of(method, path).expect("served");
            assert_eq!(class, Class::Stored, "{path}");
        }
        assert_eq!(of(Method::POST, "/v1/responses"), Some(("responses".to_owned(), Class::Generate)));
    }

    #[test]
    fn nobody_climbs_out_of_the_base_url() {
        for path in ["/v1/../admin", "/v1/files/%2e%2E/x", "/v1/./x", "/v1/a\\..\\b", "/v1/x/.%2e"] {
            assert_eq!(of(Method::GET, path), None, "{path}");
        }
        assert!(of(Method::GET, "/v1/files/a..b").is_some());
    }
}
