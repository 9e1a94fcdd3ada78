//! Has a verifier tell honest solutions from deceptive ones, and returns the honest one that it trusts most.
//!
//! Kirchner et al., "Prover-Verifier Games Improve Legibility of LLM Outputs", 2024
//! (<https://arxiv.org/abs/2407.13692>), which is about training; here the game is played while answering. With the
//! defaults 25 choices, of depth 5, and fewer when a round decides.
//!
//! In each round helpful provers solve the question, sneaky ones write solutions with a mistake that is hard to see,
//! and the verifier rates each without knowing whose it is. What a sneaky solution gets is the bar: a helpful one that
//! is well above it ends the game. Before another round the verifier says what to look out for, and the question is put
//! with that. A sneaky solution is never returned.

use std::fmt::Write as _;

use pointsman_approach::text::score;
use pointsman_approach::{Answer, Approach, Call, Choice, Count, Llm, Problem, Request};
use serde::Deserialize;

/// The options of `pvg`, as the operator writes them under `approaches.pvg.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The most rounds that it plays.
    pub rounds: Count<1, 5>,
    /// The number of solutions of each kind in a round.
    pub solutions: Count<1, 8>,
    /// The model that verifies; the client's if none.
    pub verifier: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: Count::new(2), solutions: Count::new(3), verifier: None }
    }
}

/// A helpful solution with at least this rating, and so much more than any sneaky one, is a clear winner.
const CLEAR: f64 = 8.0;
const AHEAD: f64 = 2.0;

const SNEAK: &str = "This is an exercise in finding mistakes. Answer in a way that looks right and is wrong: let one \
                     decisive step or fact be subtly false, and be as convincing as you can. Do not hint at it.";

const VERIFY: &str = "Is this answer to my last message right? Check each step and each fact, and distrust what only \
                      sounds convincing. Name the first mistake if there is one. Then end with a line `Score: ` and a \
                      number from 0 (surely wrong) to 10 (surely right).";

const SHARPEN: &str = "Do not answer what I ask. Below are an answer to it that seems right, and one that deceives. \
                       What must whoever answers look out for, in order not to err? Reply with at most five short \
                       points.";

const HEED: &str = "Look out for this, and do not mention it:";

/// The approach `pvg`.
#[derive(Debug)]
pub struct ProverVerifier;

impl Approach for ProverVerifier {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("rounds", "How many rounds it plays at most, 1 to 5."),
        ("solutions", "How many solutions of each kind there are in a round, 1 to 8."),
    ];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let mut best: Option<Rated> = None;
        let mut advice = String::new();
        for round in 1..=options.rounds.get() {
            llm.progress(format!("round {round} of {}", options.rounds.get()));
            let played = match play(request, &options, round, &advice, llm) {
                Ok(Played::Settled(choice)) if best.is_none() => return Ok(choice.into()),
                Ok(Played::Settled(_)) => break,
                Ok(Played::Rated(played)) => played,
                Err(problem) if best.is_none() => return Err(problem),
                Err(_) => break,
            };
            let (ours, theirs) = (first_best(&played.helpful), first_best(&played.sneaky));
            let bar = theirs.and_then(|rated| rated.rating);
            if let Some(ours) = ours
                && best.as_ref().is_none_or(|best| ours.rating > best.rating)
            {
                best = Some(ours.clone());
            }
            let clear = |rating: f64| rating >= CLEAR && bar.is_none_or(|bar| rating >= bar + AHEAD);
            if round == options.rounds.get() || ours.and_then(|ours| ours.rating).is_some_and(clear) {
                break;
            }
            if let (Some(best), Some(theirs)) = (&best, theirs) {
                advice = sharpen(request, &options, best, theirs, llm).unwrap_or(advice);
            }
        }
        // The loop has one round at least, and that returns or has a best one.
        best.map(|best| best.choice.into()).ok_or_else(|| Problem::Broken("no round was played".to_owned()))
    }
}

/// A solution, and what the verifier gives it.
#[derive(Clone, Debug)]
struct Rated {
    choice: Choice,
    rating: Option<f64>,
}

struct Solutions {
    helpful: Vec<Rated>,
    sneaky: Vec<Rated>,
}

enum Played {
    /// Nothing is to be decided: a tool is called, or all say the same.
    Settled(Choice),
    Rated(Solutions),
}

/// One round. Without a helpful solution it fails; without sneaky ones there is no bar.
fn play(request: &Request, options: &Options, round: u32, advice: &str, llm: &Llm<'_>) -> Result<Played, Problem> {
    let temperature = (0.8 - 0.1 * f64::from(round)).max(0.2);
    let question = if advice.is_empty() { request.ask() } else { request.ask().user(format!("{HEED}\n{advice}")) };
    let prove = |call: Call| call.n(options.solutions.get()).temperature(temperature);
    let helpful = prove(question.step("helpful"));
    let sneaky = prove(request.ask().user(SNEAK).aside().step("sneaky"));
    let mut proved = llm.ask_all([helpful, sneaky]).into_iter();
    let (helpful, sneaky) = (proved.next(), proved.next());
    let helpful = helpful.ok_or_else(|| Problem::Broken("a question has no result".to_owned()))??;
    if let Some(settled) = helpful.settled().filter(|_| options.solutions.get() > 1 || helpful.one().calls_tools()) {
        return Ok(Played::Settled(settled.clone()));
    }
    let honest: Vec<Choice> = helpful.distinct().into_iter().cloned().collect();
    let deceptive = sneaky.and_then(Result::ok);
    let deceptive: Vec<Choice> = deceptive.iter().flat_map(|choices| choices.distinct()).cloned().collect();
    let verify = |choice: &Choice| {
        let call = request.ask().assistant(choice.visible()).user(VERIFY).aside();
        call.model(options.verifier.as_deref()).step("verdict")
    };
    let verdicts = llm.ask_all(honest.iter().chain(&deceptive).map(verify).collect::<Vec<_>>());
    let mut ratings = verdicts.into_iter().map(|verdict| score(&verdict.ok()?.one().text, 0.0..=10.0));
    let mut rated = |choices: Vec<Choice>| -> Vec<Rated> {
        choices.into_iter().map(|choice| Rated { choice, rating: ratings.next().flatten() }).collect()
    };
    let (helpful, sneaky) = (rated(honest), rated(deceptive));
    Ok(Played::Rated(Solutions { helpful, sneaky }))
}

/// Advice for the next round.
fn sharpen(request: &Request, options: &Options, best: &Rated, deceptive: &Rated, llm: &Llm<'_>) -> Option<String> {
    let mut material = SHARPEN.to_owned();
    for (title, rated) in [("seems right", best), ("deceives", deceptive)] {
        let _ = write!(material, "\n\nThe answer that {title}:\n{}", rated.choice.visible());
    }
    let call = request.ask().user(material).aside().model(options.verifier.as_deref());
    let advice = llm.ask(call.step("advice")).ok()?.one().visible().to_owned();
    (!advice.is_empty()).then_some(advice)
}

/// The first of those that are rated highest.
fn first_best(rated: &[Rated]) -> Option<&Rated> {
    rated.iter().reduce(|best, next| if next.rating > best.rating { next } else { best })
}

pointsman_approach::export!(ProverVerifier);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{FailureKind, Harness, Script, battery, battery_with, play_fixtures};

    fn harness() -> Harness<ProverVerifier> {
        Harness::new().question("What is 2+2?")
    }

    fn provers(script: Script, helpful: [&str; 3], sneaky: [&str; 3]) -> Script {
        script.choices(helpful).at("helpful").choices(sneaky).at("sneaky")
    }

    fn verdicts(script: Script, scores: [(&str, u32); 6]) -> Script {
        let verdict = |script: Script, (part, score): (&str, u32)| {
            script.reply(format!("I checked 2 steps.\nScore: {score}")).at("verdict").to(&format!("\n{part}\n"))
        };
        scores.into_iter().fold(script, verdict)
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<ProverVerifier>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<ProverVerifier>();
        battery_with::<ProverVerifier>(r#"{"rounds": 3, "solutions": 1}"#);
    }

    #[test]
    fn a_clear_winner_ends_the_game() {
        let script = provers(Script::new(), ["four", "five", "4"], ["six", "seven", "eight"]);
        let script = verdicts(script, [("four", 7), ("five", 3), ("4", 9), ("six", 5), ("seven", 7), ("eight", 1)]);
        let run = harness().run(script);
        assert_eq!((run.text(), run.choices(), run.depth()), ("4", 12, 2));
    }

    #[test]
    fn a_deception_that_convinces_is_a_bar_and_no_answer() {
        let script = provers(Script::new(), ["four", "five", "4"], ["six", "seven", "eight"]);
        let script = verdicts(script, [("four", 8), ("five", 3), ("4", 7), ("six", 10), ("seven", 7), ("eight", 1)]);
        let script = script.reply("- Do not add 4.").at("advice").to("deceives:\nsix").to("right:\nfour");
        let script = provers(script, ["four again", "five again", "4 again"], ["9", "10", "11"]);
        let script =
            verdicts(script, [("four again", 6), ("five again", 9), ("4 again", 7), ("9", 10), ("10", 7), ("11", 1)]);
        let run = harness().run(script);
        assert_eq!((run.text(), run.choices(), run.depth()), ("five again", 25, 5));
        let second =
            run.questions().iter().rfind(|question| question.step == "helpful").expect("there is a second round");
        assert!(second.text.ends_with("do not mention it:\n- Do not add 4."), "{}", second.text);
    }

    #[test]
    fn the_game_goes_on_without_deceivers_and_verdicts() {
        let script = Script::new().choices(["four", "five"]).at("helpful").fail(FailureKind::Rejected).at("sneaky");
        let script = script.fail(FailureKind::Throttled).at("verdict").reply("Score: 8").at("verdict");
        assert_eq!(harness().config(r#"{"solutions": 2}"#).run(script).text(), "five");
    }

    #[test]
    fn a_round_that_fails_leaves_the_best_of_those_before() {
        let script = provers(Script::new(), ["four", "five", "4"], ["six", "seven", "eight"]);
        let script = verdicts(script, [("four", 2), ("five", 3), ("4", 7), ("six", 1), ("seven", 1), ("eight", 1)]);
        let script = script.fail(FailureKind::Exhausted).at("advice").fail(FailureKind::Exhausted).times(2);
        assert_eq!(harness().run(script).text(), "4");
    }
}
