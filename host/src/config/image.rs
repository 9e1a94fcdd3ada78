//! Components in registries: `image` and `signed_by` of a strategy or an approach, and `registries`, where they are.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::Secret;
use super::network::proxy_for;
use super::problem::{Place, Reported};
use super::read::{Reader, Section, Text};
use super::schema::REGISTRY;
use super::secret::{SecretKeys, secret_or_file};
use super::strategy::file;

/// A component in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The host of the registry, with its port if it has one.
    pub host: String,
    /// The path below it.
    pub repository: String,
    /// The digest of the manifest: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The way in.
    pub registry: Registry,
    /// The file with the public key by which it must be signed.
    pub key: Option<PathBuf>,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.host, self.repository, self.digest)
    }
}

/// The way into a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// The name to sign in with; without one `password` is a token.
    pub username: Option<String>,
    /// The password or the token; none for registries that let everybody in.
    pub password: Option<Secret>,
    /// True for one that is asked without TLS.
    pub http: bool,
    /// The URL of the forward proxy through which it is asked, which may hold a password.
    pub proxy: Option<Secret>,
}

impl Registry {
    /// The way in to a host of which nothing is known: one on this machine is asked without TLS.
    pub fn usual(host: &str) -> Self {
        Self { http: is_local(host), ..Self::default() }
    }
}

/// The registries that the configuration names, by their hosts, and the forward proxy for all of them.
#[derive(Debug, Default)]
pub(super) struct Registries(BTreeMap<String, Registry>);

/// Reads `registries`.
pub(super) fn registries(reader: &mut Reader<'_>, top: &Section<'_>) -> Registries {
    let section = reader.section(top, "registries", None);
    let mut registries = Registries::default();
    for (at, host, node) in section.entries() {
        if !is_host(host) {
            let help = "such as ghcr.io or registry.internal:5000".to_owned();
            reader.findings.problem(&at, "must be the host of a registry, with its port if it has one", Some(help));
            continue;
        }
        let Ok(section) = reader.mapping(Some(node), at, Some(REGISTRY)) else { continue };
        let username = reader.text(&section, "username").ok().flatten().map(|found| found.text);
        let has = |key: &str| section.get(key).is_some();
        let keys = SecretKeys { text: "password", file: "password_file", empty: None };
        let password = (has("password") || has("password_file") || username.is_some())
            .then(|| secret_or_file(reader, &section, &keys).ok())
            .flatten();
        let http = reader.boolean(&section, "http", is_local(host));
        let proxy = proxy_of(reader, top, host, http);
        registries.0.insert(host.to_owned(), Registry { username, password, http, proxy });
    }
    registries
}

fn proxy_of(reader: &mut Reader<'_>, top: &Section<'_>, host: &str, http: bool) -> Option<Secret> {
    let scheme = if http { "http" } else { "https" };
    proxy_for(reader, top, &Url::parse(&format!("{scheme}://{host}")).ok()?)
}

/// The component that `image` names, signed by the key of `signed_by` if there is one; `None` where there is no `image`.
pub(super) fn image(
    reader: &mut Reader<'_>,
    top: &Section<'_>,
    section: &Section<'_>,
    registries: &Registries,
) -> Result<Option<Image>, Reported> {
    let key = match reader.text(section, "signed_by")? {
        Some(found) => Some((file(reader, &found.at, &found.text)?, found.at)),
        None => None,
    };
    let Some(Text { at, text, shown, .. }) = reader.text(section, "image")? else {
        return match key {
            Some((_, at)) => {
                let help = "a file of your own is trusted as it is".to_owned();
                Err(reader.findings.problem(&at, "is for components from a registry: it needs an `image`", Some(help)))
            }
            None => Ok(None),
        };
    };
    let (host, repository, digest) = parts(reader, &at, &text, &shown)?;
    let registry = match registries.0.get(&host) {
        Some(registry) => registry.clone(),
        None => {
            let usual = Registry::usual(&host);
            Registry { proxy: proxy_of(reader, top, &host, usual.http), ..usual }
        }
    };
    Ok(Some(Image { host, repository, digest, registry, key: key.map(|(key, _)| key) }))
}

fn parts(reader: &mut Reader<'_>, at: &Place, text: &str, shown: &str) -> Result<(String, String, String), Reported> {
    const WANTED: &str = "the name of a component in a registry with its digest";
    let example = "such as ghcr.io/acme/pick@sha256:...".to_owned();
    let Some((name, digest)) = text.split_once('@') else {
        let help = match split(text) {
            Some(_) => format!("a tag may be moved, a digest never: `pointsman strategy pull {text}` prints it"),
            None => example,
        };
        return Err(reader.not(at, WANTED, shown, Some(help)));
    };
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        let help = "sha256: and 64 hexadecimal digits in lower case".to_owned();
        return Err(reader.not(at, WANTED, shown, Some(help)));
    }
    // A tag beside the digest is for readers.
    let Some((host, repository, _)) = split(name) else { return Err(reader.not(at, WANTED, shown, Some(example))) };
    Ok((host, repository, digest.to_owned()))
}

/// The host, the path and the tag of a name such as `ghcr.io/acme/pick:1.2`; `None` when it is none. The host must be there: a
/// name without one means another registry to each tool.
pub fn split(name: &str) -> Option<(String, String, Option<String>)> {
    let (host, rest) = name.split_once('/')?;
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    let is_part = |part: &str| {
        let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        !part.is_empty() && part.bytes().all(inner) && part.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    let is_tag = |tag: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(inner) && !tag.starts_with(['.', '-'])
    };
    let fits = is_host(host) && path.len() <= 255 && path.split('/').all(is_part) && tag.is_none_or(is_tag);
    fits.then(|| (host.to_owned(), path.to_owned(), tag.map(str::to_owned)))
}

/// A host has a dot or a port, or it is this machine.
fn is_host(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    is_name && port.is_none_or(|port| port.parse::<u16>().is_ok()) && (host.contains(['.', ':']) || host == "localhost")
}

fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_their_host_and_their_tag() {
        let of = |name: &str| split(name).map(|(host, path, tag)| format!("{host} {path} {}", tag.unwrap_or_default()));
        for (name, parts) in [
            ("ghcr.io/acme/pick", Some("ghcr.io acme/pick ")),
            ("ghcr.io/acme/pick:1.2", Some("ghcr.io acme/pick 1.2")),
            ("localhost:5000/pick:v1", Some("localhost:5000 pick v1")),
            ("localhost/pick", Some("localhost pick ")),
            ("acme/pick", None),
            ("pick", None),
            ("ghcr.io/Acme/pick", None),
            ("ghcr.io/acme//pick", None),
            ("ghcr.io/../pick", None),
            ("ghcr.io/acme/pick:", None),
            ("ghcr.io:port/acme/pick", None),
            ("user@ghcr.io/acme/pick", None),
        ] {
            assert_eq!(of(name).as_deref(), parts, "{name}");
        }
    }

    #[test]
    fn a_registry_on_this_machine_is_asked_without_tls() {
        assert!(Registry::usual("localhost:5000").http && Registry::usual("127.0.0.1:5000").http);
        assert!(!Registry::usual("ghcr.io").http && !Registry::usual("localhost.example:5000").http);
    }
}
