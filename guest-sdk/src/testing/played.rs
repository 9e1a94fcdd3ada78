//! Fixtures in files, played natively: asks the type what `pointsman strategy test --fixtures` asks the component.

use std::path::Path;

use pointsman_fixture as data;

use super::{CandidateFacts, check_decision};
use crate::bindings::pointsman::strategy::types as wit;
use crate::export::Started;
use crate::{Decision, Outcome, OutcomeKind, Request, Strategy, Tier};

/// Plays the fixtures in a folder (`*.json`), or the one in a file, each to an instance of its own. A relative path begins at the
/// package, where cargo runs tests.
///
/// ```no_run
/// # use pointsman_guest::{Candidates, Decision, NoConfig, Request, Setup, Strategy};
/// # struct Turns;
/// # impl Strategy for Turns {
/// #     type Config = NoConfig;
/// #     fn new(_: &Setup, _: NoConfig) -> Result<Self, String> { Ok(Self) }
/// #     fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
/// #         candidates.rotate(request.seq).into()
/// #     }
/// # }
/// use pointsman_guest::testing::play_fixtures;
///
/// # fn main() {
/// play_fixtures::<Turns>("fixtures"); // in a #[test]
/// # }
/// ```
///
/// A fixture names providers, a config, and steps: what is asked, and what must come of it.
///
/// ```json
/// {
///   "name": "two take turns; who is at work goes first all the same",
///   "providers": ["a", {"name": "b", "max_concurrent": 4}],
///   "steps": [
///     {"request": {"seq": 1}, "candidates": ["a", {"provider": "b", "in_flight": 1}], "expect": {"order": ["b", "a"]}},
///     {"repeat": 100, "expect": {"share": {"a": 0.5}, "tolerance": 0}}
///   ]
/// }
/// ```
///
/// The documentation of the crate `pointsman-fixture` shows everything that can stand there.
///
/// # Panics
///
/// If there is no fixture, one cannot be read, or one goes otherwise than it says; with what is wrong in each.
#[track_caller]
pub fn play_fixtures<S: Strategy>(place: impl AsRef<Path>) {
    let fixtures = data::read(place.as_ref()).unwrap_or_else(|problem| panic!("{problem}"));
    let mut problems = Vec::new();
    for data::File { path, fixture } in fixtures {
        let played = fixture.and_then(|fixture| {
            let played = fixture.play(Native::<S>::start);
            played.map_err(|problem| format!("{}: {problem}", fixture.name()))
        });
        problems.extend(played.err().map(|problem| format!("{}: {problem}", path.display())));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The reason of a decision without one.
const UNSPECIFIED: &str = "unspecified";

struct Native<S: Strategy> {
    started: Started<S>,
    route: String,
}

impl<S: Strategy> Native<S> {
    fn start(setup: &data::Setup) -> Result<Self, data::Unstarted> {
        let target = |target: &data::Provider| wit::Target {
            name: target.name.clone(),
            provider: target.provider.as_ref().unwrap_or(&target.name).clone(),
            model: target.model.clone(),
            kind: target.kind.clone(),
            weight: target.weight,
            fallback_only: target.fallback_only,
            max_concurrent: target.max_concurrent,
            models: target.models.clone(),
            context: target.context,
            price: target.price.map(|data::Price { input, output }| wit::Price { input, output }),
            labels: target.labels.clone().into_iter().collect(),
        };
        let started = Started::new(wit::Setup {
            route: setup.route.clone(),
            targets: setup.providers.iter().map(target).collect(),
            attributes: setup.attributes.clone(),
            prompt: setup.prompt,
            config: setup.config.to_string(),
        });
        let route = setup.route.clone();
        started.map(|started| Self { started, route }).map_err(data::Unstarted::Rejected)
    }
}

impl<S: Strategy> data::Subject for Native<S> {
    fn route(&mut self, request: &data::Request, candidates: &[data::Candidate]) -> data::Answer {
        let request = request.clone();
        let request = Request {
            seq: request.seq,
            entropy: request.entropy,
            now_ms: request.now_ms,
            tier: tier(request.tier),
            attempts: request.attempts,
            route: self.route.clone(),
            client: request.client,
            model: request.model,
            streaming: request.streaming,
            body_bytes: request.body_bytes,
            prompt_tokens: request.prompt_tokens,
            max_tokens: request.max_tokens,
            affinity: request.affinity,
            attributes: request.attributes,
            prompt: request.prompt,
        };
        let facts = candidates.iter().map(|candidate| {
            let data::Candidate { provider: target, in_flight, latency_us, .. } = *candidate;
            let data::Candidate { failure_permille, requests_left, tokens_left, .. } = *candidate;
            CandidateFacts { target, in_flight, latency_us, failure_permille, requests_left, tokens_left }
        });
        let facts: Vec<_> = facts.collect();
        let decision = self.started.route(&request, &facts);
        if let Err(illegal) = check_decision(&self.started, &decision, &facts) {
            return data::Answer::Broken(illegal);
        }
        let Decision { order, reason, excluded, .. } = decision;
        match order {
            Err(text) => data::Answer::Error(text),
            Ok(mut order) => {
                let abstains = order.is_empty() && excluded.is_empty();
                // As the host does with what is left out.
                let is_left = |index: &u32| !order.contains(index) && !excluded.contains(index);
                let left: Vec<_> = facts.iter().map(|facts| facts.target).filter(is_left).collect();
                order.extend(left);
                let reason = reason.filter(|_| !abstains).and_then(|reason| self.started.text_of(reason).ok());
                let reason = reason.unwrap_or(UNSPECIFIED).to_owned();
                data::Answer::Decision(data::Decided { order, excluded, reason })
            }
        }
    }

    fn observe(&mut self, outcomes: &[data::Outcome]) -> Result<(), String> {
        if S::OBSERVES {
            let outcome = |outcome: &data::Outcome| {
                let data::Outcome { provider: target, first_byte_us, total_us, .. } = *outcome;
                let data::Outcome { input_tokens, output_tokens, cost, .. } = *outcome;
                Outcome { target, kind: kind(outcome.kind), first_byte_us, total_us, input_tokens, output_tokens, cost }
            };
            self.started.observe(&outcomes.iter().map(outcome).collect::<Vec<_>>());
        }
        Ok(())
    }
}

fn tier(tier: data::Tier) -> Tier {
    match tier {
        data::Tier::Primary => Tier::Primary,
        data::Tier::Fallback => Tier::Fallback,
        data::Tier::LastResort => Tier::LastResort,
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
