//! Components: any bytes either become a strategy, which then always answers with a permutation, or are refused.
//!
//! The first byte of an input says what the rest is: 0 the component itself; else changes to the built-in strategy of that
//! number, four bytes each: three of the place, one of what stands there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::routing::{Candidate, Facts, TargetFacts, Tier};
use pointsman::strategy;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let names = strategy::builtins();
    let Some(index) = usize::from(kind).checked_sub(1) else { return load(rest) };
    let real = strategy::builtin_component(names[index % names.len()]).expect("listed, so built in");
    let mut component = real.to_vec();
    for change in rest.chunks_exact(4) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
        component[at % real.len()] = change[3];
    }
    load(&component);
});

fn load(component: &[u8]) {
    let provider = |index| TargetFacts {
        name: format!("p{index}"),
        kind: "openai",
        weight: 1.0 + f64::from(index),
        fallback_only: false,
        max_concurrent: 0,
        models: vec!["m".to_owned()],
        price: None,
        labels: Vec::new(),
    };
    let providers = (0..3).map(provider).collect();
    let strategy = match strategy::load_component("fuzz", component, &serde_json::json!({}), providers) {
        Ok(strategy) => strategy,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 20_000 && !text.contains('\n'), "an error is one line: {text}");
            return;
        }
    };
    let candidate = |provider| Candidate { provider, in_flight: 0, latency_us: 0, failure_permille: 0 };
    let candidates: Vec<_> = (0..3).map(candidate).collect();
    for seq in 0..2 {
        let facts = Facts {
            seq,
            entropy: 0x9e37_79b9,
            now_ms: 1_700_000_000_000,
            tier: Tier::Primary,
            attempts: 0,
            model: "m",
            streaming: false,
            body_bytes: 2,
            affinity: 0,
        };
        let mut order = strategy.decide(&facts, &candidates).order;
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2], "no permutation");
    }
}
