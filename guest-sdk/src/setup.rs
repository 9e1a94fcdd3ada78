//! The facts that a strategy is told once.

use crate::bindings::pointsman::strategy::types as wit;
use crate::{Target, TargetIndex};

/// The targets of the route, and what the operator grants. The configuration under `strategies.NAME.config` comes
/// separately, already typed, as [`Strategy::Config`](crate::Strategy::Config).
#[derive(Clone, Debug)]
pub struct Setup {
    route: String,
    targets: Vec<Target>,
    attributes: Vec<String>,
    prompt: bool,
}

impl Setup {
    /// The setup, and the config in it.
    pub(crate) fn new(setup: wit::Setup) -> (Self, String) {
        let wit::Setup { route, targets, attributes, prompt, config } = setup;
        (Self { route, targets, attributes, prompt }, config)
    }

    pub(crate) fn into_targets(self) -> Vec<Target> {
        self.targets
    }

    /// The name of the route that this instance decides for.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// All targets in the order of the configuration, by which they are numbered; at least one.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// All targets: the name of [`targets`](Self::targets) before 0.3 of the contract.
    #[deprecated(note = "a strategy chooses among targets, of which several may be at one provider: `targets`")]
    pub fn providers(&self) -> &[Target] {
        &self.targets
    }

    /// The names that [`Request::attribute`](crate::Request::attribute) may know, from `routing.attributes` of the
    /// configuration.
    pub fn attributes(&self) -> &[String] {
        &self.attributes
    }

    /// True when requests come with their prompt.
    pub fn has_prompt(&self) -> bool {
        self.prompt
    }

    /// The number of the target that is called `name`.
    ///
    /// # Errors
    ///
    /// A sentence for the operator, with the names that exist, if there is no such target. Return it from
    /// [`Strategy::new`](crate::Strategy::new) with `?`.
    pub fn index_of(&self, name: &str) -> Result<TargetIndex, String> {
        let found = self.targets.iter().zip(0..).find(|(target, _)| target.name == name);
        found.map(|(_, index)| index).ok_or_else(|| {
            format!(
                "no target is named `{name}`; there are: {}",
                listed(self.targets.iter().map(|target| &target.name))
            )
        })
    }

    /// Checks that the configuration grants an attribute that the strategy needs.
    ///
    /// # Errors
    ///
    /// A sentence for the operator, as of [`index_of`](Self::index_of).
    pub fn wants_attribute(&self, name: &str) -> Result<(), String> {
        if self.attributes.iter().any(|known| known == name) {
            return Ok(());
        }
        let there = if self.attributes.is_empty() { "none".to_owned() } else { listed(self.attributes.iter()) };
        Err(format!("`routing.attributes` of the configuration must name `{name}`; there is: {there}"))
    }

    /// Checks that the configuration grants the prompt, if the strategy needs it.
    ///
    /// # Errors
    ///
    /// A sentence for the operator, as of [`index_of`](Self::index_of).
    pub fn wants_prompt(&self) -> Result<(), String> {
        let missing = "it must be granted the prompt: `grants: [prompt]` under `strategies` in the configuration";
        if self.prompt { Ok(()) } else { Err(missing.to_owned()) }
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}
