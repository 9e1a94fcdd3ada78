//! A client's key as a text: `pm-<id>-<secret><check>`, and what the file holds of it, a digest.
//!
//! The check tells a mistyped key from an unknown one, and lets scanners for secrets find keys without false alarms. Any
//! other text may be a key as well, such as one that another proxy has given out.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::super::Secret;
use super::super::problem::{Place, Reported};
use super::super::read::{Reader, Section, Text};
use super::super::secret::{SecretKeys, secret_or_file};

/// The beginning of every key of ours.
const PREFIX: &str = "pm-";
/// The length of the public id: base 32 (RFC 4648) in lower case, 60 bits.
pub const ID_LENGTH: usize = 12;
/// The length of the secret part: base 62, 190 bits.
pub const SECRET_LENGTH: usize = 32;
/// The length of the checksum: CRC-32 in base 62.
const CHECK_LENGTH: usize = 6;

/// The digits of base 62.
pub const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The digits of base 32.
pub const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// SHA-256 of a whole key. Not shown by `Debug`: keys of other forms may be short enough to be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Digest {
    /// The form in the file: `sha256:` and 64 hexadecimal digits.
    pub fn written(&self) -> String {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// Reads that form; the prefix may be missing.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        let mut digest = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16);
            let &[high, low] = pair else { return None };
            *byte = u8::try_from(value(high)? << 4 | value(low)?).ok()?;
        }
        Some(Self(digest))
    }
}

/// The digest of a key.
pub fn digest_of(key: &[u8]) -> Digest {
    Digest(Sha256::digest(key).into())
}

/// What a text is, by its form alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm<'k> {
    /// A key of ours, whose id is public.
    Ours(&'k str),
    /// It has the form of a key of ours, but its checksum is wrong.
    Damaged,
    /// Anything else.
    Foreign,
}

/// The form of a text.
pub fn form_of(text: &[u8]) -> KeyForm<'_> {
    let Some(rest) = text.strip_prefix(PREFIX.as_bytes()) else { return KeyForm::Foreign };
    let parts: Vec<&[u8]> = rest.splitn(4, |byte| *byte == b'-').collect();
    let &[id, secret, check] = parts.as_slice() else { return KeyForm::Foreign };
    let is = |text: &[u8], length, digits: &[u8]| text.len() == length && text.iter().all(|byte| digits.contains(byte));
    let shaped = is(id, ID_LENGTH, BASE32) && is(secret, SECRET_LENGTH, BASE62) && is(check, CHECK_LENGTH, BASE62);
    let (true, Ok(id)) = (shaped, str::from_utf8(id)) else { return KeyForm::Foreign };
    let covered = text.len() - CHECK_LENGTH - 1;
    let sound = text.get(..covered).is_some_and(|covered| checksum(covered).as_bytes() == check);
    if sound { KeyForm::Ours(id) } else { KeyForm::Damaged }
}

/// The check of the text before it.
pub fn checksum(covered: &[u8]) -> String {
    let mut rest = crc32fast::hash(covered);
    let mut digits = [b'0'; CHECK_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// The text of a key with this id and secret.
pub fn compose(id: &str, secret: &str) -> Secret {
    let covered = format!("{PREFIX}{id}-{secret}");
    let check = checksum(covered.as_bytes());
    Secret::new(format!("{covered}-{check}"))
}

/// The digest of the key that an entry names in one of three ways.
pub(super) fn digest(reader: &mut Reader<'_>, entry: &Section<'_>) -> Result<Digest, Reported> {
    let given = ["hash", "key", "key_file"].map(|key| entry.get(key).is_some());
    let number = given.iter().filter(|given| **given).count();
    if number != 1 {
        let at = entry.at.clone();
        let message = match number {
            0 => "needs `hash`, `key` or `key_file`",
            _ => "has more than one of `hash`, `key` and `key_file`",
        };
        let help = match number {
            0 => "`pointsman key new` makes a key, and prints the hash to write here",
            _ => "leave out the others",
        };
        return Err(reader.findings.problem(&at, message, Some(help.to_owned())));
    }
    if let Some((at, node)) = entry.get("hash") {
        let Text { at, text, .. } = reader.text_at(node, at, true)?;
        return Digest::parse(&text).ok_or_else(|| not_a_hash(reader, &at, &text));
    }
    let keys = SecretKeys { text: "key", file: "key_file", empty: None };
    let secret = secret_or_file(reader, entry, &keys)?;
    if form_of(secret.reveal().as_bytes()) == KeyForm::Damaged {
        let key = if entry.get("key").is_some() { "key" } else { "key_file" };
        let help = "a character of the key was changed or lost on the way here".to_owned();
        return Err(reader.findings.problem(&entry.place(key), "has a checksum that is wrong", Some(help)));
    }
    Ok(digest_of(secret.reveal().as_bytes()))
}

fn not_a_hash(reader: &mut Reader<'_>, at: &Place, text: &str) -> Reported {
    let help = match form_of(text.as_bytes()) {
        KeyForm::Foreign => "`pointsman key hash` makes it from a key",
        KeyForm::Ours(_) | KeyForm::Damaged => "this is the key itself: write it under `key`, or its hash here",
    };
    let message = "must be `sha256:` and 64 hexadecimal digits";
    reader.findings.problem(at, message, Some(help.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdefgh2345";

    #[test]
    fn a_key_of_ours_has_an_id_and_a_check() {
        let key = compose(ID, &"Z9a0".repeat(8));
        let text = key.reveal();
        assert_eq!(text.len(), 55, "with its padding, it is one block of SHA-256");
        assert_eq!(form_of(text.as_bytes()), KeyForm::Ours(ID));
        for at in 3..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'b' { b'c' } else { b'b' };
            assert_ne!(form_of(&other), KeyForm::Ours(ID), "{at}");
        }
        let swapped = text.replace("Z9", "9Z");
        assert_eq!(form_of(swapped.as_bytes()), KeyForm::Damaged);
    }

    #[test]
    fn other_texts_are_foreign() {
        for text in ["", "pm-", "pm---", "sk-1234", "pm-abc-def-ghi", "PM-abcdefgh2345-a-b", "pm-a-b-c-d", "pm-\u{fc}"]
        {
            assert_eq!(form_of(text.as_bytes()), KeyForm::Foreign, "{text}");
        }
        let long = format!("{}-x", compose(ID, &"a".repeat(32)).reveal());
        assert_eq!(form_of(long.as_bytes()), KeyForm::Foreign);
    }

    #[test]
    fn a_digest_is_read_as_it_is_written_and_never_shown() {
        let digest = digest_of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.written(), text);
        assert_eq!(Digest::parse(text), Some(digest));
        assert_eq!(Digest::parse(&text.to_uppercase().replace("SHA256:", "")), Some(digest));
        for wrong in ["", "sha256:", "sha256:ba78", "md5:ba78", &format!("{text}0"), &text.replace('b', "x")] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{digest:?}"), "***");
    }
}
