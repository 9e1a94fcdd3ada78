//! A record of runs: what an approach was asked, what it asked the model, and what it was told, a line of JSON for each run.
//!
//! `approach.record` names the file. It holds prompts and answers, so nobody has one who does not ask for it; `file` writes it,
//! off the path of requests. Since a run is a function of its request and of these answers, it can be played again, to the same
//! component or to the next version of it.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::component::Approach;
use super::session::{Session, Setting};
use super::talk::{Answer, Budget, Call, Choice, ChoiceId, Desk, Ended, Failure, Request, Turn, Want};

mod file;

pub use file::{Recorder, Target};

/// The version of the format.
pub const FORMAT: u32 = 1;

/// The most bytes of texts of one run; a longer one is left out.
const MOST: usize = 16 << 20;

/// The most wants that wait for the driver, as many as without a record.
const WAITING: usize = 8;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Line {
    /// A run.
    Run(Box<Run>),
    /// Runs are missing here, because they came faster than they could be written, or were too long.
    Gap {
        /// Their number.
        runs: u64,
    },
}

/// A run from its request to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT`].
    pub format: u32,
    /// The id of the client's request, and the number of the run in it.
    pub id: String,
    /// The name of the approach.
    pub approach: String,
    /// The SHA-256 of its component.
    pub digest: String,
    /// The request, with its random bits.
    pub request: Request,
    /// The client's request without its messages, in JSON.
    pub parameters: String,
    /// The wants, in order, each with its answer.
    pub wants: Vec<Asked>,
    /// The answers that were given in place, in order.
    pub papers: Vec<Paper>,
    /// Its end; `None` if it was broken off, as by a client that has left.
    pub ended: Option<Ended>,
}

/// A want, and its answer; `None` if the run ended before there was one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// [`Want::Chat`]
    Chat(Call, Option<Result<Answer, Failure>>),
    /// [`Want::Many`]
    Many(Vec<Call>, Option<Vec<Result<Answer, Failure>>>),
    /// [`Want::Open`]
    Open(Call, Option<Result<u32, Failure>>),
    /// [`Want::Next`]
    Next(u32, Option<Result<Option<String>, Failure>>),
    /// [`Want::Whole`]
    Whole(u32, Option<Result<Answer, Failure>>),
    /// [`Want::Deliver`]
    Deliver(Call, Option<Result<Choice, Failure>>),
    /// [`Want::Emit`]
    Emit(String),
}

/// An answer that was given in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paper {
    /// [`Desk::left`]
    Left(Budget),
    /// [`Desk::message`]
    Message(u32, String),
    /// [`Desk::choice`]
    Choice(ChoiceId, String),
}

impl Asked {
    /// The want without its answer.
    pub fn question(&self) -> Self {
        match self {
            Self::Chat(call, _) => Self::Chat(call.clone(), None),
            Self::Many(calls, _) => Self::Many(calls.clone(), None),
            Self::Open(call, _) => Self::Open(call.clone(), None),
            Self::Next(reply, _) => Self::Next(*reply, None),
            Self::Whole(reply, _) => Self::Whole(*reply, None),
            Self::Deliver(call, _) => Self::Deliver(call.clone(), None),
            Self::Emit(text) => Self::Emit(text.clone()),
        }
    }

    /// The bytes of its texts.
    fn weight(&self) -> usize {
        let answer = |answer: &Option<Result<Answer, Failure>>| answer.as_ref().map_or(0, of_answer);
        let texts = match self {
            Self::Chat(call, answered) => of_call(call) + answer(answered),
            Self::Many(calls, answers) => {
                calls.iter().map(of_call).sum::<usize>() + answers.iter().flatten().map(of_answer).sum::<usize>()
            }
            Self::Open(call, _) => of_call(call),
            Self::Next(_, piece) => match piece {
                Some(Ok(Some(piece))) => piece.len(),
                _ => 0,
            },
            Self::Whole(_, answered) => answer(answered),
            Self::Deliver(call, choice) => {
                of_call(call) + choice.iter().flatten().map(|choice| choice.text.len()).sum::<usize>()
            }
            Self::Emit(text) => text.len(),
        };
        texts + size_of::<Self>()
    }
}

fn of_call(call: &Call) -> usize {
    let turn = |turn: &Turn| match turn {
        Turn::Original(_) | Turn::Answered(_) => 0,
        Turn::Rewritten { text, .. } | Turn::Said { text, .. } | Turn::Json(text) => text.len(),
    };
    size_of::<Call>() + call.extra.len() + call.messages.iter().map(turn).sum::<usize>()
}

fn of_answer(answer: &Result<Answer, Failure>) -> usize {
    let choices = answer.iter().flat_map(|answer| &answer.choices);
    choices.map(|choice| choice.text.len() + size_of::<Choice>()).sum()
}

/// A run that is being recorded. It is handed in when it is dropped, however it has ended.
struct Tape {
    recorder: Arc<Recorder>,
    run: Mutex<(Run, usize)>,
}

impl Tape {
    /// Writes down a want; the place of its answer. What is too much is only counted.
    fn ask(&self, asked: Asked) -> usize {
        let (run, weight) = &mut *self.run.lock();
        *weight += asked.weight();
        if *weight <= MOST {
            run.wants.push(asked);
        }
        run.wants.len().saturating_sub(1)
    }

    fn answer(&self, place: usize, answer: impl FnOnce(&mut Asked)) {
        let (run, weight) = &mut *self.run.lock();
        if *weight <= MOST
            && let Some(asked) = run.wants.get_mut(place)
        {
            let before = asked.weight();
            answer(asked);
            *weight += asked.weight() - before;
        }
    }

    fn paper(&self, paper: Paper) {
        let (run, weight) = &mut *self.run.lock();
        *weight += size_of::<Paper>()
            + match &paper {
                Paper::Left(_) => 0,
                Paper::Message(_, text) | Paper::Choice(_, text) => text.len(),
            };
        if *weight <= MOST {
            run.papers.push(paper);
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        let (run, weight) = self.run.get_mut();
        if *weight > MOST {
            self.recorder.leave_out();
            return;
        }
        let Run { format, id, approach, digest, request, parameters, wants, papers, ended } = run;
        let take = |text: &mut String| std::mem::take(text);
        let run = Run {
            format: *format,
            id: take(id),
            approach: take(approach),
            digest: take(digest),
            request: std::mem::take(request),
            parameters: take(parameters),
            wants: std::mem::take(wants),
            papers: std::mem::take(papers),
            ended: ended.take(),
        };
        self.recorder.take(run, *weight);
    }
}

/// Begins a run that is recorded. Its driver sees no difference.
pub fn start(
    recorder: &Arc<Recorder>,
    approach: &Approach,
    request: Request,
    desk: Arc<dyn Desk>,
    setting: Setting,
) -> Session {
    let parameters = desk.parameters();
    let weight = parameters.len() + request.messages.iter().map(|message| message.text.len()).sum::<usize>();
    let run = Run {
        format: FORMAT,
        id: setting.id.clone(),
        approach: approach.name().to_owned(),
        digest: approach.digest(),
        request: request.clone(),
        parameters,
        wants: Vec::new(),
        papers: Vec::new(),
        ended: None,
    };
    let tape = Arc::new(Tape { recorder: Arc::clone(recorder), run: Mutex::new((run, weight)) });
    let desk = Arc::new(Watched { desk, tape: Arc::clone(&tape) });
    let inner = approach.start(request, desk, setting);
    let (sender, wants) = mpsc::channel(WAITING);
    Session { wants, run: Box::pin(pass_on(inner, sender, tape)) }
}

/// A desk whose answers are written down.
struct Watched {
    desk: Arc<dyn Desk>,
    tape: Arc<Tape>,
}

impl Desk for Watched {
    fn left(&self) -> Budget {
        let left = self.desk.left();
        self.tape.paper(Paper::Left(left));
        left
    }

    fn parameters(&self) -> String {
        self.desk.parameters()
    }

    fn message(&self, index: u32) -> String {
        let text = self.desk.message(index);
        self.tape.paper(Paper::Message(index, text.clone()));
        text
    }

    fn choice(&self, id: ChoiceId) -> String {
        let text = self.desk.choice(id);
        self.tape.paper(Paper::Choice(id, text.clone()));
        text
    }
}

/// Passes wants on to the driver, and its answers back.
async fn pass_on(inner: Session, sender: mpsc::Sender<Want>, tape: Arc<Tape>) -> Ended {
    let Session { mut wants, mut run } = inner;
    let mut answers = FuturesUnordered::new();
    let ended = loop {
        tokio::select! {
            biased;
            Some(()) = answers.next(), if !answers.is_empty() => {}
            Some(want) = wants.recv() => {
                let (want, answer) = tapped(&tape, want);
                answers.extend(answer);
                // Without a driver nobody answers, and the guest gets to know it.
                let _ = sender.send(want).await;
            }
            ended = &mut run => break ended,
        }
    };
    tape.run.lock().0.ended = Some(ended.clone());
    // Notes of progress may be left over.
    while let Ok(want) = wants.try_recv() {
        let _ = sender.try_send(want);
    }
    ended
}

/// A want whose answer is written down on its way to the guest.
fn tapped(tape: &Arc<Tape>, want: Want) -> (Want, Option<BoxFuture<'static, ()>>) {
    /// Takes the answer of the driver, shows it, and passes it on.
    fn tap<T: Send + 'static>(
        tape: &Arc<Tape>,
        asked: Asked,
        guest: oneshot::Sender<T>,
        note: impl FnOnce(&mut Asked, &T) + Send + 'static,
    ) -> (oneshot::Sender<T>, Option<BoxFuture<'static, ()>>) {
        let (sender, answered) = oneshot::channel();
        let (place, tape) = (tape.ask(asked), Arc::clone(tape));
        let passed = async move {
            if let Ok(answer) = answered.await {
                tape.answer(place, |asked| note(asked, &answer));
                // A guest that is gone does not mind.
                let _ = guest.send(answer);
            }
        };
        (sender, Some(passed.boxed()))
    }
    macro_rules! tapped {
        ($kind:ident, $question:expr, $guest:expr) => {{
            let question = $question;
            let (sender, answer) = tap(tape, Asked::$kind(question.clone(), None), $guest, |asked, answer| {
                if let Asked::$kind(_, place) = asked {
                    *place = Some(answer.clone());
                }
            });
            (Want::$kind(question, sender), answer)
        }};
    }
    match want {
        Want::Chat(call, guest) => tapped!(Chat, call, guest),
        Want::Many(calls, guest) => tapped!(Many, calls, guest),
        Want::Open(call, guest) => tapped!(Open, call, guest),
        Want::Next(reply, guest) => tapped!(Next, reply, guest),
        Want::Whole(reply, guest) => tapped!(Whole, reply, guest),
        Want::Deliver(call, guest) => tapped!(Deliver, call, guest),
        Want::Emit(text, guest) => {
            tape.ask(Asked::Emit(text.clone()));
            (Want::Emit(text, guest), None)
        }
        want @ (Want::Close(_) | Want::Progress(_)) => (want, None),
    }
}
