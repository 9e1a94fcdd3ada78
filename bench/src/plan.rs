//! The plan of a run: measures, rounds and times, in the full and the quick form.

use crate::load::Pattern;
use crate::wire::Events;

/// One way to load a target.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name in the report.
    pub name: &'static str,
    /// The number of connections.
    pub connections: usize,
    /// Bytes of the request's body.
    pub body: usize,
    /// The stream to ask for, if any.
    pub events: Option<Events>,
    /// The timing of requests.
    pub pattern: Pattern,
    /// Requests of that size a second that are asked between the events.
    pub between: f64,
    /// Seconds that count.
    pub seconds: f64,
    /// The number of rounds that include it, counted from the first.
    pub rounds: usize,
    /// True when the other forms of Pointsman are measured too.
    pub forms: bool,
}

/// Before anything counts: connections are made and their buffers have grown.
pub const WARM_UP: f64 = 0.4;
/// Of the measure of slow streams.
pub const SLOW_STREAMS: usize = 1000;

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name in the report.
    pub name: &'static str,
    /// The number of rounds.
    pub rounds: usize,
    /// The measures of a round, in order.
    pub measures: Vec<Measure>,
}

const PLAIN: Measure = Measure {
    name: "1k",
    connections: 64,
    body: 1 << 10,
    events: None,
    pattern: Pattern::Closed,
    between: 0.0,
    seconds: 3.0,
    rounds: usize::MAX,
    forms: false,
};
/// Of 50 ms between two events, so that all are alive at once for seconds.
const SLOW: Measure = Measure {
    name: "slow",
    connections: SLOW_STREAMS,
    events: Some(Events { count: 60, gap: 50_000, even: false }),
    pattern: Pattern::Once,
    ..PLAIN
};
/// The mock's timers being as coarse as 1 ms, some 13 of these events are written one right after the other.
const PACED: Measure = Measure { name: "paced", events: Some(Events { count: 200, gap: 5000, even: false }), ..PLAIN };
/// Every event by itself, some 310 µs after another stream's.
const ALONE: Measure = Measure { name: "alone", events: Some(Events { count: 50, gap: 20_000, even: true }), ..PLAIN };
/// The same with requests between the events.
const MIXED: Measure = Measure { name: "mixed", between: 500.0, ..ALONE };
const BURST: Measure = Measure { name: "burst", events: Some(Events { count: 50, gap: 0, even: false }), ..PLAIN };
const LARGE: Measure = Measure { name: "32k", body: 32 << 10, ..PLAIN };
/// Of few connections, as 64 such requests at once are more than the socket buffers of most machines hold.
const HUGE: Measure = Measure { name: "1m", body: 1 << 20, connections: 8, ..PLAIN };
const RATE_500: Measure = Measure { name: "rate500", pattern: Pattern::Rate(500.0), ..PLAIN };
const RATE_2000: Measure = Measure { name: "rate2000", pattern: Pattern::Rate(2000.0), ..PLAIN };

impl Plan {
    /// Everything, at least 3 s a sample: CPU time is counted in ticks of 10 ms.
    pub fn full() -> Self {
        // The largest bodies last: memory that they leave behind is no part of what a stream takes.
        let first = [Measure { forms: true, ..PLAIN }, SLOW, LARGE];
        let measures = [&first[..], &[PACED, ALONE, MIXED, BURST, RATE_500, RATE_2000, HUGE]].concat();
        Self { name: "full", rounds: 5, measures }
    }

    /// The load under which a program counts where it goes, to be built anew with the counts.
    pub fn training() -> Vec<Measure> {
        let short = |measure| Measure { seconds: 2.0, ..measure };
        [PLAIN, LARGE, HUGE, PACED, ALONE, BURST].map(short).to_vec()
    }

    /// The most important measures, in about two minutes.
    pub fn quick() -> Self {
        let short = |measure| Measure { seconds: 1.5, ..measure };
        let measures = vec![short(PLAIN), Measure { rounds: 1, ..SLOW }, short(LARGE), short(PACED), short(RATE_500)];
        Self { name: "quick", rounds: 3, measures }
    }
}
