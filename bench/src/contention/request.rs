//! One request as the cores see it: work of its own, cache lines, locks.

/// How many instances the strategy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// One, for all workers.
    One,
    /// One for each worker.
    PerWorker,
}

/// The size of a request, in ns.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Work without the decision.
    pub own: u64,
    /// Work under the strategy's lock.
    pub decision: u64,
    /// The lines of the instance's memory that a decision writes.
    pub memory: usize,
    /// Work under each of the other locks.
    pub short: u64,
    /// The providers that requests go to in turn.
    pub providers: usize,
}

/// Something that is shared; of what there is one for each provider or worker, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// The count of references to the configuration in force.
    Generation,
    /// The same to the route of the request.
    Route,
    /// The same to the set of its targets, with the numbers of decisions.
    Eligible,
    /// The same to the providers' state.
    Fleet,
    /// The same to a provider.
    Provider(usize),
    /// The same to the tray of gauges.
    Tray,
    /// The slots of the queue: the semaphore's permits, with the lock of those that wait; and the number taken.
    Queue,
    QueueTaken,
    /// The same of a provider.
    Slots(usize),
    SlotsTaken(usize),
    /// Gauges, which offers read and attempts write.
    Gauges(usize),
    /// The counter of the strategy's calls.
    Calls,
    /// The clock of guests: the number of calls that run.
    Clock,
    /// The strategy's instance, and the lines of its memory.
    Instance(usize),
    Memory(usize, usize),
    /// The pool of connections to a provider.
    Pool(usize),
    /// Counters of a provider: attempts by their end, requests by their end, two of tokens.
    Attempts(usize),
    Requests(usize),
    PromptTokens(usize),
    CompletionTokens(usize),
    /// Histograms: the number of all, then bucket, sum and number of the shard.
    AttemptDurations(usize),
    AttemptBuckets(usize),
    Durations,
    Buckets,
    /// The stories that wait to be made into records.
    Ledger,
}

/// What a core does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Works for so many parts of the request's own work.
    Own(u64),
    /// Works for so many ns.
    Work(u64),
    /// Reads a line.
    Read(Shared),
    /// Writes to a line.
    Write(Shared),
    /// Takes a lock, which is a line as well.
    Take(Shared),
    /// Gives it back.
    Give(Shared),
}

/// Gauges of 20 bytes each in a cache line of 64.
const SIDE_BY_SIDE: usize = 3;

/// All requests alike, but for worker and provider.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Its size.
    pub shape: Shape,
    instances: Instances,
    side_by_side: bool,
}

impl Request {
    /// Requests of this size; `side_by_side` says how gauges lie.
    pub fn new(shape: Shape, instances: Instances, side_by_side: bool) -> Self {
        Self { shape, instances, side_by_side }
    }

    fn gauges(&self, provider: usize) -> Shared {
        Shared::Gauges(if self.side_by_side { provider / SIDE_BY_SIDE } else { provider })
    }

    /// The steps of a request that this worker serves and this provider answers.
    pub fn steps(&self, worker: usize, provider: usize) -> Vec<Step> {
        use Shared::*;
        use Step::{Give, Own, Read, Take, Work, Write};
        let Shape { decision, memory, short, providers, .. } = self.shape;
        let place = if self.instances == Instances::One { 0 } else { worker };
        let own_gauge = self.gauges(provider);
        let brief = |lock| [Take(lock), Work(short), Give(lock)];
        let mut steps = vec![
            // The head is read, the body, who it is.
            Own(3),
            Write(Generation),
            Own(1),
            Write(Queue),
            Write(QueueTaken),
            Write(Route),
            Write(Eligible),
            Own(1),
            Write(Eligible),
            Write(Route),
        ];
        // The offer.
        let mut lines: Vec<Shared> = (0..providers).map(|provider| self.gauges(provider)).collect();
        lines.dedup();
        steps.extend(lines.into_iter().map(Read));
        steps.extend([Write(Calls), Take(Instance(place)), Write(Clock)]);
        steps.extend((0..memory).map(|line| Write(Memory(place, line))));
        steps.extend([
            Work(decision),
            Write(Clock),
            Give(Instance(place)),
            Own(1),
            // The attempt.
            Write(Slots(provider)),
            Write(SlotsTaken(provider)),
            Write(Fleet),
            Write(own_gauge),
            Write(Tray),
            Write(Provider(provider)),
            Write(Route),
        ]);
        steps.extend(brief(Pool(provider)));
        // It is sent, and the answer read.
        steps.extend([Own(2), Write(Provider(provider)), Own(2)]);
        steps.extend(brief(Pool(provider)));
        // The end of the attempt.
        steps.extend([
            Write(Attempts(provider)),
            Write(AttemptDurations(provider)),
            Write(AttemptBuckets(provider)),
            Write(own_gauge),
            Write(Slots(provider)),
            Write(SlotsTaken(provider)),
            Write(own_gauge),
            Write(Tray),
            Write(Fleet),
            Write(Provider(provider)),
            Own(1),
            // The end of the request.
            Write(Durations),
            Write(Buckets),
            Write(Requests(provider)),
            Write(PromptTokens(provider)),
            Write(CompletionTokens(provider)),
        ]);
        steps.extend(brief(Ledger));
        steps.extend([
            Write(Queue),
            Write(QueueTaken),
            Write(Eligible),
            Write(Route),
            Write(Provider(provider)),
            Write(Generation),
            Own(1),
        ]);
        steps
    }

    /// The parts that the request's own work is divided into.
    pub fn parts(&self) -> u64 {
        let own = |step: Step| if let Step::Own(parts) = step { parts } else { 0 };
        self.steps(0, 0).into_iter().map(own).sum()
    }

    /// The writes to lines that are neither locks nor an instance's memory, and the locks.
    pub fn counts(&self) -> (usize, usize) {
        let steps = self.steps(0, 0);
        let count = |is: fn(&Step) -> bool| steps.iter().filter(|step| is(step)).count();
        let writes = count(|step| matches!(step, Step::Write(line) if !matches!(line, Shared::Memory(..))));
        (writes, count(|step| matches!(step, Step::Take(_))))
    }
}
