//! Records that wait to be exported: of bounded length, cut into batches.

use std::collections::VecDeque;
use std::sync::Arc;

use super::spans::Facts;
use crate::observe::ledger::Record;

/// The most spans that wait.
pub const MOST: usize = 16_384;
/// The spans of a batch, unless a single request has more.
pub const BATCH: usize = 512;

/// Records that wait, the oldest first.
#[derive(Debug, Default)]
pub struct Queue {
    records: VecDeque<Arc<Record>>,
    spans: usize,
}

/// Records that are being sent.
#[derive(Debug)]
pub struct Batch {
    /// The records.
    pub records: Vec<Arc<Record>>,
    /// The number of their spans.
    pub spans: usize,
    /// How often they have been sent.
    pub tries: u32,
}

impl Queue {
    /// Adds a record. Returns the number of spans for which there was no room: the oldest.
    pub fn push(&mut self, record: Arc<Record>) -> usize {
        self.spans += Facts::count(&record);
        self.records.push_back(record);
        let before = self.spans;
        while self.spans > MOST {
            let Some(record) = self.records.pop_front() else { break };
            self.spans -= Facts::count(&record);
        }
        before - self.spans
    }

    /// The next batch.
    pub fn take(&mut self) -> Option<Batch> {
        let mut batch = Batch { records: Vec::new(), spans: 0, tries: 0 };
        while let Some(record) = self.records.front() {
            let spans = Facts::count(record);
            if !batch.records.is_empty() && batch.spans + spans > BATCH {
                break;
            }
            batch.spans += spans;
            batch.records.extend(self.records.pop_front());
        }
        self.spans -= batch.spans;
        (!batch.records.is_empty()).then_some(batch)
    }

    /// The number of spans that wait.
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// Forgets everything; returns the number of spans that are lost.
    pub fn clear(&mut self) -> usize {
        std::mem::take(self).spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::trace::{SpanId, Trace, TraceId};

    fn record(at: usize) -> Arc<Record> {
        let trace = Trace { id: TraceId(1), span: SpanId(1), parent: None, is_sampled: true };
        Arc::new(Record { generation: at as u64, trace: Some(trace), ..Record::default() })
    }

    #[test]
    fn what_is_beyond_the_bound_is_lost_oldest_first_and_the_rest_goes_out_in_batches() {
        let mut queue = Queue::default();
        let lost: usize = (0..MOST + 100).map(|at| queue.push(record(at))).sum();
        assert_eq!((lost, queue.spans()), (100, MOST));
        let first = queue.take().unwrap();
        assert_eq!((first.spans, first.records.len(), first.records[0].generation), (BATCH, BATCH, 100));
        let mut rest = 0;
        while let Some(batch) = queue.take() {
            rest += batch.spans;
        }
        assert_eq!((rest, queue.spans()), (MOST - BATCH, 0));
    }
}
