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
        let mut id = *b"req_00000000000000000000000000000000";
        for digits in id[4..].chunks_exact_mut(16) {
            let mut bits = self.next();
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS[bits as usize & 15];
                bits >>= 4;
            }
        }
        String::from_utf8_lossy(&id).into_owned()
    }
}
