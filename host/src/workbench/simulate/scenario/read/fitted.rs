//! The keys of scenarios that were made of a ledger.

use std::collections::BTreeMap;
use std::path::Path;

use super::Reading;
use crate::config::{Schema, Section};
use crate::observe::ledger::Time;
use crate::workbench::simulate::scenario::{ModelBehaviour, Recorded};

const RECORDED: Schema = Schema::of_names("`traffic.recorded`", &["ledger", "since", "until"]);
const MODEL: Schema = Schema::of_names("`providers.NAME.models.MODEL`", &["first_token", "tokens_per_second"]);

impl Reading<'_> {
    /// The ledger whose requests are played.
    pub(super) fn recorded(&mut self, traffic: &Section<'_>, folder: &Path) -> Option<Recorded> {
        let section = self.0.section(traffic, "recorded", Some(RECORDED));
        let ledger = self.required(&section, "ledger", |reader| reader.text(&section, "ledger"));
        let moment = |reader: &mut Self, key: &str| {
            reader.required(&section, key, |reader| {
                let text = reader.0.text(&section, key).ok().flatten()?;
                let moment = text.text.parse().ok().map(Time::of);
                if moment.is_none() {
                    let wanted = "a moment such as 2026-11-26T14:05:00Z";
                    reader.0.not(&text.at, wanted, &text.shown, None);
                }
                moment
            })
        };
        let (since, until) = (moment(self, "since"), moment(self, "until"));
        Some(Recorded { ledger: folder.join(ledger?), since: since?, until: until? })
    }

    /// The times of those models that take other times.
    pub(super) fn models(&mut self, behaviour: &Section<'_>) -> Option<BTreeMap<String, ModelBehaviour>> {
        let (mut models, mut is_sound) = (BTreeMap::new(), true);
        let section = self.0.section(behaviour, "models", None);
        for (at, name, node) in section.entries() {
            let model = self.0.mapping(Some(node), at, Some(MODEL)).ok().and_then(|section| {
                let first =
                    self.required(&section, "first_token", |reader| reader.spread(&section, "first_token", true));
                let key = "tokens_per_second";
                let speed = self.required(&section, key, |reader| reader.positive(&section, key, 1e9));
                Some(ModelBehaviour { first_token: first?, tokens_per_second: speed? })
            });
            match model {
                Some(model) => drop(models.insert(name.to_owned(), model)),
                None => is_sound = false,
            }
        }
        is_sound.then_some(models)
    }
}
