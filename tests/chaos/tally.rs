//! Counts of events, and of broken invariants.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// No more complaints are kept: the first ones tell.
const KEPT: usize = 50;

#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<BTreeMap<String, u64>>,
    complaints: Mutex<Vec<String>>,
}

impl Tally {
    /// Counts one more of `what`, which is `group: kind`.
    pub fn count(&self, what: &str) {
        let mut counts = self.counts.lock();
        match counts.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(counts.insert(what.to_owned(), 1)),
        }
    }

    /// An invariant did not hold.
    pub fn complain(&self, what: String) {
        self.count("complaints");
        let mut complaints = self.complaints.lock();
        if complaints.len() < KEPT {
            complaints.push(what);
        }
    }

    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().clone()
    }

    /// The number of events whose name begins with `group`.
    pub fn sum(&self, group: &str) -> u64 {
        self.counts.lock().iter().filter(|(what, _)| what.starts_with(group)).map(|(_, count)| count).sum()
    }

    /// One line for each count.
    pub fn table(&self) -> String {
        self.counts.lock().iter().map(|(what, count)| format!("{what:<52}{count:>10}\n")).collect()
    }
}
