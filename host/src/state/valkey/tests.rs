//! The engine against a real server: many replicas in one process, without the proxy around them.

mod replica;
mod server;
mod storm;
mod topology;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::*;
use crate::config::{Limits, StateServers};
use crate::limits::lease::tests::{ONE, rpm, total, tpm};
use crate::limits::{Account, Charge, Reservation, Until};
use replica::{Replica, burst, eventually, nano, replicas};
use server::Server;

#[tokio::test]
async fn four_replicas_let_in_the_limit_and_hardly_ask() {
    let server = Server::start(&[]);
    let all = replicas(&server, &rpm(600), 4).await;
    let began = Instant::now();
    let admitted = burst(&all, 3000, Duration::from_secs(2), ONE).await;
    let most = 600 + began.elapsed().as_millis() as u64 / 100 + 1;
    let rounds: u64 = all.iter().map(|one| one.engine.counts().rounds).sum();
    println!("{admitted} admitted of {most}, {rounds} rounds");
    assert!((570..=most).contains(&admitted), "{admitted} of {most}");
    assert!(rounds <= 150, "{rounds} rounds for 3000 requests");
}

#[tokio::test]
async fn three_thousand_at_once_are_never_too_many() {
    let server = Server::start(&[]);
    let all = replicas(&server, &rpm(600), 4).await;
    let began = Instant::now();
    let admitted = burst(&all, 3000, Duration::ZERO, ONE).await;
    let most = 600 + began.elapsed().as_millis() as u64 / 100 + 1;
    let late: u64 = all.iter().map(|one| one.late.load(Relaxed)).sum();
    println!("{admitted} admitted of {most}, {late} late");
    // On a busy machine the engine may be too slow for some, who then take of what their replica may let in alone.
    let least = if late == 0 { 570 } else { 1 };
    assert!((least..=most + late).contains(&admitted), "{admitted} of {most}, {late} late");
}

#[tokio::test]
async fn tokens_of_many_sizes_fill_a_limit() {
    let server = Server::start(&[]);
    let all = replicas(&server, &tpm(200_000), 4).await;
    let began = Instant::now();
    let used = Arc::new(AtomicU64::new(0));
    let requests = (0..3000_usize).map(|n| {
        let (one, used) = (Arc::clone(&all[n % 4]), Arc::clone(&used));
        async move {
            sleep(Duration::from_micros(n as u64 * 500)).await;
            let tokens = [300, 800, 1500][n % 3];
            if let Ok(taken) = one.admit(Cost { tokens, named_tokens: tokens, ..ONE }).await {
                taken.settle(Charge { tokens, nano: 0 }, one.now());
                used.fetch_add(tokens, Relaxed);
            }
        }
    });
    join_all(requests).await;
    let used = used.load(Relaxed);
    let most = 200_000 + began.elapsed().as_millis() as u64 * 200_000 / 60_000 + 1;
    println!("{used} of {most}");
    assert!((190_000..=most).contains(&used), "{used} of {most}");
}

#[tokio::test]
async fn a_budget_is_counted_to_the_last_charge_and_nothing_stays_held() {
    let server = Server::start(&[]);
    let all = replicas(&server, &total(1_000_000), 3).await;
    let admitted = burst(&all, 2000, Duration::from_millis(500), nano(1000)).await;
    // The last ones may lie with a replica that has nobody to give them to.
    assert!((950..=1000).contains(&admitted), "{admitted}");
    for one in all {
        Arc::into_inner(one).unwrap().finish().await;
    }
    assert_eq!(server.ask(&["HGETALL", "pm:{c/a}:usd:total:total"]), format!("spent\n{}", admitted * 1000));
    assert_eq!(server.ask(&["ZCARD", "pm:{fleet}:replicas"]), "0");
}

#[tokio::test]
async fn scripts_are_loaded_again_after_they_were_flushed() {
    let server = Server::start(&[]);
    let all = replicas(&server, &rpm(600), 1).await;
    assert!(all[0].admit(ONE).await.is_ok());
    server.ask(&["SCRIPT", "FLUSH"]);
    let admitted = burst(&all, 1000, Duration::from_millis(100), ONE).await;
    assert!((600..=603).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn an_emptied_engine_gets_back_what_was_spent_and_never_more() {
    let server = Server::start(&[]);
    let all = replicas(&server, &total(10_000_000), 4).await;
    burst(&all, 400, Duration::from_millis(100), nano(1000)).await;
    let spent = || server.ask(&["HGET", "pm:{c/a}:usd:total:total", "spent"]);
    eventually("it is told", || spent() == "400000").await;
    // So that all have seen it.
    for _ in 0..4 {
        burst(&all, 4, Duration::ZERO, nano(1)).await;
        sleep(Duration::from_millis(150)).await;
    }
    let before: u64 = spent().parse().unwrap();
    server.ask(&["FLUSHALL"]);
    burst(&all, 40, Duration::ZERO, nano(1000)).await;
    let wanted = before + 40_000;
    eventually("it is told again", || spent().parse::<u64>().is_ok_and(|spent| spent >= wanted - 20)).await;
    sleep(Duration::from_millis(300)).await;
    let after: u64 = spent().parse().unwrap();
    assert!((wanted - 20..=wanted).contains(&after), "{after} of {wanted}");
}

#[tokio::test]
async fn an_engine_that_hangs_is_left_alone_and_told_everything_afterwards() {
    let server = Server::start(&[]);
    let all = replicas(&server, &total(100_000_000), 2).await;
    let mut charged = burst(&all, 200, Duration::from_millis(50), nano(1000)).await * 1000;
    server.signal("STOP");
    let mut slow = Vec::new();
    for _ in 0..300 {
        for one in &all {
            let began = Instant::now();
            assert!(one.spend(nano(100_000), 100_000).await, "there is money left");
            charged += 100_000;
            let took = began.elapsed();
            if took > Duration::from_millis(10) {
                slow.push(took);
            }
        }
    }
    assert!(slow.iter().all(|took| *took < Duration::from_millis(60)), "{slow:?}");
    assert!(slow.len() <= 6, "{slow:?}");
    eventually("it is out of reach", || all.iter().all(|one| !one.engine.facts().up)).await;
    server.signal("CONT");
    eventually("it is back", || all.iter().all(|one| one.engine.facts().up)).await;
    for one in all {
        Arc::into_inner(one).unwrap().finish().await;
    }
    assert_eq!(server.ask(&["HGETALL", "pm:{c/a}:usd:total:total"]), format!("spent\n{charged}"));
}

#[tokio::test]
async fn without_the_engine_each_of_two_lets_in_its_half() {
    let mut server = Server::start(&[]);
    let all = replicas(&server, &rpm(600), 2).await;
    server.kill();
    let admitted =
        join_all(all.iter().map(|one| burst(std::slice::from_ref(one), 1000, Duration::from_millis(300), ONE)));
    for admitted in admitted.await {
        assert!((295..=306).contains(&admitted), "{admitted}");
    }
    server.again();
    eventually("it is back", || all.iter().all(|one| one.engine.facts().up)).await;
    // It was started anew, and is told what was used meanwhile.
    sleep(Duration::from_millis(300)).await;
    let admitted = burst(&all, 1000, Duration::from_millis(300), ONE).await;
    assert!(admitted < 60, "{admitted} more");
}

#[tokio::test]
async fn a_wrong_password_is_named_and_costs_no_request_anything() {
    let server = Server::start(&["--requirepass", "right"]);
    let state = server.with_password("wrong");
    let one = Replica::start(&state, &rpm(60)).await;
    let facts = one.engine.facts();
    assert!(!facts.up);
    println!("{facts:?}");
    assert!(facts.reason.is_some_and(|reason| !reason.contains("wrong")));
    let admitted = burst(&[Arc::new(one)], 100, Duration::ZERO, ONE).await;
    assert_eq!(admitted, 60);
    let right = Replica::start(&server.with_password("right"), &rpm(60)).await;
    assert!(right.engine.facts().up);
}

#[tokio::test]
async fn what_a_dead_replica_held_is_reclaimed_by_the_others() {
    let server = Server::start(&[]);
    // As if another had taken all of it and died sixteen seconds ago.
    server.ask(&["HSET", "pm:{c/a}:usd:total:total", "spent", "0", "h:dead", "1000000 1"]);
    let all = replicas(&server, &total(1_000_000), 1).await;
    assert!(all[0].spend(nano(600_000), 600_000).await);
    assert_eq!(server.ask(&["HEXISTS", "pm:{c/a}:usd:total:total", "h:dead"]), "0");
}

#[tokio::test]
async fn replicas_whose_clocks_differ_count_in_the_same_window() {
    let server = Server::start(&[]);
    let day = crate::config::Budget {
        nano: 1_000_000,
        period: crate::config::Period::Day,
        zone: jiff::tz::TimeZone::UTC,
        at: jiff::civil::Time::midnight(),
        on_outage: None,
    };
    let limits = Limits { budgets: vec![day], ..Limits::default() };
    let state = server.state();
    for hours in [-30_i64, 30] {
        let (terms, book) = (Arc::new(Terms::default()), Arc::new(Book::default()));
        book.share(Arc::clone(&terms));
        let wrong = Clock::system().moment(Instant::now()).unix_ms().saturating_add_signed(hours * 3_600_000);
        let clock = Arc::new(Clock::at(Instant::now(), crate::limits::Moment::of_unix_ms(wrong)));
        let account = book.account(Owner::Client("a".into()), &limits);
        let engine = Arc::new(Valkey::start(&state, terms, book, Arc::clone(&clock)).await.unwrap());
        let one = Replica { engine, account, clock, late: AtomicU64::new(0) };
        assert!(one.spend(nano(1000), 1000).await);
        one.finish().await;
    }
    let keys = server.ask(&["KEYS", "pm:{c/a}:usd:day:*"]);
    let keys: HashSet<&str> = keys.lines().collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(server.ask(&["HGET", keys.iter().next().unwrap(), "spent"]), "2000");
}

#[tokio::test]
async fn an_emptied_engine_is_told_by_those_as_well_who_have_nothing_to_ask() {
    let server = Server::start(&[]);
    let all = replicas(&server, &total(1_000_000), 2).await;
    let spent = || server.ask(&["HGET", "pm:{c/a}:usd:total:total", "spent"]);
    assert!(all[1].spend(nano(1000), 1000).await);
    eventually("it is told", || spent() == "1000").await;
    burst(&all[..1], 900, Duration::from_millis(50), nano(1000)).await;
    eventually("it is told", || spent() == "901000").await;
    server.ask(&["FLUSHALL"]);
    // The other one has seen no more than its own.
    assert!(all[1].spend(nano(1000), 1000).await);
    let restored = || spent().parse::<u64>().is_ok_and(|spent| (901_000..=902_000).contains(&spent));
    eventually("it is told again", restored).await;
}

#[tokio::test]
async fn an_engine_that_was_started_with_an_old_copy_is_told_what_it_lacks() {
    let mut server = Server::start(&["--save", "3600 100000"]);
    let all = replicas(&server, &total(1_000_000), 2).await;
    let spent = |server: &Server| server.ask(&["HGET", "pm:{c/a}:usd:total:total", "spent"]);
    burst(&all, 100, Duration::ZERO, nano(1000)).await;
    eventually("it is told", || spent(&server) == "100000").await;
    server.ask(&["SAVE"]);
    burst(&all, 300, Duration::ZERO, nano(1000)).await;
    eventually("it is told", || spent(&server) == "400000").await;
    server.kill();
    server.again();
    eventually("it is told again", || spent(&server) == "400000").await;
}

#[tokio::test]
async fn what_was_not_answered_is_counted_once_when_the_engine_loses_everything() {
    let server = Server::start(&[]);
    let all = replicas(&server, &total(100_000_000), 2).await;
    let spent = || server.ask(&["HGET", "pm:{c/a}:usd:total:total", "spent"]).parse::<u64>().unwrap_or(0);
    let mut charged = 0;
    for _ in 0..10 {
        for one in &all {
            assert!(one.spend(nano(1000), 1000).await);
            charged += 1000;
        }
        // Its answers come too late.
        server.signal("STOP");
        for one in &all {
            assert!(one.spend(nano(1000), 1000).await);
            charged += 1000;
        }
        sleep(Duration::from_millis(130)).await;
        server.signal("CONT");
        server.ask(&["FLUSHALL"]);
        eventually("it is back", || all.iter().all(|one| one.engine.facts().up)).await;
    }
    sleep(Duration::from_millis(500)).await;
    assert!(spent() <= charged && spent() > 0, "{} of {charged}", spent());
}

#[tokio::test]
async fn a_user_with_these_commands_alone_is_enough() {
    // As docs/fleet.md says it.
    const MAY: &str = "~pm:* +eval +evalsha +time +get +set +incr +exists +hget +hset +hsetnx +hdel +hgetall +hlen +pexpire \
                       +zadd +zrem +zcard +zscore +zrevrange +zremrangebyscore +del +info +ping";
    let server = Server::start(&[]);
    let user = ["ACL", "SETUSER", "pointsman", "reset", "on", ">secret"].into_iter().chain(MAY.split(' '));
    assert_eq!(server.ask(&user.collect::<Vec<_>>()), "OK");
    let mut state = server.with_password("secret");
    state.username = Some("pointsman".to_owned());
    state.timeout = Duration::from_millis(500);
    let engine = fill_many(&state).await;
    use crate::clients::Store as _;
    assert_eq!(engine.records().put("a", b"1".to_vec()).await.unwrap(), 1);
    assert_eq!(engine.records().load().await.unwrap().0.len(), 1);
    tokio::task::spawn_blocking(move || engine.finish()).await.unwrap();
    assert_eq!(server.ask(&["ZCARD", "pm:{fleet}:replicas"]), "0");
    assert!(!server.ask(&["ACL", "LOG"]).contains("pointsman"), "{}", server.ask(&["ACL", "LOG"]));
}

fn at(port: u16, tls: bool) -> crate::config::StateServer {
    let place = crate::config::StatePlace::Tcp("127.0.0.1".to_owned(), port);
    crate::config::StateServer { place, tls, database: 0 }
}

/// Lets requests of many owners in, each up to its limit.
async fn fill_many(state: &State) -> Arc<Valkey> {
    let (terms, book, clock) = (Arc::new(Terms::default()), Arc::new(Book::default()), Arc::new(Clock::system()));
    book.share(Arc::clone(&terms));
    let engine = Arc::new(Valkey::start(state, terms, Arc::clone(&book), Arc::clone(&clock)).await.unwrap());
    let up = Arc::clone(&engine);
    eventually("it is reached", move || up.facts().up).await;
    for n in 0..20 {
        let mut limits = rpm(10);
        limits.budgets = total(1_000_000).budgets;
        let account = book.account(Owner::Client(format!("client-{n}").into()), &limits);
        let one = Replica { engine: Arc::clone(&engine), account, clock: Arc::clone(&clock), late: AtomicU64::new(0) };
        let admitted = burst(&[Arc::new(one)], 20, Duration::ZERO, nano(1000)).await;
        assert_eq!(admitted, 10, "client {n}: {:?}", engine.counts());
    }
    assert_eq!(engine.counts().failures, 0);
    engine
}

#[tokio::test]
async fn tls_wants_the_right_authority_and_shows_a_certificate() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // A certificate whose issuer has its own name would pass as self-signed.
    authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = authority.self_signed(&ca_key).unwrap();
    std::fs::write(path("ca.pem"), ca.pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, ca_key);
    for name in ["server", "client"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let port = server::free_port();
    let file = |name: &str| path(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let options =
        ["--tls-port", &port.to_string(), "--tls-ca-cert-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let server = Server::start(&options);
    let mut state = server.state();
    state.servers = StateServers::One(at(port, true));
    state.timeout = Duration::from_millis(500);
    state.tls.ca = Some(path("ca.pem"));
    (state.tls.cert, state.tls.key) = (Some(path("client.pem")), Some(path("client.key")));
    fill_many(&state).await;
    // Without its authority it is not trusted.
    state.tls.ca = Some(path("client.pem"));
    let distrusted = Replica::start(&state, &rpm(10)).await;
    assert!(!distrusted.engine.facts().up);
}

#[tokio::test]
async fn keys_made_on_one_replica_are_read_by_another_and_outlive_an_emptied_engine() {
    use crate::clients::Store as _;
    let server = Server::start(&[]);
    let all = replicas(&server, &rpm(60), 2).await;
    let [one, two] = [&all[0].engine, &all[1].engine].map(|engine| Arc::clone(engine.records()));
    assert_eq!(one.changes().await.unwrap(), 0);
    assert_eq!(one.put("a", b"1".to_vec()).await.unwrap(), 1);
    assert_eq!(one.put("b", b"2".to_vec()).await.unwrap(), 2);
    assert_eq!(one.remove("b").await.unwrap(), 3);
    assert_eq!(two.changes().await.unwrap(), 3);
    assert_eq!(two.load().await.unwrap(), (vec![("a".to_owned(), b"1".to_vec())], 3));
    server.ask(&["FLUSHALL"]);
    let (rows, changes) = two.load().await.unwrap();
    assert_eq!(rows, [("a".to_owned(), b"1".to_vec())]);
    assert!(changes > 3, "others read it anew");
    assert_eq!(one.load().await.unwrap().0.len(), 1);
    server.signal("STOP");
    eventually("it is out of reach", || !all[0].engine.facts().up).await;
    assert_eq!(one.changes().await.unwrap_err().0, "the engine is out of reach");
    server.signal("CONT");
}
