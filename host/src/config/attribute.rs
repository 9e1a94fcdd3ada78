//! `routing.attributes`: what of a request's headers and body strategies are told, each under a name of its own.
//!
//! Keys and prompts never get there: headers that carry a credential are refused, and so are the parts of a body that a
//! client's conversation stands in.

use http::HeaderName;

use super::check::SECRET_HEADERS;
use super::provider::RESERVED_HEADERS;
use super::read::{Reader, Section, Text};
use super::schema::ATTRIBUTE;

/// Each is looked for in every request.
const MAX_ATTRIBUTES: usize = 16;

const MAX_NAME: usize = 64;

/// The parts of a body that hold what people wrote, by endpoint: chat, completions, embeddings and responses, messages.
const WORDS: [&str; 6] = ["input", "instructions", "messages", "prompt", "suffix", "system"];

/// What strategies are told of a request under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// At most 64 lower case letters, digits, `_` and `-`.
    pub name: String,
    /// Where its value stands.
    pub source: AttributeSource,
}

/// Where the value of an attribute stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeSource {
    /// A header of the request, which carries no credential.
    Header(HeaderName),
    /// A key of the body; dots lead into objects, and no part is empty.
    Body(String),
}

/// The attributes, in the order of the file.
pub(super) fn attributes(reader: &mut Reader<'_>, routing: &Section<'_>) -> Vec<Attribute> {
    let section = reader.section(routing, "attributes", None);
    let mut attributes = Vec::new();
    for (index, (at, name, node)) in section.entries().enumerate() {
        if index == MAX_ATTRIBUTES {
            reader.findings.problem(&at, format!("is one too many: {MAX_ATTRIBUTES} attributes are the most"), None);
        }
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(legal) {
            let help = "such as tenant or user_id: lower case letters, digits, `_` and `-`, 64 at most".to_owned();
            reader.findings.problem(&at, "is no name for an attribute", Some(help));
        }
        let Ok(section) = reader.mapping(Some(node), at.clone(), Some(ATTRIBUTE)) else { continue };
        let header = header(reader, &section, "such as x-tenant").map(AttributeSource::Header);
        let body = body(reader, &section).map(AttributeSource::Body);
        if section.get("header").is_some() == section.get("body").is_some() {
            let help = "such as {header: x-tenant} or {body: metadata.user_id}".to_owned();
            reader.findings.problem(&at, "must name a `header` or a key of the `body`, one of the two", Some(help));
        }
        attributes.extend(header.or(body).map(|source| Attribute { name: name.to_owned(), source }));
    }
    attributes
}

/// The header under `header` that a strategy may know of.
pub(super) fn header(reader: &mut Reader<'_>, section: &Section<'_>, help: &str) -> Option<HeaderName> {
    let found = reader.text(section, "header").ok()??;
    let wrong = match HeaderName::from_bytes(found.text.as_bytes()) {
        Err(_) => "is not a legal header name",
        Ok(name) if SECRET_HEADERS.contains(&name.as_str()) || name == "proxy-authorization" => {
            "carries a secret, of which strategies are told nothing"
        }
        Ok(name) if RESERVED_HEADERS.contains(&name.as_str()) => "is a header that belongs to the connection",
        Ok(name) => return Some(name),
    };
    reader.findings.problem(&found.at, wrong, Some(help.to_owned()));
    None
}

/// The key under `body`, of which a strategy may know.
fn body(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<String> {
    let found = reader.text(section, "body").ok()??;
    let first = found.text.split('.').next().unwrap_or_default();
    if WORDS.contains(&first) {
        let help = "`grants: [prompt]` under a strategy shows it the last user message".to_owned();
        reader.findings.problem(&found.at, "holds a part of the conversation, which is no attribute", Some(help));
        return None;
    }
    is_body_key(reader, &found, "such as user, or metadata.user_id for one in an object").then_some(found.text)
}

/// True when a text is a key of request bodies; else that is a problem.
pub(super) fn is_body_key(reader: &mut Reader<'_>, found: &Text, help: &str) -> bool {
    let legal = !found.text.split('.').any(str::is_empty);
    if !legal {
        reader.not(&found.at, "a key of request bodies", &found.shown, Some(help.to_owned()));
    }
    legal
}
