//! The loop that talks to the engine: one round at a time for each owner, many owners at once.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::failure::{Failure, flat};
use super::pulse::{self, Pulse};
use super::script::{self, Head};
use super::wire::{Script, Wire};
use super::{LAST, Shared, Waiting};
use crate::config::{OnOutage, State};
use crate::limits::round::Round;
use crate::limits::terms::{Asked, Mode, Terms};
use crate::limits::{Book, Clock, Cost, Moment, Owner};

/// What was spent is told this often.
const FLUSH: Duration = Duration::from_millis(100);

/// The interval at which the engine is asked whether it is there again.
const PROBE: Duration = Duration::from_secs(1);

/// An owner without anything to tell is forgotten after so many flushes.
const QUIET: u32 = 600;

/// One owner's conversation with the engine.
#[derive(Debug, Default)]
struct Desk {
    waiting: Vec<(Cost, oneshot::Sender<Asked>)>,
    /// The round that is under way, or was not answered: it is sent until it is.
    round: Option<Round>,
    under_way: bool,
    /// How many of those who wait the round was made for.
    served: usize,
    number: u64,
    born: String,
    quiet: u32,
}

type Landing = (Owner, Result<Value, Failure>);
type Flights = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>;

/// What a future of the loop comes to.
enum Event {
    Landed(Landing),
    Connected(Result<Wire, Failure>),
    Pulsed(Result<Value, Failure>, Duration),
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
    desks: HashMap<Owner, Desk>,
    flights: Flights,
}

impl Driver {
    pub fn new(state: State, terms: Arc<Terms>, (book, clock): (Arc<Book>, Arc<Clock>), shared: Arc<Shared>) -> Self {
        let replica = pulse::new_id();
        terms.set_without_engine(outage(state.on_outage));
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
            desks: HashMap::new(),
            flights: FuturesUnordered::new(),
        }
    }

    /// Runs until `end`, and gives back what is leased.
    pub async fn run(mut self, end: CancellationToken) {
        // Until the first connection it is out of reach.
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
    }

    fn now(&self) -> Moment {
        self.clock.moment(Instant::now())
    }

    /// Takes in those who have begun to wait, and those whose blocks run low.
    fn collect(&mut self) {
        let waiting = std::mem::take(&mut *self.shared.waiting.lock());
        let mut touched = self.terms.due();
        for Waiting { owner, cost, answer } in waiting {
            self.desks.entry(owner.clone()).or_default().waiting.push((cost, answer));
            touched.push(owner);
        }
        for owner in touched {
            self.launch(&owner, false);
        }
    }

    /// Sends an owner's next round, unless one is under way or there is nothing to ask.
    fn launch(&mut self, owner: &Owner, ends: bool) {
        let now = self.now();
        let desk = self.desks.entry(owner.clone()).or_default();
        if desk.under_way {
            return;
        }
        let Some(wire) = self.wire.clone().filter(|_| !self.breaker.is_open()) else {
            answer(desk.waiting.drain(..), Asked::Late);
            if self.wire.is_none() && !self.breaker.is_open() {
                self.failed(&Failure::Silence);
            }
            return;
        };
        let round = if let Some(round) = desk.round.take() {
            desk.served = 0;
            round
        } else {
            let Some(account) = self.book.find(owner) else {
                answer(desk.waiting.drain(..), Asked::Answered);
                self.desks.remove(owner);
                return;
            };
            let costs: Vec<Cost> = desk.waiting.iter().map(|(cost, _)| *cost).collect();
            let round = Round::of(&account, &costs, now, ends);
            if round.is_empty() {
                answer(desk.waiting.drain(..), Asked::Answered);
                return;
            }
            desk.served = costs.len();
            desk.number += 1;
            round
        };
        let text = owner.to_string();
        let head = Head {
            prefix: &self.state.prefix,
            owner: &text,
            replica: &self.replica,
            number: desk.number,
            born: &desk.born,
        };
        let (keys, arguments) = script::written(&head, &round);
        (desk.round, desk.under_way) = (Some(round), true);
        self.shared.rounds.fetch_add(1, Relaxed);
        let (take, bound, owner, mut wire) = (Arc::clone(&self.take), self.state.timeout, owner.clone(), wire);
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
                self.wire = Some(wire);
                self.beat_now();
            }
            Event::Connected(Err(failure)) => {
                self.connecting = false;
                self.failed(&failure);
                self.shared.first.notify_one();
            }
            Event::Pulsed(answer, took) => {
                self.pulsing = false;
                match answer.and_then(|value| pulse::read(&value).ok_or(Failure::Nonsense)) {
                    Ok(seen) => {
                        self.terms.set_replicas(seen.replicas);
                        *self.shared.heard.lock() = seen.throttles;
                        self.pulse.seen(&self.clock, seen.now, took);
                        self.reached();
                    }
                    Err(failure) => self.failed(&failure),
                }
                self.shared.first.notify_one();
            }
        }
    }

    /// Takes an answer to a round, or the lack of one.
    fn landed(&mut self, (owner, answered): Landing) {
        let now = self.now();
        let Some(desk) = self.desks.get_mut(&owner) else { return };
        desk.under_way = false;
        let Some(round) = desk.round.take() else { return };
        let reply = answered.and_then(|value| script::read(&value, &round).ok_or(Failure::Nonsense));
        match reply {
            Ok(reply) => {
                round.answered(&reply.answers, now);
                desk.born = reply.born;
                let served = desk.served.min(desk.waiting.len());
                answer(desk.waiting.drain(..served), Asked::Answered);
                if !desk.waiting.is_empty() {
                    self.launch(&owner, false);
                }
            }
            Err(failure) => {
                // Whether the engine has followed it is not known: it is sent again.
                desk.round = Some(round);
                answer(desk.waiting.drain(..), Asked::Late);
                self.failed(&failure);
            }
        }
    }

    /// Counts a failure; the last of several ends the use of the engine for now.
    fn failed(&mut self, failure: &Failure) {
        self.shared.failures.fetch_add(1, Relaxed);
        let now = Instant::now();
        if failure.loses_connection() {
            self.wire = None;
            *self.shared.wire.lock() = None;
        }
        let opens = self.breaker.failed(now);
        if self.breaker.is_open() {
            self.probe_at.get_or_insert_with(|| now + pulse::jittered(PROBE));
        } else if self.wire.is_none() {
            self.connect();
        }
        let words = failure.words();
        let is_first = {
            let mut facts = self.shared.facts.lock();
            let is_first = facts.reason.is_none() && !facts.up && self.breaker.is_open();
            if opens || is_first {
                (facts.up, facts.reason) = (false, Some(words.clone()));
                facts.since = now;
            }
            is_first
        };
        if opens || is_first {
            let mode = self.terms.without_engine();
            self.terms.set_mode(mode);
            let meanwhile = match mode {
                Mode::Closed => "requests with limits are refused",
                Mode::Open => "requests are let in without limits",
                Mode::Local | Mode::Leased => "this replica keeps to its share of the limits",
            };
            tracing::warn!(
                replicas = self.terms.replicas(),
                "state: the engine is out of reach ({words}): {meanwhile}"
            );
        }
    }

    /// Goes back to the engine, if it was out of reach.
    fn reached(&mut self) {
        self.probe_at = None;
        let Some(after) = self.breaker.close(Instant::now()) else { return };
        *self.shared.facts.lock() = super::Facts { up: true, ..super::Facts::default() };
        self.terms.set_mode(Mode::Leased);
        let (replicas, seconds) = (self.terms.replicas(), after.as_secs_f64());
        tracing::info!(
            replicas,
            "state: the engine answers, after {seconds:.1} s; limits are shared by {replicas} replicas"
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
        let throttles = self.shared.met.lock().clone();
        self.flights.push(Box::pin(async move {
            let began = Instant::now();
            let answer = flat(timeout(bound, pulse.ask(&mut wire, &throttles)).await);
            Event::Pulsed(answer, began.elapsed())
        }));
    }

    /// Tells what was spent, gives back what lies idle, and renews what is held.
    fn flush(&mut self) {
        if self.breaker.is_open() {
            return;
        }
        let owners: Vec<Owner> = self.desks.keys().cloned().collect();
        for owner in owners {
            let quiet = self.book.find(&owner).is_none_or(|account| account.is_quiet());
            if let Some(desk) = self.desks.get_mut(&owner) {
                desk.quiet = if quiet && desk.round.is_none() { desk.quiet + 1 } else { 0 };
                if desk.quiet > QUIET {
                    self.desks.remove(&owner);
                    continue;
                }
            }
            self.launch(&owner, false);
        }
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

fn outage(on_outage: OnOutage) -> Mode {
    match on_outage {
        OnOutage::Local => Mode::Local,
        OnOutage::Closed => Mode::Closed,
        OnOutage::Open => Mode::Open,
    }
}

fn answer(waiting: impl Iterator<Item = (Cost, oneshot::Sender<Asked>)>, asked: Asked) {
    for (_, sender) in waiting {
        // The request may have gone.
        let _ = sender.send(asked);
    }
}
