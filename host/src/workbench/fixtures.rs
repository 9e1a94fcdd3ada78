//! The author's own fixtures, played to the component: each to an instance of its own, under the limits of the server.
//! The crate `pointsman-fixture`, which the SDK's test kit shares, reads the fixtures and judges the answers.

use std::time::Duration;

use pointsman_fixture as data;
use serde::Serialize;

use crate::routing::{Candidate, Decision, Facts, Origin, OutcomeKind, Report, TargetFacts, Tier};
use crate::strategy::blueprint::Blueprint;
use crate::strategy::instance::{Answer, Instance, Setup};
use crate::wasm::engine::Engine;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::Said;

/// The result of a fixture.
#[derive(Clone, Debug, Serialize)]
pub struct Played {
    /// Its file.
    pub file: String,
    /// Its claim; empty when the file cannot be read.
    pub name: String,
    /// True when it holds.
    pub holds: bool,
    /// Decisions that were asked for.
    pub decisions: u32,
    /// Of one that does not hold: the step, the answer and the question.
    pub detail: String,
}

/// Plays the fixtures of some files.
///
/// # Errors
///
/// When the component is no strategy.
pub fn play_fixtures(component: &[u8], files: &[data::File]) -> Result<Vec<Played>, LoadError> {
    let engine = Engine::shared()?;
    let blueprint = Blueprint::new(&engine, component)?;
    let play = |data::File { path, fixture }: &data::File| {
        let name = fixture.as_ref().map_or("", data::Fixture::name).to_owned();
        let played = fixture.as_ref().map_err(Clone::clone).and_then(|fixture| {
            fixture.play(|setup| {
                let targets = setup.providers.iter().map(facts_of).collect();
                let attributes = setup.attributes.clone();
                let (route, prompt) = (setup.route.clone(), setup.prompt);
                let setup = Setup { route, targets, attributes, prompt, config: setup.config.to_string() };
                match Instance::start(&engine, &blueprint, &setup, &mut Said::default()) {
                    Ok(instance) => Ok(Component { engine: &engine, instance, route: setup.route }),
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

/// A target of a fixture, as the host describes it.
pub fn facts_of(provider: &data::Provider) -> TargetFacts {
    TargetFacts {
        name: provider.name.clone(),
        provider: provider.provider.as_ref().unwrap_or(&provider.name).clone(),
        model: provider.model.clone(),
        context: provider.context,
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
    route: String,
}

impl data::Subject for Component<'_> {
    fn route(&mut self, request: &data::Request, candidates: &[data::Candidate]) -> data::Answer {
        let data::Request { seq, entropy, now_ms, attempts, streaming, body_bytes, affinity, .. } = *request;
        let data::Request { prompt_tokens, max_tokens, .. } = *request;
        let tier = match request.tier {
            data::Tier::Primary => Tier::Primary,
            data::Tier::Fallback => Tier::Fallback,
            data::Tier::LastResort => Tier::LastResort,
        };
        let attributes: Vec<(&str, &str)> =
            request.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let facts = Facts {
            seq,
            entropy,
            now_ms,
            tier,
            attempts,
            route: &self.route,
            client: &request.client,
            model: &request.model,
            streaming,
            body_bytes,
            prompt_tokens,
            max_tokens,
            affinity,
            attributes: &attributes,
            prompt: &request.prompt,
        };
        let candidate = |candidate: &data::Candidate| {
            let data::Candidate { provider: target, in_flight, latency_us, .. } = *candidate;
            let data::Candidate { failure_permille, requests_left, tokens_left, .. } = *candidate;
            Candidate { target, in_flight, latency_us, failure_permille, requests_left, tokens_left }
        };
        let candidates: Vec<_> = candidates.iter().map(candidate).collect();
        match self.instance.route(self.engine, &facts, &candidates, &mut Said::default()) {
            Ok(Answer::Decided(Decision { order, excluded, origin, .. })) => {
                let number = match origin {
                    Origin::Strategy { reason } => reason,
                    Origin::Abstained | Origin::Refused | Origin::Faulted => 0,
                };
                let reason = self.instance.info().reasons.get(number as usize);
                let reason = reason.map_or("unspecified", String::as_str).to_owned();
                data::Answer::Decision(data::Decided { order, excluded, reason })
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
            let data::Outcome { input_tokens, output_tokens, cost, .. } = *outcome;
            let report = Report::of(outcome.provider, kind(outcome.kind), first_byte, total);
            Report { input_tokens, output_tokens, cost, ..report }
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
