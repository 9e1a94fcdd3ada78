//! The headers in which clients show their keys.

use http::header::{AUTHORIZATION, HeaderName};

use crate::http1::fields::Lookup;

/// The headers of Anthropic's and Azure's SDKs.
static OTHERS: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), HeaderName::from_static("api-key")];

/// The keys that a request shows: in `Authorization: Bearer`, in the headers of Anthropic's and Azure's SDKs, and in
/// `header`, with or without `Bearer` before it. Most clients show one, and none of the texts is empty.
pub fn shown<'h>(headers: &'h impl Lookup, header: Option<&HeaderName>) -> impl Iterator<Item = &'h [u8]> {
    let bearer = headers.first(&AUTHORIZATION).and_then(bearer);
    let others = OTHERS.iter().filter_map(|name| headers.first(name));
    let own = header.and_then(|name| headers.first(name)).map(|value| bearer_or(value.trim_ascii()));
    bearer.into_iter().chain(others).chain(own).map(<[u8]>::trim_ascii).filter(|key| !key.is_empty())
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
}

fn bearer_or(value: &[u8]) -> &[u8] {
    bearer(value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn keys(pairs: &[(&'static str, &'static str)], header: Option<&'static str>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let header = header.map(HeaderName::from_static);
        shown(&headers, header.as_ref()).map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    #[test]
    fn keys_are_found_wherever_sdks_put_them() {
        for (name, value) in
            [("authorization", "Bearer k"), ("authorization", "bearer  k "), ("x-api-key", "k"), ("api-key", "k")]
        {
            assert_eq!(keys(&[(name, value)], None), ["k"], "{name}: {value}");
        }
        for value in ["k", "Bearer k"] {
            assert_eq!(keys(&[("x-litellm-api-key", value)], Some("x-litellm-api-key")), ["k"]);
            assert_eq!(keys(&[("x-litellm-api-key", value)], None), [""; 0]);
        }
        for value in ["", "Bearer", "Bearer ", "Basic k", "k", "Bearerk"] {
            assert_eq!(keys(&[("authorization", value)], None), [""; 0], "{value}");
        }
    }

    #[test]
    fn all_that_are_shown_are_found() {
        let pairs = [("x-api-key", "b"), ("authorization", "Bearer a"), ("api-key", "c")];
        assert_eq!(keys(&pairs, None), ["a", "b", "c"]);
    }
}
