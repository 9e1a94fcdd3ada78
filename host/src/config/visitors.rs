//! `server.cors`, `server.hosts` and `server.forward_headers`: the web pages that may send requests, the names of this
//! machine, and the headers about clients that providers get.

use http::HeaderName;

use super::check::SECRET_HEADERS;
use super::provider::RESERVED_HEADERS;
use super::read::{Reader, Section};
use super::schema::CORS;

/// Headers that the proxy sets itself.
const OWN_HEADERS: [&str; 2] = ["accept-encoding", "expect"];

/// Headers about clients that are forwarded to providers nevertheless.
pub(super) fn forward_headers(reader: &mut Reader<'_>, server: &Section<'_>) -> Vec<HeaderName> {
    let mut headers = Vec::new();
    for (at, node) in reader.list(server, "forward_headers") {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        let wrong = match HeaderName::from_bytes(found.text.as_bytes()) {
            Err(_) => "is not a legal header name",
            Ok(name) if RESERVED_HEADERS.contains(&name.as_str()) || OWN_HEADERS.contains(&name.as_str()) => {
                "is a header that belongs to the connection"
            }
            Ok(name) if SECRET_HEADERS.contains(&name.as_str()) => {
                "carries a credential, and credentials of clients are never forwarded"
            }
            Ok(name) => {
                headers.push(name);
                continue;
            }
        };
        reader.findings.problem(&found.at, wrong, Some("such as openai-organization".to_owned()));
    }
    headers
}

/// The web pages whose scripts may send requests, as browsers name them in `Origin`. `keys` is true when clients must
/// send a key.
pub(super) fn origins(reader: &mut Reader<'_>, server: &Section<'_>, keys: bool) -> Vec<String> {
    let section = reader.section(server, "cors", Some(CORS));
    let mut origins = Vec::new();
    for (at, node) in reader.list(&section, "origins") {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        let authority = found.text.split_once("://").map_or("", |(_, authority)| authority);
        if found.text == "*" {
            if !keys {
                let warning = "lets every web page that is open in a browser here send requests at your expense, because no client keys are set";
                reader.findings.warn(&found.at, warning);
            }
        } else if authority.is_empty() || authority.contains(['/', '@', '*', '?', '#']) || found.text.contains(' ') {
            let help = "scheme, host and port and nothing more, such as http://localhost:3000; `*` is any origin";
            reader.not(&found.at, "an origin", &found.shown, Some(help.to_owned()));
        }
        origins.push(found.text);
    }
    origins
}

/// Names of this machine beside `localhost` and its addresses (`server.hosts`).
pub(super) fn hosts(reader: &mut Reader<'_>, server: &Section<'_>) -> Vec<String> {
    let mut hosts = Vec::new();
    for (at, node) in reader.list(server, "hosts") {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if found.text.is_empty() || !found.text.chars().all(legal) {
            let help = "use a name without scheme and port, such as llm.internal";
            reader.not(&found.at, "a host name", &found.shown, Some(help.to_owned()));
        }
        hosts.push(found.text);
    }
    hosts
}
