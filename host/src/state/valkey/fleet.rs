//! The replicas that share the engine, as each of them describes itself, and what all of them together have used of limits:
//! for operators, off the way of requests.
//!
//! A replica's description stands where it says that it is there, and goes with it. Usage is read from the counters that
//! leases are granted from, so it holds what every replica has told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use redis::{Cmd, FromRedisValue};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::failure::{Failure, flat};
use super::wire::Wire;
use super::{Facts, Valkey};
use crate::limits::{Account, Book, Meter, Moment, Owner, Rule, Unit};

/// The longest time for one question.
const BOUND: Duration = Duration::from_secs(1);
/// The most replicas that are looked at.
const MOST: usize = 200;
/// The most owners of each kind whose limits are read.
const OWNERS: usize = 1000;
/// The questions that are under way at once.
const AT_ONCE: usize = 64;

/// What a replica says of itself. None of it is a secret; digests are of what may be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// The machine, and the address for clients there.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// A digest of the configuration as it is written, without secrets, and without the addresses that it listens at.
    pub config: String,
    /// The number of the configuration.
    pub generation: u64,
    /// The component that decides on each route: its name, and the first digits of its SHA-256.
    pub strategies: BTreeMap<String, String>,
    /// When it was started, in seconds since 1970.
    pub started: u64,
    /// `serving` or `draining`.
    pub state: String,
}

/// A replica that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its id, which is new with each start.
    pub id: String,
    /// What it says of itself; an older version says nothing.
    pub card: Option<Card>,
    /// True for the one that has looked.
    pub is_this: bool,
}

/// A limit, and what all replicas have used of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The owner of the limit.
    pub owner: Owner,
    /// The unit that it counts.
    pub unit: Unit,
    /// Its key in the configuration, such as `rpm` or `month`.
    pub name: Arc<str>,
    /// Of a budget the window that it is in, such as `2026-11`.
    pub window: Option<String>,
    /// The limit; money in billionths of a dollar.
    pub amount: u64,
    /// The use of it.
    pub used: u64,
}

impl Valkey {
    /// Has the other replicas be told this of this one.
    pub fn introduce(&self, card: &Card) {
        // Texts and numbers can always be written.
        *self.shared.card.lock() = serde_json::to_string(card).unwrap_or_default();
    }

    /// The replicas as they were last looked at, in the order of their names.
    pub fn known(&self) -> Vec<Replica> {
        self.shared.known.lock().clone()
    }

    /// Looks at the replicas; those of before stay known where the engine does not answer.
    pub async fn look(&self) {
        if let Ok(replicas) = self.read_replicas().await {
            *self.shared.known.lock() = replicas;
        }
    }

    fn wire_if_up(&self) -> Result<Wire, Failure> {
        let Facts { up, .. } = self.facts();
        self.shared.wire.lock().clone().filter(|_| up).ok_or(Failure::Silence)
    }

    async fn read_replicas(&self) -> Result<Vec<Replica>, Failure> {
        let wire = self.wire_if_up()?;
        let fleet = format!("{}:{{fleet}}", self.prefix);
        let mut all = redis::cmd("ZREVRANGE");
        all.arg(format!("{fleet}:replicas")).arg(0).arg(MOST - 1);
        let ids: Vec<String> = asked(wire.clone(), &all).await?;
        let read = ids.into_iter().map(|id| {
            let wire = wire.clone();
            let mut one = redis::cmd("GET");
            one.arg(format!("{fleet}:r:{id}"));
            async move {
                let text: Option<String> = asked(wire, &one).await?;
                let card = text.and_then(|text| serde_json::from_str(&text).ok());
                Ok(Replica { is_this: id == self.replica, id, card })
            }
        });
        let mut replicas = join_all(read).await.into_iter().collect::<Result<Vec<_>, Failure>>()?;
        let name = |one: &Replica| one.card.as_ref().map_or(String::new(), |card| card.name.clone());
        replicas.sort_by_cached_key(|one| (name(one), one.id.clone()));
        Ok(replicas)
    }

    /// What all replicas have used of the limits of these accounts, of each kind of owners the first by name.
    ///
    /// # Errors
    ///
    /// Why the engine does not say, in words without addresses and secrets.
    pub async fn used(&self, book: &Book, now: Moment) -> Result<Vec<Used>, String> {
        let mut accounts = book.accounts();
        accounts.sort_by(|one, other| one.owner().cmp(other.owner()));
        let mut taken = [0_usize; Owner::KINDS.len()];
        accounts.retain(|account| {
            let kind = account.owner().kind();
            taken[kind] += 1;
            taken[kind] <= OWNERS
        });
        let wire = self.wire_if_up().map_err(|failure| failure.words())?;
        let of_one = |account: Arc<Account>| {
            let (wire, prefix) = (wire.clone(), self.prefix.as_str());
            async move { of_account(wire, prefix, &account, now).await }
        };
        let read: Vec<Result<Vec<Used>, Failure>> =
            stream::iter(accounts).map(of_one).buffered(AT_ONCE).collect().await;
        let all = read.into_iter().collect::<Result<Vec<_>, _>>().map_err(|failure| failure.words())?;
        Ok(all.into_iter().flatten().collect())
    }
}

async fn of_account(wire: Wire, prefix: &str, account: &Account, now: Moment) -> Result<Vec<Used>, Failure> {
    let owner = account.owner();
    let key = |name: &str| format!("{prefix}:{{{owner}}}:{name}");
    let mut all = Vec::new();
    for meter in account.meters() {
        let (used, window) = of_meter(&wire, &key, meter, now).await?;
        let (owner, name) = (owner.clone(), Arc::clone(&meter.name));
        all.push(Used { owner, unit: meter.unit, name, window, amount: meter.amount(), used });
    }
    if let Some((limit, _)) = account.parallel() {
        let mut held = redis::cmd("HGETALL");
        held.arg(key("parallel"));
        let held: BTreeMap<String, String> = asked(wire, &held).await?;
        let used = held.values().filter_map(|value| holding(value, now)).sum();
        let (owner, unit, name) = (owner.clone(), Unit::Parallel, "parallel".into());
        all.push(Used { owner, unit, name, window: None, amount: limit.into(), used });
    }
    Ok(all)
}

/// The use of a limit, and the window of a budget.
async fn of_meter(
    wire: &Wire,
    key: &impl Fn(&str) -> String,
    meter: &Meter,
    now: Moment,
) -> Result<(u64, Option<String>), Failure> {
    match &meter.rule {
        Rule::Rate(gcra) => {
            let mut rate = redis::cmd("GET");
            rate.arg(key(&meter.name));
            let value: Option<f64> = asked(wire.clone(), &rate).await?;
            Ok((gcra.amount().saturating_sub(gcra.free(nanoseconds(value.unwrap_or(0.0)), now.0)), None))
        }
        Rule::Budget { calendar, .. } => {
            let window = calendar.window(now).name;
            let mut spent = redis::cmd("HGET");
            spent.arg(key(&format!("usd:{}:{window}", meter.name))).arg("spent");
            let value: Option<u64> = asked(wire.clone(), &spent).await?;
            Ok((value.unwrap_or(0), Some(window)))
        }
    }
}

/// The slots that one replica holds, if they have not come back meanwhile.
fn holding(value: &str, now: Moment) -> Option<u64> {
    let (much, expires) = value.split_once(' ')?;
    let is_held = expires.parse::<u64>().ok()?.saturating_mul(1000) > now.0;
    much.parse().ok().filter(|_| is_held)
}

/// A moment of the engine, which counts in microseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a moment, not below 0")]
fn nanoseconds(value: f64) -> u64 {
    (value * 1000.0) as u64
}

async fn asked<T: FromRedisValue>(mut wire: Wire, command: &Cmd) -> Result<T, Failure> {
    let value = flat(timeout(BOUND, wire.ask(command)).await)?;
    redis::from_redis_value_ref(&value).map_err(|_| Failure::Nonsense)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_replicas_that_are_gone_come_back() {
        let now = Moment(5_000_000_000);
        assert_eq!(holding("3 5000001", now), Some(3));
        assert_eq!((holding("3 5000000", now), holding("x", now)), (None, None));
    }

    #[test]
    fn a_card_of_another_version_is_read_as_far_as_it_is_known() {
        let card: Card = serde_json::from_str("{\"version\":\"9\",\"colour\":\"red\"}").expect("an object");
        assert_eq!((card.version.as_str(), card.generation), ("9", 0));
        assert!(serde_json::from_str::<Card>("1").is_err(), "an older version says nothing");
    }
}
