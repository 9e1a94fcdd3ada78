//! Plans, carries the plans out, reviews what came of them, answers, and returns the best rated of several such
//! answers.
//!
//! CePO, "Cerebras Planning and Optimization", 2024 (<https://www.cerebras.ai/blog/cepo>). With the defaults 27
//! choices, of depth 5, since the answers are worked out side by side, phase by phase.
//!
//! A step that fails is left out: a plan that cannot be carried out, an execution that is not reviewed, an answer that
//! is not rated.

use std::fmt::Write as _;

use pointsman_approach::text::score;
use pointsman_approach::{Answer, Approach, Call, Choice, Choices, Count, Failure, Llm, Problem, Request};
use serde::Deserialize;

/// The options of `cepo`, as the operator writes them under `approaches.cepo.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of answers that are worked out.
    pub answers: Count<1, 8>,
    /// The number of plans for each.
    pub plans: Count<1, 8>,
    /// The model that rates; the client's if none.
    pub judge: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { answers: Count::new(3), plans: Count::new(3), judge: None }
    }
}

const PLAN: &str = "Do not answer yet. Make a plan in numbered steps of how to come to the answer, and say for each \
                    step how sure you are of it.";

const EXECUTE: &str = "Carry out this plan step by step and with care. Go back over the steps of which you were less \
                       sure. Give the answer at the end.";

const REVIEW: &str = "Do not answer yet. Below are attempts to answer this. Where do they contradict each other, and \
                      who is right? Resolve it, and write down one reasoning, step by step, that holds.";

const ANSWER: &str = "Answer with the help of these notes, which nobody else has read. They may have mistakes. Use \
                      the language that the question calls for.";

const RATE: &str = "How sure can one be that this answer to my last message is right and complete? Check it. Then end \
                    with a line `Rating: ` and a number from 0 (wrong) to 10 (surely right).";

/// The approach `cepo`.
#[derive(Debug)]
pub struct Cepo;

impl Approach for Cepo {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("answers", "How many answers are worked out, 1 to 8."),
        ("plans", "How many plans are made for each, 1 to 8."),
    ];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let (answers, plans) = (options.answers.get() as usize, options.plans.get());
        let planned = llm.gather(std::iter::repeat_n(plan(request, plans), answers))?;
        llm.progress("carrying out plans");
        let executed = execute(request, &planned, llm);
        // An execution belongs to the answer for which its plan was made; if some failed, they are dealt out anew.
        let attempts: Vec<Vec<String>> = deal(&executed, answers);
        llm.progress("reviewing attempts");
        let notes = review(request, &attempts, &planned, llm);
        llm.progress("answering");
        let mut calls: Vec<_> = notes.iter().map(|notes| answer(request, notes)).collect();
        if calls.len() == 1 {
            llm.deliver(calls.swap_remove(0))?;
            return Ok(Answer::delivered());
        }
        let candidates = llm.gather(calls)?;
        if let Some(settled) = candidates.settled() {
            return Ok(settled.into());
        }
        Ok(best(request, &options, &candidates, llm).into())
    }
}

fn plan(request: &Request, plans: u32) -> Call {
    request.ask().user(PLAN).aside().temperature(1.0).n(plans).step("plans")
}

/// The executions of the plans that can be carried out.
fn execute(request: &Request, plans: &Choices, llm: &Llm<'_>) -> Vec<String> {
    let execute = |plan: &Choice| {
        let call = request.ask().user(PLAN).assistant(plan.visible()).user(EXECUTE);
        call.aside().temperature(1.0).step("execution")
    };
    let usable = plans.usable().into_iter().filter(|plan| plan.says_something());
    llm.ask_all(usable.map(execute).collect::<Vec<_>>()).into_iter().filter_map(said).collect()
}

/// Deals the attempts out to so many answers, as evenly as can be and in order.
fn deal(attempts: &[String], answers: usize) -> Vec<Vec<String>> {
    let share =
        |number: usize| attempts[attempts.len() * number / answers..attempts.len() * (number + 1) / answers].to_vec();
    (0..answers).map(share).collect()
}

/// The notes from which each answer is written: the review of its attempts, else the first of them, else a plan.
fn review(request: &Request, attempts: &[Vec<String>], plans: &Choices, llm: &Llm<'_>) -> Vec<String> {
    let ask = |attempts: &Vec<String>| {
        let mut material = REVIEW.to_owned();
        for (number, attempt) in (1..).zip(attempts) {
            let _ = write!(material, "\n\n<attempt number=\"{number}\">\n{attempt}\n</attempt>");
        }
        request.ask().user(material).aside().step("review")
    };
    let mut reviews =
        llm.ask_all(attempts.iter().filter(|attempts| !attempts.is_empty()).map(ask).collect::<Vec<_>>()).into_iter();
    let notes = |attempts: &Vec<String>| {
        let first = attempts.first()?;
        Some(reviews.next().and_then(said).unwrap_or_else(|| first.clone()))
    };
    let notes: Vec<_> = attempts.iter().map(notes).collect();
    let plan = plans.first_usable().visible();
    notes.into_iter().map(|notes| notes.unwrap_or_else(|| plan.to_owned())).collect()
}

fn answer(request: &Request, notes: &str) -> Call {
    let call = request.ask().step("answer");
    if notes.is_empty() { call } else { call.user(format!("{ANSWER}\n\n<notes>\n{notes}\n</notes>")) }
}

/// The first of those that are rated highest; who has a rating goes before who has none.
fn best<'c>(request: &Request, options: &Options, candidates: &'c Choices, llm: &Llm<'_>) -> &'c Choice {
    let rate = |candidate: &&Choice| {
        let call = request.ask().assistant(candidate.visible()).user(RATE).aside();
        call.model(options.judge.as_deref()).step("rating")
    };
    let distinct = candidates.distinct();
    let ratings = llm.ask_all(distinct.iter().map(rate));
    let mut best = (candidates.first_usable(), None);
    for (candidate, rating) in distinct.into_iter().zip(ratings) {
        let rating = rating.ok().and_then(|rating| score(&rating.one().text, 0.0..=10.0));
        if rating > best.1 {
            best = (candidate, rating);
        }
    }
    best.0
}

fn said(result: Result<Choices, Failure>) -> Option<String> {
    result.ok().map(|choices| choices.one().visible().to_owned()).filter(|text| !text.is_empty())
}

pointsman_approach::export!(Cepo);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{
        FailureKind, Harness, Question, Reply, Script, battery, battery_with, play_fixtures,
    };

    fn harness() -> Harness<Cepo> {
        Harness::new().question("What is 2+2?")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Cepo>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<Cepo>();
        battery_with::<Cepo>(r#"{"answers": 1, "plans": 2}"#);
    }

    #[test]
    fn the_phases_are_five_rounds_whatever_the_number_of_answers() {
        let mut count = 0;
        let mut model = |question: &Question| {
            let mut next = || {
                count += 1;
                Reply::new(format!("{} {count}", question.step))
            };
            Ok((0..question.n).map(|_| next()).collect::<Vec<_>>())
        };
        let run = harness().run_against(&mut model);
        assert_eq!((run.choices(), run.depth()), (27, 5));
        assert!(
            run.asked("review").contains("<attempt number=\"3\">")
                && !run.asked("review").contains("<attempt number=\"4\">")
        );
    }

    #[test]
    fn an_answer_alone_streams() {
        let script = Script::new().choices(["add", "count"]).reply("4").at("execution").reply("5").at("execution");
        let script = script.reply("4 it is").at("review").to("<attempt number=\"2\">\n5").reply("four").to("4 it is");
        let run = harness().config(r#"{"answers": 1, "plans": 2}"#).streaming().run(script);
        assert_eq!((run.text(), run.streamed(), run.depth()), ("four", true, 4));
    }

    #[test]
    fn what_fails_is_left_out() {
        let config = r#"{"answers": 1, "plans": 2}"#;
        let plans = || Script::new().choices(["add", "count"]);
        let reviewless =
            plans().fail(FailureKind::Throttled).reply("4 it is").fail(FailureKind::Throttled).at("review");
        assert_eq!(harness().config(config).run(reviewless.reply("four").to("4 it is")).text(), "four");
        let planned = plans().fail(FailureKind::Throttled).times(2).reply("four").at("answer").to("<notes>\nadd");
        assert_eq!(harness().config(config).run(planned).text(), "four");
        let failing = Script::new().fail(FailureKind::Rejected).at("plans");
        assert_eq!(harness().config(config).run(failing).failed(), FailureKind::Rejected);
    }

    #[test]
    fn attempts_are_dealt_out_evenly() {
        let attempts = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(deal(&attempts, 3), [vec!["a"], vec!["b"], vec!["c", "d"]]);
        assert_eq!(deal(&attempts[..1], 2), [vec![], vec!["a"]]);
    }
}
