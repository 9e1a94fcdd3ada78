//! Reads a long question piece by piece, takes notes of what matters, and answers from the notes.
//!
//! Russak et al., "Writing in the Margins: Better Inference Pattern for Long Context Retrieval", 2024
//! (<https://arxiv.org/abs/2408.14906>), without access to the model's cache. One choice for each piece, and one more,
//! of depth 2; a question that is no longer than a piece is asked as it is. The answer streams.
//!
//! The query about the text stands after `Query:`, else in its last paragraph, and in its first one if that is short. A
//! piece that is too long for the model is read in halves, and one that cannot be read left out.

mod pieces;

use pieces::{cut, parted};
use pointsman_approach::{Answer, Approach, Call, Count, Failure, FailureKind, Llm, Problem, Request};
use serde::Deserialize;

/// The options of `memory`, as the operator writes them under `approaches.memory.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The most bytes that a piece has.
    pub piece: Count<1_000, 1_000_000>,
    /// The most notes that are kept: those that have most to do with what is asked.
    pub notes: Count<1, 100>,
    /// The model that reads; the client's if none.
    pub reader: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { piece: Count::new(20_000), notes: Count::new(10), reader: None }
    }
}

/// A piece below this many bytes is not halved any more.
const SMALLEST: usize = 500;

const READ: &str = "Below is a piece of a long text, and what somebody wants to know of it. Does the piece help with \
                    that? If so, reply `YES: ` and note down all that helps, with names and numbers as they stand \
                    there, for whoever has not read the piece. If not, reply `NO`.";

const NOTES: &str = "These are notes from a long text, in its order, made with this in mind:";

/// The approach `memory`.
#[derive(Debug)]
pub struct Memory;

impl Approach for Memory {
    type Options = Options;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("piece", "How many bytes a piece has at most, 1000 to 1000000."),
        ("notes", "How many notes are kept at most, 1 to 100."),
    ];
    const TOOLS: bool = true;

    fn run(request: &Request, options: Options, llm: &Llm<'_>) -> Result<Answer, Problem> {
        let text = request.text();
        if text.len() <= options.piece.get() as usize {
            llm.deliver(request.ask())?;
            return Ok(Answer::delivered());
        }
        let (document, query) = parted(text);
        let (mut size, most) = (options.piece.get() as usize, reads_left(llm).max(1));
        let mut pieces = cut(document, size);
        while pieces.len() > most {
            size += size / 4 + 1;
            pieces = cut(document, size);
        }
        let notes = read(&pieces, &query, &options, llm)?;
        let notes = relevant(notes, &query, options.notes.get() as usize);
        let question = if notes.is_empty() {
            format!(
                "{query}\n\n(A long text that came with this holds nothing that helps, as far as its readers found.)"
            )
        } else {
            format!("{query}\n\n{NOTES}\n\n{}", notes.join("\n\n"))
        };
        llm.progress("answering from notes");
        llm.deliver(request.ask().question(question))?;
        Ok(Answer::delivered())
    }
}

/// The number of pieces that may still be read, so that one question is left for the answer.
fn reads_left(llm: &Llm<'_>) -> usize {
    llm.left().calls.saturating_sub(1) as usize
}

/// The notes that the pieces are worth, in their order. Fails if no piece could be read.
fn read(pieces: &[&str], query: &str, options: &Options, llm: &Llm<'_>) -> Result<Vec<String>, Failure> {
    let mut todo: Vec<&str> = pieces.to_vec();
    // Each at the place of its piece in the text, by its address there.
    let mut notes: Vec<(usize, String)> = Vec::new();
    let (mut was_read, mut failure) = (false, None);
    while !todo.is_empty() {
        llm.progress(format!("reading {} pieces", todo.len()));
        let ask = |piece: &&str| {
            let call = Call::new().user(format!("{READ}\n\nWhat is wanted:\n{query}\n\nThe piece:\n{piece}"));
            call.model(options.reader.as_deref()).step("reading")
        };
        let mut halves = Vec::new();
        for (piece, result) in todo.iter().zip(llm.ask_all(todo.iter().map(ask))) {
            match result {
                Ok(choices) => {
                    was_read = true;
                    notes.extend(noted(choices.one().visible()).map(|note| (piece.as_ptr().addr(), note.to_owned())));
                }
                Err(failed) => {
                    if failed.kind == FailureKind::TooLong && piece.len() > SMALLEST {
                        halves.extend(cut(piece, piece.len() / 2 + 1));
                    }
                    failure.get_or_insert(failed);
                }
            }
        }
        halves.truncate(reads_left(llm));
        todo = halves;
    }
    notes.sort_by_key(|(place, _)| *place);
    match failure {
        Some(failure) if !was_read => Err(failure),
        _ => Ok(notes.into_iter().map(|(_, note)| note).collect()),
    }
}

/// The note of a reader, unless it says no.
fn noted(reply: &str) -> Option<&str> {
    let marks: &[char] = &['*', '`', '"', ' ', '\n'];
    let bare = reply.trim_start_matches(marks);
    let starts_with = |word: &str| {
        let head = bare.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word))?;
        let rest = &bare[head.len()..];
        (!rest.starts_with(char::is_alphanumeric)).then_some(rest)
    };
    if starts_with("no").is_some() {
        return None;
    }
    let note = starts_with("yes").map_or(reply, |rest| rest.trim_start_matches([':', '.', ',', '*', '`', ' ', '\n']));
    Some(note.trim()).filter(|note| !note.is_empty())
}

/// The notes that have most to do with what is asked, in their order: by the words they share with it, of which rare
/// ones count for more (inverse document frequency).
fn relevant(notes: Vec<String>, query: &str, most: usize) -> Vec<String> {
    if notes.len() <= most {
        return notes;
    }
    let words = |text: &str| -> std::collections::BTreeSet<String> {
        text.split(|char: char| !char.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let all: Vec<_> = notes.iter().map(|note| words(note)).collect();
    let weight = |word: &String| {
        let holding = all.iter().filter(|note| note.contains(word)).count();
        (all.len() as f64 / (1.0 + holding as f64)).ln().max(0.0)
    };
    let weighted: Vec<_> = words(query).into_iter().map(|word| (weight(&word), word)).collect();
    let worth = |place: &usize| -> f64 {
        weighted.iter().filter(|(_, word)| all[*place].contains(word)).map(|(weight, _)| weight).sum()
    };
    let mut places: Vec<_> = (0..notes.len()).collect();
    places.sort_by(|one, other| worth(other).total_cmp(&worth(one)));
    places.truncate(most);
    let is_kept = |(place, note): (usize, String)| places.contains(&place).then_some(note);
    notes.into_iter().enumerate().filter_map(is_kept).collect()
}

pointsman_approach::export!(Memory);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_approach::testing::{
        Failure as Failed, FailureKind, Harness, Question, Reply, Script, battery, play_fixtures,
    };

    /// Twenty-five paragraphs of about 110 bytes each, and a question.
    fn long() -> String {
        let paragraph =
            |number: usize| format!("Chapter {number}. {}\n\n", "It rained, and nothing happened. ".repeat(3));
        (1..=25).map(paragraph).collect::<String>() + "Query: Who came in chapter 7?"
    }

    fn harness() -> Harness<Memory> {
        Harness::new().question(&long()).config(r#"{"piece": 1000}"#)
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Memory>("fixtures");
    }

    #[test]
    fn it_stands_the_battery() {
        battery::<Memory>();
    }

    #[test]
    fn pieces_are_read_at_once_and_the_answer_comes_from_the_notes() {
        let script = Script::new().reply("YES: Anna came.").at("reading").to("Chapter 7.");
        let script = script.reply("NO").at("reading").times(9).reply("Anna.").at("answer");
        let run = harness().streaming().run(script);
        assert_eq!((run.text(), run.streamed(), run.depth()), ("Anna.", true, 2));
        assert_eq!(run.asked("answer"), format!("Who came in chapter 7?\n\n{NOTES}\n\nAnna came."));
    }

    #[test]
    fn a_piece_that_is_too_long_is_read_in_halves() {
        let mut model = |question: &Question| match question.step.as_str() {
            "reading" if question.text.len() > 1_100 => Err(Failed::new(FailureKind::TooLong)),
            "reading" => Ok(vec![Reply::new(format!("Yes, {} bytes.", question.text.len()))]),
            _ => Ok(vec![Reply::new("Anna.")]),
        };
        let run = harness().run_against(&mut model);
        assert_eq!((run.text(), run.depth()), ("Anna.", 3));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_unless_nothing_can() {
        let script =
            Script::new().fail(FailureKind::Throttled).at("reading").reply("YES: Anna.").at("reading").times(9);
        assert_eq!(harness().run(script.reply("Anna.").at("answer")).text(), "Anna.");
        let failing = Script::new().fail(FailureKind::Unavailable).at("reading").times(9);
        assert_eq!(harness().run(failing).failed(), FailureKind::Unavailable);
        let nothing =
            Script::new().reply("No.").at("reading").times(9).reply("Nobody.").to("holds nothing").at("answer");
        assert_eq!(harness().run(nothing).text(), "Nobody.");
    }

    #[test]
    fn there_are_no_more_pieces_than_the_budget_allows() {
        let run =
            harness().budget(3).run(Script::new().reply("NO").at("reading").times(2).reply("Nobody.").at("answer"));
        assert_eq!(run.calls(), 3);
    }

    #[test]
    fn the_notes_that_share_rare_words_with_the_query_are_kept() {
        let notes = ["the cat came", "the dog came", "the bird sang", "the fish came"].map(str::to_owned).to_vec();
        assert_eq!(relevant(notes, "Did the bird or the cat sing?", 2), ["the cat came", "the bird sang"]);
    }

    #[test]
    fn a_reader_says_no_or_what_it_has_found() {
        let cases = [
            ("NO", None),
            ("**No**, nothing.", None),
            ("YES: Anna", Some("Anna")),
            ("yes.\nAnna", Some("Anna")),
            ("Nobody but Anna", Some("Nobody but Anna")),
            ("Yes", None),
            ("", None),
        ];
        for (reply, expected) in cases {
            assert_eq!(noted(reply), expected, "{reply}");
        }
    }
}
