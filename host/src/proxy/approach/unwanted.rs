//! Members of calls that models refuse: found out, remembered, and left out.

use std::collections::HashSet;

use http::StatusCode;
use parking_lot::Mutex;

use super::body::{Body, Own, other_limit};
use super::inner::Failed;
use super::kept::{Refused, Theirs};

/// Members of calls that the models of a route refuse, as they have shown. Forgotten at a reload.
#[derive(Debug, Default)]
pub struct Peculiarities(Mutex<HashSet<(String, String)>>);

impl Peculiarities {
    /// More than all models of a configuration have; a client must not be able to fill the memory.
    const MOST: usize = 10_000;

    /// Notes that a model refuses a member.
    pub fn note(&self, model: &str, key: &str) {
        let mut known = self.0.lock();
        if known.len() < Self::MOST {
            known.insert((model.to_owned(), key.to_owned()));
        }
    }

    /// True when a model is known to refuse a member.
    pub fn has(&self, model: &str, key: &str) -> bool {
        let known = self.0.lock();
        !known.is_empty() && known.contains(&(model.to_owned(), key.to_owned()))
    }
}

/// The member of a call that a provider refuses and the approach has set, which can be changed.
pub fn refused_member<'o>(failed: &Failed, own: &'o Own) -> Option<&'o str> {
    let Refused::Theirs(theirs) = &failed.refused else { return None };
    let Theirs { status, body, .. } = &**theirs;
    if !matches!(*status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) {
        return None;
    }
    let said: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = &said["error"];
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let message = text(&error["message"]).or_else(|| text(error)).unwrap_or_else(|| said.to_string());
    let is_named = |key: &&String| match error["param"].as_str() {
        Some(param) => param == key.as_str(),
        None => message.contains(key.as_str()),
    };
    own.iter().find(is_named).map(String::as_str)
}

/// Takes out of a call what a model is known to refuse, of what the approach has set.
pub fn adapt(body: &mut Body, own: &Own, model: &str, known: &Peculiarities) {
    for key in own {
        if known.has(model, key)
            && let Some(value) = body.members.remove(key)
            && let Some(other) = other_limit(key).filter(|other| !known.has(model, other))
        {
            body.members.set(other, value);
        }
    }
}
