//! `GET /admin/replicas`: the replicas that share an engine, what each runs, and what differs; and what this one tells the
//! others of itself. Its part of the OpenAPI document is `openapi/replicas.json`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::stories::may_read;
use super::{Operations, named, own};
use crate::config::{Written, environment};
use crate::limits::Owner;
use crate::state::valkey::fleet::{Card, Replica};

/// The others are told of changes, and looked at, this often.
const INTERVAL: Duration = Duration::from_secs(2);
/// Keys that say where a replica listens: they may differ on one machine.
const OWN: [&str; 4] = ["server.host", "server.port", "server.admin.host", "server.admin.port"];

/// A replica beside the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Compared {
    /// The replica.
    pub replica: Replica,
    /// In what it is not like most of them: `version`, `config`, `strategies`; with two, in what they are unlike each other.
    pub differs: Vec<&'static str>,
}

/// `GET /admin/replicas`.
pub(super) async fn replicas(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let answer = match may_read(&operations, &request) {
        Err(error) => own(error),
        Ok(()) => Json(json!({"replicas": written(&operations.replicas())})).into_response(),
    };
    named(answer, id)
}

/// Tells the other replicas of this one, which is served at `at`, and looks at them, until `stop`.
pub async fn introduce(operations: Arc<Operations>, at: String, stop: CancellationToken) {
    let machine = environment("HOSTNAME").or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let name = format!("{} {at}", machine.unwrap_or_default().trim());
    // It is served once.
    drop(operations.name.set(name.trim().to_owned()));
    let Some(valkey) = operations.engines.valkey() else { return };
    let round = || async {
        valkey.introduce(&operations.card());
        valkey.look().await;
    };
    while stop.run_until_cancelled(round()).await.is_some() {
        if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            break;
        }
    }
}

impl Operations {
    /// The card that this replica shows to the others.
    fn card(&self) -> Card {
        let generation = self.proxy.generation();
        let strategies = generation.routes.all().iter().map(|route| {
            let health = route.strategy().health();
            (route.name.clone(), format!("{} {}", health.name, health.digest).trim().to_owned())
        });
        let began = SystemTime::now().checked_sub(self.began.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        Card {
            name: self.name.get().cloned().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: self.digest(generation.number),
            generation: generation.number,
            strategies: strategies.collect(),
            started: began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
            state: if self.is_leaving() { "draining" } else { "serving" }.to_owned(),
        }
    }

    /// The digest of the configuration of this number, which is made once.
    fn digest(&self, generation: u64) -> String {
        let mut known = self.digest.lock();
        if known.0 != generation || known.1.is_empty() {
            *known = (generation, digest_of(&self.status.in_force()));
        }
        known.1.clone()
    }

    /// All replicas that are known, each compared with the others; this one alone where no engine is shared.
    pub(super) fn replicas(&self) -> Vec<Compared> {
        let mut known = self.engines.valkey().map(|valkey| valkey.known()).unwrap_or_default();
        match known.iter_mut().find(|one| one.is_this) {
            // What was read of this one may be older than it is.
            Some(this) => this.card = Some(self.card()),
            None => known.push(Replica { id: String::new(), card: Some(self.card()), is_this: true }),
        }
        compared(known)
    }

    /// The kind and the name of an owner of limits.
    pub(super) fn named_owner(&self, owner: &Owner, names: &HashMap<String, String>) -> (&'static str, String) {
        let kind = Owner::KINDS[owner.kind()];
        let name = names.get(owner.name()).filter(|_| kind == "client").cloned();
        (kind, name.unwrap_or_else(|| owner.name().to_owned()))
    }

    /// The names of up to so many clients whose keys were made at run time, by their ids.
    pub(super) fn names_by_id(&self, most: usize) -> HashMap<String, String> {
        let some = self.proxy.clients().some(most).into_iter();
        some.map(|(client, _)| (client.id().to_owned(), client.name.to_string())).collect()
    }
}

/// Says of each in what it is not like most of them.
fn compared(replicas: Vec<Replica>) -> Vec<Compared> {
    let value = |one: &Replica, what: &str| match (&one.card, what) {
        (None, _) => String::new(),
        (Some(card), "version") => card.version.clone(),
        (Some(card), "config") => card.config.clone(),
        (Some(card), _) => card.strategies.iter().map(|(route, strategy)| format!("{route}: {strategy}\n")).collect(),
    };
    let mut differs = vec![Vec::new(); replicas.len()];
    for what in ["version", "config", "strategies"] {
        let mut counts = BTreeMap::<String, usize>::new();
        replicas.iter().for_each(|one| *counts.entry(value(one, what)).or_default() += 1);
        for (one, differs) in replicas.iter().zip(&mut differs) {
            let same = counts.get(&value(one, what)).copied().unwrap_or(0);
            if same * 2 <= replicas.len() {
                differs.push(what);
            }
        }
    }
    let together = replicas.into_iter().zip(differs);
    together.map(|(replica, differs)| Compared { replica, differs }).collect()
}

/// A digest of a configuration as it is written: of every key, and of every value that may be shown.
fn digest_of(written: &Written) -> String {
    let mut hash = Sha256::new();
    for (key, value) in written.shown().filter(|(key, _)| !OWN.contains(key)) {
        hash.update(key.as_bytes());
        hash.update([0]);
        hash.update(value.unwrap_or_default().as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn written(replicas: &[Compared]) -> Value {
    let one = |Compared { replica, differs }: &Compared| {
        let mut fields = json!({"this": replica.is_this, "differs": differs});
        if !replica.id.is_empty() {
            fields["id"] = json!(replica.id);
        }
        if let Some(Card { name, version, config, generation, strategies, started, state }) = &replica.card {
            let started = Timestamp::from_second(i64::try_from(*started).unwrap_or(0)).unwrap_or_default();
            fields["name"] = json!(name);
            fields["version"] = json!(version);
            fields["config"] = json!(config);
            fields["generation"] = json!(generation);
            fields["strategies"] = json!(strategies);
            fields["started"] = json!(started.to_string());
            fields["state"] = json!(state);
        }
        fields
    };
    replicas.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(id: &str, version: &str, config: &str) -> Replica {
        let strategies = BTreeMap::from([("default".to_owned(), "weighted abc".to_owned())]);
        let (version, config) = (version.to_owned(), config.to_owned());
        let card = Card { version, config, strategies, ..Card::default() };
        Replica { id: id.to_owned(), card: Some(card), is_this: id == "a" }
    }

    fn differences(replicas: Vec<Replica>) -> Vec<Vec<&'static str>> {
        compared(replicas).into_iter().map(|one| one.differs).collect()
    }

    #[test]
    fn the_one_that_is_not_like_most_is_named() {
        let same = || replica("a", "1", "x");
        assert_eq!(differences(vec![same(), same(), replica("c", "1", "y")]), [vec![], vec![], vec!["config"]]);
        assert_eq!(differences(vec![same(), replica("b", "2", "x")]), [vec!["version"], vec!["version"]]);
        assert_eq!(differences(vec![same()]), [Vec::<&str>::new()]);
        let silent = Replica { id: "old".to_owned(), card: None, is_this: false };
        assert_eq!(differences(vec![same(), same(), silent])[2], ["version", "config", "strategies"]);
    }

    #[test]
    fn a_digest_knows_values_but_no_secrets_and_no_ports() {
        let digest = |text: &str| {
            let config = crate::config::parse(text, std::path::Path::new("x.yaml"), &|_| None, &["round_robin"]);
            digest_of(&config.expect("sound").written)
        };
        let with = |weight: u8, key: &str, port: u16| {
            digest(&format!(
                "providers: [{{name: a, base_url: 'http://a/v1', api_key: {key}, weight: {weight}}}]\nserver: {{port: {port}}}\n"
            ))
        };
        assert_eq!(with(1, "k", 1), with(1, "other", 2));
        assert_ne!(with(1, "k", 1), with(2, "k", 1));
        assert_eq!(with(1, "k", 1).len(), 12);
    }

    #[test]
    fn the_document_describes_what_is_answered() {
        let document: Value = serde_json::from_str(include_str!("openapi/replicas.json")).expect("JSON");
        let described = document["components"]["schemas"]["Replica"]["properties"].as_object().expect("an object");
        let answer = written(&compared(vec![replica("a", "1", "x")]));
        let keys =
            |value: &serde_json::Map<String, Value>| value.keys().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(keys(answer[0].as_object().expect("an object")), keys(described));
    }
}
