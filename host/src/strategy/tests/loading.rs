//! What is said of components when they are loaded.

use super::*;

#[test]
fn a_start_may_reject_the_configuration_or_break() {
    let refused = |on: &str, deed: &str| {
        let error = misbehaving_with(json!({"on": on, "do": deed})).err().expect("should be refused");
        error.to_string()
    };
    assert_eq!(refused("init", "refuse"), "rejects its configuration: I would rather not");
    let panic = refused("init", "panic");
    assert!(panic.starts_with("broke in init: trapped: ") && panic.contains("misbehaving as told"), "{panic}");
    assert_eq!(refused("init", "hog"), "broke in init: wanted more memory than it may have");
    assert_eq!(refused("describe", "spin"), "broke in describe: ran longer than it may");
    assert!(refused("describe", "million").starts_with("broke in describe: "));
    let unknown = misbehaving_with(json!({"no": "such key"})).err().expect("should be refused").to_string();
    assert!(unknown.starts_with("rejects its configuration: unknown field `no`"), "{unknown}");
}

#[test]
fn a_component_of_another_world_is_refused_by_what_it_exports_and_imports() {
    let refused = |fixture| {
        let source = StrategySource::File(built(fixture));
        load(&StrategyChoice { source, ..choice(json!({})) }, providers(1)).err().expect("should be refused")
    };
    let stranger = refused("stranger");
    assert!(matches!(stranger, LoadError::NotAGuest { .. }), "{stranger}");
    let needy = refused("needy");
    assert!(matches!(&needy, LoadError::Forbidden { imports, .. } if !imports.is_empty()), "{needy}");
    let grabby = refused("grabby").to_string();
    assert!(grabby.starts_with("imports what strategies do not have: `wasi:sockets/"), "{grabby}");
}

#[test]
fn says_what_it_is() {
    let strategy = misbehaving();
    assert_eq!((strategy.info().name.as_str(), strategy.info().observes), ("misbehave", true));
    assert_eq!((strategy.reason(1).as_deref(), strategy.reason(2)), (Some("backwards"), None));
    assert_eq!(strategy.name(), "bad");
}
