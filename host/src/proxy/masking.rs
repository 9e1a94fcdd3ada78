//! Takes a provider's secrets out of what it says: error texts and headers that are passed on to the client.
//!
//! Providers echo keys in their errors, and some in headers meant for debugging. The body of a success is passed on to
//! the letter and not looked through.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use memchr::memmem;

use crate::config::Provider;

/// Shorter secrets are not looked for: they would be found in words.
const SHORTEST: usize = 4;

/// What stands in for a secret.
const MASK: &[u8] = b"***";

/// The text with every occurrence of a secret replaced by `***`.
pub fn mask_text(text: Bytes, provider: &Provider) -> Bytes {
    match masked(&text, provider) {
        Cow::Borrowed(_) => text,
        Cow::Owned(masked) => masked.into(),
    }
}

/// The same of every header's value.
pub fn mask_headers(headers: &mut HeaderMap, provider: &Provider) {
    for value in headers.values_mut() {
        let masked = match masked(value.as_bytes(), provider) {
            Cow::Borrowed(_) => continue,
            Cow::Owned(masked) => HeaderValue::from_maybe_shared(Bytes::from(masked)),
        };
        // What was legal and had a piece replaced by asterisks is legal.
        *value = masked.unwrap_or_else(|_| HeaderValue::from_static("***"));
    }
}

fn masked<'t>(text: &'t [u8], provider: &Provider) -> Cow<'t, [u8]> {
    let headers = provider.headers.iter().map(|(_, value)| value.reveal());
    let mut text = Cow::Borrowed(text);
    for secret in std::iter::once(provider.api_key.reveal()).chain(headers).filter(|secret| secret.len() >= SHORTEST) {
        if let Cow::Owned(masked) = without(&text, secret.as_bytes()) {
            text = Cow::Owned(masked);
        }
    }
    text
}

fn without<'t>(text: &'t [u8], secret: &[u8]) -> Cow<'t, [u8]> {
    let mut masked = Vec::new();
    let mut copied = 0;
    for start in memmem::find_iter(text, secret) {
        masked.extend_from_slice(&text[copied..start]);
        masked.extend_from_slice(MASK);
        copied = start + secret.len();
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.extend_from_slice(&text[copied..]);
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(key: &str) -> Provider {
        let text = format!(
            "providers: [{{name: a, base_url: 'http://a/v1', api_key: {key}, headers: {{x-team: team-secret}}}}]"
        );
        let config = crate::config::parse(&text, "x.yaml".as_ref(), &|_| None, &["round_robin"]);
        config.expect("valid").providers.remove(0)
    }

    #[test]
    fn masks_every_occurrence_of_each_secret_and_touches_nothing_else() {
        let text = Bytes::from_static(b"key sk-secret is bad, sk-secret! team-secret");
        assert_eq!(mask_text(text.clone(), &provider("sk-secret")), "key *** is bad, ***! ***");
        assert_eq!(mask_text(text.clone(), &provider("sk-other")), "key sk-secret is bad, sk-secret! ***");
        let short = Bytes::from_static(b"this is");
        assert_eq!(mask_text(short.clone(), &provider("is")), short, "too short to be told from a word");
    }

    #[test]
    fn masks_headers() {
        let mut headers = HeaderMap::new();
        headers.append("x-debug", HeaderValue::from_static("Bearer sk-secret, team-secret"));
        headers.append("x-other", HeaderValue::from_static("fine"));
        mask_headers(&mut headers, &provider("sk-secret"));
        assert_eq!(
            (&headers["x-debug"], &headers["x-other"]),
            (&"Bearer ***, ***".parse().unwrap(), &"fine".parse().unwrap())
        );
    }
}
