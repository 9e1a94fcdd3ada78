//! The clients of a fleet: most are steady and must never notice that the engine is in trouble, some leave at any moment, and
//! some ask for far more than they may.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use harness::Call;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::till::{HEADER, Plan};
use crate::ask::{Dice, excerpt};
use crate::tally::Tally;

/// How a client behaves, and what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It waits for each answer, and may more than it asks for.
    Steady,
    /// It leaves when it likes, and some of its answers are cut.
    Leaver,
    /// It spends its budget and goes on asking.
    Spender,
    /// It asks for more requests than it may.
    Rusher,
    /// It asks for more requests at once than it may.
    Wide,
}

/// The requests in a minute of a [`Kind::Rusher`].
pub const RPM: u64 = 30;
/// The requests at once of a [`Kind::Wide`].
pub const PARALLEL: u64 = 2;
/// The answers that the budget of a [`Kind::Spender`] covers.
pub const PAID: u64 = 40;
/// The groups that clients are in.
pub const GROUPS: u64 = 5;

/// One client.
#[derive(Clone, Debug)]
pub struct Client {
    pub number: u64,
}

impl Client {
    pub fn kind(&self) -> Kind {
        match self.number % 40 {
            9 | 29 => Kind::Spender,
            19 => Kind::Rusher,
            39 => Kind::Wide,
            other if other % 10 >= 6 => Kind::Leaver,
            _ => Kind::Steady,
        }
    }

    pub fn name(&self) -> String {
        format!("client-{}", self.number)
    }

    pub fn group(&self) -> String {
        format!("group-{}", self.number % GROUPS)
    }

    fn key(&self) -> String {
        format!("pass-{}-of-client-{}", harness::SECRET_MARK, self.number)
    }

    /// The usual plan of its requests. The answers of one client are all as long, so that the proxy expects no less.
    pub fn plan(&self) -> Plan {
        let words = 5 + self.number % 20;
        Plan { client: self.name(), words, pause: Duration::from_millis(5), cut: None }
    }

    /// Its entry in the configuration. A request takes a minute of a limit per day, a token a second: by how far they
    /// reach ahead what was counted can be told exactly.
    pub fn entry(&self) -> Value {
        let mut limits = json!({"rpd": 1440, "tpd": 86_400, "parallel": 4});
        let mut usd = 1000.0;
        match self.kind() {
            Kind::Steady | Kind::Leaver => {}
            Kind::Spender => usd = (self.plan().nano() * PAID) as f64 / 1e9,
            Kind::Rusher => limits["rpm"] = json!(RPM),
            Kind::Wide => limits["parallel"] = json!(PARALLEL),
        }
        json!({
            "name": self.name(), "key": self.key(), "group": self.group(), "limits": limits,
            "budget": {"usd": usd, "per": "total"},
        })
    }
}

/// What all clients share.
#[derive(Clone, Debug)]
pub struct Crowd {
    pub replicas: Vec<SocketAddr>,
    pub tally: Arc<Tally>,
    pub seed: u64,
    pub scene: watch::Receiver<Scene>,
    /// Requests under way, as the clients see it.
    pub busy: Arc<AtomicUsize>,
    /// The longest pause between two requests of a client.
    pub pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    Busy,
    Quiet,
    Over,
}

impl Crowd {
    /// The life of one client, or of one of several hands of a wide one.
    pub async fn live(mut self, client: Client, hand: u64) {
        let mut dice = Dice::part(self.seed, client.number * 16 + hand);
        let kind = client.kind();
        let pause = match kind {
            Kind::Steady | Kind::Leaver => self.pause,
            Kind::Spender | Kind::Wide => self.pause / 4,
            Kind::Rusher => self.pause / 8,
        };
        loop {
            let wait = pause.mul_f64(dice.below(1000) as f64 / 1000.0);
            sleep(wait).await;
            while *self.scene.borrow_and_update() == Scene::Quiet {
                if self.scene.changed().await.is_err() {
                    // The test has ended.
                    return;
                }
                // Not all at the same moment.
                sleep(wait).await;
            }
            if *self.scene.borrow() == Scene::Over {
                return;
            }
            self.busy.fetch_add(1, SeqCst);
            // Whoever has seen the quiet begin asks no more.
            if *self.scene.borrow() == Scene::Busy {
                self.ask(&client, kind, &mut dice).await;
            }
            self.busy.fetch_sub(1, SeqCst);
        }
    }

    async fn ask(&self, client: &Client, kind: Kind, dice: &mut Dice) {
        let mut plan = client.plan();
        let streams = dice.chance(50);
        let leaves = kind == Kind::Leaver && dice.chance(60);
        if kind == Kind::Leaver && !leaves && streams && dice.chance(30) {
            plan.cut = Some(1 + dice.below(4) as u64);
        }
        // What can be broken is asked of a model of its own, so that the sums of the rest are exact.
        let model = if kind == Kind::Leaver { "m-broken" } else { "m-said" };
        let text = "Say some words, please. ".repeat(20);
        let body = json!({"model": model, "stream": streams, "messages": [{"role": "user", "content": text}]});
        let replica = *dice.pick(&self.replicas);
        let call = Call::to(replica, Method::POST, "/v1/chat/completions")
            .header("authorization", &format!("Bearer {}", client.key()))
            .header(HEADER, &plan.to_header())
            .json(&body);
        if leaves {
            let patience = Duration::from_micros(dice.below(120_000) as u64);
            let left = timeout(patience, call.answer()).await.is_err();
            self.tally.count(if left { "left" } else { "left: too late" });
            return;
        }
        let answer = call.answer().await;
        self.tally.count(&format!("{kind:?}: {}", answer.status));
        let words = answer.text().matches("word ").count() as u64;
        let is_right = match (kind, answer.status) {
            (_, 200) => words == plan.cut.unwrap_or(plan.words) && answer.complete,
            (Kind::Steady, _) => false,
            (_, status) => status == 429,
        };
        if !is_right {
            let text = excerpt(&answer.body, 300);
            self.tally.complain(format!("{kind:?} {}: {} {words} words, {text}", client.name(), answer.status));
        }
    }
}
