//! The opening of a WebSocket (RFC 6455, 4): what a client offers, without its secrets, and how it is answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Version};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::http1::fields::{Fields, text};
use crate::listener::Head;
use crate::proxy::respond::ProxyError;

/// The beginning of a subprotocol in which web pages show a key, as they can set no header
/// (<https://platform.openai.com/docs/guides/realtime-websocket>).
const KEY: &str = "openai-insecure-api-key.";
/// The beginnings of those in which they name accounts, which providers do not get in headers either.
const ACCOUNTS: [&str; 2] = ["openai-organization.", "openai-project."];
/// The subprotocol of sessions.
const REALTIME: &str = "realtime";
/// The text behind each key of a handshake (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The offers of a client in the head of its request.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The subprotocols that are not secret, in the client's order.
    protocols: Vec<String>,
    /// The subprotocol with its key.
    secret: Option<HeaderValue>,
}

impl Offer {
    /// Reads what `headers` offer, and takes out of them what is not for providers: a key, which becomes `Authorization`
    /// unless there is one, accounts, and extensions. With an extension that compresses, frames could not be read.
    pub fn take(headers: &mut Fields) -> Self {
        let mut offer = Self::default();
        let mut key = None;
        let offered = headers.all(SEC_WEBSOCKET_PROTOCOL).filter_map(text);
        for protocol in offered.flat_map(|value| value.split(',')).map(str::trim) {
            if let Some(shown) = protocol.strip_prefix(KEY) {
                key = key.or_else(|| HeaderValue::try_from(format!("Bearer {shown}")).ok());
                offer.secret = offer.secret.or_else(|| HeaderValue::try_from(protocol).ok());
            } else if !protocol.is_empty() && !ACCOUNTS.iter().any(|account| protocol.starts_with(account)) {
                offer.protocols.push(protocol.to_owned());
            }
        }
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Ok(rest) = HeaderValue::try_from(offer.protocols.join(", "))
            && !rest.is_empty()
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, &rest);
        }
        if let Some(key) = key.filter(|_| !headers.has(AUTHORIZATION)) {
            headers.insert(AUTHORIZATION, &key);
        }
        offer
    }

    /// The subprotocol of the answer, where the provider has chosen `chosen`. A web page that has offered any takes no answer
    /// without one, and a page is what shows its key in one.
    fn protocol(&self, chosen: Option<HeaderValue>) -> Option<HeaderValue> {
        let chosen = chosen.filter(|chosen| self.protocols.iter().any(|offered| chosen == offered));
        chosen.or_else(|| {
            let secret = self.secret.as_ref()?;
            let usual = self.protocols.iter().find(|offered| *offered == REALTIME).or(self.protocols.first());
            usual.and_then(|usual| HeaderValue::try_from(usual).ok()).or_else(|| Some(secret.clone()))
        })
    }

    /// Writes into the head of an answer with status 101 what makes it one. `accept` answers the client's key.
    pub fn answer(&self, headers: &mut HeaderMap, accept: Option<HeaderValue>) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        let chosen = headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Some(protocol) = self.protocol(chosen) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        if let Some(accept) = accept {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
    }
}

/// Checks that a request opens a WebSocket as it must.
///
/// # Errors
///
/// [`ProxyError::Handshake`], [`ProxyError::WebSocketVersion`], and [`ProxyError::WrongMethod`].
pub fn check(head: &Head) -> Result<(), ProxyError> {
    if head.method != Method::GET {
        return Err(ProxyError::WrongMethod("GET"));
    }
    if head.version != Version::HTTP_11 {
        return Err(ProxyError::Handshake("it must be a request with HTTP/1.1"));
    }
    if !names(&head.headers, "upgrade") {
        return Err(ProxyError::Handshake("the header Connection must name Upgrade"));
    }
    if head.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != b"13") {
        return Err(ProxyError::WebSocketVersion);
    }
    let mut keys = head.headers.all(SEC_WEBSOCKET_KEY);
    let is_key = |key: &[u8]| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    match (keys.next().is_some_and(is_key), keys.next()) {
        (true, None) => Ok(()),
        _ => Err(ProxyError::Handshake("the header Sec-WebSocket-Key must have 16 bytes in base64")),
    }
}

/// True when `Connection` names this option.
fn names(headers: &Fields, option: &str) -> bool {
    let mut values = headers.all(CONNECTION).filter_map(text);
    values.any(|value| value.split(',').any(|named| named.trim().eq_ignore_ascii_case(option)))
}

/// The answer to the key of a handshake.
pub fn accept(key: &[u8]) -> Option<HeaderValue> {
    let answered = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID.as_bytes()].concat());
    HeaderValue::try_from(STANDARD.encode(answered)).ok()
}

/// A key for a handshake, which need not be secret.
pub fn key(random: u128) -> Option<HeaderValue> {
    HeaderValue::try_from(STANDARD.encode(random.to_be_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().copied().collect()
    }

    #[test]
    fn the_key_of_a_web_page_becomes_a_header_and_goes_to_nobody_else() {
        let offered = "realtime, openai-insecure-api-key.pm-1, openai-organization.o, openai-beta.realtime-v1";
        let mut head = headers(&[
            ("sec-websocket-protocol", offered),
            ("sec-websocket-protocol", "openai-project.p"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ]);
        let offer = Offer::take(&mut head);
        let expected =
            [("sec-websocket-protocol", "realtime, openai-beta.realtime-v1"), ("authorization", "Bearer pm-1")];
        assert_eq!(head, headers(&expected));
        let answered = |chosen: Option<&'static str>| {
            let mut answer = headers(&[("sec-websocket-extensions", "x")]).to_map();
            if let Some(chosen) = chosen {
                answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
            }
            offer.answer(&mut answer, None);
            assert!(!answer.contains_key(SEC_WEBSOCKET_EXTENSIONS));
            answer[SEC_WEBSOCKET_PROTOCOL].to_str().expect("text").to_owned()
        };
        assert_eq!(answered(Some("openai-beta.realtime-v1")), "openai-beta.realtime-v1");
        // A page that has offered something takes no answer without one of these, nor one that it has not offered.
        assert_eq!((answered(None), answered(Some("mqtt"))), ("realtime".to_owned(), "realtime".to_owned()));
    }

    #[test]
    fn a_page_that_offers_its_key_alone_gets_that_back() {
        let mut head =
            headers(&[("sec-websocket-protocol", "openai-insecure-api-key.k"), ("authorization", "Bearer a")]);
        let offer = Offer::take(&mut head);
        assert_eq!(head, headers(&[("authorization", "Bearer a")]));
        let mut answer = HeaderMap::new();
        offer.answer(&mut answer, None);
        assert_eq!(answer[SEC_WEBSOCKET_PROTOCOL], "openai-insecure-api-key.k");
    }

    #[test]
    fn others_get_no_subprotocol_that_the_provider_has_not_chosen() {
        let mut head = headers(&[("sec-websocket-protocol", "realtime")]);
        let offer = Offer::take(&mut head);
        let mut answer = HeaderMap::new();
        offer.answer(&mut answer, accept(b"dGhlIHNhbXBsZSBub25jZQ=="));
        // The answer of RFC 6455, 1.3.
        let expected = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        assert_eq!(answer, headers(&expected).to_map());
    }

    #[test]
    fn a_handshake_must_be_whole() {
        let good = [
            ("connection", "keep-alive, upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let checked = |pairs: &[(&'static str, &'static str)]| {
            let (uri, version) = (http::Uri::from_static("/v1/realtime"), Version::HTTP_11);
            check(&Head { method: Method::GET, uri, version, headers: headers(pairs) })
                .map_err(|error| error.status().as_u16())
        };
        assert_eq!(checked(&good), Ok(()));
        for (left_out, status) in [(0, 400), (2, 426), (3, 400)] {
            let mut pairs = good.to_vec();
            pairs.remove(left_out);
            assert_eq!(checked(&pairs), Err(status), "without {:?}", good[left_out]);
        }
        assert_eq!(checked(&[good[0], good[1], good[2], ("sec-websocket-key", "c2hvcnQ=")]), Err(400));
        assert_eq!(checked(&[good[0], good[1], good[2], good[3], good[3]]), Err(400));
    }
}
