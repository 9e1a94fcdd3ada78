//! Has the model read the question twice.
//!
//! Xu et al., "Re-Reading Improves Reasoning in Large Language Models", EMNLP 2024
//! (<https://arxiv.org/abs/2309.06275>): a model that reads from left to right understands the first words of a
//! question better when it has seen the last ones. One choice for each answer, of depth 1.

use pointsman_approach::{Answer, Approach, Llm, NoOptions, Problem, Request};

/// The approach `re2`.
#[derive(Debug)]
pub struct Re2;

impl Approach for Re2 {
    type Options = NoOptions;

    const TOOLS: bool = true;
    const MANY: bool = true;

    fn run(request: &Request, _: NoOptions, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let question = request.text();
        let call = if question.trim().is_empty() {
            request.ask()
        } else {
            request.ask().question(format!("{question}\n\nRead the question again: {question}"))
        };
        if request.n > 1 {
            return Ok(Answer::several(llm.ask(call.n(request.n))?.iter()));
        }
        llm.deliver(call)?;
        Ok(Answer::delivered())
    }
}

pointsman_approach::export!(Re2);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, play_fixtures};

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Re2>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<Re2>();
    }

    #[test]
    fn the_question_is_asked_twice_and_the_answer_streams() {
        let run = Harness::<Re2>::new().question("2+2?").streaming().run(Script::new().reply("4"));
        assert_eq!((run.text(), run.streamed(), run.calls()), ("4", true, 1));
        assert_eq!(run.asked("answer"), "2+2?\n\nRead the question again: 2+2?");
    }

    #[test]
    fn several_answers_are_one_question() {
        let run = Harness::<Re2>::new().n(3).run(Script::new().choices(["a", "b", "c"]));
        assert_eq!((run.texts(), run.calls()), (vec!["a", "b", "c"], 1));
    }

    #[test]
    fn there_are_no_more_answers_than_a_question_may_want() {
        let run = Harness::<Re2>::new().n(1_000).run(Script::new().reply("4"));
        assert_eq!((run.texts().len(), run.choices()), (128, 128));
    }

    #[test]
    fn a_failure_is_the_clients() {
        let run = Harness::<Re2>::new().run(Script::new().fail(FailureKind::TooLong));
        assert_eq!(run.failed(), FailureKind::TooLong);
    }
}
