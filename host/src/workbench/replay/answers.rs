//! Compares two answers, and puts each into words.

use super::Comparison;
use crate::strategy::record::{Decided, Recorded, Start};

/// True when two answers are the same. Numbers of reasons mean something only to the strategy that gives them.
pub(super) fn are_alike(left: &Recorded, right: &Recorded, one_strategy: bool) -> bool {
    match (left.decision(), right.decision()) {
        (Some(left), Some(right)) => {
            let are_same = |left: &[u32], right: &[u32]| {
                left.len() == right.len() && left.iter().all(|index| right.contains(index))
            };
            let why = |decided: &Decided<'_>| (decided.reason, decided.reasons.to_vec());
            left.order == right.order
                && are_same(left.excluded, right.excluded)
                && (!one_strategy || why(&left) == why(&right))
        }
        _ => left == right,
    }
}

pub(super) fn in_words(
    answer: &Recorded,
    start: &Start,
    side: usize,
    comparison: &Comparison,
    name: impl Fn(u32) -> String,
) -> String {
    match answer {
        Recorded::Order(..) | Recorded::Decided { .. } => {
            let Some(Decided { order, reason, excluded, .. }) = answer.decision() else { return String::new() };
            let names = |indices: &[u32]| indices.iter().map(|index| name(*index)).collect::<Vec<_>>().join(", ");
            let order = match (order, excluded) {
                (order, []) => names(order),
                ([], excluded) => format!("nobody, without {}", names(excluded)),
                (order, excluded) => format!("{}, without {}", names(order), names(excluded)),
            };
            // The texts of the reasons are those of the recorded strategy.
            let is_recorded = comparison.names[side] == "recorded" || comparison.names[side] == start.strategy;
            match start.reasons.get(reason as usize).filter(|_| is_recorded && reason > 0) {
                Some(reason) => format!("{order} ({reason})"),
                None => order,
            }
        }
        Recorded::Abstained => "no opinion".to_owned(),
        Recorded::Refused(text) => format!("an error: {text}"),
        Recorded::Fault(kind) => format!("a fault: {kind}"),
    }
}
