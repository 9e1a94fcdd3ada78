//! The laws of reservations, by a clock that stands where the test puts it.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Book, Owner, Unit};
use super::*;
use crate::config::{Config, Limits, parse};

/// Limits as a configuration has them.
fn limits(text: &str) -> Limits {
    let text =
        format!("providers: [{{name: a, base_url: 'http://a', api_key: k}}]\nroutes: [{{models: ['*'], {text}}}]");
    let Config { mut routes, .. } = parse(&text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).unwrap();
    routes.remove(0).limits
}

fn route(name: &str) -> Owner {
    Owner::Route(name.into())
}

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1_000_000_000)
}

fn one(tokens: u64) -> Cost {
    Cost { requests: 1, tokens, named_tokens: 0, nano: tokens * 1000, parallel: true }
}

fn left(account: &Account, now: Moment) -> [Option<u64>; 3] {
    let of = |unit| account.meters().iter().filter(move |meter| meter.unit == unit).map(|meter| meter.remaining(now));
    [Unit::Requests, Unit::Tokens, Unit::Money].map(|unit| of(unit).min())
}

const ALL: &str = "limits: {rpm: 10, tpm: 1000, parallel: 3}, budget: {usd: 0.002, per: day}";

#[test]
fn a_request_takes_from_every_limit_and_settles_to_what_it_was() {
    let account = Book::default().account(route("a"), &limits(ALL));
    let taken = Reservation::take([Some(&account), None, None, None], one(300), at(100)).unwrap();
    assert_eq!(left(&account, at(100)), [Some(9), Some(700), Some(1_700_000)]);
    assert_eq!(account.parallel(), Some((3, 1)));
    taken.settle(Charge { tokens: 450, nano: 400_000 }, at(100));
    assert_eq!(left(&account, at(100)), [Some(9), Some(550), Some(1_600_000)]);
    assert_eq!(account.parallel(), Some((3, 0)));
}

#[test]
fn one_that_is_dropped_gives_everything_back() {
    let account = Book::default().account(route("a"), &limits(ALL));
    let before = left(&account, at(100));
    drop(Reservation::take([Some(&account), None, None, None], one(300), at(100)).unwrap());
    assert_eq!((left(&account, at(100)), account.parallel()), (before, Some((3, 0))));
}

#[test]
fn a_limit_that_refuses_leaves_the_others_as_they_were() {
    let book = Book::default();
    let wide = book.account(route("wide"), &limits(ALL));
    let narrow = book.account(route("narrow"), &limits("limits: {tpm: 500}"));
    let both = [Some(&wide), None, Some(&narrow), None];
    let first = Reservation::take(both, one(400), at(100)).unwrap();
    let before = (left(&wide, at(100)), left(&narrow, at(100)), wide.parallel());
    let refusal = Reservation::take(both, one(200), at(100)).unwrap_err();
    assert_eq!((left(&wide, at(100)), left(&narrow, at(100)), wide.parallel()), before);
    assert_eq!((refusal.owner, refusal.unit, &*refusal.name), (route("narrow"), Unit::Tokens, "tpm"));
    assert_eq!((refusal.limit, refusal.remaining, refusal.asked), (500, 100, 200));
    // Less than a microsecond is lost to rounding.
    let Until::Wait(wait) = refusal.until else { panic!("it comes back") };
    assert!(wait <= Duration::from_secs(12) && wait + Duration::from_micros(1) > Duration::from_secs(12), "{wait:?}");
    drop(first);
}

#[test]
fn what_is_named_beyond_the_limit_never_passes_and_a_guess_is_cut_to_it() {
    let account = Book::default().account(route("a"), &limits("limits: {tpm: 100}"));
    let accounts = [Some(&account), None, None, None];
    let refusal = Reservation::take(accounts, Cost { tokens: 101, named_tokens: 101, ..one(0) }, at(0)).unwrap_err();
    assert_eq!(refusal.until, Until::Never);
    let taken = Reservation::take(accounts, one(600), at(0)).unwrap();
    assert_eq!(left(&account, at(0))[1], Some(0));
    taken.settle(Charge { tokens: 40, nano: 0 }, at(0));
    assert_eq!(left(&account, at(0))[1], Some(60));
}

#[test]
fn tokens_of_a_request_have_a_limit_of_their_own() {
    let account = Book::default().account(route("a"), &limits("limits: {tokens_per_request: 100}"));
    let accounts = [Some(&account), None, None, None];
    let named = |named_tokens| Cost { tokens: named_tokens, named_tokens, ..one(0) };
    assert!(Reservation::take(accounts, named(100), at(0)).is_ok());
    let refusal = Reservation::take(accounts, named(101), at(0)).unwrap_err();
    assert_eq!((&*refusal.name, refusal.until), ("tokens_per_request", Until::Never));
}

#[test]
fn a_spent_budget_refuses_until_its_window_ends() {
    let account = Book::default().account(route("a"), &limits("budget: {usd: 0.001, per: day}"));
    let accounts = [Some(&account), None, None, None];
    Reservation::take(accounts, one(100), at(100)).unwrap().settle(Charge { tokens: 0, nano: 1_000_000 }, at(101));
    let refusal = Reservation::take(accounts, one(1), at(200)).unwrap_err();
    assert_eq!((refusal.unit, refusal.until), (Unit::Money, Until::End(at(86_400))));
    assert!(Reservation::take(accounts, one(1), at(86_399)).is_err());
    assert!(Reservation::take(accounts, one(1), at(86_400)).is_ok());
}

#[test]
fn what_settles_after_its_window_burdens_no_later_one() {
    let account = Book::default().account(route("a"), &limits("budget: {usd: 0.001, per: day}"));
    let accounts = [Some(&account), None, None, None];
    let late = Reservation::take(accounts, one(100), at(86_399)).unwrap();
    let next = Reservation::take(accounts, one(200), at(86_401)).unwrap();
    late.settle(Charge { tokens: 0, nano: 900_000 }, at(86_402));
    assert_eq!(left(&account, at(86_402))[2], Some(800_000));
    drop(next);
    assert_eq!(left(&account, at(86_402))[2], Some(1_000_000));
}

#[test]
fn of_several_refusals_the_longest_is_told() {
    let account = Book::default().account(route("a"), &limits("limits: {rpm: 1, rpd: 1, parallel: 1}"));
    let accounts = [Some(&account), None, None, None];
    let held = Reservation::take(accounts, one(1), at(0)).unwrap();
    let refusal = Reservation::take(accounts, one(1), at(1)).unwrap_err();
    assert_eq!(&*refusal.name, "rpd");
    held.settle(Charge::default(), at(1));
}

#[test]
fn other_amounts_go_on_with_the_same_counters() {
    let book = Book::default();
    let account = book.account(route("a"), &limits(ALL));
    let held = Reservation::take([Some(&account), None, None, None], one(500), at(100)).unwrap();
    let more = "limits: {rpm: 20, tpm: 2000, parallel: 5}, budget: {usd: 0.004, per: day}";
    let account = book.account(route("a"), &limits(more));
    assert_eq!(left(&account, at(100)), [Some(18), Some(1000), Some(3_500_000)]);
    assert_eq!(account.parallel(), Some((5, 1)));
    held.settle(Charge { tokens: 0, nano: 0 }, at(100));
    assert_eq!(account.parallel(), Some((5, 0)));
    assert_eq!(left(&account, at(100))[2], Some(4_000_000));
}

#[test]
fn a_budget_whose_window_begins_elsewhere_after_a_reload_counts_on() {
    let book = Book::default();
    let account = book.account(route("a"), &limits("budget: {usd: 1, per: month}"));
    Reservation::take([Some(&account), None, None, None], one(0), at(0))
        .unwrap()
        .settle(Charge { tokens: 0, nano: 300 }, at(0));
    let mut late = Cost { nano: 1, ..one(0) };
    late.parallel = false;
    drop(Reservation::take([Some(&account), None, None, None], late, at(0)).unwrap());
    let account = book.account(route("a"), &limits("budget: {usd: 1, per: month, starts: 15}"));
    assert!(left(&account, at(10))[2].is_some());
}

#[test]
fn counters_are_handed_out_once_and_taken_in_by_the_larger_value() {
    let book = Book::default();
    let account = book.account(route("a"), &limits(ALL));
    let accounts = [Some(&account), None, None, None];
    Reservation::take(accounts, one(300), at(100)).unwrap().settle(Charge { tokens: 300, nano: 7 }, at(100));
    let mut changed = book.changed();
    changed.sort_by(|one, two| one.0.cmp(&two.0));
    let keys: Vec<&str> = changed.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["r/a:rpm", "r/a:tpm", "r/a:usd:day"]);
    assert_eq!(book.changed(), []);

    // Before its account exists, and after.
    let other = Book::default();
    other.restore(changed.clone());
    let again = other.account(route("a"), &limits(ALL));
    assert_eq!(left(&again, at(100)), left(&account, at(100)));
    other.restore(changed.clone());
    assert_eq!(left(&again, at(100)), left(&account, at(100)));
    let late = Book::default();
    let fresh = late.account(route("a"), &limits(ALL));
    late.restore(changed);
    assert_eq!(left(&fresh, at(100)), left(&account, at(100)));
    // What was kept of a day that is over does not count.
    assert_eq!(left(&fresh, at(90_000))[2], Some(2_000_000));
}

proptest! {
    #[test]
    fn whatever_happens_the_counters_are_the_sum_of_the_charges(
        steps in prop::collection::vec((0_usize..3, 0_u64..200, 0_u64..400), 1..60),
    ) {
        let book = Book::default();
        let own = book.account(route("own"), &limits("limits: {tpd: 10000000, parallel: 7}, budget: {usd: 9, per: day}"));
        let shared = book.account(route("shared"), &limits("limits: {tpd: 6000, parallel: 5}"));
        let both = [Some(&own), Some(&shared), None, None];
        let (mut open, mut tokens, mut nano) = (Vec::new(), 0, 0);
        for (what, estimate, actual) in steps {
            match what {
                0 => open.extend(Reservation::take(both, one(estimate), at(5))),
                1 => {
                    if let Some(taken) = open.pop() {
                        taken.settle(Charge { tokens: actual, nano: actual * 3 }, at(5));
                        (tokens, nano) = (tokens + actual, nano + actual * 3);
                    }
                }
                _ => drop(open.pop()),
            }
            let held = u32::try_from(open.len()).unwrap();
            prop_assert_eq!((own.parallel(), shared.parallel()), (Some((7, held)), Some((5, held))));
        }
        drop(open);
        prop_assert_eq!(10_000_000 - left(&own, at(5))[1].unwrap(), tokens);
        prop_assert_eq!(9_000_000_000 - left(&own, at(5))[2].unwrap(), nano);
    }
}
