//! Cores, the lines of their caches, and locks: a discrete-event simulation, the same each time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::request::{Request, Shared, Step};

/// The time that a request waits, in µs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// For locks.
    pub locks: f64,
    /// For cache lines that other cores have.
    pub lines: f64,
}

/// The machine with its workers, each on a core of its own.
pub struct Machine {
    request: Request,
    parts: u64,
    line_ns: u64,
    workers: Vec<Worker>,
    /// The times at which workers go on, each with its worker; the earliest is next.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    lines: BTreeMap<Shared, Line>,
    locks: BTreeMap<Shared, Lock>,
    waited: Spent,
}

struct Worker {
    steps: Vec<Step>,
    at: usize,
    served: u32,
    dice: u64,
}

#[derive(Default)]
struct Line {
    /// A bit for each core that has it; of one that was written, one.
    holders: u32,
    /// When it has come where it goes to now.
    arrives: u64,
}

#[derive(Default)]
struct Lock {
    holder: Option<usize>,
    /// Those who wait, and since when.
    queue: VecDeque<(usize, u64)>,
}

impl Machine {
    /// A machine that is idle. A line takes `line_ns` from core to core.
    pub fn new(workers: usize, line_ns: u64, request: Request) -> Self {
        let worker = |number: usize| Worker { steps: Vec::new(), at: 0, served: 0, dice: number as u64 + 1 };
        Self {
            parts: request.parts(),
            request,
            line_ns,
            workers: (0..workers).map(worker).collect(),
            next: (0..workers).map(|worker| Reverse((0, worker))).collect(),
            lines: BTreeMap::new(),
            locks: BTreeMap::new(),
            waited: Spent::default(),
        }
    }

    /// Requests per µs while each worker serves `requests`, and the waits of one.
    pub fn run(mut self, requests: u32) -> (f64, Spent) {
        let mut end = 0;
        while let Some(Reverse((now, worker))) = self.next.pop() {
            end = now;
            let Worker { steps, at, served, .. } = &mut self.workers[worker];
            if *at == steps.len() {
                if *served == requests {
                    // Whoever is ready first ends it, or the last ones would be alone.
                    break;
                }
                let provider = (*served as usize + worker) % self.request.shape.providers;
                (*steps, *at) = (self.request.steps(worker, provider), 0);
                *served += 1;
            }
            let step = steps[*at];
            *at += 1;
            if let Some(done) = self.step(worker, step, now) {
                self.next.push(Reverse((done, worker)));
            }
        }
        let served: u32 = self.workers.iter().map(|worker| worker.served).sum();
        let each = |waited: f64| waited / 1e3 / f64::from(served);
        let spent = Spent { locks: each(self.waited.locks), lines: each(self.waited.lines) };
        (f64::from(served) * 1e3 / end as f64, spent)
    }

    /// The end of a step that begins now; `None` when the worker waits for another to give something back.
    fn step(&mut self, worker: usize, step: Step, now: u64) -> Option<u64> {
        match step {
            Step::Own(parts) => Some(now + self.jitter(worker, self.request.shape.own * parts / self.parts)),
            Step::Work(time) => Some(now + time),
            Step::Read(line) => Some(self.fetch(worker, line, now, false)),
            Step::Write(line) => Some(self.fetch(worker, line, now, true)),
            Step::Take(name) => {
                let lock = self.locks.entry(name).or_default();
                if lock.holder.is_some() {
                    lock.queue.push_back((worker, now));
                    return None;
                }
                lock.holder = Some(worker);
                Some(self.fetch(worker, name, now, true))
            }
            Step::Give(name) => {
                let lock = self.locks.entry(name).or_default();
                let next = lock.queue.pop_front();
                lock.holder = next.map(|(worker, _)| worker);
                if let Some((next, since)) = next {
                    self.waited.locks += (now - since) as f64;
                    let begins = self.fetch(next, name, now, true);
                    self.next.push(Reverse((begins, next)));
                }
                Some(now)
            }
        }
    }

    /// When the core has the line; each of those who want it at the same time gets it in turn.
    fn fetch(&mut self, worker: usize, name: Shared, now: u64, writes: bool) -> u64 {
        let line = self.lines.entry(name).or_default();
        let own = 1 << worker;
        let has = if writes { line.holders == own } else { line.holders & own != 0 };
        let nobody = line.holders == 0;
        line.holders = if writes { own } else { line.holders | own };
        if has || nobody {
            return now;
        }
        line.arrives = line.arrives.max(now) + self.line_ns;
        self.waited.lines += (line.arrives - now) as f64;
        line.arrives
    }

    /// A time that differs by up to a fifth, so that workers do not go in step.
    fn jitter(&mut self, worker: usize, time: u64) -> u64 {
        let dice = &mut self.workers[worker].dice;
        // Knuth's generator; its upper bits are the good ones.
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        time * 4 / 5 + ((*dice >> 33) % (time * 2 / 5).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::{Instances, Shape};
    use super::*;

    fn run(workers: usize, decision: u64, instances: Instances, line_ns: u64) -> (f64, Spent) {
        let shape = Shape { own: 20_000, decision, memory: 0, short: 0, providers: 2 };
        Machine::new(workers, line_ns, Request::new(shape, instances, true)).run(2_000)
    }

    #[test]
    fn workers_that_share_nothing_do_as_much_each() {
        let (one, _) = run(1, 1_000, Instances::PerWorker, 0);
        let (eight, spent) = run(8, 1_000, Instances::PerWorker, 0);
        assert!((eight / one - 8.0).abs() < 0.02, "{}", eight / one);
        assert_eq!((spent.locks, spent.lines), (0.0, 0.0));
    }

    #[test]
    fn a_lock_that_is_always_taken_is_the_limit() {
        let (rate, spent) = run(16, 10_000, Instances::One, 0);
        assert!((rate - 0.1).abs() < 0.001, "{rate} a µs with 10 µs each");
        // 16 in a circle of 160 µs, of which 20 are their own work and 10 the decision.
        assert!((spent.locks - 130.0).abs() < 2.0, "{}", spent.locks);
    }

    #[test]
    fn one_worker_waits_for_nothing() {
        let (rate, spent) = run(1, 10_000, Instances::One, 100);
        assert!((rate - 1.0 / 30.0).abs() < 1e-3, "{rate}");
        assert_eq!((spent.locks, spent.lines), (0.0, 0.0));
    }

    #[test]
    fn the_same_comes_out_each_time() {
        let figures = || run(4, 1_350, Instances::One, 80);
        assert_eq!(figures().0.to_bits(), figures().0.to_bits());
    }
}
