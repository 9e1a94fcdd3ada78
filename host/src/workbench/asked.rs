//! What a question of an approach wants of a played model: an answer, a rating, a comparison, notes.
//!
//! Played models know the prompts of the built-in approaches only by what these ask for, such as `BEST: ` or a number from
//! 0 to 10. An approach of somebody's own that asks for the same things is understood too; all else is taken for the
//! client's question.

/// The kind of reply that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked<'t> {
    /// An answer to the client's question. Also whatever is not understood.
    Answer,
    /// An answer that is wrong on purpose.
    Mistake,
    /// A number from 0 to `most` for the answer that stands before: alone, or at the end behind a label.
    Rating {
        /// The best rating.
        most: f64,
        /// The words before the number; `None` for the number alone.
        label: Option<&'static str>,
    },
    /// The number of one of these answers, at the end behind a label.
    Pick {
        /// The words before the number.
        label: &'static str,
        /// True when the one is wanted that agrees with most.
        most_agree: bool,
        /// The answers, with their numbers.
        answers: Vec<(u32, &'t str)>,
    },
    /// One answer that is written from these.
    Synthesis(Vec<(u32, &'t str)>),
    /// An answer by these notes.
    Notes(&'t str),
    /// An answer that is better than this one.
    Revision(&'t str),
    /// The user's next message in a dialogue.
    Reply,
    /// Words that hold no answer: a plan, a description, a critique.
    Words,
}

/// Parts of prompts that want no answer.
const WORDS: [&str; 9] = [
    "Do not answer",
    "Do not solve this yet",
    "Do not quote any code",
    "Give the next step of the reasoning",
    "Put a smaller question",
    "Look at the last step once more",
    "Say in other words what is given",
    "answered wrongly. Say in one or two sentences",
    "Merge these principles",
];

impl<'t> Asked<'t> {
    /// What the text of a question wants; of a conversation the text of its last message.
    pub fn of(text: &'t str) -> Self {
        let wants = |part: &str| text.contains(part);
        for label in ["BEST: ", "CONSISTENT: "] {
            if wants(&format!("`{label}`")) {
                let most_agree = label == "CONSISTENT: ";
                let mut answers = numbered(text, "answer");
                if answers.is_empty() {
                    answers = listed(text);
                }
                return Self::Pick { label, most_agree, answers };
            }
        }
        if let Some(rating) = rating(text) {
            return rating;
        }
        if wants("looks right and is wrong") || wants("Answer this question with a mistake") {
            return Self::Mistake;
        }
        if wants("What would the user most likely say next") {
            return Self::Reply;
        }
        let attempts = numbered(text, "attempt");
        if !attempts.is_empty() {
            return Self::Synthesis(attempts);
        }
        let answers = numbered(text, "answer");
        if !answers.is_empty() && !wants("Do not answer") {
            return Self::Synthesis(answers);
        }
        if WORDS.iter().any(|part| wants(part)) {
            return Self::Words;
        }
        if let Some(notes) = between(text, "<notes>", "</notes>") {
            return Self::Notes(notes);
        }
        match between(text, "An earlier attempt answered:", "Use what is right in it") {
            Some(earlier) => Self::Revision(earlier),
            None => Self::Answer,
        }
    }
}

/// The rating that a text wants, if it wants one.
fn rating(text: &str) -> Option<Asked<'static>> {
    // `one number from 0 (useless) to 10 (could not be better)`
    let (_, after) = text.rsplit_once("number from 0")?;
    let (_, most) = after.split_once(" to ")?;
    let most = most.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()?;
    let label = ["Score: ", "Rating: "].into_iter().find(|label| text.contains(&format!("`{label}`")));
    Some(Asked::Rating { most, label })
}

fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let (_, after) = text.rsplit_once(open)?;
    Some(after.rsplit_once(close).map_or(after, |(within, _)| within).trim())
}

/// The texts in `<tag number="1">` and so on, with their numbers.
fn numbered<'t>(text: &'t str, tag: &str) -> Vec<(u32, &'t str)> {
    let (open, close) = (format!("<{tag} number=\""), format!("</{tag}>"));
    let pieces = text.split(open.as_str()).skip(1);
    let read = |piece: &'t str| {
        let (number, rest) = piece.split_once("\">")?;
        Some((number.parse().ok()?, rest.rsplit_once(&close)?.0.trim()))
    };
    pieces.filter_map(read).collect()
}

/// The paragraphs behind `1. ` and so on, with their numbers: each up to the next number that follows on it.
fn listed(text: &str) -> Vec<(u32, &str)> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let number = starts.len() as u32 + 1;
        let mark = format!("{number}. ");
        if line.starts_with(&mark) {
            starts.push((number, at, at + mark.len()));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(_, start, _)| *start).chain([text.len()]);
    starts.iter().zip(ends).map(|((number, _, from), end)| (*number, text[*from..end].trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_apart_by_what_they_ask_for() {
        let pick = "Compare. End with a line `BEST: ` and the number of the best one.\n\n<answer number=\"1\">\na\n</answer>\n\n\
                    <answer number=\"2\">\nb\n</answer>";
        let answers = vec![(1, "a"), (2, "b")];
        let cases = [
            ("What is 2+2?", Asked::Answer),
            ("Reply with one number from 0 (useless) to 10 (best).", Asked::Rating { most: 10.0, label: None }),
            ("one number from 0 (useless) to 1 (best), and", Asked::Rating { most: 1.0, label: None }),
            (
                "end with a line `Score: ` and a number from 0 (wrong) to 10 (right)",
                Asked::Rating { most: 10.0, label: Some("Score: ") },
            ),
            (pick, Asked::Pick { label: "BEST: ", most_agree: false, answers: answers.clone() }),
            (
                "Which is best?\n\n1. a\n2 more\n\n2. b\n\nend with a line `BEST: ` and the number",
                Asked::Pick {
                    label: "BEST: ",
                    most_agree: false,
                    answers: vec![(1, "a\n2 more"), (2, "b\n\nend with a line `BEST: ` and the number")],
                },
            ),
            ("Do not answer yet. Make a plan", Asked::Words),
            ("<notes>\nfour\n</notes>", Asked::Notes("four")),
            ("Q\n\nAn earlier attempt answered:\n\n4\n\nUse what is right in it, and", Asked::Revision("4")),
            ("Do not answer it yourself.\n<answer number=\"1\">\na\n</answer>", Asked::Words),
            ("Answer it yourself.\n<answer number=\"1\">\na\n</answer>", Asked::Synthesis(vec![(1, "a")])),
        ];
        for (text, wanted) in cases {
            assert_eq!(Asked::of(text), wanted, "{text}");
        }
    }
}
