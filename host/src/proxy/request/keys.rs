//! Finds a key that an object has twice, in time and memory that a hostile body cannot blow up.

use std::borrow::Cow;
use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;

use super::scan::Scanner;
use super::text;

/// More keys than an ordinary request has; up to here nothing is allocated.
const FEW: usize = 32;

/// The keys of one object: of each the hash and the offset of its opening quote, 16 bytes however long it is.
///
/// The hash is a fast one. Nobody who does not know its seed can prepare keys that collide, and those that do are sorted, so
/// that even many of them cost little.
pub(super) struct Keys {
    hasher: RandomState,
    few: [(u64, usize); FEW],
    count: usize,
    many: Vec<(u64, usize)>,
}

impl Keys {
    /// No keys yet.
    pub(super) fn new() -> Self {
        Keys { hasher: RandomState::default(), few: [(0, 0); FEW], count: 0, many: Vec::new() }
    }

    /// Takes note of the unescaped `key`, whose opening quote is at the offset `at`.
    pub(super) fn note(&mut self, key: &[u8], at: usize) {
        let entry = (self.hasher.hash_one(key), at);
        if let Some(slot) = self.few.get_mut(self.count) {
            *slot = entry;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few);
            }
            self.many.push(entry);
        }
        self.count += 1;
    }

    /// The offset of the opening quote of a key that was there before, if any was.
    pub(super) fn repeated(&mut self, bytes: &[u8]) -> Option<usize> {
        let entries = if self.many.is_empty() { &mut self.few[..self.count] } else { &mut self.many[..] };
        entries.sort_unstable();
        let mut alike = entries.chunk_by(|one, other| one.0 == other.0).filter(|alike| alike.len() > 1);
        alike.find_map(|alike| {
            let mut alike: Vec<(Cow<'_, [u8]>, usize)> =
                alike.iter().filter_map(|&(_, at)| Some((key_at(bytes, at)?, at))).collect();
            alike.sort_unstable();
            let again = alike.windows(2).filter(|pair| pair[0].0 == pair[1].0);
            again.map(|pair| pair[1].1).min()
        })
    }
}

/// The unescaped key whose opening quote stands at the offset `at`.
pub(super) fn key_at(bytes: &[u8], at: usize) -> Option<Cow<'_, [u8]>> {
    let raw = Scanner::new(bytes, at).string().ok()?;
    Some(text::unescape(&bytes[raw]))
}
