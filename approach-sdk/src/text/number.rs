//! Numbers that a judge was asked for.

use std::ops::RangeInclusive;

use super::{rfind_ignoring_case, visible};

/// The rating in what a judge has written, on the scale that it was asked for: `7`, `**7**`, `7/10`, `7 out of 10`,
/// `Score: 7`, `[[7]]`. After the last word `score` or `rating` if there is one, else the number that the text begins
/// with, else the last one. One on another scale (`4/5`) is converted. None if there is no number, or one beyond the
/// scale.
///
/// ```
/// use pointsman_approach::text::score;
///
/// assert_eq!(score("I would say **7/10**.", 0.0..=10.0), Some(7.0));
/// assert_eq!(score("On a scale of 0 to 10: Score: 8.5, for 2 reasons", 0.0..=10.0), Some(8.5));
/// assert_eq!(score("11", 0.0..=10.0), None);
/// assert_eq!(score("good", 0.0..=10.0), None);
/// ```
pub fn score(text: &str, scale: RangeInclusive<f64>) -> Option<f64> {
    let text = visible(text);
    let keyword =
        ["score", "rating"].into_iter().filter_map(|word| Some(rfind_ignoring_case(text, word)? + word.len())).max();
    let named = keyword.and_then(|after| numbers(&text[after..]).into_iter().next());
    let found = named.or_else(|| {
        let all = numbers(text);
        let begins = text
            .trim_start_matches(|char: char| !char.is_alphanumeric() && char != '-')
            .starts_with(|char: char| char.is_ascii_digit() || char == '-');
        if begins { all.first().copied() } else { all.last().copied() }
    })?;
    let value = match found.of {
        Some(of) if of > 0.0 && (of - scale.end()).abs() > 1e-9 => found.value / of * scale.end(),
        _ => found.value,
    };
    scale.contains(&value).then_some(value)
}

/// The one of `count` answers that a judge has named, counted from 0, after the last `label`: `BEST: 2` is 1. Without
/// the label, the only number of the text that can be meant. None if that cannot be read.
///
/// ```
/// use pointsman_approach::text::picked;
///
/// assert_eq!(picked("Answer 1 errs. **BEST: 2**", "best", 3), Some(1));
/// assert_eq!(picked("2", "best", 3), Some(1));
/// assert_eq!(picked("1 or 2", "best", 3), None);
/// ```
pub fn picked(text: &str, label: &str, count: usize) -> Option<usize> {
    let text = visible(text);
    let place = |number: &Number| {
        let whole = number.value.fract() == 0.0 && (1.0..=count as f64).contains(&number.value);
        whole.then(|| number.value as usize - 1)
    };
    if let Some(at) = rfind_ignoring_case(text, label) {
        return numbers(&text[at + label.len()..]).first().and_then(place);
    }
    let mut places: Vec<_> = numbers(text).iter().filter_map(place).collect();
    places.dedup();
    match places[..] {
        [only] => Some(only),
        _ => None,
    }
}

#[derive(Clone, Copy)]
struct Number {
    value: f64,
    /// The whole that it is a part of, in `7/10`, `7 out of 10` and `70%`.
    of: Option<f64>,
}

/// The numbers of a text, and what each is a part of.
fn numbers(text: &str) -> Vec<Number> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = None;
    while let Some(at) = rest.find(|char: char| char.is_ascii_digit()) {
        // A dash between letters or numbers is none of the number's.
        let (head, tail) = rest.split_at(at);
        let last = head.chars().next_back().or(before);
        let sign = head.strip_suffix('-').is_some_and(|head| !head.ends_with(|char: char| char.is_alphanumeric()));
        let in_word = last.is_some_and(|char| char.is_alphabetic() || char == '_');
        let (number, after) = number(tail);
        let (of, after) = part_of(after);
        if !in_word && let Some(value) = number {
            found.push(Number { value: if sign { -value } else { value }, of });
        }
        before = tail[..tail.len() - after.len()].chars().next_back();
        rest = after;
    }
    found
}

/// The number that a text begins with, and what follows it.
fn number(text: &str) -> (Option<f64>, &str) {
    let digits = |text: &str| text.len() - text.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    let mut length = digits(text);
    if text[length..].starts_with('.') {
        let decimals = digits(&text[length + 1..]);
        length += if decimals > 0 { 1 + decimals } else { 0 };
    }
    (text[..length].parse().ok(), &text[length..])
}

/// The whole of which a number is a part, if the text after it says one, and the rest of the text.
fn part_of(text: &str) -> (Option<f64>, &str) {
    if let Some(rest) = text.strip_prefix('%') {
        return (Some(100.0), rest);
    }
    let bare = text.trim_start_matches(['*', ' ', ']', '`']);
    let of = bare.strip_prefix('/').or_else(|| bare.strip_prefix("out of"));
    let Some(of) = of.map(str::trim_start).filter(|of| of.starts_with(|char: char| char.is_ascii_digit())) else {
        return (None, text);
    };
    let (number, rest) = number(of);
    if number.is_some() { (number, rest) } else { (None, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_read_as_judges_write_them() {
        let cases = [
            ("7", Some(7.0)),
            ("7/10", Some(7.0)),
            ("**7**/10", Some(7.0)),
            ("**7**", Some(7.0)),
            ("[[7]]", Some(7.0)),
            ("7 out of 10", Some(7.0)),
            ("7.5 - for 3 reasons", Some(7.5)),
            ("Rating: 4/5", Some(8.0)),
            ("70%", Some(7.0)),
            ("Score: 3\nOn reflection: Score: **6**", Some(6.0)),
            ("On a scale from 0 to 10, I give it a 9.", Some(9.0)),
            ("The final score is 10.", Some(10.0)),
            ("<think>2? no, 3</think>8", Some(8.0)),
            ("0", Some(0.0)),
            ("-3", None),
            ("11", None),
            ("Score: high", None),
            ("", None),
            ("GPT4 is good", None),
            ("99999999999999999999999999999999999999999/0", None),
        ];
        for (text, expected) in cases {
            assert_eq!(score(text, 0.0..=10.0), expected, "{text}");
        }
        assert_eq!(score("0.8", 0.0..=1.0), Some(0.8));
        assert_eq!(score("8/10", 0.0..=1.0), Some(0.8));
    }

    #[test]
    fn a_pick_is_read_after_its_label_and_else_where_it_is_alone() {
        let cases = [
            ("BEST: 2", Some(1)),
            ("Best answer: **3**", Some(2)),
            ("1 is good. best = 2, since 1 errs", Some(1)),
            ("BEST: 0", None),
            ("BEST: 4", None),
            ("BEST: none", None),
            ("Answer 3.", Some(2)),
            ("Answer 3, yes 3", Some(2)),
            ("1, 2 or 3", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(picked(text, "best", 3), expected, "{text}");
        }
    }
}
