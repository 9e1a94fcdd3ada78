//! Cuts a long text into pieces.

/// The text, and what is asked about it: what follows the last `Query:`, else the last paragraph, and before it the
/// first one if that is short. Where no end is short, the last bytes are shown, and all is text.
pub(crate) fn parted(text: &str) -> (&str, String) {
    const MARK: &str = "query:";
    const SHORT: usize = 1_000;
    const HEADING: usize = 200;
    let bytes = text.as_bytes();
    let marked = bytes.windows(MARK.len()).rposition(|window| window.eq_ignore_ascii_case(MARK.as_bytes()));
    if let Some(at) = marked
        && let query = text[at + MARK.len()..].trim()
        && !query.is_empty()
        && query.len() <= SHORT
    {
        return (text[..at].trim_end(), query.to_owned());
    }
    let text = text.trim();
    let (mut document, mut query) = (text, Vec::new());
    if let Some((before, last)) = document.trim_end().rsplit_once('\n')
        && last.len() <= SHORT
    {
        document = before;
        query.push(last.trim());
    }
    if let Some((first, after)) = document.trim_start().split_once('\n')
        && first.len() <= HEADING
    {
        document = after;
        query.insert(0, first.trim());
    }
    if query.is_empty() {
        let end = ceil(text, text.len().saturating_sub(SHORT / 2));
        return (text, format!("What is asked at the end of this text: ...{}", &text[end..]));
    }
    (document, query.join("\n\n"))
}

/// Pieces of at most `size` bytes that make up the text, cut between paragraphs if there is a place in the second half
/// of a piece, else between lines, sentences or words. Pieces of blanks are left out.
pub(crate) fn cut(text: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > size {
        let most = floor(rest, size).max(rest.chars().next().map_or(1, char::len_utf8));
        let window = &rest[..most];
        let places = ["\n\n", "\n", ". ", " "].into_iter().filter_map(|end| Some(window.rfind(end)? + end.len()));
        let at = places.into_iter().find(|at| *at * 2 >= most).unwrap_or(most);
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn ceil(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_stands_behind_its_mark_or_at_the_ends() {
        assert_eq!(parted("A text.\nQuery: Who? "), ("A text.", "Who?".to_owned()));
        let paragraph = "word ".repeat(300);
        let text = format!("Summarise this:\n{paragraph}\nIn one sentence.");
        assert_eq!(parted(&text), (paragraph.as_str(), "Summarise this:\n\nIn one sentence.".to_owned()));
        let (document, query) = parted(paragraph.trim());
        assert!(document == paragraph.trim() && query.ends_with("word word") && query.len() < 600);
    }

    #[test]
    fn pieces_make_up_the_text_and_end_where_it_pauses() {
        let text = "One. Two.\n\nThree is a longer paragraph. It has two sentences.\n\nFour.";
        for size in 1..80 {
            let pieces = cut(text, size);
            assert!(pieces.iter().all(|piece| piece.len() <= size), "{size}");
            let letters = |text: &str| text.chars().filter(|char| !char.is_whitespace()).collect::<String>();
            assert_eq!(letters(&pieces.concat()), letters(text));
        }
        assert_eq!(cut(text, 62)[0], "One. Two.\n\nThree is a longer paragraph. It has two sentences.\n");
        assert_eq!(cut("äöü", 1), ["ä", "ö", "ü"]);
    }
}
