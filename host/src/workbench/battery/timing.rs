//! The time that a strategy takes to compile and to decide.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::inputs::{facts, usual};
use super::{Bench, Broken, Claim, Subject, USUAL, claim};
use crate::routing::Tier;
use crate::strategy::blueprint::Blueprint;
use crate::strategy::contract::guest::Info;
use crate::strategy::probe::probe;
use crate::wasm::engine::Engine;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::Journal;
use crate::wasm::overtime::processor_time;

/// The time that at most one call in a hundred may exceed: with more, faults are only a busy machine away.
const TOO_SLOW: Duration = Duration::from_millis(5);
/// The time of a call above which requests are noticeably delayed.
const SLOW: Duration = Duration::from_micros(100);
/// The most calls that are timed, and the limit of their time.
const TIMED_CALLS: u32 = 2_000;
const TIMED_TIME: Duration = Duration::from_millis(500);

/// The properties of a strategy that has been started.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The name that it gives itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its own description.
    pub description: String,
    /// The texts of its reasons.
    pub reasons: Vec<String>,
    /// True when it wants reports of attempts.
    pub observes: bool,
    /// True when each worker may have an instance of it.
    pub stateless: bool,
    /// Milliseconds to compile it.
    pub compile_ms: f64,
    /// Bytes of memory after its start with three providers.
    pub memory: usize,
    /// Microseconds of a call by the number of candidates.
    pub calls: Vec<Timing>,
}

/// The durations of calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it; in microseconds")]
pub struct Timing {
    pub candidates: u32,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

/// Inspects a running strategy.
///
/// # Errors
///
/// When it does not load, or does not start.
pub fn inspect(subject: &Subject<'_>) -> Result<Inspection, LoadError> {
    let engine = Engine::shared()?;
    let begun = Instant::now();
    let blueprint = Blueprint::new(&engine, subject.component)?;
    let compile_ms = begun.elapsed().as_secs_f64() * 1e3;
    let bench = Bench { engine: &engine, blueprint: &blueprint, subject };
    probe(&engine, &blueprint, &bench.setup(Tier::Primary, 3), &Journal::new("it"))?;
    let instance = bench.begin(3)?;
    let (memory, stateless) = (instance.memory(), instance.is_stateless());
    let Info { name, version, description, reasons, observes } = instance.info().clone();
    let mut calls = Vec::new();
    for candidates in [2, 10, 100, 1000] {
        calls.extend(
            bench
                .timing(candidates)
                .map_err(|broken| LoadError::Unfit { request: broken.asked, fault: broken.fault })?,
        );
    }
    Ok(Inspection { name, version, description, reasons, observes, stateless, compile_ms, memory, calls })
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e8).round() / 1e2
}

impl Bench<'_> {
    /// Times calls by the clock on the wall.
    fn timing(&self, count: u32) -> Result<Option<Timing>, Broken> {
        let begun = Instant::now();
        self.timing_by(count, || begun.elapsed())
    }

    /// Times as [`Bench::timing`] does, and if that is too long, by processor time, since other work of the machine is
    /// no fault of the strategy. The system counts processor time in steps of a few milliseconds, so it is not used
    /// otherwise.
    fn fair_timing(&self, count: u32) -> Result<Option<Timing>, Broken> {
        match self.timing(count)? {
            Some(timing) if timing.p99_us >= micros(TOO_SLOW) && processor_time().is_some() => {
                self.timing_by(count, || processor_time().unwrap_or_default())
            }
            timing => Ok(timing),
        }
    }

    fn timing_by(&self, count: u32, clock: impl Fn() -> Duration) -> Result<Option<Timing>, Broken> {
        let Ok(mut instance) = self.begin(count) else { return Ok(None) };
        let offered = self.offer(count, usual);
        let mut times = Vec::new();
        let begun = Instant::now();
        for seq in 0..TIMED_CALLS {
            let facts = facts(seq);
            let before = clock();
            self.ask(&mut instance, &facts, &offered)?;
            times.push(clock().saturating_sub(before));
            if begun.elapsed() > TIMED_TIME && times.len() >= 20 {
                break;
            }
        }
        // The first ones fill caches.
        times.drain(..times.len().min(10));
        times.sort_unstable();
        let at = |share: f64| times.get(((times.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default();
        let [p50_us, p99_us, max_us] = [0.5, 0.99, 1.0].map(|share| micros(at(share)));
        Ok(Some(Timing { candidates: count, p50_us, p99_us, max_us }))
    }

    pub(super) fn is_quick(&self) -> Claim {
        let text = "99 of 100 calls take less than 5 ms";
        let mut timings = Vec::new();
        for count in [10, USUAL, 1000] {
            match self.fair_timing(count) {
                Ok(timing) => timings.extend(timing),
                Err(broken) => return claim(text, Err(broken.words())),
            }
        }
        let words =
            |t: &Timing| format!("{} candidates: {:.1} us, 99 of 100 below {:.1}", t.candidates, t.p50_us, t.p99_us);
        let detail = timings.iter().map(words).collect::<Vec<_>>().join("; ");
        let longer = |timing: &Timing, than: Duration| timing.p50_us > than.as_secs_f64() * 1e6;
        let is_late = |timing: &Timing| timing.candidates <= USUAL && timing.p99_us >= micros(TOO_SLOW);
        let holds = !timings.iter().any(is_late);
        let slow = timings.iter().filter_map(|timing| match timing.candidates {
            10 if longer(timing, SLOW) => {
                Some("more than 100 us with 10 candidates: each request waits for it, one after the other")
            }
            1000 if longer(timing, TOO_SLOW) => {
                Some("too long with 1,000 candidates: the order of the configuration would be used instead of its own")
            }
            _ => None,
        });
        let slow = slow.collect::<Vec<_>>().join("; ");
        Claim { claim: text.to_owned(), holds, detail, warning: (!slow.is_empty()).then_some(slow) }
    }
}
