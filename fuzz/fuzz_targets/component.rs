//! Components: any bytes either become a strategy, which then always answers with a permutation, or are refused.
//!
//! The first byte of an input says what the rest is: 0 the component itself; else changes to the built-in strategy of that
//! number, four bytes each: three of the place, one of what stands there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::routing::{Candidate, Facts, TargetFacts};
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
    let provider = |index| TargetFacts { weight: 1.0 + f64::from(index), ..TargetFacts::named(format!("p{index}")) };
    let providers = (0..3).map(provider).collect::<Vec<_>>();
    let strategy = match strategy::load_component("fuzz", component, &serde_json::json!({}), providers) {
        Ok(strategy) => strategy,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 20_000 && !text.contains('\n'), "an error is one line: {text}");
            return;
        }
    };
    let candidates: Vec<_> = (0..3).map(Candidate::idle).collect();
    for seq in 0..2 {
        let facts = Facts { seq, entropy: 0x9e37_79b9, model: "m", body_bytes: 2, ..Facts::NOTHING };
        let mut order = strategy.decide(&facts, &candidates).order;
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2], "no permutation");
    }
}
