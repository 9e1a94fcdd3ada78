//! Has a critic compare several answers, and writes one answer from them.
//!
//! Wang et al., "Mixture-of-Agents Enhances Large Language Model Capabilities", 2024
//! (<https://arxiv.org/abs/2406.04692>). With one model, as by default, it is what Li et al. call Self-MoA ("Rethinking
//! Mixture-of-Agents", 2025, <https://arxiv.org/abs/2502.00674>); the critic in between is that of Patched MOA (Sharma,
//! 2024, <https://arxiv.org/abs/2407.18521>). With the defaults 5 choices, of depth 3; the last one streams.
//!
//! A critic that fails is left out, and one that is cut off used as far as it came. When the last question fails, the
//! first of the answers is returned.

use std::fmt::Write as _;

use pointsman_approach::{Answer, Approach, Choices, Count, Failure, Llm, Problem, Request, Temperature};
use serde::Deserialize;

/// The options of `moa`, as the operator writes them under `approaches.moa.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of answers that are asked for.
    pub candidates: Count<1, 16>,
    /// The temperature at which they are sampled.
    pub temperature: Temperature,
    /// The models that answer, one answer each in place of `candidates`: a mixture. The client's model criticises and
    /// writes.
    pub models: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { candidates: Count::new(3), temperature: Temperature::new(1.0), models: Vec::new() }
    }
}

const CRITIC: &str = "Above is what I ask. Do not answer it yourself. For each of these answers to it, say in a few \
                      sentences what is right, what is wrong, and what is missing.";

const SYNTHESIS: &str = "Above is what I ask. These answers to it were written independently of each other, and some \
                         may be wrong. Answer it yourself: use what is right in them, correct what is not, and do not \
                         mention them. Use the language that the question calls for.";

/// The approach `moa`.
#[derive(Debug)]
pub struct Moa;

impl Approach for Moa {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("candidates", "How many answers are asked for, 1 to 16."), ("temperature", "At which temperature, 0 to 2.")];
    const TOOLS: bool = true;

    fn check(options: &Options) -> Result<(), String> {
        let (count, most) = (options.models.len(), 16);
        if count > most { Err(format!("models: at most {most} are asked, not {count}")) } else { Ok(()) }
    }

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let candidates = propose(request, &options, llm)?;
        if let Some(settled) = candidates.settled() {
            return Ok(settled.into());
        }
        let answers = listed(&candidates);
        llm.progress("comparing candidates");
        let critique = llm.ask(request.ask().user(format!("{CRITIC}\n\n{answers}")).aside().step("critique"));
        let mut material = format!("{SYNTHESIS}\n\n{answers}");
        if let Ok(critique) = critique
            && critique.one().says_something()
        {
            let _ = write!(material, "\n\n<critique>\n{}\n</critique>", critique.one().visible());
        }
        llm.progress("writing the answer");
        match llm.deliver(request.ask().user(material).step("synthesis")) {
            Ok(_) => Ok(Answer::delivered()),
            Err(_) => Ok(candidates.first_usable().into()),
        }
    }
}

fn propose(request: &Request, options: &Options, llm: &Llm<'_>) -> Result<Choices, Failure> {
    let call = request.ask().temperature(options.temperature).step("candidates");
    if options.models.is_empty() {
        llm.ask(call.n(options.candidates.get()))
    } else {
        llm.gather(options.models.iter().map(|model| call.clone().model(Some(model))))
    }
}

/// The different answers, each in tags that number it.
fn listed(candidates: &Choices) -> String {
    let mut listed = String::new();
    for (number, candidate) in (1..).zip(candidates.distinct()) {
        let _ = write!(listed, "<answer number=\"{number}\">\n{}\n</answer>\n\n", candidate.visible());
    }
    listed.truncate(listed.trim_end().len());
    listed
}

pointsman_approach::export!(Moa);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{
        FailureKind, Finish, Harness, Reply, Script, battery, battery_with, play_fixtures,
    };

    fn harness() -> Harness<Moa> {
        Harness::new().question("What is 2+2?")
    }

    fn script() -> Script {
        Script::new().choices(["five", "four", "four"]).at("candidates")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Moa>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<Moa>();
        battery_with::<Moa>(r#"{"models": ["a", "b"]}"#);
    }

    #[test]
    fn the_answer_is_written_from_all_and_streams() {
        let run = harness().streaming().run(script().reply("the first errs").at("critique").reply("4").at("synthesis"));
        assert_eq!((run.text(), run.streamed()), ("4", true));
        assert_eq!((run.calls(), run.choices(), run.depth()), (3, 5, 3));
        let asked = run.asked("synthesis");
        assert!(asked.starts_with("What is 2+2?\n\nAbove is what I ask."), "{asked}");
        assert!(
            asked.ends_with("<answer number=\"2\">\nfour\n</answer>\n\n<critique>\nthe first errs\n</critique>"),
            "{asked}"
        );
        assert!(!asked.contains("number=\"3\""), "{asked}");
    }

    #[test]
    fn a_critique_that_is_cut_off_is_used_and_one_that_fails_left_out() {
        let cut = Reply { finish: Finish::Length, ..Reply::new("the first er") };
        let run = harness().run(script().replies([cut]).at("critique").reply("4"));
        assert!(run.asked("synthesis").contains("the first er"));
        let run = harness().run(script().fail(FailureKind::Throttled).at("critique").reply("4"));
        assert!(run.text() == "4" && !run.asked("synthesis").contains("critique"));
    }

    #[test]
    fn without_a_synthesis_the_first_answer_is_returned() {
        let cut = Reply { finish: Finish::Length, ..Reply::new("fi") };
        let script = Script::new().replies([cut, Reply::new("four"), Reply::new("six")]);
        let run = harness().run(script.reply("hm").fail(FailureKind::Exhausted).at("synthesis"));
        assert_eq!(run.text(), "four");
    }

    #[test]
    fn those_who_agree_need_no_critic() {
        assert_eq!(harness().run(Script::new().choices(["4", "<think>2+2</think>4", "4"])).calls(), 1);
    }

    #[test]
    fn a_mixture_asks_each_model_and_goes_on_without_who_fails() {
        let script = Script::new().reply("five").fail(FailureKind::Unavailable).reply("four").reply("c").reply("4");
        let run = harness().config(r#"{"models": ["a", "b", "c"]}"#).run(script);
        let models: Vec<_> = run.questions().iter().map(|question| question.model.as_deref()).collect();
        assert_eq!(models, [Some("a"), Some("b"), Some("c"), None, None]);
        assert_eq!((run.text(), run.depth()), ("4", 3));
    }
}
