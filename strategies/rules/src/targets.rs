//! Whom a rule means: targets by name, by model, by provider or by label.

use std::collections::BTreeSet;

use pointsman_guest::{Setup, Target};

use crate::document::Value;
use crate::pattern::{Pattern, any};
use crate::reader::{At, Reader, shown, suggest};

/// Some of the targets, and in which order they are written.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// For each target the place of the first entry that means it.
    places: Vec<Option<usize>>,
}

impl Chosen {
    /// Reads an entry, or a list of entries, each of which must mean somebody. `None` after a problem.
    pub fn read(reader: &mut Reader, at: &At<'_>, setup: &Setup) -> Option<Self> {
        let targets = setup.targets();
        let mut places = vec![None; targets.len()];
        let items = reader.several(at);
        let mut sound = !items.is_empty();
        for (place, item) in items.iter().enumerate() {
            let Some(meant) = entry(reader, item, targets) else {
                sound = false;
                continue;
            };
            for (known, _) in places.iter_mut().zip(&meant).filter(|(_, meant)| **meant) {
                known.get_or_insert(place);
            }
        }
        sound.then_some(Self { places })
    }

    pub fn has(&self, index: u32) -> bool {
        self.place(index).is_some()
    }

    /// The place of the entry that means it.
    pub fn place(&self, index: u32) -> Option<usize> {
        self.places.get(index as usize).copied().flatten()
    }
}

/// Whom an entry means: whether it does, for each target. `None` after a problem.
fn entry(reader: &mut Reader, at: &At<'_>, targets: &[Target]) -> Option<Vec<bool>> {
    let Value::Map(_) = at.value else {
        let named = reader.text(at)?;
        let pattern = Pattern::read(reader, at)?;
        let meant: Vec<_> = targets.iter().map(|one| pattern.fits(&one.name) || pattern.fits(&one.provider)).collect();
        if !meant.contains(&true) {
            let help = suggest(named, targets.iter().map(|target| target.name.as_str()));
            reader.problem(&at.path, format!("no target is called {}; {help}", shown(named)));
            return None;
        }
        return Some(meant);
    };
    let wanted = reader.entries(at);
    if wanted.is_empty() {
        return reader.not(at, "a name, a `model`, a `provider` or labels such as `{region: eu}`");
    }
    let mut meant = vec![true; targets.len()];
    let mut sound = true;
    for (key, at) in wanted {
        let patterns = Pattern::several(reader, &at);
        let found: Vec<_> =
            targets.iter().map(|target| values(target, key).any(|value| any(&patterns, value))).collect();
        if !found.contains(&true) {
            sound = false;
            if !patterns.is_empty() {
                reader.problem(&at.path, nobody(key, at.value, targets));
            }
        }
        meant.iter_mut().zip(found).for_each(|(meant, found)| *meant &= found);
    }
    if sound && !meant.contains(&true) {
        reader.problem(&at.path, "no target has all of these");
        sound = false;
    }
    sound.then_some(meant)
}

/// The values of a target under a key: its model, or those that it serves; its provider; else a label.
fn values<'t>(target: &'t Target, key: &str) -> impl Iterator<Item = &'t str> {
    let of_labels = target.labels.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str());
    let (own, listed) = match key {
        "model" if target.model.is_empty() => (None, &target.models[..]),
        "model" => (Some(target.model.as_str()), &[][..]),
        "provider" => (Some(target.provider.as_str()), &[][..]),
        _ => (None, &[][..]),
    };
    let is_label = !matches!(key, "model" | "provider");
    own.into_iter().chain(listed.iter().map(String::as_str)).chain(of_labels.filter(move |_| is_label))
}

fn nobody(key: &str, value: &Value, targets: &[Target]) -> String {
    let there: BTreeSet<_> = targets.iter().flat_map(|target| values(target, key)).collect();
    let value = value.to_string();
    match key {
        _ if !there.is_empty() => format!("no target has the {key} {}; {}", shown(&value), suggest(&value, there)),
        "model" => "no target has a model of its own".to_owned(),
        _ => {
            let labels = targets.iter().flat_map(|target| &target.labels).map(|(key, _)| key.as_str());
            let known: BTreeSet<_> = labels.chain(["model", "provider"]).collect();
            format!("no target has a label of this name; {}", suggest(key, known))
        }
    }
}
