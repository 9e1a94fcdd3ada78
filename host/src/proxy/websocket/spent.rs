//! What the answers of a session have taken, and what was set aside for those that are being made.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::limits::{Nano, Usage};
use crate::proxy::limits::{End, Taken};
use crate::proxy::telling::Telling;

/// The most answers for which something is set aside at once. OpenAI allows 16 on one connection.
const MOST: usize = 64;

/// The sums of a session.
#[derive(Debug, Default)]
pub struct Spent {
    /// The tokens of all answers.
    usage: Option<Usage>,
    cost: Option<Nano>,
    /// Set aside, in the order of the requests.
    asked: VecDeque<Box<Taken>>,
    /// Answers that have ended.
    pub answers: u64,
}

impl Spent {
    /// Sets aside what was taken for one more answer.
    pub fn ask(&mut self, taken: Box<Taken>, story: &Telling) {
        self.asked.push_back(taken);
        if self.asked.len() > MOST {
            // A provider that never says how its answers end.
            self.settle_oldest(story);
        }
    }

    /// Charges an answer that has ended.
    pub fn end(&mut self, usage: Option<Usage>, story: &mut Telling) {
        self.answers += 1;
        let Some(usage) = usage else { return self.settle_oldest(story) };
        let cost = story.cost_of(&usage);
        let now = Instant::now();
        match self.asked.pop_front() {
            Some(taken) => taken.settle(&End::Said(usage), cost, story, now),
            None => {
                let client = story.client.clone();
                if let Some(taken) = story.taken() {
                    taken.charge(&usage, cost, client.as_deref(), now);
                }
            }
        }
        self.usage.get_or_insert_default().add(&usage);
        self.cost = match (self.cost, cost) {
            (Some(sum), Some(cost)) => Some(sum.plus(cost)),
            (sum, cost) => sum.or(cost),
        };
    }

    /// Settles the oldest of those that have not ended, as its tokens are not known.
    fn settle_oldest(&mut self, story: &Telling) {
        if let Some(taken) = self.asked.pop_front() {
            let prompt = Usage::of(Some(taken.prompt()), None);
            taken.settle(&End::Estimated(prompt), story.cost_of(&prompt), story, Instant::now());
        }
    }

    /// Settles everything at the end of the session, and writes the sums into its story.
    pub fn close(mut self, story: &mut Telling) {
        while !self.asked.is_empty() {
            self.settle_oldest(story);
        }
        story.paid(self.usage, self.cost);
    }
}
