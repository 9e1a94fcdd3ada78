//! The effects of rules, and configs that are refused.

use super::*;
use pointsman_guest::Tier;
use pointsman_guest::testing::{Harness, TargetFixture, fixture, play_fixtures};

fn targets() -> [TargetFixture; 4] {
    [
        fixture("us").label("region", "us").price(2.0, 8.0),
        fixture("eu-a").label("region", "eu").price(3.0, 12.0),
        fixture("eu-b").label("region", "eu").price(0.5, 1.5),
        fixture("gpu/large").provider("gpu").model("large").context(128_000),
    ]
}

fn start(config: &str) -> Result<Harness<Rules>, String> {
    Harness::start_granted(targets(), config, &["tenant", "user_id"], false)
}

fn strategy(config: &str) -> Harness<Rules> {
    start(config).expect("the config is right")
}

fn error(config: &str) -> String {
    start(config).err().unwrap_or_else(|| panic!("the config is wrong: {config}"))
}

/// True when a rule with this `when` holds for a request.
fn holds(when: &str, request: impl FnOnce(&mut Harness<Rules>)) -> bool {
    let mut strategy =
        strategy(&format!(r#"{{"utc_offset": "+02:00", "rules": [{{"when": {when}, "prefer": "us"}}]}}"#));
    request(&mut strategy);
    strategy.route();
    strategy.reason().expect("there is one") != OTHERWISE
}

#[test]
fn it_does_what_its_fixtures_say() {
    play_fixtures::<Rules>("fixtures");
}

#[test]
fn the_first_rule_that_holds_decides_and_says_so() {
    let config = r#"{"otherwise": "failover", "rules": [
        {"when": {"model": "gpt-*"}, "prefer": "eu-b", "reason": "GPT to the  new\none"},
        {"when": {"model": ["gpt-4", "llama*"]}, "only": [{"region": "eu"}]}
    ]}"#;
    let mut strategy = strategy(config);
    strategy.request.model = "gpt-4".to_owned();
    assert_eq!(strategy.route(), ["eu-b", "us", "eu-a", "gpu/large"]);
    assert_eq!(strategy.reason(), Some("rules[0]: GPT to the new one"));
    strategy.request.model = "llama3".to_owned();
    assert_eq!(strategy.route(), ["eu-a", "eu-b"]);
    assert_eq!(strategy.excluded(), ["us", "gpu/large"]);
    assert_eq!(strategy.reason(), Some("rules[1]: only region eu when model gpt-4/llama*"));
    strategy.request.model = "mistral".to_owned();
    assert_eq!(strategy.route(), ["us", "eu-a", "eu-b", "gpu/large"]);
    assert_eq!(strategy.reason(), Some(OTHERWISE));
}

#[test]
fn whom_a_rule_that_continues_excludes_stays_excluded_whatever_decides() {
    let config = r#"{"otherwise": "failover", "rules": [
        {"when": {"attributes": {"tenant": "bank"}}, "only": {"region": "eu"}, "continue": true, "reason": "EU only"},
        {"when": {"streaming": true}, "prefer": ["us", "eu-b"]},
        {"when": {"tier": "last_resort"}, "never": "eu-*"}
    ]}"#;
    let mut strategy = strategy(config);
    strategy.attribute("tenant", "bank");
    strategy.request.streaming = true;
    assert_eq!(strategy.route(), ["eu-b", "eu-a"]);
    assert_eq!(strategy.reason(), Some("rules[1]: prefer us/eu-b when streaming true"));
    strategy.request.streaming = false;
    assert_eq!(strategy.route(), ["eu-a", "eu-b"]);
    assert_eq!(strategy.reason(), Some("rules[0]: EU only"), "it is what shows, where no rule decides");
    strategy.offer(["us"]);
    assert_eq!((strategy.route().len(), strategy.excluded()), (0, &["us".to_owned()][..]));
    assert_eq!(strategy.reason(), Some("rules[0]: EU only"));
    strategy.offer(["eu-a"]);
    strategy.request.tier = Tier::LastResort;
    assert!(strategy.route().is_empty());
    assert_eq!(strategy.reason(), Some("rules[2]: never eu-* when tier last_resort"));
    strategy.attribute("tenant", "shop");
    strategy.request.tier = Tier::Primary;
    assert_eq!(strategy.route(), ["eu-a"]);
    assert_eq!(strategy.reason(), Some(OTHERWISE));
}

#[test]
fn a_preference_is_no_obstacle_and_the_reason_tells_when_it_is_in_vain() {
    let mut strategy =
        strategy(r#"{"rules": [{"prefer": {"model": "large"}, "then": "failover", "reason": "large"}]}"#);
    assert_eq!(strategy.route()[0], "gpu/large");
    assert_eq!(strategy.reason(), Some("rules[0]: large"));
    strategy.offer(["us", "eu-a"]);
    assert_eq!(strategy.route(), ["us", "eu-a"]);
    assert_eq!(strategy.reason(), Some("rules[0]: large: none of the preferred can be chosen now"));
}

#[test]
fn conditions_on_names_hold_for_any_of_a_list_and_for_nobody_without_a_name() {
    let model = |name: &'static str| move |s: &mut Harness<Rules>| s.request.model = name.to_owned();
    for (when, name, expected) in [
        (r#"{"model": "gpt-4"}"#, "gpt-4", true),
        (r#"{"model": "gpt-4"}"#, "gpt-4o", false),
        (r#"{"model": "gpt-*-mini"}"#, "gpt-4o-mini", true),
        (r#"{"model": "gpt-*-mini"}"#, "gpt-mini", false),
        (r#"{"model": ["a", "*"]}"#, "any", true),
        (r#"{"model": "*"}"#, "", false),
    ] {
        assert_eq!(holds(when, model(name)), expected, "{when} {name:?}");
    }
    assert!(holds(r#"{"client": ["search", "team-*"]}"#, |s| s.request.client = "team-a".to_owned()));
    assert!(!holds(r#"{"client": "*"}"#, |_| {}), "a request without a client");
    let both = r#"{"attributes": {"tenant": ["gold", "silver"], "user_id": 7}}"#;
    assert!(!holds(both, |s| s.attribute("tenant", "gold")));
    assert!(holds(both, |s| {
        s.attribute("tenant", "silver");
        s.attribute("user_id", "7");
    }));
}

#[test]
fn conditions_on_numbers_hold_within_their_bounds_and_not_for_what_is_unknown() {
    let numbers = |range: &str| {
        let when = format!(r#"{{"prompt_tokens": {range}}}"#);
        [0, 1, 999, 1000, 1001, 8000, 8001, u32::MAX].map(|n| holds(&when, |s| s.request.prompt_tokens = n))
    };
    assert_eq!(numbers(r#"{"above": 1000}"#), [false, false, false, false, true, true, true, true]);
    assert_eq!(numbers(r#"{"below": 1000}"#), [false, true, true, false, false, false, false, false]);
    assert_eq!(numbers(r#"{"above": 999, "below": 8001}"#), [false, false, false, true, true, true, false, false]);
    assert_eq!(numbers(r#""1000-8000""#), [false, false, false, true, true, true, false, false]);
    assert!(!holds(r#"{"max_tokens": {"below": 100}}"#, |_| {}), "the client does not say how much it wants");
    assert!(holds(r#"{"max_tokens": {"below": 100}}"#, |s| s.request.max_tokens = 99));
}

#[test]
fn hours_and_days_are_those_of_the_operators_clock() {
    // Friday, the 14th of August 2026, so many minutes after midnight UTC.
    let at = |minutes: u64| move |s: &mut Harness<Rules>| s.request.now_ms = 1_786_665_600_000 + minutes * 60_000;
    let night = r#"{"hours": "22:00-06:00"}"#;
    assert_eq!(
        [19 * 60 + 59, 20 * 60, 3 * 60 + 59, 4 * 60].map(|minutes| holds(night, at(minutes))),
        [false, true, true, false]
    );
    let office = r#"{"hours": ["08:00-12:00", "13:00-24:00"], "days": ["mon-thu", "sat"]}"#;
    assert!(!holds(office, at(7 * 60)), "it is Friday, 09:00");
    assert!(holds(office, at((24 + 7) * 60)), "Saturday");
    assert!(!holds(office, at((24 + 10) * 60 + 30)), "half past twelve");
    assert!(holds(office, at((24 + 21) * 60 + 59)), "the last minute of Saturday");
    assert!(!holds(office, at((24 + 22) * 60)), "Sunday");
    assert!(holds(r#"{"days": "sat-mon"}"#, at((24 + 22) * 60)));
}

#[test]
fn tiers_and_streams_are_conditions_too() {
    assert!(holds(r#"{"tier": ["fallback", "last_resort"]}"#, |s| s.request.tier = Tier::LastResort));
    assert!(!holds(r#"{"tier": ["fallback", "last_resort"]}"#, |_| {}));
    assert!(holds(r#"{"streaming": false}"#, |_| {}));
    assert!(!holds(r#"{"streaming": true}"#, |_| {}));
}

#[test]
fn what_a_rule_leaves_is_ordered_as_the_strategies_of_these_names_do() {
    let of = |then: &str| strategy(&format!(r#"{{"rules": [{{"never": "gpu", "then": "{then}"}}]}}"#));
    assert_eq!(of("cheapest").route(), ["eu-b", "us", "eu-a"]);
    assert_eq!(of("failover").route(), ["us", "eu-a", "eu-b"]);
    for then in ["weighted", "round_robin"] {
        of(then).assert_share("eu-b", 1.0 / 3.0, 0.01, 1_000);
    }
    let mut busy = of("least_busy");
    (busy.candidate("us").in_flight, busy.candidate("eu-a").in_flight) = (3, 3);
    let mut draws = (0..64).map(|draw| {
        busy.request.entropy = 0x9E37_79B9_u32.wrapping_mul(draw);
        busy.route()
    });
    assert!(draws.all(|order| order[0] == "eu-b" || order[2] == "eu-b"), "it goes first whenever it is drawn");
}

#[test]
fn failover_follows_the_rule_and_not_the_configuration() {
    let mut strategy = strategy(r#"{"rules": [{"only": ["gpu", "eu-*", "us"], "prefer": "us", "then": "failover"}]}"#);
    assert_eq!(strategy.route(), ["us", "gpu/large", "eu-a", "eu-b"]);
}

#[test]
fn those_preferred_share_by_weight_and_so_do_the_others_behind_them() {
    let many = (0..12).map(|n| fixture(&format!("t{n:02}")).weight(if n == 11 { 3.0 } else { 1.0 }));
    let config = r#"{"rules": [{"prefer": ["t10", "t11"], "then": "weighted"}]}"#;
    let mut strategy = Harness::<Rules>::with_config(many, config);
    strategy.assert_share("t11", 0.75, 0.01, 1_000);
    let thirds = (0..1_000).filter(|_| strategy.route()[2] == "t05").count();
    assert!((80..120).contains(&thirds), "{thirds} of 1,000 for one of ten");
}

#[test]
fn requests_of_two_rules_that_alternate_are_still_shared_evenly() {
    let config = r#"{"otherwise": "round_robin", "rules": [{"when": {"streaming": true}, "never": ["gpu", "us"]}]}"#;
    let mut strategy = strategy(config);
    let mut firsts = 0;
    for turn in 0..1_000 {
        strategy.request.streaming = turn % 2 == 0;
        let first = strategy.route().swap_remove(0);
        firsts += u32::from(strategy.request.streaming && first == "eu-a");
    }
    assert!((240..=260).contains(&firsts), "{firsts} of 500 for one of two");
}

#[test]
fn every_mistake_is_told_with_its_place_and_all_at_once() {
    for (config, expected) in [
        ("{}", "config.rules: is required: a list of rules, such as `[{when: {streaming: true}, prefer: [a]}]`"),
        ("[]", "config: must be a mapping, not a list"),
        (r#"{"rules": []}"#, "config.rules: must not be empty"),
        (r#"{"rules": {}}"#, "config.rules: must be a list of rules, not a mapping"),
        (r#"{"rules": ["a"]}"#, "config.rules[0]: must be a mapping, not a text"),
        (r#"{"rule": 1, "rules": [{"then": "failover"}]}"#, "config.rule: is not a known key; did you mean `rules`?"),
        (
            r#"{"otherwise": "cheepest", "rules": [{"then": "fastest"}]}"#,
            "config.otherwise: `cheepest` is not known here; did you mean `cheapest`? | config.rules[0].then: `fastest` is \
             not known here; there are: weighted, round_robin, least_busy, cheapest, failover",
        ),
        (r#"{"utc_offset": 2, "rules": [{"then": "failover"}]}"#, "config.utc_offset: must be a text, not `2`"),
        (
            r#"{"utc_offset": "+15:00", "rules": [{"then": "failover"}]}"#,
            "config.utc_offset: must be a distance from UTC, written as \"+02:00\" or \"-05:30\", up to 14 hours, not `+15:00`",
        ),
    ] {
        assert_eq!(error(config), expected);
    }
    let of = |rule: &str| error(&format!(r#"{{"rules": [{{"then": "failover", "when": {{"model": "m"}}}}, {rule}]}}"#));
    for (rule, expected) in [
        (r#"{"when": {"hour": "1"}, "then": "failover"}"#, "when.hour: is not a known key; did you mean `hours`?"),
        (r#"{"when": [], "then": "failover"}"#, "when: must be a mapping, not a list"),
        (
            r#"{"when": {"hours": "22-6"}, "then": "failover"}"#,
            "when.hours: `22-6` are no hours; write HH:MM-HH:MM, such as \"22:00-06:00\"",
        ),
        (
            r#"{"when": {"hours": ["06:00-07:00", "00:00-24:00"]}, "then": "failover"}"#,
            "when.hours[1]: 00:00-24:00 has no length; leave it out for the whole day",
        ),
        (
            r#"{"when": {"days": ["monday"]}, "then": "failover"}"#,
            "when.days[0]: must be one of mon, tue, wed, thu, fri, sat, sun, or a range such as \"mon-fri\", not `monday`",
        ),
        (
            r#"{"when": {"prompt_tokens": 8000}, "then": "failover"}"#,
            "when.prompt_tokens: must be `{above: N}`, `{below: N}`, both, or a range such as \"1000-8000\", not `8000`",
        ),
        (
            r#"{"when": {"prompt_tokens": {"above": "8k"}}, "then": "failover"}"#,
            "when.prompt_tokens.above: must be a whole number from 0 on, not `8k`",
        ),
        (
            r#"{"when": {"max_tokens": {"above": 5, "below": 6}}, "then": "failover"}"#,
            "when.max_tokens: holds for no number",
        ),
        (r#"{"when": {"max_tokens": {"below": 0}}, "then": "failover"}"#, "when.max_tokens: holds for no number"),
        (
            r#"{"when": {"model": "a*b*"}, "then": "failover"}"#,
            "when.model: must be a name with at most one `*`, not `a*b*`",
        ),
        (r#"{"when": {"model": []}, "then": "failover"}"#, "when.model: must not be empty"),
        (r#"{"when": {"streaming": "yes"}, "then": "failover"}"#, "when.streaming: must be true or false, not `yes`"),
        (
            r#"{"when": {"tier": "last-resort"}, "then": "failover"}"#,
            "when.tier: `last-resort` is not known here; did you mean `last_resort`?",
        ),
        (
            r#"{"when": {"attributes": {"team": "a"}}, "then": "failover"}"#,
            "when.attributes.team: `routing.attributes` of the configuration must name `team`; there is: tenant, user_id",
        ),
        (r#"{"prefer": "eu-c"}"#, "prefer: no target is called `eu-c`; did you mean `eu-a`?"),
        (
            r#"{"prefer": ["gpu", "asia"]}"#,
            "prefer[1]: no target is called `asia`; there are: us, eu-a, eu-b, gpu/large",
        ),
        (r#"{"only": {"region": "ue"}}"#, "only.region: no target has the region `ue`; did you mean `eu`?"),
        (
            r#"{"only": {"zone": "eu"}}"#,
            "only.zone: no target has a label of this name; there are: model, provider, region",
        ),
        (r#"{"only": {"model": "larg"}}"#, "only.model: no target has the model `larg`; did you mean `large`?"),
        (r#"{"only": {"region": "eu", "model": "large"}}"#, "only: no target has all of these"),
        (
            r#"{"only": {}}"#,
            "only: must be a name, a `model`, a `provider` or labels such as `{region: eu}`, not a mapping",
        ),
        (r#"{"then": "cheapest", "contineu": true}"#, "contineu: is not a known key; did you mean `continue`?"),
    ] {
        assert_eq!(of(rule), format!("config.rules[1].{expected}"));
    }
    for (rule, expected) in [
        (r#"{"when": {"streaming": true}}"#, ": does nothing: it needs `prefer`, `only`, `never` or `then`"),
        (r#"{"only": "us", "never": "us"}"#, ": leaves no target that could be tried"),
        (r#"{"never": "*"}"#, ": leaves no target that could be tried"),
        (
            r#"{"prefer": "us", "continue": true}"#,
            ".continue: is for a rule with nothing but `only` or `never`: what is preferred says the rule that decides",
        ),
    ] {
        assert_eq!(of(rule), format!("config.rules[1]{expected}"));
    }
}

#[test]
fn a_rule_that_can_never_be_reached_is_refused() {
    let config =
        r#"{"rules": [{"never": "us", "continue": true}, {"then": "failover", "when": {}}, {"prefer": "us"}]}"#;
    let expected = "config.rules[2]: is never reached: rules[1] has no `when` and decides every request";
    assert_eq!(error(config), expected);
}

#[test]
fn prices_are_needed_to_be_cheap() {
    let config = r#"{"rules": [{"then": "cheapest"}]}"#;
    let error = Harness::<Rules>::start(["a"], config).expect_err("no price");
    let expected = "no target has a price; say what a million tokens cost under `providers[].price`";
    assert_eq!(error, format!("config.rules[0].then: {expected}"));
}

#[test]
fn many_mistakes_are_counted_where_there_is_no_room_for_all() {
    let rules = vec![r#"{"prefer": "somebody who is not there"}"#; 40].join(",");
    let error = error(&format!(r#"{{"rules": [{rules}]}}"#));
    assert!(error.len() < 1_024 && error.ends_with(" more"), "{error}");
}
