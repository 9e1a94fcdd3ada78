//! Laws that hold for all bodies: what is accepted is exactly JSON, and splicing keeps every other byte.
//!
//! `serde_json` judges. These differ on purpose: nesting beyond the limit, keys that repeat, and surrogates without
//! their partner, which the grammar allows and which `serde_json` accepts only where it builds no string.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::scan::{MAX_DEPTH, Scanner};
use super::{BodyError, Menu, RequestBody, text};

/// True when the scanner takes all of it for one value.
fn scans(bytes: &[u8]) -> bool {
    let mut scanner = Scanner::new(bytes, 0);
    scanner.whitespace();
    std::str::from_utf8(bytes).is_ok() && scanner.value(MAX_DEPTH).and_then(|_| scanner.end()).is_ok()
}

/// The same for `serde_json`, which builds nothing here either.
fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

fn read(body: &str) -> Result<RequestBody, BodyError> {
    RequestBody::json(Bytes::copy_from_slice(body.as_bytes()), None, &Menu::default())
}

/// Any value of JSON, not too large.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Eighths, because `serde_json` does not read every other float back as it wrote it.
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..6).prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

/// Writes `value` with whitespace and escapes that vary with `seed`.
fn write(value: &Value, seed: &mut u64, out: &mut String) {
    space(seed, out);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        Value::String(text) => write_string(text, seed, out),
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(element, seed, out);
            }
            space(seed, out);
            out.push(']');
        }
        Value::Object(members) => {
            let members: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
            write_object(&members, seed, out);
        }
    }
    space(seed, out);
}

fn write_object(members: &[(&str, &Value)], seed: &mut u64, out: &mut String) {
    out.push('{');
    space(seed, out);
    for (index, (key, value)) in members.iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        space(seed, out);
        write_string(key, seed, out);
        space(seed, out);
        out.push(':');
        write(value, seed, out);
    }
    out.push('}');
}

fn write_string(text: &str, seed: &mut u64, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let quoted = text::quote(character.encode_utf8(&mut [0; 4]));
        match random(seed) % 4 {
            0 => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            1 if character == '/' => out.push_str("\\/"),
            _ => out.push_str(&quoted[1..quoted.len() - 1]),
        }
    }
    out.push('"');
}

fn space(seed: &mut u64, out: &mut String) {
    out.push_str(["", "", "", " ", "\n", "\t \r"][(random(seed) % 6) as usize]);
}

/// Steele and Vigna's SplitMix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32
}

/// Members for an object in any order, among them some that matter.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let tagged = prop_oneof![
        Just("<optillm_approach>none</optillm_approach>".to_owned()),
        ".{0,6}",
        Just("<optillm_approach>\n".to_owned()),
        Just("</optillm_approach>".to_owned()),
    ];
    let content = prop::collection::vec(tagged, 0..5).prop_map(|pieces| pieces.concat());
    let role = prop::sample::select(vec!["user", "system", "assistant"]);
    let message = (role, content, any::<bool>()).prop_map(|(role, content, parts)| match parts {
        true => {
            json!({"role": role, "content": [{"type": "text", "text": content}, {"type": "other", "text": content}]})
        }
        false => json!({"content": content, "role": role}),
    });
    let optillm = || prop::sample::select(vec!["optillm_approach", "proxy_wrap", "wrapped_approach", "wrap"]);
    let plain = || prop::sample::select(vec![json!("proxy"), json!("none"), json!(""), json!(null)]);
    let extra =
        prop::collection::vec(prop_oneof![(optillm().prop_map(str::to_owned), plain()), ("[a-f]", value())], 0..4);
    let member = prop_oneof![
        3 => ("[a-zäöü\"\\\\]{0,3}", value()),
        2 => (optillm().prop_map(str::to_owned), plain()),
        1 => (Just("model".to_owned()), ".{0,8}".prop_map(|model| json!(format!("m{model}")))),
        1 => (Just("extra_body".to_owned()), extra.prop_map(|members| Value::from(Map::from_iter(members)))),
        1 => (Just("messages".to_owned()), prop::collection::vec(message, 0..4).prop_map(Value::from)),
        1 => (Just("stream".to_owned()), any::<bool>().prop_map(Value::from)),
    ];
    prop::collection::vec(member, 0..10).prop_map(|members| {
        let mut seen = std::collections::HashSet::new();
        members.into_iter().filter(|(key, _)| seen.insert(key.clone())).collect()
    })
}

/// The body that a provider should get, built by way of a tree.
fn expected(members: &[(String, Value)], model: &str) -> Value {
    let optillm = |key: &str| ["optillm_approach", "proxy_wrap", "wrapped_approach", "wrap"].contains(&key);
    let mut body = Map::new();
    for (key, value) in members {
        let mut value = value.clone();
        match key.as_str() {
            key if optillm(key) => continue,
            "model" => value = model.into(),
            "extra_body" => {
                let extra = value.as_object_mut().unwrap();
                let before = extra.len();
                extra.retain(|key, _| !optillm(key));
                if extra.is_empty() && before > 0 {
                    continue;
                }
            }
            "messages" => value.as_array_mut().unwrap().iter_mut().for_each(|message| {
                if message["role"] == "assistant" {
                } else if message["content"].is_string() {
                    message["content"] = untagged(message["content"].as_str().unwrap()).into();
                } else {
                    message["content"][0]["text"] = untagged(message["content"][0]["text"].as_str().unwrap()).into();
                }
            }),
            _ => {}
        }
        body.insert(key.clone(), value);
    }
    Value::from(body)
}

/// The text without tags, line by line, as OptiLLM's regular expression sees them.
fn untagged(text: &str) -> String {
    let untag = |line: &str| {
        let (mut line, mut kept) = (line, String::new());
        while let Some((before, behind)) = line.split_once("<optillm_approach>")
            && let Some((_, after)) = behind.split_once("</optillm_approach>")
        {
            kept.push_str(before);
            line = after;
        }
        kept + line
    };
    text.split('\n').map(untag).collect::<Vec<_>>().join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn accepts_of_any_bytes_what_serde_json_accepts(bytes: Vec<u8>) {
        prop_assert_eq!(scans(&bytes), is_json(&bytes));
        let _ = RequestBody::json(bytes.into(), None, &Menu::default());
    }

    #[test]
    fn accepts_of_what_looks_like_json_what_serde_json_accepts(
        text in r#"([{}\[\],:" ]|"[a\\u0-9bn/\x00-\x20]{0,6}"|-?[0-9]{0,2}[.eE+-]?[0-9]?|true|null|fals){0,8}"#
    ) {
        prop_assert_eq!(scans(text.as_bytes()), is_json(text.as_bytes()), "{}", text);
        let _ = read(&text);
    }

    #[test]
    fn accepts_of_damaged_json_what_serde_json_accepts(
        value in value(),
        mut seed: u64,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 0..3),
    ) {
        let mut text = String::new();
        write(&value, &mut seed, &mut text);
        let mut bytes = text.into_bytes();
        prop_assert!(scans(&bytes));
        for (place, byte, change) in changes {
            if !bytes.is_empty() {
                let at = place.index(bytes.len());
                match change {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, b"\"\\{}[],:0\x1f"[usize::from(byte) % 10]),
                    2 => bytes.truncate(at),
                    _ => drop(bytes.remove(at)),
                }
            }
        }
        prop_assert_eq!(scans(&bytes), is_json(&bytes));
    }

    #[test]
    fn splicing_gives_the_tree_that_editing_a_tree_gives(members in members(), mut seed: u64, other in ".{0,8}") {
        let borrowed: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let mut text = String::new();
        space(&mut seed, &mut text);
        write_object(&borrowed, &mut seed, &mut text);
        space(&mut seed, &mut text);
        let body = match read(&text) {
            Ok(body) => body,
            // A tag inside a tag names an approach that nobody has.
            Err(error) => {
                prop_assert_eq!((error.code(), error.param()), ("approach_unavailable", Some("messages")));
                return Ok(());
            }
        };
        let model = members.iter().find(|(key, _)| key == "model").map_or("", |(_, model)| model.as_str().unwrap());
        prop_assert_eq!(body.model(), model);
        for model in [model, &other] {
            let sent = body.with_model(model);
            prop_assert!(sent.len() <= text.len() + 6 * model.len());
            let parsed: Value = serde_json::from_slice(&sent).unwrap();
            prop_assert_eq!(parsed, expected(&members, model), "{}", text);
        }
    }

    #[test]
    fn splicing_keeps_all_other_bytes(before in members(), after in value(), mut seed: u64, model in "m.{0,8}") {
        let kept = |key: &str| !["model", "messages", "extra_body", "wrap", "proxy_wrap", "wrapped_approach", "optillm_approach", "\u{1}"].contains(&key);
        let before: Vec<_> = before.iter().filter(|(key, _)| kept(key)).map(|(key, value)| (key.as_str(), value)).collect();
        let mut head = String::new();
        write_object(&before, &mut seed, &mut head);
        head.pop();
        head.push_str(if before.is_empty() { "" } else { "," });
        let mut tail = String::from(",\"\\u0001\":");
        write(&after, &mut seed, &mut tail);
        tail.push('}');
        let mut written = String::new();
        write_string(&model, &mut seed, &mut written);
        let body = read(&format!("{head}\"model\": {written} {tail}")).unwrap();
        prop_assert_eq!(body.with_model("other"), format!("{head}\"model\": \"other\" {tail}"));
        let body = read(&format!("{head}\"model\": {written} ,\"wrap\":\n\"none\"{tail}")).unwrap();
        prop_assert_eq!(body.with_model(&model), format!("{head}\"model\": {written}{tail}"));
    }

    #[test]
    fn quoting_is_undone_by_reading(plain: String) {
        let json = text::quote(&plain);
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), &*plain);
        prop_assert_eq!(text::read(&json.as_bytes()[1..json.len() - 1]), plain);
    }

    #[test]
    fn the_end_of_plain_text_is_found_wherever_it_stands(length in 0..300_usize, at in 0..300_usize, byte: u8) {
        let mut bytes = "é".repeat(length / 2).into_bytes();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
        prop_assert_eq!(text::plain_until(&bytes, 0, usize::MAX), end);
        if let Some(block) = bytes.first_chunk::<64>() {
            let bits = (0..64).filter(|place| matches!(block[*place], b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(text::specials(block), bits.fold(0, |all, place| all | 1 << place));
        }
        let low = |byte: &u8| !byte.is_ascii() || byte.is_ascii_control() && *byte != 0x7f;
        prop_assert_eq!(text::is_clean(&bytes), !bytes.iter().any(low));
    }

    #[test]
    fn no_form_whatever_panics(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "--b", "\r\n", "\r\n--b", "--", "\r\n\r\n", "Content-Disposition: form-data; name=", "model", "\"", "wrap",
            ";", "=", " ", "\\", "é", "proxy-", "stream", "true",
            "\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\n",
            "\r\n--b\r\nContent-Disposition: form-data; name=wrap\r\n\r\n",
        ]), 0..24),
        content_type in prop_oneof![Just("multipart/form-data; boundary=b".to_owned()), "m/f; ?boundary=[\"b\\\\;é]{0,3}"],
        other in "[a-z]{0,3}",
    ) {
        let body = Bytes::from(pieces.concat());
        if let Ok(read) = RequestBody::multipart(body.clone(), &content_type, None, &Menu::default()) {
            read.with_model(&other);
            prop_assert!(read.len() <= body.len());
        }
    }
}
