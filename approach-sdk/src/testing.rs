//! A test kit that runs an approach natively, against a model that says what is written down.
//!
//! ```
//! # use pointsman_approach::{Answer, Approach, Llm, NoOptions, Problem, Request};
//! # struct Best;
//! # impl Approach for Best {
//! #     type Options = NoOptions;
//! #     fn run(request: &Request, _: NoOptions, llm: &Llm<'_>) -> Result<Answer, Problem> {
//! #         let drafts = llm.ask(request.ask().n(2).step("drafts"))?;
//! #         let _ = llm.ask(request.ask().after(&drafts[0]).user("Is it right?").aside().step("check"));
//! #         Ok((&drafts[1]).into())
//! #     }
//! # }
//! use pointsman_approach::testing::{FailureKind, Harness, Script};
//!
//! let script = Script::new().choices(["5", "4"]).fail(FailureKind::Throttled).at("check");
//! let run = Harness::<Best>::new().question("2+2?").run(script);
//! assert_eq!(run.text(), "4");
//! assert_eq!((run.calls(), run.choices(), run.depth()), (2, 3, 2));
//! assert!(run.asked("check").contains("2+2?"));
//! ```
//!
//! [`play_fixtures`] plays JSON files, for what is easier to say as data. [`battery`] tries what every approach has
//! to stand. The host plays the same files and the same battery to the finished component.

#![expect(clippy::panic, reason = "a test kit reports by panicking")]

mod native;

use std::marker::PhantomData;
use std::path::Path;

use pointsman_fixture::approach as data;

pub use data::{Failure, FailureKind, Finish, Manner, Model, Question, Reply, Script};

use crate::Approach;
use native::Native;

/// Runs an approach on a request that a test puts together.
#[derive(Clone, Debug)]
pub struct Harness<A> {
    /// The request, to be changed by a test. At first the question `2+2?`, for one answer that is not streamed.
    pub request: data::Request,
    approach: PhantomData<A>,
}

impl<A: Approach> Default for Harness<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Approach> Harness<A> {
    /// One with no options.
    pub fn new() -> Self {
        Self { request: data::Request::new("2+2?"), approach: PhantomData }
    }

    /// Asks this question, and nothing before it.
    #[must_use]
    pub fn question(mut self, question: &str) -> Self {
        self.request.messages = data::Request::new(question).messages;
        self
    }

    /// Asks this conversation, a JSON list of messages.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    #[track_caller]
    pub fn messages(mut self, json: &str) -> Self {
        self.request.messages = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        self
    }

    /// Gives it these options, a JSON object.
    ///
    /// # Panics
    ///
    /// If they are none.
    #[must_use]
    #[track_caller]
    pub fn config(mut self, json: &str) -> Self {
        self.request.config = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        self
    }

    /// Adds a parameter to the client's request, a JSON value.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    #[track_caller]
    pub fn parameter(mut self, name: &str, json: &str) -> Self {
        let value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        self.request.parameters.insert(name.to_owned(), value);
        self
    }

    /// The client reads a stream.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.request.streaming = true;
        self
    }

    /// The client wants so many answers.
    #[must_use]
    pub fn n(mut self, n: u32) -> Self {
        self.request.n = n;
        self
    }

    /// There may be so many choices.
    #[must_use]
    pub fn budget(mut self, choices: u32) -> Self {
        self.request.budget.calls = choices;
        self
    }

    /// Its dice fall so.
    #[must_use]
    pub fn entropy(mut self, entropy: u64) -> Self {
        self.request.entropy = entropy;
        self
    }

    /// Runs it against a script.
    ///
    /// # Panics
    ///
    /// If it asks what the script does not expect, does not ask what it does, or breaks the contract.
    #[track_caller]
    pub fn run(&self, mut script: Script) -> Run {
        let run = self.run_against(&mut script);
        if let Some(complaint) = script.complaint() {
            panic!("{complaint}");
        }
        run
    }

    /// Runs it against any model: `&mut |question: &Question| Ok(vec![Reply::new("4"); question.n as usize])`.
    ///
    /// # Panics
    ///
    /// If it breaks the contract.
    #[track_caller]
    pub fn run_against(&self, model: &mut dyn Model) -> Run {
        let mut player = data::Player::new(model);
        let mut native = Native::<A>::new();
        let outcome = data::Subject::run(&mut native, &self.request, &mut player);
        if let Err(data::Problem::Broken(how)) = &outcome
            && native.broke
        {
            panic!("{how}");
        }
        let (calls, choices, depth) = (player.calls(), player.choices(), player.depth());
        Run { outcome, calls, choices, depth, questions: player.questions().to_vec(), notes: native.notes }
    }
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Run {
    outcome: data::Outcome,
    calls: u32,
    choices: u32,
    depth: u32,
    questions: Vec<Question>,
    notes: Vec<String>,
}

impl Run {
    /// The text of the only answer.
    ///
    /// # Panics
    ///
    /// If there is none, or more than one.
    #[track_caller]
    pub fn text(&self) -> &str {
        match self.answers() {
            [answer] => &answer.text,
            answers => panic!("there are {} answers: {answers:?}", answers.len()),
        }
    }

    /// The texts of the answers.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn texts(&self) -> Vec<&str> {
        self.answers().iter().map(|answer| answer.text.as_str()).collect()
    }

    /// The answers.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn answers(&self) -> &[data::Final] {
        match &self.outcome {
            Ok(answers) => answers,
            Err(problem) => panic!("there is no answer: {problem:?}"),
        }
    }

    /// True when the answer went out as it came.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn streamed(&self) -> bool {
        self.answers().iter().all(|answer| answer.streamed)
    }

    /// The failure that the run gives as its cause.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn failed(&self) -> FailureKind {
        match &self.outcome {
            Err(data::Problem::Failed(failure)) => failure.kind,
            outcome => panic!("it has not failed because of a question: {outcome:?}"),
        }
    }

    /// The sentence with which it refused the request.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[track_caller]
    pub fn unsuitable(&self) -> &str {
        match &self.outcome {
            Err(data::Problem::Unsuitable(why)) => why,
            outcome => panic!("it has not refused the request: {outcome:?}"),
        }
    }

    /// Questions to the model.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Choices that they asked for.
    pub fn choices(&self) -> u32 {
        self.choices
    }

    /// The number of questions that had to wait for each other.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The step of each question.
    pub fn steps(&self) -> Vec<&str> {
        self.questions.iter().map(|question| question.step.as_str()).collect()
    }

    /// The text of the first question of this step, all its messages.
    ///
    /// # Panics
    ///
    /// If there was none.
    #[track_caller]
    pub fn asked(&self, step: &str) -> &str {
        let found = self.questions.iter().find(|question| question.step == step);
        found.map_or_else(|| panic!("{step:?} was not asked, but {:?}", self.steps()), |question| &question.text)
    }

    /// The questions.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// The notes on its progress.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Plays the fixtures in a folder (`*.json`), or the one in a file. A relative path begins at the package, where cargo
/// runs tests.
///
/// ```json
/// {"name": "takes the best rated", "approach": {"config": {"best_of_n": 2}},
///  "request": {"messages": [{"role": "user", "content": "2+2?"}]},
///  "model": [{"step": "candidates", "n": 2, "replies": ["5", "4"]},
///            {"step": "rating", "reply": "2/10"}, {"step": "rating", "reply": {"text": "9", "usage": [80, 2]}}],
///  "expect": {"content": "4", "calls": 3, "choices": 4, "depth": 2, "streamed": false}}
/// ```
///
/// The documentation of the module `approach` of the crate `pointsman-fixture` shows everything that can stand there.
///
/// # Panics
///
/// If there is no fixture, one cannot be read, or one goes otherwise than it says; with what is wrong in each.
#[track_caller]
pub fn play_fixtures<A: Approach>(place: impl AsRef<Path>) {
    let fixtures = data::read(place.as_ref()).unwrap_or_else(|problem| panic!("{problem}"));
    let mut problems = Vec::new();
    for data::File { path, fixture } in fixtures {
        let played = fixture.and_then(|fixture| {
            let played = fixture.play(&mut Native::<A>::new());
            played.map_err(|problem| format!("{}: {problem}", fixture.name()))
        });
        problems.extend(played.err().map(|problem| format!("{}: {problem}", path.display())));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Tries what every approach has to stand: requests without a question, without text, with images alone, of a megabyte;
/// models that are silent, cut off, or answer what was not asked; questions that fail, each in turn, and a budget that
/// runs out at each; tools, streams, several answers; and that the same seed asks the same questions.
///
/// # Panics
///
/// With what is wrong.
#[track_caller]
pub fn battery<A: Approach>() {
    battery_with::<A>("{}");
}

/// [`battery`], with options.
///
/// # Panics
///
/// With what is wrong.
#[track_caller]
pub fn battery_with<A: Approach>(config: &str) {
    let config = serde_json::from_str(config).unwrap_or_else(|error| panic!("{error}: {config}"));
    let problems = data::battery::play(&mut Native::<A>::new(), &config);
    let (count, some) = (problems.len(), problems.iter().take(20).cloned().collect::<Vec<_>>());
    assert!(problems.is_empty(), "{count} problems, of which the first are\n{}", some.join("\n"));
}

#[cfg(test)]
mod tests;
