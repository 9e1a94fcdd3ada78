//! The rules by which a body is read and changed, one claim each. The laws that hold for all bodies are in `laws.rs`.

use bytes::Bytes;

use super::{Approach, BodyError, RequestBody};

fn read(body: &str) -> Result<RequestBody, BodyError> {
    RequestBody::json(Bytes::copy_from_slice(body.as_bytes()), Approach::Proxy)
}

/// The body that a provider gets which calls the model as the client does.
#[track_caller]
fn sent(body: &str) -> String {
    let body = read(body).unwrap();
    text(body.with_model(body.model()))
}

#[track_caller]
fn refused(body: &str) -> BodyError {
    read(body).unwrap_err()
}

fn text(bytes: Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn assert_unavailable(body: &str, asked: &str, param: &str) {
    let error = refused(body);
    assert!(matches!(&error, BodyError::ApproachUnavailable { asked: found, .. } if found == asked), "{error:?}");
    assert_eq!(error.param(), Some(param));
    assert_eq!(error.code(), "approach_unavailable");
}

mod reading {
    use super::*;

    #[test]
    fn finds_model_and_stream_wherever_they_stand() {
        let body = read(" {\"a\" : [{\"model\":\"no\"}],\n\"stream\" :true , \"model\": \"gpt-4\" } ").unwrap();
        assert_eq!((body.model(), body.streaming()), ("gpt-4", true));
    }

    #[test]
    fn a_model_of_null_counts_as_absent() {
        let body = read(r#"{"model": null}"#).unwrap();
        assert_eq!(body.model(), "");
        assert_eq!(text(body.with_model("x")), r#"{"model": null}"#);
    }

    #[test]
    fn an_empty_object_is_a_body_without_a_model() {
        assert_eq!(read(" {} ").unwrap().model(), "");
        assert_eq!(read("{ }").unwrap().model(), "");
    }

    #[test]
    fn keys_and_values_are_read_through_their_escapes() {
        let body = read(r#"{"mod\u0065l": "gpt\u002d4 \ud83d\ude00", "str\u0065am": true}"#).unwrap();
        assert_eq!((body.model(), body.streaming()), ("gpt-4 \u{1f600}", true));
    }

    #[test]
    fn a_stream_that_is_not_a_boolean_is_left_for_the_provider_to_judge() {
        for value in ["null", "false", "\"true\"", "1", "{}"] {
            let body = format!(r#"{{"stream": {value}}}"#);
            assert!(!read(&body).unwrap().streaming());
            assert_eq!(sent(&body), body);
        }
    }

    #[test]
    fn an_unpaired_surrogate_is_passed_on() {
        let body = r#"{"model": "a\ud800b", "\udc00": 1, "\udc01": 2}"#;
        assert_eq!(read(body).unwrap().model(), "a\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(sent(body), body);
    }

    #[test]
    fn an_opaque_body_is_anything_at_all() {
        let body = RequestBody::opaque(Bytes::from_static(b"\xff\0{"));
        assert_eq!((body.model(), body.streaming(), body.len(), body.is_empty()), ("", false, 3, false));
        assert_eq!(&body.with_model("x")[..], b"\xff\0{");
    }
}

mod refusing {
    use super::*;

    #[track_caller]
    fn assert_message(body: &str, message: &str) {
        assert_eq!(refused(body).to_string(), message);
    }

    #[test]
    fn what_is_not_json_is_refused_with_place_and_expectation() {
        let json = |rest| format!("The request body is not valid JSON: expected {rest}.");
        for (body, rest) in [
            ("", "a JSON object at byte 0, found the end of the body"),
            ("hello", "a value at byte 0, found `h`"),
            ("{", "a key or `}` at byte 1, found the end of the body"),
            ("{,", "a key or `}` at byte 1, found `,`"),
            (r#"{"a":1,}"#, "a key at byte 7, found `}`"),
            (r#"{"a" 1}"#, "`:` at byte 5, found `1`"),
            (r#"{"a":}"#, "a value at byte 5, found `}`"),
            (r#"{"a":[1,]}"#, "a value at byte 8, found `]`"),
            (r#"{"a":[1}}"#, "`,` or `]` at byte 7, found `}`"),
            (r#"{"a":{"b":1]}"#, "`,` or `}` at byte 11, found `]`"),
            (r#"{"a":1 "b":2}"#, "`,` or `}` at byte 7, found `\"`"),
            (r#"{"a":01}"#, "`,` or `}` at byte 6, found `1`"),
            (r#"{"a":-}"#, "a digit at byte 6, found `}`"),
            (r#"{"a":1.}"#, "a digit at byte 7, found `}`"),
            (r#"{"a":1e+}"#, "a digit at byte 8, found `}`"),
            (r#"{"a":nul}"#, "`null` at byte 5, found `n`"),
            (r#"{"a":NaN}"#, "a value at byte 5, found `N`"),
            (r#"{"a":"\x"}"#, "one of `\"\\/bfnrtu` after `\\` at byte 7, found `x`"),
            (r#"{"a":"\u12g4"}"#, "four hexadecimal digits after `\\u` at byte 10, found `g`"),
            ("{\"a\":\"\n\"}", "an escape for this control character at byte 6, found the byte 0x0a"),
            (r#"{"a":"b"#, "`\"`, the end of a string at byte 7, found the end of the body"),
            ("{} x", "the end of the body at byte 3, found `x`"),
            ("{}\0", "the end of the body at byte 2, found the byte 0x00"),
            ("\u{feff}{}", "a JSON object without a byte order mark at byte 0, found the byte 0xef"),
            ("model=gpt-4", "a value at byte 0, found `m`"),
        ] {
            assert_message(body, &json(rest));
            assert_eq!((refused(body).code(), refused(body).param()), ("invalid_json", None));
        }
    }

    #[test]
    fn json_that_is_not_an_object_is_refused_as_that() {
        for body in ["[]", " [{\"model\":\"a\"}] ", "\"{}\"", "1", "-0.5e3", "true", "null"] {
            assert_eq!(refused(body), BodyError::NotAnObject, "{body}");
        }
    }

    #[test]
    fn invalid_utf8_is_refused_with_its_place() {
        let body = Bytes::from_static(b"{\"a\":\"\xc3\x28\"}");
        assert_eq!(RequestBody::json(body, Approach::Proxy).unwrap_err(), BodyError::Utf8 { at: 6 });
    }

    #[test]
    fn nesting_ends_at_256_levels() {
        let nested = |arrays: usize| format!(r#"{{"a":1,"b":{}{}}}"#, "[".repeat(arrays), "]".repeat(arrays));
        assert!(read(&nested(255)).is_ok());
        let error = refused(&nested(256));
        assert_eq!(error, BodyError::TooDeep { at: 11 });
        assert!(error.to_string().contains("more than 256 levels"));
        assert!(matches!(refused(&"[".repeat(1_000_000)), BodyError::TooDeep { at: 0 }));
        assert!(matches!(refused(&r#"{"a":"#.repeat(1_000_000)), BodyError::TooDeep { .. }));
    }

    #[test]
    fn a_model_that_is_not_a_string_is_refused() {
        for value in ["1", "true", "[\"gpt-4\"]", "{}"] {
            let error = refused(&format!(r#"{{"model": {value}}}"#));
            assert_eq!(error.to_string(), "`model` must be a string.");
            assert_eq!((error.param(), error.code()), (Some("model"), "invalid_type"));
        }
    }

    #[test]
    fn an_approach_that_is_not_a_string_is_refused() {
        assert_message(r#"{"optillm_approach": ["proxy"]}"#, "`optillm_approach` must be a string.");
        assert_message(r#"{"extra_body": {"optillm_approach": 1}}"#, "`extra_body.optillm_approach` must be a string.");
    }

    #[test]
    fn a_key_that_stands_there_twice_is_refused_however_it_is_spelled() {
        for body in [
            r#"{"model": "a", "model": "a"}"#,
            r#"{"model": "a", "x": 1, "mod\u0065l": null}"#,
            r#"{"\u006d\u006f\u0064\u0065\u006c": 1, "model": "a"}"#,
        ] {
            let error = refused(body);
            assert_eq!(error.to_string(), "The request body has `model` more than once.");
            assert_eq!((error.param(), error.code()), (Some("model"), "duplicate_key"));
        }
        assert_eq!(refused(r#"{"ü": 1, "\u00fc": 2}"#).param(), Some("ü"));
        assert_eq!(refused(r#"{"extra_body": {"wrap": "", "wrap": "moa"}}"#), BodyError::duplicate(b"extra_body.wrap"));
    }

    #[test]
    fn keys_may_repeat_below_the_top_level() {
        let body = r#"{"a": {"x": 1, "x": 2}, "extra_body": {"y": 1, "y": 2}}"#;
        assert_eq!(sent(body), body);
    }

    #[test]
    fn one_repetition_among_many_keys_is_found() {
        for count in [31, 32, 33, 34, 5_000] {
            let mut keys: Vec<_> = (0..count).map(|key| format!(r#""k{key}":{key}"#)).collect();
            assert!(read(&format!("{{{}}}", keys.join(","))).is_ok());
            keys.push(r#""k\u0033":0"#.to_owned());
            assert_eq!(refused(&format!("{{{}}}", keys.join(","))).param(), Some("k3"), "{count}");
        }
    }

    #[test]
    fn an_error_quotes_only_the_beginning_of_a_long_text() {
        let long = "x".repeat(10_000);
        assert!(refused(&format!(r#"{{"{long}":1,"{long}":2}}"#)).to_string().len() < 200);
        assert!(refused(&format!(r#"{{"optillm_approach":"{long}"}}"#)).to_string().len() < 200);
    }
}

mod splicing {
    use super::*;

    #[test]
    fn another_model_replaces_the_value_and_nothing_else() {
        let body = read("{ \"x\" : 1.50 ,\"model\":\t\"gpt-4\" , \"y\":\"\\u00e9\" }\n").unwrap();
        assert_eq!(text(body.with_model("azure/x")), "{ \"x\" : 1.50 ,\"model\":\t\"azure/x\" , \"y\":\"\\u00e9\" }\n");
    }

    #[test]
    fn the_same_model_is_the_same_memory() {
        let bytes = Bytes::from_static(br#"{"model": "gpt-4", "extra_body": {}}"#);
        let body = RequestBody::json(bytes.clone(), Approach::None).unwrap();
        assert_eq!(body.with_model("gpt-4").as_ptr(), bytes.as_ptr());
        let body = RequestBody::json(Bytes::from_static(br#"{"model": "proxy-gpt-4"}"#), Approach::None).unwrap();
        assert_eq!(body.with_model("gpt-4").as_ptr(), body.with_model("gpt-4").as_ptr());
    }

    #[test]
    fn a_model_is_escaped_where_it_must_be() {
        let model = "a\"b\\c\n\u{1f}\u{7f}\u{2028}é";
        let sent = text(read(r#"{"model":"x"}"#).unwrap().with_model(model));
        assert_eq!(sent, "{\"model\":\"a\\\"b\\\\c\\u000a\\u001f\u{7f}\u{2028}é\"}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&sent).unwrap()["model"], model);
    }

    #[test]
    fn optillm_keys_go_with_the_right_comma() {
        for (body, expected) in [
            (r#"{"optillm_approach":"proxy"}"#, "{}"),
            (r#"{ "wrap" : null }"#, "{  }"),
            (r#"{ "wrap" : null, "proxy_wrap": "" }"#, "{  }"),
            (r#"{"wrap":null , "a":1}"#, r#"{"a":1}"#),
            (r#"{"a":1 , "wrap":null }"#, r#"{"a":1 }"#),
            (r#"{"a":1,"wrap":null,"b":2}"#, r#"{"a":1,"b":2}"#),
            (
                r#"{"wrap":"none","proxy_wrap":"proxy","a":1,"wrapped_approach":"", "optillm_approach":null,"b":2}"#,
                r#"{"a":1,"b":2}"#,
            ),
            (r#"{"a":1, "wr\u0061p":null}"#, r#"{"a":1}"#),
        ] {
            assert_eq!(sent(body), expected, "{body}");
        }
    }

    #[test]
    fn an_extra_body_goes_only_if_optillm_keys_were_all_it_had() {
        for (body, expected) in [
            (r#"{"a":1,"extra_body":{"optillm_approach":"proxy"}}"#, r#"{"a":1}"#),
            (r#"{"extra_body":{"wrap":null,"proxy_wrap":null},"a":1}"#, r#"{"a":1}"#),
            (r#"{"extra_body":{"wrap":null}}"#, "{}"),
            (r#"{"a":1,"extra_body":{"top_k":5, "wrap":null}}"#, r#"{"a":1,"extra_body":{"top_k":5}}"#),
            (r#"{"wrap":"","extra_body":{"wrap":null, "top_k":5},"a":1}"#, r#"{"extra_body":{"top_k":5},"a":1}"#),
            (r#"{"extra_body":{}}"#, r#"{"extra_body":{}}"#),
            (r#"{"extra_body":{"top_k":5}}"#, r#"{"extra_body":{"top_k":5}}"#),
            (r#"{"extra_body":"wrap"}"#, r#"{"extra_body":"wrap"}"#),
            (r#"{"extra_body":[{"wrap":1}]}"#, r#"{"extra_body":[{"wrap":1}]}"#),
            (r#"{"a":{"extra_body":{"wrap":"moa"}}}"#, r#"{"a":{"extra_body":{"wrap":"moa"}}}"#),
        ] {
            assert_eq!(sent(body), expected, "{body}");
        }
    }

    #[test]
    fn removals_and_another_model_go_together() {
        let body = r#"{"wrap":null,"extra_body":{"optillm_approach":"proxy"},"model":"bon-gpt-4","a":1,"wrapped_approach":""}"#;
        let body = read(body).unwrap();
        assert_eq!(body.model(), "gpt-4");
        assert_eq!(text(body.with_model("gpt-4")), r#"{"model":"gpt-4","a":1}"#);
        assert_eq!(text(body.with_model("x")), r#"{"model":"x","a":1}"#);
        assert_eq!(body.len(), r#"{"model":"gpt-4","a":1}"#.len());
    }
}

mod choosing {
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
        assert_eq!(RequestBody::json(body.clone(), Approach::None).unwrap().approach(), Approach::None);
        assert_eq!(RequestBody::json(body, Approach::Proxy).unwrap().approach(), Approach::Proxy);
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
}

mod tags {
    use super::*;

    /// The content of one user message after the tags have gone, and the approach.
    #[track_caller]
    fn content(content: &str) -> (String, Approach) {
        let body = format!(r#"{{"messages":[{{"role":"user","content":{content}}}],"model":"m"}}"#);
        let sent = sent(&body);
        let rest = sent.strip_prefix(r#"{"messages":[{"role":"user","content":"#).unwrap();
        (rest.strip_suffix(r#"}],"model":"m"}"#).unwrap().to_owned(), read(&body).unwrap().approach())
    }

    #[test]
    fn a_tag_goes_and_the_text_around_it_stays() {
        let (rest, approach) = content(r#"" Hi <optillm_approach>none</optillm_approach> \n you ""#);
        assert_eq!((rest.as_str(), approach), (r#"" Hi  \n you ""#, Approach::None));
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
            assert_eq!((rest.as_str(), approach), (r#""\\\"é""#, Approach::None), "{tag}");
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
        assert_eq!((rest.as_str(), approach), (r#""ab""#, Approach::None));
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
        let (rest, approach) =
            content(&format!(r#"[{{"type":"text","text":"a{tag}"}},{{"type":"x","text":"{tag}"}},7]"#));
        assert_eq!(rest, format!(r#"[{{"type":"text","text":"a"}},{{"type":"x","text":"{tag}"}},7]"#));
        assert_eq!(approach, Approach::None);
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
        assert_eq!((rest.as_str(), approach), (r#""<optillm_approach>\n""#, Approach::None));
    }

    #[test]
    fn a_tag_for_another_approach_is_unavailable() {
        let body = r#"{"messages":[{"role":"user","content":"<optillm_approach>bon|moa</optillm_approach>"}]}"#;
        assert_unavailable(body, "bon|moa", "messages");
    }
}

mod forms {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=xyz";

    fn part(name: &str, content: &str) -> String {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    }

    fn form(parts: &[String]) -> String {
        format!("{}--xyz--\r\n", parts.concat())
    }

    fn read_form(body: &str, content_type: &str) -> Result<RequestBody, BodyError> {
        RequestBody::multipart(Bytes::copy_from_slice(body.as_bytes()), content_type, Approach::Proxy)
    }

    const FILE: &str = "--xyz\r\nContent-Disposition: form-data; name=\"model\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n\0--xyzz\r\n--xyzz\r\n\r\nRIFF\r\n";

    #[test]
    fn the_model_is_found_and_replaced_among_files() {
        let parts = |model| form(&[FILE.to_owned(), part("model", model), part("stream", "true")]);
        let body = read_form(&parts("whisper-1"), TYPE).unwrap();
        assert_eq!((body.model(), body.streaming()), ("whisper-1", true));
        assert_eq!(text(body.with_model("a \"b\"")), parts("a \"b\""));
        assert_eq!(text(body.with_model("whisper-1")), parts("whisper-1"));
    }

    #[test]
    fn headers_are_read_in_all_their_spellings() {
        for head in [
            "content-disposition:form-data;name=model",
            "CONTENT-DISPOSITION: form-data; NAME=\"model\"",
            "X: y\r\nContent-Disposition: form-data; x=\"a;name=\\\"b\\\"\"; name = \"mo\\del\" ; y\r\nContent-Type: text/plain",
        ] {
            let body = format!("preamble\r\n--xyz \t\r\n{head}\r\n\r\nm\r\n--xyz--");
            assert_eq!(read_form(&body, TYPE).unwrap().model(), "m", "{head}");
        }
    }

    #[test]
    fn a_boundary_may_be_quoted() {
        let body = form(&[part("model", "m")]).replace("xyz", "x; y=z");
        for content_type in
            ["multipart/form-data; charset=utf-8; BOUNDARY=\"x; y=z\"", "multipart/form-data;boundary=\"x; y=z\"; a=b"]
        {
            assert_eq!(read_form(&body, content_type).unwrap().model(), "m");
        }
    }

    #[test]
    fn the_prefix_and_the_optillm_fields_work_as_in_json() {
        let body = form(&[
            part("optillm_approach", "none"),
            part("wrap", ""),
            FILE.to_owned(),
            part("model", "bon-m"),
            part("wrapped_approach", ""),
        ]);
        let body = read_form(&body, TYPE).unwrap();
        assert_eq!((body.model(), body.approach()), ("m", Approach::None));
        assert_eq!(text(body.with_model("n")), format!("\r\n{}", form(&[FILE.to_owned(), part("model", "n")])));
        let error = read_form(&form(&[part("model", "bon-whisper")]), TYPE).unwrap_err();
        assert_eq!(error.code(), "approach_unavailable");
        assert_eq!(read_form(&form(&[part("proxy_wrap", "moa")]), TYPE).unwrap_err().param(), Some("proxy_wrap"));
    }

    #[test]
    fn two_models_are_refused() {
        let error = read_form(&form(&[part("model", "a"), part("model", "b")]), TYPE).unwrap_err();
        assert_eq!(error, BodyError::duplicate(b"model"));
    }

    #[test]
    fn a_model_that_is_no_text_is_refused() {
        let body = form(&[part("model", "none-\u{1}")]).into_bytes();
        let body: Vec<u8> = body.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
        let error = RequestBody::multipart(body.into(), TYPE, Approach::Proxy).unwrap_err();
        assert_eq!(error, BodyError::NotAString { param: "model" });
    }

    #[test]
    fn what_is_not_a_form_is_opaque() {
        let form = form(&[part("model", "m")]);
        for (body, content_type) in [
            (form.as_str(), "multipart/form-data"),
            (&form, "multipart/form-data; boundary="),
            (&form, "multipart/form-data; boundary=abc"),
            ("{\"model\": \"m\"}", TYPE),
            ("", TYPE),
            ("--xyz", TYPE),
            ("--xyz--", TYPE),
            ("--xyz\r\n--xyz\r\n--xyz--", TYPE),
            ("--xyz\r\n--xyz--\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--xyz--", TYPE),
            ("--xyz\r\n\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--xyz--", TYPE),
            ("--xyz\r\nContent-Disposition: form-data; name=model\r\n\r\nm", TYPE),
            ("--xyz\nContent-Disposition: form-data; name=model\n\nm\n--xyz--", TYPE),
        ] {
            let read = read_form(body, content_type).unwrap();
            assert_eq!(read.model(), "", "{body}");
            assert_eq!(text(read.with_model("x")), body);
        }
    }

    #[test]
    fn an_empty_model_can_be_replaced() {
        let body = read_form(&form(&[part("model", "")]), TYPE).unwrap();
        assert_eq!(text(body.with_model("x")), form(&[part("model", "x")]));
    }
}
