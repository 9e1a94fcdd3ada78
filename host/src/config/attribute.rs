//! `routing.attributes`: the headers and keys of the body that strategies can read, each under a name of its own.
//!
//! Strategies never get keys or prompts this way: headers that carry a credential are refused, and so are the parts of
//! a body that hold the conversation.

use http::HeaderName;

use super::check::SECRET_HEADERS;
use super::provider::RESERVED_HEADERS;
use super::read::{Reader, Section, Text};
use super::schema::ATTRIBUTE;

/// Every request is searched for each attribute, so there is a limit.
const MAX_ATTRIBUTES: usize = 16;

const MAX_NAME: usize = 64;

/// The parts of a body that hold what people wrote, by endpoint: chat, completions, embeddings and responses, messages.
const WORDS: [&str; 6] = ["input", "instructions", "messages", "prompt", "suffix", "system"];

/// One named part of a request that strategies can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// At most 64 lower case letters, digits, `_` and `-`.
    pub name: String,
    /// The part of the request that holds its value.
    pub source: AttributeSource,
}

/// The part of a request that holds the value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeSource {
    /// A header of the request, which carries no credential.
    Header(HeaderName),
    /// A key of the body; dots lead into objects, and no part is empty.
    Body(String),
}

impl Attribute {
    /// The header that holds its value, if one does.
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.source {
            AttributeSource::Header(header) => Some(header),
            AttributeSource::Body(_) => None,
        }
    }
}

/// The attributes, in the order of the file.
pub(super) fn attributes(reader: &mut Reader<'_>, routing: &Section<'_>) -> Vec<Attribute> {
    let section = reader.section(routing, "attributes", None);
    let mut attributes = Vec::new();
    for (index, (at, name, node)) in section.entries().enumerate() {
        if index == MAX_ATTRIBUTES {
            reader.findings.problem(
                &at,
                format!("is one too many: at most {MAX_ATTRIBUTES} attributes are allowed"),
                None,
            );
        }
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(legal) {
            let help = "such as tenant or user_id: lower case letters, digits, `_` and `-`, 64 at most".to_owned();
            reader.findings.problem(&at, "is not a legal name for an attribute", Some(help));
        }
        let Ok(section) = reader.mapping(Some(node), at.clone(), Some(ATTRIBUTE)) else { continue };
        let header = header(reader, &section, "such as x-tenant").map(AttributeSource::Header);
        let body = body(reader, &section).map(AttributeSource::Body);
        if section.get("header").is_some() == section.get("body").is_some() {
            let help = "such as {header: x-tenant} or {body: metadata.user_id}".to_owned();
            reader.findings.problem(&at, "must name either a `header` or a key of the `body`", Some(help));
        }
        attributes.extend(header.or(body).map(|source| Attribute { name: name.to_owned(), source }));
    }
    attributes
}

/// The value of `header`: a header that strategies may see.
pub(super) fn header(reader: &mut Reader<'_>, section: &Section<'_>, help: &str) -> Option<HeaderName> {
    let found = reader.text(section, "header").ok()??;
    let wrong = match HeaderName::from_bytes(found.text.as_bytes()) {
        Err(_) => "is not a legal header name",
        Ok(name) if SECRET_HEADERS.contains(&name.as_str()) || name == "proxy-authorization" => {
            "carries a secret, and strategies must not see secrets"
        }
        Ok(name) if RESERVED_HEADERS.contains(&name.as_str()) => "is a header that belongs to the connection",
        Ok(name) => return Some(name),
    };
    reader.findings.problem(&found.at, wrong, Some(help.to_owned()));
    None
}

/// The value of `body`: a key that strategies may see.
fn body(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<String> {
    let found = reader.text(section, "body").ok()??;
    let first = found.text.split('.').next().unwrap_or_default();
    if WORDS.contains(&first) {
        let help = "`grants: [prompt]` under a strategy shows it the last user message".to_owned();
        reader.findings.problem(
            &found.at,
            "holds a part of the conversation, which cannot be an attribute",
            Some(help),
        );
        return None;
    }
    is_body_key(reader, &found, "such as user, or metadata.user_id for one in an object").then_some(found.text)
}

/// True when a text is a key of request bodies; otherwise a problem is reported.
pub(super) fn is_body_key(reader: &mut Reader<'_>, found: &Text, help: &str) -> bool {
    let legal = !found.text.split('.').any(str::is_empty);
    if !legal {
        reader.not(&found.at, "a key of request bodies", &found.shown, Some(help.to_owned()));
    }
    legal
}
