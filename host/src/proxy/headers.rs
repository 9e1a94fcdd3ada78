//! Which headers are passed on, in both directions.

use http::header::{CONNECTION, HeaderMap, HeaderName};

/// Room for what is added to a message on its way.
const ADDED: usize = 6;

/// Headers about one connection (RFC 9110, 7.6.1), beside those that `Connection` names.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "expect"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What the client says to the proxy alone. `Accept-Encoding` is among it: the proxy reads answers (the first event of
/// a stream, keys echoed in errors), so it asks for them as they are. The length follows from the body, which may have
/// been spliced.
fn is_for_the_proxy(name: &str) -> bool {
    matches!(name, "accept-encoding" | "api-key" | "authorization" | "content-length" | "cookie" | "host" | "x-api-key")
}

/// The client's headers, as far as providers get them.
pub fn to_provider(headers: HeaderMap) -> HeaderMap {
    without(headers, |name| is_hop_by_hop(name) || is_for_the_proxy(name))
}

/// A provider's headers, as far as clients get them.
pub fn to_client(headers: HeaderMap) -> HeaderMap {
    without(headers, is_hop_by_hop)
}

fn without(headers: HeaderMap, is_dropped: impl Fn(&str) -> bool) -> HeaderMap {
    let named = named_by_connection(&headers);
    let mut kept = HeaderMap::with_capacity(headers.len() + ADDED);
    let mut name = None;
    let mut keep = false;
    // Only the first of several values brings its name along.
    for (next, value) in headers {
        if let Some(next) = next {
            keep = !is_dropped(next.as_str()) && !named.contains(&next);
            name = Some(next);
        }
        if keep && let Some(name) = &name {
            kept.append(name.clone(), value);
        }
    }
    kept
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_clients_credentials_and_connection_headers_stay_here() {
        let client = map(&[
            ("authorization", "Bearer client"),
            ("api-key", "x"),
            ("x-api-key", "x"),
            ("cookie", "a=b"),
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("host", "proxy"),
            ("openai-organization", "org"),
            ("traceparent", "00-1"),
        ]);
        assert_eq!(to_provider(client), map(&[("openai-organization", "org"), ("traceparent", "00-1")]));
    }

    #[test]
    fn every_value_of_a_header_is_passed_on_in_order_or_none() {
        let mut provider = map(&[("x-one", "1"), ("trailer", "x"), ("content-length", "7")]);
        for (name, value) in [("x-one", "2"), ("trailer", "y"), ("x-one", "3")] {
            provider.append(name, HeaderValue::from_static(value));
        }
        let client = to_client(provider);
        assert_eq!(client.get_all("x-one").iter().collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(client.len(), 4);
    }
}
