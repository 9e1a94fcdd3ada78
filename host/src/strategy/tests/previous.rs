//! Components of versions of the contract that are past.

use super::*;
use crate::routing::{OutcomeKind, Report};

/// Built by the SDK of its time: see `tests/fixtures/previous`.
fn old(file: &str, targets: Vec<TargetFacts>) -> Arc<ComponentStrategy> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let choice = StrategyChoice {
        name: "old".to_owned(),
        source: StrategySource::File(root.join("tests/fixtures/previous").join(file)),
        config: json!({}),
        grants: crate::config::Grants { prompt: true },
        limits: crate::config::StrategyLimits::default(),
        line: 0,
    };
    load(&choice, targets).expect("loads")
}

/// Targets of which all is known that a later version tells.
fn known(count: u32) -> Vec<TargetFacts> {
    let mut targets = providers(count);
    for target in &mut targets {
        target.model = "large".to_owned();
        target.context = 1000;
    }
    targets[0].price = Some((1.0, 2.0));
    targets[0].labels = vec![("region".to_owned(), "eu".to_owned())];
    targets
}

/// Asks and tells both, with all that a later version tells, and claims that they decide alike.
fn decides_as_today(file: &str, name: &str) {
    let (old, new) = (old(file, known(3)), builtin(name, 3));
    for seq in 0..1000_u32 {
        let (entropy, affinity) = (seq.wrapping_mul(0x9E37_79B9), u64::from(seq % 50) << 40);
        let attributes = [("tenant", "search")];
        let (prompt, client, route) = ("hello", "me", "chat");
        let (prompt_tokens, max_tokens) = (100, 10);
        let facts = Facts {
            entropy,
            affinity,
            attributes: &attributes,
            prompt,
            client,
            route,
            prompt_tokens,
            max_tokens,
            ..facts("m", seq)
        };
        let mut candidates = candidates(3);
        candidates[seq as usize % 3].in_flight = seq % 7;
        candidates[1].tokens_left = 3;
        let decision = old.decide(&facts, &candidates);
        assert!(matches!(decision.origin, Origin::Strategy { .. }), "{decision:?}");
        assert_eq!(decision, new.decide(&facts, &candidates), "{file}: {seq}");
        let kind = if seq % 11 == 0 { OutcomeKind::Failed } else { OutcomeKind::Succeeded };
        let first_byte = Duration::from_micros((10_000 + seq % 700).into());
        let report = Report::of(decision.order[0], kind, first_byte, first_byte * 2);
        let report = Report { input_tokens: 100, output_tokens: 5, cost: 0.1, ..report };
        old.learn(report);
        new.learn(report);
    }
}

#[test]
fn a_component_of_0_1_decides_as_it_always_has() {
    decides_as_today("weighted-0.1.0.wasm", "weighted");
}

#[test]
fn components_of_0_2_decide_as_they_always_have() {
    decides_as_today("least_latency-0.2.0.wasm", "least_latency");
    decides_as_today("affinity-0.2.0.wasm", "affinity");
}
