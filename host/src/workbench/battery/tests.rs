//! The claims of the battery about good strategies; its findings in bad ones are in `tests/process/examine.rs`.

use super::*;
use crate::routing::TargetFacts;
use crate::strategy::builtin_component;

fn tried(name: &str, config: &str, providers: &[TargetFacts]) -> Vec<Claim> {
    let component = builtin_component(name).expect("it is built in");
    let setup = Setup::new(providers.to_vec().into(), false, config.to_owned());
    run(&Subject { component, setup: &setup }).expect("it is a strategy")
}

#[test]
fn a_strategy_that_keeps_the_contract_holds_every_claim() {
    let claims = tried("weighted", "{}", &[]);
    assert_eq!(claims.len(), 9);
    for claim in claims {
        assert!(claim.holds && claim.warning.is_none(), "{claim:?}");
    }
}

#[test]
fn one_that_does_not_start_is_asked_nothing() {
    let claims = tried("canary", r#"{"provider": "nobody", "percent": 1}"#, &[]);
    let [starts, configs] = &claims[..] else { panic!("{claims:?}") };
    assert!(!starts.holds && starts.detail.contains("no target is named `nobody`"), "{starts:?}");
    assert!(configs.holds, "{configs:?}");
}

#[test]
fn given_providers_are_among_those_that_are_offered() {
    let given = TargetFacts { name: "canary".to_owned(), ..providers(&[], Tier::Primary, 1)[0].clone() };
    let claims = tried("canary", r#"{"provider": "canary", "percent": 10}"#, std::slice::from_ref(&given));
    assert!(claims.iter().all(|claim| claim.holds), "{claims:?}");
    // One that the tier does not offer is there and no candidate.
    let spare = TargetFacts { fallback_only: true, ..given };
    let all = providers(&[spare], Tier::Primary, 3);
    let offered: Vec<_> = candidates(&all, Tier::Primary, 3, usual).iter().map(|offered| offered.target).collect();
    assert_eq!((all.len(), offered), (4, vec![1, 2, 3]));
}
