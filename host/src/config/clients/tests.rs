//! Tests of `clients`: what is read, and what is not.

use super::super::{Config, LoadError, parse};
use super::*;

const PROVIDERS: &str = "providers: [{name: a, base_url: 'http://a/v1', api_key: k}]\n";

fn load(clients: &str) -> Result<Config, LoadError> {
    let env = |name: &str| (name == "SEARCH_KEY").then(|| "sk-search".to_owned());
    parse(&format!("{PROVIDERS}clients:\n{clients}"), "x.yaml".as_ref(), &env, &["round_robin"])
}

fn clients(text: &str) -> Clients {
    load(text).unwrap().clients
}

#[test]
fn a_key_is_a_hash_or_a_text_and_is_kept_as_a_digest() {
    let hash = digest_of(b"sk-other").written();
    let read = clients(&format!(
        "  keys:\n    - {{name: search, key: '${{SEARCH_KEY}}', models: [gpt-4o*], expires: 2027-01-31}}\n    - {{name: \
         other, hash: '{hash}'}}\n"
    ));
    let [search, other] = &read.keys[..] else { panic!("{read:?}") };
    assert_eq!((search.name.as_str(), search.digest), ("search", digest_of(b"sk-search")));
    assert_eq!(search.models, ["gpt-4o*"]);
    assert_eq!(search.expires.map(|end| end.to_string()).as_deref(), Some("2027-02-01T00:00:00Z"));
    assert_eq!((other.digest, other.expires), (digest_of(b"sk-other"), None));
    assert!(!format!("{read:?}").contains("sk-"), "{read:?}");
}

#[test]
fn unknown_callers_are_refused_as_soon_as_there_is_a_key_or_a_place_for_some() {
    for (text, refused) in [
        ("  groups: [{name: g}]\n", false),
        ("  keys: [{name: a, key: k}]\n", true),
        ("  store: engine\nstate: {url: redis://127.0.0.1:6379/0}\n", true),
        ("  store: {path: keys.redb}\n", true),
        ("  unknown: allow\n  keys: [{name: a, key: k}]\n", false),
        ("  unknown: refuse\n", true),
    ] {
        assert_eq!(load(text).unwrap().refuses_unknown(), refused, "{text}");
    }
}

#[test]
fn a_store_that_nobody_can_put_a_key_in_is_warned_about() {
    let warnings = |more: &str| load(&format!("  store: {{path: keys.redb}}\n{more}")).unwrap().warnings;
    let [warning] = &warnings("")[..] else { panic!("{:?}", warnings("")) };
    assert!(warning.contains("clients.store") && warning.contains("`server.admin` is not set"), "{warning}");
    assert_eq!(warnings("server: {admin: {port: 9090}}\n"), [""; 0]);
}

#[test]
fn the_model_for_a_spent_budget_is_one_that_the_key_may_use() {
    let key = |models: &str| format!("  keys: [{{name: a, key: k, models: [{models}], when_exhausted: small}}]\n");
    assert!(load(&key("gpt-4o, sm*")).is_ok());
    let wrong = load(&key("gpt-4o")).unwrap_err().to_string();
    assert!(wrong.contains("when_exhausted") && wrong.contains("may not use"), "{wrong}");
    let refuse = key("gpt-4o").replace("small", "refuse");
    assert!(load(&refuse).is_ok());
}
