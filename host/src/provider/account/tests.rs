//! Tests that accounts are taken from, waited for and settled as they should, on a paused clock.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;
use crate::config;
use crate::limits::{Book, Owner};
use crate::routing::{FailureKind, Phase};

/// An account under these limits, such as `limits: {rpm: 3}`, with a price of 1 dollar for a million tokens.
fn account(limits: &str) -> (Arc<Account>, Arc<Prices>) {
    let provider = format!("{{name: a, base_url: 'http://a/v1', api_key: k, price: 1, {limits}}}");
    let text = format!("providers: [{provider}]\n");
    let config = config::parse(&text, Path::new("x.yaml"), &|_| None, &["round_robin"]).expect("valid");
    let granted = Book::default().account(Owner::Account("a".into()), &config.providers[0].limits);
    let account = Account::new(granted, Arc::default(), Arc::new(Clock::system()), Arc::default());
    (Arc::new(account), Arc::new(Prices::new(&config)))
}

/// A prompt of so many bytes.
fn prompt(bytes: u64) -> Demand {
    Demand { model: 1 << 40, guess: bytes / 4, is_text: true, ..Demand::default() }
}

fn priced(prices: &Arc<Prices>, bytes: u64) -> Demand {
    let tariff = Tariff { prices: Arc::clone(prices), provider: "a".into(), model: "m".into(), target: None };
    Demand { tariff: Some(tariff), ..prompt(bytes) }
}

fn usage(prompt: u64, answer: u64) -> Usage {
    Usage::of(Some(prompt), Some(answer))
}

fn remaining(account: &Account, name: &str) -> u64 {
    let meter = account.granted().meters().iter().find(|meter| &*meter.name == name).expect("such a limit");
    meter.remaining(account.moment(Instant::now()))
}

/// The tokens that an attempt with a prompt of 700 bytes, that is 200 tokens, is charged with.
fn charge(outcome: Outcome, said: Option<Usage>, text: u64, bills_failures: bool) -> (u64, u64) {
    let (account, _) = account("limits: {rpm: 10, tpm: 10000}");
    let mut withdrawal = account.try_take(prompt(700), Instant::now()).expect("room");
    withdrawal.used(said.as_ref());
    withdrawal.brought(text);
    withdrawal.settle(outcome, bills_failures, Instant::now());
    (10 - remaining(&account, "rpm"), 10_000 - remaining(&account, "tpm"))
}

#[tokio::test(start_paused = true)]
async fn each_end_is_charged_as_the_table_says() {
    let failed = Outcome::Failed(FailureKind::Status(500));
    let said = Some(usage(150, 40));
    let table = [
        ("usage seen", charge(Outcome::Succeeded, said, 0, false), (1, 190)),
        ("whole without usage", charge(Outcome::Succeeded, None, 348, false), (1, 300)),
        ("usage of zero", charge(Outcome::Succeeded, Some(usage(0, 0)), 348, false), (1, 0)),
        (
            "broke off after the prompt was named",
            charge(Outcome::Interrupted, Some(usage(150, 1)), 348, false),
            (1, 250),
        ),
        ("broke off, nothing named", charge(Outcome::Interrupted, None, 348, false), (1, 300)),
        ("the client left", charge(Outcome::Cancelled, None, 32, false), (1, 210)),
        ("the client left at the end", charge(Outcome::Cancelled, said, 32, false), (1, 190)),
        ("nothing was sent", charge(Outcome::Failed(FailureKind::Refused), None, 0, true), (0, 0)),
        ("no connection", charge(Outcome::TimedOut { phase: Phase::Connect }, None, 0, true), (0, 0)),
        ("failed after sending", charge(failed, None, 0, false), (1, 0)),
        ("failed after sending, and billed", charge(failed, None, 0, true), (1, 200)),
        ("refused", charge(Outcome::Rejected(400), None, 0, true), (1, 0)),
        ("throttled", charge(Outcome::Throttled { retry_after: None }, None, 0, true), (1, 0)),
    ];
    for (end, charged, expected) in table {
        assert_eq!(charged, expected, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_and_never_settled_is_given_back() {
    let (account, prices) = account("limits: {rpm: 10, tpm: 10000, parallel: 1}, budget: {usd: 1, per: day}");
    let withdrawal = account.try_take(priced(&prices, 700), Instant::now()).expect("room");
    // 200 tokens of the prompt, and 512 of an answer of which nothing is known.
    assert_eq!((remaining(&account, "tpm"), remaining(&account, "day")), (10_000 - 712, 1_000_000_000 - 712_000));
    assert!(account.try_take(prompt(4), Instant::now()).is_err(), "one at a time");
    drop(withdrawal);
    assert_eq!((remaining(&account, "rpm"), remaining(&account, "tpm")), (10, 10_000));
    assert_eq!(remaining(&account, "day"), 1_000_000_000);
    account.try_take(prompt(4), Instant::now()).expect("the place is free again");
}

#[tokio::test(start_paused = true)]
async fn money_is_charged_by_the_price() {
    let (account, prices) = account("budget: {usd: 1, per: day}");
    let mut withdrawal = account.try_take(priced(&prices, 700), Instant::now()).expect("room");
    withdrawal.used(Some(&usage(150, 50)));
    withdrawal.settle(Outcome::Succeeded, false, Instant::now());
    assert_eq!(remaining(&account, "day"), 1_000_000_000 - 200_000);
    assert_eq!(account.left(Instant::now()), [1000, 1000]);
}

#[tokio::test(start_paused = true)]
async fn a_price_that_nobody_knows_is_refused_where_money_counts() {
    let (account, _) = account("budget: {usd: 1, per: day}");
    let unpriced = priced(&Arc::default(), 700);
    let refusal = account.try_take(unpriced, Instant::now()).expect_err("no price");
    assert_eq!((&*refusal.name, refusal.until), (UNPRICED, Until::Never));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_in_turn_and_nobody_overtakes_them() {
    let (account, _) = account("limits: {rpm: 60}");
    let now = Instant::now();
    for _ in 0..60 {
        account.try_take(Demand::default(), now).expect("room").settle(Outcome::Succeeded, false, now);
    }
    let mut first = Box::pin(account.take(Demand::default()));
    let mut second = Box::pin(account.take(Demand::default()));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    tokio::time::advance(Duration::from_millis(1100)).await;
    assert!(account.try_take(Demand::default(), Instant::now()).is_err(), "others were here before");
    assert!((&mut second).now_or_never().is_none(), "and it is not the second one's turn");
    first.await.expect("its turn").settle(Outcome::Succeeded, false, Instant::now());
    let began = Instant::now();
    second.await.expect("its turn").settle(Outcome::Succeeded, false, Instant::now());
    let waited = began.elapsed().as_secs_f64();
    assert!((0.85..=1.0).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_served_as_soon_as_something_is_given_back() {
    let (account, _) = account("limits: {parallel: 1}");
    let held = account.try_take(Demand::default(), Instant::now()).expect("room");
    let mut waits = Box::pin(account.take(Demand::default()));
    assert!((&mut waits).now_or_never().is_none());
    held.settle(Outcome::Succeeded, false, Instant::now());
    waits.now_or_never().expect("at once").expect("room");
    assert!(account.refusal(&Demand::default(), Instant::now()).is_none(), "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_leaves_the_line() {
    let (account, _) = account("limits: {parallel: 1}");
    let held = account.try_take(Demand::default(), Instant::now()).expect("room");
    let mut waits = Box::pin(account.take(Demand::default()));
    assert!((&mut waits).now_or_never().is_none());
    drop(waits);
    drop(held);
    account.try_take(Demand::default(), Instant::now()).expect("nobody waits");
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_limit_is_not_waited_for() {
    let (account, _) = account("limits: {tpm: 100}");
    let large = Demand { most: 5000, ..prompt(40) };
    let refusal = account.take(large).await.expect_err("never");
    assert_eq!(refusal.until, Until::Never);
    account.try_take(prompt(400), Instant::now()).expect("a mere guess takes no more than there is");
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_teaches_what_to_expect() {
    let (account, _) = account("limits: {tpm: 1000000}");
    for _ in 0..200 {
        let mut withdrawal = account.try_take(prompt(700), Instant::now()).expect("room");
        withdrawal.used(Some(&usage(200, 10)));
        withdrawal.settle(Outcome::Succeeded, false, Instant::now());
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    let _held = account.try_take(prompt(700), Instant::now()).expect("room");
    assert_eq!(remaining(&account, "tpm"), 1_000_000 - 210);
}
