//! Components of versions of the contract that are past.

use super::*;

/// Built by the SDK of version 0.1 of the contract: see `tests/fixtures/previous`.
#[test]
fn a_component_of_the_previous_version_decides_as_it_always_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let source = StrategySource::File(root.join("tests/fixtures/previous/weighted-0.1.0.wasm"));
    let choice = StrategyChoice {
        name: "old".to_owned(),
        source,
        config: json!({}),
        grants: crate::config::Grants::default(),
        limits: crate::config::StrategyLimits::default(),
        line: 0,
    };
    let mut setup = providers(3);
    setup[0].price = Some((1.0, 2.0));
    setup[0].labels = vec![("region".to_owned(), "eu".to_owned())];
    let old = load(&choice, setup).expect("loads");
    let new = builtin("weighted", 3);
    for seq in 0..1000 {
        let facts = Facts { affinity: 1 << 63, ..facts("m", seq) };
        let decision = old.decide(&facts, &candidates(3));
        assert!(matches!(decision.origin, Origin::Strategy { .. }));
        assert_eq!(decision, new.decide(&facts, &candidates(3)));
    }
}
