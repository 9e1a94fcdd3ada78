//! The test kit, tried on a strategy that does as it is told.

use super::*;
use crate::export::Running;
use crate::{Candidates, Decision, NoConfig, OutcomeKind, Setup};

/// Does what the model of the request says, and counts what it observes.
struct Puppet {
    observed: u32,
}

impl Strategy for Puppet {
    type Config = NoConfig;

    const REASONS: &'static [&'static str] = &["told", "observed"];
    const OBSERVES: bool = true;

    fn new(setup: &Setup, _: NoConfig) -> Result<Self, String> {
        setup.index_of("a").map(|_| Self { observed: 0 })
    }

    fn reasons(&self) -> Vec<String> {
        vec!["made by the config".to_owned()]
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        match request.model.as_str() {
            "abstain" => Decision::abstain(),
            "error" => Err("no".to_owned()).into(),
            "twice" => Decision::of(vec![0, 0]),
            "both" => Decision::from(candidates.in_order()).excluding([0]),
            "only b" => candidates.filter(|c| c.name() == "b").in_order().because("told"),
            "nobody" => candidates.filter(|_| false).in_order().because("told"),
            "each" => candidates.in_order().because_each(|c| if c.name() == "a" { "told" } else { "observed" }),
            "not offered" => Decision::of(vec![1]),
            "own reason" => Decision::from(candidates.in_order()).because_own(0),
            "unknown own reason" => Decision::from(candidates.in_order()).because_own(1),
            "unknown reason" => candidates.in_order().because("mood"),
            _ if self.observed > 0 => candidates.in_order().because("observed"),
            _ => candidates.in_order().because("told"),
        }
    }

    fn observe(&mut self, outcomes: &[Outcome]) {
        self.observed += outcomes.len() as u32;
    }
}

fn puppet(model: &str) -> Harness<Puppet> {
    let mut puppet = Harness::<Puppet>::new(["a", "b"]);
    model.clone_into(&mut puppet.request.model);
    puppet
}

#[test]
fn abstaining_counts_for_the_first_offered() {
    let mut puppet = puppet("abstain");
    assert!(puppet.route().is_empty());
    puppet.offer(["b"]);
    puppet.assert_share("b", 1.0, 0.0, 10);
}

#[test]
fn an_error_is_the_text_of_the_strategy() {
    assert_eq!(puppet("error").try_route(), Err("no".to_owned()));
    let error = Harness::<Puppet>::start(["b", "c"], "{}").err();
    assert_eq!(error.as_deref(), Some("no target is named `a`; there are: b, c"));
}

#[test]
#[should_panic(expected = "target 0 stands in the order twice")]
fn a_provider_that_comes_twice_panics() {
    puppet("twice").route();
}

#[test]
#[should_panic(expected = "target 1 was not offered")]
fn a_provider_that_was_not_offered_panics() {
    let mut puppet = puppet("not offered");
    puppet.offer(["a"]);
    puppet.route();
}

#[test]
#[should_panic(expected = "the reason \"mood\" is not one of REASONS")]
fn a_reason_that_is_not_declared_panics() {
    puppet("unknown reason").route();
}

#[test]
#[should_panic(expected = "target 0 stands in the order and is excluded")]
fn a_target_that_is_chosen_and_excluded_panics() {
    puppet("both").route();
}

#[test]
fn what_is_filtered_is_excluded() {
    let mut only = puppet("only b");
    assert_eq!(only.route(), ["b"]);
    assert_eq!(only.excluded(), ["a"]);
    only.assert_share("b", 1.0, 0.0, 10);
    let mut nobody = puppet("nobody");
    assert!(nobody.route().is_empty() && nobody.shares(10).is_empty());
    assert_eq!(nobody.excluded(), ["a", "b"]);
}

#[test]
fn each_candidate_may_have_a_reason_of_its_own() {
    let mut each = puppet("each");
    assert_eq!((each.route(), each.reason()), (vec!["a".to_owned(), "b".to_owned()], None));
    let decision = Decision { reasons: vec!["told", "observed"], ..Decision::of(vec![0, 1]) };
    assert_eq!(decision.into_wit::<Puppet>().map(|decision| decision.reasons), Ok(vec![1, 2]));
}

#[test]
fn outcomes_reach_the_strategy() {
    let mut puppet = puppet("model");
    puppet.route();
    assert_eq!(puppet.reason(), Some("told"));
    puppet.observe(&[Outcome {
        target: 0,
        kind: OutcomeKind::Failed,
        first_byte_us: 0,
        total_us: 1,
        input_tokens: 0,
        output_tokens: 0,
        cost: 0.0,
    }]);
    puppet.route();
    assert_eq!(puppet.reason(), Some("observed"));
}

#[test]
fn reasons_are_numbered_after_unspecified() {
    let number = |decision: Decision| decision.into_wit::<Puppet>().map(|decision| decision.reason);
    assert_eq!(number(Decision::abstain()), Ok(0));
    assert_eq!(number(Decision::abstain().because("told")), Ok(1));
    assert_eq!(number(Decision::abstain().because("observed")), Ok(2));
    assert_eq!(number(Decision::abstain().because("mood")), Ok(0));
    assert_eq!(number(Decision::error("no")), Err("no".to_owned()));
    assert_eq!(number(Decision::abstain().because_own(0)), Ok(3), "those that the config makes come after the others");
}

#[test]
fn reasons_that_the_config_makes_are_known_by_number() {
    let mut puppet = puppet("own reason");
    puppet.route();
    assert_eq!(puppet.reason(), Some("made by the config"));
    let info = Running::<Puppet>::new();
    let setup = crate::testing::fixture("a").into_target();
    let (route, config) = (String::new(), "{}".to_owned());
    info.init(wit::Setup { route, targets: vec![setup], attributes: Vec::new(), prompt: false, config })
        .expect("starts");
    let described = info.describe("puppet", "1", "");
    assert_eq!(described.reasons, ["unspecified", "told", "observed", "made by the config"]);
}

#[test]
#[should_panic(expected = "the reason 1 is not one of reasons(), which are 1")]
fn a_reason_that_the_config_has_not_made_panics() {
    puppet("unknown own reason").route();
}

/// A file that is gone with the test.
struct File(std::path::PathBuf);

impl File {
    fn with(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pointsman-{}-{name}.json", std::process::id()));
        std::fs::write(&path, text).expect("the temporary folder is writable");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn fixtures_are_played_to_the_type() {
    let text = r#"{"name": "x", "providers": ["a", {"name": "b", "labels": {"region": "eu"}}], "steps": [
        {"expect": {"order": ["a", "b"], "reason": "told"}},
        {"request": {"model": "abstain"}, "expect": {"order": ["a", "b"], "reason": "unspecified"}},
        {"request": {"model": "error"}, "expect": {"error": "no"}},
        {"observe": [{"provider": "b", "kind": "timed-out", "total_us": 5}]},
        {"repeat": 10, "expect": {"share": {"a": [1, 1]}, "reason": "observed"}}
    ]}"#;
    play_fixtures::<Puppet>(&File::with("played", text).0);
    let refused = r#"{"name": "x", "providers": ["b"], "expect_rejected": "no target is named `a`"}"#;
    play_fixtures::<Puppet>(&File::with("refused", refused).0);
}

#[test]
#[should_panic(expected = "x: steps[0]: target 0 stands in the order twice")]
fn an_illegal_decision_fails_the_fixture() {
    let text = r#"{"name": "x", "providers": ["a"], "steps": [
        {"request": {"model": "twice"}, "expect": {"first": "a"}}
    ]}"#;
    play_fixtures::<Puppet>(&File::with("illegal", text).0);
}

#[test]
#[should_panic(expected = "nowhere: ")]
fn a_folder_without_fixtures_is_no_success() {
    play_fixtures::<Puppet>("nowhere");
}
