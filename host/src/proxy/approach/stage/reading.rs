//! Answers that are read while they are written: by the guest, or by the client.

use std::sync::atomic::Ordering::Relaxed;

use super::{Given, Stage, add, illegal};
use crate::approach::{Answer, Call, Failure, Usage};
use crate::proxy::approach::completion::{Growing, is_empty};
use crate::proxy::approach::events::Chunks;
use crate::proxy::approach::object::Object;
use crate::proxy::approach::outbox::Outbox;

/// So many chunks that say nothing wait at most for one that does.
const MOST_EMPTY: usize = 16;

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
        let (growing, usage) = (Growing::default(), Usage::default());
        if self.outbox().is_none() {
            let asked = self.chat(&Call { n: 1, ..call.clone() }).await;
            let answer = self.keep(asked)?;
            let text = answer.choices.first().map(|choice| choice.text.clone()).filter(|text| !text.is_empty());
            return Ok(Reading { chunks: Chunks::none(), growing, ready: Some((text, answer)), usage, first: None });
        }
        let chunks = self.begin(call).await.map_err(|failed| self.fail(failed))?;
        let mut reading = Reading { chunks, growing, ready: None, usage, first: None };
        reading.first = self.piece(&mut reading).await?;
        Ok(reading)
    }

    /// The next text of an answer.
    async fn piece(&self, reading: &mut Reading) -> Result<Option<String>, Failure> {
        if let Some(first) = reading.first.take() {
            return Ok(Some(first));
        }
        loop {
            match self.chunk(&mut reading.chunks).await {
                Ok(Some(chunk)) => {
                    if let Some(text) = reading.growing.take(&chunk) {
                        return Ok(Some(text));
                    }
                }
                Ok(None) => {
                    self.settle(reading);
                    return Ok(None);
                }
                Err(failed) => {
                    self.settle(reading);
                    return Err(self.fail(failed));
                }
            }
        }
    }

    /// Adds what an answer has taken, as far as it has said.
    fn settle(&self, reading: &mut Reading) {
        add(&mut reading.usage, self.kept().used(reading.chunks.take_usage()));
    }

    /// Reads no further.
    pub(super) fn close(&self, reading: &mut Reading) {
        reading.chunks.close();
        self.settle(reading);
    }

    pub(super) async fn next(&self, reading: Option<&mut Reading>) -> Result<Option<String>, Failure> {
        let Some(reading) = reading else { return Err(self.fail(illegal("there is no such reply".to_owned()))) };
        match &mut reading.ready {
            Some((text, _)) => Ok(text.take()),
            None => self.piece(reading).await,
        }
    }

    pub(super) async fn rest(&self, reading: Option<&mut Reading>) -> Result<Answer, Failure> {
        let Some(reading) = reading else { return Err(self.fail(illegal("there is no such reply".to_owned()))) };
        if let Some((_, answer)) = &reading.ready {
            return Ok(answer.clone());
        }
        while self.piece(reading).await?.is_some() {}
        let provider = reading.chunks.provider().to_owned();
        let choice = std::mem::take(&mut reading.growing).into_choice(&provider);
        let answer = Answer { choices: vec![self.received.keep(choice)], usage: reading.usage };
        reading.ready = Some((None, answer.clone()));
        Ok(answer)
    }

    /// True when the client has been given an answer, or a part of one.
    fn has_answered(&self) -> bool {
        self.has_given.load(Relaxed) || *self.given.lock() != Given::Nothing
    }

    /// Asks for one choice and gives it to the client as it comes.
    pub(in crate::proxy::approach) async fn deliver(&self, call: &Call) -> Result<crate::approach::Choice, Failure> {
        if self.has_answered() {
            return Err(self.fail(illegal("the client has been given an answer already".to_owned())));
        }
        let Some((outbox, index)) = self.outbox() else {
            let asked = self.chat(&Call { n: 1, ..call.clone() }).await;
            let answer = self.keep(asked)?;
            let choice = answer.choices.into_iter().next();
            let choice = choice.ok_or_else(|| self.fail(illegal("there is no choice".to_owned())))?;
            *self.given.lock() = Given::Choice(choice.id);
            return Ok(choice);
        };
        let mut chunks = self.begin(call).await.map_err(|failed| self.fail(failed))?;
        let mut growing = Growing::default();
        // Until it says something, the approach can still do without it.
        let mut waiting = Some(Vec::new());
        loop {
            let chunk = match self.chunk(&mut chunks).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(failed) => {
                    self.kept().used(chunks.take_usage());
                    let failure = self.fail(failed);
                    if self.has_given.load(Relaxed) {
                        *self.broken_off.lock() = Some(failure.id);
                    }
                    return Err(failure);
                }
            };
            growing.take(&chunk);
            if let Some(before) = waiting.as_mut().filter(|before| is_empty(&chunk) && before.len() < MOST_EMPTY) {
                before.push(chunk);
                continue;
            }
            for chunk in waiting.take().into_iter().flatten().chain([chunk]) {
                self.pass(outbox, chunk, index, chunks.provider()).await;
            }
        }
        self.kept().used(chunks.take_usage());
        for chunk in waiting.into_iter().flatten() {
            self.pass(outbox, chunk, index, chunks.provider()).await;
        }
        let is_finished = growing.is_finished();
        let choice = growing.into_choice(chunks.provider());
        if !is_finished {
            let mut delta = Object::default();
            if !self.has_given.swap(true, Relaxed) {
                delta.put("role", "assistant");
            }
            outbox.chunk(&choice.model, index, &delta, Some("stop"));
        }
        let kept = self.received.keep(choice);
        *self.given.lock() = Given::Choice(kept.id);
        Ok(kept)
    }

    /// Gives the client a chunk of the provider's.
    async fn pass(&self, outbox: &Outbox, chunk: Object, index: u32, provider: &str) {
        outbox.room().await;
        let is_first = !self.has_given.load(Relaxed);
        if outbox.pass(chunk, index, is_first) {
            self.has_given.store(true, Relaxed);
            outbox.is_from(provider);
        }
    }

    /// Gives the client a piece of the answer.
    pub(super) async fn emit(&self, text: String) {
        // The contract does not say that it fails; nothing can be put behind a whole answer, or one that has broken off.
        if self.broken_off.lock().is_some() || !self.given.lock().grow(&text) {
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
