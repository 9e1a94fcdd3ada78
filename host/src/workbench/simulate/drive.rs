//! Generates requests, and follows each through the real proxy to its end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::actor::{Actor, DRAWN, Drawn};
use super::arrivals::{Asked, Coming, Played, recorded};
use super::dice::Dice;
use super::reading::pass;
use super::scenario::{MAX_REQUESTS, Scenario, ScenarioError, Script};
use super::tally::used::Used;
use super::tally::{Known, Report, Sample, micros, report};
use super::watched::Watched;
use crate::clients::Keys;
use crate::config::{Config, Env};
use crate::limits::Nano;
use crate::listener::Closer;
use crate::metrics::Metrics;
use crate::observe::Ledger;
use crate::provider::client::{Clients, Player, SetupError};
use crate::provider::{Fleet, Provider, checks, facts};
use crate::proxy::Proxy;
use crate::proxy::approach::{self, Agenda, Approaches};
use crate::proxy::attempt::{Answered, Content};
use crate::proxy::dispatch::{Clock, Job};
use crate::proxy::endpoint::{Endpoint, LABELS};
use crate::proxy::entropy::Entropy;
use crate::proxy::generation::Generation;
use crate::proxy::intake::budget::Budget;
use crate::proxy::models;
use crate::proxy::request::{Approach, RequestBody};
use crate::proxy::respond::ProxyError;
use crate::proxy::serve::Arrived;
use crate::proxy::telling::Telling;
use crate::queue::Queue;
use crate::routing::{Outcome, OutcomeKind, Routes, Strategy};
use crate::strategy::Succession;
use crate::wasm::LoadError;

/// Midnight of 1 January 2026, in milliseconds since 1970: the time of day at which every simulation begins.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// The approximate number of bytes per token of English text.
const BYTES_PER_TOKEN: f64 = 4.0;

/// The reason why a simulation did not run.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The scenario is wrong.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The strategy does not load.
    #[error("strategy `{name}` {error}")]
    Strategy {
        /// Which.
        name: String,
        /// The reason.
        error: LoadError,
    },
    /// The ledger whose requests are to be played.
    #[error("the ledger {path} cannot be read: {error}")]
    Ledger {
        /// Where it is.
        path: String,
        /// The reason.
        error: std::io::Error,
    },
    /// The system does not allow it.
    #[error("the simulation cannot be set up here")]
    Setup(#[from] SetupError),
    /// The system does not allow it.
    #[error("there is no runtime for it")]
    Runtime(#[from] std::io::Error),
}

/// Simulates a scenario with a strategy: a built-in one, a name under `strategies` of its `proxy`, or a path ending in
/// `.wasm`, relative to its file. `requests` limits their number. Not to be called on a Tokio runtime: it has one of
/// its own, whose clock is virtual.
///
/// # Errors
///
/// [`SimulationError`]
pub fn simulate(
    scenario: &Scenario,
    strategy: &str,
    requests: Option<u64>,
    env: &Env<'_>,
) -> Result<Report, SimulationError> {
    simulate_into(scenario, strategy, requests, env, None)
}

/// The same, whose stories are kept in a ledger: as many as it lets wait until the end.
///
/// # Errors
///
/// As [`simulate`].
pub fn simulate_into(
    scenario: &Scenario,
    strategy: &str,
    requests: Option<u64>,
    env: &Env<'_>,
    ledger: Option<&Arc<Ledger>>,
) -> Result<Report, SimulationError> {
    let config = scenario.config(strategy, env, crate::strategy::builtins())?;
    // The strategies of the routes, and of everything else.
    let facts = config.routes.iter().map(|route| (route.strategy.as_ref(), facts::on(route, &config)));
    let everything = (None, facts::everything(&config));
    let mut deciding = Vec::with_capacity(config.routes.len() + 1);
    for (own, facts) in facts.chain([everything]) {
        let choice = own.unwrap_or(&config.strategy);
        let loaded = Succession::simulated(choice, facts);
        let loaded = loaded.map_err(|error| SimulationError::Strategy { name: choice.name.clone(), error })?;
        deciding.push(Arc::new(Watched::new(loaded, own.is_none())));
    }
    let approaches = approach::load(&config, None).map_err(ScenarioError::Invalid)?;
    let asked = serde_json::json!({"model": scenario.script.traffic.model}).to_string();
    if let Ok(asked) = RequestBody::json(asked.into(), None, &approaches.menu)
        && let Some(Approach::Run(expression)) = asked.approach()
    {
        // Now, as the virtual clock would not wait for it. One that does not load fails each request.
        expression.names().for_each(|name| drop(approaches.registry.load(name)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    // Outside the runtime the clock is the real one.
    let began = Instant::now();
    let recorded = recorded(&scenario.script).map_err(|(path, error)| SimulationError::Ledger { path, error })?;
    let plan = Plan { strategy, requests, recorded, ledger };
    let report = runtime.block_on(drive(&scenario.script, (&config, &approaches), deciding, plan))?;
    Ok(Report { took: began.elapsed(), ..report })
}

/// What a simulation is to do beside its scenario.
struct Plan<'a> {
    strategy: &'a str,
    requests: Option<u64>,
    recorded: Option<Played>,
    ledger: Option<&'a Arc<Ledger>>,
}

/// The state that all requests share.
struct World {
    proxy: Arc<Proxy>,
    generation: Arc<Generation>,
    metrics: Arc<Metrics>,
    requests: TaskTracker,
    /// The number of requests without a session, each a conversation of its own.
    alone: AtomicU64,
    began: Instant,
    samples: Mutex<Vec<Sample>>,
}

async fn drive(
    script: &Script,
    (config, approaches): (&Config, &Arc<Approaches>),
    deciding: Vec<Arc<Watched>>,
    Plan { strategy, requests, recorded, ledger }: Plan<'_>,
) -> Result<Report, SimulationError> {
    let began = Instant::now();
    let mut players: HashMap<String, Arc<dyn Player>> = HashMap::new();
    for (stream, (name, behaviour)) in (10..).zip(&script.providers) {
        players.insert(name.clone(), Arc::new(Actor::new(behaviour.clone(), Dice::new(script.seed, stream))));
    }
    let metrics = Arc::new(Metrics::new(&LABELS));
    let drafts = Fleet::drafts_by(Clients::played(players), config)?;
    let fleet = Fleet::seeded(config, drafts, &metrics, None, script.seed);
    fleet.take_over(None);
    let strategies: Vec<_> = deciding.iter().map(|one| metrics.timed(Arc::clone(one) as Arc<dyn Strategy>)).collect();
    let routes = Routes::of_config(config, &strategies, None);
    let (checks, stop) = (TaskTracker::new(), CancellationToken::new());
    checks::start(&fleet, &checks, &stop, script.seed as u32);
    let (requests_in_flight, draining) = (TaskTracker::new(), CancellationToken::new());
    let (queue, budget) = (Queue::new(&config.queue), Budget::new(usize::MAX));
    let book = Arc::default();
    let clients = Arc::new(Keys::new(config, Arc::clone(&book)));
    let generation = Generation::new(1, config, (Arc::clone(&fleet), routes, Arc::clone(approaches)), book, false);
    let proxy = Proxy::new((generation, clients), queue, Arc::clone(&metrics), TaskTracker::new(), draining, budget);
    let clock = Clock::Simulated { began, epoch_ms: EPOCH_MS };
    let proxy = proxy.simulated(Entropy::seeded(script.seed), clock);
    let proxy = Arc::new(match ledger {
        Some(ledger) => proxy.keeping(Arc::clone(ledger)),
        None => proxy,
    });
    let world = Arc::new(World {
        generation: proxy.generation(),
        proxy,
        metrics,
        requests: requests_in_flight,
        alone: AtomicU64::new(0),
        began,
        samples: Mutex::default(),
    });
    let most = requests.map_or(MAX_REQUESTS, |requests| (requests as f64).min(MAX_REQUESTS)) as usize;
    let mut requests_to_come = Coming::of(script, recorded);
    let mut last: f64 = 0.0;
    for _ in 0..most {
        let Some((at, asked)) = requests_to_come.next() else { break };
        if requests.is_none() && at > script.duration {
            break;
        }
        last = at;
        sleep_until(began + Duration::from_secs_f64(at)).await;
        let request = Arc::clone(&world).request(asked);
        world.requests.spawn(request);
    }
    world.requests.close();
    world.requests.wait().await;
    // Now, as the clock of the stories ends with the runtime.
    world.proxy.ledger().settle();
    stop.cancel();
    checks.close();
    checks.wait().await;
    let samples = std::mem::take(&mut *world.samples.lock());
    let known = |provider: &Arc<Provider>| Known {
        name: provider.config.name.clone(),
        is_priced: prices(config, provider),
        attempts: attempts(provider),
        hedges: provider.metrics.hedges.get(),
        account: provider.account().map(|account| Used::of(&provider.config.account, account)),
    };
    let providers: Vec<Known> = fleet.providers().iter().map(known).collect();
    let duration = if requests.is_some() { last.max(0.001) } else { script.duration };
    Ok(report(strategy, script.seed, duration, &providers, Watched::decided_by(&deciding), &samples))
}

/// True when the price of everything that the provider serves is known, or models have prices.
fn prices(config: &Config, provider: &Provider) -> bool {
    let targets = config.routes.iter().flat_map(|route| &route.targets);
    let mut prices = targets.filter(|target| target.provider == provider.index as usize).map(|target| target.price);
    match prices.next() {
        Some(first) if first.is_some() && prices.all(|price| price.is_some()) => true,
        None if provider.config.price.is_some() => true,
        Some(_) | None => !config.prices.models.is_empty() || config.prices.file.is_some(),
    }
}

fn attempts(provider: &Provider) -> BTreeMap<&'static str, u64> {
    let counts = OutcomeKind::ALL.into_iter().map(OutcomeKind::name).zip(provider.metrics.attempts());
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The end of a request, as the client sees it.
struct Ended {
    status: u16,
    provider: Option<u16>,
    first: Instant,
    queue: Duration,
    cost: f64,
}

impl World {
    /// The body that a client would send.
    fn body(&self, asked: &Asked) -> Option<RequestBody> {
        let Asked { model, input_tokens, drawn: Drawn { session, streaming, .. }, .. } = asked;
        let conversation = match session {
            0 => format!("alone {}", self.alone.fetch_add(1, Relaxed)),
            session => session.to_string(),
        };
        let words = "x".repeat((input_tokens * BYTES_PER_TOKEN) as usize);
        let model = serde_json::Value::from(model.as_str());
        let text = format!(
            r#"{{"model":{model},"stream":{streaming},"messages":[{{"role":"user","content":"{conversation} {words}"}}]}}"#
        );
        let menu = &self.generation.approaches.menu;
        let body = RequestBody::json(text.clone().into(), None, menu).ok()?;
        if !body.streaming() || !matches!(body.approach(), Some(Approach::Run(_))) {
            return Some(body);
        }
        // What a stream of approaches has cost shows in its usage alone.
        let text = text.replacen("{", r#"{"stream_options":{"include_usage":true},"#, 1);
        RequestBody::json(text.into(), None, menu).ok()
    }

    async fn request(self: Arc<Self>, asked: Asked) {
        let arrived = Instant::now();
        let token = self.requests.token();
        let story = Telling::new(String::new(), Method::POST, String::new(), Arc::clone(&self.metrics), token);
        let mut story = story.kept_in(self.proxy.ledger());
        story.client = asked.client.as_deref().and_then(|name| self.proxy.clients().named(name));
        let ended = self.follow(&asked, arrived, &mut story).await;
        story.status = Some(ended.status);
        let now = Instant::now();
        let sample = Sample {
            at_ms: u32::try_from((arrived - self.began).as_millis()).unwrap_or(u32::MAX),
            queue_us: micros(ended.queue),
            first_us: micros(ended.first - arrived),
            total_us: micros(now - arrived),
            cost: ended.cost as f32,
            status: ended.status,
            provider: ended.provider,
            attempts: u8::try_from(story.attempts.len()).unwrap_or(u8::MAX),
        };
        self.samples.lock().push(sample);
    }

    async fn follow(&self, asked: &Asked, arrived: Instant, story: &mut Telling) -> Ended {
        let failed = |error: ProxyError, queue| {
            let (status, first) = (error.status().as_u16(), Instant::now());
            Ended { status, provider: None, first, queue, cost: 0.0 }
        };
        let generation = &self.generation;
        let unknown = || failed(models::unknown(generation, &asked.model, None), Duration::ZERO);
        let (Some(body), Ok(endpoint)) = (self.body(asked), Endpoint::of(&Method::POST, "/v1/chat/completions")) else {
            return unknown();
        };
        let mut headers = HeaderMap::new();
        headers.extend(asked.drawn.write().map(|drawn| (http::HeaderName::from_static(DRAWN), drawn)));
        if let (Some(name), session @ 1..) = (&generation.affinity.header, asked.drawn.session) {
            headers.insert(name.clone(), HeaderValue::from(session));
        }
        let (method, at) = (Method::POST, arrived);
        let arrived = Arrived { method, endpoint, query: None, headers: headers.into(), body, reserved: None, at };
        let mut order = match self.proxy.admit(generation, arrived, story).await {
            Ok(order) => order,
            Err(error @ ProxyError::QueueTimeout(_)) => return failed(error, at.elapsed()),
            Err(error) => return failed(error, Duration::ZERO),
        };
        let queue = order.admitted - at;
        if let Some(run) = order.run.take() {
            return self.by_approach(order, *run, story, queue).await;
        }
        let Answered { status, content, outcome, usage, cost: paid, .. } =
            match self.proxy.dispatch(generation, &order, story).await {
                Ok(answered) => answered,
                Err(error) => return failed(error, queue),
            };
        let first = Instant::now();
        let provider = story.provider().map(|provider| provider.index);
        let whole = match content {
            Content::Whole(_) => {
                story.ended(outcome, first);
                story.paid(usage, paid);
                outcome == Outcome::Succeeded
            }
            Content::Passing(passing) => pass(*passing, story).await,
            // Nobody asks for one.
            Content::Switched(_) => false,
        };
        let Some(index) = provider.filter(|_| whole) else {
            return Ended { status: status.as_u16(), provider: None, first, queue, cost: 0.0 };
        };
        let cost = match story.target().and_then(|target| target.price) {
            Some((input, output)) => (input * asked.input_tokens + output * f64::from(asked.drawn.output_tokens)) / 1e6,
            // By `prices`, as the proxy reckons it.
            None => story.cost.map_or(0.0, Nano::dollars),
        };
        Ended { status: status.as_u16(), provider: u16::try_from(index).ok(), first, queue, cost }
    }

    /// Follows a request that approaches answer. It costs what the provider of its answer asks for all the tokens that it took.
    async fn by_approach(&self, job: Job, agenda: Agenda, story: &mut Telling, queue: Duration) -> Ended {
        let token = self.requests.token();
        let next = Telling::new(String::new(), Method::POST, String::new(), Arc::clone(&self.metrics), token);
        let told = std::mem::replace(story, next);
        let route = Arc::clone(&job.among.0);
        let (proxy, generation) = (Arc::clone(&self.proxy), Arc::clone(&self.generation));
        let answered = approach::answer::answer(proxy, generation, (job, agenda), told, Closer::default(), false).await;
        let (head, mut body) = answered.into_parts();
        let mut first = None;
        let mut text = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            first.get_or_insert_with(Instant::now);
            if let Ok(data) = frame.into_data() {
                text.extend_from_slice(&data);
            }
        }
        let first = first.unwrap_or_else(Instant::now);
        let status = head.status.as_u16();
        let named = head.headers.get("x-pointsman-provider").and_then(|name| name.to_str().ok());
        let target = route.targets().iter().find(|target| {
            let provider = self.generation.fleet.provider(target.provider);
            named.is_none_or(|name| provider.config.name == name)
        });
        let Some(target) = target.filter(|_| head.status.is_success()) else {
            return Ended { status, provider: None, first, queue, cost: 0.0 };
        };
        // The whole answer, or the event of a stream that has the usage.
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rev().find(|line| line.contains("\"usage\"")).unwrap_or_default();
        let usage = serde_json::from_str::<serde_json::Value>(last.trim_start_matches("data: ")).unwrap_or_default();
        let tokens = |key: &str| usage["usage"][key].as_f64().unwrap_or(0.0);
        let cost = target.price.map_or(0.0, |(input, output)| {
            (input * tokens("prompt_tokens") + output * tokens("completion_tokens")) / 1e6
        });
        Ended { status, provider: u16::try_from(target.provider).ok(), first, queue, cost }
    }
}
