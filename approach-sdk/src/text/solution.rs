//! The answer at the end of a reasoning, in a form that can be compared.

use super::{rfind_ignoring_case, visible};

/// The answer that a reasoning comes to, as it can be compared with others: of a number its value (`1,000.0` is `1000`,
/// `1/2` is `0.5`), of an option its letter (`(b)` is `B`), of a text its words in small letters. In this order: the
/// last `\boxed{}`, what follows the last `final answer` or `answer is`, what follows the last `####`, a last line or a
/// whole text that is nothing but an option, a number or up to three words. None if none of these is there.
///
/// ```
/// use pointsman_approach::text::final_answer;
///
/// assert_eq!(final_answer("So x = \\boxed{1{,}000}.").as_deref(), Some("1000"));
/// assert_eq!(final_answer("The answer is 3. No, the answer is **4**.").as_deref(), Some("4"));
/// assert_eq!(final_answer("I choose\n(b)").as_deref(), Some("B"));
/// assert_eq!(final_answer("There is much to be said about it."), None);
/// ```
pub fn final_answer(text: &str) -> Option<String> {
    let text = visible(text);
    let found = boxed(text).or_else(|| announced(text)).or_else(|| marked(text)).or_else(|| bare(text));
    found.map(normal).filter(|answer| !answer.is_empty())
}

/// The text in the last `\boxed{}` that is closed.
fn boxed(text: &str) -> Option<&str> {
    const OPEN: &str = "\\boxed{";
    let mut until = text.len();
    while let Some(at) = text[..until].rfind(OPEN) {
        let within = &text[at + OPEN.len()..];
        let mut depth = 1_u32;
        for (place, byte) in within.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(&within[..place]).filter(|answer| !answer.trim().is_empty());
            }
        }
        until = at;
    }
    None
}

/// The words that announce an answer.
const PHRASES: [&str; 3] = ["final answer", "answer is", "answer:"];

/// The text after the last announcement, to the end of its sentence; on the next line if this one says nothing.
fn announced(text: &str) -> Option<&str> {
    let after =
        PHRASES.into_iter().filter_map(|phrase| Some(rfind_ignoring_case(text, phrase)? + phrase.len())).max()?;
    let mut lines = text[after..].lines().map(|line| {
        let line =
            line.trim_start_matches(|char: char| char.is_whitespace() || matches!(char, ':' | '*' | '=' | '#' | '_'));
        let line = line.strip_prefix("is ").unwrap_or(line);
        line.trim_start_matches([' ', ':', '*', '='])
    });
    let line = lines.find(|line| !line.trim().is_empty())?;
    Some(sentence(line)).filter(|answer| !answer.is_empty())
}

/// The text after the last `####`, as GSM8K has it.
fn marked(text: &str) -> Option<&str> {
    let (_, after) = text.rsplit_once("####")?;
    let line = after.lines().next()?.trim();
    (!line.is_empty()).then_some(line)
}

/// A last line that is an answer and nothing else.
fn bare(text: &str) -> Option<&str> {
    let line = text.lines().next_back()?.trim();
    let plain = normal(line);
    let is_only = text.trim() == line;
    let announces = PHRASES.iter().any(|phrase| rfind_ignoring_case(line, phrase).is_some());
    let is_short = plain.split_whitespace().count() <= 3 && plain.len() <= 40 && !announces && !line.contains('\\');
    let stands_out = option(line).is_some() || value(strip(line)).is_some();
    (stands_out || is_only && is_short).then_some(line).filter(|_| !plain.is_empty())
}

/// The first sentence of a line: to a full stop that is followed by a blank or nothing.
fn sentence(line: &str) -> &str {
    let ends = line.match_indices(['.', ';', '!', '?']).find(|(at, stop)| {
        let after = line[at + stop.len()..].chars().next();
        after.is_none_or(|char| char.is_whitespace() || matches!(char, '*' | '"' | ')' | '\u{201d}'))
    });
    ends.map_or(line, |(at, _)| &line[..at]).trim()
}

/// An answer in the form in which it is compared.
fn normal(answer: &str) -> String {
    let bare = strip(answer);
    if let Some(letter) = option(bare) {
        return letter.to_string();
    }
    if let Some(value) = value(bare) {
        return value;
    }
    let words = bare.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    words.trim_matches(['.', ',', ' ']).to_owned()
}

/// Without the marks around it: those of emphasis, of formulas and of quotations.
fn strip(answer: &str) -> &str {
    let mut bare = answer.trim();
    loop {
        let before = bare;
        bare = bare.trim_matches(|char: char| {
            char.is_whitespace() || matches!(char, '*' | '`' | '"' | '\'' | '$' | '_' | '\u{201c}' | '\u{201d}')
        });
        bare = bare.strip_suffix(['.', ',', ';', ':']).unwrap_or(bare);
        for (open, close) in
            [("\\(", "\\)"), ("\\[", "\\]"), ("\\text{", "}"), ("\\mathrm{", "}"), ("\\boxed{", "}"), ("[[", "]]")]
        {
            bare = bare.strip_prefix(open).and_then(|bare| bare.strip_suffix(close)).unwrap_or(bare);
        }
        if bare == before {
            return bare;
        }
    }
}

/// The letter of an option, A to E, if the answer is nothing else or begins with one that is marked as such.
fn option(answer: &str) -> Option<char> {
    let answer = strip(answer);
    let word = answer.strip_prefix("option ").or_else(|| answer.strip_prefix("Option ")).unwrap_or(answer);
    let inner = word.strip_prefix('(').unwrap_or(word);
    let letter = inner.chars().next()?.to_ascii_uppercase();
    let rest = inner.get(1..)?;
    let is_marked = rest.starts_with([')', '.', ':'])
        && (inner.len() < word.len() || inner.starts_with(|c: char| c.is_ascii_uppercase()));
    (('A'..='E').contains(&letter) && (rest.is_empty() || is_marked)).then_some(letter)
}

/// The number that an answer is, written in one way; a percentage stays one, and a unit of money is left out.
fn value(answer: &str) -> Option<String> {
    let answer = answer.replace("{,}", "").replace("\\,", "").replace(['$', '€', '£', ' '], "");
    let answer = answer.replace("\\dfrac", "\\frac").replace("\\%", "%");
    let (answer, percent) = answer.strip_suffix('%').map_or((answer.as_str(), ""), |number| (number, "%"));
    let (sign, answer) = answer.strip_prefix(['-', '\u{2212}']).map_or((1.0, answer), |rest| (-1.0, rest));
    let fraction = answer.strip_prefix("\\frac{").and_then(|rest| rest.strip_suffix('}')?.split_once("}{"));
    let value = match fraction.or_else(|| answer.split_once('/')) {
        Some((above, below)) => plain(above)? / plain(below).filter(|below| *below != 0.0)?,
        None => plain(answer)?,
    };
    // Nine digits are what is compared; a zero has no sign.
    let digits = format!("{:.9}", sign * value + 0.0);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    Some(format!("{digits}{percent}"))
}

/// A number of digits, with commas between thousands.
fn plain(number: &str) -> Option<f64> {
    let grouped = number.split_once(',').is_some_and(|(head, _)| {
        let whole = number.split('.').next().unwrap_or(number);
        (1..=3).contains(&head.len()) && whole.split(',').skip(1).all(|group| group.len() == 3)
    });
    let number = if grouped { number.replace(',', "") } else { number.to_owned() };
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f64 = number.parse().ok().filter(|_| is_plain && number.len() <= 40)?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(cases: &[(&str, Option<&str>)]) {
        for (text, expected) in cases {
            assert_eq!(final_answer(text).as_deref(), *expected, "{text}");
        }
    }

    #[test]
    fn what_is_boxed_goes_first_and_the_last_of_it() {
        answers(&[
            ("\\boxed{3} or \\boxed{\\frac{1}{2}}, the answer is 7", Some("0.5")),
            ("$\\boxed{\\text{Paris}}$", Some("paris")),
            ("\\boxed{\\boxed{", None),
            ("\\boxed{} The answer is 5", Some("5")),
        ]);
    }

    #[test]
    fn the_last_announcement_counts() {
        answers(&[
            ("The answer is 3.\nWait. The final answer is: **$42.50**.", Some("42.5")),
            ("Final answer:\n\n**B) Berlin**", Some("B")),
            ("the answer is Paris, of course. It is big.", Some("paris, of course")),
            ("So the answer is 1,234.", Some("1234")),
            ("the answer is 12,5", Some("12,5")),
            ("Answer: 50%", Some("50%")),
            ("2+2 gives\n#### 4", Some("4")),
            ("the answer is", None),
        ]);
    }

    #[test]
    fn a_last_line_or_a_short_text_is_an_answer_by_itself() {
        answers(&[
            ("4", Some("4")),
            ("-4.0", Some("-4")),
            ("C", Some("C")),
            ("(c)", Some("C")),
            ("Let me think about it.\nC.", Some("C")),
            ("Let me think about it.\n12", Some("12")),
            ("New York", Some("new york")),
            ("A good question that nobody can answer", None),
            ("Let me think.\nIt may be so.", None),
            ("", None),
            ("<think>the answer is 4</think>", None),
        ]);
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let forms = ["1000", "1,000", "1000.00", "$1,000", "1{,}000", "2000/2", "\\frac{2000}{2}", "**1000**", "1000."];
        for form in forms {
            assert_eq!(final_answer(&format!("The answer is {form}")).as_deref(), Some("1000"), "{form}");
        }
        answers(&[("0", Some("0")), ("-0", Some("0")), ("1/0", Some("1/0")), ("1/3", Some("0.333333333"))]);
    }
}
