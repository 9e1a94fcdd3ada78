//! The random numbers of a simulation, from a seed.

use crate::proxy::entropy::Entropy;

/// A source of random numbers.
#[derive(Debug)]
pub struct Dice(Entropy);

impl Dice {
    /// A source that gives the same numbers each time; `stream` distinguishes sources with the same seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let dice = Entropy::seeded(seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        // Neighbouring seeds give neighbouring states, so they are mixed first.
        Self(Entropy::seeded(dice.next()))
    }

    /// Uniform in (0, 1).
    pub fn uniform(&self) -> f64 {
        ((self.0.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Uniform in 0 to `count` - 1.
    pub fn below(&self, count: u32) -> u32 {
        ((u64::from(count) * (self.0.next() >> 32)) >> 32) as u32
    }

    /// True with the given probability.
    pub fn happens(&self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// The time to the next event of a Poisson process with `rate` events per second.
    pub fn pause(&self, rate: f64) -> f64 {
        -self.uniform().ln() / rate
    }

    /// Log-normal, given by its median and its 95th percentile.
    pub fn spread(&self, median: f64, p95: f64) -> f64 {
        // The 95th percentile of the standard normal distribution.
        const Z95: f64 = 1.644_853_626_951_472_2;
        if p95 <= median {
            return median;
        }
        median * (self.normal() * (p95 / median).ln() / Z95).exp()
    }

    /// Standard normal (Box and Muller 1958).
    fn normal(&self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_median_and_the_percentile_that_were_asked_for() {
        let dice = Dice::new(1, 0);
        let mut drawn: Vec<f64> = (0..100_000).map(|_| dice.spread(200.0, 900.0)).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((drawn[50_000] - 200.0).abs() < 5.0 && (drawn[95_000] - 900.0).abs() < 25.0);
    }

    #[test]
    fn pauses_add_up_to_the_rate() {
        let dice = Dice::new(2, 0);
        let total: f64 = (0..100_000).map(|_| dice.pause(50.0)).sum();
        assert!((total - 2000.0).abs() < 30.0, "{total}");
    }

    #[test]
    fn streams_of_one_seed_differ_and_the_same_one_does_not() {
        let first = |seed, stream| Dice::new(seed, stream).uniform();
        assert_eq!(first(7, 1).to_bits(), first(7, 1).to_bits());
        assert_ne!(first(7, 1).to_bits(), first(7, 2).to_bits());
        assert_ne!(first(7, 1).to_bits(), first(8, 1).to_bits());
    }
}
