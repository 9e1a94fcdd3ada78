//! From the JSON of the contract to the strategy's own type, with errors that an operator can act upon.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Reads `json`, the document under `strategies.NAME.config`. One that is absent or `null` counts as `{}`, so that a
/// config whose fields all have defaults may be left out.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, String> {
    let json = if matches!(json.trim(), "" | "null") { "{}" } else { json };
    let mut reader = serde_json::Deserializer::from_str(json);
    let config = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = match error.path().to_string() {
            path if path == "." => "config".to_owned(),
            path => format!("config.{path}"),
        };
        format!("{place}: {}", without_position(&error.inner().to_string()))
    })?;
    reader.end().map_err(|error| format!("config: {}", without_position(&error.to_string())))?;
    Ok(config)
}

/// Lines and columns of a document that the operator has never seen (he wrote YAML) only mislead.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
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
                match map.next_entry::<String, IgnoredAny>()? {
                    None => Ok(NoConfig),
                    Some((field, _)) => Err(serde::de::Error::custom(format_args!(
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
