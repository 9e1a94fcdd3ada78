//! What a ledger says happened, as a report of the same form as a simulation's, to be set beside one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use super::super::scenario::{Recorded, Script};
use super::super::tally::{Decided, Known, Report, Sample, micros, report};
use super::played;
use crate::observe::ledger::Record;
use crate::routing::OutcomeKind;

/// The name of the report in the place of a strategy's.
pub const AS_RECORDED: &str = "as recorded";

/// The report of what the ledger of a scenario says; `None` if its requests are drawn. `providers` are those of the scenario,
/// in its order.
///
/// # Errors
///
/// When the ledger cannot be read.
pub fn as_recorded(script: &Script, providers: &[String]) -> io::Result<Option<Report>> {
    let Some(recorded) = &script.traffic.recorded else { return Ok(None) };
    let records = played::read(recorded)?;
    Ok(Some(of(recorded, script, providers, &records)))
}

fn of(recorded: &Recorded, script: &Script, providers: &[String], records: &[Record]) -> Report {
    let sample = |record: &Record| {
        let last = record.attempts.last();
        let first = last.and_then(|last| Some(last.at_ms.duration() + last.first_ms?.duration()));
        let name = record.provider.as_deref().filter(|_| !record.failed());
        let place = name.and_then(|name| providers.iter().position(|provider| provider == name));
        Sample {
            at_ms: u32::try_from(record.time.since(recorded.since).as_millis()).unwrap_or(u32::MAX),
            queue_us: micros(record.queue_ms.map_or(Duration::ZERO, |queue| queue.duration())),
            first_us: micros(first.unwrap_or_else(|| record.duration_ms.duration())),
            total_us: micros(record.duration_ms.duration()),
            cost: record.cost_nano.map_or(0.0, |nano| (nano as f64 / 1e9) as f32),
            status: record.status.unwrap_or(499),
            provider: place.and_then(|place| u16::try_from(place).ok()),
            attempts: u8::try_from(record.attempts.len()).unwrap_or(u8::MAX),
        }
    };
    let samples: Vec<Sample> = records.iter().map(sample).collect();
    let priced: BTreeSet<&str> = records
        .iter()
        .filter(|record| record.cost_nano.is_some())
        .filter_map(|record| record.provider.as_deref())
        .collect();
    let known = |name: &String| {
        let mut attempts: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut hedges = 0;
        for attempt in records.iter().flat_map(|record| &record.attempts).filter(|one| *one.provider == **name) {
            hedges += u64::from(attempt.is_hedge);
            if let Some(kind) = OutcomeKind::ALL.iter().find(|kind| kind.name() == &*attempt.outcome) {
                *attempts.entry(kind.name()).or_default() += 1;
            }
        }
        Known { name: name.clone(), is_priced: priced.contains(name.as_str()), attempts, hedges, account: None }
    };
    let known: Vec<Known> = providers.iter().map(known).collect();
    report(AS_RECORDED, 0, script.duration, &known, Decided::default(), &samples)
}
