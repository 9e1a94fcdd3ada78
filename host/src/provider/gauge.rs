//! The figures that change with every request to a provider, and that strategies are told with every decision.
//!
//! The gauges of many providers lie side by side, so that offering a thousand of them reads memory from end to end
//! instead of following a thousand pointers.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use super::latency::Latency;

/// Gauges in one piece of memory.
const TRAY: usize = 64;

/// The measurements of one provider.
#[derive(Debug, Default)]
pub struct Gauge {
    in_flight: AtomicU32,
    /// Attempts that have begun, which numbers them; it wraps around.
    begun: AtomicU32,
    /// True when there are limits whose remainder must be looked up.
    limited: AtomicBool,
    /// Its latency and its failures.
    pub latency: Latency,
}

impl Gauge {
    /// The number of an attempt that begins now.
    pub fn begin(&self) -> u32 {
        self.begun.fetch_add(1, Relaxed)
    }

    /// The number that the next attempt will have.
    pub fn next(&self) -> u32 {
        self.begun.load(Relaxed)
    }

    /// True when there are limits, the provider's own or the operator's, whose remainder must be looked up.
    pub fn is_limited(&self) -> bool {
        self.limited.load(Relaxed)
    }

    /// Notes that there are limits, once and for all.
    pub fn limit(&self) {
        self.limited.store(true, Relaxed);
    }

    /// Forgets what was measured of another provider.
    pub fn reset(&self) {
        self.latency.reset();
        self.limited.store(false, Relaxed);
    }

    /// Requests that it works on.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }
}

/// A request that a provider works on, from now until this is dropped.
#[derive(Debug)]
pub struct InFlight(GaugeRef);

impl InFlight {
    /// Counts it.
    pub fn at(gauge: &GaugeRef) -> Self {
        gauge.in_flight.fetch_add(1, Relaxed);
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A reference to one gauge among those that lie side by side.
#[derive(Clone, Debug)]
pub struct GaugeRef {
    tray: Arc<[Gauge; TRAY]>,
    place: usize,
}

impl Deref for GaugeRef {
    type Target = Gauge;

    fn deref(&self) -> &Gauge {
        &self.tray[self.place]
    }
}

/// The gauges of all seats of a board. A gauge that has been given out stays where it is.
#[derive(Debug, Default)]
pub struct Gauges {
    trays: Vec<Arc<[Gauge; TRAY]>>,
}

impl Gauges {
    /// The gauge of a seat; always the same one.
    pub fn at(&mut self, seat: usize) -> GaugeRef {
        let (number, place) = (seat / TRAY, seat % TRAY);
        while self.trays.len() <= number {
            self.trays.push(Arc::new(std::array::from_fn(|_| Gauge::default())));
        }
        GaugeRef { tray: Arc::clone(&self.trays[number]), place }
    }
}
