//! Returns the final answer that most of many samples share.
//!
//! Plurality voting as in Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models", ICLR
//! 2023 (<https://arxiv.org/abs/2203.11171>), for questions that have one short answer. With the defaults 8 choices, of
//! depth 1.
//!
//! Numbers are compared as numbers, options by their letter, and of each sample the last answer counts that it
//! announces; the first sample of those that won is returned as it is. Where nobody announces any, whole texts vote.

use pointsman_approach::text::final_answer;
use pointsman_approach::{Answer, Approach, Count, Llm, Problem, Request, Temperature, vote};
use serde::Deserialize;

/// The options of `majority_voting`, as the operator writes them under `approaches.majority_voting.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of answers that are asked for.
    pub k: Count<1, 128>,
    /// The temperature at which they are sampled.
    pub temperature: Temperature,
}

impl Default for Options {
    fn default() -> Self {
        Self { k: Count::new(8), temperature: Temperature::new(0.6) }
    }
}

/// The approach `majority_voting`.
#[derive(Debug)]
pub struct MajorityVoting;

impl Approach for MajorityVoting {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] =
        &[("k", "How many answers are asked for, 1 to 128."), ("temperature", "At which temperature, 0 to 2.")];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let samples = llm.ask(request.ask().n(options.k.get()).temperature(options.temperature).step("samples"))?;
        if let Some(settled) = samples.settled() {
            return Ok(settled.into());
        }
        let usable = samples.usable();
        let by_answer = vote(usable.iter().map(|sample| final_answer(&sample.text)));
        let won = by_answer.or_else(|| vote(usable.iter().map(|sample| Some(sample.visible()))));
        Ok(won.map_or_else(|| samples.first_usable(), |won| usable[won.first]).into())
    }
}

pointsman_approach::export!(MajorityVoting);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{Finish, Harness, Reply, Script, battery, play_fixtures};

    fn winner(samples: &[&str]) -> String {
        let config = format!(r#"{{"k": {}}}"#, samples.len());
        let script = Script::new().choices(samples.iter().copied());
        Harness::<MajorityVoting>::new().config(&config).run(script).text().to_owned()
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<MajorityVoting>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<MajorityVoting>();
    }

    #[test]
    fn numbers_vote_as_numbers_and_options_by_their_letter() {
        assert_eq!(winner(&["The answer is 7.", "The answer is $1,000.", "#### 1000.00"]), "The answer is $1,000.");
        assert_eq!(winner(&["I take (a)\nA", "It is this:\n(B)", "The answer is b."]), "It is this:\n(B)");
    }

    #[test]
    fn the_last_answer_of_a_sample_counts() {
        assert_eq!(
            winner(&["the answer is 3", "the answer is 3. No: the answer is 4", "\\boxed{4}"])[..15],
            *"the answer is 3"
        );
        assert!(winner(&["the answer is 3", "the answer is 3. No: the answer is 4", "\\boxed{4}"]).ends_with('4'));
    }

    #[test]
    fn whole_texts_vote_where_there_is_no_answer() {
        let (cat, dog) = ["There was a cat in it.", "There was a dog in it."].into();
        assert_eq!(winner(&[cat, dog, dog]), dog);
        assert_eq!(winner(&[cat, dog, "There were birds in it."]), cat);
    }

    #[test]
    fn what_is_cut_off_has_no_vote() {
        let cut = || Reply { finish: Finish::Length, ..Reply::new("the answer is 5") };
        let script = Script::new().replies([cut(), cut(), Reply::new("4"), Reply::new("5")]);
        assert_eq!(Harness::<MajorityVoting>::new().config(r#"{"k": 4}"#).run(script).text(), "4");
    }
}
