//! The laws of leases, with an engine of ten lines and a virtual clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::Limits;
use crate::limits::round::Round;
use crate::limits::{Account, Book, Charge, Cost, Reservation};

/// What the script does, in Rust.
#[derive(Default)]
pub(crate) struct Model {
    pub now: u64,
    rates: HashMap<String, f64>,
    budgets: HashMap<String, (i64, HashMap<usize, u64>)>,
    last: HashMap<usize, (u64, Vec<Answer>)>,
    pub rounds: u64,
}

impl Model {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a model")]
    pub fn follow(&mut self, replica: usize, number: u64, round: &Round) -> Vec<Answer> {
        if let Some((last, answers)) = self.last.get(&replica)
            && *last >= number
        {
            return answers.clone();
        }
        self.rounds += 1;
        let (now, mut short, mut answers) = (self.now as f64 / 1000.0, false, Vec::new());
        for (name, ask) in round.asks() {
            let (amount, lasts) = (ask.amount as f64, ask.lasts.as_micros() as f64);
            let (free, value) = match ask.kind {
                Kind::Rate => {
                    let tat = self.rates.entry(name.to_owned()).or_insert(0.0);
                    let since = if ask.delta > 0 { now.min(ask.since.0 as f64 / 1000.0) } else { 0.0 };
                    *tat = (tat.max(since) + ask.delta as f64 * lasts / amount).max(now);
                    (((now + lasts - *tat) * amount / lasts + 1e-6).floor() as i64, *tat)
                }
                Kind::Slots => unreachable!("they have an own test"),
                Kind::Budget => {
                    let (spent, holds) = self.budgets.entry(name.to_owned()).or_default();
                    *spent += ask.delta;
                    let others: u64 = holds.iter().filter(|(other, _)| **other != replica).map(|(_, much)| *much).sum();
                    (ask.amount as i64 - *spent - ask.holds as i64 - others as i64, *spent as f64)
                }
            };
            let least = ask.least as i64;
            let refused = (least > 0 && free < least).then(|| match ask.kind {
                Kind::Rate => {
                    Until::Wait(Duration::from_micros(((least - free) as f64 * lasts / amount).ceil() as u64))
                }
                Kind::Budget | Kind::Slots => Until::Ask,
            });
            short |= refused.is_some();
            let granted =
                if refused.is_some() { 0 } else { least.max((ask.want as i64).min(free.div_euclid(2))).max(0) as u64 };
            answers.push(Answer { granted, refused, value, at: now });
        }
        for ((name, ask), answer) in round.asks().zip(&mut answers) {
            if short {
                answer.granted = 0;
            }
            match ask.kind {
                Kind::Rate => {
                    let tat = self.rates.get_mut(name).unwrap();
                    *tat += answer.granted as f64 * ask.lasts.as_micros() as f64 / ask.amount as f64;
                    answer.value = *tat;
                }
                Kind::Slots => {}
                Kind::Budget => drop(self.budgets.get_mut(name).unwrap().1.insert(replica, ask.holds + answer.granted)),
            }
        }
        self.last.insert(replica, (number, answers.clone()));
        answers
    }

    fn spent(&self) -> i64 {
        self.budgets.values().map(|(spent, _)| spent).sum()
    }

    fn held(&self) -> u64 {
        self.budgets.values().flat_map(|(_, holds)| holds.values()).sum()
    }
}

/// One replica with one owner.
pub(crate) struct Replica {
    pub account: Arc<Account>,
    pub terms: Arc<Terms>,
    id: usize,
    number: u64,
    pending: Option<Round>,
}

impl Replica {
    pub fn new(id: usize, limits: &Limits, replicas: u64) -> Self {
        let (book, terms) = (Book::default(), Arc::new(Terms::default()));
        terms.set_replicas(replicas);
        book.share(Arc::clone(&terms));
        Self { account: book.account(Owner::Client("a".into()), limits), terms, id, number: 0, pending: None }
    }

    /// One round, whose answer may get lost.
    pub fn round(&mut self, model: &mut Model, waiting: &[Cost], ends: bool, lost: bool) {
        let now = Moment(model.now);
        let round = self.pending.take().unwrap_or_else(|| {
            self.number += 1;
            Round::of(&self.account, waiting, now, if ends { Occasion::Ends } else { Occasion::Usual })
        });
        if round.is_empty() {
            return;
        }
        let answers = model.follow(self.id, self.number, &round);
        if lost {
            self.pending = Some(round);
        } else {
            round.answered(&answers, now);
        }
    }

    pub fn take(&self, model: &Model, cost: Cost) -> Result<Reservation, Until> {
        let one = [Some(&self.account), None, None, None];
        Reservation::take(one, cost, Moment(model.now)).map_err(|refusal| refusal.until)
    }

    /// As a request does it: it asks when the block has not enough.
    pub fn admit(&mut self, model: &mut Model, cost: Cost) -> Result<Reservation, Until> {
        for _ in 0..4 {
            match self.take(model, cost) {
                Err(Until::Ask) => self.round(model, &[cost], false, false),
                other => return other,
            }
        }
        Err(Until::Ask)
    }
}

pub(crate) fn rpm(amount: u64) -> Limits {
    let rate = crate::config::Rate {
        name: "rpm",
        counts: crate::config::Counts::Requests,
        amount,
        window: Duration::from_secs(60),
    };
    Limits { rates: vec![rate], ..Limits::default() }
}

pub(crate) fn tpm(amount: u64) -> Limits {
    let mut limits = rpm(amount);
    (limits.rates[0].name, limits.rates[0].counts) = ("tpm", crate::config::Counts::Tokens);
    limits
}

pub(crate) fn total(nano: u64) -> Limits {
    let budget = crate::config::Budget {
        nano,
        period: crate::config::Period::Total,
        zone: jiff::tz::TimeZone::UTC,
        at: jiff::civil::Time::midnight(),
        on_outage: None,
    };
    Limits { budgets: vec![budget], ..Limits::default() }
}

pub(crate) const ONE: Cost = Cost { requests: 1, tokens: 0, named_tokens: 0, nano: 0, parallel: false };

const SECOND: u64 = 1_000_000_000;

#[test]
fn four_replicas_let_in_what_the_limit_allows_and_hardly_ask() {
    let mut model = Model { now: 50 * SECOND, ..Model::default() };
    let mut replicas: Vec<_> = (0..4).map(|id| Replica::new(id, &rpm(600), 4)).collect();
    let mut admitted = 0;
    for n in 0..3000 {
        model.now += 2 * SECOND / 3000;
        if n % 300 == 0 {
            replicas.iter_mut().for_each(|replica| replica.round(&mut model, &[], false, false));
        }
        if let Ok(taken) = replicas[n % 4].admit(&mut model, ONE) {
            taken.settle(Charge::default(), Moment(model.now));
            admitted += 1;
        }
    }
    assert!((600..=620).contains(&admitted), "{admitted}");
    assert!(model.rounds <= 150, "{} round trips", model.rounds);
}

#[test]
fn a_debt_is_told_once_and_waited_for() {
    let mut model = Model { now: 50 * SECOND, ..Model::default() };
    let mut replica = Replica::new(0, &tpm(6000), 1);
    let cost = Cost { tokens: 1000, ..ONE };
    let taken = replica.admit(&mut model, cost).unwrap();
    taken.settle(Charge { tokens: 9000, nano: 0 }, Moment(model.now));
    // The first answer gets lost.
    replica.round(&mut model, &[], false, true);
    replica.round(&mut model, &[], false, false);
    let Err(Until::Wait(wait)) = replica.admit(&mut model, cost) else { panic!("there is a debt") };
    assert_eq!(wait.as_secs(), 40, "3000 of debt and 1000 wanted, at 100 a second");
}

#[test]
fn what_lies_idle_is_given_back() {
    let mut model = Model { now: 50 * SECOND, ..Model::default() };
    let (mut one, mut two) = (Replica::new(0, &rpm(60), 1), Replica::new(1, &rpm(60), 1));
    for _ in 0..10 {
        one.admit(&mut model, ONE).unwrap().settle(Charge::default(), Moment(model.now));
    }
    model.now += 2 * SECOND;
    one.round(&mut model, &[], false, false);
    let rest = (0..100).filter(|_| {
        two.admit(&mut model, ONE).is_ok_and(|taken| {
            taken.settle(Charge::default(), Moment(50 * SECOND));
            true
        })
    });
    assert_eq!(rest.count(), 52, "50 and what came back in two seconds");
}

#[test]
fn without_the_engine_each_keeps_to_its_share_of_what_was_used_before() {
    let mut model = Model { now: 50 * SECOND, ..Model::default() };
    let mut replica = Replica::new(0, &rpm(600), 4);
    for _ in 0..100 {
        replica.admit(&mut model, ONE).unwrap().settle(Charge::default(), Moment(model.now));
    }
    replica.terms.set_mode(Mode::Local);
    let mut let_in = 0;
    while let Ok(taken) = replica.take(&model, ONE) {
        taken.settle(Charge::default(), Moment(model.now));
        let_in += 1;
        assert!(let_in < 1000);
    }
    assert_eq!(let_in, 50, "its share is 150");
    // Afterwards the engine is told of them, once.
    replica.terms.set_mode(Mode::Leased);
    replica.round(&mut model, &[], false, false);
    let mut other = Replica::new(1, &rpm(600), 1);
    let mut rest = 0;
    while let Ok(taken) = other.admit(&mut model, ONE) {
        taken.settle(Charge::default(), Moment(model.now));
        rest += 1;
    }
    assert!((400..=450).contains(&rest), "{rest} of 600, less 150 and what lies leased");
}

#[test]
fn what_is_told_late_is_dated_by_its_use() {
    let mut model = Model { now: 50 * SECOND, ..Model::default() };
    let replica = Replica::new(0, &rpm(600), 1);
    replica.terms.set_mode(Mode::Local);
    for _ in 0..300 {
        replica.take(&model, ONE).unwrap().settle(Charge::default(), Moment(model.now));
    }
    replica.terms.set_mode(Mode::Leased);
    model.now += SECOND;
    let round = Round::of(&replica.account, &[], Moment(model.now), Occasion::Usual);
    // The engine is paused, or the round is sent again and again.
    model.now += 9 * SECOND;
    let answers = model.follow(0, 1, &round);
    let leased = answers[0].granted as f64 * 100_000.0;
    assert_eq!(answers[0].value - leased, 80_000_000.0, "30 s after the first use, and not after it was told");
}

#[test]
fn without_the_engine_a_budget_goes_on_to_its_share_of_the_rest() {
    let mut model = Model { now: 50 * SECOND, ..Model::default() };
    let mut replica = Replica::new(0, &total(1_000_000), 4);
    let cost = Cost { nano: 1000, ..ONE };
    for _ in 0..200 {
        let taken = replica.admit(&mut model, cost).unwrap();
        taken.settle(Charge { tokens: 0, nano: 1000 }, Moment(model.now));
    }
    replica.round(&mut model, &[], false, false);
    assert_eq!(model.spent(), 200_000);
    replica.terms.set_mode(Mode::Local);
    let mut let_in = 0;
    while let Ok(taken) = replica.take(&model, cost) {
        taken.settle(Charge { tokens: 0, nano: 1000 }, Moment(model.now));
        let_in += 1;
        assert!(let_in < 1000);
    }
    assert_eq!(let_in, 200, "a quarter of the 800,000 that were left");
    replica.terms.set_mode(Mode::Leased);
    replica.round(&mut model, &[], false, true);
    replica.round(&mut model, &[], false, false);
    replica.round(&mut model, &[], true, false);
    assert_eq!((model.spent(), model.held()), (400_000, 0));
}

/// What a replica does.
#[derive(Clone, Debug)]
enum Step {
    Ask { replica: usize, quantity: u64 },
    Settle { replica: usize, at: usize, actual: u64 },
    Abort { replica: usize, at: usize },
    Round { replica: usize, lost: bool },
    Wait { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_usize, 1..200_u64).prop_map(|(replica, quantity)| Step::Ask { replica, quantity }),
        2 => (0..3_usize, 0..8_usize, 0..150_u64).prop_map(|(replica, at, actual)| Step::Settle { replica, at, actual }),
        1 => (0..3_usize, 0..8_usize).prop_map(|(replica, at)| Step::Abort { replica, at }),
        2 => (0..3_usize, any::<bool>()).prop_map(|(replica, lost)| Step::Round { replica, lost }),
        1 => (1..3000_u64).prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    /// Whatever is lost and sent again, all together stay below the limit, and what comes back is neither lost nor doubled.
    #[test]
    fn a_rate_is_never_exceeded(steps in steps(), amount in 100_u64..5000) {
        let start = 50 * SECOND;
        let mut model = Model { now: start, ..Model::default() };
        let mut replicas: Vec<_> = (0..3).map(|id| Replica::new(id, &tpm(amount), 3)).collect();
        let mut open: Vec<Vec<(Reservation, u64)>> = vec![Vec::new(), Vec::new(), Vec::new()];
        let (mut used, mut above) = (0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Wait { ms } => model.now += ms * 1_000_000,
                Step::Round { replica, lost } => replicas[replica].round(&mut model, &[], false, lost),
                Step::Ask { replica, quantity } => {
                    let cost = Cost { tokens: quantity, named_tokens: quantity, ..ONE };
                    if let Ok(taken) = replicas[replica].admit(&mut model, cost) {
                        used += quantity;
                        open[replica].push((taken, quantity));
                    }
                }
                Step::Settle { replica, at, actual } => {
                    if at < open[replica].len() {
                        let (taken, quantity) = open[replica].remove(at);
                        taken.settle(Charge { tokens: actual, nano: 0 }, Moment(model.now));
                        used = used + actual - quantity;
                        above += actual.saturating_sub(quantity);
                    }
                }
                Step::Abort { replica, at } => {
                    if at < open[replica].len() {
                        let (taken, quantity) = open[replica].remove(at);
                        drop(taken);
                        used -= quantity;
                    }
                }
            }
            let back = (model.now - start) * amount / (60 * SECOND) + 1;
            prop_assert!(used <= amount + back + above, "{used} used of {amount}, {back} came back, {above} above");
        }
    }

    /// The sum of all charges is what the engine has counted, however often answers were lost; and nothing stays held.
    #[test]
    fn a_budget_counts_every_charge_once(steps in steps(), amount in 100_u64..5000) {
        let mut model = Model { now: 50 * SECOND, ..Model::default() };
        let mut replicas: Vec<_> = (0..3).map(|id| Replica::new(id, &total(amount), 3)).collect();
        let mut open: Vec<Vec<(Reservation, u64)>> = vec![Vec::new(), Vec::new(), Vec::new()];
        let (mut charged, mut reserved, mut above) = (0_u64, 0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Wait { ms } => model.now += ms * 1_000_000,
                Step::Round { replica, lost } => replicas[replica].round(&mut model, &[], false, lost),
                Step::Ask { replica, quantity } => {
                    if let Ok(taken) = replicas[replica].admit(&mut model, Cost { nano: quantity, ..ONE }) {
                        let quantity = quantity.min(amount);
                        reserved += quantity;
                        open[replica].push((taken, quantity));
                    }
                }
                Step::Settle { replica, at, actual } => {
                    if at < open[replica].len() {
                        let (taken, quantity) = open[replica].remove(at);
                        taken.settle(Charge { tokens: 0, nano: actual }, Moment(model.now));
                        (charged, reserved) = (charged + actual, reserved - quantity);
                        above += actual.saturating_sub(quantity);
                    }
                }
                Step::Abort { replica, at } => {
                    if at < open[replica].len() {
                        reserved -= open[replica].remove(at).1;
                    }
                }
            }
            prop_assert!(charged + reserved <= amount + above, "{charged} and {reserved} of {amount}, {above} above");
        }
        drop(open);
        for replica in &mut replicas {
            for lost in [true, false, false] {
                replica.round(&mut model, &[], true, lost);
            }
        }
        prop_assert_eq!(model.spent(), i64::try_from(charged).unwrap());
        prop_assert_eq!(model.held(), 0);
    }
}
