//! The endpoints: the meaning of each path, and the rules for requests to it, in one table.

use std::sync::LazyLock;

use http::Method;
use memchr::memmem::Finder;

mod path;

use super::respond::ProxyError;

/// The names of endpoints in metrics, so that no client can make more of them. In the order of [`Label`].
pub const LABELS: [&str; 13] = [
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
    "realtime",
    "other",
];

/// A place in [`LABELS`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Label {
    Chat,
    Completions,
    Embeddings,
    Responses,
    Messages,
    Moderations,
    Audio,
    Images,
    Models,
    Files,
    Batches,
    Realtime,
    Other,
}

/// The sort of requests that go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The list of models, or one of them: answered by the proxy.
    Models,
    /// Generates an answer from a JSON object or a form.
    Generate,
    /// Concerns things stored at a provider: goes to one provider, and to no other one after bytes were sent.
    Stored,
    /// A WebSocket, on which a client asks for as many answers as it likes.
    Session,
    /// Everything else.
    Other,
}

/// Methods as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Methods(u8);

/// `HEAD` goes with `GET`.
const GET: Methods = Methods(1);
const POST: Methods = Methods(2);
const DELETE: Methods = Methods(4);
const PUT_AND_PATCH: Methods = Methods(8);
const READ_AND_WRITE: Methods = GET.and(POST);
const STORE: Methods = GET.and(POST).and(DELETE);
const ANY: Methods = STORE.and(PUT_AND_PATCH);

impl Methods {
    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => GET,
            Method::POST => POST,
            Method::DELETE => DELETE,
            Method::PUT | Method::PATCH => PUT_AND_PATCH,
            _ => Self(0),
        }
    }

    /// The methods as the header `Allow` has them.
    fn allow(self) -> &'static str {
        match self {
            GET => "GET, HEAD",
            POST => "POST",
            READ_AND_WRITE => "GET, HEAD, POST",
            STORE => "GET, HEAD, POST, DELETE",
            READ_AND_DELETE => "GET, HEAD, DELETE",
            _ => "GET, HEAD, POST, PUT, PATCH, DELETE",
        }
    }
}

const READ_AND_DELETE: Methods = GET.and(DELETE);

/// One line of the table.
struct Row {
    /// Without leading slash and `v1/`.
    path: &'static str,
    /// True when the row is about the paths below, and not about this one alone.
    below: bool,
    /// A request with another method gets 405.
    methods: Methods,
    /// The class of a `POST`.
    post: Class,
    /// The class of all other methods.
    class: Class,
    /// True when the body of a `POST` must be a JSON object or a form.
    json: bool,
    label: Label,
    /// A path that servers have at their root as well, beside `/v1`: a request for it there goes there.
    at_root: bool,
}

/// `POST` generates an answer from a JSON object or a form.
const fn makes(path: &'static str, label: Label) -> Row {
    let (post, class) = (Class::Generate, Class::Other);
    Row { path, below: false, methods: POST, post, class, json: true, label, at_root: false }
}

/// `POST` takes a form, such as a file to transcribe.
const fn takes_form(path: &'static str, label: Label) -> Row {
    Row { post: Class::Other, json: false, ..makes(path, label) }
}

/// A row for things that are stored at one provider, and all below them.
const fn stores(path: &'static str, label: Label) -> Row {
    let (post, class) = (Class::Stored, Class::Stored);
    Row { path, below: true, methods: ANY, post, class, json: false, label, at_root: false }
}

/// A row for a path below which nothing is known.
const fn other(path: &'static str, label: Label) -> Row {
    let (post, class) = (Class::Other, Class::Other);
    Row { path, below: true, methods: ANY, post, class, json: false, label, at_root: false }
}

/// A row for what inference servers have at their root: llama.cpp (tools/server/README.md) and vLLM (its API server)
/// each document it there and not below `/v1`. A path that `/v1` has as well goes below `/v1` if the client writes it
/// so. Answers are not judged, as some servers answer with a list.
const fn at_root(path: &'static str) -> Row {
    let (post, class) = (Class::Other, Class::Other);
    Row { path, below: false, methods: POST, post, class, json: true, label: Label::Other, at_root: true }
}

/// Every endpoint that is known. Of those that fit, the longest counts, and one that fits exactly before one that is
/// about what is below. The first segments are also what is served without `/v1`. Sources: OpenAI's API reference
/// (openai-openapi, June 2026), Anthropic's for `messages`, vLLM's and llama.cpp's server documentation.
const TABLE: &[Row] = &[
    Row { methods: READ_AND_WRITE, class: Class::Stored, ..makes("chat/completions", Label::Chat) },
    makes("completions", Label::Completions),
    makes("embeddings", Label::Embeddings),
    makes("responses", Label::Responses),
    makes("messages", Label::Messages),
    Row { below: false, methods: GET, post: Class::Models, class: Class::Models, ..other("models", Label::Models) },
    Row { methods: READ_AND_DELETE, class: Class::Models, ..stores("models", Label::Models) },
    Row { methods: STORE, ..stores("chat/completions", Label::Other) },
    other("chat", Label::Other),
    other("completions", Label::Completions),
    other("embeddings", Label::Embeddings),
    makes("responses/compact", Label::Responses),
    makes("responses/input_tokens", Label::Responses),
    Row { methods: STORE, ..stores("responses", Label::Responses) },
    makes("messages/count_tokens", Label::Messages),
    Row { methods: STORE, ..stores("messages/batches", Label::Messages) },
    other("messages", Label::Messages),
    makes("moderations", Label::Moderations),
    other("moderations", Label::Moderations),
    makes("audio/speech", Label::Audio),
    takes_form("audio/transcriptions", Label::Audio),
    takes_form("audio/translations", Label::Audio),
    other("audio", Label::Audio),
    makes("images/edits", Label::Images),
    makes("images/generations", Label::Images),
    makes("images/variations", Label::Images),
    other("images", Label::Images),
    makes("rerank", Label::Other),
    other("rerank", Label::Other),
    makes("score", Label::Other),
    other("score", Label::Other),
    stores("assistants", Label::Other),
    stores("batches", Label::Batches),
    stores("chatkit", Label::Other),
    stores("containers", Label::Other),
    stores("conversations", Label::Other),
    stores("evals", Label::Other),
    stores("files", Label::Files),
    stores("fine_tuning", Label::Other),
    stores("skills", Label::Other),
    stores("threads", Label::Other),
    stores("uploads", Label::Other),
    stores("vector_stores", Label::Other),
    stores("videos", Label::Other),
    other("content_provenance_checks", Label::Other),
    other("organization", Label::Other),
    other("projects", Label::Other),
    other("realtime", Label::Realtime),
    at_root("apply-template"),
    at_root("classify"),
    at_root("completion"),
    at_root("detokenize"),
    at_root("embedding"),
    at_root("infill"),
    at_root("pooling"),
    at_root("rerank"),
    at_root("reranking"),
    at_root("score"),
    at_root("tokenize"),
];

/// The endpoint of sessions in which a model is spoken with.
pub const REALTIME: &str = "realtime";
/// The endpoint of sessions that translate what they hear.
const TRANSLATIONS: &str = "realtime/translations";
/// The endpoint of responses, which are made by requests or on a WebSocket.
pub const RESPONSES: &str = "responses";

/// Below `/v1` everything else is forwarded as well.
const UNKNOWN: Row = other("", Label::Other);

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The path without leading slash and without `v1/`. With a leading slash it is meant from the server's root on, and
    /// not from `/v1`.
    pub path: String,
    /// The class of the request.
    pub class: Class,
    /// True when the body must be a JSON object or a form.
    pub json: bool,
    /// The model that the path names, as Azure's SDKs do.
    pub model: Option<String>,
    label: usize,
}

/// The word that Anthropic's paths have.
static MESSAGES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("messages"));

/// True when a path is one of Anthropic's, whatever else is wrong with the request.
pub fn is_messages(path: &str) -> bool {
    // Nearly no path is.
    MESSAGES.find(path.as_bytes()).is_some()
        && path::plain(path).is_some_and(|plain| plain.endpoint.split('/').next() == Some("messages"))
}

impl Endpoint {
    /// Its place in [`LABELS`].
    pub fn label(&self) -> usize {
        self.label
    }

    /// True when a request with this method has a model make something, or a server keep it.
    pub fn makes(&self, method: &Method) -> bool {
        method == Method::POST || method == Method::PUT || method == Method::PATCH || self.class == Class::Session
    }

    /// The endpoint of a path at which WebSocket is spoken; `None` where it is not.
    pub fn of_websocket(path: &str) -> Option<Self> {
        let plain = path::plain(path)?;
        let label = match &*plain.endpoint {
            REALTIME | TRANSLATIONS => Label::Realtime,
            RESPONSES => Label::Responses,
            _ => return None,
        };
        let path = plain.endpoint.into_owned();
        Some(Self { path, class: Class::Session, json: false, model: plain.deployment, label: label as usize })
    }

    /// Reads a path.
    ///
    /// # Errors
    ///
    /// [`ProxyError::BadPath`] when it could lead out of the provider's base URL, [`ProxyError::UnknownPath`] when nothing
    /// is served there, [`ProxyError::WrongMethod`] when not with this method.
    pub fn of(method: &Method, path: &str) -> Result<Self, ProxyError> {
        let plain = path::plain(path).ok_or(ProxyError::BadPath)?;
        let endpoint = &*plain.endpoint;
        let row = match row(endpoint, plain.below_v1) {
            Some(row) => row,
            None if plain.below_v1 && !endpoint.is_empty() => &UNKNOWN,
            None => return Err(ProxyError::UnknownPath(path.to_owned())),
        };
        let asked = Methods::of(method);
        if row.methods.0 & asked.0 == 0 {
            return Err(ProxyError::WrongMethod(row.methods.allow()));
        }
        let is_post = asked == POST;
        Ok(Self {
            path: if row.at_root { format!("/{endpoint}") } else { plain.endpoint.into_owned() },
            class: match asked {
                POST => row.post,
                // A model of one's own, made by fine tuning.
                DELETE if row.class == Class::Models => Class::Stored,
                _ => row.class,
            },
            json: is_post && row.json,
            model: plain.deployment,
            label: row.label as usize,
        })
    }
}

/// The line of the table for an endpoint.
fn row(endpoint: &str, below_v1: bool) -> Option<&'static Row> {
    let mut found: Option<&Row> = None;
    for row in TABLE.iter().filter(|row| !(row.at_root && below_v1)) {
        let Some(rest) = endpoint.strip_prefix(row.path) else { continue };
        if rest.is_empty() && !row.below {
            // Nearly every request goes to one of the first few. Where a path means one thing below `/v1` and another
            // at the server's root, the client has said which.
            if row.at_root || below_v1 || !TABLE.iter().any(|other| other.at_root && other.path == endpoint) {
                return Some(row);
            }
        }
        let fits = rest.is_empty() || row.below && rest.starts_with('/');
        if row.below && fits && found.is_none_or(|found| found.path.len() < row.path.len()) {
            found = Some(row);
        }
    }
    found
}

#[cfg(test)]
mod tests;
