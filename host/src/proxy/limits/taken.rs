//! What a request has taken, until its story ends: then it is settled by how it ended.
//!
//! | end | charge |
//! | --- | --- |
//! | the answer says what it took | that; where it broke off, at least what was delivered |
//! | a whole answer that does not say | prompt as estimated, and the text that was delivered |
//! | the client left, or the provider broke off | the same |
//! | nothing was sent | everything is given back |
//! | no answer, or a refusal | no tokens, or the prompt as estimated if the provider bills failures; the request counts |

use std::sync::Arc;

use tokio::time::Instant;

use super::delivered::Delivered;
use super::{Levels, Means, Share, Wanted, answer_key, answers_with_text};
use crate::clients::Client;
use crate::limits::reservation::MOST;
use crate::limits::terms::Asked;
use crate::limits::{Account, Charge, Cost, Moment, Nano, Owner, Reservation, Unit, Until, Usage};
use crate::observe::Story;
use crate::observe::story::Attempt;
use crate::proxy::endpoint::Class;
use crate::proxy::generation::Generation;
use crate::proxy::respond::ProxyError;
use crate::proxy::stream::protocol::Protocol;
use crate::routing::{ModelKey, OutcomeKind};

/// What one request has taken.
#[derive(Debug)]
pub struct Taken {
    means: Arc<Means>,
    reservation: Option<Reservation>,
    /// What another model may cost more.
    more: Option<Reservation>,
    share: Share,
    /// The model, as the client calls it.
    model: u64,
    /// The client and the model.
    answer: u64,
    /// The number of answers that it asks for.
    choices: u64,
    /// The tokens of the prompt, if each had four bytes.
    guess: u64,
    /// The tokens of the prompt, by what is known of the model.
    prompt: u64,
    /// Its text so far, if the answer is text.
    delivered: Option<Delivered>,
    /// True for a session, whose answers are charged one by one.
    is_session: bool,
}

/// How a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing was sent, so that everything is given back.
    Unsent,
    /// It counts as a request, and has taken no tokens.
    Counted,
    /// The answer says what it took.
    Said(Usage),
    /// The answer does not.
    Estimated(Usage),
}

impl Taken {
    /// Of a request that has taken nothing yet. Boxed from the beginning, as it is large and moves along with its story.
    pub(super) fn new(means: Arc<Means>, wanted: &Wanted<'_>, client: Option<&Client>) -> Box<Self> {
        let Wanted { endpoint, body, share, .. } = wanted;
        let model = ModelKey::of(body.model());
        let answer = answer_key(client, model);
        let generates = endpoint.class == Class::Generate && *share != Share::Request;
        let guess = if generates { u64::from(body.prompt_tokens()) } else { 0 };
        let prompt = means.estimates.prompt(model.number(), guess);
        let delivered =
            (generates && answers_with_text(endpoint)).then(|| Delivered::new(Protocol::of(&endpoint.path)));
        let (model, answer) = (model.number(), answer.number());
        let choices = body.choices().into();
        let (share, reservation, more) = (*share, None, None);
        let is_session = endpoint.class == Class::Session;
        Box::new(Self { means, reservation, more, share, model, answer, choices, guess, prompt, delivered, is_session })
    }

    /// Notes what it has taken.
    pub(super) fn reserve(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
    }

    /// The estimated tokens of the prompt.
    pub fn prompt(&self) -> u64 {
        self.prompt
    }

    /// The estimated tokens of one answer.
    pub(super) fn likely_answer(&self) -> u64 {
        if self.delivered.is_some() { self.means.estimates.answer(self.answer) } else { 0 }
    }

    /// How far its limits are used up.
    pub fn levels(&self, now: Instant) -> Levels {
        let accounts = self.reservation.iter().flat_map(Reservation::accounts);
        Levels::of(accounts, self.means.moment(now))
    }

    /// Takes note of a part of the answer: whole events, or all of it.
    pub fn deliver(&mut self, part: &[u8]) {
        if let Some(delivered) = &mut self.delivered {
            delivered.feed(part);
        }
    }

    /// Goes on to another model, on its own route: what was taken from the limits of the route before is given back, but the
    /// request counts there; what it may cost more is taken.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Limited`] when the limits of the other route or of the client have not enough.
    pub async fn turn(&mut self, generation: &Generation, wanted: &Wanted<'_>) -> Result<(), ProxyError> {
        let Some(reservation) = &mut self.reservation else { return Ok(()) };
        let means = &self.means;
        let now = || means.moment(Instant::now());
        let account = generation.accounts.of_route(wanted.route);
        let cost = *reservation.cost();
        let is_paid = reservation.accounts().chain(account).any(|account| account.counts(Unit::Money));
        let nano = match is_paid && cost.tokens > 0 && self.share != Share::Unpaid {
            true => super::most(generation, wanted, (self.prompt, cost.tokens.saturating_sub(self.prompt)))?,
            false => 0,
        };
        let mut turned = reservation.exchange(super::ROUTE, account, now());
        if let (Err(refusal), Some(engine)) = (&turned, means.engine.get())
            && refusal.until == Until::Ask
            && engine.ask(&refusal.owner, cost).await == Asked::Answered
        {
            turned = reservation.exchange(super::ROUTE, account, now());
        }
        let more = turned.and_then(|()| {
            let more = Cost { nano: nano.saturating_sub(cost.nano), ..Cost::default() };
            let owners = [reservation.at(0), reservation.at(1), None, None];
            (more.nano > 0).then(|| Reservation::take(owners, more, now())).transpose()
        });
        match more {
            Ok(more) => self.more = more,
            Err(refusal) => {
                let levels = Levels::of(reservation.accounts().chain(account), now());
                return Err(means.refused(*refusal, levels, now()));
            }
        }
        Ok(())
    }

    /// Charges an answer of a session for which nothing was taken before.
    pub fn charge(&self, usage: &Usage, cost: Option<Nano>, client: Option<&Client>, now: Instant) {
        let now = self.means.moment(now);
        if let Ok(nothing) = Reservation::take(self.owners(), Cost::default(), now) {
            nothing.settle(Charge { tokens: usage.total(), nano: cost.map_or(0, |cost| cost.0) }, now);
        }
        self.notice(client, now);
    }

    /// Checks that there is anything left for another answer of a session.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Limited`].
    pub fn check(&self, now: Instant) -> Result<(), ProxyError> {
        let now = self.means.moment(now);
        let cost = Cost { tokens: 1, nano: 1, ..Cost::default() };
        match Reservation::take(self.owners(), cost, now) {
            Err(refusal) if refusal.until != Until::Ask => {
                let levels = Levels::of(self.owners().into_iter().flatten(), now);
                Err(self.means.refused(*refusal, levels, now))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn owners(&self) -> [Option<&Arc<Account>>; MOST] {
        [0, 1, 2, 3].map(|place| self.reservation.as_ref().and_then(|reservation| reservation.at(place)))
    }

    /// How the request has ended.
    pub fn end(&self, story: &Story) -> End {
        if self.share == Share::Request {
            return End::Counted;
        }
        if !story.attempts.iter().any(|attempt| attempt.sent) {
            return End::Unsent;
        }
        if self.is_session {
            return End::Counted;
        }
        let estimated = |prompt: u64| End::Estimated(Usage::of(Some(prompt), Some(self.text())));
        let unknown = self.prompt == 0 && self.delivered.is_none();
        match (story.attempts.last().map(|attempt| attempt.kind), story.usage) {
            (Some(OutcomeKind::Succeeded), Some(usage)) => End::Said(usage),
            (Some(OutcomeKind::Interrupted | OutcomeKind::Cancelled), Some(usage)) => {
                let (prompt, answer) = usage.tokens();
                match (prompt, answer) {
                    (0, 0) => End::Said(usage),
                    _ if u64::from(answer) >= self.text() => End::Said(usage),
                    (0, _) => estimated(self.prompt),
                    (prompt, _) => estimated(prompt.into()),
                }
            }
            (Some(OutcomeKind::Succeeded | OutcomeKind::Interrupted | OutcomeKind::Cancelled), None) if unknown => {
                End::Counted
            }
            (Some(OutcomeKind::Succeeded | OutcomeKind::Interrupted | OutcomeKind::Cancelled), None) => {
                estimated(self.prompt)
            }
            // What failed or was refused.
            _ if story.attempts.iter().any(is_billed) => End::Estimated(Usage::of(Some(self.prompt), None)),
            _ => End::Counted,
        }
    }

    /// Settles by how the request has ended, and what that costs.
    pub fn settle(mut self, end: &End, cost: Option<Nano>, story: &Story, now: Instant) {
        let Some(reservation) = self.reservation.take() else { return };
        let tokens = match end {
            End::Unsent => return,
            End::Counted => 0,
            End::Said(usage) => usage.total(),
            End::Estimated(usage) => {
                self.means.metrics.limits.estimated.inc();
                usage.total()
            }
        };
        let now = self.means.moment(now);
        if let Some(more) = self.more.take() {
            more.settle(Charge::default(), now);
        }
        let cost = cost.filter(|_| !self.is_session);
        reservation.settle(Charge { tokens, nano: cost.map_or(0, |cost| cost.0) }, now);
        self.learn(story);
        self.notice(story.client.as_deref(), now);
    }

    /// Tells once in each window that a client's budget is nearly used up.
    fn notice(&self, client: Option<&Client>, now: Moment) {
        let Some((client, share)) = client.and_then(|client| Some((client, client.notify()?))) else {
            return;
        };
        let meters = client.account.iter().flat_map(|account| account.meters());
        for meter in meters.filter(|meter| meter.unit == Unit::Money && meter.notice(share, now)) {
            let (name, per) = (&*client.name, &*meter.name);
            tracing::warn!(client = name, "{:.0} % of the budget of {name} per {per} are used up", share * 100.0);
            self.means.metrics.limits.noticed(Owner::KINDS[0]);
        }
    }

    /// The estimated tokens of the text that was delivered.
    fn text(&self) -> u64 {
        let bytes = self.delivered.as_ref().map_or(0, |delivered| delivered.bytes);
        self.means.estimates.prompt(self.model, bytes.div_ceil(4))
    }

    /// Learns from an answer that is whole and says what it took.
    fn learn(&self, story: &Story) {
        let succeeded = story.attempts.last().is_some_and(|last| last.kind == OutcomeKind::Succeeded);
        let Some((prompt, answer)) = story.usage.filter(|_| succeeded).map(|usage| usage.tokens()) else { return };
        self.means.estimates.learn_prompt(self.model, self.guess, prompt.into());
        if self.delivered.is_some() {
            self.means.estimates.learn_answer(self.answer, u64::from(answer).div_ceil(self.choices));
        }
    }
}

/// True for a failed attempt that its provider bills all the same.
fn is_billed(attempt: &Attempt) -> bool {
    let failed = matches!(attempt.kind, OutcomeKind::Failed | OutcomeKind::TimedOut);
    failed && attempt.sent && attempt.provider.config.billed_failures
}
