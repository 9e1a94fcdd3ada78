//! Secrets in the file: a text, a variable, or the content of another file. No problem ever shows one.

use super::Secret;
use super::key;
use super::node::Node;
use super::problem::{Place, Reported};
use super::read::{Reader, Section, Text, content};

/// The two keys under which a section may name a secret.
pub(super) struct SecretKeys {
    /// For the secret itself.
    pub text: &'static str,
    /// For the path of a file that holds it.
    pub file: &'static str,
    /// The help text for an empty secret.
    pub empty: Option<&'static str>,
}

/// A secret, or the content of the file that is named instead.
pub(super) fn secret_or_file(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    keys: &SecretKeys,
) -> Result<Secret, Reported> {
    let SecretKeys { text: key, file: file_key, empty } = *keys;
    let Some(found) = reader.text(section, file_key)? else {
        return match section.get(key) {
            Some((at, node)) => secret(reader, node, at, empty),
            None => {
                let help = format!("or `{file_key}`, the path of a file that holds it");
                Err(reader.findings.problem(&section.place(key), "is required", Some(help)))
            }
        };
    };
    if section.get(key).is_some() {
        let help = "leave out one of them".to_owned();
        return Err(reader.findings.problem(&found.at, format!("stands beside `{key}`"), Some(help)));
    }
    if found.text.is_empty() {
        return Err(reader.findings.problem(&found.at, "must not be empty", None));
    }
    let file = reader.findings.names(&found.text);
    let wrong = match content(&file) {
        Ok(Some(text)) => {
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            // A file may hold whatever a variable may.
            return sendable(reader, Text { text, written: false, stray: false, ..found }, Some("the file is empty"));
        }
        Ok(None) => format!("there is no file {}", file.display()),
        Err(why) => format!("the file {} cannot be read: {why}", file.display()),
    };
    let help = found.text.starts_with('~').then(|| "`~` is not expanded here; write ${HOME}".to_owned());
    Err(reader.findings.problem(&found.at, wrong, help))
}

/// A key that can be sent in a header. No problem shows it; `empty` is the help text for an empty key.
pub(super) fn secret(reader: &mut Reader<'_>, node: &Node, at: Place, empty: Option<&str>) -> Result<Secret, Reported> {
    let found = reader.text_at(node, at, true)?;
    sendable(reader, found, empty)
}

/// As [`secret`], for a text that has been read already.
fn sendable(reader: &mut Reader<'_>, found: Text, empty: Option<&str>) -> Result<Secret, Reported> {
    let Text { at, text, written, stray, .. } = found;
    let (message, help) = if text.is_empty() {
        ("must not be empty", empty.map(str::to_owned))
    } else if text.trim() != text {
        let help = "it may have been read from a file with a trailing newline";
        ("must not begin or end with white space", Some(help.to_owned()))
    } else if !text.chars().all(|c| (' '..='~').contains(&c)) {
        let help = "the keys of every provider do; this one may have been damaged by copy and paste";
        ("must consist of printable ASCII characters", Some(help.to_owned()))
    } else if let Some(mistake) = key::mistake(&text, written) {
        (mistake.message, Some(mistake.help))
    } else if stray {
        let help = "a reference has the form ${NAME} or ${NAME:-default}; put a key that contains `${` into a variable";
        ("holds a `${` that is no reference to a variable", Some(help.to_owned()))
    } else {
        return Ok(Secret::new(text));
    };
    Err(reader.findings.problem(&at, message, help))
}
