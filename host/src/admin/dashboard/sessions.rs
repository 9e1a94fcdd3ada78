//! The sessions of those who have signed in to the pages. A session is in memory alone, under the digest of the browser's cookie, and it
//! lasts as long as the key that it was opened with is accepted, at most twelve hours.
//!
//! Whoever tries keys is slowed down by address: after three failures in a row a second, then twice as long each time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::clients::{NoRandomness, new_key};
use crate::config::{Digest, Secret, digest_of};

/// The life of a session.
pub const LASTS: Duration = Duration::from_secs(12 * 3600);
/// The most sessions; the oldest gives way to a new one.
const MOST: usize = 64;
/// Failures in a row that cost nothing.
const FREE: u32 = 3;
/// The longest wait after a failure.
const LONGEST: Duration = Duration::from_secs(60);
/// The most addresses whose failures are remembered.
const ADDRESSES: usize = 1024;

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Digest, Session>>,
    failures: Mutex<HashMap<IpAddr, Failures>>,
    /// The token of pages that need no session; made when it is first wanted.
    shared: Mutex<Option<Secret>>,
}

#[derive(Debug)]
struct Session {
    opened: Instant,
    /// The operators' key, as `Authorization` shows it.
    key: HeaderValue,
    token: Secret,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    in_a_row: u32,
    latest: Instant,
}

/// A session that was just opened.
#[derive(Debug)]
pub struct Opened {
    /// The value of the cookie.
    pub cookie: Secret,
}

/// The rights of a session.
#[derive(Debug)]
pub struct Known {
    /// Headers that show the key that it was opened with, as a program would.
    pub headers: HeaderMap,
    /// The token that every form of its pages must hold.
    pub token: Secret,
}

/// Random text that nobody can guess: that of a key.
fn random() -> Result<Secret, NoRandomness> {
    new_key(None).map(|key| key.text)
}

fn digest(text: &str) -> Digest {
    digest_of(text.as_bytes())
}

impl Sessions {
    /// Opens one for somebody who has shown this key.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`].
    pub fn open(&self, key: HeaderValue, now: Instant) -> Result<Opened, NoRandomness> {
        let (cookie, token) = (random()?, random()?);
        let mut open = self.open.lock();
        open.retain(|_, session| now.saturating_duration_since(session.opened) < LASTS);
        if open.len() >= MOST
            && let Some(oldest) = open.iter().min_by_key(|(_, session)| session.opened).map(|(at, _)| *at)
        {
            open.remove(&oldest);
        }
        open.insert(digest(cookie.reveal()), Session { opened: now, key, token });
        Ok(Opened { cookie })
    }

    /// The session of a request's cookie.
    pub fn find(&self, headers: &HeaderMap, now: Instant) -> Option<Known> {
        let open = self.open.lock();
        let session = open.get(&digest(cookie(headers)?))?;
        if now.saturating_duration_since(session.opened) >= LASTS {
            return None;
        }
        let headers = HeaderMap::from_iter([(AUTHORIZATION, session.key.clone())]);
        Some(Known { headers, token: session.token.clone() })
    }

    /// Ends the session of a request's cookie.
    pub fn close(&self, headers: &HeaderMap) {
        if let Some(cookie) = cookie(headers) {
            self.open.lock().remove(&digest(cookie));
        }
    }

    /// The token of forms on pages that need no session.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`].
    pub fn shared_token(&self) -> Result<Secret, NoRandomness> {
        let mut shared = self.shared.lock();
        if let Some(token) = &*shared {
            return Ok(token.clone());
        }
        let token = random()?;
        *shared = Some(token.clone());
        Ok(token)
    }

    /// The time that somebody at this address has to wait before the next try; `None` is a Unix socket.
    pub fn wait(&self, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock().get(&network(address)).copied()?;
        let beyond = failures.in_a_row.checked_sub(FREE)?;
        let wait = Duration::from_secs(1).saturating_mul(1 << beyond.min(16)).min(LONGEST);
        wait.checked_sub(now.saturating_duration_since(failures.latest)).filter(|wait| !wait.is_zero())
    }

    /// Notes that a key was wrong.
    pub fn failed(&self, address: Option<IpAddr>, now: Instant) {
        let mut failures = self.failures.lock();
        if failures.len() >= ADDRESSES {
            failures.retain(|_, failures| now.saturating_duration_since(failures.latest) < LONGEST);
        }
        if failures.len() >= ADDRESSES
            && let Some(oldest) = failures.iter().min_by_key(|(_, failures)| failures.latest).map(|(at, _)| *at)
        {
            failures.remove(&oldest);
        }
        let entry = failures.entry(network(address)).or_insert(Failures { in_a_row: 0, latest: now });
        *entry = Failures { in_a_row: entry.in_a_row.saturating_add(1), latest: now };
    }

    /// Notes that a key was right.
    pub fn succeeded(&self, address: Option<IpAddr>) {
        self.failures.lock().remove(&network(address));
    }
}

/// The part of an address that one owner has: of one of IPv6 the first half.
fn network(address: Option<IpAddr>) -> IpAddr {
    match address.unwrap_or(IpAddr::from([0, 0, 0, 0])).to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
    }
}

/// The name of the cookie at the host that a request names. Browsers send cookies to all ports of a host, and so two
/// servers on one machine need two names.
pub fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let port: String = port.chars().filter(char::is_ascii_digit).take(5).collect();
    format!("pointsman{port}")
}

/// The value of the cookie of a request.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let name = cookie_name(headers);
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(other, _)| *other == name).map(|(_, value)| value)
}

/// The line that sets the cookie; `secure` where only TLS may carry it.
pub fn set_cookie(headers: &HeaderMap, value: &str, lasts: Duration, secure: bool) -> String {
    let (name, seconds) = (cookie_name(headers), lasts.as_secs());
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; Path=/admin; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

/// True when a form comes from a page of this site: the browser says so, and the form has the token of that page.
pub fn is_own_form(headers: &HeaderMap, shown: &str, token: &Secret) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let same_site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let host = text("host").unwrap_or_default();
    let same_origin = text("origin").is_none_or(|origin| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    same_site && same_origin && bool::from(shown.as_bytes().ct_eq(token.reveal().as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn with(opened: &Opened) -> HeaderMap {
        let cookie = format!("other=1; pointsman9000={}", opened.cookie.reveal());
        headers(&[("host", "localhost:9000"), ("cookie", &cookie)])
    }

    fn key() -> HeaderValue {
        HeaderValue::from_static("Bearer k")
    }

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let opened = sessions.open(key(), now).unwrap();
        let known = sessions.find(&with(&opened), now).unwrap();
        assert_eq!(known.headers.get(AUTHORIZATION), Some(&key()));
        assert!(sessions.find(&with(&opened), now + LASTS).is_none(), "it is over");
        assert!(sessions.find(&headers(&[("host", "localhost:9000")]), now).is_none());
        let elsewhere = headers(&[("host", "localhost:9001"), ("cookie", with(&opened)["cookie"].to_str().unwrap())]);
        assert!(sessions.find(&elsewhere, now).is_none(), "the cookie of another port");
        sessions.close(&with(&opened));
        assert!(sessions.find(&with(&opened), now).is_none());
    }

    #[test]
    fn the_oldest_session_gives_way_when_there_are_too_many() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let all: Vec<Opened> =
            (0..=MOST as u64).map(|at| sessions.open(key(), now + Duration::from_secs(at)).unwrap()).collect();
        let found = |opened: &Opened| sessions.find(&with(opened), now + Duration::from_secs(100)).is_some();
        assert_eq!((found(&all[0]), found(&all[1]), found(&all[MOST])), (false, true, true));
        assert_eq!(sessions.open.lock().len(), MOST);
    }

    #[test]
    fn whoever_tries_keys_waits_longer_each_time_and_others_do_not() {
        let (sessions, mut now) = (Sessions::default(), Instant::now());
        let (one, other) = ("2001:db8::1".parse().ok(), "192.0.2.7".parse().ok());
        for wait in [0, 0, 1, 2, 4, 8, 16, 32, 60, 60] {
            sessions.failed(one, now);
            let seconds = sessions.wait(one, now).unwrap_or_default();
            assert_eq!(seconds, Duration::from_secs(wait));
            assert_eq!(sessions.wait("2001:db8::2".parse().ok(), now).unwrap_or_default(), seconds, "the same network");
            assert_eq!((sessions.wait(other, now), sessions.wait(None, now)), (None, None));
            now += seconds;
            assert_eq!(sessions.wait(one, now), None);
        }
        sessions.succeeded(one);
        sessions.failed(one, now);
        assert_eq!(sessions.wait(one, now), None);
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        for address in 0..3000_u32 {
            sessions.failed(Some(IpAddr::from(address.to_be_bytes())), now + Duration::from_millis(address.into()));
        }
        assert_eq!(sessions.failures.lock().len(), ADDRESSES);
    }

    #[test]
    fn a_form_counts_only_from_an_own_page_with_its_token() {
        let token = Secret::new("token".to_owned());
        let own = headers(&[("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "same-origin")]);
        assert!(is_own_form(&own, "token", &token));
        assert!(is_own_form(&headers(&[("host", "a:1")]), "token", &token), "a program");
        assert!(!is_own_form(&own, "another", &token) && !is_own_form(&own, "", &token));
        for foreign in [
            [("host", "a:1"), ("origin", "http://a:2"), ("sec-fetch-site", "same-origin")],
            [("host", "a:1"), ("origin", "null"), ("sec-fetch-site", "same-origin")],
            [("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "same-site")],
            [("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!is_own_form(&headers(&foreign), "token", &token), "{foreign:?}");
        }
    }

    #[test]
    fn a_cookie_is_for_the_pages_alone() {
        let host = headers(&[("host", "[::1]:9000")]);
        let line = set_cookie(&host, "v", LASTS, false);
        assert_eq!(line, "pointsman9000=v; Path=/admin; HttpOnly; SameSite=Strict; Max-Age=43200");
        assert!(set_cookie(&host, "v", LASTS, true).ends_with("; Secure"));
        assert_eq!(cookie_name(&headers(&[("host", "pointsman.example")])), "pointsman");
    }
}
