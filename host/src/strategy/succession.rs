//! The strategy of a running server from one configuration to the next: which one stays, which one is on trial, and
//! which one comes back.
//!
//! | a reload finds | what the next configuration uses |
//! | --- | --- |
//! | the same component, configuration and providers | the same living instance, with all it remembers |
//! | other providers | a new instance of the same compiled component |
//! | another component or configuration | that one, if it passes the `probe`; the previous one stands by |
//! | the one that was rolled back, unchanged | the previous one still |
//!
//! The previous one stands by for the first 10,000 calls of the new one. The third fault among them brings it back, for
//! good: only a changed file or configuration is tried again. Requests in flight keep the strategy they began with.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{mem, thread};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

mod standing;

use super::blueprint::Blueprint;
use super::call::ComponentStrategy;
use super::contract::guest::Info;
use super::instance::Setup;
use super::record::Recorder;
use super::{builtin, builtins, influence, probe};
use crate::config::{StrategyChoice, StrategySource};
use crate::images;
use crate::routing::{Candidate, Decision, Facts, Origin, Report, RouteFacts, Strategy, StrategyHealth};
use crate::wasm::artifact;
use crate::wasm::digest::Digest;
use crate::wasm::engine::Engine;
use crate::wasm::load_error::{GuestKind, LoadError};
use crate::wasm::output::Journal;
use standing::{Names, Standing, Wanted};

/// The calls after which a new strategy has proved itself.
const TRIAL_CALLS: u64 = 10_000;

/// The number of faults within them that brings the previous one back: as many as lead to the first pause.
const TRIAL_FAULTS: u64 = 3;

/// The strategy of one configuration.
///
/// It decides by way of one component, or, after a roll-back, of the previous configuration's. The cost for a decision
/// is one atomic load, and a count while the new one is on trial.
pub struct Succession {
    engine: Arc<Engine>,
    /// The strategy that this configuration wants.
    wanted: Wanted,
    deciding: ArcSwap<ComponentStrategy>,
    /// The name of the one that stands by, or has come back.
    previous_name: String,
    /// True while calls are counted: a hint for `decide`; `standing` has the truth.
    on_trial: AtomicBool,
    /// True when the previous one has come back.
    has_rolled_back: AtomicBool,
    /// True when it, or the one that stands by, is shown prompts.
    prompt: bool,
    calls: AtomicU64,
    /// Locked by reloads, at the end of a trial, and to report the health.
    standing: Mutex<Standing>,
    names: Arc<Names>,
    recorder: Arc<Recorder>,
}

/// The purpose for which a first strategy is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A server.
    Service,
    /// A simulation.
    Simulation,
    /// A test of a strategy that would not pass the probe.
    #[cfg(test)]
    Test,
}

/// The bytes of the chosen component.
pub(super) fn read(choice: &StrategyChoice) -> Result<Cow<'static, [u8]>, LoadError> {
    match &choice.source {
        StrategySource::BuiltIn(name) => {
            let not_built_in =
                || LoadError::NotBuiltIn { wanted: GuestKind::Strategy, name: name.clone(), builtins: builtins() };
            builtin::find(name).map(Cow::Borrowed).ok_or_else(not_built_in)
        }
        StrategySource::File(path) => artifact::read(path, choice.limits.max_bytes).map(Cow::Owned),
        StrategySource::Image(image) => Ok(Cow::Owned(images::fetch(image, choice.limits.max_bytes)?)),
    }
}

/// The setup that an instance of it is started with.
pub(super) fn setup(choice: &StrategyChoice, route: RouteFacts) -> Setup {
    let config = if choice.config.is_null() { "{}".to_owned() } else { choice.config.to_string() };
    Setup::new(route, choice.grants.prompt, config)
}

impl Succession {
    /// Loads the strategy of a route of a server's first configuration and starts it.
    ///
    /// Compiles: takes from tens of milliseconds to seconds, and must not run on a Tokio worker that has other work. Tries
    /// the strategy with requests that nobody has sent.
    ///
    /// # Errors
    ///
    /// [`LoadError`], whose text follows the strategy's name.
    pub fn start(choice: &StrategyChoice, route: impl Into<RouteFacts>) -> Result<Arc<Self>, LoadError> {
        Self::begun(choice, route.into(), Purpose::Service, None)
    }

    /// Does what [`Succession::start`] does, for another route of the same server: the counters of a name are one.
    ///
    /// # Errors
    ///
    /// [`LoadError`], whose text follows the strategy's name.
    pub fn beside(&self, choice: &StrategyChoice, route: impl Into<RouteFacts>) -> Result<Arc<Self>, LoadError> {
        Self::begun(choice, route.into(), Purpose::Service, Some(self))
    }

    /// Does what [`Succession::start`] does, for a simulation. It shows how the strategy breaks, so the strategy is not
    /// tried first; and a broken instance is replaced at once, since another thread would not follow the time of the
    /// simulation.
    ///
    /// # Errors
    ///
    /// [`LoadError`], whose text follows the strategy's name.
    pub fn simulated(choice: &StrategyChoice, route: impl Into<RouteFacts>) -> Result<Arc<Self>, LoadError> {
        Self::begun(choice, route.into(), Purpose::Simulation, None)
    }

    fn begun(
        choice: &StrategyChoice,
        route: RouteFacts,
        purpose: Purpose,
        kin: Option<&Succession>,
    ) -> Result<Arc<Self>, LoadError> {
        let engine = Engine::shared()?;
        let blueprint = Blueprint::shared(&engine, choice, &read(choice)?)?;
        let wanted = Wanted { name: choice.name.clone(), digest: blueprint.digest, setup: setup(choice, route) };
        if purpose == Purpose::Service {
            probe::probe(&engine, &blueprint, &wanted.setup, &Journal::new(&wanted.name))?;
        }
        let names = kin.map(|kin| Arc::clone(&kin.names)).unwrap_or_default();
        let (counters, recorder) = (names.counters(&wanted.name), Arc::new(Recorder::default()));
        let (setup, noted) = (wanted.setup.clone(), Arc::clone(&recorder));
        let strategy = ComponentStrategy::start(&wanted.name, Arc::clone(&engine), blueprint, setup, counters, noted)?;
        let strategy = if purpose == Purpose::Simulation { strategy.replacing_at_once() } else { strategy };
        Ok(Self::new(engine, (names, recorder), wanted, Arc::new(strategy), Standing::Settled))
    }

    /// True when the providers' weights have an effect on its decisions, and also when that cannot be found out. Asks
    /// an instance of its own, which takes milliseconds.
    pub fn heeds_weights(&self) -> bool {
        influence::heeds_weights(&self.engine, self.deciding.load().blueprint(), &self.wanted.setup)
    }

    /// True when it sends requests that belong together to one provider; false also when that cannot be found out. Asks
    /// an instance of its own, as [`Succession::heeds_weights`] does.
    pub fn keeps_together(&self) -> bool {
        influence::keeps_together(&self.engine, self.deciding.load().blueprint(), &self.wanted.setup)
    }

    /// The strategy for the next configuration. This one stays as it is, whatever becomes of the next.
    ///
    /// It is tried and started as [`Succession::start`] does.
    ///
    /// # Errors
    ///
    /// [`LoadError`], and nothing has changed.
    pub fn reload(
        self: &Arc<Self>,
        choice: &StrategyChoice,
        route: impl Into<RouteFacts>,
    ) -> Result<Arc<Self>, LoadError> {
        let bytes = read(choice)?;
        let wanted =
            Wanted { name: choice.name.clone(), digest: Digest::of([&*bytes]), setup: setup(choice, route.into()) };
        let (living, standing) = (self.deciding.load_full(), self.standing.lock().clone());
        let is_living = wanted.is_made_like(living.blueprint().digest, living.setup());
        let is_given_up = matches!(standing, Standing::RolledBack { .. })
            && wanted.is_made_like(self.wanted.digest, &self.wanted.setup);
        if wanted == self.wanted {
            return Ok(Arc::clone(self));
        }
        let (next, standing) = if is_given_up {
            (self.adapted(&living, living.name(), &wanted.setup)?, standing)
        } else if is_living {
            let next = self.adapted(&living, &wanted.name, &wanted.setup)?;
            // A strategy that was rolled back to needs no second trial.
            let standing = match standing {
                Standing::OnTrial(previous) => self.standing_by(&previous, &wanted.setup),
                Standing::Settled | Standing::RolledBack { .. } => Standing::Settled,
            };
            (next, standing)
        } else {
            let next = self.tried(choice, &wanted, &bytes, &living)?;
            (next, self.standing_by(&living, &wanted.setup))
        };
        let kept = (Arc::clone(&self.names), Arc::clone(&self.recorder));
        Ok(Self::new(Arc::clone(&self.engine), kept, wanted, next, standing))
    }

    fn new(
        engine: Arc<Engine>,
        (names, recorder): (Arc<Names>, Arc<Recorder>),
        wanted: Wanted,
        deciding: Arc<ComponentStrategy>,
        standing: Standing,
    ) -> Arc<Self> {
        let previous_name = match &standing {
            Standing::Settled => String::new(),
            Standing::OnTrial(previous) => previous.name().to_owned(),
            Standing::RolledBack { .. } => deciding.name().to_owned(),
        };
        let prompt = match &standing {
            Standing::OnTrial(previous) => previous.wants_prompt() || deciding.wants_prompt(),
            Standing::Settled | Standing::RolledBack { .. } => deciding.wants_prompt(),
        };
        Arc::new(Self {
            engine,
            prompt,
            wanted,
            deciding: ArcSwap::new(deciding),
            previous_name,
            on_trial: AtomicBool::new(matches!(standing, Standing::OnTrial(_))),
            has_rolled_back: AtomicBool::new(matches!(standing, Standing::RolledBack { .. })),
            calls: AtomicU64::new(0),
            standing: Mutex::new(standing),
            names,
            recorder,
        })
    }

    /// The last fault of the one that decides, in words.
    pub fn last_fault(&self) -> Option<String> {
        Some(self.deciding.load().faults().last).filter(|last| !last.is_empty())
    }

    /// Records questions and answers, of this strategy and of its successors.
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// The strategy under this name and with the route of `wanted`: itself if both are its own, else started anew.
    fn adapted(
        &self,
        strategy: &Arc<ComponentStrategy>,
        name: &str,
        wanted: &Setup,
    ) -> Result<Arc<ComponentStrategy>, LoadError> {
        let Setup { prompt, config, .. } = strategy.setup();
        let setup = Setup { prompt: *prompt, config: config.clone(), ..wanted.clone() };
        if strategy.name() == name && *strategy.setup() == setup {
            return Ok(Arc::clone(strategy));
        }
        // A start with these targets would try it too.
        probe::probe(&self.engine, strategy.blueprint(), &setup, &Journal::new(name))?;
        self.begin(name, Arc::clone(strategy.blueprint()), setup)
    }

    /// A trial during which `previous` stands by, or none if it cannot work with the route of `wanted`.
    fn standing_by(&self, previous: &Arc<ComponentStrategy>, wanted: &Setup) -> Standing {
        match self.adapted(previous, previous.name(), wanted) {
            Ok(previous) => Standing::OnTrial(previous),
            Err(error) => {
                let strategy = previous.name();
                tracing::warn!(
                    strategy,
                    "strategy {strategy} does not stand by for its successor, as with the new targets it {error}"
                );
                Standing::Settled
            }
        }
    }

    /// A strategy that has passed the probe.
    fn tried(
        &self,
        choice: &StrategyChoice,
        wanted: &Wanted,
        bytes: &[u8],
        living: &ComponentStrategy,
    ) -> Result<Arc<ComponentStrategy>, LoadError> {
        let blueprint = if living.blueprint().digest == wanted.digest {
            Arc::clone(living.blueprint())
        } else {
            Blueprint::shared(&self.engine, choice, bytes)?
        };
        probe::probe(&self.engine, &blueprint, &wanted.setup, &Journal::new(&wanted.name))?;
        self.begin(&wanted.name, blueprint, wanted.setup.clone())
    }

    fn begin(&self, name: &str, blueprint: Arc<Blueprint>, setup: Setup) -> Result<Arc<ComponentStrategy>, LoadError> {
        let (engine, recorder) = (Arc::clone(&self.engine), Arc::clone(&self.recorder));
        ComponentStrategy::start(name, engine, blueprint, setup, self.names.counters(name), recorder).map(Arc::new)
    }

    /// Counts a call of the one on trial. Ends the trial if it was the last call, or one fault too many.
    #[cold]
    fn judge(&self, strategy: &ComponentStrategy, decision: &Decision) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        // Being busy is no fault, nor is the default order while a broken instance is replaced; the log of faults knows.
        if decision.origin == Origin::Faulted && strategy.faults().total() >= TRIAL_FAULTS {
            self.roll_back(strategy, calls);
        } else if calls >= TRIAL_CALLS {
            self.settle();
        }
    }

    /// Brings the previous one back, once.
    fn roll_back(&self, strategy: &ComponentStrategy, calls: u64) {
        let mut standing = self.standing.lock();
        let Standing::OnTrial(previous) = &*standing else { return };
        let (faults, previous) = (strategy.faults(), Arc::clone(previous));
        let reason = format!("{} in its first {calls} calls", faults.kinds());
        let (name, back) = (strategy.name(), describe(&previous));
        *standing = Standing::RolledBack { reason: reason.clone() };
        let tried = self.deciding.swap(previous);
        self.has_rolled_back.store(true, Ordering::Relaxed);
        self.on_trial.store(false, Ordering::Relaxed);
        drop(standing);
        tracing::error!(
            strategy = name,
            "strategy {name} was rolled back to the previous one, {back}: the new one, {}, had {reason}; the last fault: {}; \
             correct the component or its config and reload, unchanged it is not tried again",
            describe(&tried),
            faults.last,
        );
    }

    /// Lets the previous one go.
    fn settle(&self) {
        let mut standing = self.standing.lock();
        if !matches!(*standing, Standing::OnTrial(_)) {
            return;
        }
        let previous = mem::replace(&mut *standing, Standing::Settled);
        self.on_trial.store(false, Ordering::Relaxed);
        drop(standing);
        // Freeing the memory of a large guest takes longer than a decision may.
        drop(thread::Builder::new().name("strategy-retire".to_owned()).spawn(move || drop(previous)));
    }
}

/// Name, version and digest.
fn describe(strategy: &ComponentStrategy) -> String {
    let Info { version, .. } = strategy.info();
    let version = if version.is_empty() { String::new() } else { format!(" {version}") };
    format!("`{}`{version} (sha256 {})", strategy.name(), strategy.blueprint().digest.short())
}

impl Strategy for Succession {
    fn name(&self) -> &str {
        if self.has_rolled_back.load(Ordering::Relaxed) { &self.previous_name } else { &self.wanted.name }
    }

    fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Decision {
        let strategy = self.deciding.load();
        let decision = strategy.decide(facts, candidates);
        if self.on_trial.load(Ordering::Relaxed) {
            self.judge(&strategy, &decision);
        }
        decision
    }

    fn health(&self) -> StrategyHealth {
        // Under the lock, so that the strategy and the reason are of the same moment.
        let standing = self.standing.lock();
        let mut health = self.deciding.load().health();
        match &*standing {
            Standing::Settled => {}
            Standing::OnTrial(_) => health.on_trial = true,
            Standing::RolledBack { reason } => {
                health.rolled_back = Some(format!("strategy `{}` had {reason}", self.wanted.name));
            }
        }
        drop(standing);
        let names = self.names.0.lock();
        let others = names.iter().filter(|(name, _)| *name != health.name);
        health.record = self.recorder.health();
        health.former = others.map(|(name, counters)| (name.clone(), counters.read().into())).collect();
        health
    }

    fn wants_prompt(&self) -> bool {
        self.prompt
    }

    fn learn(&self, report: Report) {
        self.deciding.load().learn(report);
    }

    fn reason(&self, reason: u32) -> Option<String> {
        self.deciding.load().reason(reason)
    }
}

#[cfg(test)]
impl Succession {
    /// Does what [`Succession::start`] does, without the trial.
    pub(super) fn untried(choice: &StrategyChoice, route: impl Into<RouteFacts>) -> Result<Arc<Self>, LoadError> {
        Self::begun(choice, route.into(), Purpose::Test, None)
    }

    /// The one that decides.
    pub(super) fn deciding(&self) -> Arc<ComponentStrategy> {
        self.deciding.load_full()
    }
}

#[cfg(test)]
mod tests;
