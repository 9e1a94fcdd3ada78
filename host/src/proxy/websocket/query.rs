//! The model in the query of a session, which has no body to name it in.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Bytes that are not escaped (RFC 3986, unreserved).
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The model that a parameter names: `model`, or `deployment` as Azure calls it.
fn named(pair: &str) -> Option<&str> {
    pair.strip_prefix("model=").or_else(|| pair.strip_prefix("deployment="))
}

/// The model that a query names, if it does. The first counts, as providers do not get the others.
pub fn model(query: Option<&str>) -> Option<String> {
    let value = query?.split('&').find_map(named)?;
    let value = value.replace('+', " ");
    let model = percent_decode_str(&value).decode_utf8_lossy().into_owned();
    (!model.is_empty()).then_some(model)
}

/// The query for a provider that calls the model `model`; all its other bytes stay.
pub fn with_model<'q>(query: Option<&'q str>, model: &str) -> Option<Cow<'q, str>> {
    let query = query?;
    let mut is_named = false;
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        if named(pair).is_none() {
            pairs.push(Cow::Borrowed(pair));
        } else if !std::mem::replace(&mut is_named, true) {
            pairs.push(Cow::Owned(format!("model={}", utf8_percent_encode(model, VALUE))));
        }
    }
    Some(if is_named { Cow::Owned(pairs.join("&")) } else { Cow::Borrowed(query) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_model_counts_and_is_replaced() {
        for (query, named, mapped) in [
            ("model=voice", Some("voice"), "model=a%2Fb"),
            ("intent=x&model=my%20voice&model=other&call_id=%2F", Some("my voice"), "intent=x&model=a%2Fb&call_id=%2F"),
            ("api-version=1&deployment=d", Some("d"), "api-version=1&model=a%2Fb"),
            ("intent=transcription", None, "intent=transcription"),
            ("model=", None, "model=a%2Fb"),
            ("", None, ""),
        ] {
            assert_eq!(model(Some(query)).as_deref(), named, "{query}");
            assert_eq!(with_model(Some(query), "a/b").as_deref(), Some(mapped), "{query}");
        }
        assert_eq!((model(None), with_model(None, "m")), (None, None));
    }
}
