//! The loop that talks to the engine: one round at a time for each owner, many owners at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::desk::{Desk, report_untold};
use super::eviction::{self, Eviction};
use super::failure::{Failure, flat};
use super::pulse::{self, Pulse};
use super::wire::{Script, Wire};
use super::{LAST, Shared, Waiting};
use crate::config::State;
use crate::limits::terms::{Asked, Mode, Terms};
use crate::limits::{Book, Clock, Moment, Owner};

/// What was spent is told this often.
const FLUSH: Duration = Duration::from_millis(100);

/// The interval at which the engine is asked whether it is there again.
const PROBE: Duration = Duration::from_secs(1);

/// An owner without anything to tell is left alone after so many flushes.
const QUIET: u32 = 20;
/// After the engine may have lost values, so many owners are shown to it at each flush.
const SHOWN: usize = 200;
/// After so many probes without an answer another connection is made: it may lead to another server by now.
const IN_VAIN: u32 = 3;

type Counters = (Arc<Book>, Arc<Clock>);
type Own = (String, Arc<Shared>);
type Landing = (Owner, Result<Value, Failure>);
type Flights = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>;

/// What a future of the loop comes to.
enum Event {
    Landed(Landing),
    Connected(Result<Wire, Failure>),
    Pulsed(Result<Value, Failure>, Duration),
    Looked(Option<String>),
}

pub(super) struct Driver {
    state: State,
    terms: Arc<Terms>,
    book: Arc<Book>,
    clock: Arc<Clock>,
    shared: Arc<Shared>,
    replica: String,
    take: Arc<Script>,
    pulse: Arc<Pulse>,
    wire: Option<Wire>,
    connecting: bool,
    breaker: Breaker,
    probe_at: Option<Instant>,
    pulsing: bool,
    /// Probes that have failed over the connection that there is.
    in_vain: u32,
    /// All owners that the engine was asked for. They are kept, as what was seen of them may have to be restored.
    desks: HashMap<Owner, Desk>,
    /// Those of them who may have something to tell.
    awake: HashSet<Owner>,
    /// Those that the engine is going to be shown.
    to_show: VecDeque<Owner>,
    /// The number of the latest round.
    number: u64,
    born: Option<String>,
    eviction: Eviction,
    flights: Flights,
}

impl Driver {
    pub fn new(state: State, terms: Arc<Terms>, (book, clock): Counters, (replica, shared): Own) -> Self {
        terms.set_without_engine(Mode::from(state.on_outage));
        let pulse = Arc::new(Pulse::new(&state.prefix, &replica));
        Self {
            state,
            terms,
            book,
            clock,
            shared,
            replica,
            take: Arc::new(Script::new(include_str!("take.lua"))),
            pulse,
            wire: None,
            connecting: false,
            breaker: Breaker::default(),
            probe_at: None,
            pulsing: false,
            in_vain: 0,
            desks: HashMap::new(),
            awake: HashSet::new(),
            to_show: VecDeque::new(),
            number: 0,
            born: None,
            eviction: Eviction::default(),
            flights: FuturesUnordered::new(),
        }
    }

    /// Runs until `end`, and gives back what is leased.
    pub async fn run(mut self, end: CancellationToken) {
        self.breaker.trip(Instant::now());
        self.connect();
        let mut flush = interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = interval(pulse::INTERVAL);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            let probe_at = self.probe_at.unwrap_or_else(|| Instant::now() + PROBE);
            tokio::select! {
                () = end.cancelled() => break,
                () = shared.wake.notified() => self.collect(),
                Some(event) = self.flights.next(), if !self.flights.is_empty() => self.happened(event),
                _ = flush.tick() => self.flush(),
                _ = beat.tick() => self.beat(),
                () = sleep_until(probe_at), if self.probe_at.is_some() => {
                    self.probe_at = None;
                    self.connect();
                }
            }
        }
        // Nobody waits for longer than this.
        drop(timeout(LAST, self.give_back()).await);
        // What the others will not hear of.
        report_untold(&self.desks, &self.book.accounts(), self.now());
    }

    fn now(&self) -> Moment {
        self.clock.moment(Instant::now())
    }

    /// Takes in those who have begun to wait, and those whose blocks run low.
    fn collect(&mut self) {
        let waiting = std::mem::take(&mut *self.shared.waiting.lock());
        let mut touched = self.terms.due();
        for Waiting { owner, cost, answer } in waiting {
            self.desks.entry(owner.clone()).or_default().take_in(cost, answer);
            touched.push(owner);
        }
        for owner in touched {
            self.launch(&owner, false);
        }
    }

    /// Sends an owner's next round, unless there is nothing to ask. If one is under way, the next follows it.
    fn launch(&mut self, owner: &Owner, ends: bool) {
        let now = self.now();
        let desk = self.desks.entry(owner.clone()).or_default();
        if desk.under_way {
            desk.again = true;
            return;
        }
        if !self.awake.contains(owner) {
            self.awake.insert(owner.clone());
        }
        let Some(mut wire) = self.wire.clone().filter(|_| !self.breaker.is_open()) else {
            desk.answer_all(Asked::Late);
            if self.wire.is_none() && !self.breaker.is_open() {
                self.failed(&Failure::Silence);
            }
            return;
        };
        match self.book.find(owner) {
            Some(account) if !desk.prepare(&account, now, ends, &mut self.number) => return,
            None if !desk.is_open() => {
                desk.answer_all(Asked::Answered);
                self.desks.remove(owner);
                self.awake.remove(owner);
                return;
            }
            Some(_) | None => {}
        }
        let Some((keys, arguments)) = desk.written(&self.state.prefix, owner, &self.replica) else { return };
        (desk.under_way, desk.again) = (true, false);
        self.shared.rounds.fetch_add(1, Relaxed);
        let (take, bound, owner) = (Arc::clone(&self.take), self.state.timeout, owner.clone());
        self.flights.push(Box::pin(async move {
            let answer = timeout(bound, wire.run(&take, &keys, &arguments)).await;
            Event::Landed((owner, flat(answer)))
        }));
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Landed(landing) => self.landed(landing),
            Event::Connected(Ok(wire)) => {
                self.connecting = false;
                *self.shared.wire.lock() = Some(wire.clone());
                self.wire = Some(wire.clone());
                self.flights.push(Box::pin(async { Event::Looked(eviction::policy(wire).await) }));
                self.beat_now();
                // It may be another server, or one that was started with an old copy of its data.
                self.show_all();
            }
            Event::Connected(Err(failure)) => {
                self.connecting = false;
                let opens = self.breaker.failed_again(Instant::now());
                self.suffered(&failure, opens);
                self.shared.first.notify_one();
            }
            Event::Pulsed(answer, took) => {
                self.pulsing = false;
                match answer.and_then(|value| pulse::read(&value).ok_or(Failure::Nonsense)) {
                    Ok(seen) => {
                        self.terms.set_replicas(seen.replicas);
                        *self.shared.heard.lock() = seen.throttles;
                        self.pulse.seen(&self.clock, seen.now, took);
                        if self.born.replace(seen.born.clone()).is_some_and(|before| before != seen.born) {
                            self.show_all();
                        }
                        self.reached();
                    }
                    Err(failure) => {
                        self.failed(&failure);
                        self.in_vain += u32::from(self.breaker.is_open());
                        if self.in_vain >= IN_VAIN {
                            self.disconnect();
                        }
                    }
                }
                self.shared.first.notify_one();
            }
            Event::Looked(policy) => self.eviction.looked(policy),
        }
    }

    fn landed(&mut self, (owner, answered): Landing) {
        let now = self.now();
        let Some(desk) = self.desks.get_mut(&owner) else { return };
        let failure = match answered {
            Ok(value) if desk.landed(&value, now) => {
                self.shared.suspect.store(false, Relaxed);
                if desk.goes_on() {
                    self.launch(&owner, false);
                }
                return;
            }
            Ok(_) => Failure::Nonsense,
            Err(failure) => failure,
        };
        // Whether the engine has followed it is not known: it is sent again.
        desk.under_way = false;
        desk.answer_all(Asked::Late);
        self.failed(&failure);
        if self.wire.is_some() {
            self.launch(&owner, false);
        }
    }

    /// Counts the failure of a question.
    fn failed(&mut self, failure: &Failure) {
        let opens = self.breaker.failed(Instant::now());
        self.suffered(failure, opens);
    }

    /// Does what follows from a failure; the last of several `opens` the breaker and ends the use of the engine for now.
    fn suffered(&mut self, failure: &Failure, opens: bool) {
        self.shared.failures.fetch_add(1, Relaxed);
        self.shared.suspect.store(true, Relaxed);
        let now = Instant::now();
        if failure.loses_connection() {
            self.disconnect();
        }
        if self.breaker.is_open() {
            self.probe_at.get_or_insert_with(|| now + pulse::jittered(PROBE));
        } else if self.wire.is_none() {
            self.connect();
        }
        let is_first = {
            let mut facts = self.shared.facts.lock();
            let is_first = facts.reason.is_none() && !facts.up && self.breaker.is_open();
            if opens || is_first {
                (facts.up, facts.reason) = (false, Some(failure.words()));
                facts.since = now;
            }
            is_first
        };
        if opens || is_first {
            let mode = self.terms.without_engine();
            self.terms.set_mode(mode);
            failure.warn(mode, self.terms.replicas());
        }
    }

    fn disconnect(&mut self) {
        (self.wire, self.in_vain) = (None, 0);
        *self.shared.wire.lock() = None;
    }

    /// Goes back to the engine, if it was out of reach.
    fn reached(&mut self) {
        (self.probe_at, self.in_vain) = (None, 0);
        self.shared.suspect.store(false, Relaxed);
        let Some(after) = self.breaker.close(Instant::now()) else { return };
        *self.shared.facts.lock() = super::Facts { up: true, ..super::Facts::default() };
        self.terms.set_mode(Mode::Leased);
        let (replicas, after) = (self.terms.replicas(), after.as_secs_f64());
        tracing::info!(
            replicas,
            "state: the engine answers, after {after:.1} s; limits are shared by {replicas} replicas"
        );
        // What was not answered, and what has been spent since.
        self.flush();
    }

    /// Connects, or asks over the connection that there is, to find out whether the engine answers.
    fn connect(&mut self) {
        if self.wire.is_some() {
            return self.beat_now();
        }
        if self.connecting {
            return;
        }
        self.connecting = true;
        let state = self.state.clone();
        self.flights.push(Box::pin(async move { Event::Connected(flat(timeout(LAST, Wire::connect(&state)).await)) }));
    }

    /// Says that this replica is there, and learns of the others.
    fn beat(&mut self) {
        // While the engine is out of reach nothing but the probe asks it.
        if !self.breaker.is_open() {
            self.beat_now();
        }
    }

    fn beat_now(&mut self) {
        let Some(mut wire) = self.wire.clone().filter(|_| !self.pulsing) else { return };
        self.pulsing = true;
        let (pulse, bound) = (Arc::clone(&self.pulse), self.state.timeout);
        let (throttles, card) = (self.shared.met.lock().clone(), self.shared.card.lock().clone());
        self.flights.push(Box::pin(async move {
            let began = Instant::now();
            let answer = flat(timeout(bound, pulse.ask(&mut wire, &card, &throttles)).await);
            Event::Pulsed(answer, began.elapsed())
        }));
    }

    /// Tells what was spent, gives back what lies idle, and renews what is held.
    fn flush(&mut self) {
        if self.breaker.is_open() {
            return;
        }
        let owners: Vec<Owner> = self.awake.iter().cloned().collect();
        for owner in owners {
            let quiet = self.book.find(&owner).is_none_or(|account| account.is_quiet());
            if let Some(desk) = self.desks.get_mut(&owner) {
                desk.quiet = if quiet && !desk.is_open() { desk.quiet + 1 } else { 0 };
                if desk.quiet > QUIET {
                    desk.quiet = 0;
                    self.awake.remove(&owner);
                    continue;
                }
            }
            self.launch(&owner, false);
        }
        for _ in 0..SHOWN.min(self.to_show.len()) {
            let Some(owner) = self.to_show.pop_front() else { break };
            if let Some(desk) = self.desks.get_mut(&owner) {
                desk.verifies = true;
                self.launch(&owner, false);
            }
        }
    }

    /// Has the engine be shown all that this replica has seen of it, some owners at each flush.
    fn show_all(&mut self) {
        let known = self.desks.iter().filter(|(_, desk)| desk.is_known()).map(|(owner, _)| owner.clone());
        self.to_show = known.collect();
    }

    /// The last rounds, at the end of the process.
    async fn give_back(&mut self) {
        if self.breaker.is_open() {
            return;
        }
        for ends in [false, true] {
            let owners: Vec<Owner> = self.desks.keys().cloned().collect();
            owners.iter().for_each(|owner| self.launch(owner, ends));
            while let Some(event) = self.flights.next().await {
                self.happened(event);
            }
        }
        if let Some(wire) = &mut self.wire {
            // The others find out by themselves if this fails.
            drop(self.pulse.leave(wire).await);
        }
    }
}
