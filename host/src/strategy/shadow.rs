//! Candidates for succession: strategies that see what the live one sees, after it has decided, and change nothing.
//!
//! A thread of their own asks them, so no request waits for them. Their choices are compared with those of the live
//! strategy; their faults and their time are counted. They cannot make anything happen: requests in flight and outcomes
//! are those of the live decisions.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;

use tokio::time::Instant;

use super::blueprint::Blueprint;
use super::call::ComponentStrategy;
use super::instance::Setup;
use super::succession::{read, setup};
use super::{Succession, probe};
use crate::config::StrategyChoice;
use crate::routing::{
    Candidate, Decision, Facts, KeptFacts, Report, RouteFacts, ShadowHealth, Strategy, StrategyHealth,
};
use crate::wasm::digest::Digest;
use crate::wasm::engine::Engine;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::Journal;

/// The number of events that may wait to be seen; more are dropped and counted.
const WAITING: usize = 4096;

/// The memory that they may take together. A decision takes some hundred bytes, and with a thousand candidates 20 KiB.
const WAITING_BYTES: usize = 16 << 20;

/// A live strategy and its shadows, as one strategy.
pub struct Shadowed {
    live: Arc<Succession>,
    shadows: Arc<Shadows>,
}

/// The shadows of one configuration. Their thread ends when they are dropped.
pub struct Shadows {
    all: Vec<Shadow>,
    events: SyncSender<Event>,
    /// Memory of the events that wait.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

struct Shadow {
    digest: Digest,
    setup: Setup,
    strategy: ComponentStrategy,
    tally: Arc<Tally>,
}

/// The results of a shadow, over all reloads that keep its name.
#[derive(Default)]
struct Tally {
    decisions: AtomicU64,
    same_first: AtomicU64,
    same_order: AtomicU64,
    nanoseconds: AtomicU64,
}

/// An event that the live strategy has seen.
enum Event {
    Decided(Box<Decided>),
    Learned(Report),
}

impl Event {
    /// The approximate bytes of memory that it takes.
    fn weight(&self) -> usize {
        let more = match self {
            Event::Decided(decided) => {
                let Decided { facts, candidates, order } = &**decided;
                size_of::<Decided>() + facts.weight() + size_of_val(&candidates[..]) + size_of_val(&order[..])
            }
            Event::Learned(_) => 0,
        };
        size_of::<Event>() + more
    }
}

struct Decided {
    facts: KeptFacts,
    candidates: Vec<Candidate>,
    order: Vec<u32>,
}

impl Shadows {
    /// The shadows of a configuration. Those of the previous one stay where nothing has changed, and the counts under a
    /// name continue in any case. `None` if there are none. Compiles the shadows, and tries each with requests that
    /// nobody has sent.
    ///
    /// # Errors
    ///
    /// The name of the shadow that does not load, and the reason.
    pub fn of(
        choices: &[StrategyChoice],
        route: &RouteFacts,
        before: Option<&Arc<Shadows>>,
    ) -> Result<Option<Arc<Self>>, (String, LoadError)> {
        if choices.is_empty() {
            return Ok(None);
        }
        let known = |name: &str| before?.all.iter().find(|known| known.strategy.name() == name);
        let mut wanted = Vec::with_capacity(choices.len());
        for choice in choices {
            let bytes = read(choice).map_err(|error| (choice.to_string(), error))?;
            wanted.push((choice, bytes, setup(choice, route.clone())));
        }
        let lives_on = |(choice, bytes, setup): &(&StrategyChoice, Cow<'_, [u8]>, Setup)| {
            known(&choice.name).is_some_and(|known| known.digest == Digest::of([&**bytes]) && known.setup == *setup)
        };
        if let Some(before) = before
            && before.all.len() == choices.len()
            && wanted.iter().all(lives_on)
        {
            return Ok(Some(Arc::clone(before)));
        }
        let mut all = Vec::with_capacity(choices.len());
        for (choice, bytes, setup) in wanted {
            let shadow = Shadow::load(choice, &bytes, setup, known(&choice.name));
            all.push(shadow.map_err(|error| (choice.to_string(), error))?);
        }
        let (events, received) = sync_channel(WAITING);
        let dropped = AtomicU64::new(before.map_or(0, |before| before.dropped()));
        let shadows = Arc::new(Self { all, events, waiting: AtomicUsize::new(0), dropped });
        let seen_by = Arc::downgrade(&shadows);
        thread::Builder::new()
            .name("shadow".to_owned())
            .spawn(move || watch(&received, &seen_by))
            .map_err(|error| ("shadow".to_owned(), LoadError::Engine(error.to_string())))?;
        Ok(Some(shadows))
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    fn send(&self, event: Event) {
        let weight = event.weight();
        let waiting = self.waiting.fetch_add(weight, Relaxed).saturating_add(weight);
        if waiting > WAITING_BYTES || self.events.try_send(event).is_err() {
            self.waiting.fetch_sub(weight, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    fn health(&self) -> Vec<ShadowHealth> {
        let of = |shadow: &Shadow| {
            let tally = &shadow.tally;
            ShadowHealth {
                strategy: shadow.strategy.health(),
                decisions: tally.decisions.load(Relaxed),
                same_first: tally.same_first.load(Relaxed),
                same_order: tally.same_order.load(Relaxed),
                seconds: tally.nanoseconds.load(Relaxed) as f64 / 1e9,
                dropped: self.dropped(),
            }
        };
        self.all.iter().map(of).collect()
    }
}

impl Shadow {
    fn load(
        choice: &StrategyChoice,
        component: &[u8],
        setup: Setup,
        known: Option<&Shadow>,
    ) -> Result<Self, LoadError> {
        let (engine, name) = (Engine::shared()?, &choice.name);
        let blueprint = Arc::new(Blueprint::of(&engine, choice, component)?);
        let digest = blueprint.digest;
        probe::probe(&engine, &blueprint, &setup, &Journal::new(name))?;
        let counters = known.map(|known| known.strategy.counters()).unwrap_or_default();
        let strategy = ComponentStrategy::start(name, engine, blueprint, setup.clone(), counters, Arc::default())?;
        let tally = known.map(|known| Arc::clone(&known.tally)).unwrap_or_default();
        Ok(Self { digest, setup, strategy, tally })
    }

    fn sees(&self, decided: &Decided) {
        let attributes = decided.facts.attributes();
        let facts = decided.facts.lend(&attributes);
        let begun = Instant::now();
        let own = self.strategy.decide(&facts, &decided.candidates);
        let took = begun.elapsed();
        let count = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Relaxed);
        count(&self.tally.decisions, 1);
        count(&self.tally.same_first, u64::from(own.order.first() == decided.order.first()));
        count(&self.tally.same_order, u64::from(own.order == decided.order));
        count(&self.tally.nanoseconds, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Shows all events to all shadows, until there are no shadows left.
fn watch(events: &Receiver<Event>, shadows: &Weak<Shadows>) {
    while let Ok(event) = events.recv() {
        let Some(shadows) = shadows.upgrade() else { return };
        shadows.waiting.fetch_sub(event.weight(), Relaxed);
        for shadow in &shadows.all {
            match &event {
                Event::Decided(decided) => shadow.sees(decided),
                Event::Learned(report) => shadow.strategy.learn(*report),
            }
        }
    }
}

impl Shadowed {
    /// The live strategy with these shadows.
    pub fn new(live: Arc<Succession>, shadows: Arc<Shadows>) -> Self {
        Self { live, shadows }
    }
}

impl Strategy for Shadowed {
    fn name(&self) -> &str {
        self.live.name()
    }

    fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Decision {
        let decision = self.live.decide(facts, candidates);
        self.shadows.send(Event::Decided(Box::new(Decided {
            facts: KeptFacts::of(facts),
            candidates: candidates.to_vec(),
            order: decision.order.clone(),
        })));
        decision
    }

    fn reason(&self, reason: u32) -> Option<String> {
        self.live.reason(reason)
    }

    fn health(&self) -> StrategyHealth {
        StrategyHealth { shadows: self.shadows.health(), ..self.live.health() }
    }

    fn wants_prompt(&self) -> bool {
        self.live.wants_prompt() || self.shadows.all.iter().any(|shadow| shadow.strategy.wants_prompt())
    }

    fn learn(&self, report: Report) {
        self.live.learn(report);
        self.shadows.send(Event::Learned(report));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::tests::{builtin_choice, candidates, choice, facts, providers};
    use super::*;

    fn shadowed(live: &str, shadows: &[StrategyChoice]) -> Shadowed {
        let live = Succession::start(&builtin_choice(live), providers(3)).expect("starts");
        let shadows =
            Shadows::of(shadows, &providers(3).into(), None).map_err(|(name, error)| format!("{name} {error}"));
        Shadowed::new(live, shadows.expect("load").expect("some"))
    }

    /// The health of its shadows, once all have seen `decisions`.
    fn seen(strategy: &Shadowed, decisions: u64) -> Vec<ShadowHealth> {
        let begun = Instant::now();
        loop {
            let health = strategy.health().shadows;
            if health.iter().all(|shadow| shadow.decisions >= decisions) {
                return health;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{health:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn shadows_agree_as_far_as_they_would_have_decided_the_same() {
        let strategy = shadowed("failover", &[builtin_choice("failover"), builtin_choice("round_robin")]);
        for seq in 0..300 {
            assert_eq!(strategy.decide(&facts("m", seq), &candidates(3)).order, [0, 1, 2]);
        }
        let [same, other] = &seen(&strategy, 300)[..] else { panic!("two shadows") };
        assert_eq!((same.same_first, same.same_order, same.dropped), (300, 300, 0));
        assert_eq!((other.same_first, other.same_order), (100, 50));
        assert_eq!((other.strategy.name.as_str(), other.strategy.state), ("round_robin", "healthy"));
        assert!(other.seconds > 0.0);
    }

    #[test]
    fn a_shadow_that_breaks_is_counted_and_nobody_else_notices() {
        let strategy = shadowed("failover", &[choice(json!({}))]);
        for seq in 0..10 {
            let model = if seq == 3 { "do:panic" } else { "m" };
            assert_eq!(strategy.decide(&facts(model, seq), &candidates(3)).order, [0, 1, 2]);
        }
        let health = seen(&strategy, 10).remove(0);
        let trapped = health.strategy.counters.faults.iter().find(|(kind, _)| *kind == "trapped");
        assert_eq!(trapped, Some(&("trapped", 1)));
        assert!(strategy.health().counters.faults.iter().all(|(_, count)| *count == 0));
    }

    #[test]
    fn shadows_live_on_where_nothing_has_changed_and_what_was_counted_always() {
        let choices = [builtin_choice("round_robin"), builtin_choice("weighted")];
        let strategy = shadowed("failover", &choices);
        strategy.decide(&facts("m", 0), &candidates(3));
        seen(&strategy, 1);
        let before = &strategy.shadows;
        let of = |choices: &[StrategyChoice], count| {
            Shadows::of(choices, &providers(count).into(), Some(before)).ok().flatten().expect("load")
        };
        assert!(Arc::ptr_eq(before, &of(&choices, 3)));
        let other_providers = of(&choices, 4);
        assert!(!Arc::ptr_eq(before, &other_providers));
        assert_eq!(other_providers.health()[0].decisions, 1);
        assert_eq!(of(&choices[..1], 3).health().len(), 1);
        assert!(matches!(Shadows::of(&[], &providers(3).into(), Some(before)), Ok(None)));
    }

    #[test]
    fn a_shadow_that_does_not_load_is_named() {
        let wrong = StrategyChoice { config: json!({"percent": 3}), ..builtin_choice("canary") };
        let (name, error) = Shadows::of(&[wrong], &providers(3).into(), None).err().expect("no provider");
        assert_eq!(name, "strategy `canary`");
        assert!(error.to_string().contains("rejects its configuration"), "{error}");
    }
}
