//! A strategy as the rest of the host sees it: always there, always with an answer.
//!
//! One instance behind a short lock, so that a guest counts exactly; of a strategy that keeps no state as many as there
//! are workers (`slots`), so that none waits for another. The call happens on the caller's thread, within a
//! Tokio worker: at a microsecond each, handing it to another thread would cost more than it does. When the instance
//! breaks it is dropped, requests get the default order, and another thread makes a new one (`replacing`).

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

mod replacing;
mod slots;

use super::blueprint::Blueprint;
use super::contract::guest::Info;
use super::instance::{Answer, Broken, Instance, OUTCOMES, Setup};
use super::pace::{self, Change, Pace};
use super::record::{Entry, Line, Recorder, Start};
use super::recovery::{Recovery, State};
use crate::routing::{Candidate, Decision, Facts, Origin, Report, Strategy, StrategyHealth};
use crate::wasm::engine::Engine;
use crate::wasm::fault::{Counters, Fault, FaultLog, Stats};
use crate::wasm::load_error::LoadError;
use crate::wasm::output::{Journal, Rate, Said};
use slots::{Slots, Turn};

/// The time that a decision waits for its turn: longer than one guest that runs until its deadline, even on a busy
/// machine. Beyond that the default order is better than more waiting.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Reports kept for the next decision; more are dropped.
const PENDING_REPORTS: usize = 1024;

/// A strategy that is a WebAssembly component.
pub struct ComponentStrategy {
    inner: Arc<Inner>,
}

/// The part of the strategy that the thread shares which makes it a new instance.
struct Inner {
    name: String,
    engine: Arc<Engine>,
    blueprint: Arc<Blueprint>,
    setup: Setup,
    info: Info,
    observes: bool,
    /// The instances.
    slots: Slots,
    /// Locked only where an instance breaks, is missing or comes back.
    recovery: Mutex<Recovery>,
    /// Reports for the next decision to hand over, oldest first.
    pending: Mutex<Vec<Report>>,
    /// Shared with its predecessors and successors of the same name.
    counters: Arc<Counters>,
    /// Locked only where a fault is noted.
    faults: Mutex<FaultLog>,
    /// Records questions and answers, when that is wanted.
    recorder: Arc<Recorder>,
    /// The guest's own lines.
    journal: Journal,
    /// The host's lines about the guest.
    remarks: Rate,
    /// The moving average of how long calls take.
    pace: Mutex<Pace>,
    /// True when every call is timed, because only a few times are known or calls are slow.
    timed: AtomicBool,
    /// True when instances are made on the thread that finds that one is needed: slow, and always the same.
    at_once: bool,
}

impl ComponentStrategy {
    /// Makes the first instance of a component, from which the strategy's own description comes.
    ///
    /// # Errors
    ///
    /// When the component breaks at its start, or rejects its configuration.
    pub(super) fn start(
        name: &str,
        engine: Arc<Engine>,
        blueprint: Arc<Blueprint>,
        setup: Setup,
        counters: Arc<Counters>,
        recorder: Arc<Recorder>,
    ) -> Result<Self, LoadError> {
        let journal = Journal::new(name);
        let mut said = Said::default();
        let started = Instance::start(&engine, &blueprint, &setup, &mut said);
        journal.write(said);
        let instance = started?;
        if instance.claims_stateless() && instance.observes() {
            tracing::warn!(
                strategy = name,
                "strategy {name} says that it keeps no state, and is told how attempts end: it has one instance, as any that learns"
            );
        }
        let workers = if instance.is_stateless() { slots::workers() } else { 1 };
        let inner = Inner {
            name: name.to_owned(),
            info: instance.info().clone(),
            observes: instance.observes(),
            engine,
            blueprint,
            setup,
            slots: Slots::new(instance, workers),
            recovery: Mutex::default(),
            pending: Mutex::default(),
            counters,
            faults: Mutex::default(),
            recorder,
            journal,
            remarks: Rate::default(),
            pace: Mutex::default(),
            timed: AtomicBool::new(true),
            at_once: false,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// From now on makes instances on the thread that finds one to be needed, for a simulation.
    pub(super) fn replacing_at_once(mut self) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.at_once = true;
        }
        self
    }

    /// Its information about itself.
    pub fn info(&self) -> &Info {
        &self.inner.info
    }

    /// Its counters since the start.
    pub fn stats(&self) -> Stats {
        self.inner.counters.read()
    }

    /// Its present state.
    pub fn state(&self) -> State {
        self.inner.recovery.lock().state()
    }

    /// The compiled component of its instances.
    pub(super) fn blueprint(&self) -> &Arc<Blueprint> {
        &self.inner.blueprint
    }

    /// The setup that its instances are started with.
    pub(super) fn setup(&self) -> &Setup {
        &self.inner.setup
    }

    /// The counters of its name.
    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.inner.counters)
    }

    /// Its own faults, whatever the counters of its name say.
    pub(super) fn faults(&self) -> FaultLog {
        self.inner.faults.lock().clone()
    }
}

impl Strategy for ComponentStrategy {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn health(&self) -> StrategyHealth {
        let Inner { name, info, blueprint, .. } = &*self.inner;
        let pace = self.inner.pace.lock();
        StrategyHealth {
            name: name.clone(),
            state: self.state().name(),
            on_trial: false,
            rolled_back: None,
            component: info.name.clone(),
            version: info.version.clone(),
            digest: blueprint.digest.short(),
            counters: self.stats().into(),
            former: Vec::new(),
            shadows: Vec::new(),
            record: None,
            mean_call: pace.mean(),
            slow: pace.is_slow(),
        }
    }

    fn reason(&self, reason: u32) -> Option<String> {
        self.inner.info.reasons.get(reason as usize).cloned()
    }

    fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Decision {
        let inner = &self.inner;
        // The facts may have a prompt that is meant for a shadow.
        let without;
        let facts = if inner.setup.prompt || facts.prompt.is_empty() {
            facts
        } else {
            without = Facts { prompt: "", ..*facts };
            &without
        };
        let default_order = |origin| Decision::default_order(candidates, origin);
        let number = inner.counters.calls.fetch_add(1, Ordering::Relaxed);
        let is_timed = number.is_multiple_of(pace::EVERY) || inner.timed.load(Ordering::Relaxed);

        let mut turn = inner.slots.take();
        if matches!(turn, Turn::Busy) {
            Counters::count(&inner.counters.lock_waits);
            Inner::add_if_there_is_room(inner);
            turn = inner.slots.wait(LOCK_WAIT);
        }
        let mut held = match turn {
            Turn::Taken(held) => held,
            Turn::Vacant => {
                Inner::rebuild_if_due(inner);
                return default_order(Origin::Faulted);
            }
            Turn::Busy => {
                Counters::count(&inner.counters.lock_timeouts);
                inner.remark(|name| {
                    tracing::warn!(strategy = name, "strategy {name} is busy for too long: default order")
                });
                return default_order(Origin::Faulted);
            }
        };
        let place = held.place;
        let Some(instance) = held.slot.as_mut() else {
            drop(held);
            Inner::rebuild_if_due(inner);
            return default_order(Origin::Faulted);
        };

        let begun = is_timed.then(Instant::now);
        let mut said = Said::default();
        let entry = inner.recorder.is_on().then(|| inner.entry(place, instance));
        let told = if inner.observes { inner.tell(instance, entry.as_ref()) } else { Ok(()) };
        let answer = told.and_then(|()| instance.route(&inner.engine, facts, candidates, &mut said));
        if let Some(entry) = &entry {
            entry.decided(facts, candidates, &answer);
        }
        let full = instance.begins_renewal();
        let lost = match &answer {
            Err(Broken { usable: false, .. }) => inner.slots.vacate(&mut held),
            _ => None,
        };
        // Nothing below may hold up other requests.
        drop(held);
        if let Some(begun) = begun {
            inner.took(begun.elapsed());
        }
        inner.journal.write(said);
        if full && lost.is_none() {
            Inner::renew(inner, place);
        }
        match answer {
            Ok(Answer::Decided(decision)) => {
                if decision.origin == Origin::Abstained {
                    Counters::count(&inner.counters.abstentions);
                }
                decision
            }
            Ok(Answer::Refused(text)) => {
                Counters::count(&inner.counters.refusals);
                inner.remark(|name| {
                    tracing::warn!(strategy = name, "strategy {name} has no order for this request: {text}")
                });
                default_order(Origin::Refused)
            }
            Err(Broken { fault, .. }) => {
                inner.note(&fault);
                match lost {
                    Some(instance) => Inner::replace(inner, place, &fault, instance.good_calls),
                    None => {
                        inner.remark(|name| tracing::warn!(strategy = name, "strategy {name} {fault}: default order"))
                    }
                }
                default_order(Origin::Faulted)
            }
        }
    }

    fn wants_prompt(&self) -> bool {
        self.inner.setup.prompt
    }

    /// Keeps the report for the next decision, which hands over up to 64 before it asks: the strategy has then seen
    /// everything that happened before, the end of an attempt waits for nobody, and a decision pays for a bounded
    /// number of reports.
    fn learn(&self, report: Report) {
        let inner = &self.inner;
        if !inner.observes {
            return;
        }
        let mut pending = inner.pending.lock();
        if pending.len() < PENDING_REPORTS {
            pending.push(report);
        } else {
            Counters::count(&inner.counters.reports_dropped);
        }
    }
}

impl Inner {
    /// The instance's place in the record, which names an instance before its first line. Its lock is held, so that the
    /// record is in the order of events.
    fn entry(&self, place: usize, instance: &mut Instance) -> Entry<'_> {
        let recorder = &*self.recorder;
        let session = recorder.session();
        let (number, known) = instance.recorded.unwrap_or_else(|| (recorder.next_instance(), session.wrapping_sub(1)));
        if known != session {
            instance.recorded = Some((number, session));
            let digest = self.blueprint.digest.to_string();
            let start = Start::new((number, place), !instance.fresh, &self.name, &self.info, digest, &self.setup);
            recorder.take(Line::Start(start));
        }
        Entry::new(recorder, number)
    }

    /// Hands over the oldest reports.
    fn tell(&self, instance: &mut Instance, entry: Option<&Entry<'_>>) -> Result<(), Broken> {
        let reports: Vec<Report> = {
            let mut pending = self.pending.lock();
            match pending.len() {
                0 => return Ok(()),
                1..=OUTCOMES => mem::take(&mut *pending),
                _ => pending.drain(..OUTCOMES).collect(),
            }
        };
        if let Some(entry) = entry {
            entry.told(&reports);
        }
        let mut said = Said::default();
        let told = instance.observe(&self.engine, &reports, &mut said);
        self.journal.write(said);
        told
    }

    /// Notes how long a call held up all others.
    fn took(&self, time: Duration) {
        let (change, all) = {
            let mut pace = self.pace.lock();
            (pace.took(time), pace.wants_all())
        };
        // Not written for nothing: what lies beside it is read by every decision of every core.
        if self.timed.load(Ordering::Relaxed) != all {
            self.timed.store(all, Ordering::Relaxed);
        }
        match change {
            None => {}
            Some(Change::Slow(mean)) => {
                let (name, millis, most) = (&self.name, mean * 1e3, self.slots.most() as f64 / mean);
                tracing::warn!(
                    strategy = name,
                    "strategy {name} is slow: a call takes {millis:.1} ms on average, and calls wait for each other, so at most {most:.0} \
                     requests a second can be served"
                );
            }
            Some(Change::Quick(mean)) => {
                let (name, millis) = (&self.name, mean * 1e3);
                tracing::info!(
                    strategy = name,
                    "strategy {name} is quick again: a call takes {millis:.2} ms on average"
                );
            }
        }
    }

    /// Counts a fault.
    fn note(&self, fault: &Fault) {
        self.counters.fault(fault.kind());
        self.faults.lock().note(fault);
    }

    /// Writes a line of the host's own about the strategy, as far as the rate allows.
    fn remark(&self, write: impl FnOnce(&str)) {
        if let Some(dropped) = self.remarks.admit(Instant::now()) {
            if dropped > 0 {
                tracing::warn!(strategy = self.name, "{dropped} lines about strategy {} were dropped", self.name);
            }
            write(&self.name);
        }
    }
}

#[cfg(test)]
impl ComponentStrategy {
    /// True while a successor of the instance is being made.
    pub(super) fn is_being_renewed(&self) -> bool {
        self.inner.slots.lock_all().iter().flat_map(|slot| slot.as_ref()).any(Instance::is_being_renewed)
    }

    /// Gives a strategy that has just been started room for as many instances as if there were so many workers, if it keeps
    /// no state.
    pub(super) fn with_workers(mut self, workers: usize) -> Self {
        let inner = Arc::get_mut(&mut self.inner).expect("nobody else has it");
        let first = inner.slots.lock(0).take().expect("an instance");
        let workers = if first.is_stateless() { workers } else { 1 };
        inner.slots = Slots::new(first, workers);
        self
    }

    /// The number of instances that are asked.
    pub(super) fn instances(&self) -> usize {
        self.inner.slots.count()
    }

    /// Keeps all instances busy that there are now.
    pub(super) fn hold(&self) -> impl Sized {
        self.inner.slots.lock_all()
    }

    /// Keeps the instance in this place busy.
    pub(super) fn hold_one(&self, place: usize) -> impl Sized {
        self.inner.slots.lock(place)
    }

    /// Asks the instance directly, without anything around it.
    pub(super) fn ask_instance(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> (Result<Answer, Broken>, Said) {
        let mut said = Said::default();
        let mut slot = self.inner.slots.lock(0);
        let instance = slot.as_mut().expect("an instance");
        let answer = instance.route(&self.inner.engine, facts, candidates, &mut said);
        (answer, said)
    }

    /// Tells the instance directly, likewise.
    pub(super) fn tell_instance(&self, reports: &[Report]) -> (Result<(), Broken>, Said) {
        let mut said = Said::default();
        let mut slot = self.inner.slots.lock(0);
        let told = slot.as_mut().expect("an instance").observe(&self.inner.engine, reports, &mut said);
        (told, said)
    }

    /// The number of reports that wait for the next decision.
    pub(super) fn pending_reports(&self) -> usize {
        self.inner.pending.lock().len()
    }
}
