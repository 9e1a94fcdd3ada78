//! One owner's conversation with the engine: the rounds, one after the other, each sent until it is answered.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use redis::Value;
use tokio::sync::oneshot;

use super::script::{self, Head, Reply};
use crate::limits::lease::Occasion;
use crate::limits::round::Round;
use crate::limits::terms::Asked;
use crate::limits::{Account, Cost, Moment, Nano, Owner};

/// One owner's conversation with the engine.
#[derive(Debug, Default)]
pub struct Desk {
    waiting: Vec<(Cost, oneshot::Sender<Asked>)>,
    /// The round that is under way, or was not answered.
    round: Option<Round>,
    pub under_way: bool,
    /// True when somebody has come while a round was under way.
    pub again: bool,
    /// How many of those who wait the round was made for.
    served: usize,
    /// The number of the round, and of the latest one that was answered.
    number: u64,
    answered: u64,
    born: String,
    /// For so many flushes there was nothing to tell.
    pub quiet: u32,
    /// The engine may have lost values: the next round shows all that this replica has seen.
    pub verifies: bool,
    /// It has; and the present round says so.
    lost: bool,
    restores: bool,
    is_repeated: bool,
}

/// A round as it is sent.
pub type Written = (Vec<String>, Vec<String>);

impl Desk {
    /// Takes in one who waits.
    pub fn take_in(&mut self, cost: Cost, answer: oneshot::Sender<Asked>) {
        self.waiting.push((cost, answer));
    }

    /// True when somebody waits.
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// True when there is a round that was not answered.
    pub fn is_open(&self) -> bool {
        self.round.is_some()
    }

    /// True when the engine has answered before.
    pub fn is_known(&self) -> bool {
        self.answered > 0
    }

    /// Tells all who wait.
    pub fn answer_all(&mut self, asked: Asked) {
        answer(self.waiting.drain(..), asked);
    }

    /// Makes the next round, unless one is to be sent again; false when there is nothing to ask.
    pub fn prepare(&mut self, account: &Account, now: Moment, ends: bool, number: &mut u64) -> bool {
        self.is_repeated = self.round.is_some();
        if self.is_repeated {
            self.served = 0;
            return true;
        }
        let costs: Vec<Cost> = self.waiting.iter().map(|(cost, _)| *cost).collect();
        let occasion = match (ends, self.verifies || self.lost) {
            (true, _) => Occasion::Ends,
            (false, true) => Occasion::Verifies,
            (false, false) => Occasion::Usual,
        };
        let round = Round::of(account, &costs, now, occasion);
        self.verifies = false;
        self.restores = std::mem::take(&mut self.lost);
        if round.is_empty() {
            self.answer_all(Asked::Answered);
            return false;
        }
        self.served = costs.len();
        // Of all rounds of this replica: one of an owner who comes back is never taken for an earlier one.
        *number += 1;
        self.number = *number;
        self.round = Some(round);
        true
    }

    /// The round for the script.
    pub fn written(&self, prefix: &str, owner: &Owner, replica: &str) -> Option<Written> {
        let owner = owner.to_string();
        let Self { number, born, answered, restores, is_repeated, .. } = self;
        let head = Head {
            prefix,
            owner: &owner,
            replica,
            number: *number,
            born,
            answered: *answered,
            restores: *restores,
            is_repeated: *is_repeated,
        };
        Some(script::written(&head, self.round.as_ref()?))
    }

    /// Takes an answer; false when it is none.
    pub fn landed(&mut self, value: &Value, now: Moment) -> bool {
        self.under_way = false;
        let Some(round) = self.round.take() else { return true };
        let Some(Reply { born, lost, answers }) = script::read(value, &round) else {
            self.round = Some(round);
            return false;
        };
        round.answered(&answers, now);
        self.answered = self.number;
        self.born = born;
        // What this round did not ask about was not restored.
        self.lost = lost;
        let served = self.served.min(self.waiting.len());
        answer(self.waiting.drain(..served), Asked::Answered);
        true
    }

    /// True when another round is wanted as soon as possible.
    pub fn goes_on(&mut self) -> bool {
        std::mem::take(&mut self.again) || self.lost || self.is_awaited()
    }
}

fn answer(waiting: impl Iterator<Item = (Cost, oneshot::Sender<Asked>)>, asked: Asked) {
    for (_, sender) in waiting {
        // The request may have gone.
        let _ = sender.send(asked);
    }
}

/// Says in one line what was used and not told, when the process ends.
pub fn report_untold(desks: &HashMap<Owner, Desk>, accounts: &[Arc<Account>], now: Moment) {
    let mut owners = BTreeSet::new();
    let mut money = [0; Owner::KINDS.len()];
    let mut count = |owner: &Owner, round: &Round| {
        if round.tells() {
            owners.insert(owner.clone());
            money[owner.kind()] += round.spent();
        }
    };
    for (owner, desk) in desks {
        if let Some(round) = &desk.round {
            count(owner, round);
        }
    }
    for account in accounts {
        count(account.owner(), &Round::of(account, &[], now, Occasion::Ends));
    }
    if owners.is_empty() {
        return;
    }
    let of_kind = |(kind, nano): (&str, &u64)| (*nano > 0).then(|| format!("{} dollars of {kind}s", Nano(*nano)));
    let kinds: Vec<String> = Owner::KINDS.into_iter().zip(&money).filter_map(of_kind).collect();
    let money = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
    let owners = owners.len();
    tracing::error!(
        owners,
        "state: the engine does not answer at the end: what was used since of the limits of {owners} owners is lost{money}"
    );
}
