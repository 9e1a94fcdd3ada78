//! Models as numbers, for tables that do not keep their names.

/// The most bytes of a model's name that count.
const MOST_NAME: usize = 256;

/// A model by the hash of its name. Two models with one hash would share their rate limits and refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelKey(u64);

impl ModelKey {
    /// No model.
    pub const NONE: Self = Self(0xCBF2_9CE4_8422_2325);

    /// The hash itself, for tables of numbers.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The key with this hash.
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }

    /// The key of a pair of keys.
    pub fn with(self, other: Self) -> Self {
        Self(self.0.rotate_left(23) ^ other.0.wrapping_mul(0x0100_0000_01B3))
    }

    /// FNV-1a: a few instructions for names of the usual length, on the way of every request.
    pub fn of(model: &str) -> Self {
        let bytes = model.as_bytes().iter().take(MOST_NAME);
        Self(bytes.fold(Self::NONE.0, |key, byte| (key ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)))
    }
}

#[cfg(test)]
impl ModelKey {
    /// A key for tests.
    pub const fn test(number: u64) -> Self {
        Self(number)
    }
}
