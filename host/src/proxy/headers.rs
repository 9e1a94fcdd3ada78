//! The headers that are passed on, in both directions.

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

use crate::http1::fields::{Fields, text};

/// Headers about one connection (RFC 9110, 7.6.1), beside those that `Connection` names.
fn is_hop_by_hop(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection"
            | b"expect"
            | b"keep-alive"
            | b"proxy-authenticate"
            | b"proxy-connection"
            | b"te"
            | b"trailer"
            | b"transfer-encoding"
            | b"upgrade"
    )
}

/// The headers that the client sends to the proxy alone. `Accept-Encoding` is one of them: the proxy reads answers (the
/// first event of a stream, keys echoed in errors), so it asks for them as they are. The length follows from the body,
/// which may have been spliced.
fn is_for_the_proxy(name: &[u8]) -> bool {
    is_credential(name) || matches!(name, b"accept-encoding" | b"content-length" | b"host")
}

/// True for a header that may hold a client's key or who it is: no configuration can have it forwarded.
fn is_credential(name: &[u8]) -> bool {
    matches!(
        name,
        b"api-key" | b"authorization" | b"cookie" | b"proxy-authorization" | b"x-api-key" | b"x-goog-api-key"
    )
}

/// True for a header that tells a provider about the client, its account elsewhere, its browser or the proxies before
/// this one. `server.forward_headers` can have any of them forwarded.
fn is_about_the_client(name: &[u8]) -> bool {
    matches!(
        name,
        b"cdn-loop"
            | b"forwarded"
            | b"openai-organization"
            | b"openai-project"
            | b"origin"
            | b"referer"
            | b"true-client-ip"
            | b"via"
            | b"x-real-ip"
    ) || [&b"x-forwarded-"[..], b"cf-", b"sec-fetch-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Removes the client's headers that providers do not get; `forwarded` are those that the operator wants them to get.
pub fn to_provider(headers: &mut Fields, forwarded: &[HeaderName]) {
    // Whether an empty body is announced is the client's choice: some servers want that of a DELETE.
    let is_empty = headers.get(CONTENT_LENGTH) == Some(b"0");
    let named: Vec<String> = named_by_connection(headers).into_iter().map(str::to_ascii_lowercase).collect();
    headers.retain(|name| {
        !(is_hop_by_hop(name)
            || is_for_the_proxy(name) && !(is_empty && name == CONTENT_LENGTH.as_str().as_bytes())
            || is_about_the_client(name) && !forwarded.iter().any(|kept| kept.as_str().as_bytes() == name)
            || named.iter().any(|named| named.as_bytes() == name))
    });
}

/// True for a header that a provider must not send to our clients: only the proxy says who answered, whether to try
/// again, and which web pages may read the answer.
fn is_the_proxys_to_say(name: &[u8]) -> bool {
    name == b"x-should-retry" || name.starts_with(b"x-pointsman-") || name.starts_with(b"access-control-")
}

/// Calls `put` with the provider's headers that clients get.
pub fn to_client<'a>(headers: &'a Fields, mut put: impl FnMut(&'a [u8], &'a [u8])) {
    let named = named_by_connection(headers);
    for (name, value) in headers.iter() {
        let is_named = || named.iter().any(|named| named.as_bytes().eq_ignore_ascii_case(name));
        if !is_hop_by_hop(name) && !is_the_proxys_to_say(name) && !is_named() {
            put(name, value);
        }
    }
}

/// The headers that `Connection` names: they are about that connection. Mostly there are none.
fn named_by_connection(headers: &Fields) -> Vec<&str> {
    let values = headers.all(CONNECTION).filter_map(text);
    let usual = |value: &&str| !value.eq_ignore_ascii_case("keep-alive") && !value.eq_ignore_ascii_case("close");
    values.filter(usual).flat_map(|value| value.split(',')).map(str::trim).collect()
}

/// What asks proxies on the way to the client to pass events on as they come, unless the headers have something of the kind: nginx
/// would buffer them.
pub fn letting_events_pass(has: impl Fn(&HeaderName) -> bool) -> impl Iterator<Item = (HeaderName, &'static str)> {
    [(CACHE_CONTROL, "no-cache"), (BUFFERING, "no")].into_iter().filter(move |(name, _)| !has(name))
}

/// Adds that.
pub fn let_events_pass(headers: &mut HeaderMap) {
    let missing: Vec<_> = letting_events_pass(|name| headers.contains_key(name)).collect();
    headers.extend(missing.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))));
}

/// The header by which nginx is told not to buffer.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().copied().collect()
    }

    #[test]
    fn the_clients_credentials_and_connection_headers_stay_here() {
        let mut client = map(&[
            ("authorization", "Bearer client"),
            ("api-key", "x"),
            ("x-api-key", "x"),
            ("x-goog-api-key", "x"),
            ("cookie", "a=b"),
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("host", "proxy"),
            ("openai-beta", "assistants=v2"),
            ("traceparent", "00-1"),
        ]);
        to_provider(&mut client, &[HeaderName::from_static("cookie")]);
        assert_eq!(client, map(&[("openai-beta", "assistants=v2"), ("traceparent", "00-1")]));
    }

    #[test]
    fn what_is_about_the_client_stays_here_unless_the_operator_wants_it_forwarded() {
        let about = map(&[
            ("openai-organization", "org"),
            ("openai-project", "p"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-client-cert", "c"),
            ("forwarded", "for=x"),
            ("via", "1.1 x"),
            ("x-real-ip", "1"),
            ("true-client-ip", "1"),
            ("cf-ray", "1"),
            ("cf-connecting-ip", "1"),
            ("cdn-loop", "cloudflare"),
            ("origin", "http://x"),
            ("referer", "http://x/"),
            ("sec-fetch-site", "none"),
        ]);
        let mut client = about.clone();
        to_provider(&mut client, &[]);
        assert_eq!(client, map(&[]));
        let mut client = about;
        to_provider(&mut client, &[HeaderName::from_static("openai-project")]);
        assert_eq!(client, map(&[("openai-project", "p")]));
    }

    #[test]
    fn the_length_of_an_empty_body_is_passed_on_and_any_other_follows_from_the_body() {
        let mut client = map(&[("content-length", "0")]);
        to_provider(&mut client, &[]);
        assert_eq!(client, map(&[("content-length", "0")]));
        let mut client = map(&[("content-length", "17")]);
        to_provider(&mut client, &[]);
        assert_eq!(client, map(&[]));
    }

    #[test]
    fn every_value_of_a_header_is_passed_on_in_order_or_none() {
        let mut provider = map(&[("x-one", "1"), ("trailer", "x"), ("content-length", "7")]);
        for (name, value) in [("x-one", "2"), ("trailer", "y"), ("x-one", "3")] {
            provider.append(name.as_bytes(), value.as_bytes());
        }
        provider.append(b"connection", b"close, X-Two");
        provider.append(b"x-two", b"2");
        let mut passed = Vec::new();
        to_client(&provider, |name, value| passed.push((text(name).expect("text"), text(value).expect("text"))));
        passed.sort_unstable();
        assert_eq!(passed, [("content-length", "7"), ("x-one", "1"), ("x-one", "2"), ("x-one", "3")]);
    }
}
