//! The battery: whether a strategy keeps the contract, whatever it is asked.
//!
//! Everything here follows from fixed numbers, so two runs ask the same questions. [`run`] has the claims about a
//! strategy; each claim is tested in full, and the report has the first input that breaks it.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::routing::{Candidate, Facts, Tier};
use crate::strategy::blueprint::Blueprint;
use crate::strategy::instance::{Answer, Instance, Setup};
use crate::wasm::engine::Engine;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::Said;

mod inputs;
mod timing;

pub use timing::{Inspection, Timing, inspect};

use inputs::{Measured, candidates, facts, in_full, providers, reports, usual};

/// The numbers of providers that a strategy is started with and of candidates that it is asked about.
const SIZES: [u32; 4] = [1, 2, 64, 1000];
/// Up to this many candidates the server's limits apply to the battery as well. With more, the decisions of a strategy
/// are tried whatever time they take, and a note says if that is too long: few have so many providers.
const USUAL: u32 = 64;
/// The calls after which memory is compared, and the limit of their time.
const MEMORY_CALLS: u32 = 20_000;
const MEMORY_TIME: Duration = Duration::from_secs(2);

/// The strategy under test.
pub struct Subject<'a> {
    /// The component.
    pub component: &'a [u8],
    /// The setup that it is started with. Its targets come first; others are made up. Each is offered in its tier.
    pub setup: &'a Setup,
}

/// One claim.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// The claim.
    pub claim: String,
    /// True when it holds.
    pub holds: bool,
    /// The figures; or if it does not hold, the question and the answer.
    pub detail: String,
    /// A finding that is no fault, and yet worth a look.
    pub warning: Option<String>,
}

/// Tests all claims.
///
/// # Errors
///
/// When the component is no strategy.
pub fn run(subject: &Subject<'_>) -> Result<Vec<Claim>, LoadError> {
    let engine = Engine::shared()?;
    let blueprint = Blueprint::new(&engine, subject.component)?;
    let bench = Bench { engine: &engine, blueprint: &blueprint, subject };
    let mut claims = vec![claim("it starts with 1, 2, 64 and 1,000 providers", bench.starts())];
    if claims[0].holds {
        let legal = claim("its decisions are legal, in every tier", bench.is_legal());
        claims.push(Claim { warning: bench.breaks_at_nothing(), ..legal });
        claims.push(claim("extreme values do not break it", bench.bears_extremes()));
        claims.push(claim("it bears reports of every outcome", bench.bears_reports()));
        claims.push(claim("the same inputs give the same answers", bench.is_repeatable()));
        claims.extend(bench.is_stateless().map(|tried| claim("it keeps no state, as it says", tried)));
        claims.push(bench.is_quick());
        claims.push(bench.keeps_its_memory());
    }
    claims.push(claim("it accepts or rejects any config, and never breaks over one", bench.bears_configs()));
    Ok(claims)
}

fn claim(text: &str, tried: Result<String, String>) -> Claim {
    let (holds, detail) = match tried {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Claim { claim: text.to_owned(), holds, detail, warning: None }
}

struct Bench<'a> {
    engine: &'a Engine,
    blueprint: &'a Blueprint,
    subject: &'a Subject<'a>,
}

/// A call that broke the guest.
struct Broken {
    asked: String,
    fault: crate::wasm::fault::Fault,
}

impl Broken {
    fn words(self) -> String {
        format!("{}: {}", self.asked, self.fault)
    }
}

impl Bench<'_> {
    fn setup(&self, tier: Tier, count: u32) -> Setup {
        let setup = self.subject.setup;
        Setup { targets: providers(&setup.targets, tier, count), ..setup.clone() }
    }

    /// An instance for which the primary tier has `count` providers.
    fn begin(&self, count: u32) -> Result<Instance, LoadError> {
        self.begin_for(Tier::Primary, count)
    }

    fn begin_for(&self, tier: Tier, count: u32) -> Result<Instance, LoadError> {
        let mut instance =
            Instance::start(self.engine, self.blueprint, &self.setup(tier, count), &mut Said::default())?;
        if count > USUAL {
            instance.be_patient();
        }
        Ok(instance)
    }

    /// All `count` of them.
    fn offer(&self, count: u32, value: impl Fn(u32) -> (u32, u32, u32)) -> Vec<Candidate> {
        candidates(&self.setup(Tier::Primary, count).targets, Tier::Primary, count, value)
    }

    fn ask(&self, instance: &mut Instance, facts: &Facts<'_>, offered: &[Candidate]) -> Result<Answer, Broken> {
        let routed = instance.route(self.engine, facts, offered, &mut Said::default());
        routed.map_err(|broken| Broken { asked: in_full(facts, offered), fault: broken.fault })
    }

    fn starts(&self) -> Result<String, String> {
        for count in SIZES {
            self.begin(count).map_err(|error| format!("with {count} providers it {error}"))?;
        }
        Ok(String::new())
    }

    fn is_legal(&self) -> Result<String, String> {
        let (mut asked, mut refused) = (0, 0);
        for count in SIZES {
            for tier in Tier::ALL {
                let mut instance = self.begin_for(tier, count).map_err(|error| error.to_string())?;
                let all = candidates(&self.setup(tier, count).targets, tier, count, usual);
                for seq in 0..20 {
                    // All candidates, every other one, and one alone, while the rest is out.
                    let some = all.iter().copied().step_by(2 - seq as usize % 2).collect::<Vec<_>>();
                    for offered in [&some[..], &all[all.len() - 1..]] {
                        let attempts = u32::from(tier != Tier::Primary);
                        let facts = Facts { tier, attempts, ..facts(seq) };
                        let answer = self.ask(&mut instance, &facts, offered).map_err(Broken::words)?;
                        asked += 1;
                        refused += usize::from(matches!(answer, Answer::Refused(_)));
                    }
                }
            }
        }
        let refusals = if refused > 0 { format!(", of which it refused {refused}") } else { String::new() };
        Ok(format!("{asked} decisions over 1 to 1,000 candidates{refusals}"))
    }

    /// No candidates at all: the host never asks that, so a strategy that breaks there has no fault, but it is worth
    /// knowing.
    fn breaks_at_nothing(&self) -> Option<String> {
        let mut instance = self.begin(1).ok()?;
        let broken = self.ask(&mut instance, &facts(0), &[]).err()?;
        Some(format!("without any candidate, which the host never asks about, it {}", broken.fault))
    }

    fn bears_extremes(&self) -> Result<String, String> {
        let long = "ä".repeat(128);
        let values: [Measured; 4] =
            [|_| (0, 0, 0), |_| (u32::MAX, u32::MAX, 1000), |n| (n, u32::MAX - n, 1000), |n| (u32::MAX - n, n, 0)];
        let numbers = [0, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX - 1, u32::MAX];
        let texts = ["", "x", "模型", &long, "\"}\n\0"];
        let names = &self.subject.setup.attributes;
        let mut asked = 0;
        for count in [1, 2, 7] {
            let mut instance = self.begin(count).map_err(|error| error.to_string())?;
            for value in values {
                let offered = self.offer(count, value);
                for seq in numbers {
                    for entropy in numbers {
                        for (now_ms, affinity) in [(0, 0), (u64::MAX, u64::MAX), (1, 1 << 63)] {
                            for model in ["", "m", "模型", &long, "a\"b\\c\n\0"] {
                                let text = texts[asked % texts.len()];
                                // No attributes, all of them, and some of those that are granted.
                                let attributes: Vec<_> = names.iter().map(|name| (name.as_str(), text)).collect();
                                let facts = Facts {
                                    entropy,
                                    now_ms,
                                    affinity,
                                    model,
                                    attempts: entropy,
                                    body_bytes: seq,
                                    prompt_tokens: numbers[asked % numbers.len()],
                                    max_tokens: numbers[asked / 2 % numbers.len()],
                                    attributes: &attributes[..asked % (attributes.len() + 1)],
                                    prompt: if self.subject.setup.prompt { text } else { "" },
                                    ..facts(seq)
                                };
                                self.ask(&mut instance, &facts, &offered).map_err(Broken::words)?;
                                asked += 1;
                            }
                        }
                    }
                }
            }
        }
        Ok(format!("{asked} decisions"))
    }

    fn bears_reports(&self) -> Result<String, String> {
        let mut instance = self.begin(3).map_err(|error| error.to_string())?;
        if !instance.observes() {
            return Ok("it wants none".to_owned());
        }
        let offered = self.offer(3, usual);
        for round in 0..100 {
            let mut reports = reports(3, round);
            if round % 10 == 9 {
                let longest = Duration::from_secs(100_000);
                reports.iter_mut().for_each(|report| (report.first_byte, report.total) = (longest, longest));
            }
            let told = instance.observe(self.engine, &reports, &mut Said::default());
            told.map_err(|broken| format!("{} reports, round {round}: {}", reports.len(), broken.fault))?;
            self.ask(&mut instance, &facts(round), &offered).map_err(Broken::words)?;
        }
        Ok("6,400 reports".to_owned())
    }

    fn is_repeatable(&self) -> Result<String, String> {
        const COUNT: u32 = 10;
        let mut pair = [self.begin(COUNT), self.begin(COUNT)].map(|begun| begun.map_err(|error| error.to_string()));
        let [Ok(one), Ok(other)] = &mut pair else { return Err("it does not start twice".to_owned()) };
        for seq in 0..500 {
            if seq % 5 == 0 && one.observes() {
                for instance in [&mut *one, &mut *other] {
                    let told = instance.observe(self.engine, &reports(COUNT, seq), &mut Said::default());
                    told.map_err(|broken| broken.fault.to_string())?;
                }
            }
            let offered = self.offer(COUNT, |n| usual(n.wrapping_add(seq)));
            let facts = facts(seq);
            let answers = [&mut *one, &mut *other].map(|instance| self.ask(instance, &facts, &offered));
            let [left, right] = answers.map(|answer| answer.map_err(Broken::words));
            let (left, right) = (left?, right?);
            if left != right {
                return Err(format!("{}: once {left:?}, once {right:?}", in_full(&facts, &offered)));
            }
        }
        Ok("500 decisions of two instances".to_owned())
    }

    /// Two instances that have been asked different things before give the same answers, if it says that they do.
    fn is_stateless(&self) -> Option<Result<String, String>> {
        const COUNT: u32 = 10;
        let mut pair = [self.begin(COUNT), self.begin(COUNT)];
        let [Ok(one), Ok(other)] = &mut pair else { return None };
        one.is_stateless().then(|| {
            for seq in 0..500 {
                let offered = self.offer(COUNT, |n| usual(n.wrapping_add(seq)));
                let facts = facts(seq);
                let asked = |instance: &mut Instance| self.ask(instance, &facts, &offered).map_err(Broken::words);
                // One of them misses two questions of three.
                let answer = asked(&mut *one)?;
                if seq % 3 == 0 {
                    let of_other = asked(&mut *other)?;
                    if answer != of_other {
                        let question = in_full(&facts, &offered);
                        return Err(format!(
                            "{question}: {answer:?}, and {of_other:?} of one that was asked less before"
                        ));
                    }
                }
            }
            Ok("500 decisions of one instance, and a third of them of another".to_owned())
        })
    }

    fn keeps_its_memory(&self) -> Claim {
        let text = "it does not run out of memory";
        let mut instance = match self.begin(10) {
            Ok(instance) => instance,
            Err(error) => return claim(text, Err(error.to_string())),
        };
        let offered = self.offer(10, usual);
        let (first, begun) = (instance.memory(), Instant::now());
        let mut calls = 0;
        while calls < MEMORY_CALLS && begun.elapsed() < MEMORY_TIME {
            if let Err(broken) = self.ask(&mut instance, &facts(calls), &offered) {
                return claim(text, Err(broken.words()));
            }
            calls += 1;
        }
        let last = instance.memory();
        let kib = |bytes: usize| bytes >> 10;
        let detail = format!("{} KiB after its start, {} KiB after {calls} calls", kib(first), kib(last));
        let grows = last > first + (1 << 20);
        let warning = grows.then(|| {
            "it grows; the host replaces an instance before its memory is full, and it forgets what it knew".to_owned()
        });
        Claim { claim: text.to_owned(), holds: true, detail, warning }
    }

    fn bears_configs(&self) -> Result<String, String> {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let long = format!("\"{}\"", "x".repeat(256 << 10));
        let junk = [
            "null",
            "[]",
            "\"x\"",
            "17",
            "-1e308",
            "true",
            "{}",
            r#"{"no such key": 1}"#,
            r#"{"": null}"#,
            r#"{"provider": 7}"#,
            r#"{"a": {"b": [1, "2", null]}}"#,
            r#""\ud83d\ude00\u0000""#,
            "18446744073709551616",
            &deep,
            &long,
        ];
        let (mut accepted, mut rejected) = (0, 0);
        for config in junk {
            let setup = Setup { config: config.to_owned(), ..self.setup(Tier::Primary, 3) };
            match Instance::start(self.engine, self.blueprint, &setup, &mut Said::default()) {
                Ok(_) => accepted += 1,
                Err(LoadError::Rejected(text)) if !text.trim().is_empty() => rejected += 1,
                Err(LoadError::Rejected(_)) => return Err(format!("{}: rejected without a word", shortened(config))),
                Err(error) => return Err(format!("{}: it {error}", shortened(config))),
            }
        }
        Ok(format!("{accepted} accepted, {rejected} rejected with a text"))
    }
}

fn shortened(config: &str) -> String {
    let short: String = config.chars().take(60).collect();
    if short.len() < config.len() { format!("{short}...") } else { short }
}

#[cfg(test)]
mod tests;
