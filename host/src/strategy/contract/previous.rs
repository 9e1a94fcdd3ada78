//! The versions of the contract that are past, and what they have otherwise than today's: each in a module of its own.
//!
//! Both know providers where today's knows targets, less of a candidate, and a decision that is an order and a reason.

pub mod v0_1;
pub mod v0_2;

use super::types;
use crate::routing;

/// Today's decision in place of one of these versions.
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
