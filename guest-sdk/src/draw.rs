//! Drawing by weight with a sequence that is more even than dice.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::bindings::pointsman::strategy::types as wit;
use crate::{Target, TargetIndex};

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

/// The number of places that are drawn; the rest keeps its order. Each draw uses up bits of the point, and for a
/// request that has failed at four providers proportions do not matter any more.
const DRAWN_PLACES: usize = 4;

/// Weights that are made ready for draws: once for many, if they do not change.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    each: Vec<f64>,
    /// Where the stretch of each ends, if there are more than [`FEW`].
    ends: Vec<f64>,
    total: f64,
    /// True when all are whole numbers, and so few that what is left of their sum is exact.
    are_whole: bool,
    /// The number of those above 0.
    drawable: usize,
}

/// So many weights are quicker to go through for each draw than to be laid out for searches.
const FEW: usize = 32;

impl Weights {
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = f64>) -> Self {
        let mut each: Vec<f64> = weights.map(usable).collect();
        let total: f64 = each.iter().sum();
        if total > 0.0 && !SUMMABLE.contains(&total) {
            // Relative to the largest, so that no sum overflows and no quotient does.
            let largest = each.iter().copied().fold(0.0, f64::max);
            each.iter_mut().for_each(|weight| *weight /= largest);
        }
        let drawable = each.iter().filter(|weight| **weight > 0.0).count();
        let ends = if each.len() > FEW { ends(&each) } else { Vec::new() };
        let total = each.iter().sum();
        let are_whole = total < MOST_WHOLE && each.iter().all(|weight| weight.fract() == 0.0);
        Self { total, are_whole, ends, drawable, each }
    }

    /// True when every place may be drawn.
    pub(crate) fn are_all_drawable(&self) -> bool {
        self.drawable == self.each.len()
    }

    /// Draws the first places from those that are left, in proportion to their weights, all with the one `point` in [0, 1).
    /// Where the point falls on a stretch of the interval is again evenly spread over that stretch, so it serves for the next
    /// draw.
    pub(crate) fn draw(&self, mut point: f64) -> Drawn {
        let mut drawn = Drawn::default();
        let wanted = self.drawable.min(DRAWN_PLACES);
        if self.each.len() <= FEW {
            let mut left = [0.0; FEW];
            let left = &mut left[..self.each.len()];
            left.copy_from_slice(&self.each);
            let mut total = self.total;
            while drawn.count < wanted
                && let Some((place, within)) = draw_of_few(left, total, point)
            {
                drawn.push(place);
                let weight = std::mem::take(&mut left[place]);
                point = within;
                // What is left of a sum from which nearly all is subtracted is mostly error, unless nothing was rounded.
                total = if self.are_whole { total - weight } else { left.iter().sum() };
            }
            return drawn;
        }
        let mut line = Line::of(Cow::Borrowed(&self.ends));
        while drawn.count < wanted
            && let Some((place, within)) = line.draw(point)
        {
            drawn.push(place);
            point = within;
            if line.is_nearly_empty() {
                let mut left = self.each.clone();
                drawn.places().iter().for_each(|place| left[*place] = 0.0);
                line = Line::of(Cow::Owned(ends(&left)));
            }
        }
        drawn
    }

    /// All places: those that are drawn with `point`, the others in their own order, those without weight last.
    pub(crate) fn order(&self, point: f64) -> Vec<usize> {
        let drawn = self.draw(point);
        let mut order = Vec::with_capacity(self.each.len());
        order.extend(drawn.places());
        let others = |order: &mut Vec<usize>, has_weight| {
            let others = self.each.iter().enumerate();
            let others = others.filter(|(place, weight)| (**weight > 0.0) == has_weight && !drawn.has(*place));
            order.extend(others.map(|(place, _)| place));
        };
        others(&mut order, true);
        if !self.are_all_drawable() {
            others(&mut order, false);
        }
        order
    }
}

/// The weights of all targets, and of that part of them which was offered last: which one that is seldom changes.
#[derive(Debug)]
pub(crate) struct Table {
    all: Weights,
    part: RefCell<(Vec<TargetIndex>, Weights)>,
}

impl Table {
    pub(crate) fn new(targets: &[Target]) -> Self {
        let weights = |targets: &[Target]| Weights::new(targets.iter().map(|target| target.weight));
        Self { all: weights(targets), part: RefCell::new((Vec::new(), weights(&[]))) }
    }

    /// Draws from the weights of the targets that are offered.
    pub(crate) fn of<R>(&self, targets: &[Target], offered: &[wit::Candidate], draw: impl FnOnce(&Weights) -> R) -> R {
        // As many as there are: these, in their order.
        if offered.len() == self.all.each.len() {
            return draw(&self.all);
        }
        let mut part = self.part.borrow_mut();
        let (known, weights) = &mut *part;
        if known.len() != offered.len() || known.iter().zip(offered).any(|(known, facts)| *known != facts.target) {
            *weights = Weights::new(offered.iter().map(|facts| targets[facts.target as usize].weight));
            known.clear();
            known.extend(offered.iter().map(|facts| facts.target));
        }
        draw(weights)
    }
}

/// The places that were drawn, first choice first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drawn {
    places: [usize; DRAWN_PLACES],
    count: usize,
}

impl Drawn {
    fn push(&mut self, place: usize) {
        self.places[self.count] = place;
        self.count += 1;
    }

    pub(crate) fn places(&self) -> &[usize] {
        &self.places[..self.count]
    }

    fn has(&self, place: usize) -> bool {
        self.places().contains(&place)
    }
}

/// Draws the weight on whose stretch `point`, a share of `left`, their sum, falls, and says where on it, again as a share.
/// Those that were drawn before are 0. `None` when none is left.
fn draw_of_few(weights: &[f64], left: f64, point: f64) -> Option<(usize, f64)> {
    let mut at = point * left;
    for (place, &weight) in weights.iter().enumerate() {
        // Never true of a weight of 0.
        if at < weight {
            return Some((place, (at / weight).clamp(0.0, BELOW_ONE)));
        }
        at -= weight;
    }
    // Rounding has moved it beyond the last.
    weights.iter().rposition(|weight| *weight > 0.0).map(|last| (last, BELOW_ONE))
}

/// The weights as stretches that are laid end to end, less those that were drawn meanwhile.
struct Line<'w> {
    /// The ends of the stretches.
    ends: Cow<'w, [f64]>,
    /// The stretches that were drawn, by position, and their number.
    drawn: [Stretch; DRAWN_PLACES],
    count: usize,
    /// The length of those that are left.
    left: f64,
}

#[derive(Clone, Copy, Default)]
struct Stretch {
    place: usize,
    start: f64,
    end: f64,
}

/// The weights that may be drawn as stretches, each of which begins where the one before ends.
fn ends(weights: &[f64]) -> Vec<f64> {
    let mut end = 0.0;
    let ends = weights.iter().map(|&weight| {
        if weight > 0.0 {
            end += weight;
        }
        end
    });
    ends.collect()
}

impl<'w> Line<'w> {
    fn of(ends: Cow<'w, [f64]>) -> Self {
        let left = ends.last().copied().unwrap_or_default();
        Self { ends, drawn: Default::default(), count: 0, left }
    }

    /// True when so little is left that rounding would distort its shares.
    fn is_nearly_empty(&self) -> bool {
        self.ends.last().is_some_and(|end| self.left < end * 1e-3)
    }

    /// Draws the stretch on which `point`, a share of what is left, falls, and says where on it, again as a share. At
    /// most [`DRAWN_PLACES`] times.
    fn draw(&mut self, point: f64) -> Option<(usize, f64)> {
        let mut at = point * self.left;
        let mut before = 0;
        for drawn in self.drawn() {
            if at < drawn.start {
                break;
            }
            at += drawn.end - drawn.start;
            before += 1;
        }
        let place = self.ends.partition_point(|end| *end <= at);
        let mut found = self.stretch(place);
        if found.is_none_or(|stretch| self.is_drawn(stretch)) {
            // Rounding has moved it onto one that is gone, or beyond the last: then its neighbour is taken.
            let mut others = (place..self.ends.len()).chain((0..place).rev());
            found = others.find_map(|place| self.stretch(place).filter(|stretch| !self.is_drawn(*stretch)));
            before =
                self.drawn().iter().filter(|drawn| found.is_some_and(|stretch| drawn.start < stretch.start)).count();
        }
        let stretch = found?;
        self.drawn[before..].rotate_right(1);
        self.drawn[before] = stretch;
        self.count += 1;
        let length = stretch.end - stretch.start;
        self.left -= length;
        Some((stretch.place, ((at - stretch.start) / length).clamp(0.0, BELOW_ONE)))
    }

    fn drawn(&self) -> &[Stretch] {
        &self.drawn[..self.count]
    }

    /// The stretch in a place that has one.
    fn stretch(&self, place: usize) -> Option<Stretch> {
        let end = *self.ends.get(place)?;
        let start = if place == 0 { 0.0 } else { self.ends[place - 1] };
        (end > start).then_some(Stretch { place, start, end })
    }

    fn is_drawn(&self, stretch: Stretch) -> bool {
        self.drawn().iter().any(|drawn| drawn.place == stretch.place)
    }
}

/// Sums of whole numbers below this are exact.
const MOST_WHOLE: f64 = (1_u64 << 53) as f64;

/// Weights that stay finite when many thousands of them are added up or divided by each other.
const SUMMABLE: std::ops::Range<f64> = 1e-100..1e100;

fn usable(weight: f64) -> f64 {
    if weight.is_finite() && weight > 0.0 { weight } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(weights: &[f64], point: f64) -> Vec<usize> {
        Weights::new(weights.iter().copied()).order(point)
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

    /// The definition, at a cost that grows with the square.
    fn drawn_one_by_one(weights: &[f64], mut point: f64) -> Vec<usize> {
        let mut rest: Vec<usize> = (0..weights.len()).collect();
        let mut order = Vec::new();
        while order.len() < DRAWN_PLACES && !rest.is_empty() {
            let mut left = point * rest.iter().map(|&place| weights[place]).sum::<f64>();
            let mut found = 0;
            while left >= weights[rest[found]] && found + 1 < rest.len() {
                left -= weights[rest[found]];
                found += 1;
            }
            point = (left / weights[rest[found]]).clamp(0.0, BELOW_ONE);
            order.push(rest.remove(found));
        }
        order.extend(rest);
        order
    }

    #[test]
    fn every_place_is_drawn_from_what_is_left_of_the_interval() {
        let many: Vec<f64> = (0..300_u32).map(|place| f64::from(place % 7 + 1)).collect();
        for weights in [&[1.0, 2.0, 3.0][..], &[1e6, 1.0, 2.0, 3.0, 1e-6, 1.0], &[0.5; 20], &[0.7, 0.2, 0.1], &many] {
            let agreed = (0..2_000_u32).filter(|&seq| {
                let point = golden_ratio_point(seq);
                drawn(weights, point)[..3] == drawn_one_by_one(weights, point)[..3]
            });
            // Rounding may decide otherwise at the border of a stretch.
            assert!(agreed.count() >= 1_995, "{weights:?}");
        }
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
