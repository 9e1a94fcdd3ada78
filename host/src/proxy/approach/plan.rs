//! Before a request takes a slot: which approaches it runs, over what, and what is wrong with it.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};

use super::body::is_parameter;
use super::conversation::Conversation;
use super::kept::Purse;
use super::object::Object;
use super::{Approaches, Member, Refusal};
use crate::approach::Unavailable;
use crate::config::ApproachEntry;
use crate::proxy::endpoint::Endpoint;
use crate::proxy::request::{Approach, BodyError, Expression, RequestBody};
use crate::proxy::respond::{self, ProxyError};

/// The endpoint that approaches answer.
const ENDPOINT: &str = "chat/completions";

/// The most answers to one request.
const MAX_ANSWERS: u32 = 128;

/// A request that approaches are to answer, found to be sound.
pub struct Agenda {
    /// The choice, as the client made it.
    pub expression: Arc<Expression>,
    /// Sequences that run side by side.
    pub branches: Vec<Vec<Arc<Member>>>,
    /// The client's conversation.
    pub conversation: Arc<Conversation>,
    /// Answers wanted of each branch; at least 1.
    pub n: u32,
    /// True when the client wants the usage at the end of its stream.
    pub include_usage: bool,
}

/// Plans a request; `None` when it is to be answered as it is.
///
/// `default` is the approach of a request that chooses none. It answers no other endpoint than chat completions, where a
/// request that has chosen one is refused.
///
/// # Errors
///
/// [`ProxyError`]: what is wrong with the request, or with an approach.
pub async fn plan(
    approaches: &Approaches,
    (method, endpoint): (&Method, &Endpoint),
    body: &RequestBody,
    default: Option<&Approach>,
) -> Result<Option<Agenda>, ProxyError> {
    let Some(Approach::Run(expression)) = body.approach().or(default) else { return Ok(None) };
    if method != Method::POST || endpoint.path != ENDPOINT {
        if body.approach().is_none() {
            return Ok(None);
        }
        return Err(ProxyError::Body(BodyError::ApproachElsewhere { approach: expression.to_string() }));
    }
    let refuse = |refusal| Err(ProxyError::Approach(refusal));
    let Some(conversation) = Conversation::read(body.bytes()) else {
        return refuse(Refusal::Unsuitable(format!(
            "The approach `{expression}` needs `messages`, a list with at least one message."
        )));
    };
    let Some(n) = answers(&conversation.parameters) else {
        return refuse(Refusal::Option(format!("`n` must be a number from 1 to {MAX_ANSWERS}.")));
    };
    let mut parameters = (*conversation.parameters).clone();
    let mut branches = Vec::new();
    let mut loaded = Vec::new();
    for branch in expression.branches() {
        let mut members = Vec::new();
        for name in branch {
            members.push((name.to_string(), found(approaches, name).await?));
        }
        loaded.push(members);
    }
    let infos = loaded.iter().flatten().map(|(_, approach)| approach.info());
    let names = infos.flat_map(|info| &info.options).map(|(name, _)| name.as_str());
    // A temperature, say, is the client's for its answer, as without an approach; the operator can set the option.
    let names: Vec<&str> = names.filter(|name| !is_parameter(name)).collect();
    let options = options(&mut parameters, body, &names);
    if uses_tools(&parameters)
        && let Some((name, _)) = loaded.iter().flatten().find(|(_, approach)| !approach.info().tools)
    {
        return refuse(Refusal::Tools(name.clone()));
    }
    let mut purses: HashMap<String, Arc<Purse>> = HashMap::new();
    for members in loaded {
        let mut branch = Vec::new();
        for (name, approach) in members {
            let entry = approaches.entry(&name);
            let (config, is_clients) = configured(&entry, &options, approach.info());
            if let Err(wrong) = approach.check(&config).await {
                return refuse(if is_clients {
                    Refusal::Option(format!("The approach `{name}` does not accept these options: {wrong}"))
                } else {
                    tracing::warn!("the approach {name} does not accept approaches.{name}.config: {wrong}");
                    Refusal::Broke(name)
                });
            }
            let purse = purses.entry(name.clone());
            let purse = purse.or_insert_with(|| Arc::new(Purse::new(entry.max_calls.unwrap_or(u32::MAX))));
            let purse = Arc::clone(purse);
            branch.push(Arc::new(Member { name, approach: Some(approach), config, entry, purse }));
        }
        if branch.is_empty() {
            branch.push(Arc::new(plain()));
        }
        branches.push(branch);
    }
    if u64::from(n) * branches.len() as u64 > u64::from(MAX_ANSWERS) {
        let why = format!("`n` asks for more than {MAX_ANSWERS} answers of all approaches together.");
        return refuse(Refusal::Option(why));
    }
    let stream_options: Option<Map<String, Value>> = parameters.get("stream_options");
    let include_usage = stream_options.is_some_and(|options| options.get("include_usage") == Some(&Value::Bool(true)));
    let conversation = Arc::new(Conversation { parameters: Arc::new(parameters), ..conversation });
    let expression = Arc::clone(expression);
    Ok(Some(Agenda { expression, branches, conversation, n, include_usage }))
}

/// The plain answer of the model, beside others.
pub fn plain() -> Member {
    let name = "proxy".to_owned();
    let (entry, purse) = (Arc::new(ApproachEntry::new(&name)), Arc::new(Purse::new(u32::MAX)));
    Member { entry, name, approach: None, config: "{}".to_owned(), purse }
}

/// The component of this name.
async fn found(approaches: &Approaches, name: &str) -> Result<Arc<crate::approach::Approach>, ProxyError> {
    approaches.registry.get(name).await.map_err(|unavailable| {
        ProxyError::Approach(match unavailable {
            Unavailable::Resting(left) => Refusal::Resting(name.to_owned(), left),
            Unavailable::Unknown | Unavailable::Unloadable(_) => {
                tracing::error!("the approach {name} cannot be used: {}", respond::chain(&unavailable));
                Refusal::Broke(name.to_owned())
            }
        })
    })
}

/// The number of answers that the client wants.
fn answers(parameters: &Object) -> Option<u32> {
    if !parameters.has("n") {
        return Some(1);
    }
    parameters.get("n").filter(|n| (1..=MAX_ANSWERS).contains(n))
}

/// True when the client has tools that the model may call.
fn uses_tools(parameters: &Object) -> bool {
    let lists = |key| parameters.get::<Vec<Value>>(key).is_some_and(|list| !list.is_empty());
    let forbids = |key| parameters.get::<String>(key).is_some_and(|choice| choice == "none");
    (lists("tools") && !forbids("tool_choice")) || (lists("functions") && !forbids("function_call"))
}

/// The options of these names that a client has sent, at the top level or in a literal `extra_body`, taken out of the
/// parameters; and those that OptiLLM's clients send.
fn options(parameters: &mut Object, body: &RequestBody, names: &[&str]) -> Map<String, Value> {
    let mut options = Map::new();
    for (name, value) in body.options() {
        options.insert((*name).to_owned(), serde_json::from_str(value).unwrap_or_default());
    }
    let mut extra: Option<Object> = parameters.get("extra_body");
    for name in names {
        let inner = extra.as_mut().and_then(|extra| extra.remove(name));
        if let Some(value) = parameters.remove(name).or(inner) {
            options.insert((*name).to_owned(), serde_json::from_str(value.get()).unwrap_or_default());
        }
    }
    match extra {
        Some(extra) if extra.is_empty() => drop(parameters.remove("extra_body")),
        Some(extra) => parameters.put("extra_body", &extra),
        None => {}
    }
    options.retain(|_, value| !value.is_null());
    options
}

/// The configuration of a run, and whether an option of the client's is in it.
fn configured(entry: &ApproachEntry, options: &Map<String, Value>, info: &crate::approach::Info) -> (String, bool) {
    let mut config = entry.config.as_object().cloned().unwrap_or_default();
    let mut is_clients = false;
    for (name, value) in options {
        if info.options.iter().any(|(known, _)| known == name) {
            config.insert(name.clone(), value.clone());
            is_clients = true;
        }
    }
    (Value::Object(config).to_string(), is_clients)
}
