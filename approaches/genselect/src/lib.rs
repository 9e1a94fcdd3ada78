//! Asks for several answers, and has the model compare them all to select one.
//!
//! GenSelect of Moshkov et al., "AIMO-2 Winning Solution: Building State-of-the-Art Mathematical Reasoning Models",
//! 2025 (<https://arxiv.org/abs/2504.16891>). With the defaults 5 choices, of depth 2.
//!
//! The order in which the answers are shown is drawn by chance, because judges prefer places. Where the comparison
//! fails or cannot be read, the final answers vote, and else the first is returned.

use std::fmt::Write as _;

use pointsman_approach::text::{final_answer, picked};
use pointsman_approach::{Answer, Approach, Choice, Count, Llm, Problem, Request, Temperature, vote};
use serde::Deserialize;

/// The options of `genselect`, as the operator writes them under `approaches.genselect.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of answers that are asked for.
    pub candidates: Count<2, 16>,
    /// The temperature at which they are sampled.
    pub temperature: Temperature,
    /// The model that compares; the client's if none.
    pub judge: Option<String>,
    /// The most tokens that the comparison may have. A reasoning model spends them on its thoughts first.
    pub judge_max_tokens: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        let (candidates, temperature) = (Count::new(4), Temperature::new(0.7));
        Self { candidates, temperature, judge: None, judge_max_tokens: None }
    }
}

const SELECT: &str = "Above is what I ask. Do not answer it yourself. Compare these answers to it: check the steps \
                      and facts of each, and what it misses. Neither length nor style counts, and their order means \
                      nothing. End with a line `BEST: ` and the number of the best one.";

/// The approach `genselect`.
#[derive(Debug)]
pub struct GenSelect;

impl Approach for GenSelect {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("candidates", "How many answers are asked for, 2 to 16."), ("temperature", "At which temperature, 0 to 2.")];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let call = request.ask().n(options.candidates.get()).temperature(options.temperature).step("candidates");
        let candidates = llm.ask(call)?;
        if let Some(settled) = candidates.settled() {
            return Ok(settled.into());
        }
        let mut shown = candidates.distinct();
        request.dice().shuffle(&mut shown);
        llm.progress(format!("comparing {} candidates", shown.len()));
        if let Some(best) = select(request, &options, &shown, llm) {
            return Ok(best.into());
        }
        let usable = candidates.usable();
        let won = vote(usable.iter().map(|candidate| final_answer(&candidate.text)));
        Ok(won.map_or_else(|| candidates.first_usable(), |won| usable[won.first]).into())
    }
}

fn select<'c>(request: &Request, options: &Options, shown: &[&'c Choice], llm: &Llm<'_>) -> Option<&'c Choice> {
    let mut material = SELECT.to_owned();
    for (number, candidate) in (1..).zip(shown) {
        let _ = write!(material, "\n\n<answer number=\"{number}\">\n{}\n</answer>", candidate.visible());
    }
    let call = request.ask().user(material).aside().model(options.judge.as_deref());
    let compared = llm.ask(call.max_tokens(options.judge_max_tokens).step("selection")).ok()?;
    picked(&compared.one().text, "best", shown.len()).map(|place| shown[place])
}

pointsman_approach::export!(GenSelect);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, play_fixtures};

    fn harness() -> Harness<GenSelect> {
        Harness::new().question("What is 2+2?").config(r#"{"candidates": 3}"#)
    }

    fn script() -> Script {
        Script::new().choices(["five", "four", "six"]).at("candidates")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<GenSelect>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<GenSelect>();
    }

    #[test]
    fn the_number_means_the_place_where_it_was_shown() {
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let run = harness().entropy(seed).run(script().reply("I compare.\nBEST: 1").at("selection"));
            assert!(run.asked("selection").contains(&format!("number=\"1\">\n{}\n", run.text())));
            assert_eq!((run.calls(), run.choices(), run.depth()), (2, 4, 2));
            firsts.insert(run.text().to_owned());
        }
        assert_eq!(firsts.len(), 3, "their order is drawn");
    }

    #[test]
    fn what_cannot_be_read_is_put_to_the_vote() {
        let script = || Script::new().choices(["The answer is 5.", "The answer is 4.", "It is \\boxed{4}"]);
        assert_eq!(harness().run(script().reply("all are good")).text(), "The answer is 4.");
        assert_eq!(harness().run(script().fail(FailureKind::Throttled)).text(), "The answer is 4.");
        let free = ["There was a cat in it.", "There was a dog in it.", "There were birds in it."];
        assert_eq!(harness().run(Script::new().choices(free).reply("BEST: 7")).text(), free[0]);
    }

    #[test]
    fn a_judge_of_its_own_compares() {
        let run = harness().config(r#"{"candidates": 3, "judge": "small"}"#).run(script().reply("BEST: 1"));
        assert_eq!(run.questions()[1].model.as_deref(), Some("small"));
    }
}
