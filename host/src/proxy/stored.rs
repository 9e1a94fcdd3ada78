//! Requests for stored things go to the provider that made them: finds that provider, and remembers what answers say
//! was made.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::attempt::{Answered, Content};
use super::dispatch::Job;
use super::endpoint::Class;
use crate::provider::Fleet;

/// The most bytes of a stream that are searched for the id of the thing that it makes, which is in one of the first
/// events.
const MAX_LOOKED: usize = 64 << 10;

/// The provider that has the thing that a request's path names, or that its body refers to.
pub fn home(job: &Job, fleet: &Fleet) -> Option<u32> {
    let named = || job.endpoint.path.split('/').skip(1).find_map(|segment| fleet.homes().of(segment));
    let in_path = if job.endpoint.class == Class::Stored { named() } else { None };
    let name = match in_path {
        Some(name) => name,
        None => fleet.homes().of(job.body.refers_to()?)?,
    };
    fleet.providers().iter().find(|provider| *provider.config.name == *name).map(|provider| provider.index)
}

/// The ids of things that an answer says were made, or exist.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Made {
    id: Option<String>,
    /// The file that a batch has written.
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    /// The response that an event of a stream is about.
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    id: String,
}

/// Remembers the things that `provider` has made, from its answer.
pub fn learn(job: &Job, answered: &Answered, provider: &str, fleet: &Fleet) {
    if !answered.status.is_success() || !is_kept(job) {
        return;
    }
    let made = match &answered.content {
        Content::Whole(text) => serde_json::from_slice(text).unwrap_or_default(),
        Content::Passing(passing) if job.body.streaming() => first_event(passing.held.iter()),
        Content::Passing(_) | Content::Switched(_) => return,
    };
    let Made { id, output_file_id, error_file_id, response } = made;
    let response = response.map(|response| response.id);
    for id in [id, output_file_id, error_file_id, response].into_iter().flatten() {
        fleet.homes().learn(&id, provider);
    }
}

/// True when the request makes something that can be asked for later.
pub fn is_kept(job: &Job) -> bool {
    match job.endpoint.path.as_str() {
        "responses" => job.body.stores() != Some(false),
        "chat/completions" => job.method == Method::POST && job.body.stores() == Some(true),
        _ => job.endpoint.class == Class::Stored && job.method != Method::DELETE,
    }
}

/// The first event of a stream that names anything, as the things that it names.
fn first_event<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> Made {
    let mut text = Vec::new();
    for piece in pieces {
        text.extend_from_slice(&piece[..piece.len().min(MAX_LOOKED - text.len())]);
    }
    let events = text.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
    let mut read = events.filter_map(|data| serde_json::from_slice::<Made>(data).ok());
    read.find(|made| made.id.is_some() || made.response.is_some()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_the_first_events_of_a_stream() {
        let pieces = [
            Bytes::from_static(b": ping\n\nevent: response.created\nda"),
            Bytes::from_static(
                b"ta: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\n",
            ),
        ];
        let made = first_event(pieces.iter());
        assert_eq!(made.response.map(|response| response.id).as_deref(), Some("resp_1"));
        let chat = [Bytes::from_static(b"data: {\"id\":\"chatcmpl-1\",\"choices\":[]}\n\n")];
        assert_eq!(first_event(chat.iter()).id.as_deref(), Some("chatcmpl-1"));
        assert!(first_event([Bytes::from_static(b"data: [DONE]\n\n")].iter()).id.is_none());
    }
}
