//! Randomness that is the same in a test and in a replay.

/// Dice that follow from [`Request::entropy`](crate::Request::entropy): `SplitMix64` (Steele, Lea and Flood, "Fast
/// Splittable Pseudorandom Number Generators", OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, each as likely as the others to within 2^-32; 0 if `bound` is.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number from 0 up to, but not including, 1.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Puts `items` into an order by chance, each order as likely as the others (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// One of `items`; none if there are none.
    pub fn pick<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        let place = self.below(items.len());
        items.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_each_time_and_another_others() {
        let throw = |seed| {
            let mut dice = Dice::new(seed);
            [dice.bits(), dice.bits()]
        };
        // The first outputs of the published algorithm for the seed 0.
        assert_eq!(throw(0), [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
        assert_ne!(throw(1), throw(2));
    }

    #[test]
    fn each_place_and_each_order_is_as_likely_as_the_others() {
        let (mut dice, mut places, mut orders) = (Dice::new(7), [0; 3], std::collections::BTreeMap::new());
        for _ in 0..6_000 {
            places[dice.below(3)] += 1;
            let mut order = [0, 1, 2];
            dice.shuffle(&mut order);
            *orders.entry(order).or_insert(0) += 1;
        }
        assert!(places.iter().all(|&count| (1_850..2_150).contains(&count)), "{places:?}");
        assert!(orders.len() == 6 && orders.values().all(|count| (850..1_150).contains(count)), "{orders:?}");
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&dice.uniform())));
        assert_eq!((dice.below(0), dice.below(1), dice.pick::<u8>(&[])), (0, 0, None));
    }
}
