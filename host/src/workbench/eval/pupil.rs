//! Plays a model that knows the answers, and errs as often as its profile says.
//!
//! All that it says follows from the seed, the question, the prompt, and how often that was put in the same run: so an
//! approach that begins by asking as a plain request does gets the plain answer first, and differences are paired.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use pointsman_approach::text::final_answer;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::data::Item;
use super::profile::Profile;
use crate::http1::fields::Fields;
use crate::provider::client::{Answer, AnswerBody, AttemptError, Call, Player};
use crate::workbench::asked::Asked;
use crate::workbench::simulate::dice::Dice;

/// The header in which the driver says which approach answers which question, both by their place.
pub const ASKED: &str = "x-eval";

/// Bytes of a token of a prompt.
const BYTES: usize = 4;

/// The most choices of one request.
const CHOICES: u64 = 128;

/// The played model.
#[derive(Debug)]
pub struct Pupil {
    profile: Profile,
    items: Arc<Vec<Item>>,
    /// How often each prompt was put in each run.
    put: Mutex<HashMap<(String, u64), u64>>,
}

/// One choice.
struct Said {
    text: String,
    finish: &'static str,
    tokens: u32,
}

impl Pupil {
    /// A model that knows these questions.
    pub fn new(profile: Profile, items: Arc<Vec<Item>>) -> Self {
        Self { profile, items, put: Mutex::default() }
    }

    /// The body of its answer; `None` for a request that is none of an evaluation.
    fn says(&self, headers: &Fields, body: &[u8]) -> Option<Value> {
        let run = headers.text(ASKED)?;
        let item = self.items.get(run.split(' ').nth(1)?.parse::<usize>().ok()?)?;
        let body: Value = serde_json::from_slice(body).ok()?;
        let messages: Vec<(&str, String)> = body["messages"].as_array()?.iter().map(read).collect();
        let n = body["n"].as_u64().unwrap_or(1).clamp(1, CHOICES);
        let whole = messages.iter().fold(fnv(item.id.as_bytes(), self.profile.seed), |hash, (role, text)| {
            fnv(text.as_bytes(), fnv(role.as_bytes(), hash))
        });
        let prompt = fnv(body["model"].as_str().unwrap_or_default().as_bytes(), whole);
        let first = {
            let mut put = self.put.lock();
            let count = put.entry((run.to_owned(), prompt)).or_default();
            let first = *count;
            *count += n;
            first
        };
        let before = messages.iter().rev().find(|(role, _)| *role == "assistant").map(|(_, text)| text.as_str());
        let last = messages.last().map_or("", |(_, text)| text.as_str());
        let asked = Asked::of(last);
        let (mut choices, mut completion) = (Vec::new(), 0);
        for number in 0..n {
            let dice = Dice::new(prompt, first + number);
            let Said { text, finish, tokens } = self.choice(item, &asked, before.unwrap_or_default(), &dice);
            completion += u64::from(tokens);
            let message = json!({"role": "assistant", "content": text});
            choices.push(json!({"index": number, "message": message, "finish_reason": finish}));
        }
        let prompt = messages.iter().map(|(_, text)| text.len()).sum::<usize>().div_ceil(BYTES);
        let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion,
            "total_tokens": prompt as u64 + completion});
        Some(json!({"id": "chatcmpl-played", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": choices, "usage": usage}))
    }

    fn choice(&self, item: &Item, asked: &Asked<'_>, before: &str, dice: &Dice) -> Said {
        let Profile { accuracy, judge, tokens, .. } = self.profile;
        let long = |text: String| Said { text, finish: "stop", tokens };
        let judges_well = || dice.happens(judge);
        let right_of = |answers: &[(u32, &str)]| {
            let mut right: Vec<u32> = Vec::new();
            let mut wrong = Vec::new();
            for (number, text) in answers {
                if item.is_right(text) { &mut right } else { &mut wrong }.push(*number);
            }
            (right, wrong)
        };
        match asked {
            Asked::Answer => self.answer(item, dice.happens(accuracy), dice),
            Asked::Mistake => self.answer(item, false, dice),
            Asked::Rating { most, label } => {
                let seems_right = item.is_right(before) == judges_well();
                let rating = if seems_right { 0.6 + 0.4 * dice.uniform() } else { 0.4 * dice.uniform() };
                let digits = usize::from(*most <= 1.0) + 1;
                let rating = format!("{:.digits$}", rating * most);
                match label {
                    None => Said { text: rating, finish: "stop", tokens: 1 },
                    Some(label) => long(format!("I have checked it step by step.\n{label}{rating}")),
                }
            }
            Asked::Pick { label, most_agree, answers } => {
                let (good, bad) = if *most_agree { by_agreement(answers) } else { right_of(answers) };
                let (good, bad) = if judges_well() { (good, bad) } else { (bad, good) };
                let from = if good.is_empty() { bad } else { good };
                let picked = from.get(dice.below(from.len().max(1) as u32) as usize).copied().unwrap_or(1);
                long(format!("I have compared them.\n{label}{picked}"))
            }
            Asked::Synthesis(answers) => {
                let (right, wrong) = right_of(answers);
                let is_right = if judges_well() { !right.is_empty() } else { wrong.is_empty() };
                self.answer(item, is_right, dice)
            }
            Asked::Notes(notes) => self.answer(item, item.is_right(notes), dice),
            Asked::Revision(earlier) => {
                let was_right = item.is_right(earlier);
                let keeps = was_right == judges_well();
                self.answer(item, if keeps { was_right } else { dice.happens(accuracy) }, dice)
            }
            Asked::Reply => Said { text: "Thank you.".to_owned(), finish: "stop", tokens: 3 },
            Asked::Words => long(format!("1. Consider what is given ({}).\n2. Go on from there.", dice.below(1000))),
        }
    }

    /// An answer in words of its own, or as much of it as comes before it is cut off.
    fn answer(&self, item: &Item, is_right: bool, dice: &Dice) -> Said {
        let tokens = self.profile.tokens;
        let way = dice.below(1_000_000);
        let mistake = item.mistake(dice.below(3));
        let mut text = format!("I have gone about it in way {way:06}, step by step.\n");
        if dice.happens(self.profile.truncate) {
            return Said { text, finish: "length", tokens };
        }
        let answer = if is_right { &item.shown } else { &mistake };
        text += &if item.is_json() { format!("```json\n{answer}\n```") } else { format!("The answer is {answer}.") };
        Said { text, finish: "stop", tokens }
    }
}

/// The answers that most agree with, and the others.
fn by_agreement(answers: &[(u32, &str)]) -> (Vec<u32>, Vec<u32>) {
    let finals: Vec<Option<String>> = answers.iter().map(|(_, text)| final_answer(text)).collect();
    let votes = |answer: &Option<String>| finals.iter().filter(|other| *other == answer).count();
    let most = finals.iter().map(votes).max().unwrap_or_default();
    let (agreed, others): (Vec<_>, Vec<_>) = answers.iter().zip(&finals).partition(|(_, answer)| votes(answer) == most);
    let numbers =
        |some: Vec<(&(u32, &str), &Option<String>)>| some.into_iter().map(|((number, _), _)| *number).collect();
    (numbers(agreed), numbers(others))
}

/// The role and the text of a message.
fn read(message: &Value) -> (&str, String) {
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    };
    (message["role"].as_str().unwrap_or_default(), text)
}

/// FNV-1a (Fowler, Noll, Vo 1991) over the bytes and what was hashed before.
fn fnv(bytes: &[u8], before: u64) -> u64 {
    let begin = before ^ 0xCBF2_9CE4_8422_2325;
    bytes.iter().fold(begin, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)).rotate_left(17)
}

impl Player for Pupil {
    fn answer(&self, call: &Call<'_>) -> BoxFuture<'static, Result<Answer, AttemptError>> {
        // Whatever asks otherwise, such as an active check, is content with this.
        let said = self.says(call.headers, &call.body).unwrap_or_else(|| json!({"data": []}));
        let latency = self.profile.latency();
        async move {
            sleep(latency).await;
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = AnswerBody::played(Box::pin(stream::iter([Ok(Bytes::from(said.to_string()))])));
            Ok(Answer { status: StatusCode::OK, headers: headers.into(), ends_with_connection: false, body })
        }
        .boxed()
    }
}
