//! The attributes of a request, which `routing.attributes` lets strategies know: values of its headers and its body, by
//! name.

use super::request::RequestBody;
use crate::config::{Attribute, AttributeSource};
use crate::http1::fields::Fields;

/// The most bytes of a value that strategies are told, as the contract has it.
const VALUE_BYTES: usize = 256;

/// Names and values of the attributes that the request has, in the order of the configuration.
pub type Attributes = Vec<(String, String)>;

/// The attributes of a request. A header that comes more than once counts as its first value.
pub fn of(named: &[Attribute], headers: &Fields, body: &RequestBody) -> Attributes {
    let value = |source: &AttributeSource| match source {
        AttributeSource::Header(name) => {
            let value = headers.get(name)?;
            Some(cut(&String::from_utf8_lossy(&value[..value.len().min(2 * VALUE_BYTES)])))
        }
        AttributeSource::Body(path) => Some(cut(&body.said(path)?)),
    };
    named.iter().filter_map(|Attribute { name, source }| Some((name.clone(), value(source)?))).collect()
}

/// The part of a value that strategies are told: whole characters.
fn cut(value: &str) -> String {
    value[..value.floor_char_boundary(VALUE_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::request::Menu;

    fn told(headers: &[(&str, &str)], json: &str) -> Vec<String> {
        let named = [
            ("tenant", AttributeSource::Header(http::HeaderName::from_static("x-tenant"))),
            ("user", AttributeSource::Body("metadata.user_id".to_owned())),
        ];
        let named = named.map(|(name, source)| Attribute { name: name.to_owned(), source });
        let body = RequestBody::json(json.to_owned().into(), None, &Menu::default()).expect("valid");
        let all = of(&named, &headers.iter().copied().collect(), &body);
        all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn what_the_request_has_is_told_by_name() {
        let both = told(&[("x-tenant", "search")], r#"{"metadata":{"user_id":"caf\u00e9 \"7\""}}"#);
        assert_eq!(both, ["tenant=search", "user=café \"7\""]);
        assert_eq!(told(&[], "{}"), [""; 0]);
        for (value, told_as) in [("7", "7"), ("-1.5e3", "-1.5e3"), ("true", "true"), (r#""""#, "")] {
            assert_eq!(told(&[], &format!(r#"{{"metadata":{{"user_id":{value}}}}}"#)), [format!("user={told_as}")]);
        }
        for nothing in ["null", "{}", "[1]"] {
            assert_eq!(told(&[], &format!(r#"{{"metadata":{{"user_id":{nothing}}}}}"#)), [""; 0]);
        }
    }

    #[test]
    fn a_long_value_is_cut_between_two_characters() {
        let long = "ä".repeat(1000);
        let odd = format!("x{long}");
        let cut = told(&[("x-tenant", &long)], &format!(r#"{{"metadata":{{"user_id":"{odd}"}}}}"#));
        assert_eq!(cut, [format!("tenant={}", "ä".repeat(128)), format!("user=x{}", "ä".repeat(127))]);
    }
}
