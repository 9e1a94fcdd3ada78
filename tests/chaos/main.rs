//! Many kinds of failures at once, in which no request may be lost.
//!
//! The real program between providers that fail in every way and clients that come and go, driven by a seed that is
//! printed and can be set: `CHAOS_SEED`. `make test` runs it for seconds, `make soak` for as long as `SOAK_SECONDS`
//! says, with `SOAK_CLIENTS` clients. In another process than the tests, so that its memory, descriptors and threads
//! are its own.

mod ask;
mod client;
mod fleet;
mod idle;
mod ledger;
mod provider;
mod storm;
mod tally;
mod vitals;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use ask::Dice;
use client::Scene;
use fleet::Weather;
use storm::{Size, Storm};
use vitals::Vitals;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "settings of a test run")]
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok();
    assert!(number.is_some(), "{name} must be a number, not {text:?}");
    number
}

#[expect(clippy::print_stdout, reason = "whoever sees a failure needs the seed")]
fn seed() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    let seed = setting("CHAOS_SEED").unwrap_or_else(|| u64::from(since.subsec_nanos()));
    println!("CHAOS_SEED={seed}");
    seed
}

/// Rounds of storm, each followed by a calm in which nothing may be left over; then memory must be as large as it was
/// after the first third of the rounds, give or take a quarter and 16 MiB.
async fn weather(size: Size, rounds: u32, time: Duration) -> String {
    let began = Instant::now();
    let mut storm = Storm::brew(size, false).await;
    let mut dice = Dice::new(size.seed);
    let mut memory = vec![];
    for _ in 0..rounds {
        storm.scene.send_replace(Scene::Storm);
        storm.gather(size.clients, false).await;
        storm.rage(time, &mut dice).await;
        storm.calm();
        storm.disperse().await;
        memory.push(Vitals::of(storm.process.id()).rss);
    }
    storm.settles().await;
    storm.held().await;
    let report = format!("{}resident after each round, KiB: {memory:?}\n", storm.report(began.elapsed()).await);
    assert!(storm.stage.tally.sum("result: whole") > 0, "somebody was served:\n{report}");
    let early = memory.iter().take(memory.len().div_ceil(3)).max().copied().unwrap_or(0);
    let last = memory.last().copied().unwrap_or(0);
    assert!(last <= early + early / 4 + (16 << 10), "memory grows:\n{report}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_faults_loses_no_request_and_leaves_nothing_behind() {
    let size = Size { seed: seed(), clients: 100, total: 60 };
    println!("{}", weather(size, 3, Duration::from_secs(4)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as SOAK_SECONDS says: `make soak`"]
async fn a_long_storm_of_faults_loses_no_request_and_leaves_nothing_behind() {
    let clients = usize::try_from(setting("SOAK_CLIENTS").unwrap_or(500)).expect("a number of clients");
    let time = Duration::from_secs(setting("SOAK_SECONDS").unwrap_or(1200));
    let rounds = 12;
    let size = Size { seed: seed(), clients, total: clients.div_ceil(2).max(1) };
    println!("{}", weather(size, rounds, time / rounds).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes most of a minute: `make soak`"]
async fn four_thousand_requests_as_their_connections_close_fail_none_and_eject_nobody() {
    println!("{}", idle::connections_that_close_under_requests(seed()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_signal_in_a_storm_lets_every_request_end_and_exits_0() {
    let size = Size { seed: seed(), clients: 60, total: 40 };
    let mut storm = Storm::brew(size, false).await;
    let mut dice = Dice::new(size.seed);
    storm.gather(size.clients, false).await;
    storm.rage(Duration::from_secs(2), &mut dice).await;
    storm.scene.send_replace(Scene::Ending(Instant::now()));
    storm.process.signal("TERM");
    let code = storm.process.exit_code().await;
    storm.scene.send_replace(Scene::Ended);
    storm.disperse().await;
    storm.held().await;
    assert_eq!(code, Some(0), "{}", storm.stage.tally.table());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_providers_under_200_requests_fails_none_while_one_is_healthy() {
    let seed = seed();
    let mut storm = Storm::brew(Size { seed, clients: 200, total: 200 }, true).await;
    storm.providers.iter().for_each(|provider| provider.pace(300));
    storm.gather(200, true).await;
    let mut dice = Dice::new(seed);
    for _ in 0..3 {
        let healthy = dice.below(storm.providers.len());
        for victim in storm.providers.iter().filter(|provider| provider.index != healthy) {
            sleep(Duration::from_millis(dice.below(300) as u64)).await;
            victim.deaf();
            victim.drop_connections();
        }
        sleep(Duration::from_millis(300)).await;
        for provider in &storm.providers {
            sleep(Duration::from_millis(dice.below(100) as u64)).await;
            provider.up();
        }
        // The next to be spared must be known to be well before all others die.
        sleep(Duration::from_millis(500)).await;
    }
    storm.calm();
    storm.disperse().await;
    storm.held().await;
    println!("{}", storm.report(Duration::ZERO).await);
    assert!(storm.stage.tally.sum("failovers") > 0, "the kills were noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_counts_every_charge_once_while_its_engine_is_paused_killed_and_emptied() {
    let rounds =
        [(Weather::Fair, 3), (Weather::Rough, 6), (Weather::Emptied, 2), (Weather::Lost, 2), (Weather::GoneBack, 2)];
    let rounds = rounds.map(|(weather, seconds)| (weather, Duration::from_secs(seconds)));
    println!("{}", fleet::run(seed(), 500, Duration::from_secs(4), &rounds).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as SOAK_SECONDS says: `make soak`"]
async fn a_fleet_counts_every_charge_once_in_long_troubles_as_well() {
    let clients = setting("SOAK_CLIENTS").unwrap_or(500);
    let seconds = setting("SOAK_SECONDS").unwrap_or(1200);
    // Rates are exact until the engine loses values for the first time.
    let mut rounds = vec![(Weather::Fair, Duration::from_secs(5))];
    let all = [Weather::Rough, Weather::Rough, Weather::Rough, Weather::Emptied, Weather::Lost, Weather::GoneBack];
    rounds.extend(all.into_iter().cycle().take(12).map(|weather| (weather, Duration::from_secs(seconds) / 12)));
    rounds[1..].sort_by_key(|(weather, _)| *weather != Weather::Rough);
    println!("{}", fleet::run(seed(), clients, Duration::from_secs(4), &rounds).await);
}
