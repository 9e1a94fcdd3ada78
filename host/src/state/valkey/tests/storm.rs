//! Four replicas, many requests that end in every way, and an engine that is paused and killed under them: afterwards it has
//! counted every charge once, and nothing stays held.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::server::Server;
use super::{Replica, eventually, nano};
use crate::limits::Charge;
use crate::limits::lease::tests::total;

/// xorshift: the same for a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

async fn client(one: Arc<Replica>, seed: u64, until: Instant, sums: Arc<[AtomicU64; 3]>) {
    let mut dice = Dice(seed);
    let [charged, above, refused] = &*sums;
    while Instant::now() < until {
        let reserved = 1 + dice.below(2000);
        // Some leave while they wait for the engine.
        let patience =
            if dice.below(10) == 0 { Duration::from_micros(dice.below(2000)) } else { Duration::from_secs(5) };
        match timeout(patience, one.admit(nano(reserved))).await {
            Ok(Ok(taken)) => {
                sleep(Duration::from_millis(dice.below(20))).await;
                match dice.below(4) {
                    0 => drop(taken),
                    _ => {
                        let actual = dice.below(2500);
                        taken.settle(Charge { tokens: 0, nano: actual }, one.now());
                        charged.fetch_add(actual, Relaxed);
                        above.fetch_add(actual.saturating_sub(reserved), Relaxed);
                    }
                }
            }
            Ok(Err(_)) => drop(refused.fetch_add(1, Relaxed)),
            Err(_left) => {}
        }
        sleep(Duration::from_millis(dice.below(5))).await;
    }
}

async fn storm(time: Duration, clients: u64, seed: u64) {
    println!("seed {seed}");
    // What it has answered is on the disk.
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let limit = u64::try_from(time.as_millis()).unwrap() * 20 * clients;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(Arc::new(Replica::start(&server.state(), &total(limit)).await));
    }
    let (until, sums) = (Instant::now() + time, Arc::<[AtomicU64; 3]>::default());
    let replica = |n: u64| Arc::clone(&all[usize::try_from(n % 4).unwrap()]);
    let requests = join_all((0..clients).map(|n| client(replica(n), seed + n * 7919 + 1, until, Arc::clone(&sums))));
    let weather = async {
        let mut dice = Dice(seed + 1);
        while Instant::now() + Duration::from_secs(2) < until {
            sleep(Duration::from_millis(200 + dice.below(800))).await;
            match dice.below(3) {
                0 => {
                    server.signal("STOP");
                    sleep(Duration::from_millis(dice.below(1500))).await;
                    server.signal("CONT");
                }
                1 => {
                    server.kill();
                    sleep(Duration::from_millis(dice.below(500))).await;
                    server.again();
                }
                _ => drop(server.ask(&["SCRIPT", "FLUSH"])),
            }
        }
    };
    tokio::join!(requests, weather);
    eventually("it is back", || all.iter().all(|one| one.engine.facts().up)).await;
    let [charged, above, refused] = [0, 1, 2].map(|n| sums[n].load(Relaxed));
    for one in all {
        Arc::into_inner(one).unwrap().finish().await;
    }
    println!("{charged} charged of {limit}, {above} above, {refused} refused");
    assert_eq!(server.ask(&["HGETALL", "pm:{c/a}:usd:total:total"]), format!("spent\n{charged}"), "seed {seed}");
    assert!(charged <= limit + limit / 2 + above, "{charged} of {limit}, {above} above; seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_every_charge_was_counted_once_and_nothing_is_held() {
    let seed = u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()) + 1;
    storm(Duration::from_secs(10), 100, seed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes long"]
async fn after_a_long_storm_as_well() {
    let seed = u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()) + 1;
    storm(Duration::from_secs(180), 500, seed).await;
}
