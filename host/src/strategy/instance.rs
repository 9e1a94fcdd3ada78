//! One living guest, and the three things it can be asked.
//!
//! Every entry into the guest goes through [`Instance::enter`], which sets the limits of that call, and every error
//! becomes a [`Fault`] here. After a fault the store is of no use any more: drop the instance.

use wasmtime::{Store, UpdateDeadline};

use super::blueprint::Blueprint;
use super::contract::guest::{Guest, Info};
use super::contract::types;
use crate::routing::{Candidate, Decision, Facts, Given, Report, RouteFacts, TargetFacts};
use crate::wasm::artifact::chain;
use crate::wasm::engine::{Deadline, Engine, address_space};
use crate::wasm::fault::{Fault, lacks_memory};
use crate::wasm::limits::MEMORY;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::{Said, one_line};
use crate::wasm::overtime::Overtime;
use crate::wasm::sandbox::Sandbox;

/// The most bytes that a guest may hand over in one call, and that are lifted of any argument of a host function. The
/// answer to many candidates is longer, see [`Instance::route`].
const LIFTED_BYTES: usize = 1 << 20;

/// Handles that a guest may hold at once.
const HANDLES: usize = 1000;

/// Outcomes told in one call.
pub const OUTCOMES: usize = 64;

/// The calls that an instance must have answered well before it is renewed. A guest that fills its memory faster is
/// broken, and the host would do nothing but make new instances.
const RENEWAL_CALLS: u64 = 1000;

/// The data that an instance is started with. Not to be printed: a configuration may hold secrets.
#[derive(Clone, PartialEq)]
pub struct Setup {
    /// The name of the route.
    pub route: String,
    /// The targets, in the order of the configuration.
    pub targets: Vec<TargetFacts>,
    /// The names of the attributes that requests may have.
    pub attributes: Vec<String>,
    /// True when it is shown prompts.
    pub prompt: bool,
    /// A JSON document.
    pub config: String,
}

impl Setup {
    /// The setup of a strategy for this route.
    pub fn new(route: RouteFacts, prompt: bool, config: String) -> Self {
        let RouteFacts { name: route, targets, attributes } = route;
        Self { route, targets, attributes, prompt, config }
    }
}

/// One living guest.
pub struct Instance {
    store: Store<Sandbox>,
    guest: Guest,
    info: Info,
    claims_stateless: bool,
    /// Calls that went well.
    pub good_calls: u64,
    /// Its place in the record of decisions, once it has one: its number, and which record that was.
    pub recorded: Option<(u64, u64)>,
    /// True until it has been told or asked anything since its start.
    pub fresh: bool,
    /// When it is to be replaced before it fails.
    renewal: Renewal,
    deadline: Deadline,
}

/// The figures that decide about the renewal of an instance.
#[derive(Debug)]
struct Renewal {
    /// The bytes of memory at which it is renewed. An instance that has just started never has as many.
    above: usize,
    /// The number of good calls.
    after: u64,
    /// True while its successor is being made.
    under_way: bool,
}

/// The answer of a strategy to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// A legal decision.
    Decided(Decision),
    /// It has no order for this request, and says why.
    Refused(String),
}

impl Instance {
    /// Makes an instance and starts it.
    ///
    /// # Errors
    ///
    /// When it traps or rejects its configuration. `said` receives what it said meanwhile, in any case.
    pub fn start(engine: &Engine, blueprint: &Blueprint, setup: &Setup, said: &mut Said) -> Result<Self, LoadError> {
        let mut store = Store::new(engine.wasm(), Sandbox::default());
        let started = Self::start_in(&mut store, engine, blueprint, setup);
        *said = store.data_mut().output.take();
        match started {
            Ok(Started { guest, info, claims_stateless }) => {
                let used = store.data().limits.used();
                // Counted from what it needed to start: otherwise one that is large from the start would be renewed for
                // ever.
                let above = used + (MEMORY - used) / 4 * 3;
                let renewal = Renewal { above, after: RENEWAL_CALLS, under_way: false };
                Ok(Self {
                    store,
                    guest,
                    info,
                    claims_stateless,
                    good_calls: 0,
                    recorded: None,
                    fresh: true,
                    renewal,
                    deadline: Deadline::CALL,
                })
            }
            Err(Unstarted::Mismatch(error)) => Err(LoadError::Mismatch(error)),
            Err(Unstarted::Rejected(text)) => Err(LoadError::Rejected(text)),
            Err(Unstarted::Broke(_, error)) if lacks_memory(&error) => Err(LoadError::Engine(format!(
                "there is no memory for an instance: {}{}",
                chain(&error),
                address_space()
            ))),
            Err(Unstarted::Broke(during, error)) => Err(LoadError::Broke { during, fault: Fault::of(&error, said) }),
        }
    }

    fn start_in(
        store: &mut Store<Sandbox>,
        engine: &Engine,
        blueprint: &Blueprint,
        setup: &Setup,
    ) -> Result<Started, Unstarted> {
        store.limiter(|sandbox| &mut sandbox.limits);
        store.set_max_component_handles(HANDLES);
        store.set_hostcall_fuel(LIFTED_BYTES);
        store.epoch_deadline_callback(|mut store| {
            let goes_on = store.data_mut().overtime.goes_on();
            Ok(if goes_on { UpdateDeadline::Continue(Deadline::GRACE.ticks()) } else { UpdateDeadline::Interrupt })
        });
        let _running = engine.running();

        store.set_epoch_deadline(Deadline::INIT.ticks());
        let broke = |during| move |error| Unstarted::Broke(during, error);
        let instance = blueprint.pre.instantiate(&mut *store).map_err(broke("start"))?;
        let guest = blueprint.guest.load(store, &instance).map_err(|error| Unstarted::Mismatch(chain(&error)))?;

        store.set_epoch_deadline(Deadline::INIT.ticks());
        let init = guest.init(store, setup).map_err(broke("init"))?;
        init.map_err(|text| Unstarted::Rejected(one_line(&text)))?;

        store.set_epoch_deadline(Deadline::DESCRIBE.ticks());
        let info = guest.describe(store).map_err(broke("describe"))?;

        store.set_epoch_deadline(Deadline::DESCRIBE.ticks());
        let claims_stateless = guest.is_stateless(store).map_err(broke("is-stateless"))?;
        Ok(Started { guest, info: info.map(on_one_line).unwrap_or_default(), claims_stateless })
    }

    /// Lets each later call take up to a second.
    pub fn be_patient(&mut self) {
        self.deadline = Deadline::PATIENT;
    }

    /// Its information about itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// True when it is to be told the outcomes of attempts.
    pub fn observes(&self) -> bool {
        self.info.observes && self.guest.has_feedback()
    }

    /// True when it says that no decision depends on an earlier call. One that observes depends on what it was told.
    pub fn claims_stateless(&self) -> bool {
        self.claims_stateless
    }

    /// True when other instances may be asked in its place.
    pub fn is_stateless(&self) -> bool {
        self.claims_stateless && !self.observes()
    }

    /// Asks for an order of `candidates`. `said` receives what the guest said meanwhile.
    ///
    /// # Errors
    ///
    /// When the guest broke. An illegal decision that it returned properly is a fault too, but leaves it usable:
    /// [`Broken::usable`].
    pub fn route(
        &mut self,
        engine: &Engine,
        facts: &Facts<'_>,
        candidates: &[Candidate],
        said: &mut Said,
    ) -> Result<Answer, Broken> {
        self.fresh = false;
        // An order, its reasons, and who is excluded.
        let lifted = LIFTED_BYTES + candidates.len() * 3 * size_of::<u32>();
        self.enter(lifted);
        self.store.data_mut().begin(facts.now_ms, facts.entropy);
        let called = {
            let _running = engine.running();
            self.guest.route(&mut self.store, facts, candidates)
        };
        *said = self.store.data_mut().output.take();
        let decision = match called {
            Err(error) => return Err(Broken { fault: Fault::of(&error, said), usable: false }),
            Ok(Err(text)) => {
                self.good_calls += 1;
                return Ok(Answer::Refused(one_line(&text)));
            }
            Ok(Ok(decision)) => decision,
        };
        self.good_calls += 1;
        let types::Decision { order, reason, reasons, excluded } = decision;
        match Decision::from_strategy(Given { order, reason, reasons, excluded }, candidates) {
            Ok(decision) => Ok(Answer::Decided(decision)),
            Err(illegal) => Err(Broken { fault: illegal.into(), usable: true }),
        }
    }

    /// Tells outcomes, at most [`OUTCOMES`] of them.
    ///
    /// # Errors
    ///
    /// When the guest broke.
    pub fn observe(&mut self, engine: &Engine, reports: &[Report], said: &mut Said) -> Result<(), Broken> {
        self.fresh = false;
        self.enter(LIFTED_BYTES);
        let called = {
            let _running = engine.running();
            self.guest.observe(&mut self.store, reports)
        };
        *said = self.store.data_mut().output.take();
        called.map_err(|error| Broken { fault: Fault::of(&error, said), usable: false })
    }

    /// True when the caller is the one who must have a successor made now: most of the memory is used up.
    pub fn begins_renewal(&mut self) -> bool {
        let Renewal { above, after, under_way } = self.renewal;
        let begins = self.memory() > above && self.good_calls >= after && !under_way;
        self.renewal.under_way |= begins;
        begins
    }

    /// True while a successor of this very instance is being made.
    pub fn is_being_renewed(&self) -> bool {
        self.renewal.under_way
    }

    /// Takes note that no successor could be made; another is not tried at once.
    pub fn stays(&mut self) {
        self.renewal = Renewal { after: self.good_calls + RENEWAL_CALLS, under_way: false, ..self.renewal };
    }

    /// Takes the place of one that has not failed, and keeps its count of good calls.
    pub fn succeeds(&mut self, predecessor: &Instance) {
        self.good_calls = predecessor.good_calls;
        self.renewal.after = self.good_calls + RENEWAL_CALLS;
    }

    /// Bytes of linear memory in use.
    pub fn memory(&self) -> usize {
        self.store.data().limits.used()
    }

    /// The limits of one call on the hot path.
    fn enter(&mut self, lifted: usize) {
        self.store.set_epoch_deadline(self.deadline.ticks());
        self.store.data_mut().overtime = Overtime::default();
        self.store.set_hostcall_fuel(lifted);
    }
}

/// A call that failed.
#[derive(Debug)]
pub struct Broken {
    /// The fault.
    pub fault: Fault,
    /// True when the instance may be called again.
    pub usable: bool,
}

/// A guest that has been started, and what it says of itself.
struct Started {
    guest: Guest,
    info: Info,
    claims_stateless: bool,
}

enum Unstarted {
    /// Its functions exist, but their types are not those of the contract.
    Mismatch(String),
    Rejected(String),
    Broke(&'static str, wasmtime::Error),
}

/// The text as logs can show it.
fn on_one_line(info: Info) -> Info {
    Info {
        name: one_line(&info.name),
        version: one_line(&info.version),
        description: one_line(&info.description),
        reasons: info.reasons.iter().map(|reason| one_line(reason)).collect(),
        observes: info.observes,
    }
}
