//! One run of an approach: its guest, and the answers to what it wants.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::timeout_at;

use super::conversation::Conversation;
use super::inner::{Asking, Failed};
use super::kept::{Kept, Limits, Received, Refused};
use super::outbox::Outbox;
use super::{Member, Shared};
use crate::approach::record;
use crate::approach::{
    Budget, ChoiceId, Desk, Ended, Failure, FailureKind, Fault, FaultKind, Problem, Request, Setting, Usage, Want,
};
use reading::Reading;

mod asking;
mod reading;

/// The time that an approach has after the end of its budget to return what it has.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One run, with all that its calls need.
pub struct Stage {
    pub shared: Arc<Shared>,
    pub member: Arc<Member>,
    pub conversation: Arc<Conversation>,
    /// Counts the runs of a request, for the log.
    pub run: u32,
    /// Its choices and failures.
    pub received: Received,
    /// The place of its answer among those of the request; `None` for one whose answer the client does not get.
    pub index: Option<u32>,
    /// Answers wanted.
    pub n: u32,
    /// Random bits.
    pub entropy: u64,
    /// Rounds of questions that it has asked one after the other.
    pub depth: AtomicU32,
    /// What the client has been given already.
    pub given: Mutex<Given>,
    /// True once a piece has gone out.
    pub has_given: AtomicBool,
    /// The failure that has broken off what the client was given.
    pub broken_off: Mutex<Option<u32>>,
    /// True when its questions are not the approach's, and so not on its bill.
    pub is_free: AtomicBool,
}

/// What the client of a run has been given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Given {
    #[default]
    Nothing,
    /// This choice.
    Choice(ChoiceId),
    /// This text of the approach's own.
    Text(String),
}

impl Given {
    /// Puts a text behind those that were given; false behind a whole answer.
    fn grow(&mut self, text: &str) -> bool {
        match self {
            Given::Nothing => *self = Given::Text(text.to_owned()),
            Given::Text(known) => known.push_str(text),
            Given::Choice(_) => return false,
        }
        true
    }
}

impl Desk for Stage {
    fn left(&self) -> Budget {
        self.limits().left(self.kept(), &self.member.purse)
    }

    fn parameters(&self) -> String {
        self.conversation.parameters.to_raw().get().to_owned()
    }

    fn message(&self, index: u32) -> String {
        let message = usize::try_from(index).ok().and_then(|index| self.conversation.messages.get(index));
        message.map_or_else(String::new, |message| message.get().to_owned())
    }

    fn choice(&self, id: ChoiceId) -> String {
        self.received.choice(id).map_or_else(String::new, |choice| choice.object.to_raw().get().to_owned())
    }
}

impl Stage {
    fn kept(&self) -> &Kept {
        &self.shared.kept
    }

    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn asking(&self) -> &Asking {
        &self.shared.asking
    }

    /// The client's stream, if it reads one and gets the answer of this run.
    fn outbox(&self) -> Option<(&Outbox, u32)> {
        self.shared.outbox.as_deref().zip(self.index)
    }

    /// Runs the guest to its end.
    pub async fn drive(self: &Arc<Self>) -> Ended {
        let settings = &self.shared.settings;
        let request = Request {
            messages: self.conversation.view.clone(),
            question: self.conversation.question.and_then(|question| u32::try_from(question).ok()),
            model: self.asking().job.body.model().to_owned(),
            config: self.member.config.clone(),
            n: self.n,
            streaming: self.outbox().is_some(),
            entropy: self.entropy,
            now_ms: self.shared.now_ms,
            budget: self.left(),
        };
        let id = format!("{}#{}", self.asking().id, self.run + 1);
        let setting = Setting { id, cpu: settings.cpu, memory: self.member.entry.memory };
        let Some(approach) = &self.member.approach else { return Ended::Finals(Vec::new()) };
        let desk = Arc::clone(self) as Arc<dyn Desk>;
        let mut session = match self.asking().generation.approaches.recorder.get() {
            Some(recorder) => record::start(recorder, approach, request, desk, setting),
            None => approach.start(request, desk, setting),
        };
        let mut readings = HashMap::new();
        let end = self.limits().deadline + LAST_WORDS;
        let driven = async {
            loop {
                tokio::select! {
                    biased;
                    want = session.wants.recv() => match want {
                        Some(want) => self.answer(want, &mut readings).await,
                        None => return (&mut session.run).await,
                    },
                    ended = &mut session.run => return ended,
                }
            }
        };
        match timeout_at(end, driven).await {
            Ok(ended) => {
                // What was noted last.
                while let Ok(want) = session.wants.try_recv() {
                    if let Want::Progress(note) = want {
                        self.progress(note);
                    }
                }
                ended
            }
            // Then the client may be the cause, who reads slowly.
            Err(_elapsed) if self.has_given.load(Relaxed) => {
                let failure = self.fail(self.out_of_time());
                Ended::Problem(Problem::Failed(failure.id))
            }
            Err(_elapsed) => {
                let message = "returned nothing in the second after the end of its budget".to_owned();
                Ended::Fault(Fault { kind: FaultKind::Late, message })
            }
        }
    }

    /// Answers one want. A guest that is gone does not mind.
    async fn answer(&self, want: Want, readings: &mut HashMap<u32, Reading>) {
        match want {
            Want::Chat(call, sender) => {
                self.depth.fetch_add(1, Relaxed);
                let asked = beside(readings, self.chat(&call)).await;
                drop(sender.send(self.keep(asked)));
            }
            Want::Many(calls, sender) => {
                self.depth.fetch_add(1, Relaxed);
                let asked = beside(readings, join_all(calls.iter().map(|call| self.chat(call)))).await;
                // In the order of the calls, whoever was answered first: a run is to be the same each time.
                drop(sender.send(asked.into_iter().map(|asked| self.keep(asked)).collect()));
            }
            Want::Open(call, sender) => {
                self.depth.fetch_add(1, Relaxed);
                let number = u32::try_from(readings.len()).unwrap_or(u32::MAX);
                let opened = beside(readings, self.open(&call)).await.map(|reading| {
                    readings.insert(number, reading);
                    number
                });
                drop(sender.send(opened));
            }
            Want::Next(number, sender) => drop(sender.send(self.next(readings.get_mut(&number)).await)),
            Want::Whole(number, sender) => {
                // The place stays taken, or its number would come twice.
                drop(sender.send(self.rest(readings.get_mut(&number)).await));
            }
            Want::Close(number) => {
                if let Some(reading) = readings.get_mut(&number) {
                    self.close(reading);
                }
            }
            Want::Deliver(call, sender) => {
                self.depth.fetch_add(1, Relaxed);
                drop(sender.send(beside(readings, self.deliver(&call)).await));
            }
            Want::Emit(text, sender) => {
                self.emit(text).await;
                // A guest that is gone does not mind.
                let _ = sender.send(());
            }
            Want::Progress(note) => self.progress(note),
        }
    }

    fn progress(&self, note: String) {
        tracing::debug!(
            request_id = self.asking().id.as_str(),
            approach = self.member.name.as_str(),
            "the approach says how far it is: {note}"
        );
        if let Some(outbox) = &self.shared.outbox {
            outbox.note(note);
        }
    }

    fn fail(&self, failed: Failed) -> Failure {
        self.received.fail(failed.kind, failed.message, failed.refused)
    }
}

/// Does something while answers that the guest has open are read on: it cannot read them meanwhile, and each of them holds a
/// slot that may be the one that is waited for.
async fn beside<T>(readings: &mut HashMap<u32, Reading>, work: impl Future<Output = T>) -> T {
    if readings.is_empty() {
        return work.await;
    }
    let reading = async {
        join_all(readings.values_mut().map(|reading| reading.chunks.fill())).await;
        pending().await
    };
    tokio::select! {
        biased;
        done = work => done,
        never = reading => never,
    }
}

/// The failure of a call that breaks the contract.
fn illegal(message: String) -> Failed {
    Failed { kind: FailureKind::Illegal, message: message.clone(), refused: Refused::Contract(message) }
}

fn add(sum: &mut Usage, more: Usage) {
    sum.prompt = sum.prompt.saturating_add(more.prompt);
    sum.completion = sum.completion.saturating_add(more.completion);
}
