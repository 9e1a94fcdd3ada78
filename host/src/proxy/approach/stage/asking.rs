//! Questions whose answers are waited for: of which model, within which budget, in which form.

use futures_util::future::join_all;
use tokio::time::timeout_at;

use super::{Stage, add};
use crate::approach::{Answer, Call, Failure, FailureKind, Usage};
use crate::config::FanOut;
use crate::proxy::approach::body::{self, Form, Own};
use crate::proxy::approach::completion::{self, Choice};
use crate::proxy::approach::events::Chunks;
use crate::proxy::approach::inner::{Failed, Label, adapt, refused_member};
use crate::proxy::approach::kept::Refused;
use crate::proxy::approach::object::Object;

/// The member of a call that asks for several choices.
const N: &str = "n";

impl Stage {
    /// The model of a call, if it may be asked.
    pub(super) fn model<'c>(&'c self, call: &'c Call) -> Result<&'c str, Failure> {
        let clients = self.asking().job.body.model();
        let Some(model) = call.model.as_deref().filter(|model| *model != clients) else { return Ok(clients) };
        let allowed = &self.member.entry.models;
        if allowed.iter().any(|allowed| allowed == "*" || allowed == model) {
            return Ok(model);
        }
        let name = &self.member.name;
        Err(self.illegal(format!("the model {model} is not allowed (approaches.{name}.models)")))
    }

    pub(super) fn body(&self, call: &Call, form: Form<'_>) -> Result<(Object, Own), Failure> {
        let message_of = |id| self.kept().choice(self.run, id).map(|choice| choice.as_turn());
        body::body(&self.conversation, call, form, message_of).map_err(|wrong| self.illegal(wrong))
    }

    pub(super) fn take(&self, n: u32) -> Result<(), Failure> {
        self.limits()
            .take(self.kept(), n)
            .map_err(|what| self.kept().fail(self.run, FailureKind::Exhausted, what.clone(), Refused::Budget(what)))
    }

    pub(super) fn out_of_time(&self) -> Failed {
        let message = "the time of this request is over".to_owned();
        Failed { kind: FailureKind::Exhausted, message, refused: Refused::Time }
    }

    /// Asks for as many choices as a call wants.
    pub(super) async fn chat(&self, call: &Call) -> Result<Answer, Failure> {
        let model = self.model(call)?.to_owned();
        let (body, own) = self.body(call, Form { model: &model, n: call.n, streaming: false })?;
        self.take(call.n)?;
        let known = &self.shared.peculiarities;
        let one_by_one = match self.shared.settings.fan_out {
            FanOut::Always => true,
            FanOut::Never => false,
            FanOut::Auto => known.has(&model, N),
        };
        let mut usage = Usage::default();
        let mut choices = Vec::new();
        let mut failed = None;
        if call.n == 1 || !one_by_one {
            match self.asked(body.clone(), &own, &model, &call.step).await {
                Ok((some, used)) => {
                    choices.extend(some.into_iter().take(call.n as usize));
                    add(&mut usage, used);
                }
                Err(error) if call.n > 1 && self.may_refuse_n(&error) => known.note(&model, N),
                Err(error) => failed = Some(error),
            }
        }
        let missing = (call.n as usize).saturating_sub(choices.len());
        if failed.is_none() && missing > 0 {
            if !choices.is_empty() && self.shared.settings.fan_out == FanOut::Auto {
                known.note(&model, N);
            }
            if choices.is_empty() || self.shared.settings.fan_out != FanOut::Never {
                let mut single = body;
                single.remove(N);
                let more = (0..missing).map(|_| self.asked(single.clone(), &own, &model, &call.step));
                for one in join_all(more).await {
                    match one {
                        Ok((some, used)) => {
                            choices.extend(some.into_iter().take(1));
                            add(&mut usage, used);
                        }
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
            }
        }
        match failed {
            Some(failed) if choices.is_empty() => Err(self.fail(failed)),
            _ => {
                let choices = choices.into_iter().map(|choice| self.kept().keep(self.run, choice)).collect();
                Ok(Answer { choices, usage })
            }
        }
    }

    /// A refusal that may be about `n`: then the question is asked once for each.
    pub(super) fn may_refuse_n(&self, failed: &Failed) -> bool {
        self.shared.settings.fan_out == FanOut::Auto && failed.kind == FailureKind::Rejected
    }

    /// Asks once, and once more without what the provider refuses of what the approach has set.
    pub(super) async fn asked(
        &self,
        mut body: Object,
        own: &Own,
        model: &str,
        step: &str,
    ) -> Result<(Vec<Choice>, Usage), Failed> {
        let known = &self.shared.peculiarities;
        adapt(&mut body, own, model, known);
        let mut failed = match self.once(&body, step).await {
            Ok(answered) => return Ok(answered),
            Err(failed) => failed,
        };
        // Each time one member fewer.
        for _ in 0..own.len() {
            let Some(key) = refused_member(&failed, own).filter(|key| body.has(key)) else { break };
            known.note(model, key);
            adapt(&mut body, own, model, known);
            match self.once(&body, step).await {
                Ok(answered) => return Ok(answered),
                Err(again) => failed = again,
            }
        }
        Err(failed)
    }

    pub(super) async fn once(&self, body: &Object, step: &str) -> Result<(Vec<Choice>, Usage), Failed> {
        let number = self.kept().called();
        let label = Label { approach: &self.member.name, step, number };
        let deadline = self.limits().deadline;
        let asked = async {
            let begun = self.asking().ask(body, label, deadline).await?;
            let provider = begun.provider.clone();
            Ok((begun.whole().await?, provider))
        };
        let (answer, provider) = timeout_at(deadline, asked).await.unwrap_or_else(|_| Err(self.out_of_time()))?;
        let read = completion::read(&answer, &provider);
        let (choices, usage) = read.ok_or_else(|| {
            let message = format!("provider {provider} gave an answer without choices");
            Failed { kind: FailureKind::Unavailable, message: message.clone(), refused: Refused::Contract(message) }
        })?;
        Ok((choices, self.kept().used(usage)))
    }

    /// Begins an answer that is read while it is written.
    pub(super) async fn begin(&self, call: &Call) -> Result<Chunks, Failure> {
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
            match refused_member(&failed, &own).filter(|key| body.has(key)) {
                Some(key) if tries > 0 => {
                    tries -= 1;
                    known.note(&model, key);
                    adapt(&mut body, &own, &model, known);
                }
                _ => return Err(self.fail(failed)),
            }
        }
    }

    /// The next chunk of an answer; `None` at its end.
    pub(super) async fn chunk(&self, chunks: &mut Chunks) -> Result<Option<Object>, Failure> {
        let next = timeout_at(self.limits().deadline, chunks.next()).await;
        next.unwrap_or_else(|_| Err(self.out_of_time())).map_err(|failed| self.fail(failed))
    }
}
