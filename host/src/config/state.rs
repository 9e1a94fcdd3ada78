//! `state:`, the engine that replicas share.

use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::Secret;
use super::network::existing_file;
use super::problem::Place;
use super::read::{Reader, Section, Text, Zero, content};
use super::schema::{SENTINEL, STATE, STATE_TLS};

/// The longest time that a request waits for the engine, by default.
const TIMEOUT: Duration = Duration::from_millis(25);

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The schemes of a URL of an engine, and whether they mean TLS.
const SCHEMES: [(&str, bool); 4] = [("redis", false), ("rediss", true), ("valkey", false), ("valkeys", true)];

/// The engine that replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it is.
    pub servers: StateServers,
    /// The user to log in as.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The certificates to trust, and the one to show; used where TLS is.
    pub tls: StateTls,
    /// The first part of every key.
    pub prefix: String,
    /// The longest time that a request waits for it.
    pub timeout: Duration,
    /// What holds while it does not answer.
    pub on_outage: OnOutage,
    /// True when this server is not ready without it.
    pub required: bool,
    /// The line of the file that begins it, for problems found later.
    pub line: usize,
}

/// The servers of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateServers {
    /// A single one.
    One(StateServer),
    /// Some of a cluster; never empty.
    Cluster(Vec<StateServer>),
    /// Those who know the present one; never empty.
    Sentinel {
        /// The name that they know it by.
        name: String,
        /// Where they are.
        servers: Vec<StateServer>,
    },
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateServer {
    /// Where it is.
    pub place: StatePlace,
    /// True when the connection is encrypted.
    pub tls: bool,
    /// The number of the database.
    pub database: u32,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePlace {
    /// A host and a port.
    Tcp(String, u16),
    /// A socket in the file system.
    Socket(PathBuf),
}

/// The certificates for an engine, as paths of PEM files that were there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateTls {
    /// Certificates of the authorities to trust, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The chain of a client certificate; with `key` or not at all.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// What holds while the engine does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOutage {
    /// Each replica keeps to its share of the limits.
    #[default]
    Local,
    /// Nothing with a limit is let in.
    Closed,
    /// Everything is let in.
    Open,
}

/// The engine under `state`; `None` without one, or after a problem.
pub(super) fn state(reader: &mut Reader<'_>, top: &Section<'_>) -> Option<State> {
    let (at, node) = top.get("state")?;
    let section = reader.mapping(Some(node), at, Some(STATE)).ok()?;
    let servers = servers(reader, &section);
    let username = text(reader, &section, "username").map(|found| found.text);
    let password = password(reader, &section);
    let tls = tls(reader, &section);
    let uses_tls = match &servers {
        Some(StateServers::One(server)) => server.tls,
        Some(StateServers::Cluster(all) | StateServers::Sentinel { servers: all, .. }) => {
            all.iter().any(|server| server.tls)
        }
        None => true,
    };
    if section.get("tls").is_some() && !uses_tls {
        reader
            .findings
            .warn(&section.place("tls"), "has no effect, because no URL begins with rediss:// or valkeys://");
    }
    let prefix = prefix(reader, &section);
    let timeout = reader.seconds(&section, "timeout", Zero::Illegal).unwrap_or(TIMEOUT);
    let on_outage = on_outage(reader, &section).unwrap_or_default();
    let required = reader.boolean(&section, "required", false);
    let line = section.at.line;
    Some(State { servers: servers?, username, password, tls, prefix, timeout, on_outage, required, line })
}

/// The key `on_outage` of `state`, or of limits that say it for themselves.
pub(super) fn on_outage(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<OnOutage> {
    const OUTAGES: [(&str, OnOutage); 3] =
        [("local", OnOutage::Local), ("closed", OnOutage::Closed), ("open", OnOutage::Open)];
    reader.one_of(section, "on_outage", &OUTAGES, false)
}

/// A text that is not empty.
fn text(reader: &mut Reader<'_>, section: &Section<'_>, key: &str) -> Option<Text> {
    let found = reader.text(section, key).ok()??;
    if found.text.is_empty() {
        reader.findings.problem(&found.at, "must not be empty", None);
        return None;
    }
    Some(found)
}

fn servers(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<StateServers> {
    let such_as = "such as url: redis://valkey.internal:6379/0; a list of URLs is a cluster";
    if section.get("sentinel").is_some() {
        if let Some((at, _)) = section.get("url") {
            reader.findings.problem(&at, "stands beside `sentinel`", Some("leave out one of them".to_owned()));
            return None;
        }
        let sentinel = reader.section(section, "sentinel", Some(SENTINEL));
        let name = text(reader, &sentinel, "name");
        if sentinel.get("name").is_none() {
            reader.findings.problem(&sentinel.place("name"), "is required", Some("such as mymaster".to_owned()));
        }
        let urls = reader.list(&sentinel, "urls");
        if sentinel.get("urls").is_none() {
            let help = Some("such as [redis://s1:26379, redis://s2:26379]".to_owned());
            reader.findings.problem(&sentinel.place("urls"), "is required", help);
        }
        let servers: Vec<_> =
            urls.into_iter().filter_map(|(at, node)| server(reader, node, at, SENTINEL_PORT)).collect();
        return Some(StateServers::Sentinel { name: name?.text, servers }).filter(|_| sentinel.get("urls").is_some());
    }
    let Some((at, node)) = section.get("url") else {
        reader.findings.problem(&section.place("url"), "is required", Some(format!("{such_as}; or `sentinel`")));
        return None;
    };
    if matches!(node.kind, super::NodeKind::List(_)) {
        let urls = reader.list(section, "url");
        if urls.is_empty() {
            reader.findings.problem(&at, "must not be empty", Some(such_as.to_owned()));
        }
        let servers: Vec<_> = urls.into_iter().filter_map(|(at, node)| server(reader, node, at, PORT)).collect();
        return (!servers.is_empty()).then_some(StateServers::Cluster(servers));
    }
    server(reader, node, at, PORT).map(StateServers::One)
}

/// One URL. Nothing of it is shown that may be a password.
fn server(reader: &mut Reader<'_>, node: &super::Node, at: Place, port: u16) -> Option<StateServer> {
    let found = reader.text_at(node, at, true).ok()?;
    match place(&found.text, port) {
        Ok(server) => Some(server),
        Err((wrong, help)) => {
            reader.findings.problem(&found.at, wrong, Some(help.to_owned()));
            None
        }
    }
}

fn place(text: &str, port: u16) -> Result<StateServer, (&'static str, &'static str)> {
    let such_as = "such as redis://valkey.internal:6379/0, rediss:// for TLS, or unix:/run/valkey.sock";
    if let Some(path) = text.strip_prefix("unix:") {
        let path = if path.starts_with("///") { path.get(2..).unwrap_or_default() } else { path };
        if !path.starts_with('/') {
            return Err(("must name a socket by its absolute path", such_as));
        }
        return Ok(StateServer { place: StatePlace::Socket(path.into()), tls: false, database: 0 });
    }
    let Ok(url) = Url::parse(text) else { return Err(("must be a URL", such_as)) };
    let Some((_, tls)) = SCHEMES.iter().find(|(scheme, _)| *scheme == url.scheme()) else {
        return Err(("must begin with redis://, rediss://, valkey://, valkeys:// or unix:", such_as));
    };
    if url.password().is_some() || !url.username().is_empty() {
        return Err(("must not contain a user or a password", "set `username` and `password` beside it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(("must have nothing after the number of the database", such_as));
    }
    let host = match url.host_str().map(Host::parse) {
        Some(Ok(Host::Domain(name))) => name,
        Some(Ok(Host::Ipv4(address))) => address.to_string(),
        Some(Ok(Host::Ipv6(address))) => address.to_string(),
        Some(Err(_)) | None => return Err(("names no host", such_as)),
    };
    let database = match url.path().trim_start_matches('/') {
        "" => Ok(0),
        number => number.parse(),
    };
    let Ok(database) = database else { return Err(("must end in the number of a database, if in anything", such_as)) };
    Ok(StateServer { place: StatePlace::Tcp(host, url.port().unwrap_or(port)), tls: *tls, database })
}

/// The password itself, or the content of the file that is named instead.
fn password(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Secret> {
    let Some(found) = text(reader, section, "password_file") else {
        let (at, node) = section.get("password")?;
        let found = reader.text_at(node, at, true).ok()?;
        if found.text.is_empty() {
            let help = Some("leave it out where none is needed".to_owned());
            reader.findings.problem(&found.at, "must not be empty", help);
        }
        return Some(Secret::new(found.text));
    };
    if section.get("password").is_some() {
        reader.findings.problem(&found.at, "stands beside `password`", Some("leave out one of them".to_owned()));
        return None;
    }
    let file = reader.findings.names(&found.text);
    match content(&file) {
        Ok(Some(text)) if text.trim_end_matches(['\n', '\r']).is_empty() => {
            reader.findings.problem(&found.at, format!("names {}, which is empty", file.display()), None);
        }
        Ok(Some(text)) => return Some(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned())),
        Ok(None) => drop(reader.findings.problem(&found.at, format!("there is no file {}", file.display()), None)),
        Err(why) => {
            reader.findings.problem(&found.at, format!("the file {} cannot be read: {why}", file.display()), None);
        }
    }
    None
}

fn tls(reader: &mut Reader<'_>, section: &Section<'_>) -> StateTls {
    let tls = reader.section(section, "tls", Some(STATE_TLS));
    let mut file = |key| existing_file(reader, &tls, key).ok().flatten();
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    for (given, missing) in [("cert", "key"), ("key", "cert")] {
        if tls.get(given).is_some() && tls.get(missing).is_none() {
            reader.findings.problem(&tls.place(missing), format!("is required beside `{given}`"), None);
        }
    }
    StateTls { ca, cert, key }
}

fn prefix(reader: &mut Reader<'_>, section: &Section<'_>) -> String {
    let Some(found) = text(reader, section, "prefix") else { return "pm".to_owned() };
    let fits = found.text.len() <= 64 && found.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b));
    if !fits {
        let help = Some("such as pm, or team-a".to_owned());
        let message = "must be at most 64 letters, digits and any of - _ . : /";
        reader.findings.problem(&found.at, message, help);
    }
    found.text
}
