//! Estimates how many tokens a request has, in one pass over its body.
//!
//! A tokenizer would take longer than everything else that is done for a request. The figure has to tell a short prompt
//! from a long one, and a quarter of the bytes does that, except for images and files: as base64 they have many bytes
//! but, as models count them, few tokens.

/// The least bytes of a text that may be base64.
pub(super) const LONG: usize = 1024;

/// The bytes at the beginning by which such a text is recognised.
const TOLD_BY: usize = 128;

/// The bytes of a token, in prose of European languages and in code.
const BYTES: usize = 4;

/// The tokens of an image or a file: about those of a picture of 1024 by 1024.
const IMAGE: usize = 1000;

/// The texts in a body that are base64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Opaque {
    texts: usize,
    bytes: usize,
}

impl Opaque {
    /// Counts a long text if it is base64.
    #[cold]
    pub(super) fn note(&mut self, text: &[u8]) {
        let beginning = &text[..text.len().min(2 * TOLD_BY)];
        // `data:image/png;base64,` and the like.
        let content = match beginning.strip_prefix(b"data:") {
            Some(rest) => rest.iter().position(|byte| *byte == b',').map_or(&b" "[..], |comma| &rest[comma + 1..]),
            None => beginning,
        };
        // A slash may be escaped.
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=\\".contains(byte);
        if content[..content.len().min(TOLD_BY)].iter().all(is_base64) {
            self.texts += 1;
            self.bytes += text.len();
        }
    }
}

/// The estimated tokens of a JSON body with this many bytes.
pub(super) fn estimate(bytes: usize, opaque: Opaque) -> u32 {
    let tokens = bytes.saturating_sub(opaque.bytes) / BYTES + opaque.texts * IMAGE;
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// The number that a value is, as a limit of tokens; 0 for anything else.
pub(super) fn limit(value: &[u8]) -> u32 {
    let number: Option<u64> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::{Menu, RequestBody};

    fn tokens(body: &str) -> (u32, u32) {
        let body = RequestBody::json(body.to_owned().into(), None, &Menu::default()).expect("valid");
        (body.prompt_tokens(), body.max_tokens())
    }

    fn asked(content: &str) -> u32 {
        tokens(&format!(r#"{{"messages":[{{"role":"user","content":"{content}"}}]}}"#)).0
    }

    #[test]
    fn a_prompt_has_a_token_in_four_bytes() {
        let tokens = asked(&"Nobody knows how long this may go on. ".repeat(1000));
        assert!((9_500..9_600).contains(&tokens), "{tokens}");
    }

    #[test]
    fn an_image_counts_the_same_whatever_its_size() {
        for size in [2_000, 2_000_000] {
            let base64 = "iVBORw0KGgoAAAANSUhEUgAA+/".repeat(size / 26);
            for image in [format!("data:image/png;base64,{base64}"), base64.replace('/', "\\/"), base64] {
                let tokens = asked(&image);
                assert!((1_000..1_030).contains(&tokens), "{tokens}");
            }
        }
        assert!(asked(&format!("data:{}", "a, b, c, ".repeat(1000))) > 2_000, "words, whatever they begin with");
        assert!(asked(&"模型".repeat(1000)) > 1_400, "a script without spaces");
    }

    #[test]
    fn several_answers_are_counted_and_nonsense_is_one() {
        let choices = |body: &str| RequestBody::json(body.to_owned().into(), None, &Menu::default()).unwrap().choices();
        let all = [
            r#"{"n":4}"#,
            r#"{"n":2,"best_of":5}"#,
            "{}",
            r#"{"n":0}"#,
            r#"{"n":null}"#,
            r#"{"n":"3"}"#,
            r#"{"n":1.5}"#,
        ];
        assert_eq!(all.map(choices), [4, 5, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn the_largest_limit_counts() {
        assert_eq!(tokens(r#"{"max_tokens":1,"max_completion_tokens":738,"max_output_tokens":5}"#).1, 738);
        for none in ["{}", r#"{"max_tokens":null}"#, r#"{"max_tokens":"7"}"#, r#"{"max_tokens":-1}"#] {
            assert_eq!(tokens(none).1, 0, "{none}");
        }
        assert_eq!(tokens(r#"{"max_tokens":99999999999}"#).1, u32::MAX);
    }
}
