//! What a strategy is told once.

use crate::{Provider, ProviderIndex};

/// The providers of the configuration. What it says under `strategies.NAME.config` comes beside it, already typed, as
/// [`Strategy::Config`](crate::Strategy::Config).
#[derive(Clone, Debug)]
pub struct Setup {
    providers: Vec<Provider>,
}

impl Setup {
    pub(crate) fn new(providers: Vec<Provider>) -> Self {
        Self { providers }
    }

    pub(crate) fn into_providers(self) -> Vec<Provider> {
        self.providers
    }

    /// All providers in the order of the configuration, by which they are numbered; at least one.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The number of the provider that the operator calls `name`.
    ///
    /// # Errors
    ///
    /// A sentence for the operator, with the names that there are, if none is called so: to be returned from
    /// [`Strategy::new`](crate::Strategy::new) with `?`.
    pub fn index_of(&self, name: &str) -> Result<ProviderIndex, String> {
        let found = self.providers.iter().zip(0..).find(|(provider, _)| provider.name == name);
        found.map(|(_, index)| index).ok_or_else(|| {
            let names: Vec<_> = self.providers.iter().map(|provider| provider.name.as_str()).collect();
            format!("no provider is named `{name}`; there are: {}", names.join(", "))
        })
    }
}
