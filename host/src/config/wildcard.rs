//! Names of models with one `*` in them, which stands for any text, even an empty one.
//!
//! An exact name has priority over every pattern. Of the patterns that fit, the one with the most text before its `*`
//! has priority, then the one with the most text behind it, so that the order in the file does not matter.

use std::borrow::Cow;

use super::Provider;

/// A key of `model_map` with a `*`, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard {
    before: String,
    after: String,
    to: String,
}

impl Wildcard {
    /// Maps `from`, which has one `*`, to `to`; a `*` in `to` is replaced by the text that the `*` of `from` matched.
    pub(super) fn new(from: &str, to: String) -> Option<Self> {
        let (before, after) = from.split_once('*')?;
        Some(Self { before: before.to_owned(), after: after.to_owned(), to })
    }

    /// Sorts the most specific pattern first.
    pub(super) fn sort(wildcards: &mut [Self]) {
        wildcards.sort_by_key(|wildcard| std::cmp::Reverse((wildcard.before.len(), wildcard.after.len())));
    }

    fn mapped(&self, model: &str) -> Option<String> {
        let taken = model.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        Some(self.to.replacen('*', taken, 1))
    }
}

/// True when `name`, an entry of `providers[].models`, is or matches `model`.
pub(crate) fn fits(name: &str, model: &str) -> bool {
    match name.split_once('*') {
        None => name == model,
        Some((before, after)) => model.strip_prefix(before).is_some_and(|rest| rest.ends_with(after)),
    }
}

/// The text that the `*` of `name` matches in `model`; `None` without a `*`, or when the name does not match.
pub(super) fn star<'m>(name: &str, model: &'m str) -> Option<&'m str> {
    let (before, after) = name.split_once('*')?;
    model.strip_prefix(before)?.strip_suffix(after)
}

/// True when `name` matches every model that `other` matches; both are exact or have one `*`.
pub(super) fn covers(name: &str, other: &str) -> bool {
    match (name.split_once('*'), other.split_once('*')) {
        (Some((before, after)), Some((other_before, other_after))) => {
            other_before.starts_with(before) && other_after.ends_with(after)
        }
        (None, Some(_)) => false,
        (_, None) => fits(name, other),
    }
}

impl Provider {
    /// The provider's own name for the model that a client asks for. An empty name is not mapped.
    pub fn model_for<'m>(&'m self, asked: &'m str) -> Cow<'m, str> {
        if let Some(exact) = self.model_map.get(asked) {
            return Cow::Borrowed(exact);
        }
        let wildcard = || self.wildcards.iter().find_map(|wildcard| wildcard.mapped(asked));
        let mapped = if asked.is_empty() { None } else { wildcard() };
        mapped.map_or(Cow::Borrowed(asked), Cow::Owned)
    }

    /// True when the provider has no list of models, or when its list or its map has the model that a client asks for.
    pub fn serves(&self, asked: &str) -> bool {
        self.models.is_empty()
            || self.model_map.contains_key(asked)
            || self.models.iter().any(|name| fits(name, asked))
            || self.wildcards.iter().any(|wildcard| wildcard.mapped(asked).is_some())
    }

    /// True when the provider's models cannot be listed, because some are patterns.
    pub fn has_wildcards(&self) -> bool {
        !self.models.is_empty() && (!self.wildcards.is_empty() || self.models.iter().any(|name| name.contains('*')))
    }

    /// The exact names in its list and its map of models; sorted, without duplicates.
    pub fn named_models(&self) -> Vec<&str> {
        let names = self.model_map.keys().chain(&self.models).map(String::as_str);
        let mut names: Vec<&str> = names.filter(|name| !name.contains('*')).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn provider(rest: &str) -> Provider {
        let text = format!("providers: [{{name: a, base_url: 'http://a/v1', api_key: k, {rest}}}]");
        let config = parse(&text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).unwrap();
        config.providers.into_iter().next().unwrap()
    }

    #[test]
    fn an_exact_name_goes_first_and_then_the_most_special_wildcard() {
        let map = "model_map: {'*': any, 'gpt-*': 'vendor/*', 'gpt-4*': four, gpt-4o: exact, '*-mini': small, 'gpt-4*-x': 'x*x'}";
        let provider = provider(map);
        for (asked, name) in [
            ("gpt-4o", "exact"),
            ("gpt-4-turbo", "four"),
            ("gpt-41-x", "x1x"),
            ("gpt-5", "vendor/5"),
            ("gpt-", "vendor/"),
            ("o3-mini", "small"),
            ("o3", "any"),
            ("", ""),
        ] {
            assert_eq!(provider.model_for(asked), name, "{asked}");
        }
    }

    #[test]
    fn a_pattern_covers_those_whose_ends_are_longer() {
        for (name, other, covered) in [
            ("*", "gpt-*", true),
            ("*", "*", true),
            ("gpt-*", "gpt-4*", true),
            ("gpt-4*", "gpt-*", false),
            ("gpt-*", "gpt-*-mini", true),
            ("gpt-*-mini", "gpt-*", false),
            ("*-mini", "gpt-*-mini", true),
            ("gpt-*", "gpt-4o", true),
            ("gpt-4o", "gpt-*", false),
            ("gpt-4o", "gpt-4o", true),
        ] {
            assert_eq!(covers(name, other), covered, "{name} {other}");
        }
        assert_eq!(star("openai/*", "openai/gpt-4o"), Some("gpt-4o"));
        assert_eq!((star("a*a", "a"), star("a", "a")), (None, None), "the two ends do not share a text");
    }

    #[test]
    fn a_list_with_a_wildcard_serves_what_fits_and_nothing_else() {
        let provider = provider("models: ['gpt-*', 'a*z', exact], model_map: {'mapped-*': m}");
        for (asked, serves) in [
            ("gpt-4", true),
            ("gpt-", true),
            ("az", true),
            ("a-z", true),
            ("a", false),
            ("exact", true),
            ("exactly", false),
            ("mapped-1", true),
            ("xgpt-4", false),
            ("", false),
        ] {
            assert_eq!(provider.serves(asked), serves, "{asked}");
        }
        assert!(!super::fits("aba*ba", "aba"), "the two ends do not share a text");
        assert_eq!(provider.named_models(), ["exact"]);
    }
}
