//! A storm: a proxy in a process of its own, providers that fail in every way, a crowd of clients, and a schedule that
//! makes it worse, all from one seed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harness::{Process, eventually, misbehave};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::ask::Dice;
use crate::client::{Crowd, Scene};
use crate::ledger::Ledger;
use crate::provider::{Provider, Stage};
use crate::tally::Tally;
use crate::vitals::Vitals;

/// The misdeeds that the model of a request can ask of a strategy. They are those of `tests/e2e/faults.rs`, except
/// those that change nothing.
const DEEDS: &[&str] = &[
    "do:panic",
    "do:spin",
    "do:recurse",
    "do:recurse_deep",
    "do:hog",
    "do:hog_at_once",
    "do:leak",
    "do:print_megabyte",
    "do:log_flood",
    "do:log_megabyte",
    "do:sleep",
    "do:exit",
    "do:bad_level",
    "do:wild_string",
    "do:bad_utf8",
    "do:bad_utf8_error",
    "do:refuse",
    "do:long_error",
    "do:out_of_range",
    "do:duplicate",
    "do:million",
    "do:empty",
    "do:wild_list",
];

pub struct Storm {
    pub providers: Vec<Provider>,
    pub process: Process,
    pub stage: Arc<Stage>,
    pub scene: watch::Sender<Scene>,
    commands: watch::Sender<&'static [&'static str]>,
    clients: Vec<JoinHandle<()>>,
    config: PathBuf,
    _folder: TempDir,
    pub before: Vitals,
    pub peak: Vitals,
    pub reloads: u64,
}

/// The size of a storm.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub seed: u64,
    pub clients: usize,
    /// `queue.max_concurrent`.
    pub total: usize,
}

impl Storm {
    /// Starts the providers and the proxy, without clients yet.
    pub async fn brew(size: Size, calm: bool) -> Self {
        let tally = Arc::new(Tally::default());
        let stage = Arc::new(Stage {
            ledger: Arc::new(Ledger::default()),
            tally,
            seed: size.seed,
            total: size.total,
            client_key: format!("client-{}-key", harness::SECRET_MARK),
        });
        let start = |index, limit, mapped, fallback_only| Provider::start(&stage, index, limit, mapped, fallback_only);
        let providers = if calm {
            (0..4).map(|index| start(index, None, index == 1, false)).collect()
        } else {
            vec![
                start(0, None, false, false),
                start(1, Some(8), false, false),
                start(2, Some(3), true, false),
                start(3, None, true, false),
                start(4, Some(20), false, false),
                start(5, Some(10), false, true),
            ]
        };
        let folder = TempDir::new().expect("a temporary folder");
        let config = folder.path().join("proxy_config.yaml");
        std::fs::copy(misbehave(), folder.path().join("misbehave.wasm")).expect("writable");
        let timeouts = if calm {
            json!({"request": 20, "connect": 5})
        } else {
            json!({"request": 1.5, "connect": 0.5, "idle": 1})
        };
        let text = json!({
            "providers": providers.iter().map(Provider::entry).collect::<Vec<_>>(),
            "routing": {
                "strategy": if calm { "round_robin" } else { "misbehave" },
                "health_check": {"enabled": true, "interval": 0.5, "timeout": 0.5, "cooldown": 0.2},
            },
            "strategies": {"misbehave": {"path": "misbehave.wasm", "config": {}}},
            "timeouts": timeouts,
            "queue": {"max_concurrent": size.total, "timeout": 15, "slot_wait": 0.05},
            "monitoring": {"log_level": "ERROR"},
            "server": {"api_keys": [stage.client_key]},
        });
        replace(&config, &format!("{text:#}\n"));
        let process = Process::serve(&config);
        process.address().await;
        let (scene, _) = watch::channel(Scene::Storm);
        let (commands, _) = watch::channel(&[] as &[&str]);
        let before = Vitals::of(process.id());
        Self {
            providers,
            process,
            stage,
            scene,
            commands,
            clients: vec![],
            config,
            _folder: folder,
            before,
            peak: before,
            reloads: 0,
        }
    }

    /// Lets clients in; `strict` ones accept nothing but whole answers.
    pub async fn gather(&mut self, clients: usize, strict: bool) {
        let crowd = Crowd {
            proxy: self.process.address().await,
            tally: Arc::clone(&self.stage.tally),
            key: self.stage.client_key.clone(),
            seed: self.stage.seed,
            commands: self.commands.subscribe(),
            scene: self.scene.subscribe(),
            leavers: if strict { 0 } else { 12 },
            strict,
            mixed: !strict,
        };
        let base = self.clients.len() as u64;
        self.clients.extend((0..clients as u64).map(|number| harness::spawn(crowd.clone().live(base + number))));
    }

    /// Keeps breaking and repairing things for `time`.
    pub async fn rage(&mut self, time: Duration, dice: &mut Dice) {
        let end = Instant::now() + time;
        for provider in &self.providers {
            provider.mood(dice.below(50));
        }
        while Instant::now() < end {
            let provider = dice.below(self.providers.len());
            let provider = &self.providers[provider];
            match dice.below(11) {
                0 => {
                    self.stage.tally.count("schedule: a provider stops listening");
                    provider.deaf();
                }
                1 => {
                    self.stage.tally.count("schedule: a provider dies");
                    provider.deaf();
                    provider.drop_connections();
                }
                2 => {
                    self.stage.tally.count("schedule: all connections of a provider close");
                    provider.drop_connections();
                }
                3 => self.providers.iter().for_each(Provider::up),
                4 => provider.mood(*dice.pick(&[0, 10, 50, 100])),
                5 => provider.mood(0),
                6 => {
                    self.stage.tally.count("schedule: the strategy misbehaves");
                    self.commands.send_replace(DEEDS);
                }
                7 => drop(self.commands.send_replace(&[])),
                _ => self.reload(dice).await,
            }
            sleep(Duration::from_millis(50 + dice.below(250) as u64)).await;
            self.peak = self.peak.max(Vitals::of(self.process.id()));
        }
    }

    /// Changes the configuration, for better or worse, and asks for a reload by a signal, or lets the change be noticed.
    async fn reload(&mut self, dice: &mut Dice) {
        let text = std::fs::read_to_string(&self.config).expect("readable");
        let mut config: Value = serde_json::from_str(&text).expect("written as JSON");
        self.reloads += 1;
        match dice.below(5) {
            0 => {
                self.stage.tally.count("schedule: reload of a broken configuration");
                replace(&self.config, "providers: [{wieght: 1}]\n");
                let call = self.process.call(Method::POST, "/admin/reload").await;
                let key = format!("Bearer {}", self.stage.client_key);
                let answer = call.header("authorization", &key).answer().await;
                if answer.status == 200 || !answer.text().contains("wieght") {
                    self.stage.tally.complain(format!("a broken configuration: {} {}", answer.status, answer.text()));
                }
                replace(&self.config, &text);
                return;
            }
            1 => {
                self.stage.tally.count("schedule: reload with other providers");
                let kept = 3 + dice.below(self.providers.len() - 2);
                let entries: Vec<Value> = self.providers.iter().take(kept).map(Provider::entry).collect();
                config["providers"] = entries.into();
            }
            2 => {
                self.stage.tally.count("schedule: reload with other limits");
                // Never more than the providers know to be theirs.
                config["providers"][1]["max_concurrent"] = (1 + dice.below(8)).into();
                config["queue"]["max_concurrent"] = (self.stage.total / 2 + dice.below(self.stage.total / 2)).into();
            }
            3 => {
                self.stage.tally.count("schedule: reload with another strategy");
                let current = config["routing"]["strategy"].clone();
                config["routing"]["strategy"] = if current == "misbehave" { "weighted" } else { "misbehave" }.into();
            }
            _ => {
                self.stage.tally.count("schedule: reload of a replaced component");
                let fresh = self.config.with_file_name("fresh.wasm");
                std::fs::copy(misbehave(), &fresh).expect("writable");
                std::fs::rename(&fresh, self.config.with_file_name("misbehave.wasm")).expect("writable");
            }
        }
        replace(&self.config, &format!("{config:#}\n"));
        if dice.chance(70) {
            self.process.signal("HUP");
        }
    }

    /// All is well again with the providers and the strategy.
    pub fn calm(&self) {
        for provider in &self.providers {
            provider.up();
            provider.mood(0);
        }
        self.commands.send_replace(&[]);
    }

    /// Waits until the last client has what it asked for.
    pub async fn disperse(&mut self) {
        if *self.scene.borrow() == Scene::Storm {
            self.scene.send_replace(Scene::Over);
        }
        for client in self.clients.drain(..) {
            client.await.expect("a client does not panic");
        }
    }

    /// Claims that nothing is in use any more: no slot, place, connection, descriptor or thread.
    pub async fn settles(&mut self) {
        let health = async || self.health().await;
        eventually("no slot is taken", async || {
            let health = health().await;
            let idle = |provider: &Value| provider["in_flight"] == 0;
            health["queue"]["in_flight"] == 0
                && health["queue"]["waiting"] == 0
                && health["providers"].as_array().is_some_and(|all| all.iter().all(idle))
        })
        .await;
        eventually("no provider is being asked", async || self.stage.ledger.open() == 0).await;
        // Active checks go on, one connection for each provider at most, and the pool closes idle ones after 4 s.
        let descriptors = self.before.descriptors + self.providers.len() + 2;
        let (pid, before) = (self.process.id(), self.before);
        eventually("descriptors are as many as before", async || Vitals::of(pid).descriptors <= descriptors).await;
        // What works once a second keeps one blocking thread of the runtime, and the others end. Those of the compiler's
        // pool stay, one for each processor, once a built-in strategy has been compiled that was not in the cache.
        let pool = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let most = before.threads + 1 + pool;
        eventually("threads are as many as before", async || Vitals::of(pid).threads <= most).await;
    }

    pub async fn health(&self) -> Value {
        self.process.call(Method::GET, "/health").await.answer().await.json()
    }

    /// Claims that every invariant held.
    pub async fn held(&self) {
        // The last suspicions need their time.
        sleep(Duration::from_millis(2100)).await;
        let (complaints, breaches) = (self.stage.tally.complaints(), self.stage.ledger.breaches());
        let stderr = self.process.stderr();
        let tail = &stderr[stderr.len().saturating_sub(4000)..].split_once('\n').map_or("", |(_, tail)| tail);
        assert!(
            complaints.is_empty() && breaches.is_empty(),
            "seed {}:\n{}\n{}\n{}\nlog: {tail}",
            self.stage.seed,
            complaints.join("\n"),
            breaches.join("\n"),
            self.stage.tally.table()
        );
    }

    /// The end of the story in figures.
    pub async fn report(&self, took: Duration) -> String {
        let health = self.health().await;
        let reloads = &health["config"]["reloads"];
        let call = self.process.call(Method::GET, "/metrics").await;
        let metrics = call.header("authorization", &format!("Bearer {}", self.stage.client_key)).answer().await.text();
        let of_interest = ["pointsman_strategy_faults", "pointsman_failovers", "pointsman_ejections"];
        let metrics: String = metrics
            .lines()
            .filter(|line| of_interest.iter().any(|name| line.starts_with(name)))
            .map(|line| format!("{line}\n"))
            .collect();
        let now = Vitals::of(self.process.id());
        let most = self.stage.ledger.most();
        format!(
            "seed {}, {:.0} s\n{}{metrics}reloads: {} asked for, {reloads}\nmost in flight at providers: {most} of {}\n\
             before: {}\npeak:   {}\nafter:  {now}\n",
            self.stage.seed,
            took.as_secs_f64(),
            self.stage.tally.table(),
            self.reloads,
            self.stage.total,
            self.before,
            self.peak,
        )
    }
}

/// In one step, so that nobody reads the half of it.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, text).expect("writable");
    std::fs::rename(&fresh, path).expect("writable");
}
