//! The web pages that requests may come from. A browser sends what any page tells it to, also to this machine: so
//! without client keys a page could spend the tokens of whoever visits it.
//!
//! Two headers tell a page from a program: `Origin`, which pages cannot forge, and `Host`, which names the page's own
//! host if that name was made to resolve to this machine (DNS rebinding). With client keys neither matters, as no page
//! knows one.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, Response, StatusCode, Uri, Version};
use http_body_util::Full;

use super::respond::ProxyError;
use crate::http1::fields::{Fields, Lookup, text};

/// Headers of an answer that a page may read beside those it always may.
const EXPOSED: &str = "x-request-id, x-pointsman-provider, x-pointsman-attempts, x-pointsman-decision, \
                       x-pointsman-provider-request-id, x-should-retry, retry-after, retry-after-ms";

/// The seconds for which a browser need not ask again.
const PREFLIGHT_AGE: &str = "600";

/// The address of a listener, as those who reach it see it.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The authority as in `Host`.
    authority: String,
    port: u16,
    /// True when only this machine can reach it.
    is_loopback: bool,
}

impl Bound {
    /// The rules for a listener at `address`.
    pub fn new(address: SocketAddr) -> Self {
        let is_loopback = address.ip().to_canonical().is_loopback();
        Self { authority: address.to_string(), port: address.port(), is_loopback }
    }

    /// The rules for a listener at a socket in the file system, which no browser reaches; a web server before it may
    /// have any name.
    pub fn in_file_system() -> Self {
        Self { authority: String::new(), port: 0, is_loopback: false }
    }
}

/// The pages and names that the operator allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visitors {
    /// `server.cors.origins`; `*` is any.
    pub origins: Vec<String>,
    /// `server.hosts`.
    pub hosts: Vec<String>,
}

impl Visitors {
    /// Decides whether a request may come in. `keys` is true when it must show a key anyway, `own_pages` when only
    /// pages of this listener may ask, and none of `server.cors.origins`.
    ///
    /// # Errors
    ///
    /// [`ProxyError::BadHost`], [`ProxyError::ForeignHost`] or [`ProxyError::ForeignOrigin`].
    pub fn admit(
        &self,
        (version, uri, headers): (Version, &Uri, &impl Lookup),
        bound: &Bound,
        keys: bool,
        own_pages: bool,
    ) -> Result<(), ProxyError> {
        let host = host(version, headers)?;
        if keys {
            return Ok(());
        }
        if bound.is_loopback && host != bound.authority {
            let named = if host.is_empty() { None } else { Some(split_port(host).ok_or(ProxyError::BadHost)?.0) };
            for named in named.into_iter().chain(uri.host()) {
                if !self.is_here(named) {
                    return Err(ProxyError::ForeignHost(named.to_owned()));
                }
            }
        }
        for origin in headers.every(&ORIGIN) {
            let listed = !own_pages && self.lists(origin);
            if !listed && !is_own(origin, host, bound) {
                return Err(ProxyError::ForeignOrigin);
            }
        }
        Ok(())
    }

    /// True when this may be a name of this machine: rebinding needs a name that somebody else owns.
    fn is_here(&self, host: &str) -> bool {
        is_local_name(host) || ip(host).is_some() || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    fn lists(&self, origin: &[u8]) -> bool {
        let listed = |known: &String| known == "*" || origin.eq_ignore_ascii_case(known.as_bytes());
        self.origins.iter().any(listed)
    }

    /// The answer to a browser that asks whether a page may ask; `None` when the request is something else.
    ///
    /// # Errors
    ///
    /// [`ProxyError::ForeignOrigin`]: the page may not.
    pub fn preflight(&self, method: &Method, headers: &Fields) -> Option<Result<Response<Full<Bytes>>, ProxyError>> {
        if method != Method::OPTIONS || !headers.has(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        if !self.lists(origin) {
            return Some(Err(ProxyError::ForeignOrigin));
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"));
        // `*` would not stand for `Authorization`.
        if let Some(Ok(asked)) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).map(HeaderValue::from_bytes) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
        if headers.has("access-control-request-private-network") {
            answer.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
        }
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE));
        Some(Ok(response))
    }

    /// Lets the page of `origin` read an answer, if it is listed.
    pub fn mark(&self, origin: &HeaderValue, answer: &mut HeaderMap) {
        if !self.lists(origin.as_bytes()) {
            return;
        }
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.append(VARY, HeaderValue::from_static("Origin"));
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

/// The host that the request is for; empty where HTTP/1.0 need not say it (RFC 9112, 3.2).
fn host(version: Version, headers: &impl Lookup) -> Result<&str, ProxyError> {
    let mut hosts = headers.every(&HOST);
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => text(host).ok_or(ProxyError::BadHost)?,
        (None, _) if version < Version::HTTP_11 => "",
        (None | Some(_), _) => return Err(ProxyError::BadHost),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%:[]".contains(&byte);
    if host.bytes().all(legal) { Ok(host) } else { Err(ProxyError::BadHost) }
}

/// The parts of `host[:port]`; `None` when no host is named.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if authority.is_empty() {
        return None;
    }
    let end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    match port.strip_prefix(':') {
        Some(port) => Some((host, port.parse().ok())),
        None => port.is_empty().then_some((host, None)),
    }
}

fn ip(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// True for `localhost` and names below it, which nobody can give an address (RFC 6761, 6.3).
fn is_local_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let end = host.len().checked_sub("localhost".len()).and_then(|at| Some((host.get(..at)?, host.get(at..)?)));
    end.is_some_and(|(below, end)| end.eq_ignore_ascii_case("localhost") && (below.is_empty() || below.ends_with('.')))
}

/// True when a page of this very listener asks: its origin is the host that it asks, or on this machine another of its
/// names with the listener's port.
fn is_own(origin: &[u8], host: &str, bound: &Bound) -> bool {
    let Some((scheme, authority)) = text(origin).and_then(|origin| origin.split_once("://")) else {
        return false;
    };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let (Some((page, page_port)), Some((host, port))) = (split_port(authority), split_port(host)) else {
        return false;
    };
    let page_port = page_port.unwrap_or(usual);
    let is_asked = page.eq_ignore_ascii_case(host) && page_port == port.unwrap_or(usual);
    let is_loopback = is_local_name(page) || ip(page).is_some_and(|ip| ip.to_canonical().is_loopback());
    is_asked || bound.is_loopback && is_loopback && page_port == bound.port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().copied().collect()
    }

    fn admitted(listener: &str, keys: bool, pairs: &[(&'static str, &'static str)]) -> &'static str {
        let origins = vec!["https://app.example".to_owned(), "tauri://localhost".to_owned()];
        let visitors = Visitors { origins, hosts: vec!["llm.internal".to_owned()] };
        let bound = Bound::new(listener.parse().unwrap());
        let head = (Version::HTTP_11, &Uri::from_static("/v1/models"), &headers(pairs));
        match visitors.admit(head, &bound, keys, false) {
            Ok(()) => "admitted",
            Err(ProxyError::BadHost) => "bad host",
            Err(ProxyError::ForeignHost(_)) => "foreign host",
            Err(_) => "foreign origin",
        }
    }

    const HERE: &str = "127.0.0.1:8000";

    #[test]
    fn there_is_exactly_one_host() {
        for listener in [HERE, "0.0.0.0:8000"] {
            assert_eq!(admitted(listener, true, &[]), "bad host");
            assert_eq!(admitted(listener, true, &[("host", "a"), ("host", "a")]), "bad host");
            assert_eq!(admitted(listener, true, &[("host", "a, b")]), "bad host");
            assert_eq!(admitted(listener, true, &[("host", "a@b/c")]), "bad host");
        }
        let visitors = Visitors::default();
        let head = (Version::HTTP_10, &Uri::from_static("/"), &Fields::default());
        assert!(visitors.admit(head, &Bound::new(HERE.parse().unwrap()), false, false).is_ok());
    }

    #[test]
    fn on_this_machine_only_names_count_that_nobody_else_owns() {
        for host in [
            "127.0.0.1:8000",
            "127.0.0.1",
            "[::1]:8000",
            "localhost:8000",
            "LOCALHOST.",
            "app.localhost:8000",
            "llm.internal:8000",
            "LLM.internal",
            "10.0.0.7:80",
        ] {
            assert_eq!(admitted(HERE, false, &[("host", host)]), "admitted", "{host}");
        }
        assert_eq!(admitted(HERE, false, &[("host", "[::1].a")]), "bad host");
        for host in ["evil.example", "127.0.0.1.evil.example:8000", "notlocalhost", "localhost.evil.example"] {
            assert_eq!(admitted(HERE, false, &[("host", host)]), "foreign host", "{host}");
            assert_eq!(admitted(HERE, true, &[("host", host)]), "admitted", "{host}");
            assert_eq!(admitted("0.0.0.0:8000", false, &[("host", host)]), "admitted", "{host}");
        }
    }

    #[test]
    fn a_page_of_elsewhere_is_not_admitted_unless_it_is_listed() {
        let from = |origin| admitted(HERE, false, &[("host", "127.0.0.1:8000"), ("origin", origin)]);
        for own in ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"] {
            assert_eq!(from(own), "admitted", "{own}");
        }
        for listed in ["https://app.example", "https://APP.example", "tauri://localhost"] {
            assert_eq!(from(listed), "admitted", "{listed}");
        }
        for foreign in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:3000",
            "http://localhost",
            "file://",
            "",
            "http://app.example",
            "https://app.example.evil",
            "http://127.0.0.1:8000.evil.example",
        ] {
            assert_eq!(from(foreign), "foreign origin", "{foreign}");
            let origin = ("origin", foreign);
            assert_eq!(admitted(HERE, true, &[("host", "127.0.0.1:8000"), origin]), "admitted", "{foreign}");
        }
        let elsewhere = |pairs: &[_]| admitted("0.0.0.0:8000", false, pairs);
        assert_eq!(elsewhere(&[("host", "llm.example"), ("origin", "https://llm.example")]), "admitted");
        assert_eq!(elsewhere(&[("host", "llm.example"), ("origin", "https://other.example")]), "foreign origin");
        assert_eq!(elsewhere(&[("host", "10.0.0.1:8000"), ("origin", "http://localhost:8000")]), "foreign origin");
    }
}
