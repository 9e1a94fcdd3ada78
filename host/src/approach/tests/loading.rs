//! What is loaded as an approach, and what is not.

use super::*;
use crate::wasm::LoadError;

fn refusal(bytes: &[u8]) -> LoadError {
    Approach::load(&Source::new("it", bytes)).err().expect("refused")
}

#[test]
fn says_what_it_is() {
    let info = asker().info().clone();
    assert_eq!((info.name.as_str(), info.version.as_str(), info.many, info.tools), ("asker", "1.0", true, false));
    assert_eq!(info.description, "Does as it is told,\\nand is of no use");
    assert_eq!(info.options, [("asker_times".to_owned(), "how often".to_owned())]);
    assert_eq!(asker().digest().len(), 64);
}

#[tokio::test]
async fn says_whether_it_accepts_a_configuration() {
    let asker = asker();
    let check = async |config: &str| asker.check(config).await;
    assert_eq!(check("{}").await, Ok(()));
    assert_eq!(check(r#"{"check": "two\nlines"}"#).await, Err("two\\nlines".to_owned()));
    assert_eq!(check(r#"{"check": "two\nlines"}"#).await, Err("two\\nlines".to_owned()));
    // The model does not answer there.
    assert_eq!(check(r#"{"check": "chat"}"#).await, Err("nobody answers".to_owned()));
    let panicked = check(r#"{"check": "panic"}"#).await.expect_err("it panics");
    assert!(panicked.starts_with("broke in check: trapped: ") && panicked.contains("as commanded"), "{panicked}");
    assert_eq!(check(r#"{"check": "spin"}"#).await, Err("broke in check: ran longer than it may".to_owned()));
    assert_eq!(check("{}").await, Ok(()));
}

#[test]
fn a_strategy_is_no_approach_and_the_reverse() {
    let error = refusal(crate::strategy::builtin_component("round_robin").expect("built in"));
    assert_eq!(error.to_string(), "is a strategy, not an approach");
    assert_eq!((error.code(), error.remedy().as_str()), ("other-kind", "declare it under `strategies`"));
    let error = crate::strategy::load_component("it", &component("asker"), &json!({}), Vec::new()).err();
    let error = error.expect("refused");
    assert_eq!(error.to_string(), "is an approach, not a strategy");
    assert_eq!((error.code(), error.remedy().as_str()), ("other-kind", "declare it under `approaches`"));
}

#[test]
fn tells_what_is_no_component_of_any_kind() {
    assert!(matches!(refusal(b""), LoadError::NotWebAssembly));
    assert!(matches!(refusal(b"\0asm\x01\0\0\0"), LoadError::CoreModule));
    let error = refusal(b"\0asm\x0d\0\x01\0");
    let expected = "is not an approach: it does not export `pointsman:approach/runner`, but nothing";
    assert_eq!((error.to_string().as_str(), error.code()), (expected, "not-an-approach"));
}

/// The approaches in the binary are components like any other.
#[tokio::test]
async fn every_built_in_approach_loads_and_answers() {
    let registry = Registry::new([], None);
    let names: Vec<&str> = registry.names().collect();
    assert_eq!(names, builtins());
    for name in names {
        let approach = registry.get(name).await.unwrap_or_else(|error| panic!("{name} {error}"));
        assert!(!approach.info().description.is_empty(), "{name} says what it is");
        assert_eq!(approach.check("{}").await, Ok(()), "{name} works without a configuration");
        let budget = Budget { calls: 64, tokens: u32::MAX, millis: 60_000 };
        let request = Request { config: "{}".to_owned(), budget, ..request("text", 1) };
        let session = approach.start(request, Arc::new(Table), Setting::named(name));
        let mut driver = Driver::default();
        let ended = driver.drive(session).await;
        assert!(matches!(&ended, Ended::Finals(finals) if finals.len() == 1), "{name}: {ended:?}");
        assert!(!driver.calls.is_empty(), "{name} asks the model");
    }
}
