//! The affinity of a request, as one number: strategies learn that two requests belong together, but not by what value.

use sha2::{Digest as _, Sha256};

use super::request::RequestBody;
use crate::config::Affinity;
use crate::http1::fields::Fields;

/// A number that is the same for requests that belong together, on every machine and after every start; 0 when nothing
/// is known.
///
/// The first eight bytes of the SHA-256 of the header's value, of that of the first key of the body that is there, or of
/// the beginning of the conversation.
pub fn key(affinity: &Affinity, headers: &Fields, body: &RequestBody) -> u64 {
    let header = affinity.header.as_ref().and_then(|name| headers.get(name));
    let in_body = || affinity.body.iter().find_map(|key| body.member(key).filter(|value| is_telling(value)));
    let known = header.filter(|value| !value.is_empty()).or_else(in_body).or_else(|| {
        let beginning = body.beginning(affinity.prompt_prefix?);
        (!beginning.is_empty()).then_some(beginning)
    });
    known.map_or(0, hash)
}

/// True when a value can tell requests apart.
fn is_telling(value: &[u8]) -> bool {
    !matches!(value, b"null" | b"\"\"" | b"{}" | b"[]")
}

fn hash(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    let first = digest.first_chunk().map_or(1, |first| u64::from_be_bytes(*first));
    first.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::request::Menu;

    fn body(json: &'static str) -> RequestBody {
        RequestBody::json(json.into(), None, &Menu::default()).expect("valid")
    }

    fn headers(session: &str) -> Fields {
        Fields::from_iter([("x-session", session)])
    }

    #[test]
    fn the_header_decides_then_the_conversation_then_nothing() {
        let both = Affinity {
            header: Some(http::HeaderName::from_static("x-session")),
            prompt_prefix: Some(1000),
            ..Affinity::default()
        };
        let hello = body(r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#);
        let other = body(r#"{"model":"m","messages":[{"role":"user","content":"other"}]}"#);
        let (none, one, two) = (Fields::default(), headers("1"), headers("2"));
        assert_eq!(key(&both, &one, &hello), key(&both, &one, &other));
        assert_ne!(key(&both, &one, &hello), key(&both, &two, &hello));
        assert_ne!(key(&both, &none, &hello), key(&both, &none, &other));
        assert_eq!(key(&both, &headers(""), &hello), key(&both, &none, &hello));
        assert_eq!(key(&Affinity::default(), &one, &hello), 0);
        assert_eq!(key(&both, &none, &RequestBody::opaque("x".into(), None)), 0);
    }

    #[test]
    fn keys_of_the_body_tell_before_the_conversation_does() {
        let body_keys = vec!["prompt_cache_key".to_owned(), "metadata.user_id".to_owned()];
        let affinity = Affinity { body: body_keys, prompt_prefix: Some(1000), header: None };
        let of = |json| key(&affinity, &Fields::default(), &body(json));
        let first = of(r#"{"prompt_cache_key":"k","messages":[{"role":"user","content":"a"}]}"#);
        assert_eq!(first, of(r#"{"messages":[{"role":"user","content":"b"}], "prompt_cache_key" : "k"}"#));
        assert_ne!(first, of(r#"{"prompt_cache_key":"l"}"#));
        let user = of(r#"{"metadata":{"user_id":"u"},"messages":[{"role":"user","content":"a"}]}"#);
        assert_eq!(user, of(r#"{"prompt_cache_key":null,"metadata":{"x":{},"user_id":"u"}}"#));
        assert_ne!(user, of(r#"{"metadata":{"user_id":"v"}}"#));
        assert_ne!(user, of(r#"{"user_id":"u"}"#));
    }

    /// Replicas of different versions must agree during an upgrade.
    #[test]
    fn the_key_of_a_value_never_changes() {
        assert_eq!(hash(b"abc"), 0xba78_16bf_8f01_cfea);
    }

    #[test]
    fn what_is_cut_out_or_asked_of_another_model_does_not_matter() {
        let affinity = Affinity { prompt_prefix: Some(1000), ..Affinity::default() };
        let of = |json| key(&affinity, &Fields::default(), &body(json));
        let plain = of(r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#);
        assert_eq!(
            plain,
            of(r#"{"optillm_approach":"none","model":"proxy-m","messages":[{"role":"user","content":"hello"}]}"#)
        );
        assert_eq!(plain, of(r#"{"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"x"}]}"#));
    }
}
