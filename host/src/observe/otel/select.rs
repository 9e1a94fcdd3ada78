//! Which requests are exported: those whose trace is, and in any case those that failed, failed over or were slow, which is
//! known at their end alone.
//!
//! The questions of an approach go with the client's request, which ends after them: until then they wait here.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::Always;
use crate::observe::ledger::Record;
use crate::observe::trace::SpanId;

/// The most questions that wait for the ends of their requests.
const MOST_WAITING: usize = 1024;
/// So many requests of approaches are remembered, as questions may end beside them.
const REMEMBERED: usize = 64;

/// Chooses.
#[derive(Debug, Default)]
pub struct Choice {
    always: Always,
    /// Questions, the oldest first.
    waiting: VecDeque<Arc<Record>>,
    /// The spans of requests, and whether they are exported; the oldest first.
    ended: VecDeque<(SpanId, bool)>,
}

impl Choice {
    /// Changes what is exported in any case.
    pub fn change(&mut self, always: Always) {
        self.always = always;
    }

    /// Takes a record, and gives those that are to be exported now. Returns the number of those for which there was no room.
    pub fn take(&mut self, record: Arc<Record>, export: &mut dyn FnMut(Arc<Record>)) -> usize {
        let Some(trace) = record.trace else { return 0 };
        if trace.is_sampled {
            export(record);
            return 0;
        }
        if self.always == Always::default() {
            return 0;
        }
        if record.inner.is_some() {
            let of = |ended: &&(SpanId, bool)| Some(ended.0) == trace.parent;
            match self.ended.iter().rev().find(of) {
                Some((_, true)) => export(record),
                Some((_, false)) => {}
                None => return self.wait(record),
            }
            return 0;
        }
        let is_exported = is_remarkable(&record, &self.always);
        if record.approach.is_some() {
            self.end(trace.span, is_exported, export);
        }
        if is_exported {
            export(record);
        }
        0
    }

    fn wait(&mut self, record: Arc<Record>) -> usize {
        self.waiting.push_back(record);
        if self.waiting.len() <= MOST_WAITING {
            return 0;
        }
        self.waiting.pop_front();
        1
    }

    /// The client's request with this span has ended.
    fn end(&mut self, span: SpanId, is_exported: bool, export: &mut dyn FnMut(Arc<Record>)) {
        let is_its = |record: &Arc<Record>| record.trace.and_then(|trace| trace.parent) == Some(span);
        if self.waiting.iter().any(is_its) {
            let all = std::mem::take(&mut self.waiting);
            let (its, others): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(is_its);
            self.waiting = others;
            if is_exported {
                its.into_iter().for_each(export);
            }
        }
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((span, is_exported));
    }
}

/// True when a request is exported whatever its trace.
fn is_remarkable(record: &Record, always: &Always) -> bool {
    always.errors && record.failed()
        || always.failovers && record.failed_over()
        || always.slower_than.is_some_and(|limit| record.duration_ms.duration() > limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ledger::record::{Approach, Attempt, Inner, Millis};
    use crate::observe::trace::{Trace, TraceId};

    fn record(span: u64, is_sampled: bool) -> Record {
        let trace = Trace { id: TraceId(7), span: SpanId(span), parent: None, is_sampled };
        Record { request_id: format!("req_{span}").into(), status: Some(200), trace: Some(trace), ..Record::default() }
    }

    fn question(span: u64, parent: u64) -> Record {
        let mut record = record(span, false);
        record.trace.as_mut().unwrap().parent = Some(SpanId(parent));
        record.inner = Some(Inner { approach: "moa".into(), step: "propose".into() });
        record
    }

    fn attempt() -> Attempt {
        Attempt {
            provider: "a".into(),
            target: None,
            at_ms: Millis::default(),
            first_ms: None,
            took_ms: Millis::default(),
            outcome: "failed".into(),
            status: None,
            reason: None,
            is_hedge: false,
            unsent: false,
            span: None,
        }
    }

    fn exported(choice: &mut Choice, records: Vec<Record>) -> Vec<String> {
        let mut ids = Vec::new();
        for record in records {
            choice.take(Arc::new(record), &mut |record| ids.push(record.request_id.to_string()));
        }
        ids
    }

    #[test]
    fn a_trace_that_is_exported_is_exported_and_another_only_if_it_is_remarkable() {
        let mut choice = Choice::default();
        let all = || {
            let failed = Record { status: Some(503), ..record(2, false) };
            let moved = Record { attempts: vec![attempt(), attempt()], ..record(3, false) };
            let slow = Record { duration_ms: Millis(2_000_001), ..record(4, false) };
            let plain = Record { duration_ms: Millis(2_000_000), ..record(5, false) };
            vec![record(1, true), failed, moved, slow, plain, Record::default()]
        };
        assert_eq!(exported(&mut choice, all()), ["req_1"]);
        choice.change(Always { errors: true, ..Always::default() });
        assert_eq!(exported(&mut choice, all()), ["req_1", "req_2"]);
        choice.change(Always { failovers: true, ..Always::default() });
        assert_eq!(exported(&mut choice, all()), ["req_1", "req_3"]);
        choice.change(Always { slower_than: Some(std::time::Duration::from_secs(2)), ..Always::default() });
        assert_eq!(exported(&mut choice, all()), ["req_1", "req_4"]);
    }

    #[test]
    fn the_questions_of_an_approach_go_with_their_request_whenever_they_end() {
        let mut choice = Choice::default();
        choice.change(Always { errors: true, ..Always::default() });
        let approach = || Some(Approach { name: "moa".into(), calls: 2, depth: 1 });
        let bad = Record { status: Some(502), approach: approach(), ..record(1, false) };
        let good = Record { approach: approach(), ..record(2, false) };
        let records =
            vec![question(11, 1), question(21, 2), question(12, 1), good, bad, question(13, 1), question(22, 2)];
        assert_eq!(exported(&mut choice, records), ["req_11", "req_12", "req_1", "req_13"]);
        assert!(choice.waiting.is_empty());
    }

    #[test]
    fn questions_without_an_end_do_not_pile_up() {
        let mut choice = Choice::default();
        choice.change(Always { errors: true, ..Always::default() });
        let lost: usize =
            (0..3 * MOST_WAITING as u64).map(|at| choice.take(Arc::new(question(at + 9, 1)), &mut |_| {})).sum();
        assert_eq!((choice.waiting.len(), lost), (MOST_WAITING, 2 * MOST_WAITING));
    }
}
