//! The questions of an evaluation, and what counts as right.

use std::collections::HashSet;

use pointsman_approach::text::{fenced, final_answer, visible};
use serde::Deserialize;
use serde_json::{Value, json};

use super::pattern::Pattern;

/// How answers are graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grader {
    /// The final answer is the same, but for case, blanks and the form of numbers.
    Exact,
    /// The final answer has the same number.
    Number,
    /// The final answer is the same letter.
    Choice,
    /// The answer contains the text, whatever its case.
    Contains,
    /// The pattern is in the final answer, or in the whole one.
    Regex,
    /// The answer, or the code in it, is the same JSON.
    Json,
}

impl Grader {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("exact", Self::Exact),
        ("number", Self::Number),
        ("choice", Self::Choice),
        ("contains", Self::Contains),
        ("regex", Self::Regex),
        ("json", Self::Json),
    ];

    /// The name, as the command line has it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, grader)| *grader == self).map_or("", |(name, _)| name)
    }
}

/// One question.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name in the report.
    pub id: String,
    /// The conversation.
    pub messages: Value,
    /// The answer, as a model would write it.
    pub shown: String,
    expected: Expected,
}

#[derive(Clone, Debug)]
enum Expected {
    Exact(String),
    Number(f64),
    Choice(char),
    Contains(String),
    Regex(Pattern),
    Json(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<Value>,
    question: Option<String>,
    messages: Option<Vec<Value>>,
    answer: Value,
    /// For this question alone.
    grade: Option<Grader>,
    /// An answer that is right, where `answer` is a pattern.
    example: Option<String>,
}

impl Item {
    /// Reads the lines of a file, at most so many.
    ///
    /// # Errors
    ///
    /// Names the first line that is wrong, and says why.
    pub fn read(text: &str, grader: Grader, limit: usize) -> Result<Vec<Self>, String> {
        let mut items: Vec<Self> = Vec::new();
        let mut ids = HashSet::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).take(limit) {
            let item = Self::of(line, number, grader).map_err(|problem| format!("line {number}: {problem}"))?;
            if !ids.insert(item.id.clone()) {
                return Err(format!("line {number}: the id `{}` is there twice", item.id));
            }
            items.push(item);
        }
        if items.is_empty() { Err("there is no question in it".to_owned()) } else { Ok(items) }
    }

    fn of(line: &str, number: usize, grader: Grader) -> Result<Self, String> {
        let Line { id, question, messages, answer, grade, example } =
            serde_json::from_str(line).map_err(|error| format!("{error}"))?;
        let messages = match (question, messages) {
            (Some(question), None) => json!([{"role": "user", "content": question}]),
            (None, Some(messages)) if !messages.is_empty() => Value::Array(messages),
            _ => return Err("it needs either `question` or `messages`, a list with at least one".to_owned()),
        };
        let id = match id {
            None => number.to_string(),
            Some(Value::String(id)) => id,
            Some(id) => id.to_string(),
        };
        let text = match &answer {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let not = |what: &str| format!("`answer` is {what}: {text}");
        let expected = match grade.unwrap_or(grader) {
            Grader::Exact => Expected::Exact(normal(&text)),
            Grader::Number => Expected::Number(number_of(&text).ok_or_else(|| not("no number"))?),
            Grader::Choice => Expected::Choice(letter(&text).ok_or_else(|| not("no letter from A to J"))?),
            Grader::Contains => Expected::Contains(text.to_lowercase()),
            Grader::Regex => Expected::Regex(Pattern::parse(&text).map_err(|why| not(&format!("no pattern, {why}")))?),
            Grader::Json => match &answer {
                Value::String(text) => {
                    Expected::Json(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())))
                }
                other => Expected::Json(other.clone()),
            },
        };
        let shown = match &expected {
            Expected::Json(value) => value.to_string(),
            _ => example.unwrap_or(text),
        };
        Ok(Self { id, messages, shown, expected })
    }

    /// True when the text answers it rightly.
    pub fn is_right(&self, text: &str) -> bool {
        let seen = visible(text);
        let last = || final_answer(text);
        match &self.expected {
            Expected::Exact(expected) => normal(text) == *expected,
            Expected::Number(expected) => last()
                .and_then(|last| number_of(&last))
                .or_else(|| numbers(seen).pop())
                .is_some_and(|found| (found - expected).abs() <= 1e-6 * expected.abs().max(1.0)),
            Expected::Choice(expected) => last().and_then(|last| letter(&last)) == Some(*expected),
            Expected::Contains(expected) => seen.to_lowercase().contains(expected.as_str()),
            Expected::Regex(pattern) => last().is_some_and(|last| pattern.is_in(&last)) || pattern.is_in(seen),
            Expected::Json(expected) => {
                let found = [Some(seen), fenced(seen)].into_iter().flatten();
                found.filter_map(|text| serde_json::from_str(text).ok()).any(|found: Value| same(&found, expected))
            }
        }
    }

    /// An answer that is wrong: one of three.
    pub fn mistake(&self, number: u32) -> String {
        let number = number % 3;
        match &self.expected {
            Expected::Json(_) => json!({"mistake": number}).to_string(),
            Expected::Choice(right) => other_letter(*right, number).to_string(),
            Expected::Number(right) => (right + f64::from(number) + 1.0).to_string(),
            Expected::Exact(right) => match (right.parse::<f64>(), right.as_str()) {
                (Ok(right), _) => (right + f64::from(number) + 1.0).to_string(),
                (Err(_), "yes") => "no".to_owned(),
                (Err(_), "no") => "yes".to_owned(),
                (Err(_), letter @ ("A" | "B" | "C" | "D" | "E")) => {
                    other_letter(letter.chars().next().unwrap_or('A'), number).to_string()
                }
                (Err(_), _) => format!("mistake {number}"),
            },
            Expected::Contains(_) | Expected::Regex(_) => format!("mistake {number}"),
        }
    }

    /// True when what is right is JSON, which a model puts into a block of code.
    pub fn is_json(&self) -> bool {
        matches!(self.expected, Expected::Json(_))
    }
}

/// A letter from A to E that is not this one.
fn other_letter(right: char, number: u32) -> char {
    "ABCDE".chars().filter(|letter| *letter != right).nth(number as usize).unwrap_or('A')
}

/// The final answer in the form in which it is compared; of a text without one, all of it.
fn normal(text: &str) -> String {
    final_answer(text)
        .unwrap_or_else(|| visible(text).split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" "))
}

/// The letter that an answer is, or begins with.
fn letter(answer: &str) -> Option<char> {
    let mut chars = answer.trim_start_matches(['(', '[', '*', ' ']).chars();
    let letter = chars.next()?.to_ascii_uppercase();
    let ends = chars.next().is_none_or(|next| !next.is_alphanumeric());
    (('A'..='J').contains(&letter) && ends).then_some(letter)
}

/// The number of an answer: behind the last `=` if there is one, else the first.
fn number_of(answer: &str) -> Option<f64> {
    let after = answer.rsplit_once('=').map_or(answer, |(_, after)| after);
    numbers(after).into_iter().next()
}

/// The numbers in a text, fractions among them; commas may stand between thousands.
fn numbers(text: &str) -> Vec<f64> {
    let is_part = |char: char| char.is_ascii_digit() || matches!(char, '.' | ',' | '/' | '-' | '\u{2212}');
    let pieces = text.split(|char: char| !is_part(char));
    let read = |piece: &str| -> Option<f64> {
        let piece = piece.trim_end_matches(['.', ',', '/', '-', '\u{2212}']).trim_start_matches(['.', ',', '/']);
        let (sign, piece) = piece.strip_prefix(['-', '\u{2212}']).map_or((1.0, piece), |rest| (-1.0, rest));
        let plain = |text: &str| text.replace(',', "").parse::<f64>().ok().filter(|value| value.is_finite());
        let value = match piece.split_once('/') {
            Some((above, below)) => plain(above)? / plain(below).filter(|below| *below != 0.0)?,
            None => plain(piece)?,
        };
        Some(sign * value)
    };
    pieces.filter_map(read).collect()
}

/// True when two values are the same, numbers by their value.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(grader: Grader, answer: &str) -> Item {
        Item::of(&format!(r#"{{"question":"?","answer":{answer}}}"#), 1, grader).expect("sound")
    }

    #[test]
    fn graders_read_the_final_answer() {
        let cases = [
            (Grader::Exact, r#""Paris""#, "It may be Rome. The answer is **Paris**.", "The answer is Rome."),
            (Grader::Exact, "12", "So the answer is 12.0", "12 apples or 13"),
            (Grader::Number, "1234.5", "The answer is $1,234.50", "The answer is 1234"),
            (Grader::Number, r#""-3""#, "x = 5\nThe final answer is x = -3.", "3"),
            (Grader::Number, "7", "There are 3 and 4, which gives 7 apples", "7 and then 8"),
            (Grader::Number, r#""1/2""#, "\\boxed{\\frac{1}{2}}", "2"),
            (Grader::Choice, r#""B""#, "Let me see.\n(b)", "C"),
            (Grader::Choice, r#""B""#, "The answer is B) Berlin", "The answer is A) Berlin"),
            (Grader::Contains, r#""Ohm""#, "It is ohm's law.", "It is Ampère's law."),
            (Grader::Regex, r#""^(4|four)$""#, "The answer is four.", "The answer is forty-four."),
            (Grader::Json, r#"{"a":1,"b":[2]}"#, "Here:\n```json\n{\"b\":[2.0],\"a\":1}\n```", "{\"a\":1}"),
        ];
        for (grader, answer, right, wrong) in cases {
            let item = item(grader, answer);
            assert!(item.is_right(right), "{grader:?} {answer} {right}");
            assert!(!item.is_right(wrong), "{grader:?} {answer} {wrong}");
            assert!(
                !item.is_right("") && !item.is_right("<think>the answer is Paris, B, 12, 7, ohm, four"),
                "{answer}"
            );
            assert!(
                (0..5).all(|number| !item.is_right(&format!("The answer is {}.", item.mistake(number)))),
                "{answer}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_with_its_number() {
        let cases = [
            ("{", "line 1: EOF while parsing"),
            (r#"{"question":"?"}"#, "line 1: missing field `answer`"),
            (r#"{"answer":"1"}"#, "line 1: it needs either `question` or `messages`"),
            (r#"{"question":"?","answer":"x"}"#, "line 1: `answer` is no number: x"),
            ("\n", "there is no question"),
            (
                "{\"id\":1,\"question\":\"?\",\"answer\":1}\n{\"id\":\"1\",\"question\":\"?\",\"answer\":1}",
                "line 2: the id `1` is there twice",
            ),
        ];
        for (text, wrong) in cases {
            let error = Item::read(text, Grader::Number, 10).expect_err(text);
            assert!(error.starts_with(wrong), "{error}");
        }
        let both = "{\"question\":\"?\",\"answer\":1}\n\n{\"messages\":[{\"role\":\"user\",\"content\":\"?\"}],\"answer\":\"b\",\"grade\":\"choice\"}";
        assert_eq!(Item::read(both, Grader::Number, 10).expect("sound").len(), 2);
        assert_eq!(Item::read(both, Grader::Number, 1).expect("sound").len(), 1);
    }

    #[test]
    fn our_own_questions_are_sound() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../approaches/questions.jsonl");
        let items = Item::read(&std::fs::read_to_string(file).expect("there"), Grader::Exact, 1000).expect("sound");
        assert_eq!(items.len(), 20);
        for item in items {
            assert!(item.is_right(&format!("So the answer is {}.", item.shown)), "{}", item.id);
        }
    }
}
