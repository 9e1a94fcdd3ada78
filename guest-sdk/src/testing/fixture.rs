//! Targets for tests, described as far as a test cares.

use crate::{Price, Target};

/// A target for a test. A name (`"a"`), or a name and a weight (`("a", 0.7)`), can stand for one.
#[derive(Clone, Debug)]
pub struct TargetFixture(Target);

/// The name of [`TargetFixture`] before 0.3 of the contract.
#[deprecated(note = "is called `TargetFixture`")]
pub type ProviderFixture = TargetFixture;

/// A target that is a provider of the same name, of kind `openai`, with weight 1, without limits, for any model.
pub fn fixture(name: &str) -> TargetFixture {
    TargetFixture(Target {
        name: name.to_owned(),
        provider: name.to_owned(),
        model: String::new(),
        kind: "openai".to_owned(),
        weight: 1.0,
        fallback_only: false,
        max_concurrent: 0,
        models: Vec::new(),
        context: 0,
        price: None,
        labels: Vec::new(),
    })
}

impl TargetFixture {
    /// Sets the provider, if its name is not that of the target.
    #[must_use]
    pub fn provider(mut self, name: &str) -> Self {
        name.clone_into(&mut self.0.provider);
        self
    }

    /// Sets the model that the provider is asked for.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.0.model);
        self
    }

    /// Sets how many tokens a request and its answer may have together.
    #[must_use]
    pub fn context(mut self, tokens: u32) -> Self {
        self.0.context = tokens;
        self
    }

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

    /// Marks it as held back until the others have failed. The host offers such providers in a tier of their own, which
    /// a test sets with `request.tier`.
    #[must_use]
    pub fn fallback_only(mut self) -> Self {
        self.0.fallback_only = true;
        self
    }

    /// Limits how many requests its provider may work on at once.
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

    pub(crate) fn into_target(self) -> Target {
        self.0
    }
}

impl From<&str> for TargetFixture {
    fn from(name: &str) -> Self {
        fixture(name)
    }
}

impl From<(&str, f64)> for TargetFixture {
    fn from((name, weight): (&str, f64)) -> Self {
        fixture(name).weight(weight)
    }
}
