//! Providers for tests, described as far as a test cares.

use crate::{Price, Provider};

/// A provider for a test. A name (`"a"`), or a name and a weight (`("a", 0.7)`), can stand for one.
#[derive(Clone, Debug)]
pub struct ProviderFixture(Provider);

/// A provider of kind `openai`, with weight 1, without limits, for any model.
pub fn fixture(name: &str) -> ProviderFixture {
    ProviderFixture(Provider {
        name: name.to_owned(),
        kind: "openai".to_owned(),
        weight: 1.0,
        fallback_only: false,
        max_concurrent: 0,
        models: Vec::new(),
        price: None,
        labels: Vec::new(),
    })
}

impl ProviderFixture {
    /// Sets its weight.
    #[must_use]
    pub fn weight(mut self, weight: f64) -> Self {
        self.0.weight = weight;
        self
    }

    /// Sets the dialect it speaks.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.0.kind);
        self
    }

    /// Marks it as held back until the others have failed. The host offers such providers alone, in a tier of their
    /// own; a test says so with `request.tier`.
    #[must_use]
    pub fn fallback_only(mut self) -> Self {
        self.0.fallback_only = true;
        self
    }

    /// Limits how many requests it may work on at once.
    #[must_use]
    pub fn max_concurrent(mut self, limit: u32) -> Self {
        self.0.max_concurrent = limit;
        self
    }

    /// Sets the models that it serves.
    #[must_use]
    pub fn models<'m>(mut self, models: impl IntoIterator<Item = &'m str>) -> Self {
        self.0.models = models.into_iter().map(str::to_owned).collect();
        self
    }

    /// Sets what a million tokens of a request and of an answer cost.
    #[must_use]
    pub fn price(mut self, input: f64, output: f64) -> Self {
        self.0.price = Some(Price { input, output });
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn into_provider(self) -> Provider {
        self.0
    }
}

impl From<&str> for ProviderFixture {
    fn from(name: &str) -> Self {
        fixture(name)
    }
}

impl From<(&str, f64)> for ProviderFixture {
    fn from((name, weight): (&str, f64)) -> Self {
        fixture(name).weight(weight)
    }
}
