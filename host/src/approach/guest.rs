//! The host's side of one instance: its limits, and the functions of the contract that it calls.
//!
//! A function that takes time sends a [`Want`] and waits for its answer; nothing else happens on the guest's stack.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::contract::{Reply, client, host_log, llm, types};
use super::talk::{self, Budget, Desk, Failure, FailureKind, Want};
use super::voice::Voice;
use super::wasi::{self, Wasi};
use crate::wasm::limits::MemoryLimits;
use crate::wasm::output::{Level, one_line};

/// The most choices of one call, and the most calls of one batch.
pub const AT_ONCE: usize = 128;

/// The most bytes of a note of progress.
const NOTE_BYTES: usize = 200;

/// The most bytes of a step's name.
const STEP_BYTES: usize = 64;

/// A run's connection to its driver; an instance that is only asked what it is has none.
#[derive(Default)]
pub struct Line(Option<(mpsc::Sender<Want>, Arc<dyn Desk>)>);

impl Line {
    /// A connection. `wants` is bounded: a guest that notes its progress faster than the driver listens waits.
    pub fn new(wants: mpsc::Sender<Want>, desk: Arc<dyn Desk>) -> Self {
        Self(Some((wants, desk)))
    }

    /// Sends a want; `None` when nobody listens.
    async fn tell(&self, want: Want) -> Option<()> {
        let (wants, _) = self.0.as_ref()?;
        wants.send(want).await.ok()
    }

    /// Sends a want, and waits for its answer; `None` when nobody answers.
    async fn ask<T>(&self, want: impl FnOnce(oneshot::Sender<T>) -> Want) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(want(answer)).await?;
        answered.await.ok()
    }

    /// Asks about one call, which may want this many choices.
    async fn call<T>(
        &self,
        call: types::Call,
        most: usize,
        want: impl FnOnce(talk::Call, oneshot::Sender<Result<T, Failure>>) -> Want,
    ) -> Result<T, Failure> {
        let call = checked(call, most)?;
        self.ask(|answer| want(call, answer)).await.unwrap_or_else(|| Err(nobody()))
    }

    fn desk(&self) -> Option<&dyn Desk> {
        self.0.as_ref().map(|(_, desk)| &**desk)
    }
}

/// The state of one instance.
pub struct State {
    /// The limits on its memory.
    pub limits: MemoryLimits,
    /// Its output.
    pub voice: Arc<Voice>,
    wasi: Wasi,
    line: Line,
}

impl State {
    /// The state of an instance that may take `memory` bytes, begins at `now_ms` and has this seed.
    pub fn new(memory: usize, voice: Arc<Voice>, (now_ms, entropy): (u64, u64), line: Line) -> Self {
        let wasi = Wasi::new(&voice, now_ms, entropy);
        Self { limits: MemoryLimits::of(memory), voice, wasi, line }
    }
}

/// A call that keeps to the contract as far as can be told here.
fn checked(call: types::Call, most: usize) -> Result<talk::Call, Failure> {
    if !(1..=most).contains(&(call.n as usize)) {
        let range = if most == 1 { "must be 1 here".to_owned() } else { format!("must be 1 to {most}") };
        return Err(Failure::illegal(format!("`n` {range}, and is {}", call.n)));
    }
    if call.temperature.is_some_and(|temperature| !temperature.is_finite()) {
        return Err(Failure::illegal("`temperature` is no finite number"));
    }
    let mut call = talk::Call::from(call);
    call.step = cut(&call.step, STEP_BYTES);
    Ok(call)
}

/// A text on one line of at most this many bytes.
fn cut(text: &str, most: usize) -> String {
    let mut line = one_line(text);
    line.truncate(line.floor_char_boundary(most));
    line
}

/// The failure of a call when nobody answers: the driver has gone, or there never was one.
fn nobody() -> Failure {
    Failure { kind: FailureKind::Unavailable, message: "nobody answers".to_owned(), id: Failure::UNKNOWN }
}

fn answer(answer: Result<talk::Answer, Failure>) -> Result<types::Answer, types::Failure> {
    answer.map(types::Answer::from).map_err(types::Failure::from)
}

/// Makes available what approaches may import.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasi::link(linker, |state| &mut state.wasi.random)?;
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    llm::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    client::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    host_log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.view()
    }
}

impl types::Host for State {}

impl llm::Host for State {
    async fn chat(&mut self, call: types::Call) -> Result<types::Answer, types::Failure> {
        answer(self.line.call(call, AT_ONCE, Want::Chat).await)
    }

    async fn chat_many(&mut self, calls: Vec<types::Call>) -> Vec<Result<types::Answer, types::Failure>> {
        if calls.len() > AT_ONCE {
            let many = Failure::illegal(format!("`chat-many` takes at most {AT_ONCE} calls, and got {}", calls.len()));
            return calls.into_iter().map(|_| Err(many.clone().into())).collect();
        }
        // Those that break the contract fail alone; the others are asked.
        let (mut legal, mut places) = (Vec::with_capacity(calls.len()), Vec::with_capacity(calls.len()));
        for call in calls {
            places.push(checked(call, AT_ONCE).map(|call| legal.push(call)));
        }
        let mut answers = Vec::new();
        if !legal.is_empty() {
            answers = self.line.ask(|answer| Want::Many(legal, answer)).await.unwrap_or_default();
        }
        let mut answers = answers.into_iter();
        let each = places.into_iter().map(|place| match place {
            Ok(()) => answer(answers.next().unwrap_or_else(|| Err(nobody()))),
            Err(illegal) => Err(illegal.into()),
        });
        each.collect()
    }

    async fn open(&mut self, call: types::Call) -> Result<Resource<Reply>, types::Failure> {
        let reply = self.line.call(call, 1, Want::Open).await?;
        Ok(Resource::new_own(reply))
    }

    fn choice_json(&mut self, id: u32) -> String {
        self.line.desk().map(|desk| desk.choice(id)).unwrap_or_default()
    }

    fn left(&mut self) -> types::Budget {
        self.line.desk().map_or_else(Budget::default, Desk::left).into()
    }
}

impl llm::HostReply for State {
    async fn next(&mut self, reply: Resource<Reply>) -> Result<Option<String>, types::Failure> {
        let piece = self.line.ask(|answer| Want::Next(reply.rep(), answer)).await;
        Ok(piece.unwrap_or_else(|| Err(nobody()))?)
    }

    async fn whole(&mut self, reply: Resource<Reply>) -> Result<types::Answer, types::Failure> {
        let whole = self.line.ask(|answer| Want::Whole(reply.rep(), answer)).await;
        answer(whole.unwrap_or_else(|| Err(nobody())))
    }

    async fn drop(&mut self, reply: Resource<Reply>) -> wasmtime::Result<()> {
        // Without anybody who listens there is nothing left to close.
        self.line.tell(Want::Close(reply.rep())).await;
        Ok(())
    }
}

impl client::Host for State {
    async fn deliver(&mut self, call: types::Call) -> Result<types::Choice, types::Failure> {
        let choice = self.line.call(call, 1, Want::Deliver).await?;
        Ok(choice.into())
    }

    async fn emit(&mut self, text: String) {
        if !text.is_empty() {
            self.line.ask(|answer| Want::Emit(text, answer)).await;
        }
    }

    async fn progress(&mut self, note: String) {
        self.line.tell(Want::Progress(cut(&note, NOTE_BYTES))).await;
    }

    fn parameters(&mut self) -> String {
        self.line.desk().map(Desk::parameters).unwrap_or_default()
    }

    fn message_json(&mut self, index: u32) -> String {
        self.line.desk().map(|desk| desk.message(index)).unwrap_or_default()
    }
}

impl host_log::Host for State {
    fn log(&mut self, level: host_log::Level, message: String) {
        let level = match level {
            host_log::Level::Debug => Level::Debug,
            host_log::Level::Info => Level::Info,
            host_log::Level::Warn => Level::Warn,
            host_log::Level::Error => Level::Error,
        };
        self.voice.log(level, &message);
    }
}
