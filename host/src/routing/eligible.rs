//! Which targets of a route serve which model, worked out once from the configuration.
//!
//! Each distinct set of targets counts its own decisions: were there one counter for all, requests for two models
//! that alternate would each see every other number, and `round_robin` would send all of one model to one provider.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::{Target, Tier};
use crate::config;

/// The targets that serve one model, or several.
#[derive(Debug)]
pub struct EligibleSet {
    targets: Vec<u32>,
    /// Of them, those of the first tier, and those that are held back.
    primary: Vec<u32>,
    fallback: Vec<u32>,
    decisions: Arc<[AtomicU32; Tier::ALL.len()]>,
}

impl EligibleSet {
    /// A set of one target, whichever tier it belongs to otherwise.
    pub fn alone(target: u32) -> Self {
        let targets = vec![target];
        Self { primary: targets.clone(), targets, fallback: Vec::new(), decisions: Arc::default() }
    }

    /// Continues the counts of `before`, which is of the same targets.
    fn new(indices: Vec<u32>, targets: &[Target], before: &Counts, counts: &mut Counts) -> Self {
        let names: Vec<String> = indices.iter().map(|&index| targets[index as usize].name.clone()).collect();
        let known = before.get(&names).cloned().unwrap_or_default();
        let decisions = Arc::clone(counts.entry(names).or_insert(known));
        let (fallback, primary) = indices.iter().copied().partition(|&index| targets[index as usize].fallback);
        Self { targets: indices, primary, fallback, decisions }
    }

    /// Indices in the order of the configuration.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// True when nobody serves it.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Of them, those that a tier may offer, health aside.
    pub fn in_tier(&self, tier: Tier) -> &[u32] {
        match tier {
            Tier::Primary => &self.primary,
            Tier::Fallback => &self.fallback,
            Tier::LastResort => &self.targets,
        }
    }

    /// The number of the next decision for this set in `tier`, from 0.
    pub fn next_seq(&self, tier: Tier) -> u32 {
        self.decisions[tier as usize].fetch_add(1, Relaxed)
    }
}

/// Decisions counted so far, by the names of the targets they were about.
type Counts = HashMap<Vec<String>, Arc<[AtomicU32; Tier::ALL.len()]>>;

/// The sets of all models that the configuration names, and of all others.
#[derive(Debug)]
pub struct Eligible {
    named: HashMap<String, Arc<EligibleSet>, RandomState>,
    any: Arc<EligibleSet>,
    others: Arc<EligibleSet>,
    counts: RwLock<Counts>,
    /// The models that each target serves, where some of them serve more than can be named.
    wild: Option<Wild>,
}

/// The sets of models that fit a wildcard, made when first asked for. There are no more of them than pairs of
/// wildcards, since it depends on the beginning and the end of a name what it fits.
#[derive(Debug)]
struct Wild {
    targets: Vec<Target>,
    /// The provider of each target, whose list of models bounds what it serves; none for a target that serves
    /// everything.
    lists: Vec<Option<config::Provider>>,
    sets: RwLock<HashMap<Vec<u32>, Arc<EligibleSet>>>,
    /// The counts of the predecessor.
    before: Counts,
}

impl Eligible {
    /// Works out the sets of these targets. Sets that `predecessor` had too keep their counts, so that a rotation
    /// survives a reload.
    pub fn new(targets: &[Target], providers: &[config::Provider], predecessor: Option<&Eligible>) -> Self {
        let before = predecessor.map(|before| before.counts.read().clone()).unwrap_or_default();
        let mut counts = Counts::new();
        let mut known = HashMap::new();
        let list = |target: &Target| {
            let provider = &providers[target.provider as usize];
            (!target.names_its_model() && !provider.models.is_empty()).then_some(provider)
        };
        let lists: Vec<Option<&config::Provider>> = targets.iter().map(list).collect();
        let mut set_of = |serves: &dyn Fn(&config::Provider) -> bool| {
            let indices = indices(lists.iter().copied(), serves);
            let make = || Arc::new(EligibleSet::new(indices.clone(), targets, &before, &mut counts));
            Arc::clone(known.entry(indices.clone()).or_insert_with(make))
        };
        let any = set_of(&|_| true);
        let others = set_of(&|_| false);
        let names = lists.iter().flatten().flat_map(|provider| provider.named_models());
        let named = names.map(|name| (name.to_owned(), set_of(&|provider| provider.serves(name)))).collect();
        let is_wild = lists.iter().flatten().any(|provider| provider.has_wildcards());
        let wild = is_wild.then(|| Wild {
            targets: targets.to_vec(),
            lists: lists.iter().map(|provider| provider.cloned()).collect(),
            sets: RwLock::new(known),
            before,
        });
        Self { named, any, others, counts: RwLock::new(counts), wild }
    }

    /// The targets that no list of models bounds; all where none has one.
    pub fn unlisted(&self) -> &Arc<EligibleSet> {
        &self.others
    }

    /// The targets that serve `model`; an empty name is a request without one.
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
        let indices = indices(wild.lists.iter().map(Option::as_ref), &|provider| provider.serves(model));
        if let Some(known) = wild.sets.read().get(&indices) {
            return Arc::clone(known);
        }
        let make =
            || Arc::new(EligibleSet::new(indices.clone(), &wild.targets, &wild.before, &mut self.counts.write()));
        Arc::clone(wild.sets.write().entry(indices.clone()).or_insert_with(make))
    }
}

/// The targets that have no list of models, and those whose list `serves`.
fn indices<'p>(
    lists: impl Iterator<Item = Option<&'p config::Provider>>,
    serves: &dyn Fn(&config::Provider) -> bool,
) -> Vec<u32> {
    (0_u32..).zip(lists).filter(|(_, list)| list.is_none_or(serves)).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eligible(predecessor: Option<&Eligible>) -> Eligible {
        let text = "providers:\n\
            - {name: a, base_url: 'http://a/v1', api_key: k, models: ['gpt-*', exact]}\n\
            - {name: b, base_url: 'http://b/v1', api_key: k, models: [gpt-4], model_map: {'*-mini': m}}\n\
            - {name: c, base_url: 'http://c/v1', api_key: k}\n";
        let providers = config::parse(text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).unwrap().providers;
        Eligible::new(&Target::all(&providers), &providers, predecessor)
    }

    #[test]
    fn a_wildcard_serves_what_fits_beside_exact_names() {
        let eligible = eligible(None);
        for (model, serving) in [
            ("gpt-4", &[0, 1, 2][..]),
            ("gpt-5", &[0, 2]),
            ("gpt-5-mini", &[0, 1, 2]),
            ("o3-mini", &[1, 2]),
            ("exact", &[0, 2]),
            ("other", &[2]),
            ("", &[0, 1, 2]),
        ] {
            assert_eq!(eligible.of(model).targets(), serving, "{model}");
        }
        assert!(
            Arc::ptr_eq(&eligible.of("gpt-5"), &eligible.of("gpt-6")),
            "one rotation for the models of one wildcard"
        );
    }

    #[test]
    fn a_rotation_survives_a_reload_also_behind_a_wildcard() {
        let before = eligible(None);
        assert_eq!((before.of("gpt-5").next_seq(Tier::Primary), before.of("gpt-4").next_seq(Tier::Primary)), (0, 0));
        let after = eligible(Some(&before));
        assert_eq!((after.of("gpt-6").next_seq(Tier::Primary), after.of("gpt-4").next_seq(Tier::Primary)), (1, 1));
    }
}
