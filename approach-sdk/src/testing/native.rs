//! An approach as a type, run as the host runs a component.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use data::stage::{Call, Choices, Ended, Ending, Failed, Stage, Turn, each_run};
use pointsman_fixture::approach as data;

use crate::bindings::pointsman::approach::types as wit;
use crate::llm::{Backend, Written};
use crate::{Approach, Budget, Choice, ChoiceId, Failure, FailureKind, Finish, Manner, Problem, Request, export};

pub(super) struct Native<A> {
    approach: PhantomData<A>,
    /// True when the last run broke the contract, or panicked.
    pub(super) broke: bool,
    pub(super) notes: Vec<String>,
}

impl<A: Approach> Native<A> {
    pub(super) fn new() -> Self {
        Self { approach: PhantomData, broke: false, notes: Vec::new() }
    }

    fn once(
        &mut self,
        request: &data::Request,
        player: &mut data::Player<'_>,
        (n, entropy): (u32, u64),
    ) -> data::Outcome {
        let stage = RefCell::new(Stage::new(request, player));
        let notes = RefCell::default();
        let session = Session { request, stage: &stage, notes: &notes };
        let ran = catch_unwind(AssertUnwindSafe(|| export::run_with::<A>(&asked(request, n, entropy), &session)));
        self.notes.append(&mut notes.borrow_mut());
        let (ended, broke) = match ran {
            Err(panic) => (Ended::Broken(format!("it panics: {}", text_of(&*panic))), true),
            Ok(Ok(finals)) => (Ended::Answers(finals.into_iter().map(ending).collect()), true),
            Ok(Err(Problem::Failed(id))) => (Ended::Failed(id), true),
            Ok(Err(Problem::Unsuitable(why))) => (Ended::Unsuitable(why), false),
            Ok(Err(Problem::Broken(how))) => (Ended::Broken(how), false),
        };
        let outcome = stage.borrow().end(ended, n);
        self.broke |= broke && matches!(outcome, Err(data::Problem::Broken(_)));
        outcome
    }
}

impl<A: Approach> data::Subject for Native<A> {
    fn run(&mut self, request: &data::Request, player: &mut data::Player<'_>) -> data::Outcome {
        self.broke = false;
        self.notes.clear();
        each_run(request, A::MANY, |n, entropy| self.once(request, player, (n, entropy)))
    }

    fn options(&self) -> Vec<String> {
        A::OPTIONS.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn check(&self, config: &str) -> Result<(), String> {
        export::check::<A>(config)
    }

    fn takes_tools(&self) -> bool {
        A::TOOLS
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn asked(request: &data::Request, n: u32, entropy: u64) -> Request {
    let messages =
        request.read().into_iter().map(|data::Message { role, text, more }| wit::Message { role, text, more });
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

/// One run, from the side of the SDK.
struct Session<'s, 'r, 'p, 'm> {
    request: &'r data::Request,
    stage: &'s RefCell<Stage<'r, 'p, 'm>>,
    notes: &'s RefCell<Vec<String>>,
}

impl Backend for Session<'_, '_, '_, '_> {
    fn chat(&self, asked: wit::Call) -> Result<wit::Answer, Failure> {
        answer(self.stage.borrow_mut().chat(&call(asked)))
    }

    fn chat_many(&self, calls: Vec<wit::Call>) -> Vec<Result<wit::Answer, Failure>> {
        let calls: Vec<_> = calls.into_iter().map(call).collect();
        self.stage.borrow_mut().chat_many(&calls).into_iter().map(answer).collect()
    }

    fn open(&self, asked: wit::Call) -> Result<Box<dyn Written + '_>, Failure> {
        let reply = self.stage.borrow_mut().open(&call(asked)).map_err(failure)?;
        Ok(Box::new(Opened { stage: self.stage, reply }))
    }

    fn choice_json(&self, id: ChoiceId) -> String {
        self.stage.borrow().choice_json(id)
    }

    fn left(&self) -> Budget {
        budget(self.stage.borrow().left())
    }

    fn deliver(&self, asked: wit::Call) -> Result<Choice, Failure> {
        self.stage.borrow_mut().deliver(&call(asked)).map(choice).map_err(failure)
    }

    fn emit(&self, text: &str) {
        self.stage.borrow_mut().emit(text);
    }

    fn progress(&self, note: &str) {
        self.notes.borrow_mut().push(note.to_owned());
    }

    fn parameters(&self) -> String {
        self.request.parameters_json()
    }

    fn message_json(&self, index: u32) -> String {
        self.request.message_json(index)
    }
}

struct Opened<'s, 'r, 'p, 'm> {
    stage: &'s RefCell<Stage<'r, 'p, 'm>>,
    reply: u32,
}

impl Written for Opened<'_, '_, '_, '_> {
    fn next(&self) -> Result<Option<String>, Failure> {
        Ok(self.stage.borrow_mut().next(self.reply))
    }

    fn whole(&self) -> Result<wit::Answer, Failure> {
        answer(Ok(self.stage.borrow().whole(self.reply)))
    }
}

fn call(call: wit::Call) -> Call {
    let turn = |turn: wit::Turn| match turn {
        wit::Turn::Original(index) => Turn::Original(index),
        wit::Turn::Rewritten(wit::Rewritten { index, text }) => Turn::Rewritten(index, text),
        wit::Turn::Answered(id) => Turn::Answered(id),
        wit::Turn::Said(said) => Turn::Said(said.text),
        wit::Turn::Json(json) => Turn::Json(json),
    };
    let manner = match call.manner {
        Manner::Answer => data::Manner::Answer,
        Manner::Aside => data::Manner::Aside,
    };
    let wit::Call { messages, model, n, temperature, extra, step, .. } = call;
    Call { messages: messages.into_iter().map(turn).collect(), manner, model, n, temperature, extra, step }
}

fn answer(result: Result<Choices, Failed>) -> Result<wit::Answer, Failure> {
    let choices = result.map_err(failure)?;
    let (mut prompt, mut completion) = (0_u32, 0_u32);
    for (_, reply) in &choices {
        prompt = prompt.saturating_add(reply.usage.0);
        completion = completion.saturating_add(reply.usage.1);
    }
    let usage = wit::Usage { prompt, completion };
    Ok(wit::Answer { choices: choices.into_iter().map(choice).collect(), usage })
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

fn ending(answer: wit::Final) -> Ending {
    match answer {
        wit::Final::Choice(id) => Ending::Choice(id),
        wit::Final::Excerpt((id, text)) => Ending::Excerpt(id, text),
        wit::Final::Text(text) => Ending::Text(text),
        wit::Final::Delivered => Ending::Delivered,
    }
}

fn budget(budget: data::Budget) -> Budget {
    let data::Budget { calls, tokens, millis } = budget;
    Budget { calls, tokens, millis }
}

fn failure((id, failure): Failed) -> Failure {
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
