//! Makes observations about a problem, plans a solution from them, and carries the plan out.
//!
//! Wang et al., "Planning in Natural Language Improves LLM Search for Code Generation", ICLR 2025
//! (<https://arxiv.org/abs/2409.03733>): answers that come of different observations differ more than answers that are
//! sampled. It is made for competitive programming, and pays where several answers are wanted (`n`). 4 choices for each
//! answer, of depth 4, however many there are; a single one streams.
//!
//! A step that is cut off is used as far as it came, and one that fails left out.

use pointsman_approach::text::numbered;
use pointsman_approach::{Answer, Approach, Call, Choices, Failure, Llm, Problem, Request, Temperature};
use serde::Deserialize;

/// The options of `plansearch`, as the operator writes them under `approaches.plansearch.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The temperature at which observations and plans are made.
    pub temperature: Temperature,
}

impl Default for Options {
    fn default() -> Self {
        Self { temperature: Temperature::new(0.7) }
    }
}

const OBSERVE: &str = "Do not solve this yet. Give a numbered list of three observations about it that are not \
                       obvious, are correct, and help to solve it. No code.";

const DERIVE: &str = "Do not solve this yet. Give a numbered list of two more observations, which follow from several \
                      of these together. No code.";

const PLAN: &str = "Do not solve this yet. Describe in words a solution that uses these observations, and quote them \
                    where you use them. No code.";

const SOLVE: &str = "Now solve it by this plan. Use the language that the question calls for. If a program is asked \
                     for, give it whole, in one block fenced by ```, and in Python unless another language is asked \
                     for.";

/// The approach `plansearch`.
#[derive(Debug)]
pub struct PlanSearch;

impl Approach for PlanSearch {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("temperature", "At which temperature observations and plans are made, 0 to 2.")];
    const TOOLS: bool = true;
    const MANY: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let aside = |text: &str| request.ask().user(text).aside().temperature(options.temperature);
        let observed = llm.ask(aside(OBSERVE).n(request.n).step("observations"))?;
        let mut searches: Vec<Search> = observed.usable().into_iter().map(|seen| Search::new(&seen.text)).collect();
        // Of an answer that is wanted and has no observations of its own, those of another are used.
        let known = searches.len();
        searches.extend((known..request.n as usize).map(|number| searches[number % known].clone()).collect::<Vec<_>>());

        llm.progress("deriving more observations");
        let derive =
            |search: &Search| aside(&with(DERIVE, "Observations", &listed(&search.observations))).step("derived");
        let derived = llm.ask_all(searches.iter().map(derive));
        for (search, more) in searches.iter_mut().zip(derived) {
            search.observations.extend(said(more).map(|more| numbered(&more)).unwrap_or_default());
        }
        llm.progress("planning");
        let plan = |search: &Search| aside(&with(PLAN, "Observations", &listed(&search.observations))).step("plan");
        let planned = llm.ask_all(searches.iter().map(plan));
        for (search, plan) in searches.iter_mut().zip(planned) {
            search.plan = said(plan);
        }
        llm.progress("solving");
        let mut calls: Vec<_> = searches.iter().map(|search| search.solve(request)).collect();
        if request.n > 1 {
            return Ok(Answer::several(llm.gather(calls)?.iter()));
        }
        llm.deliver(calls.swap_remove(0))?;
        Ok(Answer::delivered())
    }
}

/// The way to one answer.
#[derive(Clone, Debug)]
struct Search {
    observations: Vec<String>,
    plan: Option<String>,
}

impl Search {
    fn new(observations: &str) -> Self {
        Self { observations: numbered(observations), plan: None }
    }

    fn solve(&self, request: &Request) -> Call {
        let material = match &self.plan {
            Some(plan) => with(SOLVE, "Plan", plan),
            None if self.observations.is_empty() => return request.ask().step("solution"),
            None => with("Use these observations to solve it.", "Observations", &listed(&self.observations)),
        };
        request.ask().user(material).step("solution")
    }
}

/// The text of an answer, if there is any.
fn said(result: Result<Choices, Failure>) -> Option<String> {
    result.ok().map(|choices| choices.one().visible().to_owned()).filter(|text| !text.is_empty())
}

fn with(prompt: &str, title: &str, material: &str) -> String {
    if material.is_empty() { prompt.to_owned() } else { format!("{prompt}\n\n{title}:\n{material}") }
}

fn listed(observations: &[String]) -> String {
    let lines: Vec<_> = (1..).zip(observations).map(|(number, text)| format!("{number}. {text}")).collect();
    lines.join("\n")
}

pointsman_approach::export!(PlanSearch);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Finish, Harness, Reply, Script, battery, play_fixtures};

    fn harness() -> Harness<PlanSearch> {
        Harness::new().question("Sort a list.")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<PlanSearch>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<PlanSearch>();
    }

    #[test]
    fn observations_lead_to_a_plan_and_the_plan_to_an_answer_that_streams() {
        let script =
            Script::new().reply("Well:\n1. Lists are\n   ordered.\n2. Two can be merged.").reply("1. So halves can.");
        let run = harness().streaming().run(script.reply("Merge halves (2, 3).").reply("```\nsort()\n```"));
        assert_eq!((run.text(), run.streamed(), run.calls(), run.depth()), ("```\nsort()\n```", true, 4, 4));
        assert_eq!(run.steps(), ["observations", "derived", "plan", "solution"]);
        assert!(run.asked("plan").ends_with("1. Lists are\nordered.\n2. Two can be merged.\n3. So halves can."));
        assert!(run.asked("solution").ends_with("Plan:\nMerge halves (2, 3)."));
    }

    #[test]
    fn several_answers_are_searched_for_side_by_side() {
        let script =
            Script::new().choices(["1. One.", "1. Two."]).reply("1. More.").times(2).reply("By one.").to("One");
        let script = script.reply("By two.").to("Two").reply("first").to("By one").reply("second").to("By two");
        let run = harness().n(2).run(script);
        assert_eq!((run.texts(), run.choices(), run.depth()), (vec!["first", "second"], 8, 4));
    }

    #[test]
    fn a_step_that_is_cut_off_is_used_and_one_that_fails_left_out() {
        let cut = Reply { finish: Finish::Length, ..Reply::new("1. It is lo") };
        let script =
            Script::new().replies([cut]).fail(FailureKind::Throttled).fail(FailureKind::Throttled).reply("sort()");
        let run = harness().run(script);
        assert_eq!(run.text(), "sort()");
        assert!(run.asked("solution").ends_with("Use these observations to solve it.\n\nObservations:\n1. It is lo"));
    }

    #[test]
    fn without_a_solution_the_failure_is_the_clients() {
        let script = Script::new().reply("1. a").reply("1. b").reply("c").fail(FailureKind::Exhausted);
        assert_eq!(harness().run(script).failed(), FailureKind::Exhausted);
    }
}
