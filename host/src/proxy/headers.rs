//! Which headers are passed on, in both directions.

use http::header::{CONNECTION, HeaderMap, HeaderName};

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

/// Takes out of a client's headers what providers do not get.
pub fn to_provider(headers: &mut HeaderMap) {
    take_out(headers, |name| is_hop_by_hop(name) || is_for_the_proxy(name));
}

/// Takes out of a provider's headers what clients do not get.
pub fn to_client(headers: &mut HeaderMap) {
    take_out(headers, is_hop_by_hop);
}

fn take_out(headers: &mut HeaderMap, is_dropped: impl Fn(&str) -> bool) {
    let mut dropped: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name.as_str())).cloned().collect();
    for value in headers.get_all(CONNECTION) {
        let named = value.to_str().unwrap_or_default().split(',');
        dropped.extend(named.filter_map(|name| name.trim().parse().ok()));
    }
    for name in dropped {
        headers.remove(name);
    }
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
        let mut client = map(&[
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
        to_provider(&mut client);
        assert_eq!(client, map(&[("openai-organization", "org"), ("traceparent", "00-1")]));
    }

    #[test]
    fn every_value_of_a_header_is_passed_on_in_order_or_none() {
        let mut provider = map(&[("x-one", "1"), ("trailer", "x"), ("content-length", "7")]);
        for (name, value) in [("x-one", "2"), ("trailer", "y"), ("x-one", "3")] {
            provider.append(name, HeaderValue::from_static(value));
        }
        to_client(&mut provider);
        assert_eq!(provider.get_all("x-one").iter().collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(provider.len(), 4);
    }
}
