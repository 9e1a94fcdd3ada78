//! Decisions alone: the strategy in its sandbox and its host, without a server around them.

use std::path::Path;

use anyhow::{Context as _, bail};
use pointsman::config::{StrategyChoice, StrategySource};
use pointsman::routing::{Candidate, Facts, Strategy as _, TargetFacts, Tier};
use pointsman::strategy::Succession;

use crate::valgrind::{self, instructions};

/// The argument with which this binary makes decisions.
pub const COMMAND: &str = "decide";

const PROVIDERS: u32 = 10;

/// Runs this binary under valgrind: the instructions of `times` decisions, with those of its start.
pub fn run(this: &Path, cache: &Path, out: &Path, times: u32) -> anyhow::Result<u64> {
    let mut command = valgrind::command(this, out);
    command.arg(COMMAND).arg(cache).arg(times.to_string());
    if !command.status()?.success() {
        bail!("decisions cannot be made");
    }
    instructions(out)
}

/// Makes `times` decisions.
pub fn make(cache: &Path, times: u32) -> anyhow::Result<()> {
    pointsman::wasm::use_cache(cache);
    let name = "weighted".to_owned();
    let source = StrategySource::BuiltIn(name.clone());
    let choice = StrategyChoice {
        name,
        source,
        config: serde_json::json!({}),
        grants: pointsman::config::Grants::default(),
        limits: pointsman::config::StrategyLimits::default(),
        line: 0,
    };
    let strategy = Succession::start(&choice, (0..PROVIDERS).map(provider).collect::<Vec<_>>())?;
    let candidates: Vec<Candidate> = (0..PROVIDERS)
        .map(|target| Candidate {
            target,
            in_flight: target % 7,
            latency_us: 900,
            failure_permille: 1,
            requests_left: 1000,
            tokens_left: 1000,
        })
        .collect();
    let mut firsts = vec![0_u32; candidates.len()];
    for seq in 0..times {
        let decision = strategy.decide(&facts(seq), &candidates);
        let first = decision.order.first().context("there is always one")?;
        firsts[*first as usize] += 1;
    }
    // A strategy that faults would be quick.
    if times >= 100 && firsts.contains(&0) {
        bail!("the decisions are not spread over all providers: {firsts:?}");
    }
    Ok(())
}

fn provider(index: u32) -> TargetFacts {
    TargetFacts {
        name: format!("provider-{index}"),
        provider: format!("provider-{index}"),
        model: String::new(),
        context: 0,
        kind: "openai",
        weight: 1.0 + f64::from(index % 3),
        fallback_only: false,
        max_concurrent: 0,
        models: Vec::new(),
        price: None,
        labels: Vec::new(),
    }
}

fn facts(seq: u32) -> Facts<'static> {
    Facts {
        seq,
        entropy: seq.wrapping_mul(0x9E37_79B9),
        now_ms: 1_764_000_000_000,
        tier: Tier::Primary,
        attempts: 0,
        model: "gpt-4o-mini",
        streaming: false,
        body_bytes: 1_000,
        route: "default",
        client: "",
        prompt_tokens: 250,
        max_tokens: 0,
        affinity: 0,
        attributes: &[],
        prompt: "",
    }
}
