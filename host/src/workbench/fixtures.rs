//! The author's own fixtures, played to the component: each to an instance of its own, under the limits of the server. What a fixture
//! can say, and whether it came so, is the crate `pointsman-fixture`'s, which the SDK's test kit shares.

use std::time::Duration;

use pointsman_fixture as data;
use serde::Serialize;

use crate::routing::{Candidate, Facts, Origin, OutcomeKind, Report, TargetFacts, Tier};
use crate::strategy::blueprint::Blueprint;
use crate::strategy::instance::{Answer, Instance, Setup};
use crate::wasm::engine::Engine;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::Said;

/// What came of a fixture.
#[derive(Clone, Debug, Serialize)]
pub struct Played {
    /// Its file.
    pub file: String,
    /// What it claims; empty when the file cannot be read.
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
    /// Decisions that were asked for.
    pub decisions: u32,
    /// Where it does not hold: which step, what came, what was asked.
    pub detail: String,
}

/// Plays the fixtures of some files.
///
/// # Errors
///
/// When there is nothing to play them to: it is no strategy.
pub fn play_fixtures(component: &[u8], files: &[data::File]) -> Result<Vec<Played>, LoadError> {
    let engine = Engine::shared()?;
    let blueprint = Blueprint::new(&engine, component)?;
    let play = |data::File { path, fixture }: &data::File| {
        let name = fixture.as_ref().map_or("", data::Fixture::name).to_owned();
        let played = fixture.as_ref().map_err(Clone::clone).and_then(|fixture| {
            fixture.play(|providers, config| {
                let providers = providers.iter().map(facts_of).collect();
                let setup = Setup { providers, config: config.to_owned() };
                match Instance::start(&engine, &blueprint, &setup, &mut Said::default()) {
                    Ok(instance) => Ok(Component { engine: &engine, instance }),
                    Err(LoadError::Rejected(text)) => Err(data::Unstarted::Rejected(text)),
                    Err(error) => Err(data::Unstarted::Broken(error.to_string())),
                }
            })
        });
        let (holds, decisions, detail) = match played {
            Ok(decisions) => (true, decisions, String::new()),
            Err(problem) => (false, 0, problem),
        };
        Played { file: path.display().to_string(), name, holds, decisions, detail }
    };
    Ok(files.iter().map(play).collect())
}

/// A provider of a fixture, as the host would know it.
pub fn facts_of(provider: &data::Provider) -> TargetFacts {
    TargetFacts {
        name: provider.name.clone(),
        provider: provider.name.clone(),
        model: String::new(),
        context: 0,
        kind: if provider.kind == "azure" { "azure" } else { "openai" },
        weight: provider.weight,
        fallback_only: provider.fallback_only,
        max_concurrent: provider.max_concurrent,
        models: provider.models.clone(),
        price: provider.price.map(|price| (price.input, price.output)),
        labels: provider.labels.clone().into_iter().collect(),
    }
}

struct Component<'e> {
    engine: &'e Engine,
    instance: Instance,
}

impl data::Subject for Component<'_> {
    fn route(&mut self, request: &data::Request, candidates: &[data::Candidate]) -> data::Answer {
        let data::Request { seq, entropy, now_ms, attempts, ref model, streaming, body_bytes, affinity, .. } = *request;
        let tier = match request.tier {
            data::Tier::Primary => Tier::Primary,
            data::Tier::Fallback => Tier::Fallback,
            data::Tier::LastResort => Tier::LastResort,
        };
        let facts =
            Facts { seq, entropy, now_ms, tier, attempts, model, streaming, body_bytes, affinity, ..Facts::NOTHING };
        let candidate = |candidate: &data::Candidate| {
            let data::Candidate { provider, in_flight, latency_us, failure_permille } = *candidate;
            Candidate { in_flight, latency_us, failure_permille, ..Candidate::idle(provider) }
        };
        let candidates: Vec<_> = candidates.iter().map(candidate).collect();
        match self.instance.route(self.engine, &facts, &candidates, &mut Said::default()) {
            Ok(Answer::Decided(decision)) => {
                let number = match decision.origin {
                    Origin::Strategy { reason } => reason,
                    Origin::Abstained | Origin::Refused | Origin::Faulted => 0,
                };
                let reason = self.instance.info().reasons.get(number as usize);
                data::Answer::Order(decision.order, reason.map_or("unspecified", String::as_str).to_owned())
            }
            Ok(Answer::Refused(text)) => data::Answer::Error(text),
            Err(broken) => data::Answer::Broken(broken.fault.to_string()),
        }
    }

    fn observe(&mut self, outcomes: &[data::Outcome]) -> Result<(), String> {
        if !self.instance.observes() {
            return Ok(());
        }
        let micros = |micros: u32| Duration::from_micros(micros.into());
        let report = |outcome: &data::Outcome| {
            let (first_byte, total) = (micros(outcome.first_byte_us), micros(outcome.total_us));
            Report::of(outcome.provider, kind(outcome.kind), first_byte, total)
        };
        let reports: Vec<_> = outcomes.iter().map(report).collect();
        let told = self.instance.observe(self.engine, &reports, &mut Said::default());
        told.map_err(|broken| broken.fault.to_string())
    }
}

fn kind(kind: data::OutcomeKind) -> OutcomeKind {
    match kind {
        data::OutcomeKind::Succeeded => OutcomeKind::Succeeded,
        data::OutcomeKind::Rejected => OutcomeKind::Rejected,
        data::OutcomeKind::Unauthorized => OutcomeKind::Unauthorized,
        data::OutcomeKind::Declined => OutcomeKind::Declined,
        data::OutcomeKind::NotFound => OutcomeKind::NotFound,
        data::OutcomeKind::Throttled => OutcomeKind::Throttled,
        data::OutcomeKind::Failed => OutcomeKind::Failed,
        data::OutcomeKind::TimedOut => OutcomeKind::TimedOut,
        data::OutcomeKind::Interrupted => OutcomeKind::Interrupted,
        data::OutcomeKind::Cancelled => OutcomeKind::Cancelled,
    }
}
