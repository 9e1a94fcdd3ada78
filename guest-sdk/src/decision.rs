//! The answer of a strategy.

use crate::bindings::pointsman::strategy::types as wit;
use crate::{Strategy, TargetIndex};

/// The reason for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// One of [`Strategy::REASONS`].
    Declared(&'static str),
    /// One of [`Strategy::reasons`], by number.
    Own(usize),
}

/// An order and a reason for it; or that the strategy abstains, or cannot decide.
#[derive(Clone, Debug)]
pub struct Decision {
    pub(crate) order: Result<Vec<TargetIndex>, String>,
    /// True when all others that were offered belong to `order` too, in the order of the configuration. The host adds
    /// them by itself.
    pub(crate) goes_on: bool,
    pub(crate) reason: Option<Reason>,
    /// One reason for each entry of `order`, or none.
    pub(crate) reasons: Vec<&'static str>,
    pub(crate) excluded: Vec<TargetIndex>,
}

impl Decision {
    /// Targets by preference, by index. Usually an [`Order`](crate::Order) becomes a decision by itself; an index that
    /// was not offered, or that is here twice, makes the decision illegal, and the host uses the order of the
    /// configuration.
    pub fn of(order: Vec<TargetIndex>) -> Self {
        Self { order: Ok(order), goes_on: false, reason: None, reasons: Vec::new(), excluded: Vec::new() }
    }

    /// Targets that must not be tried for this request, by index. Usually
    /// [`Candidates::filter`](crate::Candidates::filter) provides them; none that [`of`](Self::of) names may be among them.
    #[must_use]
    pub fn excluding(mut self, targets: impl IntoIterator<Item = TargetIndex>) -> Self {
        self.excluded.extend(targets);
        self
    }

    /// No preference: the order of the configuration.
    pub fn abstain() -> Self {
        Self::of(Vec::new())
    }

    /// The strategy cannot decide this request. The host logs `message`, counts an error and uses the order of the
    /// configuration; the strategy lives on.
    pub fn error(message: impl Into<String>) -> Self {
        Self { order: Err(message.into()), ..Self::abstain() }
    }

    /// States why, for logs and reports: one of [`Strategy::REASONS`]. A reason that is not declared there arrives as
    /// "unspecified"; the test kit panics at it.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(Reason::Declared(reason));
        self
    }

    /// States why with one of [`Strategy::reasons`], which come from the config, by its number there, from 0.
    #[must_use]
    pub fn because_own(mut self, number: usize) -> Self {
        self.reason = Some(Reason::Own(number));
        self
    }

    /// The same decision with all that belong to its order, of which these were offered.
    pub(crate) fn listed(mut self, offered: &[wit::Candidate]) -> Self {
        if let Ok(order) = &mut self.order
            && std::mem::take(&mut self.goes_on)
        {
            let others = offered.iter().map(|facts| facts.target);
            let others: Vec<_> =
                others.filter(|index| !order.contains(index) && !self.excluded.contains(index)).collect();
            order.extend(others);
        }
        self
    }

    /// As the contract has it: reasons are numbers, and 0 is "unspecified".
    pub(crate) fn into_wit<S: Strategy>(self) -> Result<wit::Decision, String> {
        let number =
            |reason| S::REASONS.iter().zip(1..).find(|(text, _)| **text == reason).map_or(0, |(_, number)| number);
        let reason = match self.reason {
            None => 0,
            Some(Reason::Declared(text)) => number(text),
            Some(Reason::Own(place)) => u32::try_from(S::REASONS.len() + 1 + place).unwrap_or(0),
        };
        let reasons = self.reasons.into_iter().map(number).collect();
        self.order.map(|order| wit::Decision { order, reason, reasons, excluded: self.excluded })
    }
}

impl From<Result<Decision, String>> for Decision {
    /// For a `route` that uses `?` on results of its functions.
    fn from(result: Result<Decision, String>) -> Self {
        result.unwrap_or_else(Decision::error)
    }
}
