//! Earlier versions of the contract, and their differences from today's: each in a module of its own.
//!
//! Both know providers where today's knows targets, and fewer facts about a candidate; a decision is an order and a
//! reason.

pub mod v0_1;
pub mod v0_2;

use super::types;
use crate::routing;

/// Turns a decision of one of these versions into today's.
impl From<v0_2::types::Decision> for types::Decision {
    fn from(decision: v0_2::types::Decision) -> Self {
        let v0_2::types::Decision { order, reason } = decision;
        types::Decision { order, reason, reasons: Vec::new(), excluded: Vec::new() }
    }
}

impl From<&routing::Report> for v0_2::types::Outcome {
    fn from(report: &routing::Report) -> Self {
        let types::Outcome { target, kind, first_byte_us, total_us, .. } = report.into();
        v0_2::types::Outcome { provider: target, kind, first_byte_us, total_us }
    }
}
