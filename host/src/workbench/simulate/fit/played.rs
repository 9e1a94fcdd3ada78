//! The requests of a ledger as they came, to be played.

use std::collections::HashMap;
use std::io;

use super::super::actor::Drawn;
use super::super::arrivals::{Asked, Played};
use super::super::scenario::{MAX_REQUESTS, Recorded, Traffic};
use super::is_played;
use crate::observe::ledger::folder::Reading;
use crate::observe::ledger::{Filter, Record};

/// The requests of a ledger between two moments, each with the seconds from the first moment on. What a request does not say
/// of itself has the medians of `traffic`.
///
/// # Errors
///
/// When the ledger cannot be read.
pub fn arrivals(recorded: &Recorded, traffic: &Traffic) -> io::Result<Played> {
    let records = read(recorded)?;
    let since = recorded.since;
    let mut sessions: HashMap<u32, u32> = HashMap::new();
    let asked = |record: &Record| {
        let known = u32::try_from(sessions.len()).unwrap_or(u32::MAX - 1);
        let session = record.session.map_or(0, |session| *sessions.entry(session).or_insert(known + 1));
        let tokens = |count: Option<u64>, median: f64| count.map_or(median, |count| count as f64).clamp(1.0, 1e6);
        let drawn = Drawn {
            output_tokens: tokens(record.completion_tokens, traffic.output_tokens.median) as u32,
            session,
            streaming: record.stream,
        };
        let input_tokens = tokens(record.prompt_tokens, traffic.input_tokens.median);
        let (client, model) = (traffic.client.clone(), record.model.to_string());
        (record.time.since(since).as_secs_f64(), Asked { client, model, input_tokens, drawn })
    };
    Ok(records.iter().map(asked).collect())
}

/// The records that are played, in the order of their beginnings.
///
/// # Errors
///
/// When the ledger cannot be read.
pub fn read(recorded: &Recorded) -> io::Result<Vec<Record>> {
    let Recorded { ledger, since, until } = recorded;
    let filter = Filter { since: Some(*since), until: Some(*until), inner: true, ..Filter::default() };
    let mut records = Vec::new();
    let mut see = |record: Record| {
        if is_played(&record) {
            records.push(record);
        }
        (records.len() as f64) < MAX_REQUESTS
    };
    Reading::of(ledger).forwards(&filter, &mut see)?;
    // They stand in the order of their ends.
    records.sort_by_key(|record| record.time);
    Ok(records)
}
