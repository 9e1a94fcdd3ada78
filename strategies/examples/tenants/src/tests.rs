//! The targets that tenants go to, and configs that are refused.

use super::*;
use pointsman_guest::testing::{Harness, play_fixtures};

const TARGETS: [(&str, f64); 4] = [("gold-a", 3.0), ("gold-b", 1.0), ("silver", 1.0), ("shared", 1.0)];

fn start(config: &str) -> Result<Harness<Tenants>, String> {
    Harness::start_granted(TARGETS, config, &["tenant"], false)
}

fn tenants() -> Harness<Tenants> {
    let config =
        r#"{"attribute": "tenant", "tenants": {"gold": ["gold-a", "gold-b"], "silver": ["silver", "shared"]}}"#;
    start(config).expect("the config is right")
}

#[test]
fn it_does_what_its_fixtures_say() {
    play_fixtures::<Tenants>("fixtures");
}

#[test]
fn a_tenant_has_its_targets_by_weight_and_never_others() {
    let mut strategy = tenants();
    strategy.attribute("tenant", "gold");
    strategy.assert_share("gold-a", 0.75, 0.01, 1_000);
    assert_eq!(strategy.excluded(), ["silver", "shared"]);
    assert_eq!(strategy.reason(), Some(OWN));
}

#[test]
fn a_tenant_whose_targets_are_all_out_is_not_served_by_others() {
    let mut strategy = tenants();
    strategy.attribute("tenant", "gold");
    strategy.offer(["silver", "shared"]);
    assert!(strategy.route().is_empty());
    assert_eq!(strategy.excluded(), ["silver", "shared"]);
}

#[test]
fn who_is_no_tenant_has_what_is_nobodys_own() {
    let config = r#"{"attribute": "tenant", "tenants": {"gold": ["gold-a", "gold-b"]}}"#;
    let mut strategy = start(config).expect("the config is right");
    for tenant in [None, Some("bronze"), Some("Gold"), Some("")] {
        tenant.into_iter().for_each(|tenant| strategy.attribute("tenant", tenant));
        assert_eq!(strategy.route().len(), 2, "{tenant:?}");
        assert_eq!(strategy.excluded(), ["gold-a", "gold-b"]);
        assert_eq!(strategy.reason(), Some(SHARED));
    }
}

#[test]
fn a_wrong_config_is_explained() {
    let error = |config| start(config).err();
    assert_eq!(
        error(r#"{"attribute": "team", "tenants": {}}"#).as_deref(),
        Some("config.attribute: `routing.attributes` of the configuration must name `team`; there is: tenant")
    );
    assert_eq!(
        error(r#"{"attribute": "tenant", "tenants": {"gold": ["gold"]}}"#).as_deref(),
        Some("config.tenants.gold: no target is named `gold`; there are: gold-a, gold-b, silver, shared")
    );
    assert_eq!(
        error(r#"{"attribute": "tenant", "tenants": {"gold": []}}"#).as_deref(),
        Some("config.tenants.gold: must name a target at least")
    );
}
