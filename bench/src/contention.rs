//! What workers cost each other, by simulation: machines with more cores than this one are not at hand.
//!
//! Each worker serves one request after the other. A request is work of its own, between which it takes what is shared:
//! locks, first come, first served, and cache lines, which one core has at a time when it writes. The order of both is
//! that of `host/src`, as read on 27 November 2026. Not in it: sleeping and waking, caches that are too small, memory that is
//! far away, the kernel.

mod machine;
mod request;

use clap::Args;

use crate::say;
use machine::{Machine, Spent};
use request::{Instances, Request};

/// The numbers of workers.
const WORKERS: [usize; 5] = [1, 2, 4, 8, 16];

/// The figures of a simulation.
#[derive(Clone, Debug, Args)]
pub struct Figures {
    /// Processor time of a request, in µs, with a decision of `weighted` in it. Measured: 29.0, 64 connections over h2load.
    #[arg(long, default_value_t = 29.0, value_name = "µs")]
    request: f64,
    /// Time in the lock of the strategy for one decision, in µs. Measured: 1.35, `weighted` with 10 candidates.
    #[arg(long, default_value_t = 1.35, value_name = "µs")]
    decision: f64,
    /// The same of an author's own strategy, in µs. Assumed.
    #[arg(long, default_value_t = 10.0, value_name = "µs")]
    author: f64,
    /// Cache lines of the instance's memory that a decision uses, which come along when another core has decided before.
    /// Measured, on two cores that take turns: 1.4 µs more than with an instance each, which is 16 of 80 ns and the lock.
    #[arg(long, default_value_t = 16)]
    memory: usize,
    /// The time in which a cache line comes from another core, in ns. Assumed: 60 to 100 within one processor.
    #[arg(long, default_value_t = 80, value_name = "ns")]
    line: u64,
    /// The time for which a short lock is held (a pool of connections, the ledger), in ns. Assumed.
    #[arg(long, default_value_t = 60, value_name = "ns")]
    short: u64,
    /// The number of providers, which take turns.
    #[arg(long, default_value_t = 10)]
    providers: usize,
    /// Requests of each worker.
    #[arg(long, default_value_t = 20_000)]
    requests: u32,
}

/// A column of the table.
struct Case {
    strategy: &'static str,
    decision: f64,
    instances: Instances,
}

/// Simulates and prints.
pub fn main(figures: &Figures) {
    let cases = [("`weighted`", figures.decision), ("an author's", figures.author)].into_iter().flat_map(
        |(strategy, decision)| {
            [Instances::One, Instances::PerWorker].map(|instances| Case { strategy, decision, instances })
        },
    );
    let cases: Vec<Case> = cases.collect();
    let row = |first: &str, cell: &dyn Fn(&Case) -> String| {
        let cells: Vec<String> = cases.iter().map(cell).collect();
        say(&format!("| {first} | {} |", cells.join(" | ")));
    };
    row("workers", &|Case { strategy, decision, instances }| {
        let instances = if *instances == Instances::One { "one instance" } else { "one for each" };
        format!("{strategy}, {decision} µs, {instances}")
    });
    row("---", &|_| "---".to_owned());
    for workers in WORKERS {
        row(&workers.to_string(), &|case| {
            let ((alone, _), (rate, spent)) =
                (simulate(figures, case, 1, true), simulate(figures, case, workers, true));
            format!("{:.2} ({:.2}, {:.2})", rate / alone, spent.locks, spent.lines)
        });
    }
    say("");
    say("Requests, times those of one worker; in brackets the µs that a request waits for locks and for cache lines.");
    say("");
    say("| gauges of neighbouring providers, one instance of `weighted` for each worker | 2 workers | 4 | 8 | 16 |");
    say("| --- | --- | --- | --- | --- |");
    for (apart, words) in [(false, "side by side, as they are"), (true, "a cache line each")] {
        let case = Case { strategy: "", decision: figures.decision, instances: Instances::PerWorker };
        let alone = simulate(figures, &case, 1, false).0;
        let times = WORKERS[1..].iter().map(|workers| {
            let rate = simulate(figures, &case, *workers, !apart).0;
            format!("{:.2}", rate / alone)
        });
        say(&format!("| {words} | {} |", times.collect::<Vec<_>>().join(" | ")));
    }
    let request = Request::new(figures.shape(figures.decision), Instances::One, true);
    let (writes, locks) = request.counts();
    say("");
    say(&format!("A request writes to shared cache lines {writes} times and takes {locks} locks."));
}

impl Figures {
    fn shape(&self, decision: f64) -> request::Shape {
        let nanos = |micros: f64| (micros * 1e3) as u64;
        request::Shape {
            own: nanos(self.request - self.decision),
            decision: nanos(decision),
            memory: self.memory,
            short: self.short,
            providers: self.providers.max(1),
        }
    }
}

/// Requests per µs, and what one has waited for, in µs.
fn simulate(figures: &Figures, case: &Case, workers: usize, side_by_side: bool) -> (f64, Spent) {
    let request = Request::new(figures.shape(case.decision), case.instances, side_by_side);
    Machine::new(workers, figures.line, request).run(figures.requests)
}
