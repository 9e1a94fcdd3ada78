//! Which providers serve which model, worked out once from the configuration.
//!
//! Each distinct set of providers counts its own decisions: were there one counter for all, requests for two models
//! that alternate would each see every other number, and `round_robin` would send all of one model to one provider.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::config;
use crate::routing::Tier;

/// The providers that serve one model, or several.
#[derive(Debug)]
pub struct EligibleSet {
    providers: Vec<u32>,
    /// Of them, those that are not `fallback_only`, and those that are.
    primary: Vec<u32>,
    fallback: Vec<u32>,
    decisions: Arc<[AtomicU32; Tier::ALL.len()]>,
}

impl EligibleSet {
    /// One provider alone, whichever tier it belongs to otherwise.
    pub fn alone(provider: u32) -> Self {
        let providers = vec![provider];
        Self { primary: providers.clone(), providers, fallback: Vec::new(), decisions: Arc::default() }
    }

    /// Indices in the order of the configuration.
    pub fn providers(&self) -> &[u32] {
        &self.providers
    }

    /// Of them, those that a tier may offer, health aside.
    pub fn in_tier(&self, tier: Tier) -> &[u32] {
        match tier {
            Tier::Primary => &self.primary,
            Tier::Fallback => &self.fallback,
            Tier::LastResort => &self.providers,
        }
    }

    /// The number of the next decision for this set in `tier`, from 0.
    pub fn next_seq(&self, tier: Tier) -> u32 {
        self.decisions[tier as usize].fetch_add(1, Relaxed)
    }
}

/// Decisions counted so far, by the names of the providers they were about.
type Counts = HashMap<Vec<String>, Arc<[AtomicU32; Tier::ALL.len()]>>;

/// The sets of all models that the configuration names, and of all others.
#[derive(Debug)]
pub struct Eligible {
    named: HashMap<String, Arc<EligibleSet>>,
    any: Arc<EligibleSet>,
    others: Arc<EligibleSet>,
    counts: Counts,
}

impl Eligible {
    /// Works out the sets. Those that `predecessor` had too go on counting, so that a rotation survives a reload.
    pub fn new(providers: &[config::Provider], predecessor: Option<&Eligible>) -> Self {
        let mut counts = Counts::new();
        let mut sets: HashMap<Vec<u32>, Arc<EligibleSet>> = HashMap::new();
        let mut set_of = |serves: &dyn Fn(&config::Provider) -> bool| {
            let indices: Vec<u32> =
                (0_u32..).zip(providers).filter(|(_, provider)| serves(provider)).map(|(index, _)| index).collect();
            let make = || {
                let names: Vec<String> = indices.iter().map(|&index| providers[index as usize].name.clone()).collect();
                let before = predecessor.and_then(|before| before.counts.get(&names).cloned()).unwrap_or_default();
                let decisions = Arc::clone(counts.entry(names).or_insert(before));
                let (fallback, primary) =
                    indices.iter().copied().partition(|&index| providers[index as usize].fallback_only);
                Arc::new(EligibleSet { providers: indices.clone(), primary, fallback, decisions })
            };
            Arc::clone(sets.entry(indices.clone()).or_insert_with(make))
        };
        let any = set_of(&|_| true);
        let others = set_of(&|provider| provider.models.is_empty());
        let limited = providers.iter().filter(|provider| !provider.models.is_empty());
        let names = limited.flat_map(|provider| provider.models.iter().chain(provider.model_map.keys()));
        let named = names.map(|name| (name.clone(), set_of(&|provider| serves(provider, name)))).collect();
        Self { named, any, others, counts }
    }

    /// The providers without a list of models; all where none has one.
    pub fn unlisted(&self) -> &Arc<EligibleSet> {
        &self.others
    }

    /// The providers that serve `model`; an empty name is a request without one.
    pub fn of(&self, model: &str) -> &Arc<EligibleSet> {
        if model.is_empty() {
            return &self.any;
        }
        self.named.get(model).unwrap_or(&self.others)
    }
}

/// Whether a provider's list, if it has one, holds the client's name of the model or the name it is mapped to.
fn serves(provider: &config::Provider, model: &str) -> bool {
    let listed = |name: &str| provider.models.iter().any(|served| served == name);
    provider.models.is_empty() || listed(model) || provider.model_map.contains_key(model)
}
