use super::*;
use crate::{Answer, Choices, Count, Llm, NoOptions, Problem, Request};

/// Asks for drafts, rates them, delivers a last one.
struct Drafts;

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    drafts: Count<1, 8>,
}

impl Default for Options {
    fn default() -> Self {
        Self { drafts: Count::new(2) }
    }
}

impl Approach for Drafts {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[("drafts", "How many.")];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let drafts: Choices = llm.ask(request.ask().n(options.drafts.get()).step("drafts"))?;
        if let Some(settled) = drafts.settled() {
            return Ok(settled.into());
        }
        let rate = |draft: &crate::Choice| request.ask().after(draft).user("Is it right?").aside().step("rating");
        llm.progress("rating");
        let _ = llm.ask_all(drafts.distinct().into_iter().map(rate));
        match llm.deliver(request.ask().step("last")) {
            Ok(_) => Ok(Answer::delivered()),
            Err(_) => Ok(drafts.first_usable().into()),
        }
    }
}

crate::export!(Drafts);

#[test]
fn a_run_counts_its_questions_choices_and_rounds() {
    let script =
        Script::new().choices(["5", "4"]).at("drafts").reply("no").to("5").reply("yes").at("rating").reply("four");
    let run = Harness::<Drafts>::new().streaming().run(script);
    assert_eq!((run.text(), run.streamed()), ("four", true));
    assert_eq!((run.calls(), run.choices(), run.depth()), (4, 5, 3));
    assert_eq!(run.steps(), ["drafts", "rating", "rating", "last"]);
    assert_eq!((run.notes(), run.asked("rating")), (&["rating".to_owned()][..], "2+2?\n5\nIs it right?"));
}

#[test]
fn a_budget_that_is_used_up_fails_what_comes_then() {
    let script = || Script::new().choices(["5", "4"]);
    let run = Harness::<Drafts>::new().budget(2).run(script());
    assert_eq!((run.text(), run.calls()), ("5", 1));
    assert_eq!(Harness::<Drafts>::new().budget(1).run(Script::new()).failed(), FailureKind::Exhausted);
}

#[test]
fn options_are_read_and_refused() {
    let run = Harness::<Drafts>::new().config(r#"{"drafts": 1}"#).run(Script::new().choices(["4"]));
    assert_eq!(run.text(), "4");
    let refused = Harness::<Drafts>::new().config(r#"{"drafts": 9}"#).run(Script::new());
    assert_eq!(refused.unsuitable(), "drafts: invalid value: integer `9`, expected a whole number from 1 to 8");
}

#[test]
fn there_is_a_run_for_each_answer_unless_one_gives_several() {
    let run = Harness::<Drafts>::new().n(2).config(r#"{"drafts": 1}"#).run(Script::new().reply("a").reply("b"));
    assert_eq!(run.texts(), ["a", "b"]);
}

#[test]
#[should_panic(expected = "nobody expects the question \"drafts\"")]
fn a_question_that_is_not_in_the_script_is_a_failure() {
    Harness::<Drafts>::new().run(Script::new());
}

#[test]
#[should_panic(expected = "model[1] for \"rating\" was never asked for")]
fn what_is_in_the_script_and_not_asked_is_a_failure() {
    Harness::<Drafts>::new().run(Script::new().choices(["4", "4"]).reply("7").at("rating"));
}

#[test]
fn the_battery_is_content_with_an_approach_that_keeps_to_the_rules() {
    battery::<Drafts>();
}

/// Keeps to none of them.
struct Careless;

impl Approach for Careless {
    type Options = NoOptions;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[("depth", "Not read.")];

    fn run(request: &Request, _: NoOptions, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let first = llm.ask(request.ask())?;
        assert!(!request.text().is_empty(), "a question has a text");
        let second = llm.ask(request.ask().after(first.one()).user("Again."))?;
        llm.emit(&second.one().text);
        Ok(second.one().into())
    }
}

#[test]
fn the_battery_finds_what_an_approach_forgets() {
    let problems = data::battery::play(&mut Native::<Careless>::new(), &serde_json::Map::new()).join("\n");
    for expected in [
        "depth is named, and not read",
        "a question has a text",
        "something has gone out, and it returns something else",
        "had an answer and returns none",
    ] {
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
}
