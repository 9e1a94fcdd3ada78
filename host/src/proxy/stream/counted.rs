//! Counts what passes: the tokens that an answer names, and its text, by which it is charged if it names none.

use super::Kind;
use crate::limits::Usage;
use crate::provider::Permit;
use crate::proxy::limits::delivered::Delivered;
use crate::proxy::usage::UsageScanner;

/// The counts of one answer.
pub(super) struct Counted {
    usage: UsageScanner,
    /// Only where its provider's account counts tokens or money.
    text: Option<Box<Delivered>>,
}

impl Counted {
    /// Of an answer of this kind.
    pub fn of(permit: &Permit, kind: &Kind) -> Self {
        let text = match kind {
            Kind::Events(flow) if permit.counts_tokens() => Some(Box::new(Delivered::new(flow.reader.protocol()))),
            Kind::Events(_) | Kind::Bytes(_) => None,
        };
        Self { usage: UsageScanner::default(), text }
    }

    /// Counts whole events, or a piece of another answer.
    pub fn feed(&mut self, piece: &[u8]) {
        self.usage.feed(piece);
        if let Some(text) = &mut self.text {
            text.feed(piece);
        }
    }

    /// The tokens that it names.
    pub fn found(&self) -> Option<Usage> {
        self.usage.found()
    }

    /// Tells the attempt how much text came.
    pub fn tell(&self, permit: &mut Permit) {
        permit.brought(self.text.as_ref().map_or(0, |text| text.bytes));
    }
}
