//! Configurations with routes, as the rest of the program sees them.

use std::time::Duration;

use super::*;
use crate::config::{Attribute, AttributeSource, Config, parse};

const PROVIDERS: &str = "providers:\n  \
    - {name: large, base_url: 'http://a/v1', api_key: k, weight: 3, price: 2, context: 200000, labels: {region: us, gpu: h100}}\n  \
    - {name: small, base_url: 'http://b/v1', api_key: k, fallback_only: true, models: [small, 'gpt-*']}\n";

fn config(rest: &str) -> Config {
    parse(&format!("{PROVIDERS}{rest}"), "x.yaml".as_ref(), &|_| None, &["round_robin", "weighted"]).unwrap()
}

fn route(yaml: &str) -> Route {
    config(&format!("routes:\n  - {yaml}\n")).routes.remove(0)
}

#[test]
fn without_routes_there_is_none() {
    assert!(config("").routes.is_empty());
}

#[test]
fn a_route_that_says_little_leaves_the_rest_to_its_providers() {
    let route = route("{models: [gpt-4o, other], targets: [large, {provider: small, model: gpt-4o}]}");
    assert_eq!((route.name.as_str(), route.line), ("gpt-4o", 5));
    assert!(route.strategy.is_none() && route.hedge.is_none());
    assert_eq!((route.timeouts, &route.fallbacks), (RouteTimeouts::default(), &Fallbacks::default()));
    let [large, small] = route.targets.as_slice() else { panic!("two targets") };
    assert_eq!((large.provider, &large.model, large.weight, large.tier), (0, &None, 3.0, TargetTier::Primary));
    assert_eq!((large.price, large.context), (Some(Price { input: 2.0, output: 2.0 }), Some(200_000)));
    assert_eq!((small.provider, small.model.as_deref(), small.weight), (1, Some("gpt-4o"), 1.0));
    assert_eq!((small.tier, small.price, small.context), (TargetTier::Fallback, None, None));
}

#[test]
fn a_target_may_differ_from_its_provider() {
    let target = route(
        "{models: [m], targets: [{provider: large, model: x, weight: 0.5, tier: fallback, price: {input: 1, output: 4}, \
         context: 8192, labels: {region: eu, tenant: a}}]}",
    )
    .targets
    .remove(0);
    assert_eq!((target.weight, target.tier, target.context), (0.5, TargetTier::Fallback, Some(8192)));
    assert_eq!(target.price, Some(Price { input: 1.0, output: 4.0 }));
    let labels: Vec<_> = target.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("region", "eu"), ("gpu", "h100"), ("tenant", "a")]);
}

#[test]
fn a_star_in_a_target_takes_what_the_star_of_the_route_stood_for() {
    let route = route("{models: ['vendor/*', '*-mini', vendor/x], targets: [{provider: large, model: 'v-*'}]}");
    let model = |asked: &str| {
        assert!(route.fits(asked), "{asked}");
        route.targets[0].model_for(route.star(asked)).map(Cow::into_owned)
    };
    assert_eq!(model("vendor/a").as_deref(), Some("v-a"));
    assert_eq!(model("vendor/x").as_deref(), Some("v-x"), "an exact name has the star of the pattern that fits it");
    assert_eq!(model("o3-mini").as_deref(), Some("v-o3"));
    assert!(!route.fits("o3"));
}

#[test]
fn all_that_a_route_may_say_is_read() {
    let all = config(
        "strategies: {mine: {path: ../Cargo.toml, grants: [prompt]}}\n\
         routing: {attributes: {tenant: {header: X-Tenant}, user_id: {body: metadata.user_id}}}\n\
         routes:\n  \
         - name: chat\n    models: [a]\n    targets: [large]\n    strategy: weighted\n    \
           timeouts: {request: 120, connect: 1, first_token: 8.5, idle: 20}\n    \
           fallbacks: {on_failure: [b, c], on_context_window: [c], on_content_policy: [b], max: 3}\n  \
         - {models: [b, c], hedge: {after: p95, at_most: 0.1}}\n  \
         - {models: ['*'], hedge: {after: 1.5}}\n",
    );
    let [chat, spare, rest] = all.routes.as_slice() else { panic!("three routes") };
    assert_eq!((chat.name.as_str(), spare.name.as_str(), rest.name.as_str()), ("chat", "b", "*"));
    assert_eq!(chat.strategy.as_ref().map(|strategy| strategy.name.as_str()), Some("weighted"));
    let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
    let timeouts = (chat.timeouts.request, chat.timeouts.connect, chat.timeouts.first_token, chat.timeouts.idle);
    assert_eq!(timeouts, (seconds(120.0), seconds(1.0), seconds(8.5), seconds(20.0)));
    assert_eq!(
        (chat.fallbacks.on_failure.as_slice(), chat.fallbacks.max),
        (["b".to_owned(), "c".to_owned()].as_slice(), 3)
    );
    assert_eq!(
        (&chat.fallbacks.on_context_window[0], &chat.fallbacks.on_content_policy[0]),
        (&"c".to_owned(), &"b".to_owned())
    );
    assert_eq!(spare.hedge, Some(Hedge { after: HedgeAfter::P95, at_most: 0.1 }));
    assert_eq!(rest.hedge, Some(Hedge { after: HedgeAfter::Fixed(Duration::from_millis(1500)), at_most: 0.05 }));
    assert!(spare.targets.is_empty(), "every provider that serves the model");
    assert_eq!(
        all.attributes,
        [
            Attribute { name: "tenant".into(), source: AttributeSource::Header("x-tenant".parse().unwrap()) },
            Attribute { name: "user_id".into(), source: AttributeSource::Body("metadata.user_id".into()) },
        ]
    );
}

#[test]
fn a_strategy_that_is_granted_the_prompt_is_announced_once_where_it_is_used() {
    let declared = "strategies: {weighted: {grants: [prompt]}}\n";
    assert!(config(declared).warnings.is_empty(), "it decides nothing");
    let used = config(&format!(
        "{declared}routing: {{strategy: weighted}}\nroutes:\n  - {{models: [a], strategy: weighted}}\n"
    ));
    assert!(used.strategy.grants.prompt && used.routes[0].strategy.as_ref().unwrap().grants.prompt);
    let [warning] = used.warnings.as_slice() else { panic!("{:?}", used.warnings) };
    assert!(warning.contains("strategy weighted is shown the last user message"), "{warning}");
}

#[test]
fn routes_that_work_but_are_surely_not_meant_are_warnings() {
    let warnings = config("routes:\n  - {models: [gpt-4o], targets: [small], hedge: {after: p95}}\n").warnings;
    assert_eq!(
        warnings,
        [
            "x.yaml:5: routes[0].hedge: has no effect, because the route has only one target and a second attempt needs another one",
            "x.yaml:5: routes[0].targets: are all in the tier `fallback`, so there is no primary target",
            "x.yaml:5: routes: no route has provider large as a target, so it gets no request",
        ]
    );
}

#[test]
fn fallbacks_for_different_reasons_may_lead_to_each_other() {
    let config = config(
        "routes:\n  - {models: [a], fallbacks: {on_context_window: [b]}}\n  - {models: [b], fallbacks: {on_failure: [a]}}\n",
    );
    assert_eq!(config.routes.len(), 2);
}

#[test]
fn thousands_of_routes_are_checked_without_deep_recursion() {
    let routes: String =
        (0..2500).map(|i| format!("  - {{models: [m{i}], fallbacks: {{on_failure: [m{}]}}}}\n", i + 1)).collect();
    let config = config(&format!("routes:\n{routes}  - {{models: [m2500]}}\n"));
    assert_eq!(config.routes.len(), 2501);
}
