//! The words of a provider about its own failure, as clients, operators and logs may see them: masked, short, harmless.

use std::fmt;

use super::dialect::said::Said;
use super::masking::Masks;

/// The most bytes that are shown of what a provider says.
pub const LONGEST: usize = 300;
/// The most bytes that are shown of its type and its code.
const LONGEST_CODE: usize = 64;

/// A provider's own words about its failure. `Display` is one line of at most [`LONGEST`] bytes without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    message: String,
    kind: Option<String>,
    code: Option<String>,
}

impl Words {
    /// The part of `said` that may be shown; `None` when that is nothing.
    pub fn of(said: &Said, masks: &Masks) -> Option<Box<Self>> {
        // Masked before it is cut, so that no piece of a key is left.
        let shown = |text: &str, longest| {
            let text = tidy(&masks.mask_words(text));
            Some(cut(&text, longest).to_owned()).filter(|text| !text.is_empty())
        };
        let kind = said.kind.as_deref().and_then(|kind| shown(kind, LONGEST_CODE));
        let code = said.code.as_deref().and_then(|code| shown(code, LONGEST_CODE));
        // The message has the room that both of these leave, each with two more characters.
        let around = [&kind, &code].into_iter().flatten().map(|word| word.len() + 2).sum::<usize>() + 1;
        let message = said.message.as_deref().and_then(|message| shown(message, LONGEST - around));
        // The text around it goes on behind it, so it ends without a full stop.
        let message = message.map(|message| message.trim_end_matches(['.', ' ']).to_owned()).unwrap_or_default();
        let words = Self { message, kind, code };
        (words != Self::default()).then(|| Box::new(words))
    }

    /// The type of the error, as the provider has it.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The code of the error, as the provider has it.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = &self.message;
        match (message.is_empty(), self.kind.as_deref(), self.code.as_deref()) {
            (_, None, None) => f.write_str(message),
            (false, Some(one), None) | (false, None, Some(one)) => write!(f, "{message} ({one})"),
            (false, Some(kind), Some(code)) => write!(f, "{message} ({kind}, {code})"),
            (true, Some(one), None) | (true, None, Some(one)) => f.write_str(one),
            (true, Some(kind), Some(code)) => write!(f, "{kind}, {code}"),
        }
    }
}

/// One line: control characters, those that turn the direction of text around, and runs of spaces become one space.
fn tidy(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = |c: char| c.is_whitespace() || c.is_control() || turns(c) || c == '\u{feff}';
    text.split(breaks).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The beginning of `text`, at most `longest` bytes, cut between characters.
fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masks() -> Masks {
        let text = "providers: [{name: a, base_url: 'http://a/v1', api_key: sk-secret-0123456789}]";
        let config = crate::config::parse(text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).expect("valid");
        Masks::of(&config.providers[0])
    }

    fn shown(body: &str) -> String {
        Words::of(&Said::read(body.as_bytes()), &masks()).map(|words| words.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_message_its_type_and_its_code_make_one_line() {
        let body =
            r#"{"error": {"message": "No\ncredit\u0007 left. ", "type": "quota", "code": "insufficient_quota"}}"#;
        assert_eq!(shown(body), "No credit left (quota, insufficient_quota)");
        assert_eq!(shown(r#"{"error": {"code": 502}}"#), "502");
        assert_eq!(shown("{}"), "");
    }

    #[test]
    fn no_key_is_shown_however_it_is_written() {
        let body = r#"{"error": "key sk-secret-0123456789, sk\u002dsecret-0123456789, sk%2Dsecret-0123456789"}"#;
        assert_eq!(shown(body), "key ***, ***, ***");
        // Here a cut alone would leave a piece of the key.
        let body = format!(r#"{{"error": "{} sk-secret-0123456789"}}"#, "x".repeat(LONGEST - 10));
        assert!(!shown(&body).contains("sk-"), "{}", shown(&body));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_short_and_one_line(message in ".{0,400}", kind in ".{0,90}", code in ".{0,90}") {
            let body = serde_json::json!({"error": {"message": message, "type": kind, "code": code}}).to_string();
            let shown = shown(&body);
            prop_assert!(shown.len() <= LONGEST, "{} bytes", shown.len());
            prop_assert!(!shown.contains(char::is_control));
        }

        #[test]
        fn any_bytes_can_be_read(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let words = Words::of(&Said::read(&body), &masks());
            prop_assert!(words.map_or(0, |words| words.to_string().len()) <= LONGEST);
        }
    }
}
