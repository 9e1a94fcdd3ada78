//! What an approach costs: a standard question, played to its component with a model that says as much each time.
//!
//! Nothing is asked of a provider. Tokens are four bytes each; the prompt of a question that wants several choices counts
//! once, as providers bill it.

use std::fmt::Write as _;

use pointsman_fixture::approach as data;
use pointsman_fixture::approach::Subject as _;
use serde::Serialize;

use super::asked::Asked;
use super::rehearse::Rehearsal;

/// The lengths of the standard question, in tokens.
pub const QUESTIONS: [u32; 2] = [100, 1000];

/// The length of an answer, in tokens.
pub const ANSWER: u32 = 300;

/// Bytes of a token.
const BYTES: u32 = 4;

/// The cost of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Questions to the model.
    pub calls: u32,
    /// Answers that it was asked for.
    pub choices: u32,
    /// Questions that wait for each other.
    pub depth: u32,
    /// Tokens of all questions.
    pub prompt: u32,
    /// Tokens of all answers.
    pub completion: u32,
}

impl Cost {
    /// The cost of the same question without an approach.
    pub fn plain(question: u32) -> Self {
        Self { calls: 1, choices: 1, depth: 1, prompt: question, completion: ANSWER }
    }

    /// The money for it, by prices of a million tokens of prompts and of answers.
    pub fn money(&self, (input, output): (f64, f64)) -> f64 {
        (f64::from(self.prompt) * input + f64::from(self.completion) * output) / 1e6
    }
}

/// Plays a question of so many tokens.
///
/// # Errors
///
/// Says why the approach does not answer it.
pub fn cost(rehearsal: &mut Rehearsal, question: u32) -> Result<Cost, String> {
    let mut model = Talker { said: 0, prompt: 0, completion: 0 };
    let mut player = data::Player::new(&mut model);
    let outcome = rehearsal.run(&data::Request::new(&words("question", question)), &mut player);
    let (calls, choices, depth) = (player.calls(), player.choices(), player.depth());
    match outcome {
        Ok(_) => Ok(Cost { calls, choices, depth, prompt: model.prompt, completion: model.completion }),
        Err(problem) => Err(format!("does not answer the standard question: {problem:?}")),
    }
}

/// A text of so many tokens.
fn words(word: &str, tokens: u32) -> String {
    let mut text = format!("{word} ").repeat((tokens * BYTES) as usize / (word.len() + 1) + 1);
    text.truncate((tokens * BYTES) as usize);
    text
}

/// Says something else each time, always to the same conclusion, and rates nothing so well that it settles anything.
struct Talker {
    said: u32,
    prompt: u32,
    completion: u32,
}

impl Talker {
    fn say(&mut self, wanted: &Asked<'_>) -> String {
        self.said += 1;
        let said = self.said;
        match wanted {
            Asked::Rating { most, label: None } => (most / 2.0).to_string(),
            Asked::Rating { most, label: Some(label) } => ending(&format!("{label}{}", most / 2.0)),
            Asked::Pick { label, .. } => ending(&format!("{label}1")),
            _ => ending(&format!("```\nprint({said})\n```\n\nThe answer is 42.")),
        }
    }
}

/// An answer of the standard length that ends so.
fn ending(end: &str) -> String {
    let mut text = words("answer", ANSWER);
    text.truncate(text.len().saturating_sub(end.len() + 2));
    text + "\n\n" + end
}

impl data::Model for Talker {
    fn answer(&mut self, question: &data::Question) -> data::Answered {
        let wanted = Asked::of(&question.text);
        let prompt = u32::try_from(question.text.len()).unwrap_or(u32::MAX) / BYTES;
        self.prompt += prompt;
        let mut replies = Vec::new();
        for number in 0..question.n {
            let text = self.say(&wanted);
            let completion = u32::try_from(text.len()).unwrap_or(u32::MAX).div_ceil(BYTES);
            self.completion += completion;
            let usage = (if number == 0 { prompt } else { 0 }, completion);
            replies.push(data::Reply { usage, ..data::Reply::new(text) });
        }
        Ok(replies)
    }
}

/// A line of the report: an approach, and its cost for each of [`QUESTIONS`].
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The approach.
    pub approach: String,
    /// In the order of [`QUESTIONS`].
    pub costs: [Cost; QUESTIONS.len()],
}

impl Row {
    /// Plays both questions.
    ///
    /// # Errors
    ///
    /// As [`cost`].
    pub fn of(approach: &str, rehearsal: &mut Rehearsal) -> Result<Self, String> {
        let [short, long] = QUESTIONS;
        let costs = [cost(rehearsal, short)?, cost(rehearsal, long)?];
        Ok(Self { approach: approach.to_owned(), costs })
    }

    /// Its cells: choices, depth, and for each question the multiples of prompts and answers, and of the money.
    fn cells(&self, price: Option<(f64, f64)>) -> Vec<String> {
        let [short, long] = &self.costs;
        let either = |one: u32, other: u32| if one == other { one.to_string() } else { format!("{one}, {other}") };
        let mut cells = vec![either(short.choices, long.choices), either(short.depth, long.depth)];
        for (cost, question) in self.costs.iter().zip(QUESTIONS) {
            let plain = Cost::plain(question);
            cells.push(times(cost.prompt.into(), plain.prompt.into()));
            cells.push(times(cost.completion.into(), plain.completion.into()));
            if let Some(price) = price {
                let (money, plain) = (cost.money(price), plain.money(price));
                cells.push(format!("{money:.5} ({})", times(money, plain)));
            }
        }
        cells
    }
}

fn times(value: f64, plain: f64) -> String {
    let times = value / plain;
    if times < 9.95 { format!("{times:.1} x") } else { format!("{times:.0} x") }
}

fn heads(price: Option<(f64, f64)>) -> Vec<String> {
    let mut heads = vec!["choices".to_owned(), "depth".to_owned()];
    for tokens in QUESTIONS {
        let tokens =
            if tokens >= 1000 { format!("{},{:03}", tokens / 1000, tokens % 1000) } else { tokens.to_string() };
        heads.push(format!("prompts of {tokens}"));
        heads.push("answers".to_owned());
        if price.is_some() {
            heads.push("money".to_owned());
        }
    }
    heads
}

/// The report as a table of Markdown.
pub fn markdown(rows: &[Row], price: Option<(f64, f64)>) -> String {
    let mut text = format!("| name | {} |\n", heads(price).join(" | "));
    let _ = writeln!(text, "| --- |{}", " ---: |".repeat(heads(price).len()));
    for row in rows {
        let _ = writeln!(text, "| `{}` | {} |", row.approach, row.cells(price).join(" | "));
    }
    text
}

/// The report for a terminal.
pub fn table(rows: &[Row], price: Option<(f64, f64)>) -> String {
    let mut lines = vec![[vec!["approach".to_owned()], heads(price)].concat()];
    lines.extend(rows.iter().map(|row| [vec![row.approach.clone()], row.cells(price)].concat()));
    super::columns(&lines)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::approach::{Registry, builtins};

    fn rows() -> Vec<Row> {
        let registry = Registry::new([], None);
        let row = |name: &&str| {
            let approach = registry.load(name).unwrap_or_else(|error| panic!("{name} {error}"));
            Row::of(name, &mut Rehearsal::new(Arc::clone(&approach)).expect("a runtime")).expect("an answer")
        };
        builtins().iter().map(row).collect()
    }

    #[test]
    fn the_table_in_the_readme_is_what_is_counted() {
        const MARK: &str = "<!-- pointsman approach cost --markdown -->\n";
        let rows = rows();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../approaches/README.md");
        let text = std::fs::read_to_string(&file).expect("the README");
        let (before, after) = text.split_once(MARK).expect("the mark of the table");
        let (found, rest) = after.split_once("\n\n").expect("a table and something after it");
        let counted = markdown(&rows, None);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, format!("{before}{MARK}{counted}\n{rest}")).expect("written");
            return;
        }
        assert_eq!(found.trim_end(), counted.trim_end(), "BLESS=1 writes it anew");
        let of = |name: &str| rows.iter().find(|row| row.approach == name).expect("it is there").costs[0];
        assert_eq!((of("bon").choices, of("bon").depth), (6, 2));
        assert_eq!((of("moa").choices, of("moa").depth), (5, 3));
        assert_eq!((of("majority_voting").prompt, of("majority_voting").completion), (100, 2400));
    }

    #[test]
    fn money_is_by_the_price_of_a_million() {
        let cost = Cost { prompt: 1000, completion: 500, ..Cost::plain(100) };
        assert!((cost.money((2.0, 8.0)) - 0.006).abs() < 1e-12);
    }
}
