//! Has the model think, reflect on its thoughts, and then answer; the client gets the answer alone.
//!
//! Chain of thought as in Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models", 2022
//! (<https://arxiv.org/abs/2201.11903>), with a step of reflection. One choice for each answer, of depth 1. It streams
//! from where the answer begins.
//!
//! A form that the client prescribes (`response_format`, `stop`) holds for the whole of what the model says and would
//! forbid it to think aloud. Then it thinks in a question before: 2 choices, of depth 2.

mod output;

use output::{Output, output};
use pointsman_approach::{Answer, Approach, Call, Choice, Llm, Problem, Request};
use serde::Deserialize;

/// The options of `cot_reflection`, as the operator writes them under `approaches.cot_reflection.config`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The thoughts are given to the client too.
    pub return_full_response: bool,
}

const INSTRUCTIONS: &str = "Answer in this form:\n\
    <thinking>\nReason step by step about what is asked.\n\
    <reflection>\nLook for mistakes in that reasoning, and correct them.\n</reflection>\n</thinking>\n\
    <output>\nThe answer, in the language that the question calls for. Whoever asks reads nothing but this part, so \
    it must be complete in itself.\n</output>";

const THINK: &str = "Do not answer yet. Reason step by step about what is asked; then look for mistakes in that \
                     reasoning, and correct them.";

const ANSWER: &str = "Now answer. I have not read those thoughts, so the answer must be complete in itself. Use the \
                      language that the question calls for.";

/// The approach `cot_reflection`.
#[derive(Debug)]
pub struct CotReflection;

impl Approach for CotReflection {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("return_full_response", "Whether the thoughts are given to the client too.")];
    const TOOLS: bool = true;
    const MANY: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let form = llm.form();
        if form.is_json || form.has_stop {
            return thoughts_first(request, llm);
        }
        let call = request.ask().instruct(INSTRUCTIONS);
        if options.return_full_response {
            return whole(request, call, llm);
        }
        // What has gone out cannot be taken back, should the model call a tool after it.
        if request.streaming && request.n == 1 && !form.has_tools {
            return streamed(call, llm);
        }
        let choices = llm.ask(call.n(request.n))?;
        Ok(Answer::several(choices.iter().map(answer)))
    }
}

/// The part of a choice that is meant for the client; all of it if there is no such part, or it calls tools.
fn answer(choice: &Choice) -> Answer {
    let part = output(&choice.text).filter(|part| !part.is_empty() && !choice.calls_tools());
    part.map_or_else(|| choice.into(), |part| Answer::excerpt(choice, part))
}

/// The answers as they are.
fn whole(request: &Request, call: Call, llm: &Llm<'_>) -> Result<Answer, Problem> {
    if request.n > 1 {
        return Ok(Answer::several(llm.ask(call.n(request.n))?.iter()));
    }
    llm.deliver(call)?;
    Ok(Answer::delivered())
}

/// Gives the client the answer while it comes.
fn streamed(call: Call, llm: &Llm<'_>) -> Result<Answer, Problem> {
    let mut reply = llm.open(call)?;
    let mut output = Output::default();
    llm.progress("thinking");
    while let Some(piece) = reply.next_piece()? {
        llm.emit(output.read(&piece));
    }
    llm.emit(output.rest());
    if output.has_begun() {
        return Ok(Answer::delivered());
    }
    Ok(answer(&reply.whole()?))
}

/// Thinks in a question of its own. If that fails, the client gets an answer without thoughts.
fn thoughts_first(request: &Request, llm: &Llm<'_>) -> Result<Answer, Problem> {
    match llm.ask(request.ask().user(THINK).aside().step("thoughts")) {
        Ok(thoughts) if thoughts.one().says_something() => {
            whole(request, request.ask().user(THINK).after(thoughts.one()).user(ANSWER), llm)
        }
        Ok(_) => whole(request, request.ask(), llm),
        Err(failure) => whole(request, request.ask(), llm).map_err(|_| failure.into()),
    }
}

pointsman_approach::export!(CotReflection);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, battery_with, play_fixtures};

    const TEXT: &str =
        "<thinking>2+2 <reflection>yes</reflection></thinking>\n<output>\nIt is <b>4</b>. </output>\nBye.";

    fn harness() -> Harness<CotReflection> {
        Harness::new().question("2+2?")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<CotReflection>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<CotReflection>();
        battery_with::<CotReflection>(r#"{"return_full_response": true}"#);
    }

    #[test]
    fn the_client_gets_the_output_alone_streamed_or_not() {
        for harness in [harness(), harness().streaming()] {
            let run = harness.run(Script::new().reply(TEXT));
            assert_eq!((run.text(), run.calls(), run.depth()), ("It is <b>4</b>.", 1, 1));
            assert_eq!(run.streamed(), harness.request.streaming);
            assert!(run.asked("answer").starts_with("Answer in this form:"));
        }
    }

    #[test]
    fn all_is_given_where_all_is_wanted_or_there_is_no_output() {
        let full = harness().config(r#"{"return_full_response": true}"#);
        assert_eq!(full.run(Script::new().reply(TEXT)).text(), TEXT);
        for text in ["Just 4.", "<thinking>cut off", "<output></output>"] {
            assert_eq!(harness().run(Script::new().reply(text)).text(), text);
            assert_eq!(harness().streaming().run(Script::new().reply(text)).text(), text);
        }
    }

    #[test]
    fn a_form_of_the_clients_own_holds_for_the_answer_and_not_for_the_thoughts() {
        for (name, value) in [("response_format", r#"{"type": "json_object"}"#), ("stop", r#"["\n"]"#)] {
            let script =
                Script::new().reply("two, four").at("thoughts").reply("{\"sum\": 4}").to("two, four").at("answer");
            let run = harness().parameter(name, value).streaming().run(script);
            assert_eq!((run.text(), run.streamed(), run.depth()), ("{\"sum\": 4}", true, 2));
        }
        let failing = Script::new().fail(FailureKind::Throttled).at("thoughts").reply("{}").at("answer");
        assert_eq!(harness().parameter("stop", "\"x\"").run(failing).text(), "{}");
        let text = harness().parameter("response_format", r#"{"type": "text"}"#).parameter("stop", "null");
        assert_eq!(text.run(Script::new().reply(TEXT)).calls(), 1);
    }

    #[test]
    fn several_answers_are_one_question() {
        let run = harness().n(2).run(Script::new().choices([TEXT, "5"]));
        assert_eq!((run.texts(), run.calls()), (vec!["It is <b>4</b>.", "5"], 1));
    }
}
