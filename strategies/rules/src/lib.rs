//! Decides by a list of rules in its config, so that most policies need no compiler.
//!
//! The rules are gone through from the first to the last. The first whose `when` holds decides, unless it says `continue`:
//! then whom it excludes stays excluded, and the rules after it are gone through for the others. What no rule decides is
//! ordered by `otherwise`. `docs/rules.md` describes the config with examples; how it is read stands in `config.rs`.

mod clock;
mod config;
mod document;
mod pattern;
mod ranking;
mod reader;
mod targets;
mod when;

use pointsman_guest::{Candidates, Decision, Order, Request, Setup, Strategy};

use clock::Clock;
use ranking::Ranking;
use targets::Chosen;
use when::When;

/// The strategy `rules`.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    otherwise: Ranking,
    clock: Clock,
}

/// One rule, as it is applied.
#[derive(Debug)]
struct Rule {
    when: When,
    /// Those who alone may be tried.
    only: Option<Chosen>,
    /// Those who must not be tried.
    never: Option<Chosen>,
    /// Those who go before the others.
    prefer: Option<Chosen>,
    then: Ranking,
    /// True when the rules after it are gone through as well.
    continues: bool,
    /// For logs and reports: its place, and what its author says of it.
    text: String,
}

const OTHERWISE: &str = "no rule holds";

/// The place in [`Strategy::reasons`] of the first reason of the rule at `place`.
const fn reasons_of(place: usize) -> usize {
    2 * place
}

impl Strategy for Rules {
    type Config = document::Value;

    const REASONS: &'static [&'static str] = &[OTHERWISE];
    const STATELESS: bool = true;

    fn new(setup: &Setup, config: document::Value) -> Result<Self, String> {
        config::read(setup, &config)
    }

    fn reasons(&self) -> Vec<String> {
        let of = |rule: &Rule| [rule.text.clone(), format!("{}: none of the preferred can be chosen now", rule.text)];
        self.rules.iter().flat_map(of).collect()
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        let moment = self.clock.at(request.now_ms);
        let mut left = candidates.clone();
        let mut reason = None;
        for (place, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.when.holds(request, moment)) {
            if rule.excludes() {
                let before = left.len();
                left = left.filter(|candidate| rule.allows(candidate.index()));
                if left.len() < before {
                    reason = Some(reasons_of(place));
                }
            }
            if left.is_empty() || !rule.continues {
                let (order, favoured) = rule.order(request, &left);
                return Decision::from(order).because_own(reasons_of(place) + usize::from(!favoured));
            }
        }
        let order = self.otherwise.order(request, &left);
        match reason {
            Some(excluded_by) => Decision::from(order).because_own(excluded_by),
            None => order.because(OTHERWISE),
        }
    }
}

impl Rule {
    fn excludes(&self) -> bool {
        self.only.is_some() || self.never.is_some()
    }

    fn allows(&self, index: u32) -> bool {
        self.only.as_ref().is_none_or(|only| only.has(index))
            && !self.never.as_ref().is_some_and(|never| never.has(index))
    }

    /// The order of those whom it allows, and whether somebody whom it prefers is among them, if it prefers anybody.
    fn order<'a>(&self, request: &Request, allowed: &Candidates<'a>) -> (Order<'a>, bool) {
        let Some(prefer) = &self.prefer else { return (self.then.order(request, allowed), true) };
        let (first, others) = allowed.split(|candidate| prefer.has(candidate.index()));
        let favoured = !first.is_empty() || allowed.is_empty();
        (self.then.order(request, &first).then(self.then.order(request, &others)), favoured)
    }
}

pointsman_guest::export!(Rules);

#[cfg(test)]
mod tests;
