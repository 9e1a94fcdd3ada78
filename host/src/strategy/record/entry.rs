//! The reports and questions to an instance, as lines of the record.

use super::{Line, Question, Recorded, Recorder, outcomes};
use crate::routing::{Candidate, Facts, Report};
use crate::strategy::instance::{Answer, Broken};

/// The place of an instance in the record of decisions.
pub struct Entry<'a> {
    recorder: &'a Recorder,
    instance: u64,
}

impl<'a> Entry<'a> {
    /// The place of the instance with this number, which has been named.
    pub fn new(recorder: &'a Recorder, instance: u64) -> Self {
        Self { recorder, instance }
    }

    /// Writes that it is told how attempts ended.
    pub fn told(&self, reports: &[Report]) {
        let (instance, outcomes) = (self.instance, outcomes(reports));
        self.recorder.take(Line::Outcomes { instance, outcomes });
    }

    /// Writes that it was asked, and its answer.
    pub fn decided(&self, facts: &Facts<'_>, candidates: &[Candidate], answer: &Result<Answer, Broken>) {
        let (instance, question) = (self.instance, Question::new(facts, candidates));
        let answer = Recorded::of(answer.as_ref().map_err(|broken| broken.fault.kind().name()));
        self.recorder.take(Line::Decision { instance, question, answer });
    }
}
