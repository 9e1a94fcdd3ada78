//! The text between marks: thoughts, tags, fences, numbers of a list.

use super::{find_ignoring_case, rfind_ignoring_case};

/// The text of a model without what it thought aloud: what follows the last `</think>`, and of a thought that does not
/// end only what stands before it. Without blanks at its ends.
///
/// ```
/// use pointsman_approach::text::visible;
///
/// assert_eq!(visible("<think>2 and 2?</think>\n4"), "4");
/// assert_eq!(visible("some templates open it themselves</think> 4"), "4");
/// assert_eq!(visible("<think>and never"), "");
/// ```
pub fn visible(text: &str) -> &str {
    const CLOSE: &str = "</think>";
    let after = rfind_ignoring_case(text, CLOSE).map_or(text, |at| &text[at + CLOSE.len()..]);
    let before = find_ignoring_case(after, "<think>").map_or(after, |at| &after[..at]);
    before.trim()
}

/// The text in the first `<tag>`, up to the last `</tag>` after it, or to the end if there is none. Without blanks at
/// its ends.
///
/// ```
/// use pointsman_approach::text::tagged;
///
/// assert_eq!(tagged("<output> 4 </output> bye", "output"), Some("4"));
/// assert_eq!(tagged("<output>4", "output"), Some("4"));
/// assert_eq!(tagged("4", "output"), None);
/// ```
pub fn tagged<'t>(text: &'t str, tag: &str) -> Option<&'t str> {
    let open = format!("<{tag}>");
    let start = find_ignoring_case(text, &open)? + open.len();
    let within = &text[start..];
    let end = rfind_ignoring_case(within, &format!("</{tag}>")).unwrap_or(within.len());
    Some(within[..end].trim())
}

/// The code in the longest of the blocks that are fenced by three backticks, without the line that names its language.
/// One that is not closed goes to the end.
///
/// ```
/// use pointsman_approach::text::fenced;
///
/// assert_eq!(fenced("So:\n```python\nprint(4)\n```\nDone."), Some("print(4)"));
/// assert_eq!(fenced("print(4)"), None);
/// ```
pub fn fenced(text: &str) -> Option<&str> {
    let mut longest: Option<&str> = None;
    let mut start = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        if line.trim_start().starts_with("```") {
            match start.take() {
                Some(start) => {
                    let code = text[start..at].trim_matches('\n');
                    if longest.is_none_or(|longest| code.len() > longest.len()) {
                        longest = Some(code);
                    }
                }
                None => start = Some(next),
            }
        }
        at = next;
    }
    let unclosed = start.map(|start| text[start.min(text.len())..].trim_matches('\n'));
    let all = [longest, unclosed].into_iter().flatten();
    all.map(str::trim_end).filter(|code| !code.trim().is_empty()).max_by_key(|code| code.len())
}

/// The items of a list, each with the lines that belong to it and without its number or dash. A text without such a
/// list is one item; one without any text none.
///
/// ```
/// use pointsman_approach::text::numbered;
///
/// assert_eq!(numbered("Well:\n1. First,\n   on two lines.\n2) Second."), ["First,\non two lines.", "Second."]);
/// assert_eq!(numbered("Only this."), ["Only this."]);
/// ```
pub fn numbered(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in visible(text).lines() {
        let indented = line.starts_with([' ', '\t']);
        match (item(line.trim()), items.last_mut()) {
            (Some(item), None) => items.push(item.to_owned()),
            (Some(item), Some(_)) if !indented => items.push(item.to_owned()),
            (_, Some(last)) if !line.trim().is_empty() => {
                last.push('\n');
                last.push_str(line.trim());
            }
            _ => {}
        }
    }
    for item in &mut items {
        item.truncate(item.trim_end().len());
    }
    items.retain(|item| !item.trim().is_empty());
    if items.is_empty() && !visible(text).is_empty() { vec![visible(text).to_owned()] } else { items }
}

/// The text after the number or dash that a line begins with.
fn item(line: &str) -> Option<&str> {
    let bare = line.trim_start_matches('*');
    let digits = bare.trim_start_matches(|char: char| char.is_ascii_digit());
    if (1..=3).contains(&(bare.len() - digits.len()))
        && let Some(rest) = digits.strip_prefix(['.', ')', ':'])
        && (rest.is_empty() || rest.starts_with([' ', '\t', '*']))
    {
        return Some(rest.trim_start_matches(['*', ' ', '\t']));
    }
    let dashed = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).or_else(|| line.strip_prefix("• "));
    dashed.map(str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_not_visible_whatever_becomes_of_their_marks() {
        let cases = [
            ("plain", "plain"),
            ("<THINK>x</Think>a", "a"),
            ("<think>a</think>b<think>c</think> d ", "d"),
            ("a <think>b", "a"),
            ("<think>a</think>", ""),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(visible(text), expected, "{text}");
        }
    }

    #[test]
    fn a_tag_reaches_to_its_last_close() {
        assert_eq!(
            tagged("<output>the tag </output> is closed</output>.", "output"),
            Some("the tag </output> is closed")
        );
        assert_eq!(tagged("</output><output></output>", "output"), Some(""));
        assert_eq!(tagged("ä<OUTPUT>ö</Output>", "output"), Some("ö"));
    }

    #[test]
    fn the_longest_fenced_block_is_the_code() {
        let text = "```sh\npip install x\n```\nThen:\n~~~\n```python\nimport x\n\nprint(x.y())\n```";
        assert_eq!(fenced(text), Some("import x\n\nprint(x.y())"));
        assert_eq!(fenced("```rust\nfn main() {}"), Some("fn main() {}"));
        assert_eq!((fenced("```"), fenced("```\n```"), fenced("")), (None, None, None));
        assert_eq!(fenced("  ```\n  a\n  ```"), Some("  a"));
    }

    #[test]
    fn lists_are_read_however_they_are_numbered() {
        assert_eq!(numbered("1. a\n\n2. b\n   - b1\n   - b2\nand more"), ["a", "b\n- b1\n- b2\nand more"]);
        assert_eq!(numbered("**1.** a\n**2)** b"), ["a", "b"]);
        assert_eq!(numbered("- a\n* b\n• c"), ["a", "b", "c"]);
        assert_eq!(
            numbered("<think>1. no</think>In 2024 there were 3.5 of them."),
            ["In 2024 there were 3.5 of them."]
        );
        assert!(numbered("").is_empty() && numbered("<think>1. a").is_empty());
        assert_eq!(numbered("1. \n2."), ["1. \n2."]);
    }
}
