//! The load: sends requests, checks every byte of every answer, and reads the CPU time of the processes under test.
//!
//! A process of its own for each sample, on one thread. It reads the CPU time of the proxy itself, so that the figures
//! and the replies they are divided by belong to the same moments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

mod asking;
mod rate;

use crate::machine::{Ticks, rss_kib, wakes};
use crate::stats::Quantiles;
use crate::tls;
use crate::wire::{self, Events, script::Script};
use asking::Asking;

/// The time limit for answers that are still awaited at the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of connections for the requests between events.
const BETWEEN: usize = 8;
/// The pause between two measurements of memory.
const GLANCE: Duration = Duration::from_millis(50);

/// The job: the argument of the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The address to send requests to.
    pub address: SocketAddr,
    /// The processes under test.
    pub watched: Vec<u32>,
    /// The process of the mock.
    pub mock: u32,
    /// The number of connections.
    pub connections: usize,
    /// Bytes of the request's body.
    pub body: usize,
    /// The stream to ask for, if any.
    pub events: Option<Events>,
    /// The timing of requests.
    pub pattern: Pattern,
    /// Requests a second of another kind that are asked on connections of their own, between the events.
    pub between: f64,
    /// The certificate of the proxy, where TLS is spoken.
    pub tls: Option<PathBuf>,
    /// Further lines of the head.
    pub fields: String,
    /// True when answers are not compared with what the mock has sent, because the proxy writes them anew.
    pub rewritten: bool,
    /// Seconds before anything counts.
    pub warm_up: f64,
    /// Seconds that count.
    pub seconds: f64,
}

/// The timing of requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pattern {
    /// Each connection sends the next request as soon as it has its answer.
    Closed,
    /// A fixed number of requests per second, whether or not answers have come.
    Rate(f64),
    /// Each connection sends one request, all at the same time.
    Once,
}

/// The measurements: the line that the process prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds that counted.
    pub seconds: f64,
    /// Whole answers in them.
    pub replies: u64,
    /// Events in them, without those that end streams.
    pub events: u64,
    /// Answers by provider, of the whole run.
    pub by_provider: [u64; 2],
    /// CPU time of the processes under test, µs.
    pub watched_us: f64,
    /// The number of times that the processes under test have slept and were woken.
    pub wakes: u64,
    /// CPU time of the mock, µs.
    pub mock_us: f64,
    /// CPU time of the load, µs.
    pub load_us: f64,
    /// The most memory that the processes under test held together.
    pub rss_peak_kib: u64,
    /// From the moment when a request was due to the end of its answer, µs; at a rate.
    pub latency: Option<Quantiles>,
    /// From the start to the first byte of each answer, µs; where all ask once.
    pub first_byte: Option<Quantiles>,
}

/// The counters of the connections.
#[derive(Debug, Default)]
struct Counters {
    replies: AtomicU64,
    events: AtomicU64,
    by_provider: [AtomicU64; 2],
    stop: AtomicBool,
}

/// The state of everything at one moment.
struct Moment {
    at: Instant,
    replies: u64,
    events: u64,
    watched: Ticks,
    wakes: u64,
    mock: Ticks,
    load: Ticks,
}

impl Moment {
    fn now(job: &Job, counters: &Counters) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            replies: counters.replies.load(Relaxed),
            events: counters.events.load(Relaxed),
            watched: Ticks::of_all(&job.watched)?,
            wakes: wakes(&job.watched),
            mock: Ticks::of(job.mock)?,
            load: Ticks::of(std::process::id())?,
        })
    }
}

/// Does the job that `argument` describes in JSON, and prints the sample.
pub fn main(argument: &str) -> anyhow::Result<()> {
    let job: Job = serde_json::from_str(argument).context("the job")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sample = runtime.block_on(run(&Arc::new(job)))?;
    crate::say(&serde_json::to_string(&sample)?);
    Ok(())
}

/// Clients that ask for this, and are connected unless the speed of that is what is measured.
async fn ready(
    job: &Job,
    number: usize,
    events: Option<Events>,
    counters: &Arc<Counters>,
) -> anyhow::Result<Vec<Asking>> {
    let connector = job.tls.as_deref().map(tls::connector).transpose()?;
    let script = (!job.rewritten).then(|| wire::script(events));
    let request: Arc<[u8]> = wire::request(job.address, job.body, events, &job.fields).into();
    let mut asking = Vec::new();
    for _ in 0..number {
        // One after the other, because the speed of accepting connections is measured only by `Once`.
        let connected = match job.pattern {
            Pattern::Once => None,
            Pattern::Closed | Pattern::Rate(_) => Some(asking::connect(job.address, connector.as_ref()).await?),
        };
        asking.push(Asking { connected, request: Arc::clone(&request), script, counters: Arc::clone(counters) });
    }
    Ok(asking)
}

async fn run(job: &Arc<Job>) -> anyhow::Result<Sample> {
    let counters = Arc::new(Counters::default());
    let asking = ready(job, job.connections, job.events, &counters).await?;
    let between = if job.between > 0.0 { ready(job, BETWEEN, None, &counters).await? } else { Vec::new() };
    let start = Instant::now();
    let from = start + Duration::from_secs_f64(job.warm_up);
    let mut tasks = JoinSet::new();
    if !between.is_empty() {
        rate::start(&mut tasks, between, job.between, start, from, job.seconds);
    }
    match job.pattern {
        Pattern::Rate(rate) => rate::start(&mut tasks, asking, rate, start, from, job.seconds),
        Pattern::Closed => {
            // Spread over the gap, or the events of all streams would come together.
            let gap = Duration::from_micros(job.events.map_or(0, |events| events.gap.into()));
            for (index, asking) in (0..).zip(asking) {
                let begin = start + gap * index / u32::try_from(job.connections)?;
                tasks.spawn(closed(asking, begin));
            }
        }
        Pattern::Once => {
            for asking in asking {
                tasks.spawn(once(asking, job.address, start));
            }
        }
    }
    let measured = measure(job, &counters, &mut tasks, from).await?;
    let Measured { begin, end, rss_peak_kib, times } = measured;
    Ok(Sample {
        seconds: (end.at - begin.at).as_secs_f64(),
        replies: end.replies - begin.replies,
        events: end.events - begin.events,
        by_provider: [0, 1].map(|provider: usize| counters.by_provider[provider].load(Relaxed)),
        watched_us: end.watched.since(begin.watched),
        wakes: end.wakes.saturating_sub(begin.wakes),
        mock_us: end.mock.since(begin.mock),
        load_us: end.load.since(begin.load),
        rss_peak_kib,
        latency: matches!(job.pattern, Pattern::Rate(_)).then(|| Quantiles::of(times.clone())).flatten(),
        first_byte: (job.pattern == Pattern::Once).then(|| Quantiles::of(times)).flatten(),
    })
}

struct Measured {
    begin: Moment,
    end: Moment,
    rss_peak_kib: u64,
    /// The times that the connections have measured, in µs.
    times: Vec<f64>,
}

/// Waits for the connections, and measures the processes meanwhile.
async fn measure(
    job: &Job,
    counters: &Counters,
    tasks: &mut JoinSet<anyhow::Result<Vec<f64>>>,
    from: Instant,
) -> anyhow::Result<Measured> {
    let until = from + Duration::from_secs_f64(job.seconds);
    let (mut begin, mut end) = (None, None);
    if job.warm_up == 0.0 {
        begin = Some(Moment::now(job, counters)?);
    }
    let (mut rss_peak_kib, mut times) = (0, Vec::new());
    let mut glance = tokio::time::interval(GLANCE);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => times.extend(ended??),
                None => break,
            },
            () = tokio::time::sleep_until(from), if begin.is_none() => begin = Some(Moment::now(job, counters)?),
            () = tokio::time::sleep_until(until), if end.is_none() && job.pattern != Pattern::Once => {
                end = Some(Moment::now(job, counters)?);
                counters.stop.store(true, Relaxed);
            }
            () = tokio::time::sleep_until(until + PATIENCE) => {
                bail!("{} connections still wait for an answer after {PATIENCE:?}", tasks.len());
            }
            _ = glance.tick() => rss_peak_kib = rss_peak_kib.max(rss_kib(&job.watched)),
        }
    }
    let begin = begin.context("nothing was left to measure after the warm-up")?;
    let end = end.map_or_else(|| Moment::now(job, counters), Ok)?;
    ensure!(end.replies > begin.replies, "no answer came in the time that counts");
    Ok(Measured { begin, end, rss_peak_kib, times })
}

/// Asks again and again from `begin` on.
async fn closed(mut asking: Asking, begin: Instant) -> anyhow::Result<Vec<f64>> {
    tokio::time::sleep_until(begin).await;
    while !asking.counters.stop.load(Relaxed) {
        asking.ask().await?;
    }
    Ok(Vec::new())
}

/// Connects and asks once, and says when the first byte came.
async fn once(mut asking: Asking, address: SocketAddr, start: Instant) -> anyhow::Result<Vec<f64>> {
    asking.connected = Some(asking::connect(address, None).await?);
    let first = asking.ask().await?;
    Ok(vec![(first - start).as_secs_f64() * 1e6])
}
