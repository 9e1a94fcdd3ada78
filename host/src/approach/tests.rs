//! The host of approaches against a real component, which does what its configuration says, and a driver that answers
//! from a script.

mod bounds;
mod loading;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::strategy::tests::component;

/// The approach that does as it is told. It is loaded once.
fn asker() -> Arc<Approach> {
    static ASKER: OnceLock<Arc<Approach>> = OnceLock::new();
    let load = || Arc::new(Approach::load(&Source::new("asker", &component("asker"))).expect("loads"));
    Arc::clone(ASKER.get_or_init(load))
}

/// A request that tells it to do this, so many times.
fn request(deed: &str, times: u32) -> Request {
    Request {
        messages: vec![Message { role: "user".to_owned(), text: "2+2?".to_owned(), more: false }],
        question: Some(0),
        model: "m".to_owned(),
        config: json!({"do": deed, "times": times}).to_string(),
        n: 1,
        entropy: 42,
        now_ms: 1_000,
        ..Request::default()
    }
}

struct Table;

impl Desk for Table {
    fn left(&self) -> Budget {
        Budget { calls: 3, tokens: 5, millis: 7 }
    }

    fn parameters(&self) -> String {
        "{parameters}".to_owned()
    }

    fn message(&self, index: u32) -> String {
        format!("{{message {index}}}")
    }

    fn choice(&self, id: ChoiceId) -> String {
        format!("{{choice {id}}}")
    }
}

fn begin(request: Request) -> Session {
    begin_with(request, Setting::named("run 1"))
}

fn begin_with(request: Request, setting: Setting) -> Session {
    asker().start(request, Arc::new(Table), setting)
}

/// One choice with this number, whose text names its call.
fn said(id: ChoiceId, call: &Call) -> Result<Answer, Failure> {
    let text = match call.messages.first() {
        Some(Turn::Said { text, .. }) => format!("re {text}"),
        other => format!("re {other:?}"),
    };
    let choice = Choice { id, text, finish: Finish::Stop, tool_calls: 0 };
    Ok(Answer { choices: vec![choice], usage: Usage { prompt: 1, completion: 2 } })
}

fn failure(id: u32) -> Failure {
    Failure { kind: FailureKind::Throttled, message: format!("failure {id}"), id }
}

/// Answers every want, and writes down which there were.
#[derive(Default)]
struct Driver {
    heard: Vec<String>,
    calls: Vec<Call>,
    /// The call of this number fails.
    failing: Option<usize>,
}

impl Driver {
    fn answer(&mut self, call: Call) -> Result<Answer, Failure> {
        let id = u32::try_from(self.calls.len()).unwrap();
        let answer = if self.failing == Some(self.calls.len()) { Err(failure(id)) } else { said(id, &call) };
        self.calls.push(call);
        answer
    }

    fn take(&mut self, want: Want) {
        match want {
            Want::Chat(call, sender) => {
                self.heard.push("chat".to_owned());
                sender.send(self.answer(call)).unwrap();
            }
            Want::Many(calls, sender) => {
                self.heard.push(format!("many {}", calls.len()));
                sender.send(calls.into_iter().map(|call| self.answer(call)).collect()).unwrap();
            }
            Want::Open(call, sender) => {
                self.heard.push("open".to_owned());
                sender.send(self.answer(call).map(|_| 9)).unwrap();
            }
            Want::Next(reply, sender) => {
                self.heard.push(format!("next {reply}"));
                let pieces = self.heard.iter().filter(|want| want.starts_with("next")).count();
                sender.send(Ok((pieces <= 2).then(|| format!("piece {pieces}")))).unwrap();
            }
            Want::Whole(reply, sender) => {
                self.heard.push(format!("whole {reply}"));
                sender.send(said(8, &self.calls[0])).unwrap();
            }
            Want::Close(reply) => self.heard.push(format!("close {reply}")),
            Want::Deliver(call, sender) => {
                self.heard.push("deliver".to_owned());
                sender.send(self.answer(call).map(|mut answer| answer.choices.remove(0))).unwrap();
            }
            Want::Emit(text, sender) => {
                self.heard.push(format!("emit {text}"));
                sender.send(()).unwrap();
            }
            Want::Progress(note) => self.heard.push(format!("progress {note}")),
        }
    }

    async fn drive(&mut self, session: Session) -> Ended {
        let Session { mut wants, mut run } = session;
        loop {
            tokio::select! {
                Some(want) = wants.recv() => self.take(want),
                ended = &mut run => {
                    while let Ok(want) = wants.try_recv() {
                        self.take(want);
                    }
                    return ended;
                }
            }
        }
    }
}

async fn ended(request: Request) -> Ended {
    Driver::default().drive(begin(request)).await
}

/// The one text that a run returns.
async fn text(request: Request) -> String {
    match ended(request).await {
        Ended::Finals(finals) => match finals.as_slice() {
            [Final::Text(text)] => text.clone(),
            other => panic!("no text: {other:?}"),
        },
        other => panic!("no answer: {other:?}"),
    }
}

#[tokio::test]
async fn asks_one_call_after_the_other_and_returns_a_choice() {
    let mut driver = Driver::default();
    let ended = driver.drive(begin(request("chat", 3))).await;
    assert_eq!(ended, Ended::Finals(vec![Final::Choice(2)]));
    assert_eq!(driver.calls[0].messages, [Turn::Original(0)]);
    assert_eq!(driver.calls[2].messages, [Turn::Said { role: "user".to_owned(), text: "2".to_owned() }]);
    assert_eq!((driver.calls[0].manner, driver.calls[0].step.as_str()), (Manner::Answer, "chat"));
}

#[tokio::test]
async fn a_batch_comes_back_in_its_order_with_its_failures() {
    let mut driver = Driver { failing: Some(1), ..Driver::default() };
    let ended = driver.drive(begin(request("many", 3))).await;
    assert_eq!(ended, Ended::Finals(vec![Final::Text("re 0,failure 1,re 2".to_owned())]));
    assert_eq!(driver.heard, ["many 3"]);
}

#[tokio::test]
async fn a_reply_is_read_by_pieces_and_closed() {
    let mut driver = Driver::default();
    assert_eq!(driver.drive(begin(request("pieces", 5))).await, Ended::Finals(vec![Final::Delivered]));
    let all = ["open", "next 9", "emit piece 1", "next 9", "emit piece 2", "next 9", "close 9"];
    assert_eq!(driver.heard, all);
    let mut driver = Driver::default();
    assert_eq!(driver.drive(begin(request("pieces", 1))).await, Ended::Finals(vec![Final::Delivered]));
    assert_eq!(driver.heard, ["open", "next 9", "emit piece 1", "close 9"]);
    let mut driver = Driver::default();
    assert_eq!(driver.drive(begin(request("whole", 1))).await, Ended::Finals(vec![Final::Choice(8)]));
    assert_eq!(driver.heard, ["open", "whole 9", "close 9"]);
}

#[tokio::test]
async fn delivers_as_often_as_it_is_allowed() {
    let mut driver = Driver { failing: Some(1), ..Driver::default() };
    assert_eq!(driver.drive(begin(request("deliver", 2))).await, Ended::Problem(Problem::Failed(1)));
    assert_eq!(driver.heard, ["deliver", "deliver"]);
}

#[tokio::test]
async fn what_the_contract_does_not_allow_is_a_failure_and_no_trap() {
    let mut driver = Driver::default();
    let Ended::Finals(finals) = driver.drive(begin(request("illegal", 1))).await else { panic!("no answer") };
    let [Final::Text(text)] = finals.as_slice() else { panic!("no text") };
    let expected = [
        "FailureKind::Illegal: `n` must be 1 to 128, and is 0",
        "FailureKind::Illegal: `n` must be 1 to 128, and is 129",
        "FailureKind::Illegal: `temperature` is no finite number",
        "FailureKind::Illegal: `n` must be 1 here, and is 2",
        "FailureKind::Illegal: `n` must be 1 here, and is 2",
        "allowed",
        "allowed",
        "FailureKind::Illegal: `n` must be 1 to 128, and is 0",
        "allowed",
        "FailureKind::Illegal: `chat-many` takes at most 128 calls, and got 129 of 129",
        "0",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(driver.heard, ["chat", "many 2"], "what is illegal is not asked");
    assert!(
        driver.calls[0].step.len() <= 64 && driver.calls[0].step.starts_with("long\\nlong"),
        "{:?}",
        driver.calls[0]
    );
}

#[tokio::test]
async fn knows_the_request_and_asks_the_desk() {
    let told = text(Request { streaming: true, ..request("tell", 1) }).await;
    let expected = "1 user 2+2? Some(0) m 1 true 42 | 3 5 7 | {parameters} {message 0} {choice 7}";
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_calls() {
    async fn calls(entropy: u64) -> Vec<Call> {
        let mut driver = Driver::default();
        driver.drive(begin(Request { entropy, ..request("dice", 3) })).await;
        driver.calls
    }
    let first = calls(1).await;
    assert_eq!(first.len(), 3);
    assert_eq!(first, calls(1).await);
    assert_ne!(first, calls(2).await);
}

#[tokio::test(start_paused = true)]
async fn its_clock_is_that_of_the_request_and_moves_with_the_hosts() {
    let times = text(request("sleep", 60_000)).await;
    // Timers are exact to a millisecond.
    assert!(["1000 60000", "1000 60001"].contains(&times.as_str()), "{times}");
}

#[tokio::test]
async fn reaches_no_files_and_no_environment() {
    assert_eq!(text(request("reach", 1)).await, "true true 0 0");
}

#[tokio::test]
async fn hands_on_what_it_returns_and_refuses_what_is_none() {
    assert_eq!(ended(request("unknown", 1)).await, Ended::Finals(vec![Final::Excerpt(4711, "part".to_owned())]));
    let unsuitable = Problem::Unsuitable("not for me".to_owned());
    assert_eq!(ended(request("unsuitable", 1)).await, Ended::Problem(unsuitable));
    assert_eq!(ended(request("broken", 1)).await, Ended::Problem(Problem::Broken("out of order".to_owned())));
    let illegal = |message: &str| Ended::Fault(Fault { kind: FaultKind::Illegal, message: message.to_owned() });
    assert_eq!(ended(request("nothing", 1)).await, illegal("returned no answer"));
    assert_eq!(ended(request("answers", 2)).await, illegal("returned 2 answers, and 1 were wanted at most"));
    let two = Ended::Finals(vec![Final::Text("0".to_owned()), Final::Text("1".to_owned())]);
    assert_eq!(ended(Request { n: 3, ..request("answers", 2) }).await, two);
}

#[tokio::test]
async fn a_call_that_nobody_answers_fails() {
    let Session { mut wants, run } = begin(request("fail", 1));
    let deaf = async {
        drop(wants.recv().await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = run => assert_eq!(ended, Ended::Problem(Problem::Failed(Failure::UNKNOWN))),
        () = deaf => {}
    }
    let Session { wants, run } = begin(request("fail", 1));
    drop(wants);
    assert_eq!(run.await, Ended::Problem(Problem::Failed(Failure::UNKNOWN)));
}
