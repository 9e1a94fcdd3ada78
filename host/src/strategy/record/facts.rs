//! The targets, candidates and reports of a record, translated from and to those of the rest of the host.

use std::time::Duration;

use super::{Ended, Measured, Provider};
use crate::routing::{Candidate, OutcomeKind, Report, TargetFacts, micros};

impl From<&Candidate> for Measured {
    fn from(candidate: &Candidate) -> Self {
        let Candidate { target, in_flight, latency_us, failure_permille, requests_left, tokens_left } = *candidate;
        if (requests_left, tokens_left) == (1000, 1000) {
            Measured::Short(target, in_flight, latency_us, failure_permille)
        } else {
            Measured::Full(target, in_flight, latency_us, failure_permille, requests_left, tokens_left)
        }
    }
}

impl From<Measured> for Candidate {
    fn from(measured: Measured) -> Self {
        let (target, in_flight, latency_us, failure_permille, requests_left, tokens_left) = match measured {
            Measured::Full(target, busy, latency, failures, requests, tokens) => {
                (target, busy, latency, failures, requests, tokens)
            }
            Measured::Short(target, busy, latency, failures) => (target, busy, latency, failures, 1000, 1000),
        };
        Candidate { target, in_flight, latency_us, failure_permille, requests_left, tokens_left }
    }
}

impl From<&TargetFacts> for Provider {
    fn from(facts: &TargetFacts) -> Self {
        Self {
            name: facts.name.clone(),
            provider: if facts.provider == facts.name { String::new() } else { facts.provider.clone() },
            model: facts.model.clone(),
            context: facts.context,
            kind: facts.kind.to_owned(),
            weight: facts.weight,
            fallback_only: facts.fallback_only,
            max_concurrent: facts.max_concurrent,
            models: facts.models.clone(),
            price: facts.price,
            labels: facts.labels.clone(),
        }
    }
}

impl From<&Provider> for TargetFacts {
    fn from(provider: &Provider) -> Self {
        Self {
            name: provider.name.clone(),
            provider: if provider.provider.is_empty() { &provider.name } else { &provider.provider }.clone(),
            model: provider.model.clone(),
            context: provider.context,
            kind: if provider.kind == "azure" { "azure" } else { "openai" },
            weight: provider.weight,
            fallback_only: provider.fallback_only,
            max_concurrent: provider.max_concurrent,
            models: provider.models.clone(),
            price: provider.price,
            labels: provider.labels.clone(),
        }
    }
}

/// The reports, in the form in which they are written.
pub fn outcomes(reports: &[Report]) -> Vec<Ended> {
    let line = |report: &Report| {
        let (target, kind) = (report.target, report.kind.name().to_owned());
        let (first_byte, total) = (micros(report.first_byte), micros(report.total));
        let Report { input_tokens, output_tokens, cost, .. } = *report;
        if (input_tokens, output_tokens, cost) == (0, 0, 0.0) {
            Ended::Short(target, kind, first_byte, total)
        } else {
            Ended::Full(target, kind, first_byte, total, input_tokens, output_tokens, cost)
        }
    };
    reports.iter().map(line).collect()
}

/// The reports, read from the form in which they were written.
///
/// # Errors
///
/// When a kind of outcome does not exist.
pub fn reports(outcomes: &[Ended]) -> Result<Vec<Report>, String> {
    let report = |ended: &Ended| {
        let (target, kind, first_byte, total, (input_tokens, output_tokens, cost)) = match ended {
            Ended::Full(target, kind, first, total, input, output, cost) => {
                (target, kind, first, total, (*input, *output, *cost))
            }
            Ended::Short(target, kind, first, total) => (target, kind, first, total, (0, 0, 0.0)),
        };
        let known = OutcomeKind::ALL.into_iter().find(|known| known.name() == kind);
        let known = known.ok_or_else(|| format!("no attempt ends `{kind}`"))?;
        let micros = |micros: &u32| Duration::from_micros((*micros).into());
        let report = Report::of(*target, known, micros(first_byte), micros(total));
        Ok(Report { input_tokens, output_tokens, cost, ..report })
    };
    outcomes.iter().map(report).collect()
}
