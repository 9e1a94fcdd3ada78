//! The course of a request: its approaches, one after the other and side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::value::RawValue;

use super::completion::{Choice, delta_of};
use super::conversation::Conversation;
use super::kept::{Received, Refused};
use super::object::Object;
use super::stage::{Given, Stage};
use super::{Agenda, Member, Shared};
use crate::approach::{Call, Ended, FaultKind, Final, Manner, Problem, Turn};
use crate::config::{OnFault, Pipeline};

/// One answer to the client.
pub struct Answered {
    /// Its place among the answers.
    pub index: u32,
    /// What it is.
    pub choice: Choice,
}

/// The reason why a run gives no answer.
pub enum End {
    /// A call has failed.
    Refused(Refused),
    /// The request does not suit it.
    Unsuitable(String),
    /// It broke.
    Broke(FaultKind),
}

/// The end of a course.
pub struct Finished {
    /// The answers, in the order of their places. Where there is none, the first failure.
    pub answers: Result<Vec<Answered>, (String, End)>,
    /// The names of the branches that failed where another one has answered.
    pub failed: Vec<String>,
    /// The faults of approaches in whose place the model has answered plainly.
    pub fault: Option<FaultKind>,
    /// The longest chain of questions that waited for each other.
    pub depth: u32,
}

/// What one run came to.
struct Ran {
    answers: Result<Vec<Answered>, (String, End)>,
    fault: Option<FaultKind>,
    depth: u32,
}

/// Runs a plan to its end.
pub async fn run(shared: Arc<Shared>, plan: Agenda) -> Finished {
    let width = u32::try_from(plan.branches.len()).unwrap_or(u32::MAX);
    let branches = (0..).zip(&plan.branches).map(|(place, members)| branch(&shared, &plan, members, (place, width)));
    let ran: Vec<Vec<Ran>> = join_all(branches).await;
    let (mut answers, mut failures, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fault, mut depth) = (None, 0);
    for (runs, members) in ran.into_iter().zip(&plan.branches) {
        for run in runs {
            depth = depth.max(run.depth);
            fault = fault.or(run.fault);
            match run.answers {
                Ok(some) => answers.extend(some),
                Err(failure) => {
                    failures.push(failure);
                    failed.push(members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join("&"));
                }
            }
        }
    }
    answers.sort_by_key(|answer| answer.index);
    failed.dedup();
    let is_empty = answers.is_empty();
    let answers = match failures.into_iter().next() {
        Some(failure) if is_empty => Err(failure),
        _ => Ok(answers),
    };
    Finished { answers, failed, fault, depth }
}

/// Runs one sequence: all but the last approach once, and the last for as many answers as are wanted.
async fn branch(shared: &Arc<Shared>, plan: &Agenda, members: &[Arc<Member>], (place, width): (u32, u32)) -> Vec<Ran> {
    let mut conversation = Arc::clone(&plan.conversation);
    let (mut before, mut fault) = (0, None);
    let Some((last, first)) = members.split_last() else { return Vec::new() };
    for member in first {
        let ran = one(shared, member, &conversation, (None, 1, 0)).await;
        before += ran.depth;
        fault = fault.or(ran.fault);
        match ran.answers {
            Ok(answers) => {
                let text = answers.first().map(|answer| answer.choice.text()).unwrap_or_default();
                conversation = Arc::new(handed_on(&conversation, &text, shared.settings.pipeline));
            }
            Err(failure) => return vec![Ran { answers: Err(failure), fault, depth: before }],
        }
    }
    let gives_many = last.approach.as_ref().is_some_and(|approach| approach.info().many);
    let runs: Vec<(u32, u32)> = if gives_many { vec![(0, plan.n)] } else { (0..plan.n).map(|run| (run, 1)).collect() };
    let runs = runs.into_iter().map(async |(run, n)| {
        let index = run.saturating_mul(width).saturating_add(place);
        let mut ran = one(shared, last, &conversation, (Some(index), n, u64::from(run))).await;
        if let Ok(answers) = &mut ran.answers {
            // Several answers of one run stand where those of several runs would.
            for (count, answer) in (0..).zip(answers) {
                answer.index = index + width * count;
            }
        }
        Ran { depth: ran.depth + before, fault: ran.fault.or(fault), ..ran }
    });
    join_all(runs).await
}

/// The conversation for the next approach of a sequence.
fn handed_on(conversation: &Conversation, answer: &str, pipeline: Pipeline) -> Conversation {
    match pipeline {
        Pipeline::Replace => conversation.asking(answer),
        Pipeline::Refine => {
            let question = conversation.question_text();
            conversation.asking(&format!(
                "{question}\n\nAn earlier attempt answered:\n\n{answer}\n\nUse what is right in it, and correct what is not."
            ))
        }
    }
}

/// One run of one approach; `index` is the place of its answer, if the client gets it.
async fn one(
    shared: &Arc<Shared>,
    member: &Arc<Member>,
    conversation: &Arc<Conversation>,
    (index, n, seed): (Option<u32>, u32, u64),
) -> Ran {
    let stage = Arc::new(Stage {
        shared: Arc::clone(shared),
        member: Arc::clone(member),
        conversation: Arc::clone(conversation),
        run: shared.runs.fetch_add(1, Relaxed),
        received: Received::default(),
        index,
        n,
        entropy: shared.entropy.wrapping_add(seed),
        depth: AtomicU32::new(0),
        given: Mutex::default(),
        has_given: AtomicBool::new(false),
        broken_off: Mutex::default(),
        is_free: AtomicBool::new(false),
    });
    let Some(approach) = &member.approach else { return plainly(&stage, None).await };
    let metrics = &shared.asking.proxy.metrics().approaches;
    let running = metrics.begins(&member.name);
    let ended = stage.drive().await;
    let (answers, fault) = match settled(&stage, ended) {
        Ok(answers) => (Ok(answers), None),
        Err(End::Broke(kind)) => (Err(End::Broke(kind)), Some(kind)),
        Err(end) => (Err(end), None),
    };
    match (&answers, fault) {
        (_, Some(kind)) => {
            approach.standing().note(Some(kind));
            metrics.fault(&member.name, kind.name());
        }
        (Ok(_), None) => approach.standing().note(None),
        (Err(_), None) => {}
    }
    let result = match &answers {
        Ok(_) => "succeeded",
        Err(End::Broke(_)) => "broke",
        Err(_) => "failed",
    };
    running.ends(result);
    let depth = stage.depth.load(Relaxed);
    if fault.is_some() && member.entry.on_fault == OnFault::Plain && !stage.has_given.load(Relaxed) {
        return Ran { depth: depth + 1, ..plainly(&stage, fault).await };
    }
    if let (Ok(answers), Some(_)) = (&answers, index) {
        send(&stage, answers);
    }
    Ran { answers: answers.map_err(|end| (member.name.clone(), end)), fault: None, depth }
}

/// The plain answer of the model.
async fn plainly(stage: &Arc<Stage>, fault: Option<FaultKind>) -> Ran {
    let messages = (0..u32::try_from(stage.conversation.messages.len()).unwrap_or(u32::MAX)).map(Turn::Original);
    let call = Call {
        messages: messages.collect(),
        manner: Manner::Answer,
        model: None,
        n: 1,
        temperature: None,
        max_tokens: None,
        extra: "{}".to_owned(),
        step: "answer".to_owned(),
    };
    *stage.given.lock() = Given::Nothing;
    // Whatever the approach has spent: the client is to have an answer.
    stage.is_free.store(fault.is_some(), Relaxed);
    let delivered = stage.deliver(&call).await;
    let name = stage.member.name.clone();
    let answers = match delivered {
        Ok(_) => settled(stage, Ended::Finals(vec![Final::Delivered])),
        Err(failure) => Err(failed(stage, failure.id)),
    };
    if let (Ok(answers), Some(_)) = (&answers, stage.index) {
        send(stage, answers);
    }
    Ran { answers: answers.map_err(|end| (name, end)), fault, depth: 1 }
}

fn failed(stage: &Stage, id: u32) -> End {
    match stage.received.take_failure(id) {
        Some(Refused::Contract(how)) => broke(stage, FaultKind::Illegal, &how),
        Some(refused) => End::Refused(refused),
        None => broke(stage, FaultKind::Illegal, "gave up because of a failure that does not exist"),
    }
}

fn broke(stage: &Stage, kind: FaultKind, how: &str) -> End {
    let name = &stage.member.name;
    tracing::warn!(
        request_id = stage.shared.asking.id.as_str(),
        approach = name.as_str(),
        kind = kind.name(),
        "the approach {name} failed: {how}"
    );
    End::Broke(kind)
}

/// The answers that a run has ended with, or the reason why there are none.
fn settled(stage: &Stage, ended: Ended) -> Result<Vec<Answered>, End> {
    let finals = match ended {
        Ended::Finals(finals) => finals,
        Ended::Problem(Problem::Failed(id)) => return Err(failed(stage, id)),
        Ended::Problem(Problem::Unsuitable(why)) => return Err(End::Unsuitable(why)),
        Ended::Problem(Problem::Broken(how)) => return Err(broke(stage, FaultKind::Broken, &how)),
        Ended::Fault(fault) => return Err(broke(stage, fault.kind, &fault.message)),
    };
    let illegal = |how: &str| Err(broke(stage, FaultKind::Illegal, how));
    let given = stage.given.lock().clone();
    // The client has the beginning of an answer: whatever the approach has instead comes too late.
    if let Some(id) = *stage.broken_off.lock() {
        return Err(failed(stage, id));
    }
    if stage.has_given.load(Relaxed) && finals != [Final::Delivered] {
        return illegal("returned another answer than the one that it has given the client already");
    }
    let mut answers = Vec::new();
    for last in finals {
        let choice = match last {
            Final::Choice(id) => stage.received.choice(id),
            Final::Excerpt(id, text) => stage.received.choice(id).map(|choice| excerpt(choice, &text)),
            Final::Text(text) => Some(own(&text)),
            Final::Delivered => match &given {
                Given::Nothing => {
                    return illegal("returned that it has given the client an answer, and has given none");
                }
                Given::Choice(id) => stage.received.choice(*id),
                Given::Text(text) => Some(own(text)),
            },
        };
        match choice {
            Some(choice) => answers.push(Answered { index: stage.index.unwrap_or(0), choice }),
            None => return illegal("returned a choice that does not exist"),
        }
    }
    Ok(answers)
}

/// A choice with another text.
fn excerpt(mut choice: Choice, text: &str) -> Choice {
    let mut message = choice.message();
    message.put("content", text);
    choice.object.put("message", &message);
    choice.object.remove("logprobs");
    choice
}

/// A text of the approach's own as a choice.
fn own(text: &str) -> Choice {
    let mut object = Object::default();
    object.put("index", &0);
    object.put("message", &serde_json::json!({"role": "assistant", "content": text}));
    object.put("finish_reason", "stop");
    Choice { object, model: String::new(), provider: String::new() }
}

/// Gives a client that reads a stream what it has not got yet.
fn send(stage: &Stage, answers: &[Answered]) {
    let Some(outbox) = &stage.shared.outbox else { return };
    let finish = |choice: &Choice| {
        let finish: Option<String> = choice.object.get("finish_reason");
        finish.unwrap_or_else(|| "stop".to_owned())
    };
    let given = stage.given.lock().clone();
    if stage.has_given.load(Relaxed) {
        if let (Given::Text(_), Some(index)) = (given, stage.index) {
            outbox.chunk("", index, &Object::default(), Some("stop"));
        }
        return;
    }
    let Some(index) = stage.index else { return };
    let width = stage.shared.width;
    for (count, answer) in (0..).zip(answers) {
        let (choice, index) = (&answer.choice, index + width * count);
        let delta = delta_of(&choice.message());
        outbox.is_from(&choice.provider);
        let mut beside = choice.object.clone();
        beside.retain(|key| !matches!(key, "index" | "message" | "delta" | "finish_reason"));
        outbox.choice(&choice.model, index, &delta, (beside, None));
        outbox.chunk(&choice.model, index, &Object::default(), Some(&finish(choice)));
    }
}

/// The object of a choice at its place.
pub fn at_place(answer: &Answered) -> Box<RawValue> {
    let mut object = answer.choice.object.clone();
    object.put("index", &answer.index);
    object.to_raw()
}
