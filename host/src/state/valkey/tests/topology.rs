//! Engines of several servers: a cluster, whose slots move, and a server that sentinels replace.

use std::sync::Arc;
use std::time::Duration;

use super::server::{self, Server};
use super::{Replica, at, eventually, fill_many, nano};
use crate::config::{State, StateServers};
use crate::limits::lease::tests::total;

/// Three servers of a cluster.
async fn cluster() -> (Vec<Server>, Vec<u16>, State) {
    let ports = [server::free_port(), server::free_port(), server::free_port()];
    let nodes = ports.map(|port| Server::start(&["--port", &port.to_string(), "--cluster-enabled", "yes"]));
    let mut create = std::process::Command::new("redis-cli");
    create.args(["--cluster", "create"]).args(ports.map(|port| format!("127.0.0.1:{port}"))).arg("--cluster-yes");
    let created = create.output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
    let agree = || nodes.iter().all(|node| node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    eventually("the servers agree", agree).await;
    let mut state = nodes[0].state();
    state.servers = StateServers::Cluster(vec![at(ports[0], false), at(ports[1], false)]);
    state.timeout = Duration::from_millis(500);
    (nodes.into(), ports.into(), state)
}

#[tokio::test]
async fn a_cluster_has_the_limits_of_one_owner_at_one_place() {
    let (nodes, _ports, state) = cluster().await;
    let engine = fill_many(&state).await;
    tokio::task::spawn_blocking(move || engine.finish()).await.unwrap();
    let keys: usize = nodes.iter().map(|node| node.ask(&["DBSIZE"]).parse::<usize>().unwrap()).sum();
    assert!(keys >= 60, "{keys}");
    assert!(nodes.iter().all(|node| node.ask(&["DBSIZE"]) != "0"), "they are spread");
}

#[tokio::test]
async fn limits_whose_slot_moves_to_another_server_count_on() {
    let (nodes, ports, state) = cluster().await;
    let one = Replica::start(&state, &total(1_000_000)).await;
    eventually("it is reached", || one.engine.facts().up).await;
    assert!(one.spend(nano(1000), 1000).await);
    let money = "pm:{c/a}:usd:total:total";
    let slot = nodes[0].ask(&["CLUSTER", "KEYSLOT", money]);
    let has = |node: &Server| node.ask(&["CLUSTER", "COUNTKEYSINSLOT", &slot]) == "2";
    eventually("it is told", || nodes.iter().any(has)).await;
    let from = nodes.iter().position(has).unwrap();
    let to = (from + 1) % 3;
    let ids: Vec<String> = nodes.iter().map(|node| node.ask(&["CLUSTER", "MYID"])).collect();
    assert_eq!(nodes[to].ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[from]]), "OK");
    assert_eq!(nodes[from].ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[to]]), "OK");
    let keys = nodes[from].ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
    let port = ports[to].to_string();
    let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    migrate.extend(keys.lines());
    assert_eq!(nodes[from].ask(&migrate), "OK");
    for node in [to, from, (to + 1) % 3] {
        assert_eq!(nodes[node].ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[to]]), "OK");
    }
    let mut charged = 1000;
    for _ in 0..20 {
        assert!(one.spend(nano(1000), 1000).await, "it is let in all the while");
        charged += 1000;
    }
    let spent = || nodes[to].ask(&["HGET", money, "spent"]);
    eventually("it is told where it is now", || spent() == charged.to_string()).await;
    one.finish().await;
    assert_eq!(nodes[to].ask(&["HGETALL", money]), format!("spent\n{charged}"));
}

/// A server and a sentinel that watches it.
fn watched(options: &[&str]) -> (Server, Server, State) {
    let (port, watch) = (server::free_port(), server::free_port());
    let master = Server::start(&["--port", &port.to_string()]);
    let file = master.folder().join("sentinel.conf");
    let options: String = options.iter().map(|option| format!("sentinel {option}\n")).collect();
    std::fs::write(&file, format!("sentinel monitor mymaster 127.0.0.1 {port} 1\n{options}")).unwrap();
    let sentinel = Server::start(&[file.to_str().unwrap(), "--port", &watch.to_string(), "--sentinel"]);
    let mut state = master.state();
    state.servers = StateServers::Sentinel { name: "mymaster".to_owned(), servers: vec![at(watch, false)] };
    state.timeout = Duration::from_millis(500);
    (master, sentinel, state)
}

#[tokio::test]
async fn sentinels_name_the_server() {
    let (_master, _sentinel, state) = watched(&[]);
    fill_many(&state).await;
}

#[tokio::test]
async fn after_a_failover_the_new_server_is_told_what_it_lacks() {
    let (mut master, sentinel, state) =
        watched(&["down-after-milliseconds mymaster 200", "failover-timeout mymaster 2000"]);
    let port = master.ask(&["CONFIG", "GET", "port"]).lines().last().unwrap().to_owned();
    let own = server::free_port();
    let spare = Server::start(&["--port", &own.to_string(), "--replicaof", "127.0.0.1", &port]);
    eventually("the spare has a copy", || spare.ask(&["INFO", "replication"]).contains("master_link_status:up")).await;
    eventually("the sentinel knows it", || {
        sentinel.ask(&["SENTINEL", "REPLICAS", "mymaster"]).contains(&own.to_string())
    })
    .await;
    let one = Arc::new(Replica::start(&state, &total(1_000_000)).await);
    eventually("it is reached", || one.engine.facts().up).await;
    for _ in 0..10 {
        assert!(one.spend(nano(1000), 1000).await);
    }
    let money = "pm:{c/a}:usd:total:total";
    eventually("it is told", || master.ask(&["HGET", money, "spent"]) == "10000").await;
    master.kill();
    for _ in 0..10 {
        assert!(one.spend(nano(1000), 1000).await, "it is let in all the while");
    }
    eventually("the other is told", || spare.ask(&["HGET", money, "spent"]) == "20000").await;
    assert_eq!(spare.ask(&["ROLE"]).lines().next(), Some("master"));
}
