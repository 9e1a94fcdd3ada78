//! Shares by what is left, requests that are too large for it, and labels that are none.

use super::*;
use pointsman_guest::testing::{Harness, fixture, play_fixtures};

/// Sets what is left of tokens.
fn leave(strategy: &mut Harness<TokensPerMinute>, left: &[(&str, u32)]) {
    for (target, left) in left {
        strategy.candidate(target).tokens_left = *left;
    }
}

#[test]
fn it_does_what_its_fixtures_say() {
    play_fixtures::<TokensPerMinute>("fixtures");
}

#[test]
fn requests_are_shared_by_weight_and_by_what_is_left() {
    let mut strategy = Harness::<TokensPerMinute>::new([("a", 1.0), ("b", 1.0), ("c", 2.0)]);
    leave(&mut strategy, &[("a", 250), ("b", 750), ("c", 500)]);
    strategy.assert_share("a", 0.125, 0.01, 1_000);
    leave(&mut strategy, &[("a", 1000), ("b", 20), ("c", 1000)]);
    strategy.assert_share("b", 0.0, 0.0, 1_000);
    assert_eq!(strategy.reason(), Some(ROOM));
}

#[test]
fn a_request_goes_where_it_fits() {
    let mut strategy = Harness::<TokensPerMinute>::new([
        fixture("small").label("tpm", "20000"),
        fixture("large").label("tpm", "900000"),
    ]);
    leave(&mut strategy, &[("small", 1000), ("large", 40)]);
    strategy.request.prompt_tokens = 30_000;
    assert_eq!(strategy.route(), ["large", "small"]);
    leave(&mut strategy, &[("small", 100), ("large", 20)]);
    assert_eq!((strategy.route().join(" "), strategy.reason()), ("small large".to_owned(), Some(SCARCE)));
}

#[test]
fn a_label_that_is_no_number_is_explained() {
    let target = fixture("a").label("tpm", "many");
    let error = Harness::<TokensPerMinute>::start([target], "{}").err().unwrap_or_default();
    assert_eq!(error, "target a: the label `tpm` must be a number, not `many`");
}
