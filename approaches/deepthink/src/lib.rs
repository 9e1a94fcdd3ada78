//! Puts together a structure of reasoning for the question, and answers along it.
//!
//! Zhou et al., "Self-Discover: Large Language Models Self-Compose Reasoning Structures", 2024
//! (<https://arxiv.org/abs/2402.03620>): the model selects ways of thinking, adapts them to the question, and makes a
//! structure of them. Several samples that follow it vote, as in self-consistency; where they do not agree, one more
//! answer is asked for without chance, and streams. With the defaults 6 or 7 choices, of depth 4 or 5.
//!
//! A step that fails is left out; without any structure the samples do without.

use pointsman_approach::text::final_answer;
use pointsman_approach::{Answer, Approach, Call, Choices, Count, Failure, Llm, Problem, Request, Temperature, vote};
use serde::Deserialize;

/// The options of `deepthink`, as the operator writes them under `approaches.deepthink.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of answers that follow the structure.
    pub samples: Count<1, 16>,
    /// The temperature at which they are sampled.
    pub temperature: Temperature,
}

impl Default for Options {
    fn default() -> Self {
        Self { samples: Count::new(3), temperature: Temperature::new(0.7) }
    }
}

/// The share of the samples that must agree for their answer to be taken.
const AGREED: f64 = 0.7;

/// Ways of thinking, from which the model selects.
const WAYS: &str = "- Break it into parts that can be solved one by one.\n\
                    - Work backwards from what is wanted.\n\
                    - Try small or extreme cases first.\n\
                    - Find what must not change, or must always hold.\n\
                    - Write down what is given, what is wanted, and what is only assumed.\n\
                    - Look for a similar problem whose solution is known.\n\
                    - Draw up the cases and go through each.\n\
                    - Estimate the result before computing it.\n\
                    - Look for a counterexample.\n\
                    - Ask what evidence there is, and how good it is.\n\
                    - See it from the point of view of each who is concerned.\n\
                    - Ask what could go wrong, and what would follow.\n\
                    - Simplify it, solve that, and put back what was left out.\n\
                    - Check the result in another way.";

const SELECT: &str = "Do not answer yet. Which of these ways of thinking help with what I ask? Name the few that \
                      matter most, best first.";

const ADAPT: &str =
    "Do not answer yet. Say for each of these ways of thinking what it means for what I ask, in a sentence.";

const STRUCTURE: &str = "Do not answer yet. Make of this a structure for the reasoning: numbered steps, each saying \
                         what is to be found out there and in what form. Do not carry them out.";

const FOLLOW: &str = "Follow these steps in your reasoning, and then answer in the language that the question calls \
                      for. If the answer is short, end with it after the words `The final answer is`.";

/// The approach `deepthink`.
#[derive(Debug)]
pub struct DeepThink;

impl Approach for DeepThink {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("samples", "How many answers follow the structure, 1 to 16."),
        ("temperature", "At which temperature, 0 to 2."),
    ];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let (structure, failure) = discover(request, llm);
        let call = match structure {
            Some(structure) => request.ask().user(format!("{FOLLOW}\n\n{structure}")),
            None => request.ask(),
        };
        let first_of = |last: Failure| failure.clone().unwrap_or(last);
        if options.samples.get() == 1 {
            llm.deliver(call.step("samples")).map_err(first_of)?;
            return Ok(Answer::delivered());
        }
        llm.progress("answering along the structure");
        let sampled = call.clone().n(options.samples.get()).temperature(options.temperature).step("samples");
        let samples = llm.ask(sampled).map_err(first_of)?;
        if let Some(settled) = samples.settled() {
            return Ok(settled.into());
        }
        let usable = samples.usable();
        let won = vote(usable.iter().map(|sample| final_answer(&sample.text)));
        if let Some(won) = won
            && won.votes as f64 >= AGREED * usable.len() as f64
        {
            return Ok(usable[won.first].into());
        }
        match llm.deliver(call.temperature(0.0).step("last")) {
            Ok(_) => Ok(Answer::delivered()),
            Err(_) => Ok(won.map_or_else(|| samples.first_usable(), |won| usable[won.first]).into()),
        }
    }
}

/// The structure of reasoning, as far as the model comes with it, and the failure if it does not come far.
fn discover(request: &Request, llm: &Llm<'_>) -> (Option<String>, Option<Failure>) {
    let mut found: Option<String> = None;
    for (prompt, step) in [(SELECT, "selection"), (ADAPT, "adaptation"), (STRUCTURE, "structure")] {
        llm.progress(step);
        let material = found.as_deref().unwrap_or(WAYS);
        match said(llm.ask(aside(request, prompt, material).step(step))) {
            Ok(Some(text)) => found = Some(text),
            Ok(None) => {}
            Err(failure) => return (found, Some(failure)),
        }
    }
    (found, None)
}

fn aside(request: &Request, prompt: &str, material: &str) -> Call {
    request.ask().user(format!("{prompt}\n\n{material}")).aside()
}

fn said(result: Result<Choices, Failure>) -> Result<Option<String>, Failure> {
    let text = result?.one().visible().to_owned();
    Ok(Some(text).filter(|text| !text.is_empty()))
}

pointsman_approach::export!(DeepThink);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, battery_with, play_fixtures};

    fn harness() -> Harness<DeepThink> {
        Harness::new().question("What is 2+2?")
    }

    fn discovered() -> Script {
        let script =
            Script::new().reply("Small cases.").at("selection").reply("Try 1+1.").at("adaptation").to("Small cases.");
        script.reply("1. Add.").at("structure").to("Try 1+1.")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<DeepThink>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<DeepThink>();
        battery_with::<DeepThink>(r#"{"samples": 1}"#);
    }

    #[test]
    fn samples_that_agree_are_the_answer() {
        let samples = ["I add. The final answer is 4.", "The final answer is 4.0", "It is \\boxed{4}"];
        let run = harness().run(discovered().choices(samples).to("1. Add."));
        assert_eq!((run.text(), run.choices(), run.depth()), (samples[0], 6, 4));
    }

    #[test]
    fn where_they_differ_one_more_is_asked_for_and_streams() {
        let run = harness().streaming().run(discovered().choices(["4", "5", "4"]).reply("four").at("last"));
        assert_eq!((run.text(), run.streamed(), run.choices(), run.depth()), ("four", true, 7, 5));
        let run = harness().run(discovered().choices(["5", "4", "4"]).fail(FailureKind::Exhausted));
        assert_eq!(run.text(), "4");
    }

    #[test]
    fn it_goes_on_with_as_much_of_a_structure_as_there_is() {
        let script =
            Script::new().reply("Small cases.").fail(FailureKind::Throttled).at("adaptation").choices(["4", "4", "4"]);
        let run = harness().run(script);
        assert!(run.text() == "4" && run.asked("samples").ends_with("Small cases."));
        let failing = Script::new().fail(FailureKind::TooLong).fail(FailureKind::Throttled);
        assert_eq!(harness().run(failing).failed(), FailureKind::TooLong);
    }
}
