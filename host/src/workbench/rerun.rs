//! Plays recorded runs again, to the same component or to another version of it, without asking a provider.
//!
//! A run is a function of its request and of the model's answers. So the first question that differs from the recorded one is
//! where two versions part; what comes after it has no recorded answers.

use std::io::{self, BufRead};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use crate::approach::record::{Asked, FORMAT, Line, Paper, Run};
use crate::approach::{Answer, Approach, Budget, ChoiceId, Desk, Ended, Failure, Session, Setting, Want};

/// The longest line that is read, in bytes.
const LINE_BYTES: u64 = 256 << 20;

/// The most differences that are described.
const EXAMPLES: usize = 10;

/// Characters of a question that are shown around the place where two differ.
const SHOWN: usize = 240;

/// The result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rerun {
    /// Runs that were played again.
    pub runs: u64,
    /// Those that went as recorded.
    pub same: u64,
    /// Runs of other approaches, which were not played.
    pub skipped: u64,
    /// Runs that the record is missing.
    pub missing: u64,
    /// Runs of a component with another digest than the recorded one.
    pub other_digest: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
}

impl Rerun {
    /// Runs that went otherwise than recorded.
    pub fn different(&self) -> u64 {
        self.runs - self.same
    }
}

/// The place where a run goes otherwise than recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The line of the record.
    pub line: u64,
    /// The run.
    pub id: String,
    /// Its approach.
    pub approach: String,
    /// Which of its questions, from 1; those for the next piece of a stream count too.
    pub question: usize,
    /// The recorded question, or end, from where they differ.
    pub recorded: String,
    /// The one of now.
    pub now: String,
}

/// The reason why a record cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum RerunError {
    /// The record cannot be read.
    #[error("the record cannot be read")]
    Read(#[from] io::Error),
    /// A line is none of a record of runs.
    #[error("line {number}: {why}")]
    Line {
        /// The line, from 1.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing could be played.
    #[error("it holds no run{0}")]
    Empty(String),
}

/// The component that plays the runs of an approach; `None` leaves them out.
pub type Chosen = Result<Option<Arc<Approach>>, String>;

/// Plays all runs of a record. `choose` gives the component for an approach; `None` leaves its runs out. Not to be called on a
/// Tokio runtime.
///
/// # Errors
///
/// [`RerunError`]; what `choose` says is wrong with an approach is about the line that wants it.
pub fn rerun(mut log: impl BufRead, choose: &mut dyn FnMut(&str) -> Chosen) -> Result<Rerun, RerunError> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let mut result = Rerun::default();
    let (mut number, mut text) = (0, Vec::new());
    loop {
        text.clear();
        number += 1;
        if io::Read::take(&mut log, LINE_BYTES).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        let wrong = |why: String| RerunError::Line { number, why };
        let run = match serde_json::from_slice(&text) {
            Ok(Line::Run(run)) => run,
            Ok(Line::Gap { runs }) => {
                result.missing += runs;
                continue;
            }
            // A process that is killed leaves its last line unfinished.
            Err(_) if number > 1 => {
                result.missing += 1;
                continue;
            }
            Err(error) => return Err(wrong(format!("is not one of a record of runs: {error}"))),
        };
        if run.format != FORMAT {
            return Err(wrong(format!("is of format {}, this program reads {FORMAT}", run.format)));
        }
        let Some(approach) = choose(&run.approach).map_err(wrong)? else {
            result.skipped += 1;
            continue;
        };
        result.runs += 1;
        result.other_digest += u64::from(approach.digest() != run.digest);
        match runtime.block_on(play(&approach, &run)) {
            None => result.same += 1,
            Some((question, recorded, now)) => {
                if result.differences.len() < EXAMPLES {
                    let (recorded, now) = apart(&recorded, &now);
                    let (id, approach) = (run.id, run.approach);
                    result.differences.push(Difference { line: number, id, approach, question, recorded, now });
                }
            }
        }
    }
    match result.runs {
        0 if result.skipped > 0 => {
            Err(RerunError::Empty(format!(" of this approach; {} are of others", result.skipped)))
        }
        0 => Err(RerunError::Empty(String::new())),
        _ => Ok(result),
    }
}

/// Plays a run; the place of the first difference, and both sides of it.
async fn play(approach: &Approach, run: &Run) -> Option<(usize, String, String)> {
    let desk = Arc::new(Papers::new(run));
    let setting = Setting { memory: approach.memory(), ..Setting::named(run.id.clone()) };
    let Session { mut wants, run: mut running } = approach.start(run.request.clone(), desk.clone(), setting);
    let mut asked = 0;
    loop {
        tokio::select! {
            biased;
            Some(want) = wants.recv() => {
                let Some(now) = question(&want) else { continue };
                let Some(recorded) = run.wants.get(asked) else {
                    // What broke it off is not in the record.
                    let ended = run.ended.as_ref()?;
                    return Some((asked + 1, text(ended), text(&now)));
                };
                if recorded.question() != now {
                    return Some((asked + 1, text(&recorded.question()), text(&now)));
                }
                asked += 1;
                desk.keep(recorded);
                if !answer(want, recorded) {
                    return None;
                }
            }
            ended = &mut running => {
                return match (run.wants.get(asked), &run.ended) {
                    (Some(recorded), _) => Some((asked + 1, text(&recorded.question()), text(&ended))),
                    (None, Some(recorded)) if !alike(recorded, &ended) => {
                        Some((asked + 1, text(recorded), text(&ended)))
                    }
                    _ => None,
                };
            }
        }
    }
}

/// True when two ends are the same. Of a fault the kind counts: its words have addresses in them.
fn alike(one: &Ended, other: &Ended) -> bool {
    match (one, other) {
        (Ended::Fault(one), Ended::Fault(other)) => one.kind == other.kind,
        (one, other) => one == other,
    }
}

/// A want as the record has it; `None` of one that is not recorded.
fn question(want: &Want) -> Option<Asked> {
    Some(match want {
        Want::Chat(call, _) => Asked::Chat(call.clone(), None),
        Want::Many(calls, _) => Asked::Many(calls.clone(), None),
        Want::Open(call, _) => Asked::Open(call.clone(), None),
        Want::Next(reply, _) => Asked::Next(*reply, None),
        Want::Whole(reply, _) => Asked::Whole(*reply, None),
        Want::Deliver(call, _) => Asked::Deliver(call.clone(), None),
        Want::Emit(text, _) => Asked::Emit(text.clone()),
        Want::Close(_) | Want::Progress(_) => return None,
    })
}

/// Gives the guest the recorded answer; false if there is none. That it does not wait any more is no matter.
fn answer(want: Want, recorded: &Asked) -> bool {
    fn give<T: Clone>(sender: tokio::sync::oneshot::Sender<T>, answer: Option<&T>) -> bool {
        answer.is_some_and(|answer| {
            let _ = sender.send(answer.clone());
            true
        })
    }
    match (want, recorded) {
        (Want::Chat(_, sender), Asked::Chat(_, answer)) => give(sender, answer.as_ref()),
        (Want::Many(_, sender), Asked::Many(_, answers)) => give(sender, answers.as_ref()),
        (Want::Open(_, sender), Asked::Open(_, reply)) => give(sender, reply.as_ref()),
        (Want::Next(_, sender), Asked::Next(_, piece)) => give(sender, piece.as_ref()),
        (Want::Whole(_, sender), Asked::Whole(_, answer)) => give(sender, answer.as_ref()),
        (Want::Deliver(_, sender), Asked::Deliver(_, choice)) => give(sender, choice.as_ref()),
        (Want::Emit(_, sender), Asked::Emit(_)) => give(sender, Some(&())),
        _ => false,
    }
}

/// Answers in place what a guest asks, as recorded; what another version asks besides, as well as can be.
struct Papers {
    parameters: String,
    papers: Vec<Paper>,
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many of the recorded budgets were given.
    budgets: usize,
    /// The choices so far, in JSON.
    choices: Vec<(ChoiceId, Value)>,
}

impl Papers {
    fn new(run: &Run) -> Self {
        let (parameters, papers, budget) = (run.parameters.clone(), run.papers.clone(), run.request.budget);
        Self { parameters, papers, budget, state: Mutex::default() }
    }

    /// Remembers the choices of an answer.
    fn keep(&self, recorded: &Asked) {
        let of = |answer: &Result<Answer, Failure>| answer.iter().flat_map(|answer| answer.choices.clone()).collect();
        let choices: Vec<_> = match recorded {
            Asked::Chat(_, Some(answer)) | Asked::Whole(_, Some(answer)) => of(answer),
            Asked::Many(_, Some(answers)) => answers.iter().flat_map(of).collect::<Vec<_>>(),
            Asked::Deliver(_, Some(Ok(choice))) => vec![choice.clone()],
            _ => return,
        };
        let as_json = |choice: crate::approach::Choice| {
            let message = json!({"role": "assistant", "content": choice.text});
            (choice.id, json!({"index": 0, "message": message, "finish_reason": "stop"}))
        };
        self.state.lock().choices.extend(choices.into_iter().map(as_json));
    }
}

impl Desk for Papers {
    fn left(&self) -> Budget {
        let budgets = self.papers.iter().filter_map(|paper| match paper {
            Paper::Left(budget) => Some(*budget),
            Paper::Message(..) | Paper::Choice(..) => None,
        });
        let budgets: Vec<Budget> = budgets.collect();
        let given = {
            let mut state = self.state.lock();
            state.budgets += 1;
            state.budgets - 1
        };
        budgets.get(given).or(budgets.last()).copied().unwrap_or(self.budget)
    }

    fn parameters(&self) -> String {
        self.parameters.clone()
    }

    fn message(&self, index: u32) -> String {
        let found = self.papers.iter().find_map(|paper| match paper {
            Paper::Message(place, text) if *place == index => Some(text.clone()),
            _ => None,
        });
        found.unwrap_or_default()
    }

    fn choice(&self, id: ChoiceId) -> String {
        let found = self.papers.iter().find_map(|paper| match paper {
            Paper::Choice(number, text) if *number == id => Some(text.clone()),
            _ => None,
        });
        let kept = || {
            let state = self.state.lock();
            state.choices.iter().find(|(number, _)| *number == id).map(|(_, choice)| choice.to_string())
        };
        found.or_else(kept).unwrap_or_default()
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Both texts from a little before the place where they differ, as much as can be shown.
fn apart(one: &str, other: &str) -> (String, String) {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(SHOWN / 4);
    let shown = |text: &str| {
        let before = if from > 0 { "..." } else { "" };
        let middle: String = text.chars().skip(from).take(SHOWN).collect();
        let after = if text.chars().count() > from + SHOWN { "..." } else { "" };
        format!("{before}{middle}{after}")
    };
    (shown(one), shown(other))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::approach::record::{Recorder, Target, start};
    use crate::approach::{Choice, Finish, Message, Registry, Request, Usage};

    /// Runs an approach with a model that numbers its answers, and records it.
    async fn recorded(recorder: &Arc<Recorder>, approach: &Approach, config: &str, streaming: bool) -> Ended {
        struct Desked;
        impl Desk for Desked {
            fn left(&self) -> Budget {
                Budget { calls: 64, tokens: u32::MAX, millis: 300_000 }
            }
            fn parameters(&self) -> String {
                r#"{"model":"m"}"#.to_owned()
            }
            fn message(&self, _: u32) -> String {
                r#"{"role":"user","content":"2+2?"}"#.to_owned()
            }
            fn choice(&self, _: ChoiceId) -> String {
                "{}".to_owned()
            }
        }
        let message = Message { role: "user".to_owned(), text: "2+2?".to_owned(), more: false };
        let (messages, config) = (vec![message], config.to_owned());
        let request =
            Request { messages, question: Some(0), config, n: 1, streaming, entropy: 7, ..Request::default() };
        let Session { mut wants, mut run } =
            start(recorder, approach, request, Arc::new(Desked), Setting::named("r#1"));
        let mut said = 0;
        let mut choice = || {
            said += 1;
            let text = format!("<output>{said}</output>");
            Choice { id: said, text, finish: Finish::Stop, tool_calls: 0 }
        };
        let mut chat = |n: u32| Answer { choices: (0..n).map(|_| choice()).collect(), usage: Usage::default() };
        let mut pieces = vec!["put>4".to_owned(), "<out".to_owned()];
        loop {
            tokio::select! {
                biased;
                Some(want) = wants.recv() => match want {
                    Want::Chat(call, sender) => drop(sender.send(Ok(chat(call.n)))),
                    Want::Many(calls, sender) => {
                        drop(sender.send(calls.iter().map(|call| Ok(chat(call.n))).collect()));
                    }
                    Want::Deliver(_, sender) => drop(sender.send(Ok(chat(1).choices.remove(0)))),
                    Want::Open(_, sender) => drop(sender.send(Ok(0))),
                    Want::Next(_, sender) => drop(sender.send(Ok(pieces.pop()))),
                    Want::Whole(_, sender) => drop(sender.send(Ok(chat(1)))),
                    Want::Emit(_, sender) => drop(sender.send(())),
                    Want::Close(_) | Want::Progress(_) => {}
                },
                ended = &mut run => return ended,
            }
        }
    }

    /// A record of these runs, and what they came to.
    fn record(runs: &[(&str, &str, bool)]) -> (Vec<u8>, Registry) {
        let folder = tempfile::TempDir::new().expect("a folder");
        let target = Target { path: folder.path().join("runs.ndjson"), max_bytes: 1 << 30 };
        let recorder = Recorder::open(target.clone()).expect("opens");
        let registry = Registry::new([], None);
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        for (name, config, streaming) in runs {
            let approach = registry.load(name).expect("built in");
            let ended = runtime.block_on(recorded(&recorder, &approach, config, *streaming));
            assert!(matches!(ended, Ended::Finals(_)), "{name}: {ended:?}");
        }
        recorder.finish();
        (std::fs::read(&target.path).expect("a record"), registry)
    }

    #[test]
    fn runs_go_as_they_were_recorded_and_another_component_parts_from_them() {
        let runs = [
            ("bon", "{}", false),
            ("moa", "{}", false),
            ("cot_reflection", "{}", true),
            ("mcts", "{}", false),
            ("rstar", "{}", false),
        ];
        let (log, registry) = record(&runs);
        let own = |name: &str| registry.load(name).map(Some).map_err(|error| error.to_string());
        let result = rerun(Cursor::new(&log), &mut { own }).expect("plays");
        assert_eq!((result.runs, result.same, result.other_digest), (5, 5, 0), "{result:?}");

        let other = registry.load("genselect").expect("built in");
        let mut only = |name: &str| Ok((name == "bon").then(|| Arc::clone(&other)));
        let result = rerun(Cursor::new(&log), &mut only).expect("plays");
        assert_eq!((result.runs, result.different(), result.skipped, result.other_digest), (1, 1, 4, 1));
        let difference = &result.differences[0];
        assert_eq!((difference.line, difference.question, difference.id.as_str()), (1, 1, "r#1"));
        assert!(difference.recorded.contains("\"n\":3") && difference.now.contains("\"n\":4"), "{difference:?}");
    }

    #[test]
    fn what_is_no_record_is_told() {
        let mut none = |_: &str| Ok(None);
        let wrong = |text: &str, none: &mut dyn FnMut(&str) -> _| {
            rerun(Cursor::new(text.as_bytes().to_vec()), none).expect_err("wrong").to_string()
        };
        assert!(wrong("hello", &mut none).starts_with("line 1: is not one of a record of runs: "));
        assert_eq!(wrong("", &mut none), "it holds no run");
        let (mut log, _) = record(&[("bon", "{}", false)]);
        log.extend_from_slice(b"{\"record\":\"run\",\"for");
        let text = String::from_utf8(log).expect("JSON");
        assert_eq!(wrong(&text, &mut none), "it holds no run of this approach; 1 are of others");
        assert!(wrong(&text.replace("\"format\":1", "\"format\":9"), &mut none).contains("is of format 9"));
    }
}
