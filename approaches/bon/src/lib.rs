//! Asks for several answers, has each of them rated, and returns the best.
//!
//! Best of N with a judge: Cobbe et al., "Training Verifiers to Solve Math Word Problems", 2021
//! (<https://arxiv.org/abs/2110.14168>), with a model as the judge as in Zheng et al., "Judging LLM-as-a-Judge with
//! MT-Bench and Chatbot Arena", 2023 (<https://arxiv.org/abs/2306.05685>). N and one for each different answer: with
//! the defaults 6 choices, of depth 2, since the ratings do not wait for each other.
//!
//! Each answer is rated in a conversation of its own, so that none is compared with its neighbours. A rating that fails
//! or cannot be read is no rating: who has one goes before who has none, and of equals the first is returned.

use pointsman_approach::text::score;
use pointsman_approach::{Answer, Approach, Choice, Count, Llm, Problem, Request, Temperature};
use serde::Deserialize;

/// The options of `bon`, as the operator writes them under `approaches.bon.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of answers that are asked for.
    pub best_of_n: Count<1, 64>,
    /// The temperature at which they are sampled.
    pub temperature: Temperature,
    /// The model that rates; the client's if none.
    pub judge: Option<String>,
    /// The most tokens that a rating may have. A reasoning model spends them on its thoughts first.
    pub judge_max_tokens: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        let (best_of_n, temperature) = (Count::new(3), Temperature::new(1.0));
        Self { best_of_n, temperature, judge: None, judge_max_tokens: None }
    }
}

const RATE: &str = "How good is this answer to my last message? Judge by whether it is correct, complete and does \
                    what was asked for. Reply with one number from 0 (useless) to 10 (could not be better), and \
                    nothing else.";

/// The approach `bon`.
#[derive(Debug)]
pub struct BestOfN;

impl Approach for BestOfN {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("best_of_n", "How many answers are asked for, 1 to 64."), ("temperature", "At which temperature, 0 to 2.")];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let Options { best_of_n, temperature, judge, judge_max_tokens } = options;
        let call = request.ask().n(best_of_n.get()).temperature(temperature).step("candidates");
        if best_of_n.get() == 1 {
            llm.deliver(call)?;
            return Ok(Answer::delivered());
        }
        let candidates = llm.ask(call)?;
        if let Some(settled) = candidates.settled() {
            return Ok(settled.into());
        }
        let distinct = candidates.distinct();
        llm.progress(format!("rating {} candidates", distinct.len()));
        let rate = |candidate: &&Choice| {
            let call = request.ask().assistant(candidate.visible()).user(RATE).aside();
            call.model(judge.as_deref()).max_tokens(judge_max_tokens).step("rating")
        };
        let ratings = llm.ask_all(distinct.iter().map(rate));
        let mut best = (candidates.first_usable(), None);
        for (candidate, rating) in distinct.into_iter().zip(ratings) {
            let rating = rating.ok().and_then(|rating| score(&rating.one().text, 0.0..=10.0));
            if rating > best.1 {
                best = (candidate, rating);
            }
        }
        Ok(best.0.into())
    }
}

pointsman_approach::export!(BestOfN);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{
        FailureKind, Finish, Harness, Reply, Script, battery, battery_with, play_fixtures,
    };

    fn harness() -> Harness<BestOfN> {
        Harness::new().question("What is 2+2?")
    }

    fn script() -> Script {
        Script::new().choices(["five", "four", "six"]).at("candidates")
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<BestOfN>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<BestOfN>();
        battery_with::<BestOfN>(r#"{"best_of_n": 1}"#);
    }

    #[test]
    fn the_best_rated_is_returned_after_two_rounds() {
        let script = script().reply("2/10").to("five").reply("**9**").to("four").reply("Score: 3.5").to("six");
        let run = harness().run(script);
        assert_eq!((run.text(), run.calls(), run.choices(), run.depth()), ("four", 4, 6, 2));
        assert!(run.asked("rating").starts_with("What is 2+2?\nfive\nHow good"));
    }

    #[test]
    fn ties_go_to_the_first_and_the_unrated_last() {
        assert_eq!(harness().run(script().reply("7").at("rating").times(3)).text(), "five");
        let script = script().fail(FailureKind::Throttled).reply("hard to say").reply("0");
        assert_eq!(harness().run(script).text(), "six");
        assert_eq!(harness().run(self::script().fail(FailureKind::Exhausted).times(3)).text(), "five");
    }

    #[test]
    fn what_is_cut_off_empty_or_said_twice_is_not_rated() {
        let cut = Reply { finish: Finish::Length, ..Reply::new("fou") };
        let replies =
            [cut, Reply::new("<think>hm</think>"), Reply::new("5"), Reply::new("<think>4?</think>5"), Reply::new("4")];
        let script = Script::new().replies(replies).reply("1").to("5").reply("2").to("4");
        assert_eq!(harness().config(r#"{"best_of_n": 5}"#).run(script).text(), "4");
    }

    #[test]
    fn one_that_is_usable_is_not_rated() {
        assert_eq!(harness().run(Script::new().choices(["4", "", "4 "])).text(), "4");
        let run = harness().streaming().config(r#"{"best_of_n": 1}"#).run(Script::new().reply("4"));
        assert_eq!((run.text(), run.streamed()), ("4", true));
    }

    #[test]
    fn a_judge_of_its_own_rates() {
        let run = harness().config(r#"{"judge": "small", "judge_max_tokens": 9}"#).run(script().reply("5").times(3));
        let models: Vec<_> = run.questions().iter().map(|question| question.model.as_deref()).collect();
        assert_eq!(models, [None, Some("small"), Some("small"), Some("small")]);
    }

    #[test]
    fn options_say_what_would_be_right() {
        let refused = harness().config(r#"{"best_of_n": 0}"#).run(Script::new());
        assert_eq!(refused.unsuitable(), "best_of_n: invalid value: integer `0`, expected a whole number from 1 to 64");
    }
}
