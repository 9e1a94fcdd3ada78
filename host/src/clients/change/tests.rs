//! Tests of keys made at run time, over a store in memory.

use std::collections::BTreeMap;
use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::clients::{Known, Store, Stored};
use crate::config::{Config, digest_of, parse};

/// A store in memory, which can be out of reach.
#[derive(Debug, Default)]
struct Memory {
    rows: Mutex<(BTreeMap<String, Vec<u8>>, u64)>,
    is_out: AtomicBool,
}

impl Memory {
    fn answer<T: Send + 'static>(&self, act: impl FnOnce(&mut (BTreeMap<String, Vec<u8>>, u64)) -> T) -> Stored<'_, T> {
        let out = self.is_out.load(Relaxed);
        let answer = if out { Err(StoreError("out of reach".to_owned())) } else { Ok(act(&mut self.rows.lock())) };
        Box::pin(ready(answer))
    }
}

impl Store for Memory {
    fn load(&self) -> Stored<'_, (Vec<(String, Vec<u8>)>, u64)> {
        self.answer(|(rows, changes)| (rows.clone().into_iter().collect(), *changes))
    }

    fn get<'s>(&'s self, id: &'s str) -> Stored<'s, Option<Vec<u8>>> {
        self.answer(|(rows, _)| rows.get(id).cloned())
    }

    fn put<'s>(&'s self, id: &'s str, record: Vec<u8>) -> Stored<'s, u64> {
        self.answer(|(rows, changes)| {
            rows.insert(id.to_owned(), record);
            *changes += 1;
            *changes
        })
    }

    fn remove<'s>(&'s self, id: &'s str) -> Stored<'s, u64> {
        self.answer(|(rows, changes)| {
            rows.remove(id);
            *changes += 1;
            *changes
        })
    }

    fn changes(&self) -> Stored<'_, u64> {
        self.answer(|(_, changes)| *changes)
    }
}

const CONFIG: &str = "providers: [{name: a, base_url: 'http://a/v1', api_key: k}]\n\
    clients:\n  groups: [{name: team, limits: {rpm: 5}}]\n  keys: [{name: file, key: sk-file}]\n  store: engine\nstate: {url: redis://127.0.0.1:6379/0}\n";

fn config(text: &str) -> Config {
    parse(text, Path::new("x.yaml"), &|_| None, &["round_robin"]).unwrap()
}

async fn keys(store: &Arc<Memory>) -> Keys {
    let keys = Keys::new(&config(CONFIG), Arc::default());
    keys.keep_in(Arc::clone(store) as Arc<dyn Store>).await.unwrap();
    keys
}

fn named(terms: Value) -> Map<String, Value> {
    terms.as_object().unwrap().clone()
}

/// What a key is to these keys.
fn says(keys: &Keys, key: &str) -> String {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_str(key).unwrap());
    match keys.identify(&headers) {
        Known::Client(client) => client.name.to_string(),
        Known::Blocked(_) => "blocked".to_owned(),
        Known::Expired(_) => "expired".to_owned(),
        Known::Stranger | Known::Nobody => "unknown".to_owned(),
        Known::Unsure => "unsure".to_owned(),
    }
}

#[tokio::test]
async fn a_key_lives_from_its_making_to_its_removal_here_and_at_others() {
    let store = Arc::new(Memory::default());
    let (here, there) = (keys(&store).await, keys(&store).await);
    let (record, text) = here.create(named(json!({"name": "new", "group": "team"})), None).await.unwrap();
    let text = text.unwrap();
    assert_eq!((says(&here, text.reveal()), says(&there, text.reveal())), ("new".into(), "unknown".into()));
    there.follow().await.unwrap();
    assert_eq!(says(&there, text.reveal()), "new");
    there.block(&record.id, true).await.unwrap();
    here.follow().await.unwrap();
    assert_eq!(says(&here, text.reveal()), "blocked");
    here.block("new", false).await.unwrap();
    assert_eq!(says(&here, text.reveal()), "new", "a name is as good as an id");
    here.remove(&record.id).await.unwrap();
    assert_eq!(says(&here, text.reveal()), "unknown");
    there.follow().await.unwrap();
    assert_eq!(says(&there, text.reveal()), "unknown");
    let kept =
        String::from_utf8_lossy(&store.rows.lock().0.values().flatten().copied().collect::<Vec<u8>>()).into_owned();
    assert!(!kept.contains(text.reveal()));
}

#[tokio::test]
async fn a_new_text_goes_beside_the_old_one_for_a_while_or_at_once_in_its_place() {
    let store = Arc::new(Memory::default());
    let keys = keys(&store).await;
    let (record, first) = keys.create(named(json!({"name": "new"})), None).await.unwrap();
    let first = first.unwrap();
    let (_, second) = keys.rotate(&record.id, Duration::from_secs(3600)).await.unwrap();
    assert_eq!((says(&keys, first.reveal()), says(&keys, second.reveal())), ("new".into(), "new".into()));
    let (after, third) = keys.rotate("new", Duration::ZERO).await.unwrap();
    assert_eq!((says(&keys, first.reveal()), says(&keys, second.reveal())), ("unknown".into(), "unknown".into()));
    assert_eq!((says(&keys, third.reveal()), after.id), ("new".into(), record.id));
}

#[tokio::test]
async fn a_key_of_the_file_is_not_changed_and_names_and_keys_are_there_once() {
    let store = Arc::new(Memory::default());
    let keys = keys(&store).await;
    let says = |outcome: Result<Record, ChangeError>| outcome.unwrap_err().to_string();
    assert!(says(keys.block("file", true).await).contains("x.yaml:4"));
    assert!(says(keys.remove("other").await).contains("no key"));
    let create = async |terms: Value, hash| keys.create(named(terms), hash).await.map(|(record, _)| record);
    assert!(says(create(json!({"name": "file"}), None).await).contains("already"));
    assert!(says(create(json!({"name": "x"}), Some(digest_of(b"sk-file"))).await).contains("`file`"));
    assert!(says(create(json!({"name": "x", "group": "nobody"}), None).await).contains("`group`"));
    let record = create(json!({"name": "x", "expires": "2027-01-31"}), Some(digest_of(b"sk-old"))).await.unwrap();
    assert_eq!(self::says(&keys, "sk-old"), "x");
    let patched = keys.change("x", &named(json!({"name": "y", "expires": null, "models": ["m"]}))).await.unwrap();
    assert_eq!(Value::from(patched.terms), json!({"name": "y", "models": ["m"]}));
    assert!(says(keys.change(&record.id, &named(json!({"models": []}))).await).contains("`models`"));
    assert_eq!(keys.record("y").await.unwrap().unwrap().terms["models"], json!(["m"]), "nothing was changed");
}

#[tokio::test]
async fn while_the_store_is_out_known_keys_count_and_others_are_not_refused_for_good() {
    let store = Arc::new(Memory::default());
    let keys = keys(&store).await;
    let (_, text) = keys.create(named(json!({"name": "new"})), None).await.unwrap();
    store.is_out.store(true, Relaxed);
    assert!(keys.follow().await.is_err());
    assert_eq!((says(&keys, text.unwrap().reveal()), says(&keys, "sk-file")), ("new".into(), "file".into()));
    assert_eq!(says(&keys, "sk-other"), "unsure");
    assert!(matches!(keys.block("new", true).await, Err(ChangeError::Store(_))));
    store.is_out.store(false, Relaxed);
    keys.follow().await.unwrap();
    assert_eq!(says(&keys, "sk-other"), "unknown");
}

#[tokio::test]
async fn a_reload_keeps_what_was_made_and_without_a_store_nothing_is_made() {
    let store = Arc::new(Memory::default());
    let keys = keys(&store).await;
    let (_, text) = keys.create(named(json!({"name": "new", "group": "team"})), None).await.unwrap();
    keys.configure(&config(&CONFIG.replace("sk-file", "sk-changed")));
    assert_eq!((says(&keys, text.unwrap().reveal()), says(&keys, "sk-file")), ("new".into(), "unknown".into()));
    let none = Keys::new(&config(&CONFIG.replace("  store: engine\n", "")), Arc::default());
    let error = none.create(named(json!({"name": "x"})), None).await.unwrap_err();
    assert!(error.to_string().contains("clients.store"), "{error}");
}
