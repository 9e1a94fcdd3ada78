//! Bodies of requests: what is accepted is JSON, and what a provider gets differs only where it must.
//!
//! The laws are those of `host/src/proxy/request/laws.rs`, where proptest makes likely bodies; here they meet unlikely
//! ones. `serde_json` judges.

#![no_main]

use std::fmt;

use libfuzzer_sys::fuzz_target;
use pointsman::proxy::request::{Menu, RequestBody};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A model that has to be escaped in JSON.
const OTHER: &str = "other \"model\" \\ é";

fuzz_target!(|bytes: &[u8]| {
    json(bytes);
    multipart(bytes, "multipart/form-data; boundary=b");
    if let Some(boundary) = bytes.strip_prefix(b"--").and_then(|rest| rest.split(|byte| *byte == b'\r').next()) {
        multipart(bytes, &format!("multipart/form-data; boundary=\"{}\"", String::from_utf8_lossy(boundary)));
    }
});

fn json(bytes: &[u8]) {
    let body = match RequestBody::json(bytes.to_vec().into(), None, &Menu::default()) {
        Ok(body) => body,
        Err(error) => {
            assert!(error.to_string().len() < 600, "an error echoes no body");
            if matches!(error.code(), "invalid_json") {
                let bare = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
                assert!(bare.len() < bytes.len() || !is_json(bytes), "refused as no JSON: {error}");
            }
            return;
        }
    };
    assert!(is_json(bytes), "accepted, but no JSON");
    let same = body.with_model(body.model());
    let other = body.with_model(OTHER);
    assert_eq!(same.len(), body.len());
    // A name shortened by its prefix may be spelled longer: what was raw may have to be escaped.
    assert!(is_json(&same) && is_json(&other), "spliced, but no JSON");
    // serde builds no string of half a surrogate pair; such bodies have been compared as far as can be.
    let (Ok(before), Ok(same), Ok(other)) = (Members::of(bytes), Members::of(&same), Members::of(&other)) else {
        return;
    };
    let (mut same, mut other) = (same.0.into_iter(), other.0.into_iter());
    for (key, value) in before.0 {
        if ["optillm_approach", "proxy_wrap", "wrapped_approach", "wrap"].contains(&key.as_str()) {
            continue;
        }
        if key == "extra_body" && Members::of(value.get().as_bytes()).is_ok_and(|members| members.only_optillm()) {
            continue;
        }
        let same = same.next().expect("a member less");
        let other = other.next().expect("a member less");
        assert_eq!((&key, &key), (&same.0, &other.0));
        match key.as_str() {
            "model" if value.get().starts_with('"') => {
                if let Ok(name) = serde_json::from_str::<String>(value.get()) {
                    let sent: String = serde_json::from_str(same.1.get()).expect("a model's name is text");
                    assert!(name.ends_with(&sent) && sent == body.model(), "{name:?} became {sent:?}");
                    let sent: String = serde_json::from_str(other.1.get()).expect("a model's name is text");
                    assert_eq!(sent, OTHER);
                }
            }
            // What a tag or a key of OptiLLM's leaves behind is judged by the proptests.
            "messages" | "extra_body" if mentions_optillm(value.get()) => {}
            _ => assert_eq!((value.get(), value.get()), (same.1.get(), other.1.get()), "{key:?} was altered"),
        }
    }
    assert!(same.next().is_none() && other.next().is_none(), "a member more");
}

fn multipart(bytes: &[u8], content_type: &str) {
    let Ok(body) = RequestBody::multipart(bytes.to_vec().into(), content_type, None, &Menu::default()) else { return };
    let same = body.with_model(body.model());
    assert!(same.len() <= bytes.len());
    // Only cuts: what is left stands there in the same order.
    let mut before = bytes.iter();
    assert!(same.iter().all(|byte| before.any(|other| other == byte)), "a form was altered");
    body.with_model("other");
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

fn mentions_optillm(text: &str) -> bool {
    text.contains("optillm") || text.contains("wrap") || text.contains("\\u")
}

/// The members of an object, in their order, each value as it is spelled.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn of(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    fn only_optillm(&self) -> bool {
        let optillm = |key: &str| ["optillm_approach", "proxy_wrap", "wrapped_approach", "wrap"].contains(&key);
        !self.0.is_empty() && self.0.iter().all(|(key, _)| optillm(key))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
