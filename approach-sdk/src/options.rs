//! From the JSON of the contract to the approach's own type, with errors that whoever wrote it can act upon.

// The reader of the strategies' SDK, by a link: one that is small enough to be compiled at each start.
mod json;

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Unexpected, Visitor};

use json::Reader;

/// Reads `request.config`. One that is absent or `null` counts as `{}`, so that options which all have defaults may be
/// left out.
pub(crate) fn parse<O: DeserializeOwned>(config: &str) -> Result<O, String> {
    json(if matches!(config.trim(), "" | "null") { "{}" } else { config })
}

/// Reads a JSON document, such as one that the model has written.
///
/// # Errors
///
/// Says what is wrong with it, and where: `limits[1]: invalid type: ...`.
pub fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut reader = Reader::new(text);
    let read = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        // The reader says `config` for the whole.
        let error = error.to_string();
        let within = error.strip_prefix("config.").or_else(|| error.strip_prefix("config: "));
        bounded(within.unwrap_or(&error).to_owned())
    })
}

/// An error quotes what it does not like, which may be as long as the document.
fn bounded(mut error: String) -> String {
    const MOST: usize = 2_000;
    if error.len() > MOST {
        let cut = (0..=MOST).rev().find(|at| error.is_char_boundary(*at)).unwrap_or(0);
        error.truncate(cut);
        error.push_str("...");
    }
    error
}

/// The options of an approach that has none: accepts `{}` and names the first field of any other.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoOptions;

impl<'de> Deserialize<'de> for NoOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Empty;

        impl<'de> Visitor<'de> for Empty {
            type Value = NoOptions;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("nothing, because this approach takes no options")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoOptions, A::Error> {
                match map.next_key::<String>()? {
                    None => Ok(NoOptions),
                    Some(field) => {
                        Err(Error::custom(format_args!("unknown field `{field}`, this approach takes no options")))
                    }
                }
            }
        }

        deserializer.deserialize_map(Empty)
    }
}

/// An option that is a whole number from `LEAST` to `MOST`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count<const LEAST: u32, const MOST: u32>(u32);

impl<const LEAST: u32, const MOST: u32> Count<LEAST, MOST> {
    /// The nearest one to `count` that is allowed: the default of an option.
    pub const fn new(count: u32) -> Self {
        if count < LEAST {
            Self(LEAST)
        } else if count > MOST {
            Self(MOST)
        } else {
            Self(count)
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Count<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded<const LEAST: u32, const MOST: u32>;

        impl<const LEAST: u32, const MOST: u32> Visitor<'_> for Bounded<LEAST, MOST> {
            type Value = Count<LEAST, MOST>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a whole number from {LEAST} to {MOST}")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                let count = u32::try_from(number).ok().filter(|count| (LEAST..=MOST).contains(count));
                count.map(Count).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                match u64::try_from(number) {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
                }
            }
        }

        deserializer.deserialize_u32(Bounded::<LEAST, MOST>)
    }
}

/// An option that is a temperature, from 0 to 2.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Temperature(f64);

impl Temperature {
    /// One of the range, or its nearer end: the default of an option.
    pub const fn new(temperature: f64) -> Self {
        Self(temperature.clamp(0.0, 2.0))
    }
}

impl From<Temperature> for f64 {
    fn from(temperature: Temperature) -> Self {
        temperature.0
    }
}

impl<'de> Deserialize<'de> for Temperature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl Visitor<'_> for Bounded {
            type Value = Temperature;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number from 0 to 2")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Temperature, E> {
                let range = 0.0..=2.0;
                let fits = range.contains(&number).then_some(Temperature(number));
                fits.ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Temperature, E> {
                let fits = (number <= 2).then_some(Temperature(number as f64));
                fits.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Temperature, E> {
                match u64::try_from(number) {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
                }
            }
        }

        deserializer.deserialize_f64(Bounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        best_of_n: Count<1, 64>,
        temperature: Temperature,
        judge: Option<String>,
    }

    impl Default for Options {
        fn default() -> Self {
            Self { best_of_n: Count::new(3), temperature: Temperature::new(1.0), judge: None }
        }
    }

    fn error(config: &str) -> String {
        parse::<Options>(config).expect_err(config)
    }

    #[test]
    fn nothing_counts_as_no_options() {
        for config in ["", "null", "{}", " {} "] {
            parse::<NoOptions>(config).unwrap();
            let options = parse::<Options>(config).unwrap();
            assert_eq!((options.best_of_n.get(), options.judge), (3, None));
        }
    }

    #[test]
    fn options_within_their_bounds_are_read() {
        let options = parse::<Options>(r#"{"best_of_n": 64, "temperature": 0, "judge": "small"}"#).unwrap();
        assert_eq!((options.best_of_n.get(), options.temperature.0), (64, 0.0));
        assert_eq!(options.judge.as_deref(), Some("small"));
        assert_eq!(parse::<Options>(r#"{"temperature": 0.25}"#).unwrap().temperature.0, 0.25);
    }

    #[test]
    fn an_error_names_the_option_and_says_what_would_be_right() {
        let most = "expected a whole number from 1 to 64";
        assert_eq!(error(r#"{"best_of_n": 0}"#), format!("best_of_n: invalid value: integer `0`, {most}"));
        assert_eq!(error(r#"{"best_of_n": 65}"#), format!("best_of_n: invalid value: integer `65`, {most}"));
        assert_eq!(error(r#"{"best_of_n": "3"}"#), format!("best_of_n: invalid type: string \"3\", {most}"));
        assert!(error(r#"{"best_of_n": -1}"#).ends_with(most) && error(r#"{"best_of_n": 1.5}"#).ends_with(most));
        assert!(error(r#"{"temperature": 2.5}"#).ends_with("`2.5`, expected a number from 0 to 2"));
        assert!(error(r#"{"temperature": -1}"#).ends_with("expected a number from 0 to 2"));
        let unknown = "best_of: unknown field `best_of`, expected one of `best_of_n`, `temperature`, `judge`";
        assert_eq!(error(r#"{"best_of": 3}"#), unknown);
        let none = parse::<NoOptions>(r#"{"best_of_n": 3}"#).unwrap_err();
        assert_eq!(none, "unknown field `best_of_n`, this approach takes no options");
        assert!(error(&format!("\"{}\"", "ä".repeat(1 << 20))).len() < 2_100);
    }
}
