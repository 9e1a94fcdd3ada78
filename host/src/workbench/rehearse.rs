//! Runs as data, played to an approach: its author's fixtures, and the battery that every approach has to stand. The model
//! is played too, so nothing is asked of a provider. The crate `pointsman-fixture`, which the SDK's test kit shares, reads
//! the fixtures, keeps the books of a run and judges it.

use std::io;
use std::sync::Arc;

use data::stage::{self, Stage, each_run};
use parking_lot::Mutex;
use pointsman_fixture::approach as data;
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};

use super::battery::Claim;
use super::fixtures::Played;
use crate::approach::{
    Answer, Approach, Budget, Call, Choice, ChoiceId, Desk, Ended, Failure, FailureKind, Final, Finish, Manner,
    Message, Problem, Request, Session, Setting, Turn, Usage, Want,
};

/// An approach that is played to. Not to be used on a thread of a Tokio runtime, since it waits for its runs.
pub struct Rehearsal {
    approach: Arc<Approach>,
    runtime: Runtime,
}

impl Rehearsal {
    /// A rehearsal of this approach.
    ///
    /// # Errors
    ///
    /// When the system has no resources for a runtime.
    pub fn new(approach: Arc<Approach>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        Ok(Self { approach, runtime })
    }

    /// Plays the fixtures of some files.
    pub fn fixtures(&mut self, files: &[data::File]) -> Vec<Played> {
        let play = |data::File { path, fixture }: &data::File| {
            let name = fixture.as_ref().map_or("", data::Fixture::name).to_owned();
            let played = fixture.as_ref().map_err(Clone::clone).and_then(|fixture| fixture.play(self));
            let (holds, decisions, detail) = match played {
                Ok(questions) => (true, questions, String::new()),
                Err(problem) => (false, 0, problem),
            };
            Played { file: path.display().to_string(), name, holds, decisions, detail }
        };
        files.iter().map(play).collect()
    }

    /// Tries with these options what every approach has to stand.
    pub fn battery(&mut self, config: &Map<String, Value>) -> Vec<Claim> {
        let claim = |data::battery::Claim { claim, runs, problems }| {
            let detail = match problems.as_slice() {
                [] if runs == 0 => String::new(),
                [] => format!("{runs} runs"),
                [first] => shortened(first),
                [first, more @ ..] => format!("{}\nand {} more", shortened(first), more.len()),
            };
            Claim { claim: String::from(claim), holds: problems.is_empty(), detail, warning: None }
        };
        data::battery::claims(self, config).into_iter().map(claim).collect()
    }

    fn once(&self, request: &data::Request, player: &mut data::Player<'_>, (n, entropy): (u32, u64)) -> data::Outcome {
        let mut stage = Stage::new(request, player);
        let desk = Arc::new(Papers::new(request));
        let setting = Setting::named("rehearsal");
        let session = self.approach.start(asked(request, n, entropy), Arc::clone(&desk) as Arc<dyn Desk>, setting);
        let ended = self.runtime.block_on(drive(session, &mut stage, &desk));
        stage.end(ended, n)
    }
}

impl data::Subject for Rehearsal {
    fn run(&mut self, request: &data::Request, player: &mut data::Player<'_>) -> data::Outcome {
        each_run(request, self.approach.info().many, |n, entropy| self.once(request, player, (n, entropy)))
    }

    fn options(&self) -> Vec<String> {
        self.approach.info().options.iter().map(|(name, _)| name.clone()).collect()
    }

    fn check(&self, config: &str) -> Result<(), String> {
        self.runtime.block_on(self.approach.check(config))
    }

    fn describes_itself(&self) -> bool {
        !self.approach.info().name.is_empty()
    }

    fn takes_tools(&self) -> bool {
        self.approach.info().tools
    }
}

/// A report of a problem may quote what was answered.
fn shortened(problem: &str) -> String {
    const MOST: usize = 600;
    let cut = problem.floor_char_boundary(MOST);
    let rest = if cut < problem.len() { "..." } else { "" };
    format!("{}{rest}", &problem[..cut])
}

fn asked(request: &data::Request, n: u32, entropy: u64) -> Request {
    let messages = request.read().into_iter().map(|data::Message { role, text, more }| Message { role, text, more });
    Request {
        messages: messages.collect(),
        question: request.question(),
        model: request.model().to_owned(),
        config: request.config_json(),
        n,
        streaming: request.streaming,
        entropy,
        now_ms: request.now_ms,
        budget: budget(request.budget),
    }
}

/// Answers in place what the guest may ask while it runs; brought up to date after each of its wants.
struct Papers {
    parameters: String,
    messages: Vec<String>,
    open: Mutex<(Budget, Vec<String>)>,
}

impl Papers {
    fn new(request: &data::Request) -> Self {
        let messages = (0..).take(request.messages.len()).map(|index| request.message_json(index)).collect();
        let open = Mutex::new((budget(request.budget), Vec::new()));
        Self { parameters: request.parameters_json(), messages, open }
    }

    fn update(&self, stage: &Stage<'_, '_, '_>) {
        let mut open = self.open.lock();
        open.0 = budget(stage.left());
        while let next = stage.choice_json(open.1.len() as u32)
            && !next.is_empty()
        {
            open.1.push(next);
        }
    }
}

impl Desk for Papers {
    fn left(&self) -> Budget {
        self.open.lock().0
    }

    fn parameters(&self) -> String {
        self.parameters.clone()
    }

    fn message(&self, index: u32) -> String {
        self.messages.get(index as usize).cloned().unwrap_or_default()
    }

    fn choice(&self, id: ChoiceId) -> String {
        self.open.lock().1.get(id as usize).cloned().unwrap_or_default()
    }
}

async fn drive(session: Session, stage: &mut Stage<'_, '_, '_>, desk: &Papers) -> stage::Ended {
    let Session { mut wants, mut run } = session;
    loop {
        tokio::select! {
            Some(want) = wants.recv() => {
                answer_want(want, stage, desk);
            }
            ended = &mut run => return match ended {
                Ended::Finals(finals) => stage::Ended::Answers(finals.into_iter().map(ending).collect()),
                Ended::Problem(Problem::Failed(id)) => stage::Ended::Failed(id),
                Ended::Problem(Problem::Unsuitable(why)) => stage::Ended::Unsuitable(why),
                Ended::Problem(Problem::Broken(how)) => stage::Ended::Broken(how),
                Ended::Fault(fault) => stage::Ended::Broken(format!("{}: {fault}", fault.kind)),
            },
        }
    }
}

/// Answers a want. That nobody waits for the answer any more is no matter.
fn answer_want(want: Want, stage: &mut Stage<'_, '_, '_>, desk: &Papers) {
    match want {
        Want::Chat(asked, sender) => {
            let answered = answer(stage.chat(&call(asked)));
            desk.update(stage);
            let _ = sender.send(answered);
        }
        Want::Many(calls, sender) => {
            let calls: Vec<_> = calls.into_iter().map(call).collect();
            let answered = stage.chat_many(&calls).into_iter().map(answer).collect();
            desk.update(stage);
            let _ = sender.send(answered);
        }
        Want::Open(asked, sender) => {
            let opened = stage.open(&call(asked)).map_err(failure);
            desk.update(stage);
            let _ = sender.send(opened);
        }
        Want::Next(reply, sender) => {
            let _ = sender.send(Ok(stage.next(reply)));
        }
        Want::Whole(reply, sender) => {
            let _ = sender.send(answer(Ok(stage.whole(reply))));
        }
        Want::Deliver(asked, sender) => {
            let delivered = stage.deliver(&call(asked)).map(choice).map_err(failure);
            desk.update(stage);
            let _ = sender.send(delivered);
        }
        Want::Emit(text, sender) => {
            stage.emit(&text);
            let _ = sender.send(());
        }
        Want::Close(_) | Want::Progress(_) => {}
    }
}

fn call(call: Call) -> stage::Call {
    let turn = |turn: Turn| match turn {
        Turn::Original(index) => stage::Turn::Original(index),
        Turn::Rewritten { index, text } => stage::Turn::Rewritten(index, text),
        Turn::Answered(id) => stage::Turn::Answered(id),
        Turn::Said { text, .. } => stage::Turn::Said(text),
        Turn::Json(json) => stage::Turn::Json(json),
    };
    let manner = match call.manner {
        Manner::Answer => data::Manner::Answer,
        Manner::Aside => data::Manner::Aside,
    };
    let Call { messages, model, n, temperature, extra, step, .. } = call;
    stage::Call { messages: messages.into_iter().map(turn).collect(), manner, model, n, temperature, extra, step }
}

fn answer(result: Result<stage::Choices, stage::Failed>) -> Result<Answer, Failure> {
    let choices = result.map_err(failure)?;
    let mut usage = Usage::default();
    for (_, reply) in &choices {
        usage.prompt = usage.prompt.saturating_add(reply.usage.0);
        usage.completion = usage.completion.saturating_add(reply.usage.1);
    }
    Ok(Answer { choices: choices.into_iter().map(choice).collect(), usage })
}

fn choice((id, reply): (u32, data::Reply)) -> Choice {
    let finish = match reply.finish {
        data::Finish::Stop => Finish::Stop,
        data::Finish::Length => Finish::Length,
        data::Finish::ToolCalls => Finish::ToolCalls,
        data::Finish::ContentFilter => Finish::ContentFilter,
    };
    Choice { id, text: reply.text, finish, tool_calls: reply.tool_calls }
}

fn ending(answer: Final) -> stage::Ending {
    match answer {
        Final::Choice(id) => stage::Ending::Choice(id),
        Final::Excerpt(id, text) => stage::Ending::Excerpt(id, text),
        Final::Text(text) => stage::Ending::Text(text),
        Final::Delivered => stage::Ending::Delivered,
    }
}

fn budget(budget: data::Budget) -> Budget {
    let data::Budget { calls, tokens, millis } = budget;
    Budget { calls, tokens, millis }
}

fn failure((id, failure): stage::Failed) -> Failure {
    let kind = match failure.kind {
        data::FailureKind::Rejected => FailureKind::Rejected,
        data::FailureKind::TooLong => FailureKind::TooLong,
        data::FailureKind::Throttled => FailureKind::Throttled,
        data::FailureKind::Unavailable => FailureKind::Unavailable,
        data::FailureKind::Exhausted => FailureKind::Exhausted,
        data::FailureKind::Illegal => FailureKind::Illegal,
    };
    Failure { kind, message: failure.message, id }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::OnceLock;

    use super::*;
    use crate::approach::{Registry, builtins};

    fn rehearsal(name: &str) -> Rehearsal {
        // Compiled once for all tests.
        static REGISTRY: OnceLock<Registry> = OnceLock::new();
        let registry = REGISTRY.get_or_init(|| Registry::new([], None));
        let approach = registry.load(name).unwrap_or_else(|error| panic!("{name} {error}"));
        Rehearsal::new(approach).expect("a runtime")
    }

    /// The components do what the types do, whose tests play the same files.
    #[test]
    fn the_built_in_approaches_do_what_their_fixtures_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../approaches");
        for name in builtins() {
            let files = data::read(&folder.join(name).join("fixtures")).expect("there are some");
            assert!(files.len() >= 2, "{name}");
            for played in rehearsal(name).fixtures(&files) {
                assert!(played.holds, "{}: {}", played.file, played.detail);
            }
        }
    }

    #[test]
    fn the_built_in_approaches_stand_the_battery() {
        for name in builtins() {
            let claims = rehearsal(name).battery(&Map::new());
            for claim in &claims {
                assert!(claim.holds, "{name}: {}: {}", claim.claim, claim.detail);
            }
            assert!(claims.len() >= 8, "{name}: {claims:?}");
        }
    }
}
