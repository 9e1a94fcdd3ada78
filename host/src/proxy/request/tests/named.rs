//! A model that the path names, as Azure's SDKs do, stands above the one in the body.

use super::*;

/// The model, and the body for a provider that calls it as the client does and for one that calls it `x`.
fn named(body: &str) -> (String, String, String) {
    let body = RequestBody::json(Bytes::copy_from_slice(body.as_bytes()), Some("n"), &Menu::default()).unwrap();
    (body.model().to_owned(), text(body.with_model("n")), text(body.with_model("x")))
}

#[track_caller]
fn assert_named(body: &str, own: &str, others: &str) {
    assert_eq!(named(body), ("n".to_owned(), own.to_owned(), others.to_owned()), "{body}");
}

#[test]
fn it_is_put_over_the_bodys_own() {
    assert_named(r#"{"a":1, "model" : "m"}"#, r#"{"a":1, "model" : "n"}"#, r#"{"a":1, "model" : "x"}"#);
    assert_named(r#"{"model":"n"}"#, r#"{"model":"n"}"#, r#"{"model":"x"}"#);
    assert_named(r#"{"model":null}"#, r#"{"model":"n"}"#, r#"{"model":"x"}"#);
}

#[test]
fn it_is_put_into_a_body_without_one() {
    assert_named(r#" {"a":1}"#, r#" {"model":"n","a":1}"#, r#" {"model":"x","a":1}"#);
    assert_named(r#"{ }"#, r#"{"model":"n" }"#, r#"{"model":"x" }"#);
    assert_named(r#"{"wrap":null, "a":1}"#, r#"{"model":"n","a":1}"#, r#"{"model":"x","a":1}"#);
    assert_named(r#"{"wrap":null}"#, r#"{"model":"n"}"#, r#"{"model":"x"}"#);
}

#[test]
fn a_prefix_of_it_chooses_an_approach() {
    let body = RequestBody::json(Bytes::from_static(b"{}"), Some("proxy-gpt-4"), &Menu::default()).unwrap();
    assert_eq!((body.model(), text(body.with_model("gpt-4"))), ("gpt-4", r#"{"model":"gpt-4"}"#.to_owned()));
}

#[test]
fn a_form_gets_it_too() {
    let kind = "multipart/form-data; boundary=xyz";
    let part = |name: &str, content: &str| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    let form = |model: &str| format!("{}{}--xyz--\r\n", part("model", model), part("language", "en"));
    let read = |body: String| RequestBody::multipart(body.into(), kind, Some("n"), &Menu::default()).unwrap();
    let own = read(form("m"));
    assert_eq!((own.model(), text(own.with_model("n")), text(own.with_model("x"))), ("n", form("n"), form("x")));
    let none = read(format!("{}--xyz--\r\n", part("language", "en")));
    assert_eq!((none.model(), text(none.with_model("n")), text(none.with_model("x"))), ("n", form("n"), form("x")));
    let first_goes = read(format!("{}{}--xyz--\r\n", part("wrap", ""), part("language", "en")));
    let sent = text(first_goes.with_model("n"));
    assert!(sent.starts_with(&part("model", "n")) && sent.ends_with(&format!("{}--xyz--\r\n", part("language", "en"))));
}

#[test]
fn a_body_of_another_kind_is_routed_by_it() {
    let body = RequestBody::opaque(Bytes::from_static(b"RIFF"), Some("n"));
    assert_eq!((body.model(), text(body.with_model("x"))), ("n", "RIFF".to_owned()));
}
