//! Weighted rendezvous hashing: each name scores for a key, the highest score wins.

/// The score of `name` for `key`: `-weight / ln(u)`, with `u` uniform in (0, 1) by hash. Of several names the chance to
/// score highest is proportional to the weight.
pub(crate) fn score(key: &[u8], name: &str, weight: f64) -> f64 {
    let hash = mix(fnv1a(fnv1a(FNV_OFFSET, key) ^ key.len() as u64, name.as_bytes()));
    // Half a step above 0, so that the logarithm is finite and never 0.
    let uniform = ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    weight / -uniform.ln()
}

const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;

/// FNV-1a, whose definition is short enough to be the same in every language that a replica may be written in.
fn fnv1a(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// The finaliser of SplitMix64: FNV's upper bits alone are too regular for short keys.
pub(crate) fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn winner(key: u32, names: &[(&'static str, f64)]) -> &'static str {
        let score = |(name, weight): &(&str, f64)| score(&key.to_le_bytes(), name, *weight);
        names.iter().max_by(|left, right| score(left).total_cmp(&score(right))).expect("names are given").0
    }

    #[test]
    fn keys_spread_by_weight() {
        let names = [("a", 1.0), ("b", 2.0), ("c", 5.0)];
        for (name, weight) in names {
            let won = (0..40_000).filter(|key| winner(*key, &names) == name).count();
            let share = won as f64 / 40_000.0;
            assert!((share - weight / 8.0).abs() < 0.01, "{name}: {share}");
        }
    }

    #[test]
    fn only_the_keys_of_the_one_that_leaves_move() {
        for key in 0..5_000 {
            let before = winner(key, &[("a", 1.0), ("b", 1.0), ("c", 3.0)]);
            let after = winner(key, &[("a", 1.0), ("b", 1.0)]);
            assert!(before == "c" || before == after);
        }
    }
}
