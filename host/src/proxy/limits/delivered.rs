//! Counts the text of an answer as it passes, for one that does not say how many tokens it has.

use std::sync::LazyLock;

use memchr::{memchr2, memmem::Finder};

use crate::proxy::stream::protocol::Protocol;

/// The keys whose values are text of the model, as they end: `content` is the end of `reasoning_content` as well.
const CHAT: [&str; 3] = ["content\"", "arguments\"", "\"reasoning\""];
const COMPLETIONS: [&str; 1] = ["\"text\""];
/// Events repeat at the end of a part what it was made of, under other keys.
const RESPONSES: [&str; 1] = ["\"delta\""];
const MESSAGES: [&str; 3] = ["\"text\"", "\"thinking\"", "\"partial_json\""];

/// The bytes of text that have passed.
#[derive(Debug)]
pub struct Delivered {
    protocol: Protocol,
    /// So many.
    pub bytes: u64,
}

impl Delivered {
    /// Of an answer of this endpoint.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, bytes: 0 }
    }

    /// Counts the text in whole events, or in a whole answer.
    pub fn feed(&mut self, events: &[u8]) {
        static FINDERS: LazyLock<[Vec<Finder<'static>>; 4]> = LazyLock::new(|| {
            let all = |keys: &[&'static str]| keys.iter().map(|key| Finder::new(*key)).collect();
            [all(&CHAT), all(&COMPLETIONS), all(&RESPONSES), all(&MESSAGES)]
        });
        let finders = match self.protocol {
            Protocol::Chat => &FINDERS[0],
            Protocol::Completions => &FINDERS[1],
            Protocol::Responses => &FINDERS[2],
            Protocol::Messages => &FINDERS[3],
            Protocol::Other => return,
        };
        for finder in finders {
            let mut from = 0;
            while let Some(at) = events.get(from..).and_then(|rest| finder.find(rest)) {
                let after = from + at + finder.needle().len();
                let length = events.get(after..).map_or(0, text_after);
                self.bytes += length as u64;
                from = after + length;
            }
        }
    }
}

/// The length of the text that is the value behind a key; 0 for another value.
fn text_after(key: &[u8]) -> usize {
    let Some(value) = key.trim_ascii_start().strip_prefix(b":") else { return 0 };
    let Some(text) = value.trim_ascii_start().strip_prefix(b"\"") else { return 0 };
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += next;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(protocol: Protocol, events: &str) -> u64 {
        let mut delivered = Delivered::new(protocol);
        delivered.feed(events.as_bytes());
        delivered.bytes
    }

    #[test]
    fn text_is_counted_and_what_is_around_it_is_not() {
        let chat = concat!(
            "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n",
            "data: {\"choices\": [{\"delta\": {\"content\": \" \\\"you\\\"\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"{}\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":null}}]}\n\n",
            "data: [DONE]\n\n",
        );
        assert_eq!(text(Protocol::Chat, chat), 5 + 8 + 2 + 2);
        assert_eq!(text(Protocol::Other, chat), 0);
        assert_eq!(text(Protocol::Completions, "data: {\"choices\":[{\"text\":\"abc\"}]}\n\n"), 3);
        let responses = "event: response.output_text.delta\ndata: {\"delta\":\"abcd\"}\n\n\
                         event: response.output_text.done\ndata: {\"text\":\"abcd\"}\n\n";
        assert_eq!(text(Protocol::Responses, responses), 4);
        let messages = "data: {\"delta\":{\"type\":\"text_delta\",\"text\":\"abc\"}}\n\n";
        assert_eq!(text(Protocol::Messages, messages), 3);
    }

    #[test]
    fn what_is_cut_is_counted_as_far_as_it_goes() {
        assert_eq!(text(Protocol::Chat, "{\"content\":\"ab\\"), 3);
        assert_eq!(text(Protocol::Chat, "{\"content\""), 0);
        assert_eq!(text(Protocol::Chat, "{\"content\":"), 0);
    }
}
