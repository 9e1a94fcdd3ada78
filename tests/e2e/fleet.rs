//! Replicas that share an engine: limits that hold for all of them together, and what happens when the engine does not
//! answer.

mod figures;
mod held;
mod hints;
mod known;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use harness::{Engine, Mock, Proxy, Reply, eventually};
use serde_json::{Value, json};

/// A replica before `mock` under limits of the one route that there is.
async fn replica(mock: &Mock, state: Value, limits: Value) -> Proxy {
    Proxy::builder()
        .provider(mock, json!({}))
        .set(json!({"state": state, "routes": [{"name": "all", "models": ["*"], "limits": limits}]}))
        .set(json!({"queue": {"max_concurrent": 1000, "max_waiting": 10000}}))
        .start()
        .await
}

async fn replicas(mock: &Mock, engine: &Engine, limits: Value, number: usize) -> Vec<Proxy> {
    let all = join_all((0..number).map(|_| replica(mock, engine.state(), limits.clone()))).await;
    for one in &all {
        let known = || async { state_of(one).await["replicas"] == number };
        eventually("each knows of the others", known).await;
    }
    all
}

async fn state_of(replica: &Proxy) -> Value {
    replica.get("/health").await.json()["state"].clone()
}

async fn is_up(replica: &Proxy) -> bool {
    state_of(replica).await["state"] == "up"
}

/// The statuses of `number` requests, with so many at a time.
async fn statuses(all: &[Proxy], number: usize, at_once: usize) -> Vec<(u16, Duration)> {
    let room = Arc::new(tokio::sync::Semaphore::new(at_once));
    let requests = (0..number).map(|n| {
        let room = Arc::clone(&room);
        async move {
            let _room = room.acquire().await.expect("never closed");
            let answer = all[n % all.len()].chat().await;
            (answer.status, answer.took)
        }
    });
    join_all(requests).await
}

fn admitted(statuses: &[(u16, Duration)]) -> usize {
    let odd = statuses.iter().find(|(status, _)| ![200, 429].contains(status));
    assert!(odd.is_none(), "{odd:?}");
    statuses.iter().filter(|(status, _)| *status == 200).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_fails_no_request_and_is_told_of_it_in_health() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let all = replicas(&mock, &engine, json!({"rpm": 100_000}), 2).await;
    assert_eq!(admitted(&statuses(&all, 50, 10).await), 50);
    engine.signal("STOP");
    for _ in 0..10 {
        assert_eq!(admitted(&statuses(&all, 100, 10).await), 100);
    }
    let down = || async { state_of(&all[0]).await["degraded"] == true };
    eventually("it is out of reach", down).await;
    assert_eq!(admitted(&statuses(&all, 100, 10).await), 100);
    assert_eq!(all[0].get("/ready").await.status, 200);
    assert!(all[0].metric("pointsman_state_up").await < 0.5);
    engine.signal("CONT");
    eventually("it is back", || async { is_up(&all[0]).await && is_up(&all[1]).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_engine_each_replica_keeps_to_its_share() {
    let (mock, mut engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let all = replicas(&mock, &engine, json!({"rpm": 200}), 2).await;
    engine.kill();
    for one in &all {
        let let_in = admitted(&statuses(std::slice::from_ref(one), 250, 20).await);
        // A hundred, and what comes back meanwhile.
        assert!((98..=110).contains(&let_in), "{let_in}");
    }
    engine.again().await;
    eventually("it is back", || async { is_up(&all[0]).await && is_up(&all[1]).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_without_the_engine_and_finds_it_later() {
    let (mock, mut engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::absent(&[]));
    let one = replica(&mock, engine.state(), json!({"rpm": 10})).await;
    let state = state_of(&one).await;
    assert_eq!((&state["state"], &state["degraded"]), (&json!("unreachable"), &json!(true)));
    assert_eq!(admitted(&statuses(std::slice::from_ref(&one), 12, 1).await), 10);
    engine.again().await;
    eventually("it is found", || is_up(&one)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_so_is_not_ready_or_lets_nobody_in_or_everybody_without_the_engine() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::absent(&[]));
    let with = |more: Value| {
        let mut state = engine.state();
        state.as_object_mut().expect("a mapping").extend(more.as_object().expect("a mapping").clone());
        state
    };
    let closed = replica(&mock, with(json!({"on_outage": "closed", "required": true})), json!({"rpm": 10})).await;
    assert_eq!(closed.get("/ready").await.status, 503);
    let answer = closed.chat().await;
    assert_eq!((answer.status, answer.json()["error"]["code"].clone()), (503, json!("limits_unavailable")));
    assert_eq!(answer.headers["retry-after"], "1");
    let open = replica(&mock, with(json!({"on_outage": "open"})), json!({"rpm": 10})).await;
    assert_eq!(open.get("/ready").await.status, 200);
    assert_eq!(admitted(&statuses(std::slice::from_ref(&open), 30, 5).await), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_say_for_themselves_what_holds_without_the_engine() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::absent(&[]));
    let mut closed = engine.state();
    closed["on_outage"] = json!("closed");
    let one = replica(&mock, closed, json!({"rpm": 10, "on_outage": "local"})).await;
    assert_eq!(admitted(&statuses(std::slice::from_ref(&one), 30, 5).await), 10);
    let open = replica(&mock, engine.state(), json!({"rpm": 10, "parallel": 1, "on_outage": "open"})).await;
    assert_eq!(admitted(&statuses(std::slice::from_ref(&open), 30, 5).await), 30);
    let shut = replica(&mock, engine.state(), json!({"rpm": 10, "on_outage": "closed"})).await;
    let answer = shut.chat().await;
    assert_eq!((answer.status, answer.code()), (503, "limits_unavailable".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_shown_as_such_and_never_itself() {
    let engine = Engine::with(&["--requirepass", "right"]).await;
    let mock = Mock::start("one", Reply::chat("hi")).await;
    let mut state = engine.state();
    state["password"] = json!("wr0ng-p4ssw0rd");
    let one = replica(&mock, state, json!({"rpm": 10})).await;
    let health = one.get("/health").await.text();
    assert!(health.contains("it refuses the user or the password"), "{health}");
    assert!(!health.contains("wr0ng"), "{health}");
    assert_eq!(one.chat().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_replica_gives_back_what_it_has_leased() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let mut all = replicas(&mock, &engine, json!({"rpm": 40}), 2).await;
    let other = all.pop().expect("two");
    for _ in 0..10 {
        assert_eq!(other.chat().await.status, 200);
    }
    other.stop().await;
    let let_in = admitted(&statuses(&all, 60, 5).await);
    assert!((30..=33).contains(&let_in), "{let_in}");
    let alone = || async { state_of(&all[0]).await["replicas"] == 1 };
    eventually("it is alone", alone).await;
}
