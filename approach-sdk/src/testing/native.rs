//! An approach as a type, run as the host runs a component.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pointsman_fixture::approach as data;

use crate::bindings::pointsman::approach::types as wit;
use crate::llm::{Backend, Written};
use crate::{Approach, Budget, Choice, ChoiceId, Failure, FailureKind, Finish, Manner, Problem, Request, export};

/// The most choices that a question may want, as the contract has it.
const MOST_CHOICES: u32 = 128;

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

    fn once(&mut self, request: &data::Request, number: u32, player: &mut data::Player<'_>) -> data::Outcome {
        let n = if A::MANY { request.n } else { 1 };
        let session = Session { request, state: RefCell::new(State::new(player)) };
        let asked = asked(request, n, request.entropy.wrapping_add(number.into()));
        let ran = catch_unwind(AssertUnwindSafe(|| export::run_with::<A>(&asked, &session)));
        let mut state = session.state.into_inner();
        self.notes.append(&mut state.notes);
        let outcome = match ran {
            Err(panic) => Err(data::Problem::Broken(format!("it panics: {}", text_of(&*panic)))),
            Ok(Ok(finals)) => state.finals(&finals, n).map_err(data::Problem::Broken),
            Ok(Err(Problem::Failed(id))) => Err(match state.failures.get(id as usize) {
                Some(failure) => data::Problem::Failed(failure.clone()),
                None => data::Problem::Broken(format!("there is no failure {id}")),
            }),
            Ok(Err(Problem::Unsuitable(why))) => return Err(data::Problem::Unsuitable(why)),
            Ok(Err(Problem::Broken(how))) => return Err(data::Problem::Broken(how)),
        };
        self.broke |= matches!(outcome, Err(data::Problem::Broken(_)));
        outcome
    }
}

impl<A: Approach> data::Subject for Native<A> {
    fn run(&mut self, request: &data::Request, player: &mut data::Player<'_>) -> data::Outcome {
        self.broke = false;
        self.notes.clear();
        let runs = if A::MANY { 1 } else { request.n };
        let mut finals = Vec::new();
        let mut first = None;
        for number in 0..runs {
            match self.once(request, number, player) {
                Ok(some) => finals.extend(some),
                Err(problem @ data::Problem::Broken(_)) => return Err(problem),
                Err(problem) => first = first.or(Some(problem)),
            }
        }
        match first {
            Some(problem) if finals.is_empty() => Err(problem),
            _ => Ok(finals),
        }
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
    let messages = request.read().into_iter().map(|message| {
        let data::Message { role, text, more } = message;
        wit::Message { role, text, more }
    });
    let messages: Vec<_> = messages.collect();
    let question = messages.iter().rposition(|message| message.role == "user").map(|index| index as u32);
    let data::Budget { calls, tokens, millis } = request.budget;
    Request {
        messages,
        question,
        model: request.model().to_owned(),
        config: serde_json::Value::Object(request.config.clone()).to_string(),
        n,
        streaming: request.streaming,
        entropy,
        now_ms: request.now_ms,
        budget: Budget { calls, tokens, millis },
    }
}

/// One run, from the host's side.
struct Session<'r, 'p, 'm> {
    request: &'r data::Request,
    state: RefCell<State<'p, 'm>>,
}

struct State<'p, 'm> {
    player: &'p mut data::Player<'m>,
    /// The choices of the model, each at its id.
    choices: Vec<data::Reply>,
    failures: Vec<data::Failure>,
    used: Budget,
    /// The answer that the client has been given.
    out: Option<data::Final>,
    notes: Vec<String>,
}

impl<'p, 'm> State<'p, 'm> {
    fn new(player: &'p mut data::Player<'m>) -> Self {
        let used = Budget { calls: 0, tokens: 0, millis: 0 };
        Self { player, choices: Vec::new(), failures: Vec::new(), used, out: None, notes: Vec::new() }
    }

    fn fail(&mut self, failure: data::Failure) -> Failure {
        let id = self.failures.len() as u32;
        self.failures.push(failure.clone());
        Failure { kind: kind(failure.kind), message: failure.message, id }
    }

    fn refuse(&mut self, kind: data::FailureKind, message: &str) -> Failure {
        let failure = self.player.refuse(kind, message.to_owned());
        self.fail(failure)
    }

    fn answer(&mut self, answered: data::Answered) -> Result<wit::Answer, Failure> {
        let replies = answered.map_err(|failure| self.fail(failure))?;
        let mut usage = wit::Usage { prompt: 0, completion: 0 };
        let mut choices = Vec::new();
        for reply in replies {
            usage.prompt = usage.prompt.saturating_add(reply.usage.0);
            usage.completion = usage.completion.saturating_add(reply.usage.1);
            let finish = match reply.finish {
                data::Finish::Stop => Finish::Stop,
                data::Finish::Length => Finish::Length,
                data::Finish::ToolCalls => Finish::ToolCalls,
                data::Finish::ContentFilter => Finish::ContentFilter,
            };
            let id = self.choices.len() as ChoiceId;
            choices.push(Choice { id, text: reply.text.clone(), finish, tool_calls: reply.tool_calls });
            self.choices.push(reply);
        }
        self.used.tokens = self.used.tokens.saturating_add(usage.prompt).saturating_add(usage.completion);
        Ok(wit::Answer { choices, usage })
    }

    /// The answers that the client gets; else how the contract was broken.
    fn finals(&self, finals: &[wit::Final], n: u32) -> Result<Vec<data::Final>, String> {
        if finals.is_empty() || finals.len() > n as usize {
            return Err(format!("it returns {} answers, and {n} are wanted", finals.len()));
        }
        let choice = |id: ChoiceId| self.choices.get(id as usize).ok_or_else(|| format!("there is no choice {id}"));
        let given = |answer: &wit::Final| {
            let of = |reply: &data::Reply, text: &str| data::Final {
                text: text.to_owned(),
                finish: reply.finish,
                tool_calls: reply.tool_calls,
                streamed: false,
            };
            if self.out.is_some() && (finals.len() > 1 || !matches!(answer, wit::Final::Delivered)) {
                return Err("something has gone out, and it returns something else".to_owned());
            }
            match answer {
                wit::Final::Choice(id) => choice(*id).map(|reply| of(reply, &reply.text)),
                wit::Final::Excerpt((id, text)) => choice(*id).map(|reply| of(reply, text)),
                wit::Final::Text(text) => Ok(of(&data::Reply::default(), text)),
                wit::Final::Delivered => self.out.clone().ok_or_else(|| "nothing was delivered".to_owned()),
            }
        };
        finals.iter().map(given).collect()
    }
}

impl Session<'_, '_, '_> {
    /// The question that is asked, if the contract and the budget allow it.
    fn question(&self, state: &mut State<'_, '_>, call: &wit::Call) -> Result<data::Question, Failure> {
        let wit::Call { messages, manner, model, n, temperature, extra, step, .. } = call;
        let illegal = |state: &mut State<'_, '_>, message: &str| Err(state.refuse(data::FailureKind::Illegal, message));
        let mut texts = Vec::new();
        for turn in messages {
            match self.text_of(state, turn) {
                Ok(text) => texts.push(text),
                Err(breach) => return illegal(state, &breach),
            }
        }
        let text = texts.join("\n");
        if texts.is_empty() {
            return illegal(state, "a question has messages");
        }
        if !(1..=MOST_CHOICES).contains(n) {
            return illegal(state, &format!("{n} choices are wanted"));
        }
        if temperature.is_some_and(|temperature| !temperature.is_finite()) {
            return illegal(state, "the temperature is no number");
        }
        if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(extra).is_err() {
            return illegal(state, &format!("extra is no JSON object: {extra}"));
        }
        if step.is_empty() {
            return illegal(state, "a question says what it is for");
        }
        let budget = self.request.budget;
        if state.used.calls.saturating_add(*n) > budget.calls || state.used.tokens >= budget.tokens {
            return Err(state.refuse(data::FailureKind::Exhausted, "the budget is used up"));
        }
        state.used.calls += n;
        let manner = match manner {
            Manner::Answer => data::Manner::Answer,
            Manner::Aside => data::Manner::Aside,
        };
        Ok(data::Question { step: step.clone(), n: *n, manner, model: model.clone(), text })
    }

    fn text_of(&self, state: &State<'_, '_>, turn: &wit::Turn) -> Result<String, String> {
        let read = |message: &serde_json::Value| {
            let mut read = data::Request::of(vec![message.clone()]).read();
            read.pop().map(|message| message.text).unwrap_or_default()
        };
        let message = |index: u32| {
            let message = self.request.messages.get(index as usize);
            message.ok_or_else(|| format!("there is no message {index}"))
        };
        match turn {
            wit::Turn::Original(index) => message(*index).map(read),
            wit::Turn::Rewritten(wit::Rewritten { index, text }) => message(*index).map(|_| text.clone()),
            wit::Turn::Answered(id) => {
                let choice = state.choices.get(*id as usize);
                choice.map(|choice| choice.text.clone()).ok_or_else(|| format!("there is no choice {id}"))
            }
            wit::Turn::Said(said) => Ok(said.text.clone()),
            wit::Turn::Json(json) => match serde_json::from_str(json) {
                Ok(message @ serde_json::Value::Object(_)) => Ok(read(&message)),
                _ => Err(format!("a message is no JSON object: {json}")),
            },
        }
    }

    fn one(&self, call: &wit::Call) -> Result<wit::Answer, Failure> {
        let state = &mut *self.state.borrow_mut();
        let question = self.question(state, call)?;
        let answered = state.player.ask(&question);
        state.answer(answered)
    }

    fn single(&self, call: &wit::Call) -> Result<wit::Answer, Failure> {
        if call.n != 1 {
            let state = &mut *self.state.borrow_mut();
            return Err(state.refuse(data::FailureKind::Illegal, "one choice is opened or delivered"));
        }
        self.one(call)
    }
}

impl Backend for Session<'_, '_, '_> {
    fn chat(&self, call: wit::Call) -> Result<wit::Answer, Failure> {
        self.one(&call)
    }

    fn chat_many(&self, calls: Vec<wit::Call>) -> Vec<Result<wit::Answer, Failure>> {
        let state = &mut *self.state.borrow_mut();
        let questions: Vec<_> = calls.iter().map(|call| self.question(state, call)).collect();
        let asked: Vec<_> = questions.iter().filter_map(|question| question.as_ref().ok().cloned()).collect();
        let mut answered = state.player.ask_all(&asked).into_iter();
        let answer = |question: Result<data::Question, Failure>| match (question, &mut answered) {
            (Err(failure), _) => Err(failure),
            (Ok(_), answered) => match answered.next() {
                Some(answered) => state.answer(answered),
                None => Err(state.refuse(data::FailureKind::Illegal, "the model did not answer")),
            },
        };
        questions.into_iter().map(answer).collect()
    }

    fn open(&self, call: wit::Call) -> Result<Box<dyn Written>, Failure> {
        let answer = self.single(&call)?;
        let text = answer.choices.first().map(|choice| choice.text.clone()).unwrap_or_default();
        let pieces = data::Reply::new(text).pieces().into();
        Ok(Box::new(Pieces { pieces: RefCell::new(pieces), answer }))
    }

    fn choice_json(&self, id: ChoiceId) -> String {
        let state = self.state.borrow();
        let choice = state.choices.get(id as usize).map(|choice| {
            let message = serde_json::json!({"role": "assistant", "content": choice.text});
            serde_json::json!({"index": 0, "message": message, "finish_reason": "stop"}).to_string()
        });
        choice.unwrap_or_default()
    }

    fn left(&self) -> Budget {
        let (used, budget) = (self.state.borrow().used, self.request.budget);
        let left = |budget: u32, used: u32| if budget == u32::MAX { budget } else { budget.saturating_sub(used) };
        let (calls, tokens) = (left(budget.calls, used.calls), left(budget.tokens, used.tokens));
        Budget { calls, tokens, millis: budget.millis }
    }

    fn deliver(&self, call: wit::Call) -> Result<Choice, Failure> {
        let answer = self.single(&call)?;
        let Some(choice) = answer.choices.into_iter().next() else {
            let state = &mut *self.state.borrow_mut();
            return Err(state.refuse(data::FailureKind::Illegal, "the model gave no choice"));
        };
        let state = &mut *self.state.borrow_mut();
        let reply = &state.choices[choice.id as usize];
        let (finish, tool_calls) = (reply.finish, reply.tool_calls);
        let before = state.out.take().map(|out| out.text).unwrap_or_default();
        let text = before + &choice.text;
        state.out = Some(data::Final { text, finish, tool_calls, streamed: self.request.streaming });
        Ok(choice)
    }

    fn emit(&self, text: &str) {
        let state = &mut *self.state.borrow_mut();
        let streamed = self.request.streaming;
        let empty = data::Final { text: String::new(), finish: data::Finish::Stop, tool_calls: 0, streamed };
        state.out.get_or_insert(empty).text.push_str(text);
    }

    fn progress(&self, note: &str) {
        self.state.borrow_mut().notes.push(note.to_owned());
    }

    fn parameters(&self) -> String {
        serde_json::Value::Object(self.request.parameters.clone()).to_string()
    }

    fn message_json(&self, index: u32) -> String {
        self.request.messages.get(index as usize).map(ToString::to_string).unwrap_or_default()
    }
}

/// An answer in pieces, all of which are there.
struct Pieces {
    pieces: RefCell<VecDeque<String>>,
    answer: wit::Answer,
}

impl Written for Pieces {
    fn next(&self) -> Result<Option<String>, Failure> {
        Ok(self.pieces.borrow_mut().pop_front())
    }

    fn whole(&self) -> Result<wit::Answer, Failure> {
        Ok(self.answer.clone())
    }
}

fn kind(kind: data::FailureKind) -> FailureKind {
    match kind {
        data::FailureKind::Rejected => FailureKind::Rejected,
        data::FailureKind::TooLong => FailureKind::TooLong,
        data::FailureKind::Throttled => FailureKind::Throttled,
        data::FailureKind::Unavailable => FailureKind::Unavailable,
        data::FailureKind::Exhausted => FailureKind::Exhausted,
        data::FailureKind::Illegal => FailureKind::Illegal,
    }
}
