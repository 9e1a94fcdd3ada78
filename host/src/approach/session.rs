//! A run of an approach as a coroutine: the guest runs on a stack of its own, and whoever drives it polls the run and its
//! wants in one task. Nothing of it is left when it is dropped.
//!
//! A guest that computes gives the thread back at each tick of the epoch. What it may spend is measured in CPU time of the
//! thread while it is polled, and not in ticks: each return from a long wait looks like one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use wasmtime::{Store, UpdateDeadline};

use super::component::Blueprint;
use super::guest::{Line, State};
use super::talk::{Desk, Ended, Fault, FaultKind, Problem, Request, Want};
use super::voice::Voice;
use crate::wasm::engine::Engine;
use crate::wasm::overtime::processor_time;

/// The most wants that wait for the driver. A guest waits for each answer, but for notes of progress.
const WAITING: usize = 8;

/// What a guest may hand over in one call of a function of the host.
const LIFTED_BYTES: usize = 32 << 20;

/// Handles that a guest may hold at once.
const HANDLES: usize = 1000;

/// The part of a run's memory that the texts of its conversation may take: a guest copies them several times, and running
/// out of memory would be a fault of the approach instead of the request.
const CONVERSATION: usize = 8;

/// A run, and the wants of its guest. Poll both in one task, and the wants until the run has ended: a guest whose wants
/// nobody takes waits for ever. Dropping it cancels everything.
pub struct Session {
    /// The questions of the guest. They end with the run; notes of progress may be left over then.
    pub wants: mpsc::Receiver<Want>,
    /// Runs the guest.
    pub run: Pin<Box<dyn Future<Output = Ended> + Send>>,
}

/// The settings of one run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The mark of the run in log lines.
    pub id: String,
    /// The processor time that it may use.
    pub cpu: Duration,
    /// The bytes of memory that it may take.
    pub memory: usize,
}

impl Setting {
    /// The processor time of a run that nobody sets otherwise.
    pub const CPU: Duration = Duration::from_secs(2);

    /// The memory of a run that nobody sets otherwise, in bytes.
    pub const MEMORY: usize = crate::wasm::limits::MEMORY;

    /// The default limits, for a run of this name.
    pub fn named(id: impl Into<String>) -> Self {
        Self { id: id.into(), cpu: Self::CPU, memory: Self::MEMORY }
    }
}

/// Begins a run; the guest does nothing before it is polled.
pub fn start(blueprint: &Arc<Blueprint>, request: Request, desk: Arc<dyn Desk>, setting: Setting) -> Session {
    let (sender, wants) = mpsc::channel(WAITING);
    let Setting { id, cpu, memory } = setting;
    let voice = Arc::new(blueprint.voice(id));
    let line = Line::new(sender, desk);
    let state = State::new(memory, Arc::clone(&voice), (request.now_ms, request.entropy), line);
    let (engine, guest) = (Arc::clone(&blueprint.engine), Arc::clone(blueprint));
    let run = Metered::new(run(guest, state, request), engine, voice, cpu);
    let exhausted = move |_: Exhausted| {
        let message = format!("used more than {} s of processor time", cpu.as_secs_f64());
        Ended::Fault(Fault { kind: FaultKind::OutOfTime, message })
    };
    Session { wants, run: Box::pin(async move { run.await.unwrap_or_else(exhausted) }) }
}

/// A store for one instance, whose guest gives the thread back at each tick.
pub fn store(engine: &Engine, state: State) -> Store<State> {
    let mut store = Store::new(engine.wasm(), state);
    store.limiter(|state| &mut state.limits);
    store.set_max_component_handles(HANDLES);
    store.set_hostcall_fuel(LIFTED_BYTES);
    store.set_epoch_deadline(1);
    // Not `Yield`: to a task that wakes itself, Tokio comes back at once, and looks at timers and sockets every 61st time.
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
    store
}

async fn run(blueprint: Arc<Blueprint>, state: State, request: Request) -> Ended {
    let texts: usize = request.messages.iter().map(|message| message.text.len()).sum();
    let most = state.limits.most() / CONVERSATION;
    if texts > most {
        let sentence = format!("the conversation has {texts} bytes of text, and an approach takes at most {most}");
        return Ended::Problem(Problem::Unsuitable(sentence));
    }
    let voice = Arc::clone(&state.voice);
    let wanted = request.n;
    let mut store = store(&blueprint.engine, state);
    let called = async {
        let instance = blueprint.pre.instantiate_async(&mut store).await?;
        let runner = blueprint.runner.load(&mut store, &instance)?;
        runner.call_run(&mut store, &request.into()).await
    };
    match voice.end(called.await) {
        Err(broken) => Ended::Fault(fault(broken)),
        Ok(Err(problem)) => Ended::Problem(problem.into()),
        Ok(Ok(finals)) => match finals.len() {
            0 => illegal("returned no answer".to_owned()),
            some if some > wanted as usize => {
                illegal(format!("returned {some} answers, and {wanted} were wanted at most"))
            }
            _ => Ended::Finals(finals.into_iter().map(Into::into).collect()),
        },
    }
}

fn illegal(message: String) -> Ended {
    Ended::Fault(Fault { kind: FaultKind::Illegal, message })
}

fn fault(fault: crate::wasm::Fault) -> Fault {
    use crate::wasm::Fault as Wasm;
    let kind = match fault {
        Wasm::Trapped(_) => FaultKind::Trapped,
        Wasm::DeadlineExceeded => FaultKind::OutOfTime,
        Wasm::OutOfMemory => FaultKind::OutOfMemory,
        Wasm::IllegalDecision(_) => FaultKind::Illegal,
    };
    let message = match fault {
        // Strategies decide, and approaches answer.
        Wasm::IllegalDecision(what) => format!("returned what cannot be read: {what}"),
        Wasm::Trapped(_) | Wasm::DeadlineExceeded | Wasm::OutOfMemory => fault.to_string(),
    };
    Fault { kind, message }
}

/// The guest has used up its processor time.
#[derive(Debug)]
pub struct Exhausted;

/// A future that runs a guest, for as much processor time as it may use.
pub struct Metered<F> {
    /// `None` once it has ended.
    future: Option<Pin<Box<F>>>,
    engine: Arc<Engine>,
    voice: Arc<Voice>,
    spent: Duration,
    most: Duration,
}

impl<F> Metered<F> {
    /// Runs a guest of this engine for at most `most` of processor time.
    pub fn new(future: F, engine: Arc<Engine>, voice: Arc<Voice>, most: Duration) -> Self {
        Self { future: Some(Box::pin(future)), engine, voice, spent: Duration::ZERO, most }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = Result<F::Output, Exhausted>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(future) = &mut this.future else { return Poll::Ready(Err(Exhausted)) };
        let began = processor_time();
        let polled = {
            let _running = this.engine.running();
            future.as_mut().poll(context)
        };
        // Where the system does not tell, there is no limit but that on the whole run.
        if let Some((began, ended)) = began.zip(processor_time()) {
            this.spent += ended.saturating_sub(began);
        }
        this.voice.flush();
        let ended = match polled {
            Poll::Ready(output) => Ok(output),
            Poll::Pending if this.spent > this.most => Err(Exhausted),
            Poll::Pending => return Poll::Pending,
        };
        this.future = None;
        Poll::Ready(ended)
    }
}
