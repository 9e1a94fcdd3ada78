//! Takes a provider's secrets out of what it says: error texts and headers that are passed on to the client, and the words
//! that reach logs.
//!
//! Providers echo keys in their errors, and some in headers meant for debugging: as they are, or in escaped form (JSON,
//! percent, base64). The body of a success is passed on byte for byte and is not searched.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem::Finder;

mod forms;

use crate::config::{Provider, Way};
use crate::http1::fields::Fields;

/// Shorter secrets are not looked for: they would be found in words.
const SHORTEST: usize = 4;

/// The text that replaces a secret.
const MASK: &[u8] = b"***";

/// The secrets and names that are taken out of a provider's words.
#[derive(Clone)]
pub struct Masks {
    /// The searchers for each secret.
    finders: Vec<Finder<'static>>,
    /// The length of the shortest secret: no shorter text holds any.
    shortest: usize,
    /// The provider's address, which is no secret but does not concern clients.
    address: Vec<Finder<'static>>,
}

/// Prints no secrets.
impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").field("secrets", &self.finders.len()).finish_non_exhaustive()
    }
}

impl Masks {
    /// The secrets of a provider: its key, and the values of its configured headers.
    pub fn of(provider: &Provider) -> Self {
        let headers = provider.headers.iter().map(|(_, value)| value.reveal());
        // The secret part of the header for a forward proxy.
        let forward = match &provider.way {
            Way::Proxy(proxy) => proxy.authorization.as_ref(),
            Way::Direct | Way::Socket(_) => None,
        };
        let forward = forward.map(|value| value.reveal().trim_start_matches("Basic "));
        let secrets = std::iter::once(provider.api_key.reveal()).chain(headers).chain(forward);
        let secrets: Vec<&str> = secrets.filter(|secret| secret.len() >= SHORTEST).collect();
        let plain = secrets.iter().map(|secret| secret.as_bytes().to_vec());
        let encoded = secrets.iter().flat_map(|secret| forms::base64(secret.as_bytes()));
        Self {
            shortest: secrets.iter().map(|secret| secret.len()).min().unwrap_or(usize::MAX),
            finders: plain.chain(encoded).map(|form| Finder::new(&form).into_owned()).collect(),
            address: address(provider).iter().map(|form| Finder::new(form.as_bytes()).into_owned()).collect(),
        }
    }

    /// The text with every occurrence of a secret replaced by `***`.
    pub fn mask_text(&self, text: Bytes) -> Bytes {
        match self.masked(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked.into(),
        }
    }

    /// Masks a short text, and replaces the provider's address in it as well.
    pub fn mask_words(&self, words: &str) -> String {
        let mut masked = self.masked(words.as_bytes());
        for finder in &self.address {
            if let Cow::Owned(without) = without(&masked, finder) {
                masked = Cow::Owned(without);
            }
        }
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// Masks secrets in the value of every header.
    pub fn mask_headers(&self, headers: &mut Fields) {
        // Nearly no head has a secret anywhere.
        if headers.around().into_iter().all(|bytes| matches!(self.masked(bytes), Cow::Borrowed(_))) {
            return;
        }
        headers.replace(|value| match self.masked(value) {
            Cow::Borrowed(_) => None,
            // A legal value with a piece replaced by asterisks is legal.
            Cow::Owned(masked) => {
                Some(HeaderValue::try_from(masked).unwrap_or_else(|_| HeaderValue::from_static("***")))
            }
        });
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
        match self.without_escaped(&text) {
            Some(masked) => Cow::Owned(masked),
            None => text,
        }
    }

    /// The text without secrets that are written with escapes; none when it holds no such secret.
    fn without_escaped(&self, text: &[u8]) -> Option<Vec<u8>> {
        memchr::memchr2(b'\\', b'%', text)?;
        let mut hits: Vec<Range<usize>> =
            self.finders.iter().flat_map(|finder| forms::escaped(text, finder.needle())).collect();
        if hits.is_empty() {
            return None;
        }
        hits.sort_unstable_by_key(|hit| hit.start);
        let (mut masked, mut copied) = (Vec::with_capacity(text.len()), 0);
        for hit in hits {
            if hit.start >= copied {
                masked.extend_from_slice(&text[copied..hit.start]);
                masked.extend_from_slice(MASK);
            }
            copied = copied.max(hit.end);
        }
        masked.extend_from_slice(&text[copied..]);
        Some(masked)
    }
}

/// Forms in which an error may write a provider's address: its authority, and its host where that is no mere word.
fn address(provider: &Provider) -> Vec<String> {
    let url = &provider.base_url;
    let Some(host) = url.host_str() else { return Vec::new() };
    let authority = url.port().map(|port| format!("{host}:{port}"));
    authority.into_iter().chain(host.contains(['.', ':']).then(|| host.to_owned())).collect()
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
        let mut headers = Fields::default();
        headers.insert("x-debug", &HeaderValue::from_static("Bearer sk-secret, team-secret"));
        headers.insert("x-other", &HeaderValue::from_static("fine"));
        masks("sk-secret").mask_headers(&mut headers);
        assert_eq!((headers.text("x-debug"), headers.text("x-other")), (Some("Bearer ***, ***"), Some("fine")));
    }

    #[test]
    fn masks_escaped_and_encoded_forms() {
        let key = "sk/se+cret&0123456789";
        for text in [
            r"sk\/se+cret&0123456789",
            r"sk/se\u002bcret\u00260123456789",
            r"sk\/se\u002Bcret\u00260123456789",
            r"\u0073\u006b/se+cret&0123456789",
            r"sk\\/se\\u002bcret&0123456789",
            "sk%2Fse%2bcret%260123456789",
            "sk%252Fse%252bcret%25260123456789",
            "%73%6B%2F%73%65%2B%63%72%65%74%26%30%31%32%33%34%35%36%37%38%39",
        ] {
            let masked = masks(&format!("'{key}'")).mask_text(Bytes::from(format!("<{text}>")));
            assert_eq!(masked, "<***>", "{text}");
        }
        let bearer = "QmVhcmVyIHNrL3NlK2NyZXQmMDEyMzQ1Njc4OQ==";
        let masked = masks(&format!("'{key}'")).mask_text(Bytes::from(format!("basic {bearer}!")));
        let left = String::from_utf8_lossy(&masked).into_owned();
        assert!(left.contains("***") && !left.contains("c2svc2"), "{left}");
        assert!(left.len() < bearer.len(), "{left}");
    }

    #[test]
    fn text_with_escapes_and_no_secret_stays_as_it_is() {
        for text in [r#"{"a":"\u00e4\n\/ 100 % of %zz and %"}"#, r"\u", r"\", "%2", "%"] {
            let text = Bytes::from(text.to_owned());
            assert_eq!(masks("sk-secret").mask_text(text.clone()), text);
        }
    }

    #[test]
    fn words_hold_no_address_of_the_provider() {
        let text = "providers: [{name: a, base_url: 'http://10.1.2.3:8000/v1', api_key: key-0}]";
        let config = crate::config::parse(text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).expect("valid");
        let masks = Masks::of(&config.providers[0]);
        assert_eq!(
            masks.mask_words("dial tcp 10.1.2.3:8000: refused, 10.1.2.3 is down"),
            "dial tcp ***: refused, *** is down"
        );
    }

    /// A text before a key may end with characters that form an escape together with the first ones of the key.
    #[test]
    fn a_key_is_found_behind_what_makes_an_escape_of_its_beginning() {
        let masks = masks("'a0/Aaa0a_+a='");
        for before in ["%", "%25", r"\u00", r"\u00", r"\", r"\"] {
            for key in [r"a0\/Aaa0a_+a=", "a0%2fAaa0a_%2Ba%3D", r"\u0061\u0030/Aaa0a_+a=", r"a0\/Aaa0a_+a="] {
                let masked = masks.mask_text(Bytes::from(format!("{before}{key}% of it")));
                assert!(
                    masked.ends_with(b"***% of it") && masked.len() <= before.len() + 12,
                    "{before}{key}: {masked:?}"
                );
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_form_of_a_key_is_left(key in "[a-zA-Z0-9+/=_.&-]{12,40}", before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            let percent: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let units: String = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
            let slashes = key.replace('/', "\\/");
            let masks = masks(&format!("'{key}'"));
            for form in [&key, &percent, &units, &slashes] {
                let text = format!("{before}{form}{after}");
                let masked = masks.mask_text(Bytes::from(text));
                let masked = String::from_utf8_lossy(&masked).into_owned();
                proptest::prop_assert!(!masked.contains(form.as_str()), "{form} in {masked}");
            }
        }
    }
}
