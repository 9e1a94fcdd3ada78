//! Which approach a request chooses, and what becomes of the model.

use super::*;

fn chosen(body: &str) -> Approach {
    read(body).unwrap().approach()
}

#[test]
fn names_are_parsed_as_they_are_written() {
    assert_eq!("proxy".parse(), Ok(Approach::Proxy));
    assert_eq!("none".parse(), Ok(Approach::None));
    let error = "Proxy".parse::<Approach>().unwrap_err();
    assert_eq!(error.to_string(), "unknown approach `Proxy`, available are proxy, none");
}

#[test]
fn without_a_choice_it_is_the_default() {
    let body = Bytes::from_static(br#"{"model": "gpt-4"}"#);
    assert_eq!(RequestBody::json(body.clone(), None, Approach::None).unwrap().approach(), Approach::None);
    assert_eq!(RequestBody::json(body, None, Approach::Proxy).unwrap().approach(), Approach::Proxy);
}

#[test]
fn the_tag_comes_before_the_field_before_extra_body_before_the_prefix() {
    let tag = r#""messages":[{"role":"user","content":"<optillm_approach>none</optillm_approach>"}]"#;
    let extra = r#""extra_body":{"optillm_approach":"none"}"#;
    assert_eq!(chosen(&format!(r#"{{"optillm_approach":"bon",{tag},"model":"moa-gpt-4"}}"#)), Approach::None);
    assert_eq!(chosen(&format!(r#"{{{extra},"optillm_approach":"proxy"}}"#)), Approach::Proxy);
    assert_eq!(chosen(&format!(r#"{{{extra},"model":"proxy-gpt-4"}}"#)), Approach::None);
    assert_eq!(chosen(r#"{"model":"none-gpt-4"}"#), Approach::None);
}

#[test]
fn an_unavailable_approach_is_named_with_those_available() {
    assert_unavailable(r#"{"optillm_approach":"moa"}"#, "moa", "optillm_approach");
    assert_unavailable(r#"{"optillm_approach":"proxy-none"}"#, "proxy-none", "optillm_approach");
    assert_unavailable(r#"{"optillm_approach":"bon&proxy"}"#, "bon&proxy", "optillm_approach");
    assert_unavailable(r#"{"extra_body":{"optillm_approach":"Proxy"}}"#, "Proxy", "extra_body.optillm_approach");
    assert_eq!(
        refused(r#"{"optillm_approach":"moa"}"#).to_string(),
        "The approach `moa` is not available here. Available approaches: proxy, none."
    );
}

#[test]
fn auto_leaves_it_to_the_prefix_and_an_empty_name_is_no_choice() {
    assert_eq!(chosen(r#"{"optillm_approach":"auto","model":"none-gpt-4"}"#), Approach::None);
    assert_eq!(chosen(r#"{"optillm_approach":"auto","extra_body":{"optillm_approach":"bon"}}"#), Approach::Proxy);
    assert_unavailable(r#"{"optillm_approach":"auto","model":"bon-gpt-4"}"#, "bon", "model");
    assert_unavailable(
        r#"{"optillm_approach":"","extra_body":{"optillm_approach":"bon"}}"#,
        "bon",
        "extra_body.optillm_approach",
    );
    assert_eq!(sent(r#"{"optillm_approach":"auto"}"#), "{}");
}

#[test]
fn wrapping_an_approach_is_unavailable_even_where_proxy_is_chosen() {
    assert_unavailable(
        r#"{"extra_body":{"optillm_approach":"proxy","proxy_wrap":"moa"}}"#,
        "moa",
        "extra_body.proxy_wrap",
    );
    assert_unavailable(r#"{"wrapped_approach":"auto"}"#, "auto", "wrapped_approach");
    assert_unavailable(r#"{"wrap":["moa"]}"#, "[\"moa\"]", "wrap");
    assert_unavailable(r#"{"wrap":false}"#, "false", "wrap");
}

#[test]
fn plain_prefixes_are_stripped_as_often_as_they_stand_there() {
    for (model, stripped, approach) in [
        ("proxy-gpt-4", "gpt-4", Approach::Proxy),
        ("none-gpt-4", "gpt-4", Approach::None),
        ("none-proxy-x", "x", Approach::None),
        ("proxy-moa-x", "x", Approach::Proxy),
        ("proxy--x", "-x", Approach::Proxy),
    ] {
        let body = format!(r#"{{"model":"{model}"}}"#);
        assert_eq!(read(&body).unwrap().model(), stripped);
        assert_eq!(chosen(&body), approach);
        assert_eq!(sent(&body), format!(r#"{{"model":"{stripped}"}}"#));
    }
}

#[test]
fn a_prefix_with_nothing_behind_it_is_the_model() {
    for model in ["proxy", "none", "bon", "proxy-", "bon-", "bon&proxy", "bon&proxy-", ""] {
        assert_eq!(read(&format!(r#"{{"model":"{model}"}}"#)).unwrap().model(), model);
    }
    assert_eq!(read(r#"{"model":"proxy-none-"}"#).unwrap().model(), "none-");
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
        assert_eq!(read(&body).unwrap().model(), model);
        assert_eq!(sent(&body), body);
    }
}

#[test]
fn the_prefix_of_another_approach_is_unavailable() {
    for slug in ["mcts", "bon", "self_consistency", "z3", "mars", "web_search", "deepconf", "json"] {
        assert_unavailable(&format!(r#"{{"model":"{slug}-gpt-4"}}"#), slug, "model");
    }
}

#[test]
fn a_combination_is_unavailable() {
    for word in ["bon&proxy", "proxy|foo", "x&moa", "proxy&none"] {
        assert_unavailable(&format!(r#"{{"model":"{word}-gpt-4"}}"#), word, "model");
        assert_unavailable(&format!(r#"{{"model":"proxy-{word}-gpt-4"}}"#), word, "model");
    }
}

#[test]
fn an_outright_choice_makes_the_prefix_irrelevant() {
    for model in ["bon-gpt-4", "bon&proxy-gpt-4", "none-moa-gpt-4"] {
        let body = read(&format!(r#"{{"optillm_approach":"proxy","model":"{model}"}}"#)).unwrap();
        assert_eq!((body.model(), body.approach()), ("gpt-4", Approach::Proxy));
    }
}
