//! Random bits for strategies and request ids; not for secrets.
//!
//! SplitMix64 (Steele, Lea, Flood 2014) over an atomic counter: lock-free, uniform, and seeded from the system once.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A source of random bits.
#[derive(Debug)]
pub struct Entropy(AtomicU64);

impl Default for Entropy {
    fn default() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one("pointsman")))
    }
}

impl Entropy {
    /// A source of the same bits each time.
    pub fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// 64 uniform bits.
    pub fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 32 uniform bits.
    pub fn bits(&self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// A new request id.
    pub fn request_id(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bits = u128::from(self.next()) << 64 | u128::from(self.next());
        let digit = |at: u32| char::from(DIGITS[(bits >> (4 * at)) as usize & 15]);
        let mut id = String::with_capacity(36);
        id.push_str("req_");
        id.extend((0..32).rev().map(digit));
        id
    }
}
