//! The requests of clients and the expected answers, as pure functions of one short text that travels in a header: both
//! ends compute the same bytes, so that nothing mixed up, altered or cut goes unnoticed.

use std::fmt::Write as _;

use bytes::Bytes;
use http::HeaderMap;

/// The header that carries an [`Ask`] from the client to whichever provider answers.
pub const HEADER: &str = "x-ask";

/// Splits and cuts behave differently beyond the size up to which an answer is held: 1 MiB.
pub const HELD: usize = 1 << 20;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub id: u64,
    pub kind: Kind,
    pub model: String,
    /// Bytes of padding in the request.
    pub padding: usize,
    /// Words in the answer; events in a stream.
    pub words: usize,
    /// Bytes per word.
    pub width: usize,
}

/// Its endpoint and whether it streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Chat,
    /// A chat that an approach answers.
    Reread,
    Stream,
    Embeddings,
}

impl Ask {
    /// The header's value.
    pub fn to_header(&self) -> String {
        let kind = match self.kind {
            Kind::Chat => "chat",
            Kind::Reread => "reread",
            Kind::Stream => "stream",
            Kind::Embeddings => "embeddings",
        };
        format!("{}/{kind}/{}/{}/{}/{}", self.id, self.model, self.padding, self.words, self.width)
    }

    /// The ask that a header carries.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parts = headers.get(HEADER)?.to_str().ok()?.split('/');
        let id = parts.next()?.parse().ok()?;
        let kind = match parts.next()? {
            "chat" => Kind::Chat,
            "reread" => Kind::Reread,
            "stream" => Kind::Stream,
            _ => Kind::Embeddings,
        };
        let model = parts.next()?.to_owned();
        let mut number = || parts.next()?.parse().ok();
        Some(Self { id, kind, model, padding: number()?, words: number()?, width: number()? })
    }

    pub fn path(&self) -> &'static str {
        match self.kind {
            Kind::Chat | Kind::Reread | Kind::Stream => "/v1/chat/completions",
            Kind::Embeddings => "/v1/embeddings",
        }
    }

    /// The body for whoever calls the model `model`. Spelled as no library would, so that parsing and writing it anew
    /// shows.
    pub fn body(&self, model: &str) -> Bytes {
        let stream = if self.kind == Kind::Stream { ",\"stream\" :true" } else { "" };
        let padding = "é ".repeat(self.padding / 3);
        let model = if self.kind == Kind::Reread { format!("re2-{model}") } else { model.to_owned() };
        let id = self.id;
        format!(
            "{{\"temperature\": 1.50,\r\n \"model\":\"{model}\" {stream},\"x\\u0079z\":[1e2, null],\"input\":\"{id}\",\
             \"messages\":[{{\"role\":\"user\",\"content\":\"{id} {padding}\"}}], \"seed\":18446744073709551616}}\n"
        )
        .into()
    }

    /// True if the body is the question of the approach for the model `model`: what is the client's as it was written, and the
    /// question twice.
    pub fn is_reread(&self, body: &[u8], model: &str) -> bool {
        let text = String::from_utf8_lossy(body);
        let question = format!("{} {}", self.id, "é ".repeat(self.padding / 3));
        let kept = [&format!("\"model\":\"{model}\""), "\"temperature\":1.50", "[1e2, null]", "18446744073709551616"];
        kept.iter().all(|kept| text.contains(*kept)) && text.matches(&question).count() == 2
    }

    /// The text of the whole answer.
    pub fn answer_text(&self) -> String {
        (0..self.words).map(|number| format!("{}.{number}{} ", self.id, "x".repeat(self.width))).collect()
    }

    /// The pieces of the whole answer; of a stream one event each, the last being `[DONE]`.
    pub fn answer(&self) -> Vec<Bytes> {
        let id = self.id;
        let word = |number: usize| format!("{id}.{number}{} ", "x".repeat(self.width));
        let words = (0..self.words).map(word);
        if self.kind == Kind::Stream {
            let event = |word: String| {
                let choice = format!("{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}");
                format!("data: {{\"id\":\"{id}\",\"object\":\"chat.completion.chunk\",\"choices\":[{choice}]}}\n\n")
            };
            return words.map(event).chain(["data: [DONE]\n\n".to_owned()]).map(Bytes::from).collect();
        }
        let mut pieces = vec![Bytes::from(format!(
            "{{\"id\":\"{id}\",\"object\":\"x\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\""
        ))];
        pieces.extend(words.map(Bytes::from));
        pieces.push(Bytes::from_static(b"\"},\"finish_reason\":\"stop\"}]}"));
        pieces
    }

    /// The whole answer's bytes.
    pub fn whole_answer(&self) -> Vec<u8> {
        self.answer().concat()
    }
}

/// Steele and Vigna's SplitMix64: small, seedable, good enough to disturb.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for the part `number` of something.
    pub fn part(seed: u64, number: u64) -> Self {
        Self(seed ^ number.wrapping_add(1).wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// One line of at most `most` characters, for messages.
pub fn excerpt(bytes: &[u8], most: usize) -> String {
    let mut text = String::new();
    for character in String::from_utf8_lossy(bytes).chars().take(most) {
        let _ = write!(text, "{}", character.escape_debug());
    }
    text
}
