//! The report of an evaluation: every answer, and what follows from them.

use serde::{Deserialize, Serialize};

use super::figures::{Difference, percentile, wilson};
use super::profile::Profile;
use crate::workbench::columns;

/// What a report about a played model says of itself.
pub const ARITHMETIC: &str = "The model is played: it knows the answers, and is right as often as its profile says. This is arithmetic, not evidence.";

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The file of the questions.
    pub data: String,
    /// How answers were graded.
    pub grade: String,
    /// The model that was asked for.
    pub model: String,
    /// The played model, if it is none of a provider's.
    pub played: Option<Profile>,
    /// Questions.
    pub questions: usize,
    /// True when the money leaves out providers without a price.
    pub partly_priced: bool,
    /// The approaches, in the order of the command line.
    pub approaches: Vec<Tested>,
}

/// One approach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// As the command line names it.
    pub approach: String,
    /// Questions that were answered rightly; one that failed was not.
    pub right: usize,
    /// Their share.
    pub accuracy: f64,
    /// Wilson's interval of it, at 95 %.
    pub interval: (f64, f64),
    /// The difference to the first approach.
    pub difference: Option<Difference>,
    /// Questions to the model.
    pub calls: u64,
    /// Answers that it was asked for.
    pub choices: u64,
    /// Tokens of its questions.
    pub prompt_tokens: u64,
    /// Tokens of its answers.
    pub completion_tokens: u64,
    /// What they cost, in the unit of the configured prices; `None` without any.
    pub cost: Option<f64>,
    /// Seconds until the answer was whole: the median.
    pub p50_seconds: f64,
    /// The 95th percentile.
    pub p95_seconds: f64,
    /// Questions that got no answer.
    pub failures: usize,
    /// One by one, in the order of the questions.
    pub answers: Vec<Answered>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The question.
    pub id: String,
    /// True when it is right.
    pub right: bool,
    /// The reason why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its end.
    pub answer: String,
    /// Questions to the model.
    pub calls: u64,
    /// Answers that it was asked for.
    pub choices: u64,
    /// Tokens of its questions.
    pub prompt_tokens: u64,
    /// Tokens of its answers.
    pub completion_tokens: u64,
    /// Seconds until it was whole.
    pub seconds: f64,
}

impl Tested {
    /// Sums up the answers of an approach.
    pub fn of(approach: &str, answers: Vec<Answered>, cost: Option<f64>, first: Option<&[Answered]>) -> Self {
        let right = answers.iter().filter(|answer| answer.right).count();
        let sum = |of: fn(&Answered) -> u64| answers.iter().map(of).sum();
        let answered = answers.iter().filter(|answer| answer.failure.is_none());
        let mut seconds: Vec<f64> = answered.map(|answer| answer.seconds).collect();
        let pairs = |first: &[Answered]| {
            let known: std::collections::HashMap<&str, bool> =
                first.iter().map(|answer| (answer.id.as_str(), answer.right)).collect();
            let pair = |answer: &Answered| Some((*known.get(answer.id.as_str())?, answer.right));
            Difference::of(answers.iter().filter_map(pair))
        };
        Self {
            approach: approach.to_owned(),
            right,
            accuracy: right as f64 / answers.len().max(1) as f64,
            interval: wilson(right, answers.len()),
            difference: first.map(pairs),
            calls: sum(|answer| answer.calls),
            choices: sum(|answer| answer.choices),
            prompt_tokens: sum(|answer| answer.prompt_tokens),
            completion_tokens: sum(|answer| answer.completion_tokens),
            cost,
            p50_seconds: percentile(&mut seconds, 0.5),
            p95_seconds: percentile(&mut seconds, 0.95),
            failures: answers.iter().filter(|answer| answer.failure.is_some()).count(),
            answers,
        }
    }

    /// The most frequent reason why a question got no answer.
    pub fn reason(&self) -> Option<(&str, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for reason in self.answers.iter().filter_map(|answer| answer.failure.as_deref()) {
            *counts.entry(reason).or_insert(0) += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count)
    }
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A probability, as papers write it.
pub fn probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// Both ends of an interval, in percent.
pub fn interval((low, high): (f64, f64)) -> String {
    format!("{:.1} to {:.1}", low * 100.0, high * 100.0)
}

/// Seconds, with the digits that matter.
pub fn seconds(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.2}") } else { format!("{seconds:.0}") }
}

/// Money, with the digits that matter.
pub fn money(cost: Option<f64>) -> String {
    cost.map_or_else(|| "-".to_owned(), |cost| if cost < 1.0 { format!("{cost:.4}") } else { format!("{cost:.2}") })
}

/// The report for a terminal.
pub fn table(report: &Report) -> String {
    let head = [
        "approach",
        "right",
        "95 %",
        "difference",
        "95 %",
        "p",
        "calls",
        "choices",
        "tokens in",
        "out",
        "money",
        "p50 s",
        "p95 s",
        "failed",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for tested in &report.approaches {
        let (difference, around, p) = match &tested.difference {
            None => Default::default(),
            Some(found) => {
                (format!("{:+.1}", found.difference * 100.0), interval(found.interval), probability(found.p))
            }
        };
        lines.push(vec![
            tested.approach.clone(),
            percent(tested.accuracy),
            interval(tested.interval),
            difference,
            around,
            p,
            tested.calls.to_string(),
            tested.choices.to_string(),
            tested.prompt_tokens.to_string(),
            tested.completion_tokens.to_string(),
            money(tested.cost),
            seconds(tested.p50_seconds),
            seconds(tested.p95_seconds),
            tested.failures.to_string(),
        ]);
    }
    let mut text = format!(
        "{}: {} questions, graded by {}, model {}\n\n{}",
        report.data,
        report.questions,
        report.grade,
        report.model,
        columns(&lines)
    );
    if let [first, _, ..] = &report.approaches[..] {
        text += &format!(
            "\n\ndifference: percentage points against {}, over the same questions; p: McNemar's exact test",
            first.approach
        );
    }
    for tested in &report.approaches {
        if let Some((reason, count)) = tested.reason() {
            text += &format!("\n{}: {} failed, {count} of them so: {reason}", tested.approach, tested.failures);
        }
    }
    for note in notes(report) {
        text += &format!("\n{note}");
    }
    text
}

/// What a reader must know of the figures.
pub fn notes(report: &Report) -> Vec<&'static str> {
    let played = report.played.is_some().then_some(ARITHMETIC);
    let priced = report.partly_priced.then_some("The money leaves out the providers that have no `price`.");
    [played, priced].into_iter().flatten().collect()
}
