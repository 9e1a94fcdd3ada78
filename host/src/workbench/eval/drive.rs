//! Puts the questions to the real proxy, as a client of it: queue, strategy, failover and limits hold.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, Limited};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::data::Item;
use super::profile::Profile;
use super::pupil::{ASKED, Pupil};
use super::report::{Answered, Report, Tested};
use crate::approach::Unavailable;
use crate::clients::Keys;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::provider::client::{Clients, Player, SetupError, set_up_tls};
use crate::provider::{Fleet, checks, facts};
use crate::proxy::Proxy;
use crate::proxy::approach::Approaches;
use crate::proxy::dispatch::Clock;
use crate::proxy::endpoint::{Endpoint, LABELS};
use crate::proxy::entropy::Entropy;
use crate::proxy::generation::Generation;
use crate::proxy::intake::budget::Budget;
use crate::proxy::request::{Approach, RequestBody};
use crate::proxy::respond::chain;
use crate::proxy::serve::Arrived;
use crate::proxy::telling::Telling;
use crate::proxy::within;
use crate::queue::Queue;
use crate::routing::{Candidate, Decision, Facts, Report as Ended, Routes, Strategy, StrategyHealth};
use crate::strategy::Succession;
use crate::wasm::LoadError;

/// Midnight of 1 January 2026, in milliseconds since 1970: when evaluations of played models begin.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// A larger answer is a failure.
const MAX_ANSWER: usize = 16 << 20;

/// The bytes of an answer that the report keeps, from its end.
const KEPT: usize = 400;

/// The approaches, the questions, and who answers them.
pub struct Evaluation {
    /// The proxy.
    pub config: Config,
    /// The model that is asked for.
    pub model: String,
    /// The questions.
    pub items: Vec<Item>,
    /// The approaches; the first is what the others are compared with.
    pub contenders: Vec<Contender>,
    /// Questions at once.
    pub parallel: usize,
    /// Plays all providers, on a virtual clock.
    pub played: Option<Profile>,
}

/// One of the approaches that are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    /// Its name in the report.
    pub shown: String,
    /// The choice, as a client makes it.
    pub expression: String,
    /// Members of the client's body.
    pub options: Map<String, Value>,
}

/// Makes the report of what there is so far.
pub type SoFar<'f> = &'f dyn Fn() -> Report;

/// The reason why an evaluation did not run.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// An approach does not exist, or cannot be used.
    #[error("{0}")]
    Approach(String),
    /// A strategy does not load.
    #[error("strategy `{name}` {error}")]
    Strategy {
        /// Its name.
        name: String,
        /// The reason.
        error: LoadError,
    },
    /// The system does not allow it.
    #[error("the providers cannot be set up here")]
    Setup(#[from] SetupError),
    /// The system does not allow it.
    #[error("there is no runtime for it")]
    Runtime(#[from] std::io::Error),
}

/// Runs an evaluation. Answers that `known` has are not asked for again; `note` is told of each answer, and can have the
/// report so far. Not to be called on a Tokio runtime: it has one of its own, whose clock is virtual where the model is played.
///
/// # Errors
///
/// [`EvalError`]
pub fn evaluate(
    evaluation: Evaluation,
    empty: Report,
    known: Option<Report>,
    note: &mut dyn FnMut(&Contender, usize, SoFar<'_>),
) -> Result<Report, EvalError> {
    let config = &evaluation.config;
    let approaches = Arc::new(Approaches::new(config, None));
    check(&approaches, &evaluation.contenders)?;
    let ledger = Arc::new(Ledger::default());
    let mut strategies: Vec<Arc<dyn Strategy>> = Vec::new();
    let routes = config.routes.iter().map(|route| (route.strategy.as_ref(), facts::on(route, config)));
    for (own, facts) in routes.chain([(None, facts::everything(config))]) {
        let choice = own.unwrap_or(&config.strategy);
        let loaded = Succession::simulated(choice, facts);
        let strategy = loaded.map_err(|error| EvalError::Strategy { name: choice.name.clone(), error })?;
        strategies.push(Arc::new(Booked { strategy, ledger: Arc::clone(&ledger) }));
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(evaluation.played.is_some());
    let runtime = runtime.build()?;
    let report = runtime.block_on(drive(&evaluation, (approaches, strategies, ledger), (empty, known), note));
    // A name resolution that is still running must not delay the end.
    runtime.shutdown_background();
    report
}

/// Loads what is chosen, so that nothing of it takes the time of a question.
fn check(approaches: &Approaches, contenders: &[Contender]) -> Result<(), EvalError> {
    for Contender { shown, expression, .. } in contenders {
        let wrong = |why: String| EvalError::Approach(format!("--approach {shown}: {why}"));
        let approach: Approach = expression.parse().map_err(|error| wrong(format!("{error}")))?;
        approaches.menu.check(&approach).map_err(|error| wrong(error.to_string()))?;
        let Approach::Run(expression) = approach else { continue };
        for name in expression.branches().iter().flatten() {
            let loaded = approaches.registry.load(name);
            loaded.map_err(|error: Unavailable| wrong(format!("{name} {}", chain(&error))))?;
        }
    }
    Ok(())
}

/// The money that was spent.
#[derive(Debug, Default)]
struct Ledger(Mutex<f64>);

/// A strategy that decides as it does, and whose costs are added up.
struct Booked {
    strategy: Arc<Succession>,
    ledger: Arc<Ledger>,
}

impl Strategy for Booked {
    fn name(&self) -> &str {
        self.strategy.name()
    }

    fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Decision {
        self.strategy.decide(facts, candidates)
    }

    fn reason(&self, reason: u32) -> Option<String> {
        self.strategy.reason(reason)
    }

    fn health(&self) -> StrategyHealth {
        self.strategy.health()
    }

    fn wants_prompt(&self) -> bool {
        self.strategy.wants_prompt()
    }

    fn learn(&self, report: Ended) {
        *self.ledger.0.lock() += report.cost;
        self.strategy.learn(report);
    }
}

/// The proxy, as one client sees it.
struct World<'e> {
    evaluation: &'e Evaluation,
    proxy: Arc<Proxy>,
    requests: TaskTracker,
}

async fn drive(
    evaluation: &Evaluation,
    (approaches, strategies, ledger): (Arc<Approaches>, Vec<Arc<dyn Strategy>>, Arc<Ledger>),
    (empty, known): (Report, Option<Report>),
    note: &mut dyn FnMut(&Contender, usize, SoFar<'_>),
) -> Result<Report, EvalError> {
    let Evaluation { config, items, contenders, parallel, played, .. } = evaluation;
    let seed = played.map_or(0, |profile| profile.seed);
    let clients = match played {
        None => {
            set_up_tls();
            Clients::default()
        }
        Some(profile) => {
            let pupil: Arc<dyn Player> = Arc::new(Pupil::new(*profile, Arc::new(items.clone())));
            let names = config.providers.iter().map(|provider| provider.name.clone());
            Clients::played(names.map(|name| (name, Arc::clone(&pupil))).collect())
        }
    };
    let metrics = Arc::new(Metrics::new(&LABELS));
    let drafts = Fleet::drafts_by(clients, config)?;
    let fleet = match played {
        None => Fleet::new(config, drafts, &metrics, None),
        Some(_) => Fleet::seeded(config, drafts, &metrics, None, seed),
    };
    fleet.take_over(None);
    let strategies: Vec<_> = strategies.into_iter().map(|strategy| metrics.timed(strategy)).collect();
    let routes = Routes::of_config(config, &strategies, None);
    let (checking, stop) = (TaskTracker::new(), CancellationToken::new());
    checks::start(&fleet, &checking, &stop, seed as u32);
    let book = Arc::default();
    let generation = Generation::new(1, config, (Arc::clone(&fleet), routes, approaches), Arc::clone(&book), false);
    let (queue, requests) = (Queue::new(&config.queue), TaskTracker::new());
    let budget = Budget::new(usize::MAX);
    let clients = Arc::new(Keys::new(config, book));
    let proxy = Proxy::new((generation, clients), queue, metrics, requests.clone(), CancellationToken::new(), budget);
    let proxy = match played {
        None => proxy,
        Some(_) => {
            let clock = Clock::Simulated { began: Instant::now(), epoch_ms: EPOCH_MS };
            proxy.simulated(Entropy::seeded(seed), clock)
        }
    };
    let world = World { evaluation, proxy: Arc::new(proxy), requests };
    let has_prices = config.providers.iter().any(|provider| provider.price.is_some())
        || config.routes.iter().flat_map(|route| &route.targets).any(|target| target.price.is_some());
    let mut report = empty;
    for (place, contender) in contenders.iter().enumerate() {
        let mut before = known.iter().flat_map(|known| &known.approaches);
        let before = before.find(|tested| tested.approach == contender.shown);
        let mut answers: HashMap<String, Answered> = HashMap::new();
        for answer in before.iter().flat_map(|tested| &tested.answers).filter(|answer| answer.failure.is_none()) {
            answers.insert(answer.id.clone(), answer.clone());
        }
        let spent = before.and_then(|tested| tested.cost).unwrap_or_default();
        let begun = *ledger.0.lock();
        let cost = || has_prices.then(|| spent + *ledger.0.lock() - begun);
        let summed = |report: &Report, answers: &HashMap<String, Answered>| {
            let ordered = items.iter().filter_map(|item| answers.get(&item.id).cloned()).collect();
            let first = report.approaches.first().map(|first| first.answers.as_slice());
            Tested::of(&contender.shown, ordered, cost(), first)
        };
        let todo: Vec<(usize, &Item)> =
            items.iter().enumerate().filter(|(_, item)| !answers.contains_key(&item.id)).collect();
        let asked = todo.into_iter().map(|(index, item)| world.ask((place, contender), (index, item)));
        let mut asked = stream::iter(asked).buffer_unordered((*parallel).max(1));
        while let Some(answer) = asked.next().await {
            answers.insert(answer.id.clone(), answer);
            let so_far = || {
                let mut report = report.clone();
                report.approaches.push(summed(&report, &answers));
                report
            };
            note(contender, answers.len(), &so_far);
        }
        drop(asked);
        let tested = summed(&report, &answers);
        report.approaches.push(tested);
    }
    stop.cancel();
    checking.close();
    checking.wait().await;
    Ok(report)
}

impl World<'_> {
    /// Puts a question, and grades the answer.
    async fn ask(&self, (place, contender): (usize, &Contender), (index, item): (usize, &Item)) -> Answered {
        let began = Instant::now();
        let answered = self.answer((place, contender), (index, item)).await;
        let seconds = began.elapsed().as_secs_f64();
        let id = item.id.clone();
        match answered {
            Err(failure) => Answered { id, failure: Some(failure), seconds, ..Answered::default() },
            Ok(answered) => {
                let Whole { text, calls, choices, prompt_tokens, completion_tokens } = answered;
                let right = item.is_right(&text);
                let answer = end_of(&text);
                Answered { id, right, failure: None, answer, calls, choices, prompt_tokens, completion_tokens, seconds }
            }
        }
    }

    async fn answer(
        &self,
        (place, contender): (usize, &Contender),
        (index, item): (usize, &Item),
    ) -> Result<Whole, String> {
        let Evaluation { model, .. } = self.evaluation;
        let generation = self.proxy.generation();
        let mut body = json!({"model": model, "messages": item.messages, "optillm_approach": contender.expression});
        for (key, value) in &contender.options {
            body[key.as_str()] = value.clone();
        }
        let body = RequestBody::json(body.to_string().into(), None, &generation.approaches.menu);
        let body = body.map_err(|error| error.to_string())?;
        let endpoint = Endpoint::of(&Method::POST, "/v1/chat/completions").map_err(|error| error.sentence())?;
        let mut headers = HeaderMap::new();
        if self.evaluation.played.is_some()
            && let Ok(asked) = HeaderValue::try_from(format!("{place} {index}"))
        {
            headers.insert(HeaderName::from_static(ASKED), asked);
        }
        let (method, at) = (Method::POST, Instant::now());
        let id = self.proxy.request_id(&headers);
        let (path, metrics) = ("/v1/chat/completions".to_owned(), Arc::clone(self.proxy.metrics()));
        let story = Telling::new(id, Method::POST, path, metrics, self.requests.token());
        let arrived = Arrived { method, endpoint, query: None, headers: headers.into(), body, reserved: None, at };
        let response = within::follow(&self.proxy, generation, arrived, story).await;
        let (head, body) = response.into_parts();
        let said = head.headers.get("x-pointsman-approach").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let counted = |key: &str| {
            let part = said.split("; ").find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
            part.and_then(|count| count.parse().ok()).unwrap_or(1)
        };
        let (calls, choices) = (counted("calls"), counted("choices"));
        let whole = Limited::new(Box::pin(body), MAX_ANSWER).collect().await;
        let whole = whole.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes();
        let answer: Value = serde_json::from_slice(&whole).unwrap_or_default();
        if !head.status.is_success() {
            let message = answer["error"]["message"].as_str().unwrap_or("no reason was given");
            return Err(format!("{}: {}", head.status.as_u16(), message.chars().take(200).collect::<String>()));
        }
        let message = &answer["choices"][0]["message"];
        let text = message["content"].as_str().unwrap_or_default().to_owned();
        let count = |key: &str| answer["usage"][key].as_u64().unwrap_or_default();
        let (prompt_tokens, completion_tokens) = (count("prompt_tokens"), count("completion_tokens"));
        Ok(Whole { text, calls, choices, prompt_tokens, completion_tokens })
    }
}

/// An answer that has come whole.
struct Whole {
    text: String,
    calls: u64,
    choices: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
}

fn end_of(text: &str) -> String {
    let start = text.len().saturating_sub(KEPT);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default().to_owned()
}
