//! Which headers are passed on, in both directions.

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Headers about one connection (RFC 9110, 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What the client says to the proxy alone. `Accept-Encoding` is among it: the proxy reads answers (the first event of
/// a stream, keys echoed in errors), so it asks for them as they are.
const FOR_THE_PROXY: [HeaderName; 7] = [
    AUTHORIZATION,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    COOKIE,
    HOST,
    // Follows from the body, which may have been spliced.
    CONTENT_LENGTH,
    ACCEPT_ENCODING,
];

/// The client's headers, as far as providers get them.
pub fn to_provider(mut headers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    for name in &FOR_THE_PROXY {
        headers.remove(name);
    }
    headers
}

/// A provider's headers, as far as clients get them.
pub fn to_client(mut headers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    headers
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
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
}
