//! Searches a tree of reasoning steps, and returns a line of reasoning that a second look completes alike.
//!
//! rStar: Qi et al., "Mutual Reasoning Makes Smaller LLMs Stronger Problem-Solvers", 2024
//! (<https://arxiv.org/abs/2408.06195>). With the defaults about 20 choices, of depth about 6: lines of reasoning that
//! do not wait for each other grow side by side.
//!
//! A generator builds lines of reasoning out of five kinds of steps, by Monte Carlo tree search: one more step, all the
//! rest, a question in between with its answer, another look at the last step, the question in other words. A line is
//! worth the share of all that come to its answer. Then a discriminator, which should be another model (`judge`), gets
//! the beginning of each line and completes it; a line is confirmed if that comes to the same answer. The confirmed
//! lines vote, or all if none is.

mod tree;

use pointsman_approach::text::final_answer;
use pointsman_approach::{Answer, Approach, Call, Choice, Choices, Count, Dice, Failure, Llm, Problem, Request, vote};
use serde::Deserialize;
use tree::{Action, Start, Tree};

/// The options of `rstar`, as the operator writes them under `approaches.rstar.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of lines of reasoning that it grows.
    pub rstar_num_rollouts: Count<1, 32>,
    /// The most steps that a line has.
    pub rstar_max_depth: Count<1, 12>,
    /// The weight of trying what it knows little of, against what is known to be good; 0 or more.
    pub rstar_c: f64,
    /// The discriminator; the client's model if none.
    pub judge: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rstar_num_rollouts: Count::new(5), rstar_max_depth: Count::new(3), rstar_c: 1.4, judge: None }
    }
}

const TASK: &str =
    "Reason about this in steps. When you come to the end, end with a line `The final answer is ` and the answer.";

const COMPLETE: &str = "Go on from there to the end. Do not repeat what stands there, and end with a line `The final \
                        answer is ` and the answer.";

const FORM: &str = "Now give this answer in the form that is wanted, and nothing else.";

/// The approach `rstar`.
#[derive(Debug)]
pub struct RStar;

impl Approach for RStar {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("rstar_num_rollouts", "How many lines of reasoning it grows, 1 to 32."),
        ("rstar_max_depth", "How many steps a line has at most, 1 to 12."),
        ("rstar_c", "How much it tries what it knows little of, 0 or more."),
    ];

    fn check(options: &Options) -> Result<(), String> {
        let c = options.rstar_c;
        if c.is_finite() && c >= 0.0 { Ok(()) } else { Err(format!("rstar_c: must be a number of 0 or more, not {c}")) }
    }

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let tree = Tree::new(options.rstar_max_depth.get(), options.rstar_c);
        let mut search =
            Search { request, llm, dice: request.dice(), tree, lines: Vec::new(), spare: None, failure: None };
        search.grow(options.rstar_num_rollouts.get());
        let Search { mut dice, lines, spare, failure, .. } = search;
        if lines.is_empty() {
            // Without a line there was a failure, or nothing was said at all.
            let spare = spare.filter(|_| failure.is_none()).map(Answer::from);
            let missing = failure.map_or_else(|| Problem::Broken("no step was asked for".to_owned()), Problem::from);
            return spare.ok_or(missing);
        }
        llm.progress(format!("completing {} lines of reasoning", lines.len()));
        let confirmed = confirm(request, &options, &lines, &mut dice, llm);
        let kept: Vec<&Line> =
            lines.iter().zip(&confirmed).filter(|(_, confirmed)| **confirmed).map(|(line, _)| line).collect();
        let kept = if kept.is_empty() { lines.iter().collect() } else { kept };
        let won = vote(kept.iter().map(|line| line.answer.as_ref())).map_or(0, |won| won.first);
        let line = kept[won];
        if llm.form().is_json {
            let call = request.ask().user(TASK).assistant(&line.text).user(FORM).step("form");
            if llm.deliver(call).is_ok() {
                return Ok(Answer::delivered());
            }
        }
        Ok(Answer::excerpt(&line.last, &line.text))
    }
}

/// A line of reasoning that is at its end.
struct Line {
    text: String,
    answer: Option<String>,
    /// The model's answer that its last step is.
    last: Choice,
}

struct Search<'r> {
    request: &'r Request,
    llm: &'r Llm<'r>,
    dice: Dice,
    tree: Tree,
    lines: Vec<Line>,
    /// Something that the model said, should there be no line.
    spare: Option<Choice>,
    /// The first failure.
    failure: Option<Failure>,
}

impl Search<'_> {
    /// Grows so many lines. Those that begin at places which are known grow at once, step by step.
    fn grow(&mut self, mut rollouts: u32) {
        while rollouts > 0 {
            let mut growing = Vec::new();
            while rollouts > 0 {
                match self.tree.start(&mut self.dice) {
                    Start::New(node) => growing.push(node),
                    // It comes to an end that is known, which counts once more.
                    Start::Known(node) => self.reward(&[node]),
                    Start::Later => break,
                }
                rollouts -= 1;
            }
            if growing.is_empty() {
                break;
            }
            let mut ends = Vec::new();
            while !growing.is_empty() {
                self.llm.progress(format!("{} lines of reasoning grow", growing.len()));
                growing = self.step(&growing, &mut ends);
            }
            self.reward(&ends);
        }
    }

    /// Asks for the step of each of these nodes; the nodes that come after them. Lines that end are added to `ends`.
    fn step(&mut self, nodes: &[usize], ends: &mut Vec<usize>) -> Vec<usize> {
        let calls: Vec<_> = nodes.iter().map(|node| self.question(*node)).collect();
        let mut next = Vec::new();
        for (node, result) in nodes.iter().zip(self.llm.ask_all(calls)) {
            let Some(choice) = self.said(result) else {
                self.tree.abandon(*node);
                continue;
            };
            self.tree.say(*node, choice.visible());
            if self.tree.is_end(*node) {
                let text = self.tree.text(*node);
                let answer = final_answer(&text);
                self.tree.end(*node, self.lines.len());
                self.lines.push(Line { text, answer, last: choice });
                ends.push(*node);
            } else {
                next.push(self.tree.extend(*node, &mut self.dice));
            }
        }
        next
    }

    fn question(&self, node: usize) -> Call {
        let (before, action) = self.tree.question(node);
        let call = self.request.ask().user(TASK);
        let call = if before.is_empty() { call } else { call.assistant(before) };
        call.user(action.prompt()).aside().temperature(0.8).step(action.step())
    }

    fn said(&mut self, result: Result<Choices, Failure>) -> Option<Choice> {
        match result {
            Ok(choices) => {
                let choice = choices.one().clone();
                if self.spare.is_none() {
                    self.spare = Some(choice.clone());
                }
                choice.says_something().then_some(choice)
            }
            Err(failure) => {
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    /// Each of these ends is worth the share of all lines that come to its answer.
    fn reward(&mut self, ends: &[usize]) {
        for end in ends {
            let Some(line) = self.tree.line(*end) else { continue };
            let answer = self.lines[line].answer.clone();
            let alike = self.lines.iter().filter(|line| answer.is_some() && line.answer == answer).count();
            self.tree.learn(*end, alike as f64 / self.lines.len() as f64);
        }
    }
}

/// For each line, true when the discriminator completes it to the same answer.
fn confirm(request: &Request, options: &Options, lines: &[Line], dice: &mut Dice, llm: &Llm<'_>) -> Vec<bool> {
    let asked: Vec<_> = lines
        .iter()
        .map(|line| line.answer.is_some().then(|| beginning(&line.text, dice.uniform())).flatten())
        .collect();
    let complete = |beginning: &&str| {
        let call = request.ask().user(TASK).assistant(*beginning).user(COMPLETE).aside();
        call.model(options.judge.as_deref()).step("completion")
    };
    let mut completed = llm.ask_all(asked.iter().flatten().map(complete).collect::<Vec<_>>()).into_iter();
    let confirms = |(line, asked): (&Line, &Option<&str>)| {
        let completion = asked.and_then(|_| completed.next()?.ok());
        completion.is_some_and(|completion| final_answer(&completion.one().text) == line.answer)
    };
    lines.iter().zip(&asked).map(confirms).collect()
}

/// A beginning of a text that ends between two sentences, between a fifth and four fifths of it as `point` says; none
/// if there is no such place.
fn beginning(text: &str, point: f64) -> Option<&str> {
    let wanted = text.len() as f64 * (0.2 + 0.6 * point);
    let ends = text.match_indices(['\n', '.', '?', '!']).map(|(at, mark)| at + mark.len());
    let ends = ends.filter(|end| text[*end..].starts_with(char::is_whitespace) && *end < text.len() * 9 / 10);
    let nearest = ends.min_by(|one, other| {
        let distance = |end: &usize| (*end as f64 - wanted).abs();
        distance(one).total_cmp(&distance(other))
    })?;
    Some(text[..nearest].trim()).filter(|beginning| !beginning.is_empty())
}

impl Action {
    fn step(self) -> &'static str {
        match self {
            Self::Step => "one step",
            Self::Finish => "the rest",
            Self::Ask => "question between",
            Self::Review => "another look",
            Self::Rephrase => "other words",
        }
    }

    fn prompt(self) -> &'static str {
        match self {
            Self::Step => "Give the next step of the reasoning, and only that one.",
            Self::Finish => "Give the rest of the reasoning to the end, and the final answer.",
            Self::Ask => "Put a smaller question whose answer helps, and answer it.",
            Self::Review => "Look at the last step once more. Do it again in another way, and say whether it holds.",
            Self::Rephrase => "Say in other words what is given and what is wanted, and list the conditions.",
        }
    }
}

pointsman_approach::export!(RStar);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{
        FailureKind, Harness, Question, Reply, Script, battery, battery_with, play_fixtures,
    };

    fn harness() -> Harness<RStar> {
        Harness::new().question("What is 2+2?")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<RStar>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<RStar>();
        battery_with::<RStar>(r#"{"rstar_num_rollouts": 12, "rstar_max_depth": 4}"#);
        battery_with::<RStar>(r#"{"rstar_num_rollouts": 2, "rstar_max_depth": 1}"#);
    }

    #[test]
    fn the_lines_that_are_confirmed_vote() {
        let lines = [
            "I add.\nSlowly. The final answer is 5",
            "I count. On.\nThe final answer is 4",
            "I guess. So.\nThe final answer is 5",
        ];
        let mut count = 0;
        let mut model = |question: &Question| {
            let text = &question.text;
            let reply = match question.step.as_str() {
                "completion" if text.contains("I count.") => "The final answer is 4.0",
                "completion" => "The final answer is 7",
                _ => {
                    count += 1;
                    lines[count % 3]
                }
            };
            Ok(vec![Reply::new(reply); question.n as usize])
        };
        let run = harness().config(r#"{"rstar_max_depth": 1, "rstar_num_rollouts": 4}"#).run_against(&mut model);
        assert_eq!(run.text(), lines[1]);
    }

    #[test]
    fn lines_grow_side_by_side() {
        let mut count = 0;
        let mut model = |question: &Question| {
            count += 1;
            let end = if question.step == "the rest" { "The final answer is 4" } else { "On it goes" };
            Ok(vec![Reply::new(format!("Step {count}. It is so.\n{end}."))])
        };
        let run = harness().run_against(&mut model);
        assert!(
            (12..=22).contains(&run.choices()) && run.depth() <= 8,
            "{} choices, depth {}",
            run.choices(),
            run.depth()
        );
        assert!(run.text().ends_with("The final answer is 4."), "{}", run.text());
    }

    #[test]
    fn json_is_asked_for_at_the_end() {
        let json = harness()
            .parameter("response_format", r#"{"type": "json_object"}"#)
            .config(r#"{"rstar_num_rollouts": 1, "rstar_max_depth": 1}"#);
        let line = || Script::new().reply("Yes. I add.\nThe final answer is 4");
        assert_eq!(json.run(line().reply("The final answer is 4").reply("{}").at("form")).text(), "{}");
        let failing = line().reply("The final answer is 4").fail(FailureKind::Exhausted).at("form");
        assert!(json.run(failing).text().starts_with("Yes. I add."));
    }

    #[test]
    fn without_a_line_the_first_failure_is_the_clients() {
        let config = r#"{"rstar_num_rollouts": 2, "rstar_max_depth": 1}"#;
        let failing = Script::new().fail(FailureKind::Throttled).fail(FailureKind::Unavailable);
        assert_eq!(harness().config(config).run(failing).failed(), FailureKind::Throttled);
    }

    #[test]
    fn a_beginning_ends_between_two_sentences() {
        let text = "One and 2.5. Two.\nThree is longer. The final answer is 4";
        for point in [0.0, 0.3, 0.6, 0.999] {
            let beginning = beginning(text, point).expect("there is one");
            assert!(
                ["One and 2.5.", "One and 2.5. Two.", "One and 2.5. Two.\nThree is longer."].contains(&beginning),
                "{beginning}"
            );
        }
        assert_eq!(beginning("The final answer is 4", 0.5), None);
    }
}
