//! Rounds as arguments of the script, and its answers.

use std::time::Duration;

use redis::Value;

use crate::limits::Until;
use crate::limits::lease::{Answer, Ask, EXPIRY, Kind};
use crate::limits::round::Round;

/// Who asks, and which round it is.
#[derive(Debug)]
pub struct Head<'a> {
    /// The first part of every key.
    pub prefix: &'a str,
    /// Whose limits they are.
    pub owner: &'a str,
    /// The id of this replica.
    pub replica: &'a str,
    /// The number of the round, from 1.
    pub number: u64,
    /// The engine's birth, as it was last told about these limits; empty before the first answer.
    pub born: &'a str,
    /// The number of the latest round whose answer has come; 0 before the first.
    pub answered: u64,
    /// True when the engine has lost values since it was last told about all of these limits.
    pub restores: bool,
    /// True when the round was sent before.
    pub is_repeated: bool,
}

/// The answer to a round.
#[derive(Debug)]
pub struct Reply {
    /// The engine's birth.
    pub born: String,
    /// True when it has lost values: those that were asked about are restored as far as this replica knew them.
    pub lost: bool,
    /// One for each limit.
    pub answers: Vec<Answer>,
}

/// The keys and arguments of a round. All keys have one hash tag, so that they are on one server of a cluster.
pub fn written(head: &Head<'_>, round: &Round) -> (Vec<String>, Vec<String>) {
    let Head { prefix, owner, replica, number, born, answered, restores, is_repeated } = head;
    let mut keys = vec![format!("{prefix}:{{{owner}}}:s")];
    let stays = EXPIRY.as_millis();
    let mut arguments = vec![(*replica).to_owned(), number.to_string(), (*born).to_owned(), stays.to_string()];
    let flags = [*restores, *is_repeated].map(|flag| u8::from(flag).to_string());
    arguments.push(answered.to_string());
    arguments.extend(flags);
    for (name, ask) in round.asks() {
        let Ask { kind, amount, lasts, delta, holds, want, least, seen, since, .. } = ask;
        keys.push(format!("{prefix}:{{{owner}}}:{name}"));
        let kind = match kind {
            Kind::Rate => "r",
            Kind::Budget => "b",
            Kind::Slots => "s",
        };
        arguments.extend([
            kind.to_owned(),
            amount.to_string(),
            lasts.as_micros().to_string(),
            delta.to_string(),
            holds.to_string(),
            want.to_string(),
            least.to_string(),
            seen.to_string(),
            since.us().to_string(),
        ]);
    }
    (keys, arguments)
}

/// Reads the script's answer to a round; `None` when it is none.
pub fn read(value: &Value, round: &Round) -> Option<Reply> {
    let text: String = redis::from_redis_value_ref(value).ok()?;
    let mut words = text.split(' ');
    let _number = words.next()?;
    let granted = words.next()? == "1";
    let lost = words.next()? == "1";
    let born = words.next()?.to_owned();
    let at: f64 = words.next()?.parse().ok()?;
    let mut answers = Vec::with_capacity(round.asks().len());
    for (_, ask) in round.asks() {
        let number: i64 = words.next()?.parse().ok()?;
        let value: f64 = words.next()?.parse().ok()?;
        let short = !granted && number != 0;
        let refused = short.then(|| match u64::try_from(number) {
            Ok(wait) => Until::Wait(Duration::from_micros(wait)),
            Err(_) => Until::Ask,
        });
        let granted = if granted { u64::try_from(number).ok()? } else { 0 };
        // A grant beyond what can be wanted is no answer of the script.
        if granted > ask.want.max(ask.least) {
            return None;
        }
        answers.push(Answer { granted, refused, value, at });
    }
    words.next().is_none().then_some(Reply { born, lost, answers })
}
