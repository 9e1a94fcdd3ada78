//! The identity of a component: the SHA-256 of its bytes. Two files with the same digest are the same strategy.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of several texts, one after the other.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The digest of a value, computed through its `Hash`.
    pub fn of_value(value: &impl std::hash::Hash) -> Self {
        struct Feed(Sha256);
        impl std::hash::Hasher for Feed {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            /// Never called: the whole digest is used instead.
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut feed = Feed(Sha256::new());
        value.hash(&mut feed);
        Self(feed.0.finalize().into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 of its hexadecimal digits: enough to tell versions apart.
    pub fn short(&self) -> String {
        format!("{self:.12}")
    }
}

impl fmt::Display for Digest {
    /// All hexadecimal digits, or as many as the precision says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.pad(&hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_sha_256_of_the_parts_together() {
        // FIPS 180-4, example for "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of([&b"a"[..], b"bc"]).to_string(), expected);
        assert_eq!(Digest::of([&b"abc"[..]]).short(), "ba7816bf8f01");
    }
}
