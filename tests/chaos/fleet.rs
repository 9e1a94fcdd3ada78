//! Four replicas and one engine, which is paused, killed, cut off and emptied under hundreds of clients.
//!
//! After each round all is quiet, and the engine's counters must be the sum of what clients were charged with: exactly as long
//! as the engine keeps what it has answered, and never more than that after it has lost everything. Whatever happens to the
//! engine, no request of a steady client fails.

mod crowd;
mod till;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use harness::{Engine, Process, eventually};
use http::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::ask::Dice;
use crate::tally::Tally;
use crowd::{Client, Crowd, GROUPS, Kind, PAID, PARALLEL, RPM, Scene};
use till::{PRICES, Till};
use values::{READ, Values, money, read};

/// The replicas.
const REPLICAS: u64 = 4;
/// How far one request and one token move the end of their rates, in microseconds: see [`Client::entry`].
const PER_REQUEST: f64 = 6e7;
const PER_TOKEN: f64 = 1e6;

/// The time in which the quiet comes about.
const CALM: Duration = Duration::from_secs(20);

/// Replicas notice within a third of a second that the engine is another one, and tell of 200 owners in each tenth of a second.
const RESTORED: Duration = Duration::from_secs(2);

/// What the engine suffers in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nothing.
    Fair,
    /// It is paused, killed and cut off, but keeps what it has answered.
    Rough,
    /// It is emptied while it runs.
    Emptied,
    /// It is killed, and starts with nothing.
    Lost,
    /// It is killed, and starts with a copy from before.
    GoneBack,
}

/// A fleet at work.
pub struct Fleet {
    replicas: Vec<Process>,
    addresses: Vec<SocketAddr>,
    engine: Engine,
    till: Till,
    clients: Vec<Client>,
    hands: Vec<JoinHandle<()>>,
    scene: watch::Sender<Scene>,
    busy: Arc<AtomicUsize>,
    tally: Arc<Tally>,
    dice: Dice,
    seed: u64,
    operator: String,
    began: Instant,
    outages: u64,
    /// True once the engine has lost values: then rates are bounded and not exact.
    has_lost: bool,
    /// When the rates of steady clients began, by the engine's clock.
    origins: BTreeMap<String, f64>,
    /// What the engine has counted of each owner's money, and what was charged, after the round before.
    counted: BTreeMap<String, u64>,
    charged: BTreeMap<String, u64>,
    _folder: TempDir,
}

impl Fleet {
    /// Starts the engine, the provider and the replicas, and lets `clients` in.
    pub async fn gather(seed: u64, clients: u64, pause: Duration) -> Self {
        let (till, folder) = (Till::start().await, TempDir::new().expect("a temporary folder"));
        let engine = Engine::with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
        let clients: Vec<Client> = (0..clients).map(|number| Client { number }).collect();
        let operator = format!("operator-{}-key", harness::SECRET_MARK);
        let groups = (0..GROUPS).map(|group| {
            json!({"name": format!("group-{group}"), "limits": {"rph": 10_000_000, "parallel": 4000},
                "budget": {"usd": 1_000_000, "per": "total"}})
        });
        let text = json!({
            "providers": [{"name": "till", "base_url": format!("http://{}/v1", till.address), "api_key": harness::KEY}],
            "routing": {"health_check": {"enabled": false}, "retries": 0},
            "monitoring": {"track_errors": false, "log_level": "WARN"},
            "queue": {"max_concurrent": 2000, "max_waiting": 2000},
            "prices": {"models": {"m-*": {"input": PRICES.0 as f64 / 1000.0, "output": PRICES.1 as f64 / 1000.0}}},
            "clients": {
                "groups": groups.collect::<Vec<_>>(),
                "keys": clients.iter().map(Client::entry).collect::<Vec<_>>(),
            },
            "state": engine.state(),
            "server": {"api_keys": [operator], "watch": false},
        });
        let config = folder.path().join("proxy_config.yaml");
        std::fs::write(&config, format!("{text:#}\n")).expect("writable");
        let replicas: Vec<Process> = (0..REPLICAS).map(|_| Process::serve(&config)).collect();
        let mut addresses = Vec::new();
        for replica in &replicas {
            addresses.push(replica.address().await);
        }
        let (scene, _) = watch::channel(Scene::Quiet);
        let mut fleet = Self {
            replicas,
            addresses,
            engine,
            till,
            clients,
            hands: Vec::new(),
            scene,
            busy: Arc::default(),
            tally: Arc::default(),
            dice: Dice::new(seed),
            seed,
            operator,
            began: Instant::now(),
            outages: 0,
            has_lost: false,
            origins: BTreeMap::new(),
            counted: BTreeMap::new(),
            charged: BTreeMap::new(),
            _folder: folder,
        };
        fleet.all_are_seen().await;
        fleet.let_in(pause);
        fleet
    }

    fn let_in(&mut self, pause: Duration) {
        let crowd = Crowd {
            replicas: self.addresses.clone(),
            tally: Arc::clone(&self.tally),
            seed: self.seed,
            scene: self.scene.subscribe(),
            busy: Arc::clone(&self.busy),
            pause,
        };
        for client in &self.clients {
            let hands = if client.kind() == Kind::Wide { 6 } else { 1 };
            let live = |hand| harness::spawn(crowd.clone().live(client.clone(), hand));
            self.hands.extend((0..hands).map(live));
        }
    }

    /// Waits until each replica reaches the engine, and knows of the others.
    async fn all_are_seen(&self) {
        for address in &self.addresses {
            eventually("each replica knows of the others", async || {
                let call = harness::Call::to(*address, Method::GET, "/health");
                let health = call.answer().await.json();
                health["state"]["state"] == "up" && health["state"]["replicas"] == REPLICAS
            })
            .await;
        }
    }

    /// A round of work in a weather, followed by the quiet; then the claims.
    pub async fn round(&mut self, weather: Weather, time: Duration) {
        let began = Instant::now();
        self.scene.send_replace(Scene::Busy);
        let least = self.suffer(weather, time).await;
        self.scene.send_replace(Scene::Quiet);
        eventually("no request is under way", async || self.busy.load(SeqCst) == 0).await;
        self.all_are_seen().await;
        let values = self.settles(weather, &least).await;
        self.note_origins(&values);
        let late = self.late().await;
        self.tally.count(&format!("late: {late} after {weather:?}"));
        // On a busy machine an engine in good health is late as well.
        self.bounds(self.outages + u64::from(late > 0));
        let what = format!("{weather:?}, {:.1} s", began.elapsed().as_secs_f64());
        self.held(&what);
    }

    /// What happens to the engine; gives what it had counted of each owner's money when it lost that.
    async fn suffer(&mut self, weather: Weather, time: Duration) -> BTreeMap<String, u64> {
        let until = Instant::now() + time;
        let mut least = BTreeMap::new();
        match weather {
            Weather::Fair => sleep(time).await,
            Weather::Rough => {
                while Instant::now() < until {
                    self.misfortune().await;
                    let pause = self.dice.below(800) as u64;
                    sleep(Duration::from_millis(200 + pause)).await;
                }
            }
            Weather::Emptied => {
                sleep(time / 2).await;
                let text = format!("{READ} redis.call('FLUSHALL') return table.concat(lines, '\\n')");
                least = money(&read(&self.engine.ask(&["EVAL", &text, "0"])));
                sleep(time / 2).await;
            }
            Weather::Lost => {
                sleep(time / 2).await;
                // It may count more before it dies.
                least = money(&self.values());
                self.engine.lose();
                sleep(Duration::from_millis(300)).await;
                self.engine.again().await;
                sleep(time / 2).await;
            }
            Weather::GoneBack => {
                self.engine.copy();
                sleep(time / 2).await;
                least = money(&self.values());
                self.engine.go_back();
                self.engine.again().await;
                sleep(time / 2).await;
            }
        }
        let loses = !matches!(weather, Weather::Fair | Weather::Rough);
        self.has_lost |= loses;
        self.outages += u64::from(loses);
        least
    }

    async fn misfortune(&mut self) {
        let time = Duration::from_millis(50 + self.dice.below(1200) as u64);
        self.outages += 1;
        match self.dice.below(4) {
            0 => {
                self.tally.count("engine: paused");
                self.engine.signal("STOP");
                sleep(time).await;
                self.engine.signal("CONT");
            }
            1 => {
                self.tally.count("engine: killed");
                self.engine.kill();
                sleep(time / 3).await;
                self.engine.again().await;
            }
            2 => {
                self.tally.count("engine: all connections closed");
                self.engine.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
            }
            _ => {
                self.tally.count("engine: scripts forgotten");
                self.engine.ask(&["SCRIPT", "FLUSH"]);
            }
        }
    }

    fn values(&self) -> Values {
        read(&self.engine.ask(&["EVAL", &format!("{READ} return table.concat(lines, '\\n')"), "0"]))
    }

    /// What clients were charged with, in nano-dollars by owner, as the replicas say: clients and groups.
    async fn charged(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for address in &self.addresses {
            let call = harness::Call::to(*address, Method::GET, "/admin/spend?by=client");
            let spend = call.header("authorization", &format!("Bearer {}", self.operator)).answer().await.json();
            for row in spend["rows"].as_array().expect("rows") {
                let (client, nano) = (row["client"].as_str(), row["nano_dollars"].as_u64());
                let (client, nano) = (client.expect("a known client"), nano.expect("a number"));
                let number: u64 = client.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a number");
                *sums.entry(format!("c/{client}")).or_default() += nano;
                *sums.entry(format!("g/{}", Client { number }.group())).or_default() += nano;
            }
        }
        sums
    }

    /// Waits until all that was charged has been counted and nothing is held any more; gives the values of the engine.
    async fn settles(&mut self, weather: Weather, least: &BTreeMap<String, u64>) -> Values {
        let began = Instant::now();
        if !matches!(weather, Weather::Fair | Weather::Rough) {
            self.restored().await;
        }
        loop {
            let (charged, values) = (self.charged().await, self.values());
            let mut wrong = self.wrong_sums(weather, &charged, &money(&values), least);
            if !self.has_lost {
                wrong.extend(self.wrong_rates(&values));
            }
            let held = values.keys().filter(|(_, name)| name.contains("/h:"));
            wrong.extend(held.map(|(owner, name)| format!("{owner} {name} is held")));
            if wrong.is_empty() {
                (self.counted, self.charged) = (money(&values), charged);
                return values;
            }
            let (count, seed) = (wrong.len(), self.seed);
            wrong.truncate(20);
            let text = wrong.join("\n");
            assert!(
                began.elapsed() < CALM,
                "seed {seed}, after {weather:?} {count} are wrong:\n{text}\n{}",
                self.logs()
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the engine has been told all that replicas know of, which learn within seconds that it has lost values: until
    /// no value has changed for longer than that.
    async fn restored(&self) {
        let (mut last, mut since) = (money(&self.values()), Instant::now());
        while since.elapsed() < RESTORED {
            sleep(Duration::from_millis(200)).await;
            let now = money(&self.values());
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// The owners whose money was not counted as it must be.
    fn wrong_sums(
        &self,
        weather: Weather,
        charged: &BTreeMap<String, u64>,
        counted: &BTreeMap<String, u64>,
        least: &BTreeMap<String, u64>,
    ) -> Vec<String> {
        let of = |sums: &BTreeMap<String, u64>, owner: &str| sums.get(owner).copied().unwrap_or(0);
        let wrong = |owner: &String| {
            let (counted, new) = (of(counted, owner), of(charged, owner) - of(&self.charged, owner));
            let all = of(&self.counted, owner) + new;
            let (least, most) = match weather {
                Weather::Fair | Weather::Rough => (all, all),
                // What was known is restored, and never added to what has been counted meanwhile: of these two parts the larger
                // is the least. What is on its way when it is lost may count twice, or not at all: a round of each replica.
                Weather::Emptied | Weather::Lost | Weather::GoneBack => {
                    let on_its_way = REPLICAS * self.in_a_round(owner);
                    // The engine may have followed rounds whose answers nobody has seen.
                    let known = of(least, owner).saturating_sub(on_its_way).max(of(&self.counted, owner));
                    (known.max((all - known).saturating_sub(on_its_way)), all + on_its_way)
                }
            };
            let wrong = !(least..=most).contains(&counted);
            wrong.then(|| format!("{owner}: {counted} counted, must be {least} to {most}"))
        };
        charged.keys().filter_map(wrong).collect()
    }

    /// The most that one round of an owner tells of: two requests of a client, and a few of a group.
    fn in_a_round(&self, owner: &str) -> u64 {
        let dearest = self.clients.iter().map(|client| client.plan().nano()).max().unwrap_or(0);
        let own = self.clients.iter().find(|client| owner == format!("c/{}", client.name()));
        own.map_or(10 * dearest, |client| 2 * client.plan().nano())
    }

    /// The requests for which the engine was late.
    async fn late(&self) -> u64 {
        let mut late = 0;
        for address in &self.addresses {
            let call = harness::Call::to(*address, Method::GET, "/metrics");
            let text = call.header("authorization", &format!("Bearer {}", self.operator)).answer().await.text();
            let of = |line: &str| line.strip_prefix("pointsman_state_late_total ")?.parse::<u64>().ok();
            late += text.lines().find_map(of).unwrap_or(0);
        }
        late
    }

    /// Claims that nobody was let in above what the limits and the outages allow.
    fn bounds(&self, outages: u64) {
        let seconds = self.began.elapsed().as_secs();
        for client in &self.clients {
            let (account, name) = (self.till.account(&client.name()), client.name());
            let most = match client.kind() {
                // Without the engine each replica may go on to its share of the rest.
                Kind::Spender => (account.nano, client.plan().nano() * PAID * (1 + outages.min(1))),
                Kind::Rusher => (account.requests, RPM * (1 + outages) + seconds * RPM / 60 + 1),
                Kind::Wide => (account.most_at_once, PARALLEL + outages.min(1) * REPLICAS),
                Kind::Steady | Kind::Leaver => continue,
            };
            if most.0 > most.1 {
                let kind = client.kind();
                self.tally.complain(format!("{kind:?} {name}: {} of {}, {outages} outages", most.0, most.1));
            }
        }
    }

    /// The steady clients whose requests and tokens were not counted one by one. Their rates began at one moment, and have
    /// reached ahead of the time ever since: so each of them ends as far from it as there were units.
    fn wrong_rates(&self, values: &Values) -> Vec<String> {
        let wrong = |client: &Client| {
            let (name, account) = (client.name(), self.till.account(&client.name()));
            let end = |limit: &str| values.get(&(format!("c/{name}"), limit.to_owned())).copied();
            let begins = end("rpd")? - account.requests as f64 * PER_REQUEST;
            let also = end("tpd")? - account.tokens as f64 * PER_TOKEN;
            let before = self.origins.get(&name).copied().unwrap_or(begins);
            // A token is a second: what was used while the engine did not answer may be dated by so much later.
            let is_right = (begins - also).abs() < PER_TOKEN && (begins - before).abs() < PER_TOKEN;
            let (requests, tokens) = ((begins - before) / PER_REQUEST, (also - before) / PER_TOKEN);
            (!is_right).then(|| format!("{name}: {requests:.2} requests and {tokens:.1} tokens too many are counted"))
        };
        let steady = self.clients.iter().filter(|client| client.kind() == Kind::Steady);
        steady.filter_map(wrong).collect()
    }

    fn note_origins(&mut self, values: &Values) {
        for client in self.clients.iter().filter(|client| client.kind() == Kind::Steady) {
            let requests = self.till.account(&client.name()).requests as f64;
            if let Some(end) = values.get(&(format!("c/{}", client.name()), "rpd".to_owned())) {
                self.origins.entry(client.name()).or_insert(end - requests * PER_REQUEST);
            }
        }
    }

    /// Claims that there was no complaint.
    fn held(&self, what: &str) {
        let complaints = self.tally.complaints();
        let (seed, table) = (self.seed, self.tally.table());
        assert!(complaints.is_empty(), "seed {seed}, {what}:\n{}\n{table}\n{}", complaints.join("\n"), self.logs());
    }

    /// The last lines of the logs.
    fn logs(&self) -> String {
        let last = |replica: &Process| {
            let log = replica.stderr();
            let lines: Vec<&str> = log.lines().collect();
            lines.iter().skip(lines.len().saturating_sub(12)).map(|line| format!("{line}\n")).collect::<String>()
        };
        self.replicas.iter().map(last).collect::<Vec<_>>().join("--\n")
    }

    /// Ends the clients and the replicas: they leave nothing behind.
    pub async fn disperse(mut self) -> String {
        self.scene.send_replace(Scene::Over);
        for hand in self.hands.drain(..) {
            hand.await.expect("a client does not panic");
        }
        for replica in &mut self.replicas {
            replica.signal("TERM");
        }
        for replica in &mut self.replicas {
            assert_eq!(replica.exit_code().await, Some(0));
        }
        let values = self.values();
        let held: Vec<_> = values.keys().filter(|(_, name)| name.contains("/h:")).collect();
        assert!(held.is_empty(), "{held:?} are held");
        assert_eq!(self.engine.ask(&["ZCARD", "pm:{fleet}:replicas"]), "0");
        assert_eq!(money(&values), self.counted, "the end changes nothing");
        format!("seed {}, {:.0} s\n{}", self.seed, self.began.elapsed().as_secs_f64(), self.tally.table())
    }
}

/// The rounds of one run.
pub async fn run(seed: u64, clients: u64, pause: Duration, rounds: &[(Weather, Duration)]) -> String {
    let mut fleet = Fleet::gather(seed, clients, pause).await;
    for (weather, time) in rounds {
        fleet.round(*weather, *time).await;
    }
    fleet.disperse().await
}
