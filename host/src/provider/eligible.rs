//! Which providers serve which model, worked out once from the configuration.
//!
//! Each distinct set of providers counts its own decisions: were there one counter for all, requests for two models
//! that alternate would each see every other number, and `round_robin` would send all of one model to one provider.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::RwLock;

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

    /// Goes on where `before` had come to for the same providers.
    fn new(indices: Vec<u32>, providers: &[config::Provider], before: &Counts, counts: &mut Counts) -> Self {
        let names: Vec<String> = indices.iter().map(|&index| providers[index as usize].name.clone()).collect();
        let known = before.get(&names).cloned().unwrap_or_default();
        let decisions = Arc::clone(counts.entry(names).or_insert(known));
        let (fallback, primary) = indices.iter().copied().partition(|&index| providers[index as usize].fallback_only);
        Self { providers: indices, primary, fallback, decisions }
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
    counts: RwLock<Counts>,
    /// All providers, where some of them serve more models than can be named.
    wild: Option<Wild>,
}

/// The sets of models that fit a wildcard, made when first asked for. There are no more than pairs of wildcards, since what
/// a name fits is a matter of how it begins and how it ends.
#[derive(Debug)]
struct Wild {
    providers: Vec<config::Provider>,
    sets: RwLock<HashMap<Vec<u32>, Arc<EligibleSet>>>,
    /// The counts of the predecessor.
    before: Counts,
}

impl Eligible {
    /// Works out the sets. Those that `predecessor` had too go on counting, so that a rotation survives a reload.
    pub fn new(providers: &[config::Provider], predecessor: Option<&Eligible>) -> Self {
        let before = predecessor.map(|before| before.counts.read().clone()).unwrap_or_default();
        let mut counts = Counts::new();
        let mut known = HashMap::new();
        let mut set_of = |serves: &dyn Fn(&config::Provider) -> bool| {
            let indices = indices(providers, serves);
            let make = || Arc::new(EligibleSet::new(indices.clone(), providers, &before, &mut counts));
            Arc::clone(known.entry(indices.clone()).or_insert_with(make))
        };
        let any = set_of(&|_| true);
        let others = set_of(&|provider| provider.models.is_empty());
        let limited = providers.iter().filter(|provider| !provider.models.is_empty());
        let names = limited.flat_map(config::Provider::named_models);
        let named = names.map(|name| (name.to_owned(), set_of(&|provider| provider.serves(name)))).collect();
        let is_wild = providers.iter().any(config::Provider::has_wildcards);
        let wild = is_wild.then(|| Wild { providers: providers.to_vec(), sets: RwLock::new(known), before });
        Self { named, any, others, counts: RwLock::new(counts), wild }
    }

    /// The providers without a list of models; all where none has one.
    pub fn unlisted(&self) -> &Arc<EligibleSet> {
        &self.others
    }

    /// The providers that serve `model`; an empty name is a request without one.
    pub fn of(&self, model: &str) -> Arc<EligibleSet> {
        if model.is_empty() {
            return Arc::clone(&self.any);
        }
        match (self.named.get(model), &self.wild) {
            (Some(named), _) => Arc::clone(named),
            (None, None) => Arc::clone(&self.others),
            (None, Some(wild)) => self.wild(wild, model),
        }
    }

    fn wild(&self, wild: &Wild, model: &str) -> Arc<EligibleSet> {
        let indices = indices(&wild.providers, &|provider| provider.serves(model));
        if let Some(known) = wild.sets.read().get(&indices) {
            return Arc::clone(known);
        }
        let make =
            || Arc::new(EligibleSet::new(indices.clone(), &wild.providers, &wild.before, &mut self.counts.write()));
        Arc::clone(wild.sets.write().entry(indices.clone()).or_insert_with(make))
    }
}

fn indices(providers: &[config::Provider], serves: &dyn Fn(&config::Provider) -> bool) -> Vec<u32> {
    (0_u32..).zip(providers).filter(|(_, provider)| serves(provider)).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers() -> Vec<config::Provider> {
        let text = "providers:\n\
            - {name: a, base_url: 'http://a/v1', api_key: k, models: ['gpt-*', exact]}\n\
            - {name: b, base_url: 'http://b/v1', api_key: k, models: [gpt-4], model_map: {'*-mini': m}}\n\
            - {name: c, base_url: 'http://c/v1', api_key: k}\n";
        config::parse(text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).unwrap().providers
    }

    #[test]
    fn a_wildcard_serves_what_fits_beside_exact_names() {
        let eligible = Eligible::new(&providers(), None);
        for (model, serving) in [
            ("gpt-4", &[0, 1, 2][..]),
            ("gpt-5", &[0, 2]),
            ("gpt-5-mini", &[0, 1, 2]),
            ("o3-mini", &[1, 2]),
            ("exact", &[0, 2]),
            ("other", &[2]),
            ("", &[0, 1, 2]),
        ] {
            assert_eq!(eligible.of(model).providers(), serving, "{model}");
        }
        assert!(
            Arc::ptr_eq(&eligible.of("gpt-5"), &eligible.of("gpt-6")),
            "one rotation for the models of one wildcard"
        );
    }

    #[test]
    fn a_rotation_survives_a_reload_also_behind_a_wildcard() {
        let before = Eligible::new(&providers(), None);
        assert_eq!((before.of("gpt-5").next_seq(Tier::Primary), before.of("gpt-4").next_seq(Tier::Primary)), (0, 0));
        let after = Eligible::new(&providers(), Some(&before));
        assert_eq!((after.of("gpt-6").next_seq(Tier::Primary), after.of("gpt-4").next_seq(Tier::Primary)), (1, 1));
    }
}
