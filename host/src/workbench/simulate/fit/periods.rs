//! Times in which a provider was not as usual: down, failing, or slow.

use super::super::scenario::Event;
use super::{Try, is_within, median};

/// So many requests in a row that it failed, or that were not offered to it because it was ejected, are an outage.
const IN_A_ROW: usize = 3;
/// The pieces of the time that are looked at for slowness.
const PIECES: usize = 60;
/// A piece of time is slow when its median is so many times the usual one.
const SLOW: f64 = 2.5;
/// Fewer answers say nothing about a piece of time.
const FEW: usize = 5;

/// The outages: from the first failure to the last one before the next answer, or to the last request that was not offered
/// to it because it was ejected. `ejected` are the times of these, in order.
pub(super) fn outages(tries: &[Try<'_>], ejected: &[f64]) -> Vec<Event> {
    let mut outages = Vec::new();
    let mut row: Vec<&Try<'_>> = Vec::new();
    let mut close = |row: &mut Vec<&Try<'_>>, until: Option<f64>| {
        if let (Some(first), Some(last)) = (row.first(), row.last()) {
            let end = until.unwrap_or(f64::INFINITY);
            let out = &ejected[ejected.partition_point(|at| *at < first.at)..ejected.partition_point(|at| *at < end)];
            if row.len() + out.len() < IN_A_ROW {
                row.clear();
                return;
            }
            let until = out.last().map_or(last.ended(), |at| at.max(last.ended())).max(first.at + 0.001);
            // Nothing was sent: nobody listened.
            let down = row.iter().filter(|one| one.attempt.unsent).count() * 2 > row.len();
            let errors = (!down).then_some(1.0);
            outages.push(Event { from: first.at, until, down, slow: 1.0, errors });
        }
        row.clear();
    };
    for one in tries {
        if one.failed() {
            row.push(one);
        } else if one.is("succeeded") {
            close(&mut row, Some(one.at));
        }
    }
    close(&mut row, None);
    outages
}

/// The pieces of time, `length` seconds in all, in which it took much longer than `usual` to begin its answers.
pub(super) fn slow(tries: &[Try<'_>], usual: f64, length: f64, outages: &[Event]) -> Vec<Event> {
    let piece = length / PIECES as f64;
    let mut firsts: Vec<Vec<f64>> = vec![Vec::new(); PIECES];
    for one in tries {
        let is_calm = !outages.iter().any(|event| is_within(event, one.at));
        if let Some((first, ..)) = one.answer().filter(|_| is_calm && one.record.stream) {
            firsts[((one.at / piece) as usize).min(PIECES - 1)].push(first);
        }
    }
    let mut events: Vec<Event> = Vec::new();
    for (place, mut firsts) in firsts.into_iter().enumerate() {
        let Some(factor) = median(&mut firsts).map(|median| median / usual) else { continue };
        if firsts.len() < FEW || factor < SLOW {
            continue;
        }
        let (from, until) = (place as f64 * piece, (place + 1) as f64 * piece);
        match events.last_mut() {
            // Neighbours are one time, with the mean of their factors.
            Some(before) if before.until >= from - 1e-6 => {
                let pieces = ((before.until - before.from) / piece).round();
                before.slow = (before.slow * pieces + factor) / (pieces + 1.0);
                before.until = until;
            }
            Some(_) | None => events.push(Event { from, until, down: false, slow: factor, errors: None }),
        }
    }
    events
}
