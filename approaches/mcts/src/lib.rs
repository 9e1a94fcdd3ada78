//! Plays on how a dialogue would continue after each of several answers, and returns the answer that does best.
//!
//! Monte Carlo tree search over the turns of a dialogue, inspired by Xie et al., "Monte Carlo Tree Search Boosts
//! Reasoning via Iterative Preference Learning", 2024 (<https://arxiv.org/abs/2405.00451>); the descent is UCT (Kocsis
//! and Szepesvári, "Bandit Based Monte-Carlo Planning", 2006). With the defaults 18 choices, of depth 10.
//!
//! Each simulation descends from the root by UCT to an answer that nobody has answered yet, asks for three ways to go
//! on from there, has the model say what the user would reply to each, draws one of them, plays it on, and has the
//! dialogue rated. Of the answers to the client's question the one that was rated most often is returned, of equals the
//! one with the higher mean.

mod tree;

use pointsman_approach::text::score;
use pointsman_approach::{Answer, Approach, Call, Choices, Count, Dice, Failure, Llm, Problem, Request};
use serde::Deserialize;
use tree::{Node, Tree};

/// The options of `mcts`, as the operator writes them under `approaches.mcts.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The number of games that it plays.
    pub mcts_simulations: Count<1, 64>,
    /// The weight of trying what it knows little of, against what is known to be good; 0 or more.
    pub mcts_exploration: f64,
    /// The number of turns that it plays beyond its tree.
    pub mcts_depth: Count<0, 8>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mcts_simulations: Count::new(2), mcts_exploration: 0.2, mcts_depth: Count::new(1) }
    }
}

/// Ways to go on from a turn.
const WAYS: u32 = 3;

const REPLY: &str = "Step out of the dialogue for a moment. What would the user most likely say next? Reply with that \
                     message alone, in the user's words.";

const RATE: &str = "Step out of the dialogue for a moment. How well does the assistant serve the user in it: is what \
                    it says right, complete, and what was asked for? Reply with one number from 0 (useless) to 1 \
                    (could not be better), and nothing else.";

/// The approach `mcts`.
#[derive(Debug)]
pub struct Mcts;

impl Approach for Mcts {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("mcts_simulations", "How often it plays, 1 to 64."),
        ("mcts_exploration", "How much it tries what it knows little of, 0 or more."),
        ("mcts_depth", "How many turns it plays beyond what it has in the tree, 0 to 8."),
    ];
    const TOOLS: bool = true;

    fn check(options: &Options) -> Result<(), String> {
        let exploration = options.mcts_exploration;
        let fits = exploration.is_finite() && exploration >= 0.0;
        if fits { Ok(()) } else { Err(format!("mcts_exploration: must be a number of 0 or more, not {exploration}")) }
    }

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let answers = llm.ask(request.ask().n(WAYS).temperature(1.0).step("answers"))?;
        if let Some(settled) = answers.settled() {
            return Ok(settled.into());
        }
        let mut search = Search { request, options: &options, llm, dice: request.dice(), tree: Tree::new() };
        search.grow(Tree::ROOT, &answers);
        for number in 1..=options.mcts_simulations.get() {
            llm.progress(format!("simulation {number} of {}", options.mcts_simulations.get()));
            search.simulate();
        }
        // The first nodes of the tree stand for these, in their order.
        let distinct = answers.distinct();
        let best = search.tree.best().and_then(|place| distinct.get(place).copied());
        Ok(best.unwrap_or_else(|| answers.first_usable()).into())
    }
}

struct Search<'r> {
    request: &'r Request,
    options: &'r Options,
    llm: &'r Llm<'r>,
    dice: Dice,
    tree: Tree,
}

impl Search<'_> {
    /// One descent, one step of growth, one game to the end, one rating.
    fn simulate(&mut self) {
        let mut leaf = self.tree.descend(self.options.mcts_exploration);
        // The children of the root are there from the start, and have no replies of the user's yet in the first game.
        if leaf != Tree::ROOT && self.tree.may_grow(leaf) {
            let ways = self.llm.ask(self.dialogue(self.tree.turns(leaf)).n(WAYS).temperature(1.0).step("ways"));
            if let Ok(ways) = ways {
                self.grow(leaf, &ways);
            }
        }
        if let Some(child) = self.dice.pick(self.tree.children(leaf)) {
            leaf = *child;
        }
        let mut turns = self.tree.turns(leaf);
        for _ in 0..self.options.mcts_depth.get() {
            if turns.last().is_some_and(|(_, reply)| reply.is_none()) {
                break;
            }
            let next = said(self.llm.ask(self.dialogue(turns.clone()).temperature(1.0).step("playing on")));
            let Some(next) = next else { break };
            turns.push((next, None));
            let reply = said(self.llm.ask(self.dialogue(turns.clone()).user(REPLY).temperature(1.0).step("reply")));
            if let Some(last) = turns.last_mut() {
                last.1 = reply;
            }
        }
        let rating = self.llm.ask(self.dialogue(turns).user(RATE).step("rating"));
        let rating = rating.ok().and_then(|rating| score(&rating.one().text, 0.0..=1.0));
        self.tree.learn(leaf, rating);
    }

    /// Hangs the different ones among `choices` below `parent`, each with what the user would reply to it.
    fn grow(&mut self, parent: usize, choices: &Choices) {
        let before = self.tree.turns(parent);
        let texts: Vec<String> = choices.distinct().iter().map(|choice| choice.visible().to_owned()).collect();
        let ask = |text: &String| {
            let turns = before.iter().cloned().chain([(text.clone(), None)]).collect();
            self.dialogue(turns).user(REPLY).temperature(1.0).step("reply")
        };
        let replies = self.llm.ask_all(texts.iter().map(ask).collect::<Vec<_>>());
        for (text, reply) in texts.into_iter().zip(replies) {
            self.tree.add(Node::new(parent, text, said(reply)));
        }
    }

    /// The client's conversation and what is imagined to follow.
    fn dialogue(&self, turns: Vec<(String, Option<String>)>) -> Call {
        turns.into_iter().fold(self.request.ask().aside(), |call, (answer, reply)| {
            let call = call.assistant(answer);
            reply.map_or_else(|| call.clone(), |reply| call.clone().user(reply))
        })
    }
}

fn said(result: Result<Choices, Failure>) -> Option<String> {
    result.ok().map(|choices| choices.one().visible().to_owned()).filter(|text| !text.is_empty())
}

pointsman_approach::export!(Mcts);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{
        FailureKind, Harness, Question, Reply, Script, battery, battery_with, play_fixtures,
    };

    fn harness() -> Harness<Mcts> {
        Harness::new().question("Hello")
    }

    /// Likes one answer, and counts what it says.
    fn admirer(
        liked: &'static str,
    ) -> impl FnMut(&Question) -> Result<Vec<Reply>, pointsman_approach::testing::Failure> {
        let mut said = 0;
        move |question| {
            let mut next = || {
                said += 1;
                match question.step.as_str() {
                    "answers" => Reply::new(["good", "bad", "ugly"][said % 3]),
                    "rating" if question.text.contains(liked) => Reply::new("0.9"),
                    "rating" => Reply::new("0.1"),
                    step => Reply::new(format!("{step} {said}")),
                }
            };
            Ok((0..question.n).map(|_| next()).collect())
        }
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Mcts>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<Mcts>();
        battery_with::<Mcts>(r#"{"mcts_simulations": 5, "mcts_depth": 2}"#);
        battery_with::<Mcts>(r#"{"mcts_simulations": 3, "mcts_depth": 0}"#);
    }

    #[test]
    fn two_simulations_cost_what_the_table_says() {
        let run = harness().run_against(&mut admirer("good"));
        assert_eq!((run.choices(), run.depth()), (18, 10));
    }

    #[test]
    fn the_answer_that_does_best_is_returned() {
        for liked in ["good", "bad", "ugly"] {
            for seed in 0..10 {
                let harness = harness().entropy(seed).config(r#"{"mcts_simulations": 8}"#);
                assert_eq!(harness.run_against(&mut admirer(liked)).text(), liked);
            }
        }
    }

    #[test]
    fn without_a_rating_the_first_answer_is_returned() {
        let mut silent = |question: &Question| match question.step.as_str() {
            "answers" => Ok(["a", "b", "c"].map(Reply::new).to_vec()),
            _ => Err(pointsman_approach::testing::Failure::new(FailureKind::Exhausted)),
        };
        assert_eq!(harness().run_against(&mut silent).text(), "a");
    }

    #[test]
    fn exploration_has_no_upper_bound_but_a_lower_one() {
        let refused = harness().config(r#"{"mcts_exploration": -1}"#).run(Script::new());
        assert_eq!(refused.unsuitable(), "mcts_exploration: must be a number of 0 or more, not -1");
    }
}
