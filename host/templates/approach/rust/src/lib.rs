//! Asks for several answers, and has the model pick the best.

use pointsman_approach::text::picked;
use pointsman_approach::{Answer, Approach, Count, Llm, Problem, Request};
use serde::Deserialize;

/// The options: under `approaches.{{name}}.config` of the configuration, and of clients in their requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The number of answers that are asked for.
    #[serde(default = "three")]
    pub answers: Count<2, 8>,
}

fn three() -> Count<2, 8> {
    Count::new(3)
}

/// The approach.
#[derive(Debug)]
pub struct BestOf;

impl Approach for BestOf {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[("answers", "How many answers are asked for, 2 to 8.")];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        // If this fails, the client gets what it would have got without an approach.
        let candidates = llm.ask(request.ask().n(options.answers.get()).temperature(1.0).step("candidates"))?;
        // One that calls tools is the answer; and what is empty, cut off or said twice need not be compared.
        if let Some(settled) = candidates.settled() {
            return Ok(settled.into());
        }
        let candidates = candidates.distinct();
        let list: Vec<_> = (1..).zip(&candidates).map(|(number, one)| format!("{number}. {}", one.visible())).collect();
        let pick = format!("Which of these answers is the best?\n\n{}\n\n{PICK}", list.join("\n\n"));
        // A comparison that fails or cannot be read is none: there is an answer all the same.
        let compared = llm.ask(request.ask().user(pick).aside().step("pick"));
        let best = compared.ok().and_then(|compared| picked(&compared.one().text, "best", candidates.len()));
        Ok(candidates[best.unwrap_or(0)].into())
    }
}

const PICK: &str = "Compare them, and end with a line `BEST: ` and the number of the best one.";

pointsman_approach::export!(BestOf);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, play_fixtures};

    #[test]
    fn it_does_what_the_fixtures_say() {
        play_fixtures::<BestOf>("fixtures");
    }

    #[test]
    fn it_has_an_answer_whatever_the_model_says_and_whichever_question_fails() {
        battery::<BestOf>();
    }

    #[test]
    fn without_a_comparison_the_first_is_returned() {
        let script = Script::new().choices(["a", "b", "c"]).fail(FailureKind::Throttled).at("pick");
        assert_eq!(Harness::<BestOf>::new().run(script).text(), "a");
    }

    #[test]
    fn a_wrong_option_is_explained() {
        let run = Harness::<BestOf>::new().config(r#"{"answers": 1}"#).run(Script::new());
        assert_eq!(run.unsuitable(), "answers: invalid value: integer `1`, expected a whole number from 2 to 8");
    }
}
