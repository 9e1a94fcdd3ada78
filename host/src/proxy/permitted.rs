//! Who asks, and whether the client may ask for this model.

use http::Method;

use super::endpoint::{Class, Endpoint};
use super::models;
use super::respond::ProxyError;
use super::telling::Telling;
use crate::clients::{Client, Keys, Known};
use crate::http1::fields::Lookup;

/// Things whose making runs models that are named elsewhere than in `model`: in a file, or deep inside.
const UNSEEN: [&str; 3] = ["batches", "messages/batches", "evals"];

/// Finds out who asks, for the story.
///
/// # Errors
///
/// When it must show a key and shows none that is accepted.
pub fn identify(keys: &Keys, headers: &impl Lookup, story: &mut Telling) -> Result<(), ProxyError> {
    let (client, refused) = match keys.identify(headers) {
        Known::Client(client) => (client, None),
        Known::Expired(client) => (client, Some(ProxyError::ExpiredKey)),
        Known::Blocked(client) => (client, Some(ProxyError::BlockedKey)),
        Known::Unsure if keys.refuse_unknown() => return Err(ProxyError::KeysUnavailable),
        Known::Nobody | Known::Stranger if keys.refuse_unknown() => return Err(ProxyError::WrongKey),
        Known::Nobody | Known::Stranger | Known::Unsure => return Ok(()),
    };
    story.client = Some(client);
    refused.map_or(Ok(()), Err)
}

/// Checks that a client may ask for a model, as it names it.
///
/// # Errors
///
/// [`ProxyError::ModelNotAllowed`], [`ProxyError::ModelsUnseen`].
pub fn check(client: Option<&Client>, (method, endpoint): (&Method, &Endpoint), model: &str) -> Result<(), ProxyError> {
    let Some(client) = client.filter(|client| client.models().is_some()) else { return Ok(()) };
    let makes = endpoint.makes(method);
    if makes && UNSEEN.iter().any(|path| is_below(&endpoint.path, path)) {
        return Err(ProxyError::ModelsUnseen);
    }
    let listed = models::wanted(&endpoint.path).filter(|_| model.is_empty());
    let may = match listed.as_deref().unwrap_or(model) {
        // A provider would take the model that it likes. What is stored was made by a request that named its model.
        "" => !makes || endpoint.class == Class::Stored,
        model => client.may_use(model),
    };
    if may { Ok(()) } else { Err(ProxyError::ModelNotAllowed(model.to_owned())) }
}

/// Checks that a client may use a model that is asked for on its behalf.
///
/// # Errors
///
/// [`ProxyError::ModelNotAllowed`].
pub fn may_use(client: Option<&Client>, model: &str) -> Result<(), ProxyError> {
    match client {
        Some(client) if !client.may_use(model) => Err(ProxyError::ModelNotAllowed(model.to_owned())),
        Some(_) | None => Ok(()),
    }
}

/// True for this path and those below it.
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Grant;

    fn may(method: Method, path: &str, model: &str) -> bool {
        let models = ["gpt-4o*".to_owned(), "small".to_owned()].into();
        let grant = Some(std::sync::Arc::new(Grant { models: Some(models), ..Grant::default() }));
        let client = Client { grant, ..Client::default() };
        let endpoint = Endpoint::of(&method, path).unwrap();
        assert!(check(None, (&method, &endpoint), model).is_ok());
        check(Some(&client), (&method, &endpoint), model).is_ok()
    }

    #[test]
    fn a_model_must_be_named_and_allowed() {
        for (path, model, allowed) in [
            ("/v1/chat/completions", "gpt-4o-mini", true),
            ("/v1/chat/completions", "small", true),
            ("/v1/chat/completions", "smaller", false),
            ("/v1/chat/completions", "", false),
            ("/v1/audio/transcriptions", "", false),
            ("/tokenize", "", false),
            ("/v1/files", "", true),
            ("/v1/fine_tuning/jobs", "o3", false),
            ("/v1/batches", "", false),
            ("/v1/batches/b/cancel", "small", false),
            ("/v1/messages/batches", "", false),
        ] {
            assert_eq!(may(Method::POST, path, model), allowed, "{path} {model}");
        }
        assert!(may(Method::DELETE, "/v1/models/small", "") && !may(Method::DELETE, "/v1/models/large", ""));
        assert!(may(Method::GET, "/v1/batches/b", "") && may(Method::GET, "/v1/files", ""));
    }
}
