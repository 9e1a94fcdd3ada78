//! Regular expressions for graders: the usual subset, and no more steps than can be afforded.
//!
//! `. [a-z] [^a] \d \w \s \b ^ $ ( ) (?: ) | * + ? {m,n}`, lazy ones too, and `(?i)` at the beginning. It tries one way after
//! the other; a pattern that would try for ever finds nothing.

/// The most steps of one search.
const STEPS: u32 = 1_000_000;

/// The deepest nesting of groups.
const DEPTH: u32 = 50;

/// The largest count in `{m,n}`.
const MOST: u32 = 1000;

/// A pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    ways: Vec<Vec<Node>>,
    ignores_case: bool,
}

#[derive(Clone, Debug)]
enum Node {
    /// One character of these ranges, or of none of them.
    Set(Vec<(char, char)>, bool),
    Any,
    Start,
    End,
    /// A border of a word, or none.
    Border(bool),
    Group(Vec<Vec<Node>>),
    Repeat {
        node: Box<Node>,
        least: u32,
        most: u32,
        lazy: bool,
    },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (ignores_case, text) = text.strip_prefix("(?i)").map_or((false, text), |rest| (true, rest));
        let mut reader = Reader { chars: text.chars().collect(), at: 0 };
        let ways = reader.ways(0)?;
        if reader.at < reader.chars.len() {
            return Err("a `)` has no `(`".to_owned());
        }
        Ok(Self { ways, ignores_case })
    }

    /// True when it is found anywhere in the text.
    pub fn is_in(&self, text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        let mut search = Search { chars: &chars, ignores_case: self.ignores_case, steps: STEPS };
        (0..=chars.len()).any(|start| search.any(&self.ways, start, &mut |_, _| true))
    }
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn takes(&mut self, char: char) -> bool {
        let found = self.peek() == Some(char);
        self.at += usize::from(found);
        found
    }

    fn ways(&mut self, depth: u32) -> Result<Vec<Vec<Node>>, String> {
        if depth > DEPTH {
            return Err("its groups are nested too deep".to_owned());
        }
        let (mut ways, mut way) = (Vec::new(), Vec::new());
        loop {
            match self.peek() {
                None | Some(')') => break,
                Some('|') => {
                    self.at += 1;
                    ways.push(std::mem::take(&mut way));
                }
                Some(_) => {
                    let node = self.node(depth)?;
                    way.push(self.repeated(node)?);
                }
            }
        }
        ways.push(way);
        Ok(ways)
    }

    fn node(&mut self, depth: u32) -> Result<Node, String> {
        Ok(match self.next() {
            Some('.') => Node::Any,
            Some('^') => Node::Start,
            Some('$') => Node::End,
            Some('(') => {
                if self.takes('?') && !self.takes(':') {
                    return Err("of the groups that begin with `(?` only `(?:` is known".to_owned());
                }
                let ways = self.ways(depth + 1)?;
                if !self.takes(')') {
                    return Err("a `(` is not closed".to_owned());
                }
                Node::Group(ways)
            }
            Some('[') => self.set()?,
            Some('\\') => match self.next() {
                Some('b') => Node::Border(true),
                Some('B') => Node::Border(false),
                Some(char) => {
                    let (ranges, inverted) = class(char)?;
                    Node::Set(ranges, inverted)
                }
                None => return Err("it ends with `\\`".to_owned()),
            },
            Some(char @ ('*' | '+' | '?')) => return Err(format!("`{char}` has nothing to repeat")),
            Some(char) => Node::Set(vec![(char, char)], false),
            None => return Err("it ends too early".to_owned()),
        })
    }

    fn set(&mut self) -> Result<Node, String> {
        let inverted = self.takes('^');
        let mut ranges = Vec::new();
        loop {
            let first = match self.next() {
                None => return Err("a `[` is not closed".to_owned()),
                Some(']') if !ranges.is_empty() => return Ok(Node::Set(ranges, inverted)),
                Some('\\') => {
                    let (mut more, is_inverted) = class(self.next().ok_or("it ends with `\\`")?)?;
                    if is_inverted {
                        return Err("a class such as \\D cannot stand in `[]`".to_owned());
                    }
                    if more.len() != 1 || more[0].0 != more[0].1 {
                        ranges.append(&mut more);
                        continue;
                    }
                    more[0].0
                }
                Some(char) => char,
            };
            let is_range = self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|next| *next != ']');
            if !is_range {
                ranges.push((first, first));
                continue;
            }
            self.at += 1;
            let last = match self.next() {
                Some('\\') => self.next().ok_or("it ends with `\\`")?,
                Some(char) => char,
                None => return Err("a `[` is not closed".to_owned()),
            };
            if last < first {
                return Err(format!("`{first}-{last}` is no range"));
            }
            ranges.push((first, last));
        }
    }

    fn repeated(&mut self, node: Node) -> Result<Node, String> {
        let (least, most) = match self.peek() {
            Some('*') => (0, u32::MAX),
            Some('+') => (1, u32::MAX),
            Some('?') => (0, 1),
            Some('{') if self.chars.get(self.at + 1).is_some_and(char::is_ascii_digit) => {
                let rest: String = self.chars[self.at + 1..].iter().collect();
                let (counts, _) = rest.split_once('}').ok_or("a `{` is not closed")?;
                let count = |text: &str| text.parse().ok().filter(|count: &u32| *count <= MOST);
                let read = match counts.split_once(',') {
                    None => count(counts).map(|count| (count, count)),
                    Some((least, "")) => count(least).map(|least| (least, u32::MAX)),
                    Some((least, most)) => count(least).zip(count(most)).filter(|(least, most)| least <= most),
                };
                self.at += counts.chars().count() + 1;
                read.ok_or_else(|| format!("`{{{counts}}}` is no count of at most {MOST}"))?
            }
            _ => return Ok(node),
        };
        self.at += 1;
        let lazy = self.takes('?');
        if matches!(self.peek(), Some('*' | '+')) {
            return Err("what is repeated cannot be repeated again without a group".to_owned());
        }
        Ok(Node::Repeat { node: Box::new(node), least, most, lazy })
    }
}

/// The characters that a letter behind `\` stands for; true if all but these.
fn class(char: char) -> Result<(Vec<(char, char)>, bool), String> {
    let ranges = match char.to_ascii_lowercase() {
        'd' => vec![('0', '9')],
        'w' => vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_'), ('\u{c0}', '\u{24f}')],
        's' => vec![(' ', ' '), ('\t', '\r'), ('\u{a0}', '\u{a0}')],
        _ => {
            let plain = match char {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                char if char.is_ascii_alphanumeric() => return Err(format!("`\\{char}` is not known")),
                char => char,
            };
            return Ok((vec![(plain, plain)], false));
        }
    };
    Ok((ranges, char.is_ascii_uppercase()))
}

struct Search<'t> {
    chars: &'t [char],
    ignores_case: bool,
    steps: u32,
}

/// The rest of a search, behind a place.
type Then<'f> = &'f mut dyn FnMut(&mut Search<'_>, usize) -> bool;

impl Search<'_> {
    fn any(&mut self, ways: &[Vec<Node>], at: usize, then: Then<'_>) -> bool {
        ways.iter().any(|way| self.all(way, at, then))
    }

    fn all(&mut self, nodes: &[Node], at: usize, then: Then<'_>) -> bool {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            return false;
        }
        let Some((first, rest)) = nodes.split_first() else { return then(self, at) };
        match first {
            Node::Group(ways) => self.any(ways, at, &mut |search, at| search.all(rest, at, then)),
            Node::Repeat { node, least, most, lazy } => {
                self.repeat(node, (*least, *most, *lazy), at, &mut |search, at| search.all(rest, at, then))
            }
            single => self.single(single, at).is_some_and(|at| self.all(rest, at, then)),
        }
    }

    fn repeat(&mut self, node: &Node, (least, most, lazy): (u32, u32, bool), at: usize, then: Then<'_>) -> bool {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            return false;
        }
        if least == 0 && lazy && then(self, at) {
            return true;
        }
        if most > 0 {
            let next = (least.saturating_sub(1), if most == u32::MAX { most } else { most - 1 }, lazy);
            // What takes nothing is not repeated for ever.
            let mut again = |search: &mut Search<'_>, after: usize| {
                (after > at || least > 0) && search.repeat(node, next, after, then)
            };
            if self.all(std::slice::from_ref(node), at, &mut again) {
                return true;
            }
        }
        least == 0 && !lazy && then(self, at)
    }

    fn single(&self, node: &Node, at: usize) -> Option<usize> {
        let here = self.chars.get(at).copied();
        let is_word = |char: Option<&char>| char.is_some_and(|char| char.is_alphanumeric() || *char == '_');
        match node {
            Node::Start => (at == 0).then_some(at),
            Node::End => (at == self.chars.len()).then_some(at),
            Node::Border(wanted) => {
                let before = at.checked_sub(1).and_then(|before| self.chars.get(before));
                ((is_word(before) != is_word(self.chars.get(at))) == *wanted).then_some(at)
            }
            Node::Any => here.filter(|char| *char != '\n').map(|_| at + 1),
            Node::Set(ranges, inverted) => {
                let within = |char: char| ranges.iter().any(|(first, last)| (*first..=*last).contains(&char));
                let either = |char: char| {
                    within(char)
                        || self.ignores_case && (char.to_lowercase().any(within) || char.to_uppercase().any(within))
                };
                here.filter(|char| either(*char) != *inverted).map(|_| at + 1)
            }
            Node::Group(_) | Node::Repeat { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_patterns_are_found() {
        let cases = [
            (r"^\d+$", "42", true),
            (r"^\d+$", "42a", false),
            (r"\b(yes|no)\b", "well, yes.", true),
            (r"\b(yes|no)\b", "nothing", false),
            ("(?i)paris", "PARIS", true),
            ("colou?r", "color", true),
            ("a{2,3}b", "xaaab", true),
            ("^a{2,3}b", "aaaab", false),
            ("[^a-c]x", "ax dx", true),
            ("[^a-c]x", "ax bx", false),
            (r"[\d.]+%", "about 12.5%", true),
            ("(ab)*c", "ababc", true),
            ("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
            ("a.*?b$", "a b b", true),
            ("", "", true),
            (r"x\{1\}", "x{1}", true),
        ];
        for (pattern, text, found) in cases {
            assert_eq!(Pattern::parse(pattern).expect(pattern).is_in(text), found, "{pattern} {text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in ["(", ")", "[a", "*a", "a**", r"\", "(?=a)", "a{3,2}", "[z-a]", r"\q", "a{2000}"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Pattern::parse(&"(".repeat(100_000)).is_err());
    }
}
