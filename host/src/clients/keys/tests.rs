//! Tests of the table over reloads, and of what a key costs.

use std::mem::size_of;
use std::path::Path;

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::config::parse;

fn config(clients: &str) -> Config {
    let text = format!("providers: [{{name: a, base_url: 'http://a/v1', api_key: k}}]\nclients:\n{clients}");
    parse(&text, Path::new("x.yaml"), &|_| None, &["round_robin"]).unwrap()
}

fn client(keys: &Keys, key: &str) -> Option<Arc<Client>> {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_str(key).unwrap());
    match keys.identify(&headers) {
        Known::Client(client) => Some(client),
        _ => None,
    }
}

#[test]
fn a_key_takes_less_than_150_bytes() {
    // What an allocator adds to an `Arc`: the two counts.
    let counts = 2 * size_of::<usize>();
    let (name, id) = ("client-000001".len(), "abcdefgh2345".len());
    let index = 2 * size_of::<u32>() / 4;
    let of_file = size_of::<Entry>() + index + counts + size_of::<Client>() + name;
    assert!(of_file <= 150, "{of_file}: {} and {}", size_of::<Entry>(), size_of::<Client>());
    assert!(of_file + id <= 150, "{} of one that was made at run time", of_file + id);
}

#[test]
fn keys_of_which_the_same_is_said_share_it() {
    let key = |number: u32| format!("    - {{name: c{number}, key: k{number}, models: [a, b], group: g}}\n");
    let keys: String = (0..3).map(key).collect();
    let config =
        config(&format!("  groups: [{{name: g, limits: {{rpm: 5}}}}]\n  keys:\n{keys}    - {{name: d, key: d}}\n"));
    let keys = Keys::new(&config, Arc::default());
    let [one, other] = ["k0", "k2"].map(|key| client(&keys, key).unwrap().grant.clone().unwrap());
    assert!(Arc::ptr_eq(&one, &other));
    assert!(one.group_account.is_some());
    assert!(client(&keys, "d").unwrap().grant.is_none(), "a plain key needs none");
}

#[test]
fn clients_are_listed_in_the_order_of_the_file() {
    let file = config("  keys:\n    - {name: c, key: k1}\n    - {name: a, key: k2}\n    - {name: b, key: k3}\n");
    let keys = Keys::new(&file, Arc::default());
    let listed: Vec<(String, String)> =
        keys.configured().into_iter().map(|(client, place, _)| (client.name.to_string(), place)).collect();
    let wanted = [("c", "x.yaml:4"), ("a", "x.yaml:5"), ("b", "x.yaml:6")];
    assert_eq!(listed, wanted.map(|(name, place)| (name.to_owned(), place.to_owned())));
    assert_eq!(keys.gone(vec!["a".to_owned(), "d".to_owned()]), ["d"]);
}

#[test]
fn owners_that_a_reload_takes_away_and_brings_back_keep_their_counters() {
    let limited = config("  keys: [{name: a, key: k, limits: {rpd: 5}}]\n");
    let book: Arc<Book> = Arc::default();
    let keys = Keys::new(&limited, Arc::clone(&book));
    let owners = || book.accounts().iter().map(|account| account.owner().to_string()).collect::<Vec<_>>();
    assert_eq!(owners(), ["c/a"]);
    let before = client(&keys, "k").unwrap().account.clone().unwrap();
    keys.configure(&config("  keys: [{name: b, key: k}]\n"));
    assert!(owners().is_empty() && client(&keys, "k").unwrap().account.is_none());
    keys.configure(&limited);
    let after = client(&keys, "k").unwrap().account.clone().unwrap();
    assert!(Arc::ptr_eq(&before.meters()[0].counter, &after.meters()[0].counter));
}
