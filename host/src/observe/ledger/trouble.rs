//! The latest requests that went wrong, found without a look at all the others.

use std::collections::VecDeque;
use std::sync::Arc;

use super::record::Record;
use crate::observe::{Story, count};

/// The most of each kind, so that many of one do not hide the other.
const LATEST: usize = 25;

/// The ways in which a request went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    failed: bool,
    failed_over: bool,
}

impl Kind {
    /// That of a story; `None` if all went well, or if it is a question of an approach.
    pub fn of_story(story: &Story) -> Option<Self> {
        let failed = story.error.is_some()
            || story.status.is_none_or(|status| status >= 400)
            || count::outcome(story) == Record::INTERRUPTED;
        let failed_over = story.attempts.iter().filter(|attempt| !attempt.is_hedge).count() > 1;
        Self { failed, failed_over }.if_any(story.inner.is_some())
    }

    /// That of a record, which is the same as that of its story.
    fn of_record(record: &Record) -> Option<Self> {
        Self { failed: record.failed(), failed_over: record.failed_over() }.if_any(record.inner.is_some())
    }

    fn if_any(self, is_inner: bool) -> Option<Self> {
        ((self.failed || self.failed_over) && !is_inner).then_some(self)
    }
}

/// The latest of each kind, the oldest first.
#[derive(Debug)]
pub(super) struct Trouble<T> {
    failed: VecDeque<T>,
    failed_over: VecDeque<T>,
}

impl<T> Default for Trouble<T> {
    fn default() -> Self {
        Self { failed: VecDeque::new(), failed_over: VecDeque::new() }
    }
}

impl<T: Clone + PartialEq> Trouble<T> {
    /// Notes one that is later than all others.
    pub fn push(&mut self, one: &T, kind: Kind) {
        for (list, is_one) in [(&mut self.failed, kind.failed), (&mut self.failed_over, kind.failed_over)] {
            if is_one {
                if list.len() >= LATEST {
                    list.pop_front();
                }
                list.push_back(one.clone());
            }
        }
    }

    /// Forgets those at the front that are not kept any more.
    fn forget(&mut self, is_gone: impl Fn(&T) -> bool) {
        for list in [&mut self.failed, &mut self.failed_over] {
            while list.front().is_some_and(&is_gone) {
                list.pop_front();
            }
        }
    }

    /// Those of both kinds with the later ones of `later` behind them, at most so many of each kind; each of them once.
    fn and<L: Clone + PartialEq>(&self, later: &Trouble<L>) -> (Vec<T>, Vec<L>) {
        fn add<T: Clone + PartialEq>(all: &mut Vec<T>, list: &VecDeque<T>, most: usize) {
            for one in list.iter().rev().take(most) {
                if !all.contains(one) {
                    all.push(one.clone());
                }
            }
        }
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (list, later) in [(&self.failed, &later.failed), (&self.failed_over, &later.failed_over)] {
            add(&mut after, later, LATEST);
            add(&mut before, list, LATEST.saturating_sub(later.len()));
        }
        (before, after)
    }
}

/// A record by its place in memory.
#[derive(Clone, Debug)]
pub(super) struct Same(pub Arc<Record>);

impl PartialEq for Same {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Trouble<Same> {
    /// Notes a record, if something went wrong.
    pub fn note(&mut self, record: &Arc<Record>) {
        if let Some(kind) = Kind::of_record(record) {
            self.push(&Same(Arc::clone(record)), kind);
        }
    }

    /// Forgets a record, which is the oldest of all.
    pub fn let_go(&mut self, record: &Arc<Record>) {
        self.forget(|Same(one)| Arc::ptr_eq(one, record));
    }

    /// The records, and the numbers of the stories after them, that are the latest of their kinds.
    pub fn with(&self, later: &Trouble<u64>) -> (Vec<Arc<Record>>, Vec<u64>) {
        let (records, numbers) = self.and(later);
        (records.into_iter().map(|Same(record)| record).collect(), numbers)
    }
}

impl Trouble<u64> {
    /// Forgets the stories before a number.
    pub fn let_go_before(&mut self, number: u64) {
        self.forget(|one| *one < number);
    }
}
