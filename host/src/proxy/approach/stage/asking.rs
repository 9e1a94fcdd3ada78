//! Questions whose answers are waited for: of which model, within which budget, in which form.

use std::sync::atomic::Ordering::Relaxed;

use futures_util::future::join_all;
use tokio::time::timeout_at;

use super::{Stage, add, illegal};
use crate::approach::{Answer, Call, Failure, FailureKind, Usage};
use crate::config::FanOut;
use crate::proxy::approach::body::{self, Body, Form, Own};
use crate::proxy::approach::completion::{self, Choice};
use crate::proxy::approach::events::Chunks;
use crate::proxy::approach::inner::{Failed, Label};
use crate::proxy::approach::kept::Refused;
use crate::proxy::approach::object::Object;
use crate::proxy::approach::unwanted::{adapt, refused_member};

/// The member of a call that asks for several choices.
const N: &str = "n";

impl Stage {
    /// The model of a call, if it may be asked.
    fn model<'c>(&'c self, call: &'c Call) -> Result<&'c str, Failed> {
        let clients = self.asking().job.body.model();
        let Some(model) = call.model.as_deref().filter(|model| *model != clients) else { return Ok(clients) };
        let allowed = &self.member.entry.models;
        if allowed.iter().any(|allowed| allowed == "*" || allowed == model) {
            return Ok(model);
        }
        let name = &self.member.name;
        Err(illegal(format!("the model {model} is not allowed (approaches.{name}.models)")))
    }

    fn body(&self, call: &Call, form: Form<'_>) -> Result<(Body, Own), Failed> {
        let message_of = |id| self.received.choice(id).map(|choice| choice.as_turn());
        body::body(&self.conversation, call, form, message_of).map_err(illegal)
    }

    /// Takes choices from the budget.
    fn take(&self, n: u32) -> Result<(), Failed> {
        if self.is_free.load(Relaxed) {
            return Ok(());
        }
        let (kept, member) = (self.kept(), &self.member);
        self.limits().take(kept, (&member.name, &member.purse), n).map_err(|what| Failed {
            kind: FailureKind::Exhausted,
            message: what.clone(),
            refused: Refused::Budget(what),
        })
    }

    pub(super) fn out_of_time(&self) -> Failed {
        let message = "the time of this request is over".to_owned();
        Failed { kind: FailureKind::Exhausted, message, refused: Refused::Time }
    }

    /// Keeps the answer to a call, and gives what the guest learns of it.
    pub(super) fn keep(&self, asked: Result<(Vec<Choice>, Usage), Failed>) -> Result<Answer, Failure> {
        let (choices, usage) = asked.map_err(|failed| self.fail(failed))?;
        let choices = choices.into_iter().map(|choice| self.received.keep(choice)).collect();
        Ok(Answer { choices, usage })
    }

    /// Asks for as many choices as a call wants. Where a provider gives fewer, or refuses to give several, each of them is
    /// asked for, and that is remembered.
    pub(super) async fn chat(&self, call: &Call) -> Result<(Vec<Choice>, Usage), Failed> {
        let model = self.model(call)?.to_owned();
        let (body, own) = self.body(call, Form { model: &model, n: call.n, streaming: false })?;
        self.take(call.n)?;
        let known = &self.shared.peculiarities;
        let fan_out = self.shared.settings.fan_out;
        let one_by_one = match fan_out {
            FanOut::Always => true,
            FanOut::Never => false,
            FanOut::Auto => known.has(&model, N),
        };
        let mut single = body.clone();
        single.members.remove(N);
        let (mut choices, mut usage) = (Vec::new(), Usage::default());
        let mut take = |(some, used): (Vec<Choice>, Usage), most: usize| {
            choices.extend(some.into_iter().take(most));
            add(&mut usage, used);
            u32::try_from(choices.len()).unwrap_or(u32::MAX)
        };
        let mut has = 0;
        if call.n == 1 || !one_by_one {
            match self.asked(body, &own, &model, &call.step).await {
                Ok(answered) => {
                    has = take(answered, call.n as usize);
                    if has < call.n && fan_out == FanOut::Auto {
                        known.note(&model, N);
                    }
                }
                Err(failed) if call.n > 1 && fan_out == FanOut::Auto && failed.kind == FailureKind::Rejected => {
                    // If it was because of `n`, one alone is answered.
                    has = take(self.asked(single.clone(), &own, &model, &call.step).await?, 1);
                    known.note(&model, N);
                }
                Err(failed) => return Err(failed),
            }
        }
        let missing = if fan_out == FanOut::Never { 0 } else { call.n.saturating_sub(has) };
        let more = (0..missing).map(|_| self.asked(single.clone(), &own, &model, &call.step));
        let mut failed = None;
        for one in join_all(more).await {
            match one {
                Ok(answered) => {
                    take(answered, 1);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(failed) if choices.is_empty() => Err(failed),
            _ => Ok((choices, usage)),
        }
    }

    /// Asks once, and once more without what the provider refuses of what the approach has set.
    async fn asked(&self, mut body: Body, own: &Own, model: &str, step: &str) -> Result<(Vec<Choice>, Usage), Failed> {
        let known = &self.shared.peculiarities;
        adapt(&mut body, own, model, known);
        let mut failed = match self.once(&body, step).await {
            Ok(answered) => return Ok(answered),
            Err(failed) => failed,
        };
        // Each time one member fewer.
        for _ in 0..own.len() {
            let Some(key) = refused_member(&failed, own).filter(|key| body.members.has(key)) else { break };
            known.note(model, key);
            adapt(&mut body, own, model, known);
            match self.once(&body, step).await {
                Ok(answered) => return Ok(answered),
                Err(again) => failed = again,
            }
        }
        Err(failed)
    }

    async fn once(&self, body: &Body, step: &str) -> Result<(Vec<Choice>, Usage), Failed> {
        let number = self.kept().called();
        let label = Label { approach: &self.member.name, step, number };
        let deadline = self.limits().deadline;
        let asked = async {
            let begun = self.asking().ask(body, label, deadline).await?;
            let provider = begun.provider.clone();
            begun.whole(|answer| completion::read(answer, &provider)).await
        };
        let (choices, usage) = timeout_at(deadline, asked).await.unwrap_or_else(|_| Err(self.out_of_time()))?;
        Ok((choices, self.kept().used(usage)))
    }

    /// Begins an answer that is read while it is written.
    pub(super) async fn begin(&self, call: &Call) -> Result<Chunks, Failed> {
        let model = self.model(call)?.to_owned();
        let (mut body, own) = self.body(call, Form { model: &model, n: 1, streaming: true })?;
        self.take(1)?;
        let known = &self.shared.peculiarities;
        adapt(&mut body, &own, &model, known);
        let deadline = self.limits().deadline;
        let mut tries = own.len();
        loop {
            let number = self.kept().called();
            let label = Label { approach: &self.member.name, step: &call.step, number };
            let asked = timeout_at(deadline, self.asking().ask(&body, label, deadline)).await;
            let failed = match asked.unwrap_or_else(|_| Err(self.out_of_time())) {
                Ok(begun) => return Ok(Chunks::new(begun)),
                Err(failed) => failed,
            };
            match refused_member(&failed, &own).filter(|key| body.members.has(key)) {
                Some(key) if tries > 0 => {
                    tries -= 1;
                    known.note(&model, key);
                    adapt(&mut body, &own, &model, known);
                }
                _ => return Err(failed),
            }
        }
    }

    /// The next chunk of an answer; `None` at its end.
    pub(super) async fn chunk(&self, chunks: &mut Chunks) -> Result<Option<Object>, Failed> {
        let next = timeout_at(self.limits().deadline, chunks.next()).await;
        next.unwrap_or_else(|_| Err(self.out_of_time()))
    }
}
