//! Answers that are read while they are written: by the guest, or by the client.

use std::sync::atomic::Ordering::Relaxed;

use super::{Given, Stage, add};
use crate::approach::{Answer, Call, Failure, Usage};
use crate::proxy::approach::completion::Growing;
use crate::proxy::approach::events::Chunks;
use crate::proxy::approach::object::Object;

/// An answer that is read while it is written.
pub struct Reading {
    pub(super) chunks: Chunks,
    growing: Growing,
    /// A whole text that is given in one piece, for a client that does not read a stream.
    ready: Option<(Option<String>, Answer)>,
    usage: Usage,
    /// The pieces read so far that the guest has not taken.
    first: Option<String>,
}

impl Stage {
    /// An answer that the guest reads piece by piece, with its first piece. Where the client does not read a stream, it is asked
    /// for whole, as nobody gets it earlier.
    pub(super) async fn open(&self, call: &Call) -> Result<Reading, Failure> {
        if self.outbox().is_none() {
            let answer = self.chat(&Call { n: 1, ..call.clone() }).await?;
            let text = answer.choices.first().map(|choice| choice.text.clone()).filter(|text| !text.is_empty());
            let (chunks, growing, usage) = (Chunks::none(), Growing::default(), Usage::default());
            return Ok(Reading { chunks, growing, ready: Some((text, answer)), usage, first: None });
        }
        let chunks = self.begin(call).await?;
        let (growing, ready, usage) = (Growing::default(), None, Usage::default());
        let mut reading = Reading { chunks, growing, ready, usage, first: None };
        reading.first = self.piece(&mut reading).await?;
        Ok(reading)
    }

    /// The next text of an answer.
    pub(super) async fn piece(&self, reading: &mut Reading) -> Result<Option<String>, Failure> {
        if let Some(first) = reading.first.take() {
            return Ok(Some(first));
        }
        while let Some(chunk) = self.chunk(&mut reading.chunks).await? {
            if let Some(used) = chunk.get("usage") {
                add(&mut reading.usage, self.kept().used(Some(used)));
            }
            if let Some(text) = reading.growing.take(&chunk) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    pub(super) async fn next(&self, reading: Option<&mut Reading>) -> Result<Option<String>, Failure> {
        let Some(reading) = reading else { return Err(self.illegal("there is no such reply".to_owned())) };
        match &mut reading.ready {
            Some((text, _)) => Ok(text.take()),
            None => self.piece(reading).await,
        }
    }

    pub(super) async fn rest(&self, reading: Option<&mut Reading>) -> Result<Answer, Failure> {
        let Some(reading) = reading else { return Err(self.illegal("there is no such reply".to_owned())) };
        if let Some((_, answer)) = &reading.ready {
            return Ok(answer.clone());
        }
        while self.piece(reading).await?.is_some() {}
        let provider = reading.chunks.provider().to_owned();
        let choice = std::mem::take(&mut reading.growing).into_choice(&provider);
        let answer = Answer { choices: vec![self.kept().keep(self.run, choice)], usage: reading.usage };
        reading.ready = Some((None, answer.clone()));
        Ok(answer)
    }

    /// Asks for one choice and gives it to the client as it comes.
    pub(in crate::proxy::approach) async fn deliver(&self, call: &Call) -> Result<crate::approach::Choice, Failure> {
        if *self.given.lock() != Given::Nothing {
            return Err(self.illegal("the client has been given an answer already".to_owned()));
        }
        let Some((outbox, index)) = self.outbox() else {
            let answer = self.chat(&Call { n: 1, ..call.clone() }).await?;
            let choice = answer.choices.into_iter().next();
            let choice = choice.ok_or_else(|| self.illegal("there is no choice".to_owned()))?;
            *self.given.lock() = Given::Choice(choice.id);
            return Ok(choice);
        };
        let mut chunks = self.begin(call).await?;
        let mut growing = Growing::default();
        let mut is_first = true;
        loop {
            let chunk = match self.chunk(&mut chunks).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(failure) => {
                    if self.has_given.load(Relaxed) {
                        *self.broken_off.lock() = Some(failure.id);
                    }
                    return Err(failure);
                }
            };
            if let Some(used) = chunk.get("usage") {
                self.kept().used(Some(used));
            }
            growing.take(&chunk);
            outbox.room().await;
            self.has_given.store(true, Relaxed);
            outbox.pass(chunk, index, std::mem::take(&mut is_first));
        }
        let is_finished = growing.is_finished();
        let choice = growing.into_choice(chunks.provider());
        if !is_finished {
            outbox.chunk(&choice.model, index, &Object::default(), Some("stop"));
        }
        let kept = self.kept().keep(self.run, choice);
        *self.given.lock() = Given::Choice(kept.id);
        Ok(kept)
    }

    /// Gives the client a piece of the answer.
    pub(super) async fn emit(&self, text: String) {
        // The contract does not say that it fails; nothing can be put behind a whole answer.
        if !self.given.lock().grow(&text) {
            return;
        }
        if let Some((outbox, index)) = self.outbox() {
            outbox.room().await;
            let is_first = !self.has_given.swap(true, Relaxed);
            let mut delta = Object::default();
            if is_first {
                delta.put("role", "assistant");
            }
            delta.put("content", &text);
            outbox.chunk("", index, &delta, None);
        }
    }
}
