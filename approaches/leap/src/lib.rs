//! Makes mistakes on the examples in a question on purpose, learns principles from them, and answers by these.
//!
//! Zhang et al., "In-Context Principle Learning from Mistakes", ICML 2024 (<https://arxiv.org/abs/2402.05403>). It pays
//! where the question holds worked examples. Without any it answers at once: 2 choices, of depth 2. With E examples on
//! which M mistakes are made there are up to 3 + E + M choices, of depth 5, since the examples do not wait for each
//! other. The answer streams.

use pointsman_approach::text::{final_answer, numbered, tagged, visible};
use pointsman_approach::{Answer, Approach, Call, Choices, Count, Failure, Llm, Problem, Request, json};
use serde::Deserialize;

/// The options of `leap`, as the operator writes them under `approaches.leap.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The most examples from which it learns.
    pub examples: Count<1, 32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { examples: Count::new(8) }
    }
}

/// A worked example.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Example {
    question: String,
    answer: String,
}

/// The most principles by which it answers.
const PRINCIPLES: usize = 8;

const EXTRACT: &str = "Do not answer yet. Does what I ask hold worked examples: questions of the same kind together \
                       with their answers? Reply with a JSON list of them within <output></output>, each \
                       {\"question\": \"...\", \"answer\": \"...\"}, both texts. Without examples the list is empty.";

const ERR: &str = "Answer this question with a mistake that somebody might well make: reason step by step, and let \
                   one step be wrong. Do not say which. Put the final answer within <output></output>.";

const LEARN: &str = "This question was answered wrongly. Say in one or two sentences where the reasoning went wrong. \
                     Then give one or two general principles that would have prevented it, as a numbered list, \
                     without what is particular to this question.";

const MERGE: &str =
    "Merge these principles into a numbered list of at most eight that do not overlap. Reply with the list alone.";

const APPLY: &str = "Answer in the language that the question calls for. Keep these principles in mind, and do not \
                     mention them:";

/// The approach `leap`.
#[derive(Debug)]
pub struct Leap;

impl Approach for Leap {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("examples", "From how many examples it learns at most, 1 to 32.")];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let (examples, failure) = match llm.ask(request.ask().user(EXTRACT).aside().step("examples")) {
            Ok(choices) => (read_examples(&choices.one().text), None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        let most = options.examples.get() as usize;
        let principles = learn(examples.get(..most).unwrap_or(&examples), llm);
        let call = if principles.is_empty() {
            request.ask()
        } else {
            request.ask().user(format!("{APPLY}\n{}", listed(&principles)))
        };
        match llm.deliver(call) {
            Ok(_) => Ok(Answer::delivered()),
            Err(last) => Err(failure.unwrap_or(last).into()),
        }
    }
}

/// The examples in a reply: those in its output, in a fenced block within or around it, or in its first list.
fn read_examples(reply: &str) -> Vec<Example> {
    let text = visible(reply);
    let within = tagged(text, "output").unwrap_or(text);
    let (Some(start), Some(end)) = (within.find('['), within.rfind(']')) else { return Vec::new() };
    let mut examples: Vec<Example> = within.get(start..=end).and_then(|list| json(list).ok()).unwrap_or_default();
    examples.retain(|example| !example.question.trim().is_empty() && !example.answer.trim().is_empty());
    examples
}

/// The principles that the examples teach; none, if no mistake is made on them.
fn learn(examples: &[Example], llm: &Llm<'_>) -> Vec<String> {
    if examples.is_empty() {
        return Vec::new();
    }
    llm.progress(format!("making mistakes on {} examples", examples.len()));
    let err =
        |example: &Example| Call::new().user(format!("{ERR}\n\n{}", example.question)).temperature(0.7).step("mistake");
    let tried = llm.ask_all(examples.iter().map(err));
    let mistakes = examples.iter().zip(tried).filter_map(|(example, tried)| {
        let mistake = said(tried)?;
        is_wrong(&mistake, &example.answer).then_some((example, mistake))
    });
    let teach = |(example, mistake): (&Example, String)| {
        let Example { question, answer } = example;
        let material = format!("Question: {question}\n\nWrong answer: {mistake}\n\nRight answer: {answer}");
        Call::new().user(format!("{LEARN}\n\n{material}")).step("principles")
    };
    let lessons: Vec<_> = llm.ask_all(mistakes.map(teach).collect::<Vec<_>>()).into_iter().filter_map(said).collect();
    if lessons.len() < 2 {
        return first(lessons.iter().flat_map(|lesson| numbered(lesson)));
    }
    llm.progress("merging what was learned");
    let merged = said(llm.ask(Call::new().user(format!("{MERGE}\n\n{}", lessons.join("\n\n"))).step("merger")));
    merged.map_or_else(|| first(lessons.iter().flat_map(|lesson| numbered(lesson))), |merged| first(numbered(&merged)))
}

/// True when the answer of a text is not the right one, as far as they can be compared.
fn is_wrong(text: &str, right: &str) -> bool {
    let given = tagged(text, "output").unwrap_or(text);
    let compared = |answer: &str| final_answer(answer).unwrap_or_else(|| answer.trim().to_lowercase());
    compared(given) != compared(right)
}

fn first(principles: impl IntoIterator<Item = String>) -> Vec<String> {
    principles.into_iter().take(PRINCIPLES).collect()
}

fn said(result: Result<Choices, Failure>) -> Option<String> {
    result.ok().map(|choices| choices.one().visible().to_owned()).filter(|text| !text.is_empty())
}

fn listed(principles: &[String]) -> String {
    let lines: Vec<_> = (1..).zip(principles).map(|(number, text)| format!("{number}. {text}")).collect();
    lines.join("\n")
}

pointsman_approach::export!(Leap);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, play_fixtures};

    const EXAMPLES: &str =
        r#"<output>[{"question": "1+1?", "answer": "2"}, {"question": "2*3?", "answer": "6"}]</output>"#;

    fn harness() -> Harness<Leap> {
        Harness::new().question("1+1? 2. 2*3? 6. 3+4?")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Leap>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<Leap>();
    }

    #[test]
    fn mistakes_teach_principles_by_which_it_answers() {
        let script =
            Script::new().reply(EXAMPLES).reply("<output>3</output>").to("1+1").reply("<output>5</output>").to("2*3");
        let script = script.reply("It miscounts.\n1. Count twice.").to("1+1").reply("1. Add in steps.").to("2*3");
        let run = harness()
            .streaming()
            .run(script.reply("1. Count.\n2. Step.").at("merger").reply("7").to("1. Count.\n2. Step."));
        assert_eq!((run.text(), run.streamed(), run.calls(), run.depth()), ("7", true, 7, 5));
    }

    #[test]
    fn an_example_that_comes_out_right_teaches_nothing() {
        let script =
            Script::new().reply(EXAMPLES).reply("<output>2.0</output>").to("1+1").reply("<output>5</output>").to("2*3");
        let run = harness().run(script.reply("1. Add in steps.\n2. Look.").to("2*3").reply("7"));
        assert!(run.asked("answer").ends_with("1. Add in steps.\n2. Look."), "{}", run.asked("answer"));
        assert_eq!(run.calls(), 5);
    }

    #[test]
    fn without_examples_it_answers_at_once() {
        for reply in ["<output>[]</output>", "There are none.", "[not json]", ""] {
            let run = harness().run(Script::new().reply(reply).at("examples").reply("7").at("answer"));
            assert_eq!((run.text(), run.calls(), run.asked("answer")), ("7", 2, "1+1? 2. 2*3? 6. 3+4?"));
        }
        let failing = || Script::new().fail(FailureKind::TooLong).at("examples");
        assert_eq!(harness().run(failing().reply("7")).text(), "7");
        assert_eq!(harness().run(failing().fail(FailureKind::Throttled)).failed(), FailureKind::TooLong);
    }

    #[test]
    fn examples_are_found_however_they_are_wrapped() {
        let one = [Example { question: "1+1?".to_owned(), answer: "2".to_owned() }];
        for wrapped in [
            "```json\n[{\"question\": \"1+1?\", \"answer\": \"2\"}]\n```",
            "<output>\n[{\"answer\": \"2\", \"question\": \"1+1?\"}]",
        ] {
            assert_eq!(read_examples(wrapped), one);
        }
        assert!(read_examples(r#"[{"question": "1+1?"}]"#).is_empty());
    }
}
