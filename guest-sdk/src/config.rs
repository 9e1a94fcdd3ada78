//! Reads the JSON of the contract into the strategy's own type, with errors that an operator can act upon.

mod json;

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use json::Reader;

/// Reads `json`, the document under `strategies.NAME.config`. One that is absent or `null` counts as `{}`, so that a
/// config whose fields all have defaults may be left out.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, String> {
    let json = if matches!(json.trim(), "" | "null") { "{}" } else { json };
    let mut reader = Reader::new(json);
    let read = C::deserialize(&mut reader).and_then(|config| reader.end().map(|()| config));
    read.map_err(|error| bounded(error.to_string()))
}

/// An error quotes the wrong value, which may be as long as the config; the host reads a kilobyte.
fn bounded(mut error: String) -> String {
    const MOST: usize = 2_000;
    if error.len() > MOST {
        let cut = (0..=MOST).rev().find(|at| error.is_char_boundary(*at)).unwrap_or(0);
        error.truncate(cut);
        error.push_str("...");
    }
    error
}

/// The config of a strategy that has none: accepts an empty one and names the first field of any other.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoConfig;

impl<'de> Deserialize<'de> for NoConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Empty;

        impl<'de> Visitor<'de> for Empty {
            type Value = NoConfig;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("nothing, because this strategy takes no config")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoConfig, A::Error> {
                match map.next_key::<String>()? {
                    None => Ok(NoConfig),
                    Some(field) => Err(serde::de::Error::custom(format_args!(
                        "unknown field `{field}`, this strategy takes no config"
                    ))),
                }
            }
        }

        deserializer.deserialize_map(Empty)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::IgnoredAny;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[serde(default)]
        limits: Vec<u32>,
    }

    #[test]
    fn nothing_counts_as_an_empty_config() {
        for json in ["", "null", "{}", " {} "] {
            parse::<NoConfig>(json).unwrap();
            assert!(parse::<Config>(json).unwrap().limits.is_empty());
        }
    }

    #[test]
    fn an_error_is_short_whatever_it_quotes() {
        let error = parse::<Config>(&format!("\"{}\"", "ä".repeat(1 << 20))).expect_err("no config");
        assert!(error.starts_with("config: invalid type: string") && error.len() < 2_100, "{error}");
    }

    /// All that serde can ask of a document, in one type.
    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Everything {
        #[serde(default)]
        limits: Vec<u32>,
        #[serde(default)]
        share: f64,
        #[serde(default)]
        delta: Option<i8>,
        #[serde(default)]
        on: bool,
        #[serde(default)]
        sign: Option<char>,
        #[serde(default)]
        by_number: BTreeMap<u16, String>,
        #[serde(default)]
        by_truth: BTreeMap<bool, ()>,
        #[serde(default)]
        kind: Kind,
        #[serde(default)]
        kinds: BTreeMap<Kind, Pair>,
        #[serde(default)]
        either: Option<Either>,
        #[serde(default)]
        nested: Option<Box<Everything>>,
        #[serde(default)]
        anything: serde_json::Value,
    }

    #[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Kind {
        #[default]
        Plain,
        Newtype(u8),
        Tuple(u8, String),
        Fields {
            name: String,
        },
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Pair(i32, NewType);

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct NewType(String);

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
        Fields { a: u8, b: Option<bool> },
    }

    /// The same with `serde_json`, as it was read before there was a reader of our own.
    fn oracle<C: DeserializeOwned>(json: &str) -> Result<C, String> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let without_position = |error: &serde_json::Error| {
            let text = error.to_string();
            text.rfind(" at line ").map_or(text.clone(), |end| text[..end].to_owned())
        };
        let config = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let place = match error.path().to_string() {
                path if path == "." => "config".to_owned(),
                path if path.starts_with('[') => format!("config{path}"),
                path => format!("config.{path}"),
            };
            format!("{place}: {}", without_position(error.inner()))
        })?;
        reader.end().map_err(|error| format!("config: {}", without_position(&error)))?;
        Ok(config)
    }

    /// A result without how a number is spelled that is not wanted: the reader repeats what stands in the document,
    /// `serde_json` what it made of it (`-0` as `-0.0`).
    fn as_told<C>(result: Result<C, String>) -> Result<C, String> {
        result.map_err(|error| {
            let spelled = ["invalid type: integer `", "invalid type: floating point `"];
            let found = spelled.iter().find_map(|kind| error.split_once(kind));
            let Some((before, (_, after))) = found.and_then(|(b, rest)| Some((b, rest.split_once('`')?))) else {
                return error;
            };
            format!("{before}a number{after}")
        })
    }

    #[test]
    fn values_and_errors_are_those_of_serde_json() {
        let values = [
            "null",
            "true",
            "false",
            "0",
            "7",
            "-7",
            "255",
            "256",
            "-0",
            "0.0",
            "-0.0",
            "1.5",
            "1e3",
            "-2.5e-3",
            "1E+2",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "4294967296",
            "\"\"",
            "\"a\"",
            "\"ab\"",
            "\"plain\"",
            "\"newtype\"",
            "\"other\"",
            r#""é€😀""#,
            r#""\" \\ \/ \b\f\n\r\t \u00e9 \ud83d\ude00""#,
            "[]",
            "[1]",
            "[1, \"two\"]",
            "[1, \"two\", 3]",
            "[[1], {}]",
            "{}",
            r#"{"a": 1}"#,
            r#"{"a": 1, "b": null}"#,
            r#"{"a": 1, "b": 2}"#,
            r#"{"newtype": 3}"#,
            r#"{"newtype": "x"}"#,
            r#"{"newtype": 1.5}"#,
            r#"{"tuple": [1, "b"]}"#,
            r#"{"tuple": [1]}"#,
            r#"{"plain": null}"#,
            r#"{"plain": 1}"#,
            r#"{"fields": {"name": "n"}}"#,
            r#"{"fields": {"name": 1}}"#,
            r#"{"fields": ["n"]}"#,
            r#"{"fields": {}}"#,
            r#"{"fields": {"name": "n", "more": 1}}"#,
            r#"{"newtype": 3, "plain": null}"#,
            r#"{"1": "one", "2": "two"}"#,
            r#"{"70000": "x"}"#,
            r#"{"x": "x"}"#,
            r#"{"1": 2}"#,
            r#"{"true": null}"#,
            r#"{"yes": null}"#,
            r#"{"plain": [1, "x"]}"#,
            r#"{"plain": [1, 2]}"#,
            r#"{"plain": [1, "x", 2]}"#,
            r#"{"plain": {}}"#,
            r#"{"limits": [1, 2]}"#,
            r#"{"limits": [1, -2]}"#,
            r#"{"unknown": [1, {"a": "b"}]}"#,
            r#"{"on": true, "on": true}"#,
        ];
        let fields = [
            "limits",
            "share",
            "delta",
            "on",
            "sign",
            "by_number",
            "by_truth",
            "kind",
            "kinds",
            "either",
            "nested",
            "anything",
            "none",
        ];
        for value in values {
            for field in fields {
                for json in [
                    format!(r#"{{"{field}":{value}}}"#),
                    format!(r#" {{ "nested" : {{"{field}":{value} , "on":true}} }} "#),
                ] {
                    let (read, expected) = (parse::<Everything>(&json), oracle(&json));
                    // The oracle is vague about keys and variants: it gives a `?` for their place, or does not say what
                    // is wrong.
                    let vague = [".?", "expected ident", "expected value"];
                    if expected.as_ref().is_err_and(|error| vague.iter().any(|part| error.contains(part))) {
                        assert!(read.is_err(), "{json}");
                    } else {
                        assert_eq!(as_told(read), as_told(expected), "{json}");
                    }
                }
            }
            let list = format!("[{value}, {value}]");
            assert_eq!(as_told(parse::<Vec<Everything>>(&list)), as_told(oracle(&list)), "{list}");
            // In a list, as a document that is only `null` counts as empty.
            let any = format!("[{value}]");
            assert_eq!(parse::<serde_json::Value>(&any).ok(), oracle(&any).ok(), "{any}");
        }
    }

    #[test]
    fn a_number_beyond_all_floats_is_refused_where_a_number_is_wanted() {
        let json = r#"{"share": 1e400}"#;
        let error = parse::<Everything>(json).unwrap_err();
        assert_eq!(error, "config.share: number out of range");
        assert_eq!(oracle::<Everything>(json).unwrap_err(), error);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let broken = [
            "{",
            "[",
            "}",
            "{]",
            "[}",
            "[1",
            "[1,",
            "[1,]",
            "[1 2]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{1:1}",
            "\"",
            "\"a",
            "\"\n\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\ud800x""#,
            r#""\udc00""#,
            r#""\"#,
            "01",
            "-",
            "-a",
            "1.",
            ".5",
            "1.e1",
            "1e",
            "1e+",
            "+1",
            "nul",
            "nulll",
            "tru",
            "NaN",
            "Infinity",
            "1 1",
            "{} {}",
            "'a'",
            "// {}",
            "\u{a0}1",
            "1\u{feff}",
        ];
        for json in broken {
            let json = format!("[{json}");
            for json in [json.as_str(), &json[1..], &format!("{json}]"), &format!("[{{\"none\":{json}]}}]")] {
                let sound = oracle::<serde_json::Value>(json).is_ok();
                assert_eq!(parse::<serde_json::Value>(json).is_ok(), sound, "{json}");
                assert_eq!(parse::<IgnoredAny>(json).is_ok(), sound, "{json}");
            }
        }
        assert_eq!(parse::<IgnoredAny>("{} {}").unwrap_err(), "config: trailing characters");
        assert!(parse::<IgnoredAny>(&format!("{}{}", "[".repeat(120), "]".repeat(120))).is_ok());
        assert!(parse::<IgnoredAny>(&"[".repeat(100_000)).unwrap_err().ends_with("]: recursion limit exceeded"));
    }

    #[test]
    fn errors_name_the_place_and_what_is_expected() {
        let error = parse::<Config>(r#"{"limits": [1, "two"]}"#).unwrap_err();
        assert_eq!(error, r#"config.limits[1]: invalid type: string "two", expected u32"#);
        let error = parse::<Config>(r#"{"limit": []}"#).unwrap_err();
        assert_eq!(error, "config.limit: unknown field `limit`, expected `limits`");
        let error = parse::<Config>("{} {}").unwrap_err();
        assert_eq!(error, "config: trailing characters");
    }

    #[test]
    fn a_strategy_without_config_says_so() {
        let error = parse::<NoConfig>(r#"{"region": "eu"}"#).unwrap_err();
        assert_eq!(error, "config: unknown field `region`, this strategy takes no config");
        let error = parse::<NoConfig>("[1]").unwrap_err();
        assert_eq!(error, "config: invalid type: sequence, expected nothing, because this strategy takes no config");
    }
}
