//! Estimates of the tokens that a request will take, learned from earlier requests.
//!
//! Both tables are of a fixed size, so that no client can fill the memory: two keys that fall on one place take turns.
//! A place is one atomic number: its upper half holds the upper half of the key's bits, its lower half the value.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The places of a table; a power of two.
const PLACES: usize = 4096;

/// The ratio of tokens to the guess of one token for four bytes, in units of 1/4096, before anything is learned: one token
/// for 3.5 bytes.
const RATIO: u32 = 4681;
/// The bounds of that ratio: in a script without spaces a token has a byte or two, in a prompt of spaces it has dozens.
const RATIOS: std::ops::RangeInclusive<u32> = 256..=65_536;
/// The tokens of an answer, before anything is learned.
const ANSWER: u32 = 512;

/// The tables of learned estimates.
#[derive(Debug)]
pub struct Estimates {
    ratios: Table,
    answers: Table,
}

impl Default for Estimates {
    fn default() -> Self {
        Self { ratios: Table::new(), answers: Table::new() }
    }
}

impl Estimates {
    /// The estimated tokens of a text for a model; `guess` is the number of its bytes divided by four.
    pub fn prompt(&self, model: u64, guess: u64) -> u64 {
        let ratio = u64::from(self.ratios.get(model).unwrap_or(RATIO));
        guess.saturating_mul(ratio).div_ceil(4096)
    }

    /// Learns that a prompt with this guess had `tokens` tokens.
    pub fn learn_prompt(&self, model: u64, guess: u64, tokens: u64) {
        // In a prompt of a few words, the tokens that the endpoint adds would dominate.
        if guess < 16 || tokens == 0 {
            return;
        }
        let seen = tokens.saturating_mul(4096) / guess;
        let seen = u32::try_from(seen).unwrap_or(u32::MAX).clamp(*RATIOS.start(), *RATIOS.end());
        let before = self.ratios.get(model).unwrap_or(RATIO);
        self.ratios.set(model, before - before / 8 + seen / 8);
    }

    /// The number of tokens that nine of ten answers do not exceed.
    pub fn answer(&self, key: u64) -> u64 {
        self.answers.get(key).unwrap_or(ANSWER).into()
    }

    /// Learns that an answer had so many tokens. One that is longer moves the estimate up nine times as far as one that
    /// is shorter moves it down, so that it stays where nine of ten are shorter.
    pub fn learn_answer(&self, key: u64, tokens: u64) {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let before = self.answers.get(key).unwrap_or(ANSWER);
        let step = (before / 32).max(1);
        let after = if tokens > before {
            before.saturating_add(step.saturating_mul(9))
        } else {
            before.saturating_sub(step).max(tokens)
        };
        if after != before {
            self.answers.set(key, after);
        }
    }
}

#[derive(Debug)]
struct Table(Box<[AtomicU64]>);

impl Table {
    fn new() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(PLACES).collect())
    }

    fn place(&self, key: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(key & (PLACES as u64 - 1)).ok()?)
    }

    fn get(&self, key: u64) -> Option<u32> {
        let place = self.place(key)?.load(Relaxed);
        // The lower half is at most `u32::MAX`; nothing learned is 0.
        (place != 0 && place >> 32 == key >> 32).then_some(u32::try_from(place & u64::from(u32::MAX)).ok()?)
    }

    fn set(&self, key: u64, value: u32) {
        if let Some(place) = self.place(key) {
            place.store((key >> 32 << 32) | u64::from(value), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u64 = 0x1234_5678_9ABC_DEF0;

    #[test]
    fn before_anything_is_known_a_token_has_three_and_a_half_bytes_and_an_answer_512_tokens() {
        let estimates = Estimates::default();
        assert_eq!(estimates.prompt(KEY, 3500 / 4), 1000);
        assert_eq!(estimates.prompt(KEY, 0), 0);
        assert_eq!(estimates.answer(KEY), 512);
    }

    #[test]
    fn the_ratio_of_a_model_is_learned_and_is_no_other_models() {
        let estimates = Estimates::default();
        for _ in 0..60 {
            estimates.learn_prompt(KEY, 1000, 500);
        }
        let learned = estimates.prompt(KEY, 1000);
        assert!((495..=510).contains(&learned), "{learned}");
        assert_eq!(estimates.prompt(KEY + 1, 1000), 1143);
        assert_eq!(estimates.prompt(KEY ^ (1 << 40), 1000), 1143, "another one in the same place");
    }

    #[test]
    fn nonsense_teaches_little() {
        let estimates = Estimates::default();
        estimates.learn_prompt(KEY, 1000, 0);
        estimates.learn_prompt(KEY, 3, 900);
        assert_eq!(estimates.prompt(KEY, 1000), 1143);
        for _ in 0..100 {
            estimates.learn_prompt(KEY, 1000, u64::MAX / 5000);
        }
        assert!(estimates.prompt(KEY, 1000) <= 16_000);
    }

    #[test]
    fn nine_of_ten_answers_are_no_longer_than_the_estimate() {
        let estimates = Estimates::default();
        let mut state = 1_u64;
        let mut longer = 0;
        for round in 0..20_000 {
            // Uniform from 0 to 999, so that the 90th percentile is 900.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let tokens = (state >> 33) % 1000;
            if round >= 10_000 {
                longer += u32::from(tokens > estimates.answer(KEY));
            }
            estimates.learn_answer(KEY, tokens);
        }
        assert!((500..1500).contains(&longer), "{longer} of 10,000 answers were longer");
    }

    #[test]
    fn short_answers_bring_the_estimate_down() {
        let estimates = Estimates::default();
        for _ in 0..200 {
            estimates.learn_answer(KEY, 10);
        }
        assert_eq!(estimates.answer(KEY), 10);
        estimates.learn_answer(KEY, 4000);
        assert_eq!(estimates.answer(KEY), 19);
    }
}
