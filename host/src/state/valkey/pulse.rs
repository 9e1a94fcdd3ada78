//! What a replica says of itself to the others, and learns of them: a few times a second, in one question.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{RedisResult, Value};
use tokio::time::Instant;

use super::wire::{Script, Wire};
use crate::limits::{Clock, Moment};

/// Between two.
pub const INTERVAL: Duration = Duration::from_millis(300);

/// The clock is set by the engine's this often.
const CLOCK: Duration = Duration::from_secs(60);

/// The most limits of providers that are told at once.
const MOST: usize = 500;

/// A limit of a provider by a name that all replicas know it by, and the time for which it lasts.
pub type Throttle = (String, Duration);

/// One replica's part.
#[derive(Debug)]
pub struct Pulse {
    script: Script,
    keys: Vec<String>,
    replica: String,
    set: Mutex<Option<Instant>>,
}

/// What was learnt.
#[derive(Debug, PartialEq)]
pub struct Seen {
    /// The limits of providers that any replica has met, with the time for which they last.
    pub throttles: Vec<Throttle>,
    /// The engine's time.
    pub now: Moment,
    /// The replicas that are there, with this one.
    pub replicas: u64,
    /// When the engine began to know the fleet, in its own words.
    pub born: String,
}

impl Pulse {
    /// The part of the replica with this id.
    pub fn new(prefix: &str, replica: &str) -> Self {
        let fleet = format!("{prefix}:{{fleet}}");
        Self {
            script: Script::new(include_str!("pulse.lua")),
            keys: ["replicas", &format!("r:{replica}"), "throttled", "born"]
                .map(|name| format!("{fleet}:{name}"))
                .into(),
            replica: replica.to_owned(),
            set: Mutex::default(),
        }
    }

    /// Asks, and leaves there what the replica says of itself.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn ask(&self, wire: &mut Wire, card: &str, throttles: &[Throttle]) -> RedisResult<Value> {
        let mut arguments = vec![self.replica.clone(), card.to_owned()];
        for (name, lasts) in throttles.iter().take(MOST) {
            arguments.extend([name.clone(), lasts.as_micros().to_string()]);
        }
        wire.run(&self.script, &self.keys, &arguments).await
    }

    /// Says that this replica ends.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn leave(&self, wire: &mut Wire) -> RedisResult<()> {
        let [all, own, ..] = self.keys.as_slice() else { return Ok(()) };
        wire.ask(redis::cmd("ZREM").arg(all).arg(&self.replica)).await?;
        wire.ask(redis::cmd("DEL").arg(own)).await?;
        Ok(())
    }

    /// Sets the clock by the engine's, now and then: half of the time that the question took is what it is late by.
    pub fn seen(&self, clock: &Clock, now: Moment, took: Duration) {
        let at = Instant::now();
        let mut set = self.set.lock();
        if set.is_none_or(|set| at.duration_since(set) >= CLOCK) {
            *set = Some(at);
            clock.set(at, now.after(took / 2));
        }
    }
}

/// Reads an answer.
pub fn read(value: &Value) -> Option<Seen> {
    let Value::Array(parts) = value else { return None };
    let number = |value: &Value| redis::from_redis_value_ref::<u64>(value).ok();
    let (now, rest) = parts.split_first()?;
    let (replicas, rest) = rest.split_first()?;
    let (born, rest) = rest.split_first()?;
    let born = redis::from_redis_value_ref(born).ok()?;
    let throttle = |pair: &[Value]| {
        let [name, lasts] = pair else { return None };
        Some((redis::from_redis_value_ref(name).ok()?, Duration::from_micros(number(lasts)?)))
    };
    let throttles = rest.chunks(2).map(throttle).collect::<Option<_>>()?;
    Some(Seen { now: Moment(number(now)?.saturating_mul(1000)), replicas: number(replicas)?, born, throttles })
}

/// An id that no other replica has.
pub fn new_id() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}", random())
}

/// A time that differs from replica to replica, by a fifth.
pub fn jittered(time: Duration) -> Duration {
    let part = u32::try_from(RandomState::new().hash_one(0) % 1000).unwrap_or(0);
    time.mul_f64(0.8 + f64::from(part) / 2500.0)
}
