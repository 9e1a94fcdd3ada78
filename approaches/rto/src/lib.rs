//! Writes code, describes it, writes it again from the description alone, and merges the two where they differ.
//!
//! Allamanis et al., "Unsupervised Evaluation of Code LLMs with Round-Trip Correctness", 2024
//! (<https://arxiv.org/abs/2402.08699>), as a way to answer: Patched RTC (Sharma, 2024,
//! <https://arxiv.org/abs/2407.16557>). What does not survive the way through its description is likely to be an
//! accident. 1 to 4 choices, of the same depth; the merger streams.
//!
//! An answer without code is returned at once, and one whose code comes back the same as it is, with what is said
//! around the code.

use pointsman_approach::text::fenced;
use pointsman_approach::{Answer, Approach, Call, Choice, Llm, NoOptions, Problem, Request};

/// The approach `rto`.
#[derive(Debug)]
pub struct RoundTrip;

const DESCRIBE: &str = "Describe the code of your answer so that somebody who has not seen it could write it again: \
                        the language, what goes in and comes out, the rules in between, the cases at the edges. Do \
                        not quote any code.";

const WRITE: &str = "Write the code that is described here. Reply with the code alone, in one block fenced by ```.";

const MERGE: &str = "Below are two programs for this, which were written independently of each other. Where they \
                     differ, one of them may be wrong. Answer the question with one program that is right: take what \
                     is right from both, and explain no more than was asked, in the language that the question calls \
                     for.";

impl Approach for RoundTrip {
    type Options = NoOptions;

    const TOOLS: bool = true;

    fn run(request: &Request, _: NoOptions, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let first = llm.ask(request.ask().step("code"))?;
        let first = first.one();
        let Some(code) = fenced(first.visible()).filter(|_| first.is_whole() && !first.calls_tools()) else {
            return Ok(first.into());
        };
        llm.progress("writing the code again");
        let Some(again) = round_trip(request, first, llm) else { return Ok(first.into()) };
        if alike(code, &again) {
            return Ok(first.into());
        }
        llm.progress("merging two versions");
        let both = format!("{MERGE}\n\nFirst program:\n```\n{code}\n```\n\nSecond program:\n```\n{again}\n```");
        match llm.deliver(request.ask().user(both).step("merger")) {
            Ok(_) => Ok(Answer::delivered()),
            Err(_) => Ok(first.into()),
        }
    }
}

/// The code that comes of the description of the code, if all goes well.
fn round_trip(request: &Request, first: &Choice, llm: &Llm<'_>) -> Option<String> {
    let described = llm.ask(request.ask().after(first).user(DESCRIBE).aside().step("description")).ok()?;
    let described = described.one();
    if !described.says_something() {
        return None;
    }
    let written = Call::new().user(format!("{WRITE}\n\n{}", described.visible())).step("code again");
    let again = llm.ask(written).ok()?;
    let again = again.one();
    fenced(again.visible()).filter(|_| again.is_whole()).map(str::to_owned)
}

/// True when two programs are the same but for blanks.
fn alike(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

pointsman_approach::export!(RoundTrip);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, play_fixtures};

    const FIRST: &str = "Here it is:\n```python\nprint(2 + 2)\n```\nIt adds.";

    fn harness() -> Harness<RoundTrip> {
        Harness::new().question("Print the sum of 2 and 2.")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<RoundTrip>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<RoundTrip>();
    }

    #[test]
    fn what_differs_is_merged_and_streams() {
        let script =
            Script::new().reply(FIRST).at("code").reply("In Python, print the sum of two twos.").at("description");
        let script = script.reply("```python\nprint(sum([2, 2]))\n```").at("code again").reply("print(4)").at("merger");
        let run = harness().streaming().run(script);
        assert_eq!((run.text(), run.streamed(), run.calls(), run.depth()), ("print(4)", true, 4, 4));
        let again = run.asked("code again");
        assert!(!again.contains("sum of 2") && again.ends_with("print the sum of two twos."), "{again}");
        assert!(run.asked("merger").contains("print(2 + 2)") && run.asked("merger").contains("print(sum([2, 2]))"));
    }

    #[test]
    fn the_whole_first_answer_is_returned_where_the_code_comes_back() {
        let script = Script::new().reply(FIRST).reply("Python.").reply("```py\nprint(2  +  2)\n```");
        let run = harness().run(script);
        assert_eq!((run.text(), run.calls()), (FIRST, 3));
    }

    #[test]
    fn an_answer_without_code_is_the_answer() {
        assert_eq!(harness().run(Script::new().reply("I cannot do that.")).calls(), 1);
    }

    #[test]
    fn whatever_fails_later_the_first_answer_is_returned() {
        let described = || Script::new().reply(FIRST).reply("Python.");
        let failing = [
            Script::new().reply(FIRST).fail(FailureKind::Throttled),
            Script::new().reply(FIRST).reply(""),
            described().fail(FailureKind::Exhausted),
            described().reply("no code"),
            described().reply("```\nother\n```").fail(FailureKind::Unavailable),
        ];
        for script in failing {
            assert_eq!(harness().run(script).text(), FIRST);
        }
    }
}
