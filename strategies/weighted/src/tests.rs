//! The promises of proportion, for weights usual and odd.

use std::collections::BTreeMap;

use super::*;
use pointsman_guest::testing::{Harness, play_fixtures};

/// As operators write them, and as they should not.
const WEIGHTS: [&[f64]; 9] = [
    &[1.0],
    &[1.0, 1.0],
    &[0.7, 0.3],
    &[1.0, 1.0, 1.0],
    &[5.0, 1.0, 1.0],
    &[0.5, 0.3, 0.2],
    &[0.05, 0.9, 0.05],
    &[10.0, 7.0, 5.0, 3.0, 2.0, 1.0],
    &[1e9, 1e-9, 1.0, 1e9],
];

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn harness(weights: &[f64]) -> Harness<Weighted> {
    Harness::new(NAMES.into_iter().zip(weights.iter().copied()))
}

fn shares(weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

#[test]
fn it_does_what_its_fixtures_say() {
    play_fixtures::<Weighted>("fixtures");
}

#[test]
fn every_prefix_of_the_traffic_is_close_to_the_weights() {
    for weights in WEIGHTS {
        let mut strategy = harness(weights);
        let mut counts = [0.0; NAMES.len()];
        let mut worst: f64 = 0.0;
        for n in 1..=10_000 {
            let order = strategy.route();
            counts[NAMES.iter().position(|name| *name == order[0]).unwrap()] += 1.0;
            for (count, share) in counts.iter().zip(shares(weights)) {
                worst = worst.max((count - f64::from(n) * share).abs());
            }
        }
        assert!(worst < 3.5, "{weights:?}: off by {worst}");
    }
}

#[test]
fn ten_thousand_requests_are_within_one_percent_of_the_weights() {
    for weights in WEIGHTS {
        let counted = harness(weights).shares(10_000);
        for (name, share) in NAMES.into_iter().zip(shares(weights)) {
            let actual = counted.get(name).copied().unwrap_or(0.0);
            // One request more or less is what the smallest shares may differ by.
            assert!((actual - share).abs() <= share * 0.01 + 1e-4, "{weights:?}: {name} has {actual}, not {share}");
        }
    }
}

#[test]
fn the_second_place_is_proportional_among_the_rest() {
    for weights in WEIGHTS {
        let mut strategy = harness(weights);
        let mut counts = BTreeMap::<_, BTreeMap<_, f64>>::new();
        for _ in 0..20_000 {
            let mut order = strategy.route().into_iter();
            if let (Some(first), Some(second)) = (order.next(), order.next()) {
                *counts.entry(first).or_default().entry(second).or_default() += 1.0;
            }
        }
        let weight_of = |name: &str| weights[NAMES.iter().position(|known| *known == name).unwrap()];
        for (first, seconds) in counts {
            let led: f64 = seconds.values().sum();
            let rest = || NAMES.into_iter().take(weights.len()).filter(|name| *name != first);
            let total: f64 = rest().map(weight_of).sum();
            for second in rest() {
                let expected = led * weight_of(second) / total;
                let actual = seconds.get(second).copied().unwrap_or(0.0);
                assert!(
                    (actual - expected).abs() < 5.0,
                    "{weights:?}: {first}, then {second}: {actual}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_offered_leaves_its_share_to_the_rest() {
    let mut strategy = harness(&[5.0, 3.0, 1.0]);
    strategy.offer(["b", "c"]);
    strategy.assert_share("b", 0.75, 0.005, 1_000);
    strategy.offer(["c"]);
    assert_eq!(strategy.route(), ["c"]);
}

#[test]
fn the_proportion_holds_where_the_count_wraps() {
    let mut strategy = harness(&[0.7, 0.3]);
    strategy.request.seq = u32::MAX - 500;
    strategy.assert_share("a", 0.7, 0.01, 1_000);
}
