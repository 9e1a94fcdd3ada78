//! What replicas tell each other of providers, by names that say nothing of the keys that they are about: rate limits, which
//! the others obey, and ejections, which are a hint. Whoever hears of one checks the provider by himself: it may be the
//! network of the other replica that is broken.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::ejection::Scope;
use super::{Fleet, Provider};

/// Differences of this size are the clocks', and not told.
const GRAIN: Duration = Duration::from_millis(250);

/// A limit or an ejection by its name, and the time for which it lasts.
type Throttle = (String, Duration);

/// The end of the name of an ejection.
const OUT: &str = ":!";

impl Fleet {
    /// The limits and ejections in force that this replica knows of, but for those in `heard`.
    pub fn met(&self, heard: &[Throttle]) -> Vec<Throttle> {
        let (now, snapshot) = (Instant::now(), self.snapshot());
        let mut met = Vec::new();
        for provider in self.providers() {
            let health = snapshot.of(provider.seat());
            let out = health.ejected_until().map(|until| until.saturating_duration_since(now));
            let out = out.filter(|wait| !wait.is_zero());
            if health.throttles().is_empty() && out.is_none() {
                continue;
            }
            let print = print(provider);
            let limits = health.throttles().each(now).map(|(scope, wait)| (named(&print, scope), wait));
            for (name, wait) in limits.chain(out.map(|wait| (print.clone() + OUT, wait))) {
                let known = heard.iter().find(|(other, _)| *other == name).map_or(Duration::ZERO, |(_, wait)| *wait);
                if wait > known + GRAIN {
                    met.push((name, wait));
                }
            }
        }
        met
    }

    /// Obeys the limits that other replicas have met with the same keys, and has a provider checked that another one has
    /// ejected.
    pub fn heed(&self, heard: &[Throttle]) {
        if heard.is_empty() {
            return;
        }
        let now = Instant::now();
        for provider in self.providers() {
            let print = print(provider);
            for (name, wait) in heard {
                if name.strip_prefix(&print) == Some(OUT) {
                    self.doubt(provider, now + *wait, now);
                    continue;
                }
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

impl Fleet {
    /// Has a provider checked that another replica has ejected until then: once for each ejection, and not if it is out here
    /// as well.
    fn doubt(&self, provider: &Provider, until: Instant, now: Instant) {
        let is_out = self.snapshot().of(provider.seat()).ejected_until().is_some();
        let mut known = provider.seat().out_elsewhere.lock();
        let is_new = known.is_none_or(|known| until > known + GRAIN);
        if is_new {
            *known = Some(until);
        }
        if is_new && !is_out && until > now {
            provider.seat().doubted.notify_one();
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
