//! The approach that a request chooses, and the model that is left.

use std::collections::{BTreeSet, HashSet};

use super::*;

/// A menu with `bon` and `moa`, with `re2` which is not allowed, and with models that look as if they had a prefix.
fn menu() -> Menu {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let models = HashSet::from(["moa-gpt-4".to_owned(), "bon&x-y".to_owned()]);
    Menu::new(names(&["bon", "moa", "mine"]), names(&["re2"]), models)
}

fn asked(body: &str) -> Result<RequestBody, BodyError> {
    RequestBody::json(Bytes::copy_from_slice(body.as_bytes()), None, &menu())
}

#[track_caller]
fn chosen(body: &str) -> String {
    asked(body).unwrap().approach().map_or_else(|| "nothing".to_owned(), Approach::to_string)
}

#[track_caller]
fn refused_with(body: &str) -> (&'static str, String, String) {
    let error = asked(body).unwrap_err();
    (error.code(), error.param().unwrap_or_default().to_owned(), error.to_string())
}

#[test]
fn combinations_are_read_as_they_are_written() {
    let parsed = |text: &str| text.parse::<Approach>().map(|approach| approach.to_string());
    for (text, means) in [
        ("bon", "bon"),
        ("proxy", "proxy"),
        ("none", "proxy"),
        ("bon&proxy", "bon"),
        ("proxy&bon", "bon"),
        ("a&b|c", "a&b|c"),
        ("a|none", "a|proxy"),
        (" a & b ", "a&b"),
    ] {
        assert_eq!(parsed(text).unwrap(), means, "{text}");
    }
    for wrong in ["", "a&", "|a", "a&&b", "A", "a-b", "a b", &"a|".repeat(20)] {
        assert!(parsed(wrong).is_err(), "{wrong}");
    }
    let Ok(Approach::Run(expression)) = "a&b|c".parse() else { panic!("a combination") };
    assert_eq!(expression.branches().len(), 2, "& binds closer than |");
    assert_eq!(expression.names().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn without_a_choice_there_is_none() {
    assert_eq!(chosen(r#"{"model": "gpt-4"}"#), "nothing");
    assert_eq!(chosen(r#"{"optillm_approach": " ", "model": "gpt-4"}"#), "nothing");
    assert_eq!(chosen(r#"{"optillm_approach": "auto", "model": "gpt-4"}"#), "nothing");
}

#[test]
fn the_tag_comes_before_the_field_before_extra_body_before_the_prefix() {
    let tag = r#""messages":[{"role":"user","content":"<optillm_approach>none</optillm_approach>"}]"#;
    let extra = r#""extra_body":{"optillm_approach":"mine"}"#;
    assert_eq!(chosen(&format!(r#"{{"optillm_approach":"bon",{tag},"model":"moa-gpt-5"}}"#)), "proxy");
    assert_eq!(chosen(&format!(r#"{{{extra},"optillm_approach":"bon"}}"#)), "bon");
    assert_eq!(chosen(&format!(r#"{{{extra},"model":"bon-gpt-4"}}"#)), "mine");
    assert_eq!(chosen(r#"{"model":"bon-gpt-4"}"#), "bon");
    assert_eq!(chosen(r#"{"optillm_approach":"auto","model":"bon-gpt-4"}"#), "bon");
}

#[test]
fn prefixes_go_and_the_model_stays() {
    for (model, stripped, approach) in [
        ("proxy-gpt-4", "gpt-4", "proxy"),
        ("none-proxy-x", "x", "proxy"),
        ("proxy--x", "-x", "proxy"),
        ("bon-gpt-4", "gpt-4", "bon"),
        ("proxy-bon-gpt-4", "gpt-4", "bon"),
        ("bon-proxy-gpt-4", "gpt-4", "bon"),
        ("bon&proxy-gpt-4", "gpt-4", "bon"),
        ("bon&moa|mine-gpt-4", "gpt-4", "bon&moa|mine"),
        ("proxy-bon|none-org/x", "org/x", "bon|proxy"),
        // These are models, literally.
        ("moa-gpt-4", "moa-gpt-4", "nothing"),
        ("proxy-moa-gpt-4", "moa-gpt-4", "proxy"),
        ("bon&x-y", "bon&x-y", "nothing"),
        // Nothing would be left of these.
        ("proxy", "proxy", "nothing"),
        ("bon-", "bon-", "nothing"),
        ("bon&proxy-", "bon&proxy-", "nothing"),
        ("proxy-none-", "none-", "proxy"),
    ] {
        let body = format!(r#"{{"model":"{model}"}}"#);
        assert_eq!((asked(&body).unwrap().model(), chosen(&body).as_str()), (stripped, approach), "{model}");
    }
}

#[test]
fn other_words_before_a_dash_are_part_of_the_model() {
    for model in [
        "gpt-4",
        "foo-gpt-4",
        "Proxy-gpt-4",
        "BON-gpt-4",
        "gpt-4-proxy-x",
        "proxy_x-gpt",
        "R&D-gpt",
        "a|b-c",
        "-proxy-x",
        "org/proxy-x",
    ] {
        let body = format!(r#"{{"model":"{model}"}}"#);
        assert_eq!((asked(&body).unwrap().model(), chosen(&body).as_str()), (model, "nothing"));
        assert_eq!(sent(&body), body);
    }
}

#[test]
fn an_approach_that_is_not_there_is_named_with_those_that_are() {
    for (body, param) in [
        (r#"{"optillm_approach":"z3"}"#, "optillm_approach"),
        (r#"{"optillm_approach":"Bon"}"#, "optillm_approach"),
        (r#"{"optillm_approach":"bon&x"}"#, "optillm_approach"),
        (r#"{"optillm_approach":"proxy-none"}"#, "optillm_approach"),
        (r#"{"extra_body":{"optillm_approach":"x"}}"#, "extra_body.optillm_approach"),
        (r#"{"model":"mcts-gpt-4"}"#, "model"),
        (r#"{"model":"re2-gpt-4"}"#, "model"),
        (r#"{"model":"x&moa-gpt-4"}"#, "model"),
        (r#"{"wrap":"auto"}"#, "wrap"),
    ] {
        let (code, found, sentence) = refused_with(body);
        assert_eq!((code, found.as_str()), ("approach_unavailable", param), "{body}");
        assert!(sentence.ends_with("Available approaches: bon, mine, moa, proxy, none."), "{sentence}");
    }
    let reasons = [("z3", "it would run code"), ("mcp", "has no network"), ("re2", "`approach.allow` leaves it out")];
    for (name, reason) in reasons {
        let (.., sentence) = refused_with(&format!(r#"{{"optillm_approach":"{name}"}}"#));
        assert!(sentence.contains(reason), "{sentence}");
    }
}

#[test]
fn what_is_no_combination_is_refused() {
    for text in ["bon&", "bon&&moa", "bon|", "bon moa|moa"] {
        let (code, param, sentence) = refused_with(&format!(r#"{{"optillm_approach":"{text}"}}"#));
        assert_eq!((code, param.as_str()), ("invalid_approach", "optillm_approach"), "{sentence}");
    }
}

#[test]
fn two_approaches_without_an_operator_are_ambiguous() {
    let (code, param, sentence) = refused_with(r#"{"model":"bon-moa-gpt-5"}"#);
    assert_eq!((code, param.as_str()), ("approach_ambiguous", "model"));
    assert!(sentence.contains("`bon&moa-gpt-5`") && sentence.contains("`bon|moa-gpt-5`"), "{sentence}");
}

#[test]
fn an_outright_choice_makes_the_prefix_irrelevant() {
    for model in ["bon-gpt-5", "bon&proxy-gpt-5", "none-moa-gpt-5", "z3-gpt-5"] {
        let body = format!(r#"{{"optillm_approach":"mine","model":"{model}"}}"#);
        assert_eq!((asked(&body).unwrap().model(), chosen(&body).as_str()), ("gpt-5", "mine"));
    }
}

#[test]
fn proxy_wraps_an_approach_under_each_of_its_names() {
    for body in [
        r#"{"optillm_approach":"proxy","proxy_wrap":"moa"}"#,
        r#"{"extra_body":{"optillm_approach":"proxy","proxy_wrap":"moa"}}"#,
        r#"{"model":"proxy-gpt-5","wrapped_approach":"moa"}"#,
        r#"{"wrap":"moa"}"#,
        r#"{"wrap":"moa","proxy_wrap":null}"#,
    ] {
        assert_eq!(chosen(body), "moa", "{body}");
    }
    assert_eq!(chosen(r#"{"wrap":"bon&moa"}"#), "bon&moa", "a combination is allowed");
    for nothing in ["", "none", "proxy"] {
        assert_eq!(chosen(&format!(r#"{{"optillm_approach":"bon","wrap":"{nothing}"}}"#)), "bon");
    }
    let (code, param, _) = refused_with(r#"{"optillm_approach":"bon","wrap":"moa"}"#);
    assert_eq!((code, param.as_str()), ("approach_ambiguous", "wrap"));
    assert_eq!(refused_with(r#"{"wrap":["moa"]}"#).0, "invalid_type");
}

#[test]
fn options_of_optillm_reach_no_provider() {
    let body = r#"{"model":"m","best_of_n":5,"extra_body":{"mcts_depth":2,"best_of_n":3,"x":1},"rstar_c":1.4}"#;
    assert_eq!(sent(body), r#"{"model":"m","extra_body":{"x":1}}"#);
    let body = asked(body).unwrap();
    let options: Vec<(&str, &str)> = body.options().iter().map(|(name, value)| (*name, &**value)).collect();
    // Of two with one name the last counts, which is the one at the top level.
    assert_eq!(options, [("mcts_depth", "2"), ("best_of_n", "3"), ("best_of_n", "5"), ("rstar_c", "1.4")]);
}
