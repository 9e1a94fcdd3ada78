//! Fixtures in files, played natively: what `pointsman strategy test --fixtures` asks of the component, asked of the type.

use std::path::Path;

use pointsman_fixture as data;

use super::{CandidateFacts, check_decision};
use crate::bindings::pointsman::strategy::types as wit;
use crate::export::Started;
use crate::{Outcome, OutcomeKind, Request, Strategy, Tier};

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

struct Native<S: Strategy>(Started<S>);

impl<S: Strategy> Native<S> {
    fn start(providers: &[data::Provider], config: &str) -> Result<Self, data::Unstarted> {
        let provider = |provider: &data::Provider| wit::Provider {
            name: provider.name.clone(),
            kind: provider.kind.clone(),
            weight: provider.weight,
            fallback_only: provider.fallback_only,
            max_concurrent: provider.max_concurrent,
            models: provider.models.clone(),
            price: provider.price.map(|data::Price { input, output }| wit::Price { input, output }),
            labels: provider.labels.clone().into_iter().collect(),
        };
        let setup = wit::Setup { providers: providers.iter().map(provider).collect(), config: config.to_owned() };
        Started::new(setup).map(Self).map_err(data::Unstarted::Rejected)
    }
}

impl<S: Strategy> data::Subject for Native<S> {
    fn route(&mut self, request: &data::Request, candidates: &[data::Candidate]) -> data::Answer {
        let data::Request { seq, entropy, now_ms, attempts, streaming, body_bytes, affinity, .. } = *request;
        let (model, tier) = (request.model.clone(), tier(request.tier));
        let request = Request { seq, entropy, now_ms, tier, attempts, model, streaming, body_bytes, affinity };
        let facts = candidates.iter().map(|candidate| {
            let data::Candidate { provider, in_flight, latency_us, failure_permille } = *candidate;
            CandidateFacts { provider, in_flight, latency_us, failure_permille }
        });
        let facts: Vec<_> = facts.collect();
        let decision = self.0.route(&request, &facts);
        if let Err(illegal) = check_decision::<S>(&decision, &facts) {
            return data::Answer::Broken(illegal);
        }
        match decision.order {
            Err(text) => data::Answer::Error(text),
            Ok(order) if order.is_empty() => {
                data::Answer::Order(facts.iter().map(|c| c.provider).collect(), UNSPECIFIED.to_owned())
            }
            Ok(mut order) => {
                // As the host does with what is left out.
                let left: Vec<_> = facts.iter().map(|c| c.provider).filter(|index| !order.contains(index)).collect();
                order.extend(left);
                data::Answer::Order(order, decision.reason.unwrap_or(UNSPECIFIED).to_owned())
            }
        }
    }

    fn observe(&mut self, outcomes: &[data::Outcome]) -> Result<(), String> {
        if S::OBSERVES {
            let outcome = |outcome: &data::Outcome| {
                let data::Outcome { provider, first_byte_us, total_us, .. } = *outcome;
                Outcome { provider, kind: kind(outcome.kind), first_byte_us, total_us }
            };
            self.0.observe(&outcomes.iter().map(outcome).collect::<Vec<_>>());
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
