//! The ways to a provider (directly, through a forward proxy, by a Unix socket), and the certificates to trust.

use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::problem::Reported;
use super::provider::Around;
use super::read::{Reader, Section, Text};
use super::schema::{NETWORK, PROVIDER_TLS};
use super::{ForwardProxy, ProviderTls, Secret, Way};

/// The longest path of a Unix socket that every system accepts.
const MAX_SOCKET: usize = 103;

/// The values that `proxy` can have.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    /// No forward proxy, whatever the environment says.
    None,
    /// The environment's forward proxies.
    Env,
    /// This one.
    Proxy(ForwardProxy),
}

/// Reads the section `network`.
pub(super) fn network(reader: &mut Reader<'_>, top: &Section<'_>) -> Option<Choice> {
    let section = reader.section(top, "network", Some(NETWORK));
    choice(reader, &section)
}

/// The forward proxy that `network.proxy` names for a URL which is no provider's.
pub(super) fn proxy_for(reader: &mut Reader<'_>, top: &Section<'_>, url: &Url) -> Option<Secret> {
    let section = reader.section(top, "network", None);
    let (at, node) = section.get("proxy")?;
    // What is wrong with it is reported where it is read for providers.
    match reader.text_at(node, at, true).ok()?.text.as_str() {
        "none" => None,
        "env" => of_environment(&|name| reader.variable(name), url).map(|(_, text)| whole(&text)),
        text => Some(whole(text)),
    }
}

/// A proxy's URL, whose scheme may be left out.
fn whole(text: &str) -> Secret {
    let text = text.trim();
    Secret::new(if text.contains("://") { text.to_owned() } else { format!("http://{text}") })
}

/// Reads the key `proxy` of `section`.
fn choice(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Choice> {
    let (at, node) = section.get("proxy")?;
    // It may hold a password.
    let Text { at, text, .. } = reader.text_at(node, at, true).ok()?;
    match text.as_str() {
        "none" => Some(Choice::None),
        "env" => Some(Choice::Env),
        url => match forward_proxy(url) {
            Ok(proxy) => Some(Choice::Proxy(proxy)),
            Err(wrong) => {
                let help = "such as http://user:password@proxy.example:3128".to_owned();
                reader.findings.problem(&at, format!("must be none, env or the URL of a proxy: {wrong}"), Some(help));
                None
            }
        },
    }
}

/// The way to the provider in `section`, whose base URL is `url`.
pub(super) fn way(reader: &mut Reader<'_>, section: &Section<'_>, url: &Url, around: &Around<'_>) -> Way {
    let own = choice(reader, section);
    match own.as_ref().or(around.proxy.as_ref()) {
        Some(Choice::None) => Way::Direct,
        Some(Choice::Proxy(proxy)) => Way::Proxy(proxy.clone()),
        Some(Choice::Env) => match of_environment(&|name| reader.variable(name), url) {
            None => Way::Direct,
            Some((name, text)) => match forward_proxy(&text) {
                Ok(proxy) => Way::Proxy(proxy),
                Err(wrong) => {
                    let message = format!("the environment variable {name} does not name a usable proxy: {wrong}");
                    reader.findings.problem(&section.place("proxy"), message, None);
                    Way::Direct
                }
            },
        },
        None => {
            // The problem with the key has been reported already.
            if section.get("proxy").is_none()
                && !around.warned.get()
                && let Some((name, _)) = of_environment(&|name| reader.variable(name), url)
            {
                let message = format!(
                    "is reached directly, though the environment variable {name} names a proxy: \
                     `network: {{proxy: env}}` uses it, `none` says that it is not meant"
                );
                reader.findings.warn(&section.place("base_url"), &message);
                around.warned.set(true);
            }
            Way::Direct
        }
    }
}

/// A proxy from its URL, whose scheme may be left out.
fn forward_proxy(text: &str) -> Result<ForwardProxy, &'static str> {
    let text = text.trim();
    let url = match text.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => Url::parse(text),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            return Err("the connection to the proxy itself is plain, so the URL must begin with http://");
        }
        Some((scheme, _)) if scheme.to_ascii_lowercase().starts_with("socks") => return Err("SOCKS is not supported"),
        Some(_) => return Err("the URL must begin with http://"),
        None => Url::parse(&format!("http://{text}")),
    };
    let Ok(url) = url else { return Err("it is not a URL") };
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return Err("it names no host") };
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("nothing may follow the host and port of a proxy");
    }
    let named = !url.username().is_empty() || url.password().is_some();
    let authorization = named.then(|| {
        let mut user: Vec<u8> = percent_decode_str(url.username()).collect();
        user.push(b':');
        user.extend(percent_decode_str(url.password().unwrap_or_default()));
        Secret::new(format!("Basic {}", base64(&user)))
    });
    Ok(ForwardProxy { host: host.to_owned(), port, authorization })
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[number >> (18 - 6 * place) & 63];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The proxy that the environment names for a URL, with the variable that does. In lower case first, as curl has it.
fn of_environment(env: &dyn Fn(&str) -> Option<String>, url: &Url) -> Option<(&'static str, String)> {
    let (host, port) = (url.host()?, url.port_or_known_default()?);
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| Some((*name, env(name)?))).filter(|(_, value)| !value.trim().is_empty())
    };
    let own: &[_] =
        if url.scheme() == "https" { &["https_proxy", "HTTPS_PROXY"] } else { &["http_proxy", "HTTP_PROXY"] };
    let named = first(own).or_else(|| first(&["all_proxy", "ALL_PROXY"]))?;
    let exempt = first(&["no_proxy", "NO_PROXY"]).is_some_and(|(_, list)| is_exempt(&list, &host, port));
    (!is_this_machine(&host) && !exempt).then_some(named)
}

/// True when requests to `host` stay on this machine, where no forward proxy could find it.
fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback() || address.is_unspecified(),
        Host::Ipv6(address) => IpAddr::V6(*address).to_canonical().is_loopback(),
    }
}

/// True when a list as in `NO_PROXY` names a host: itself, a domain above it, its address, a network that it is in,
/// each with a port or without; or `*`.
fn is_exempt(list: &str, host: &Host<&str>, port: u16) -> bool {
    let address = match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address).to_canonical()),
    };
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (name, entry_port) = match entry.rsplit_once(':') {
            // An IPv6 address without brackets ends in no port.
            Some((name, digits)) if bare(name).parse::<IpAddr>().is_ok() == name.contains(':') => {
                (bare(name), digits.parse::<u16>().ok())
            }
            _ => (bare(entry), None),
        };
        if entry_port.is_some_and(|other| other != port) {
            return false;
        }
        match (address, host) {
            (Some(address), _) => is_within(&name, address),
            (None, Host::Domain(host)) => {
                let domain = name.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
                let domain = domain.trim_end_matches('.');
                !domain.is_empty()
                    && host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (None, Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    })
}

/// True when `address` is the one that `entry` names, or in the network that it names.
fn is_within(entry: &str, address: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (entry, Some(u32::MAX)),
    };
    let (Ok(network), Some(bits)) = (network.parse::<IpAddr>(), bits) else { return false };
    match (network.to_canonical(), address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differing = u32::from(network) ^ u32::from(address);
            differing.leading_zeros() >= bits.min(32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differing = u128::from(network) ^ u128::from(address);
            differing.leading_zeros() >= bits.min(128)
        }
        (IpAddr::V4(_) | IpAddr::V6(_), _) => false,
    }
}

/// The meaning of a base URL that begins with `unix:`, or as nginx has it with `http://unix:`: a socket in the file
/// system, and after a colon the path of the API there. `None` for any other.
pub(super) fn socket(text: &str) -> Option<Result<(Url, PathBuf), &'static str>> {
    let rest = text.strip_prefix("http://unix:").or_else(|| text.strip_prefix("unix:"))?;
    // As in a URL with an empty host.
    let rest = if rest.starts_with("///") { rest.get(2..).unwrap_or_default() } else { rest };
    let (path, base) = rest.split_once(':').unwrap_or((rest, ""));
    if !path.starts_with('/') || path.starts_with("//") {
        return Some(Err("must name a socket by its absolute path"));
    }
    if path.len() > MAX_SOCKET {
        return Some(Err("names a socket whose path is longer than 103 bytes, which not every system accepts"));
    }
    if !base.is_empty() && !base.starts_with('/') || base.contains(['?', '#', '\\']) {
        return Some(Err("must have nothing but the API's path after the socket's path"));
    }
    let url = Url::parse(&format!("http://localhost{}", base.trim_end_matches('/')));
    Some(url.map(|url| (url, PathBuf::from(path))).map_err(|_error| "must have a path after the socket's path"))
}

/// The certificates to trust for the provider in `section`, and the client certificate to present.
pub(super) fn tls(reader: &mut Reader<'_>, section: &Section<'_>, url: Option<&Url>) -> ProviderTls {
    let Some((at, _)) = section.get("tls") else { return ProviderTls::default() };
    let tls = reader.section(section, "tls", Some(PROVIDER_TLS));
    if url.is_some_and(|url| url.scheme() != "https") {
        reader.findings.warn(&at, "has no effect, because base_url does not begin with https://");
    }
    let mut file = |key| existing_file(reader, &tls, key).ok().flatten();
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    for (given, missing) in [("cert", "key"), ("key", "cert")] {
        if tls.get(given).is_some() && tls.get(missing).is_none() {
            reader.findings.problem(&tls.place(missing), format!("is required beside `{given}`"), None);
        }
    }
    let server_name = reader.text(&tls, "server_name").ok().flatten().and_then(|found| {
        if Host::parse(&found.text).is_ok() {
            return Some(found.text);
        }
        reader.not(&found.at, "a host name", &found.shown, Some("such as api.internal".to_owned()));
        None
    });
    ProviderTls { ca, cert, key, server_name, line: tls.at.line }
}

/// The file that `key` names, which must be there.
pub(super) fn existing_file(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
) -> Result<Option<PathBuf>, Reported> {
    let Some(found) = reader.text(section, key)? else { return Ok(None) };
    if found.text.is_empty() {
        return Err(reader.findings.problem(&found.at, "must not be empty", None));
    }
    let path = reader.findings.names(&found.text);
    if !path.is_file() {
        return Err(reader.findings.problem(&found.at, format!("there is no file {}", path.display()), None));
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let env = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        of_environment(&env, &Url::parse(url).unwrap()).map(|(_, value)| value)
    }

    #[test]
    fn the_environment_names_a_proxy_by_scheme_in_either_case_but_not_for_this_machine() {
        let both = [("HTTPS_PROXY", "s"), ("http_proxy", "p")];
        assert_eq!(proxied(&both, "https://a/v1").as_deref(), Some("s"));
        assert_eq!(proxied(&both, "http://a/v1").as_deref(), Some("p"));
        assert_eq!(proxied(&[("ALL_PROXY", "all")], "http://a").as_deref(), Some("all"));
        assert_eq!(proxied(&[("https_proxy", "low"), ("HTTPS_PROXY", "up")], "https://a").as_deref(), Some("low"));
        for here in [
            "http://localhost:1",
            "http://127.8.0.1",
            "http://[::1]",
            "http://a.localhost",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert_eq!(proxied(&[("ALL_PROXY", "all")], here), None, "{here}");
        }
    }

    #[test]
    fn no_proxy_exempts_hosts_domains_addresses_and_networks() {
        let exempt = |list: &str, url: &str| proxied(&[("ALL_PROXY", "p"), ("NO_PROXY", list)], url).is_none();
        for (list, url) in [
            ("*", "http://a"),
            ("b, a", "http://a"),
            ("example.com", "https://api.example.com"),
            (".Example.com", "https://api.example.com"),
            ("*.example.com", "https://api.example.com"),
            ("a:8080", "http://a:8080"),
            ("10.1.2.3", "http://10.1.2.3"),
            ("10.0.0.0/8", "http://10.1.2.3"),
            ("fd00::/8", "http://[fd00::1]"),
            ("fd00::1", "http://[fd00::1]:80"),
            ("[fd00::1]:80", "http://[fd00::1]:80"),
        ] {
            assert!(exempt(list, url), "{list} {url}");
        }
        for (list, url) in [
            ("", "http://a"),
            ("ample.com", "https://example.com"),
            ("a:8080", "http://a:8081"),
            ("10.0.0.0/8", "http://11.1.2.3"),
            ("10.0.0.0/x", "http://10.1.2.3"),
            ("[fd00::1]:81", "http://[fd00::1]:80"),
        ] {
            assert!(!exempt(list, url), "{list} {url}");
        }
    }

    #[test]
    fn a_proxy_is_an_http_url_with_a_user_perhaps_and_nothing_else() {
        let proxy = forward_proxy("http://us%40er:p%3Aw@proxy:3128/").unwrap();
        assert_eq!((proxy.host.to_string(), proxy.port), ("proxy".to_owned(), 3128));
        assert_eq!(proxy.authorization.unwrap().reveal(), "Basic dXNAZXI6cDp3");
        assert_eq!(forward_proxy("proxy:8080").unwrap().port, 8080);
        assert_eq!(forward_proxy("http://proxy").unwrap().port, 80);
        for wrong in ["", "socks5://a:1", "https://a", "ftp://a", "http://a/path", "http://a?x", "a b"] {
            assert!(forward_proxy(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn base64_pads_as_the_standard_says() {
        for (text, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }

    #[test]
    fn a_socket_is_named_by_its_path_and_the_apis_path_after_a_colon() {
        for (text, path, base) in [
            ("unix:/run/llm.sock", "/run/llm.sock", "/"),
            ("unix:/run/llm.sock:/v1/", "/run/llm.sock", "/v1"),
            ("http://unix:/run/llm.sock:/v1", "/run/llm.sock", "/v1"),
            ("unix:///run/llm.sock", "/run/llm.sock", "/"),
        ] {
            let (url, socket) = socket(text).unwrap().unwrap();
            assert_eq!((socket.to_str().unwrap(), url.path()), (path, base), "{text}");
        }
        assert!(socket("http://a/v1").is_none());
        for wrong in ["unix:", "unix:llm.sock", "unix://run/llm.sock", "unix:/a:v1", "unix:/a:/v1?x"] {
            assert!(socket(wrong).unwrap().is_err(), "{wrong}");
        }
        assert!(socket(&format!("unix:/{}", "x".repeat(200))).unwrap().is_err());
    }
}
