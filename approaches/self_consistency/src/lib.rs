//! Returns the answer to which most of several reasonings come.
//!
//! Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models", ICLR 2023
//! (<https://arxiv.org/abs/2203.11171>): their final answers vote. Where there is no final answer to compare, as in
//! free text, or no two agree, the model says which of them agrees with most: Chen et al., "Universal Self-Consistency
//! for Large Language Model Generation", 2023 (<https://arxiv.org/abs/2311.17311>). With the defaults 5 or 6 choices,
//! of depth 1 or 2.

use std::fmt::Write as _;

use pointsman_approach::text::{final_answer, picked};
use pointsman_approach::{Answer, Approach, Choice, Count, Llm, Problem, Request, Temperature, vote};
use serde::Deserialize;

/// The options of `self_consistency`, as the operator writes them under `approaches.self_consistency.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of answers that are asked for.
    pub samples: Count<2, 32>,
    /// The temperature at which they are sampled.
    pub temperature: Temperature,
}

impl Default for Options {
    fn default() -> Self {
        Self { samples: Count::new(5), temperature: Temperature::new(1.0) }
    }
}

const COMPARE: &str = "Above is what I ask. Do not answer it yourself. These answers to it were written independently \
                       of each other. Which of them agrees best with what most of them say? Compare them briefly, and \
                       end with a line `CONSISTENT: ` and its number.";

/// The approach `self_consistency`.
#[derive(Debug)]
pub struct SelfConsistency;

impl Approach for SelfConsistency {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("samples", "How many answers are asked for, 2 to 32."), ("temperature", "At which temperature, 0 to 2.")];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let wanted = options.samples.get();
        let samples = llm.ask(request.ask().n(wanted).temperature(options.temperature).step("samples"))?;
        if let Some(settled) = samples.settled() {
            return Ok(settled.into());
        }
        let usable = samples.usable();
        let won = vote(usable.iter().map(|sample| final_answer(&sample.text)));
        if let Some(won) = won
            && won.votes > 1
            && won.of >= wanted.div_ceil(2) as usize
        {
            return Ok(usable[won.first].into());
        }
        llm.progress("comparing samples");
        let chosen = most_consistent(request, &usable, llm).or(won.map(|won| won.first));
        Ok(chosen.map_or_else(|| samples.first_usable(), |chosen| usable[chosen]).into())
    }
}

/// The place of the sample that agrees with most, as the model sees it. Equal ones are shown each, since they count.
fn most_consistent(request: &Request, samples: &[&Choice], llm: &Llm<'_>) -> Option<usize> {
    let mut material = COMPARE.to_owned();
    for (number, sample) in (1..).zip(samples) {
        let _ = write!(material, "\n\n<answer number=\"{number}\">\n{}\n</answer>", sample.visible());
    }
    let compared = llm.ask(request.ask().user(material).aside().step("comparison")).ok()?;
    picked(&compared.one().text, "consistent", samples.len())
}

pointsman_approach::export!(SelfConsistency);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, play_fixtures};

    fn harness() -> Harness<SelfConsistency> {
        Harness::new().question("What is 2+2?")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<SelfConsistency>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<SelfConsistency>();
    }

    #[test]
    fn final_answers_vote_whatever_leads_to_them() {
        let samples = [
            "Two and two: the answer is 5.",
            "I count. The answer is 4.",
            "Hm.",
            "So \\boxed{4.0}",
            "The answer is 3.",
        ];
        let run = harness().run(Script::new().choices(samples));
        assert_eq!((run.text(), run.calls(), run.choices()), (samples[1], 1, 5));
    }

    #[test]
    fn free_texts_are_compared_by_the_model() {
        let samples =
            ["A long story about a cat.", "A tale about a dog.", "One about a dog, again.", "It was a dog.", "No."];
        let run =
            harness().run(Script::new().choices(samples).reply("Most tell of a dog. CONSISTENT: 2").at("comparison"));
        assert_eq!((run.text(), run.calls(), run.depth()), (samples[1], 2, 2));
        assert!(run.asked("comparison").ends_with("<answer number=\"5\">\nNo.\n</answer>"));
    }

    #[test]
    fn where_no_two_agree_the_model_compares_and_else_the_first_counts() {
        let samples = || Script::new().choices(["1", "2", "3", "4", "5"]);
        assert_eq!(harness().run(samples().reply("CONSISTENT: 4")).text(), "4");
        assert_eq!(harness().run(samples().reply("none of them")).text(), "1");
        assert_eq!(harness().run(samples().fail(FailureKind::Exhausted)).text(), "1");
    }
}
