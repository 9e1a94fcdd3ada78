//! Reading what models write, which is seldom quite what they were asked for.

mod marked;
mod number;
mod solution;

pub use marked::{fenced, numbered, tagged, visible};
pub use number::{picked, score};
pub use solution::final_answer;

/// `text` up to so many bytes, and `...` where something was cut off; never within a character.
///
/// ```
/// use pointsman_approach::text::cut;
///
/// assert_eq!((cut("short", 10).as_str(), cut("für immer", 2).as_str()), ("short", "f..."));
/// ```
pub fn cut(text: &str, bytes: usize) -> String {
    let at = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (head, rest) = text.split_at(at);
    if rest.is_empty() { head.to_owned() } else { format!("{head}...") }
}

/// The place of `part` in `text`, where letters of ASCII count alike, large or small.
pub(crate) fn find_ignoring_case(text: &str, part: &str) -> Option<usize> {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    // A match of ASCII begins and ends between two characters.
    (0..(text.len() + 1).saturating_sub(part.len())).find(|at| text[*at..*at + part.len()].eq_ignore_ascii_case(part))
}

/// As [`find_ignoring_case`], the last one.
pub(crate) fn rfind_ignoring_case(text: &str, part: &str) -> Option<usize> {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    (0..(text.len() + 1).saturating_sub(part.len()))
        .rev()
        .find(|at| text[*at..*at + part.len()].eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of which texts are put together that no model should write.
    const PARTS: [&str; 42] = [
        "<think>",
        "</think>",
        "<output>",
        "</output>",
        "</OUTPUT",
        "```",
        "```rust\n",
        "~~~",
        "\n",
        "\n\n",
        " ",
        "\t",
        "1.",
        "2)",
        "- ",
        "* ",
        "**",
        "\\boxed{",
        "\\frac{",
        "}{",
        "}",
        "{",
        "####",
        "the answer is ",
        "Final answer:",
        "Score: ",
        "BEST:",
        "rating",
        "7",
        "10",
        "-",
        "/",
        ".",
        ",",
        "%",
        "out of ",
        "ä",
        "İ",
        "½",
        "７",
        "\u{feff}",
        "é",
    ];

    #[test]
    fn no_text_makes_a_reader_panic() {
        let mut dice = crate::Dice::new(3);
        for _ in 0..50_000 {
            let text: String = (0..dice.below(12)).filter_map(|_| dice.pick(&PARTS)).copied().collect();
            let _ = (visible(&text), tagged(&text, "output"), fenced(&text), numbered(&text), cut(&text, 7));
            let (rated, picked) = (score(&text, 0.0..=10.0), picked(&text, "best", 3));
            assert!(rated.is_none_or(|rated| (0.0..=10.0).contains(&rated)), "{text}");
            assert!(picked.is_none_or(|picked| picked < 3), "{text}");
            // A fraction may be longer as a number.
            if let Some(answer) = final_answer(&text) {
                assert!(!answer.is_empty() && answer.len() <= text.len() + 12, "{text}: {answer}");
            }
        }
    }
}
