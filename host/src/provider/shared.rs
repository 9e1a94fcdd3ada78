//! The rate limits of providers as replicas tell each other: by a name that says nothing of the key that they are about.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::ejection::Scope;
use super::{Fleet, Provider};

/// Differences of this size are the clocks', and not told.
const GRAIN: Duration = Duration::from_millis(250);

/// A limit by its name, and the time for which it lasts.
type Throttle = (String, Duration);

impl Fleet {
    /// The limits in force that this replica knows of, but for those in `heard`.
    pub fn met(&self, heard: &[Throttle]) -> Vec<Throttle> {
        let (now, snapshot) = (Instant::now(), self.snapshot());
        let mut met = Vec::new();
        for provider in self.providers() {
            let throttles = snapshot.of(provider.seat()).throttles();
            if throttles.is_empty() {
                continue;
            }
            let print = print(provider);
            for (scope, wait) in throttles.each(now) {
                let name = named(&print, scope);
                let known = heard.iter().find(|(other, _)| *other == name).map_or(Duration::ZERO, |(_, wait)| *wait);
                if wait > known + GRAIN {
                    met.push((name, wait));
                }
            }
        }
        met
    }

    /// Obeys the limits that other replicas have met with the same keys.
    pub fn heed(&self, heard: &[Throttle]) {
        if heard.is_empty() {
            return;
        }
        let now = Instant::now();
        for provider in self.providers() {
            let print = print(provider);
            for (name, wait) in heard {
                let Some(scope) = scope(&print, name) else { continue };
                let known =
                    self.snapshot().of(provider.seat()).throttles().each(now).find(|(other, _)| *other == scope);
                if *wait > known.map_or(Duration::ZERO, |(_, wait)| wait) + GRAIN {
                    self.update(provider, now, |health| health.limited_elsewhere(scope, *wait, now));
                }
            }
        }
    }
}

/// What providers share whose limits are the same: the destination and the key.
fn print(provider: &Provider) -> String {
    let config = &provider.config;
    let mut hash = Sha256::new();
    hash.update(config.base_url.as_str());
    hash.update([0]);
    hash.update(config.api_key.reveal());
    let digest = hash.finalize();
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

fn named(print: &str, scope: Scope) -> String {
    match scope {
        Scope::Account => format!("{print}:*"),
        Scope::Model(model) => format!("{print}:{:x}", model.number()),
    }
}

fn scope(print: &str, name: &str) -> Option<Scope> {
    match name.strip_prefix(print)?.strip_prefix(':')? {
        "*" => Some(Scope::Account),
        model => {
            u64::from_str_radix(model, 16).ok().map(|number| Scope::Model(crate::routing::ModelKey::numbered(number)))
        }
    }
}
