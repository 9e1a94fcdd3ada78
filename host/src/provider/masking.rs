//! Takes a provider's secrets out of what it says: error texts and headers that are passed on to the client.
//!
//! Providers echo keys in their errors, and some in headers meant for debugging. The body of a success is passed on to
//! the letter and not looked through.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use memchr::memmem::Finder;

use crate::config::Provider;

/// Shorter secrets are not looked for: they would be found in words.
const SHORTEST: usize = 4;

/// What stands in for a secret.
const MASK: &[u8] = b"***";

/// What is to be taken out of a provider's words.
#[derive(Clone)]
pub struct Masks {
    /// What finds each secret.
    finders: Vec<Finder<'static>>,
    /// What is shorter holds none of them.
    shortest: usize,
}

/// Without the secrets.
impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").field("secrets", &self.finders.len()).finish_non_exhaustive()
    }
}

impl Masks {
    /// The secrets of a provider: its key, and the values of its configured headers.
    pub fn of(provider: &Provider) -> Self {
        let headers = provider.headers.iter().map(|(_, value)| value.reveal());
        let secrets = std::iter::once(provider.api_key.reveal()).chain(headers);
        let secrets: Vec<&str> = secrets.filter(|secret| secret.len() >= SHORTEST).collect();
        Self {
            shortest: secrets.iter().map(|secret| secret.len()).min().unwrap_or(usize::MAX),
            finders: secrets.into_iter().map(|secret| Finder::new(secret).into_owned()).collect(),
        }
    }

    /// The text with every occurrence of a secret replaced by `***`.
    pub fn mask_text(&self, text: Bytes) -> Bytes {
        match self.masked(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked.into(),
        }
    }

    /// The same of every header's value.
    pub fn mask_headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            let masked = match self.masked(value.as_bytes()) {
                Cow::Borrowed(_) => continue,
                Cow::Owned(masked) => HeaderValue::from_maybe_shared(Bytes::from(masked)),
            };
            // What was legal and had a piece replaced by asterisks is legal.
            *value = masked.unwrap_or_else(|_| HeaderValue::from_static("***"));
        }
    }

    fn masked<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let mut text = Cow::Borrowed(text);
        if text.len() < self.shortest {
            return text;
        }
        for finder in &self.finders {
            if let Cow::Owned(masked) = without(&text, finder) {
                text = Cow::Owned(masked);
            }
        }
        text
    }
}

fn without<'t>(text: &'t [u8], secret: &Finder<'_>) -> Cow<'t, [u8]> {
    let mut masked = Vec::new();
    let mut copied = 0;
    for start in secret.find_iter(text) {
        masked.extend_from_slice(&text[copied..start]);
        masked.extend_from_slice(MASK);
        copied = start + secret.needle().len();
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

    fn masks(key: &str) -> Masks {
        let text = format!(
            "providers: [{{name: a, base_url: 'http://a/v1', api_key: {key}, headers: {{x-team: team-secret}}}}]"
        );
        let config = crate::config::parse(&text, "x.yaml".as_ref(), &|_| None, &["round_robin"]);
        Masks::of(&config.expect("valid").providers[0])
    }

    #[test]
    fn masks_every_occurrence_of_each_secret_and_touches_nothing_else() {
        let text = Bytes::from_static(b"key sk-secret is bad, sk-secret! team-secret");
        assert_eq!(masks("sk-secret").mask_text(text.clone()), "key *** is bad, ***! ***");
        assert_eq!(masks("sk-other").mask_text(text.clone()), "key sk-secret is bad, sk-secret! ***");
        let short = Bytes::from_static(b"this is");
        assert_eq!(masks("is").mask_text(short.clone()), short, "too short to be told from a word");
    }

    #[test]
    fn masks_headers() {
        let mut headers = HeaderMap::new();
        headers.append("x-debug", HeaderValue::from_static("Bearer sk-secret, team-secret"));
        headers.append("x-other", HeaderValue::from_static("fine"));
        masks("sk-secret").mask_headers(&mut headers);
        assert_eq!(
            (&headers["x-debug"], &headers["x-other"]),
            (&"Bearer ***, ***".parse().unwrap(), &"fine".parse().unwrap())
        );
    }
}
