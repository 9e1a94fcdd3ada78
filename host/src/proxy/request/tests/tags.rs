//! The tag of an approach in the text of messages.

use super::*;

/// The content of one user message after the tags have gone, and the approach.
#[track_caller]
fn content(content: &str) -> (String, Option<Approach>) {
    let body = format!(r#"{{"messages":[{{"role":"user","content":{content}}}],"model":"m"}}"#);
    let sent = sent(&body);
    let rest = sent.strip_prefix(r#"{"messages":[{"role":"user","content":"#).unwrap();
    (rest.strip_suffix(r#"}],"model":"m"}"#).unwrap().to_owned(), read(&body).unwrap().approach().cloned())
}

#[test]
fn a_tag_goes_and_the_text_around_it_stays() {
    let (rest, approach) = content(r#"" Hi <optillm_approach>none</optillm_approach> \n you ""#);
    assert_eq!((rest.as_str(), approach), (r#"" Hi  \n you ""#, Some(Approach::Plain)));
}

#[test]
fn a_tag_is_found_through_escapes() {
    for tag in [
        r"\u003coptillm_approach\u003enone\u003c/optillm_approach\u003e",
        r"\u003Coptillm_approach>none<\/optillm_approach>",
        r"<optillm\u005fapproach>n\u006fne</\u006fptillm_approach>",
        r"<\u006fptillm_approac\u0068>none</optillm\u005fapproach>",
        r"\u003c\u006f\u0070\u0074\u0069\u006c\u006c\u006d\u005f\u0061\u0070\u0070\u0072\u006f\u0061\u0063\u0068\u003enone\u003c\u002f\u006f\u0070\u0074\u0069\u006c\u006c\u006d\u005f\u0061\u0070\u0070\u0072\u006f\u0061\u0063\u0068\u003e",
    ] {
        let (rest, approach) = content(&format!(r#""\\{tag}\"é""#));
        assert_eq!((rest.as_str(), approach), (r#""\\\"é""#, Some(Approach::Plain)), "{tag}");
    }
}

#[test]
fn an_escaped_backslash_before_a_letter_is_no_escape() {
    let text = r#""\\u003coptillm_approach>bon</optillm_approach>""#;
    assert_eq!(content(text).0, text);
}

#[test]
fn all_tags_go_and_the_first_one_counts() {
    let tag = |name| format!("<optillm_approach>{name}</optillm_approach>");
    let (rest, approach) = content(&format!(r#""{}a{}b{}""#, tag("none"), tag("bon"), tag("")));
    assert_eq!((rest.as_str(), approach), (r#""ab""#, Some(Approach::Plain)));
    let body = format!(
        r#"{{"messages":[{{"role":"system","content":"{}"}},{{"content":"{}x","role":"user"}}]}}"#,
        tag(" none "),
        tag("bon")
    );
    assert_eq!(sent(&body), r#"{"messages":[{"role":"system","content":""},{"content":"x","role":"user"}]}"#);
}

#[test]
fn text_parts_are_searched_and_others_are_not() {
    let tag = "<optillm_approach>none</optillm_approach>";
    let (rest, approach) = content(&format!(r#"[{{"type":"text","text":"a{tag}"}},{{"type":"x","text":"{tag}"}},7]"#));
    assert_eq!(rest, format!(r#"[{{"type":"text","text":"a"}},{{"type":"x","text":"{tag}"}},7]"#));
    assert_eq!(approach, Some(Approach::Plain));
}

#[test]
fn other_roles_and_other_places_are_not_searched() {
    let tag = "<optillm_approach>bon</optillm_approach>";
    for body in [
        format!(r#"{{"messages":[{{"role":"assistant","content":"{tag}"}}]}}"#),
        format!(r#"{{"messages":[{{"role":"tool","content":"{tag}"}}]}}"#),
        format!(r#"{{"messages":[{{"content":"{tag}"}}]}}"#),
        format!(r#"{{"messages":[{{"role":"user","name":"{tag}"}}]}}"#),
        format!(r#"{{"messages":["{tag}", 1, null, []]}}"#),
        format!(r#"{{"messages":"{tag}"}}"#),
        format!(r#"{{"prompt":"{tag}"}}"#),
    ] {
        assert_eq!(sent(&body), body);
    }
}

#[test]
fn what_is_not_closed_in_its_line_is_no_tag() {
    for text in [
        r#""<optillm_approach>bon""#,
        r#""<optillm_approach>bo\nn</optillm_approach>""#,
        r#""<optillm_approach>bo\u000an</optillm_approach>""#,
        r#""</optillm_approach>bon<optillm_approach>""#,
        r#""<optillm_approach bon></optillm_approach>""#,
        r#""<OPTILLM_APPROACH>bon</OPTILLM_APPROACH>""#,
    ] {
        assert_eq!(content(text).0, text);
    }
    let (rest, approach) = content(r#""<optillm_approach>\n<optillm_approach>none</optillm_approach>""#);
    assert_eq!((rest.as_str(), approach), (r#""<optillm_approach>\n""#, Some(Approach::Plain)));
}

#[test]
fn a_tag_for_another_approach_is_unavailable() {
    let body = r#"{"messages":[{"role":"user","content":"<optillm_approach>bon|moa</optillm_approach>"}]}"#;
    let error = refused(body);
    assert_eq!((error.code(), error.param()), ("approach_unavailable", Some("messages")));
}
