//! The rules by which a body is read and changed, one claim each. The laws that hold for all bodies are in `laws.rs`.

mod choosing;
mod forms;
mod named;
mod tags;

use bytes::Bytes;

use super::{Approach, BodyError, Menu, RequestBody};

fn read(body: &str) -> Result<RequestBody, BodyError> {
    RequestBody::json(Bytes::copy_from_slice(body.as_bytes()), None, &Menu::default())
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
        let body = RequestBody::opaque(Bytes::from_static(b"\xff\0{"), None);
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
        assert_eq!(RequestBody::json(body, None, &Menu::default()).unwrap_err(), BodyError::Utf8 { at: 6 });
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
        let body = RequestBody::json(bytes.clone(), None, &Menu::default()).unwrap();
        assert_eq!(body.with_model("gpt-4").as_ptr(), bytes.as_ptr());
        let body =
            RequestBody::json(Bytes::from_static(br#"{"model": "proxy-gpt-4"}"#), None, &Menu::default()).unwrap();
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

#[test]
fn the_usage_of_a_stream_is_asked_for_only_where_the_body_leaves_it_open() {
    for (body, asking) in [
        (
            r#"{"model":"x","stream":true}"#,
            Some(r#"{"stream_options":{"include_usage":true},"model":"y","stream":true}"#),
        ),
        (
            " {\n \"stream\" : true, \"model\":\"x\"}",
            Some(" {\"stream_options\":{\"include_usage\":true},\n \"stream\" : true, \"model\":\"y\"}"),
        ),
        (
            r#"{"stream":true,"optillm_approach":"none","model":"x"}"#,
            Some(r#"{"stream_options":{"include_usage":true},"stream":true,"model":"y"}"#),
        ),
        (r#"{"model":"x","stream":false}"#, None),
        (r#"{"model":"x","stream":true,"stream_options":{}}"#, None),
        (r#"{"model":"x","stream":true,"stream_options":null}"#, None),
        (r#"{"model":"x","stream":true,"stream_options":{"include_usage":false}}"#, None),
    ] {
        let read = read(body).unwrap();
        assert_eq!(read.leaves_usage_open(), asking.is_some(), "{body}");
        let plain = text(read.with_model("y"));
        assert_eq!(text(read.asking_for_usage("y")), asking.unwrap_or(&plain), "{body}");
        assert!(!plain.contains("include_usage\":true"), "{body}");
    }
}
