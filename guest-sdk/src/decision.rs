//! What a strategy answers.

use crate::bindings::pointsman::strategy::types as wit;
use crate::{Strategy, TargetIndex};

/// An order and a reason for it; or that the strategy abstains, or cannot decide.
#[derive(Clone, Debug)]
pub struct Decision {
    pub(crate) order: Result<Vec<TargetIndex>, String>,
    pub(crate) reason: Option<&'static str>,
    /// One for each of `order`, or none.
    pub(crate) reasons: Vec<&'static str>,
    pub(crate) excluded: Vec<TargetIndex>,
}

impl Decision {
    /// Targets by preference, by index. Usually an [`Order`](crate::Order) becomes a decision by itself; an index that
    /// was not offered, or one that stands here twice, makes it illegal and the host uses the order of the
    /// configuration.
    pub fn of(order: Vec<TargetIndex>) -> Self {
        Self { order: Ok(order), reason: None, reasons: Vec::new(), excluded: Vec::new() }
    }

    /// Targets that must not be tried for this request, by index. Usually
    /// [`Candidates::filter`](crate::Candidates::filter) says so; none may also stand in the order.
    #[must_use]
    pub fn excluding(mut self, targets: impl IntoIterator<Item = TargetIndex>) -> Self {
        self.excluded.extend(targets);
        self
    }

    /// No preference: the order of the configuration.
    pub fn abstain() -> Self {
        Self::of(Vec::new())
    }

    /// This request should not have come here. The host logs `message`, counts an error and uses the order of the
    /// configuration; the strategy lives on.
    pub fn error(message: impl Into<String>) -> Self {
        Self { order: Err(message.into()), ..Self::abstain() }
    }

    /// States why, for logs and reports: one of [`Strategy::REASONS`]. A reason that is not declared there arrives as
    /// "unspecified"; the test kit panics at it.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// As the contract has it: reasons are numbers, and 0 is "unspecified".
    pub(crate) fn into_wit<S: Strategy>(self) -> Result<wit::Decision, String> {
        let number =
            |reason| S::REASONS.iter().zip(1..).find(|(text, _)| **text == reason).map_or(0, |(_, number)| number);
        let reason = self.reason.map_or(0, number);
        let reasons = self.reasons.into_iter().map(number).collect();
        self.order.map(|order| wit::Decision { order, reason, reasons, excluded: self.excluded })
    }
}

impl From<Result<Decision, String>> for Decision {
    /// For a `route` whose work is done by functions that use `?`.
    fn from(result: Result<Decision, String>) -> Self {
        result.unwrap_or_else(Decision::error)
    }
}
