//! The part of a text that is meant for the client, found at the end or while the text comes. Both find the same.

use pointsman_approach::text::tagged;

const OPEN: &str = "<output>";
const CLOSE: &str = "</output>";
/// The bytes of the longest of these tags.
const LONGEST: usize = "</thinking>".len();
/// The tags around an `<output>` that is only thought of.
const THOUGHTS: [(&str, &str); 2] = [("<thinking>", "</thinking>"), ("<think>", "</think>")];

/// The text in the first `<output>` that is in no thought, up to its last close, without blanks at its ends. If the
/// thoughts never end, what stands in the first of all.
pub(crate) fn output(text: &str) -> Option<&str> {
    tagged(begin(text).map_or(text, |start| &text[start - OPEN.len()..]), "output")
}

/// The place where the output begins, after its tag.
fn begin(text: &str) -> Option<usize> {
    let mut output = Output { text: text.to_owned(), ..Output::default() };
    output.search();
    output.start
}

/// The output of a text that comes in pieces. Each piece is searched once, however long the text becomes.
#[derive(Debug, Default)]
pub(crate) struct Output {
    text: String,
    /// Up to where the text has been searched for the beginning.
    searched: usize,
    /// The close of the thought in which that is.
    within: Option<&'static str>,
    /// The place where it begins.
    start: Option<usize>,
    /// The place where its last close begins.
    close: Option<usize>,
    /// Up to where it has been given, once it has begun.
    given: Option<usize>,
}

impl Output {
    /// Takes the next piece, and returns what can be given of the output.
    pub(crate) fn read(&mut self, piece: &str) -> &str {
        // A close may have begun in the piece before.
        let before = self.text.len().saturating_sub(CLOSE.len());
        self.text.push_str(piece);
        if self.start.is_none() {
            self.search();
        }
        let Some(start) = self.start else { return "" };
        let from = before.max(start);
        let last = rfind(&self.text.as_bytes()[from..], CLOSE).map(|at| from + at);
        self.close = last.or(self.close);
        let end = self.close.unwrap_or_else(|| self.text.len() - unfinished(&self.text[start..]));
        self.give(end)
    }

    /// Searches what has come for the beginning, as [`begin`] does.
    fn search(&mut self) {
        loop {
            let rest = &self.text.as_bytes()[self.searched..];
            let found = match self.within {
                Some(close) => find(rest, close).map(|at| (at, close, None)),
                None => {
                    let thoughts = THOUGHTS.iter().map(|(open, close)| (*open, Some(*close)));
                    let tags = [(OPEN, None)].into_iter().chain(thoughts);
                    tags.filter_map(|(tag, close)| Some((find(rest, tag)?, tag, close))).min_by_key(|(at, ..)| *at)
                }
            };
            let Some((at, tag, close)) = found else {
                // The longest tag may have come but for its last byte.
                self.searched += rest.len().saturating_sub(LONGEST - 1);
                return;
            };
            self.searched += at + tag.len();
            if tag == OPEN {
                self.start = Some(self.searched);
                return;
            }
            self.within = close;
        }
    }

    /// The rest of the output when the text is over.
    pub(crate) fn rest(&mut self) -> &str {
        match self.start {
            None => "",
            Some(_) => self.give(self.close.unwrap_or(self.text.len())),
        }
    }

    /// True when anything was given.
    pub(crate) fn has_begun(&self) -> bool {
        self.given.is_some()
    }

    /// The text before `end` that has not been given, without blanks at its end; at its beginning neither, if nothing
    /// was given yet.
    fn give(&mut self, end: usize) -> &str {
        let Some(start) = self.start else { return "" };
        let end = start + self.text[start..end].trim_end().len();
        let from =
            self.given.unwrap_or_else(|| start + self.text[start..].len() - self.text[start..].trim_start().len());
        if from >= end {
            return "";
        }
        self.given = Some(end);
        &self.text[from..end]
    }
}

/// The number of bytes at the end of a text that may be the beginning of a close.
fn unfinished(text: &str) -> usize {
    let ends_with = |length: &usize| {
        let end = text.as_bytes().get(text.len().wrapping_sub(*length)..);
        end.is_some_and(|end| end.eq_ignore_ascii_case(&CLOSE.as_bytes()[..*length]))
    };
    (1..CLOSE.len()).rev().find(ends_with).unwrap_or(0)
}

fn matches<'t>(text: &'t [u8], part: &'t str) -> impl DoubleEndedIterator<Item = usize> + 't {
    let found = text.windows(part.len()).enumerate();
    found.filter(|(_, window)| window.eq_ignore_ascii_case(part.as_bytes())).map(|(at, _)| at)
}

fn find(text: &[u8], part: &str) -> Option<usize> {
    matches(text, part).next()
}

fn rfind(text: &[u8], part: &str) -> Option<usize> {
    matches(text, part).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of which texts are put together.
    const PARTS: [&str; 14] = [
        "<output>",
        "</output>",
        "<thinking>",
        "</thinking>",
        "<think>",
        "</think>",
        " ",
        "\n",
        "a",
        "ä",
        "<",
        "</OUT",
        "put>",
        ">",
    ];

    #[test]
    fn pieces_give_what_the_whole_gives_however_it_is_cut() {
        let mut dice = pointsman_approach::Dice::new(1);
        for _ in 0..20_000 {
            let text: String = (0..dice.below(10)).filter_map(|_| dice.pick(&PARTS)).copied().collect();
            let chars: Vec<char> = text.chars().collect();
            let (mut given, mut reader) = (String::new(), Output::default());
            for piece in chars.chunks(1 + dice.below(6)) {
                given.push_str(reader.read(&piece.iter().collect::<String>()));
            }
            given.push_str(reader.rest());
            let whole = begin(&text).and_then(|_| output(&text)).unwrap_or_default();
            assert_eq!(given, whole, "{text}");
            assert_eq!(reader.has_begun(), !whole.is_empty(), "{text}");
        }
    }

    #[test]
    fn an_output_that_is_only_thought_of_is_none() {
        let text = "<thinking>I write it in <output>, like <output>this</output>.</thinking><output>4</output>";
        assert_eq!(output(text), Some("4"));
        assert_eq!(output("<thinking>2+2<output>4</output>"), Some("4"));
        assert_eq!(output("<think>no</think> no"), None);
    }
}
