//! The part of a text that is meant for the client, found at the end or while the text comes. Both find the same.

use pointsman_approach::text::tagged;

const OPEN: &str = "<output>";
const CLOSE: &str = "</output>";
/// The tags around an `<output>` that is only thought of.
const THOUGHTS: [(&str, &str); 2] = [("<thinking>", "</thinking>"), ("<think>", "</think>")];

/// The text in the first `<output>` that is in no thought, up to its last close, without blanks at its ends. If the
/// thoughts never end, what stands in the first of all.
pub(crate) fn output(text: &str) -> Option<&str> {
    tagged(begin(text).map_or(text, |start| &text[start - OPEN.len()..]), "output")
}

/// The place where the output begins, after its tag.
fn begin(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let open = find(rest, OPEN)?;
        let thought = THOUGHTS.iter().filter_map(|(begins, ends)| Some((find(rest, begins)?, begins, ends))).min();
        match thought {
            Some((start, begins, ends)) if start < open => {
                let within = at + start + begins.len();
                at = within + find(&text[within..], ends)? + ends.len();
            }
            _ => return Some(at + open + OPEN.len()),
        }
    }
}

/// The output of a text that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Output {
    text: String,
    /// Up to where it has been given, once it has begun.
    given: Option<usize>,
    /// The place where it begins.
    start: Option<usize>,
    /// The place where its last close begins.
    close: Option<usize>,
}

impl Output {
    /// Takes the next piece, and returns what can be given of the output.
    pub(crate) fn read(&mut self, piece: &str) -> &str {
        self.text.push_str(piece);
        // A tag is complete with this, and a long text is not searched with each piece.
        if piece.contains('>') {
            self.start = self.start.or_else(|| begin(&self.text));
            self.close = self.start.and_then(|start| Some(start + rfind(&self.text[start..], CLOSE)?));
        }
        let end = match (self.start, self.close) {
            (None, _) => return "",
            (Some(_), Some(close)) => close,
            (Some(start), None) => self.text.len() - unfinished(&self.text[start..]),
        };
        self.give(end)
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

fn matches(text: &str, part: &str) -> impl DoubleEndedIterator<Item = usize> {
    let found = text.as_bytes().windows(part.len()).enumerate();
    let part = part.to_owned();
    found.filter(move |(_, window)| window.eq_ignore_ascii_case(part.as_bytes())).map(|(at, _)| at)
}

fn find(text: &str, part: &str) -> Option<usize> {
    matches(text, part).next()
}

fn rfind(text: &str, part: &str) -> Option<usize> {
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
