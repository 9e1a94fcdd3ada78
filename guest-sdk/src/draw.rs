//! Drawing by weight with a sequence that is more even than dice.

/// The largest `f64` below 1.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

/// The `seq`-th point of the golden-ratio sequence in [0, 1): the fractional part of `seq / φ`, in 64-bit fixed point.
/// Of all sequences of this kind it leaves the smallest gaps (Knuth, The Art of Computer Programming 3, section 6.4).
/// Half a step of offset keeps the first point away from 0, the border of the first stretch.
pub(crate) fn golden_ratio_point(seq: u32) -> f64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let point = u64::from(seq).wrapping_mul(STEP).wrapping_add(STEP / 2);
    // The upper 53 bits are what an f64 holds exactly; all 64 could round up to 1.
    (point >> 11) as f64 / (1_u64 << 53) as f64
}

/// Places that are drawn. After about a dozen the point has no bits left to draw with, and a request that has failed at
/// eight providers has other worries than proportion.
const DRAWN_PLACES: usize = 8;

/// Orders `weighted` by drawing the first places from those that are left, in proportion to their weights, all with the
/// one `point` in [0, 1); the others follow in their own order, those without weight last. Where the point falls on a
/// stretch of the interval is again evenly spread over that stretch, so it serves for the next draw; each draw costs it
/// as many bits as the draw decides.
pub(crate) fn without_replacement<T>(mut weighted: Vec<(f64, T)>, mut point: f64) -> impl Iterator<Item = T> {
    let mut largest = 0.0;
    for (weight, _) in &mut weighted {
        *weight = usable(*weight);
        largest = f64::max(largest, *weight);
    }
    if largest > 0.0 && !SUMMABLE.contains(&largest) {
        // Relative to the largest, so that no sum overflows and no quotient does.
        for (weight, _) in &mut weighted {
            *weight /= largest;
        }
    }
    for place in 0..weighted.len().min(DRAWN_PLACES) {
        let rest = &mut weighted[place..];
        let total: f64 = rest.iter().map(|(weight, _)| weight).sum();
        if total <= 0.0 {
            break;
        }
        let mut left = point * total;
        let (mut drawn, mut before) = (0, left);
        for (index, (weight, _)) in rest.iter().enumerate() {
            if *weight > 0.0 {
                // Also what remains if rounding leaves the point beyond the last stretch.
                (drawn, before) = (index, left);
                if left < *weight {
                    break;
                }
                left -= weight;
            }
        }
        point = (before / rest[drawn].0).clamp(0.0, BELOW_ONE);
        // Moves the drawn one forward and keeps the others in their order.
        rest[..=drawn].rotate_right(1);
    }
    let undrawn = weighted.get(DRAWN_PLACES..).unwrap_or_default();
    if undrawn.iter().any(|(weight, _)| *weight <= 0.0) {
        // Not sorted: there are but two places to go, and the code of a stable sort is larger than a strategy.
        let (some, none): (Vec<_>, Vec<_>) = weighted.drain(DRAWN_PLACES..).partition(|(weight, _)| *weight > 0.0);
        weighted.extend(some.into_iter().chain(none));
    }
    weighted.into_iter().map(|(_, item)| item)
}

/// Weights of which many thousands can be added up and divided by each other.
const SUMMABLE: std::ops::Range<f64> = 1e-100..1e100;

fn usable(weight: f64) -> f64 {
    if weight.is_finite() && weight > 0.0 { weight } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(weights: &[f64], point: f64) -> Vec<usize> {
        without_replacement(weights.iter().copied().zip(0..).collect(), point).collect()
    }

    #[test]
    fn every_draw_is_a_permutation_whatever_the_weights() {
        let odd = [1e-9, 1e9, f64::MAX, f64::MIN_POSITIVE, 0.0, -1.0, f64::NAN, f64::INFINITY, 5e-324, 1.0];
        for seq in 0..2_000_u32 {
            let point = golden_ratio_point(seq.wrapping_mul(2_654_435_761));
            for len in 0..=odd.len() {
                let mut order = drawn(&odd[..len], point);
                order.sort_unstable();
                assert_eq!(order, (0..len).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_ends_of_the_interval_stay_in_range() {
        for point in [0.0, BELOW_ONE] {
            let mut order = drawn(&[0.1; 40], point);
            order.sort_unstable();
            assert_eq!(order, (0..40).collect::<Vec<_>>());
        }
        assert_eq!(drawn(&[0.3, 0.3, 0.4], 0.0)[0], 0);
        assert_eq!(drawn(&[0.3, 0.3, 0.4], BELOW_ONE)[0], 2);
    }

    #[test]
    fn what_has_no_weight_comes_last_in_its_own_order() {
        assert_eq!(drawn(&[0.0, 1.0, f64::NAN, 1.0], 0.9), [3, 1, 0, 2]);
        assert_eq!(drawn(&[0.0, -1.0], 0.5), [0, 1]);
        let mut many = [1.0; 12];
        (many[8], many[10]) = (0.0, -1.0);
        assert_eq!(drawn(&many, 0.0)[8..], [9, 11, 8, 10]);
    }
}
