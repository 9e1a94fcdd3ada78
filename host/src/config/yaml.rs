//! Parses the file into a tree in which every value knows its line.
//!
//! The tree is built from the parser's events, because the value types of YAML libraries carry no lines, and a second
//! parse to find the lines could disagree with the first. Aliases and merge keys (`<<`) are resolved here, within
//! bounds that protect against small files with deeply nested aliases.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::node::{Key, Node, NodeKind, Scalar};
use super::problem::{Findings, Place, Reported, join};

/// The most values that stand in a file; a hundred thousand keys of clients, each with models, limits and a budget, fit.
const MAX_VALUES: usize = 2_000_000;

/// The most values that its aliases stand for; a long text counts as several. A thousand routes with ten targets each fit.
const MAX_COST: usize = 200_000;

/// The most keys in one mapping, since each is compared with all others.
const MAX_KEYS: usize = 5_000;

/// The most levels of nesting, so that recursion over the tree is safe.
const MAX_DEPTH: usize = 64;

/// The most bytes to parse, in repeated attempts to repair the layout.
const MAX_LAYOUT: usize = 16 << 20;

/// Reads the only document of `text`; `None` when it is empty.
///
/// A syntax error ends the reading; duplicate keys and unknown tags are reported and skipped.
pub(crate) fn read(text: &str, findings: &mut Findings) -> Result<Option<Node>, Reported> {
    let mut tree = Tree { findings, open: Vec::new(), anchors: HashMap::new(), root: None, values: 0, cost: 0 };
    let mut documents = 0;
    // If the last line has no line break, the parser counts one line too many.
    let last = 1 + text.matches(['\n', '\r']).count();
    for event in Parser::new_from_str(&with_legal_layout(text.strip_prefix('\u{feff}').unwrap_or(text))) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let line = error.marker().line().min(last);
                let (line, column, help) = remedy(text, error.info(), line, error.marker().col() + 1);
                let at = Place { line, ..Place::file() };
                let message = format!("is not valid YAML: {} (column {column})", error.info());
                return Err(tree.findings.problem(&at, message, help.map(str::to_owned)));
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let at = Place { line: span.start.line().min(last), ..Place::file() };
                let help = "everything after `---` would be ignored; put it into one document".to_owned();
                return Err(tree.findings.problem(&at, "must hold one YAML document, not several", Some(help)));
            }
        }
        tree.event(event, span.start.line().min(last))?;
    }
    Ok(tree.root.filter(|root| !root.is_null()))
}

/// The line and column of a mistake, which may be before the place where the parser noticed it, and the remedy.
fn remedy(text: &str, info: &str, line: usize, column: usize) -> (usize, usize, Option<&'static str>) {
    if info.contains("tab") {
        // The parser names the line before the tab, or a column behind it.
        let tab_in_indent = |line: &str| {
            let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
            line.get(..indent).and_then(|indent| indent.find('\t'))
        };
        let found = (line..).zip(text.lines().skip(line.saturating_sub(1)));
        let found = found.filter_map(|(line, text)| Some((line, tab_in_indent(text)? + 1))).next();
        let (line, column) = found.unwrap_or((line, column));
        return (line, column, Some("use spaces; YAML does not allow tabs for indentation"));
    }
    let help = if info.contains("did not find expected '-' indicator") || info.contains("did not find expected key") {
        Some("this line is not indented like the lines that it belongs to")
    } else if info.contains("unexpected end of stream") {
        Some("a quote or a bracket that begins here is not closed")
    } else if info.contains("cannot start any token") {
        Some("a text that begins with this character needs quotes")
    } else {
        None
    };
    (line, column, help)
}

/// The text, in which lines inside `[...]` or `{...}` that are indented too little are moved to the right.
///
/// YAML 1.2 strictly requires such lines, often a lone `]`, to be indented more than the block around them, and this
/// parser insists on it. Most parsers, OptiLLM's among them, do not, and white space between brackets has no meaning,
/// so such files are accepted here. Lines keep their numbers.
fn with_legal_layout(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    let mut parsed = 0;
    while parsed < MAX_LAYOUT {
        parsed += text.len() + 1;
        let error = Parser::new_from_str(&text).find_map(Result::err);
        let Some(error) = error
            .filter(|error| matches!(error.info(), "invalid indentation" | "invalid indentation in flow construct"))
        else {
            break;
        };
        let before = text.split_inclusive('\n').take(error.marker().line().saturating_sub(1));
        let start = before.map(str::len).sum();
        text.to_mut().insert_str(start, &" ".repeat(2 * MAX_DEPTH));
    }
    text
}

/// A list or mapping that is still being read.
struct Open {
    line: usize,
    anchor: usize,
    nodes: Nodes,
}

enum Nodes {
    List(Vec<Node>),
    /// The second field is a key that waits for its value.
    Map(Vec<(Key, Node)>, Option<Key>),
}

struct Tree<'a> {
    findings: &'a mut Findings,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    /// The values that were read so far.
    values: usize,
    /// Those that aliases have stood for so far.
    cost: usize,
}

impl Tree<'_> {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), Reported> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let forced = tag.as_deref().is_some_and(|tag| self.forces_text(tag, line));
                let plain = style == ScalarStyle::Plain && !forced;
                let scalar = Scalar { text: text.into_owned(), plain };
                self.add(Node::new(line, NodeKind::Scalar(scalar)), anchor)
            }
            Event::SequenceStart(anchor, tag) => self.begin(Nodes::List(Vec::new()), anchor, tag.as_deref(), line),
            Event::MappingStart(anchor, tag) => self.begin(Nodes::Map(Vec::new(), None), anchor, tag.as_deref(), line),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { line, anchor, nodes }) = self.open.pop() else { return Ok(()) };
                let kind = match nodes {
                    Nodes::List(items) => NodeKind::List(items),
                    Nodes::Map(entries, _) => NodeKind::Map(self.merge(entries)),
                };
                self.add(Node::new(line, kind), anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(mut node) => {
                    node.line = line;
                    self.cost = self.cost.saturating_add(node.cost);
                    self.add(node, 0)
                }
                None => {
                    let at = self.place(line);
                    Err(self.findings.problem(&at, "refers to an anchor that is not complete here", None))
                }
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn begin(&mut self, nodes: Nodes, anchor: usize, tag: Option<&Tag>, line: usize) -> Result<(), Reported> {
        if let Some(tag) = tag {
            self.forces_text(tag, line);
        }
        if self.open.len() >= MAX_DEPTH {
            let at = Place { line, ..Place::file() };
            return Err(self.findings.problem(&at, format!("is nested more than {MAX_DEPTH} levels deep"), None));
        }
        self.open.push(Open { line, anchor, nodes });
        Ok(())
    }

    /// Adds a complete node to the tree: to a list, under the key that waits for it, or as a key itself.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Reported> {
        self.values = self.values.saturating_add(1);
        let at = Place { line: node.line, ..Place::file() };
        if self.values > MAX_VALUES {
            return Err(self.findings.problem(&at, format!("holds more than {MAX_VALUES} values"), None));
        }
        if self.cost > MAX_COST {
            return Err(self.findings.problem(
                &at,
                format!("holds more than {MAX_COST} values once its aliases are resolved"),
                None,
            ));
        }
        if self.open.len() + node.depth > MAX_DEPTH {
            return Err(self.findings.problem(&at, format!("is nested more than {MAX_DEPTH} levels deep"), None));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.nodes) {
            None => self.root = Some(node),
            Some(Nodes::List(items)) => items.push(node),
            Some(Nodes::Map(_, waiting)) => match (waiting.take(), node.kind) {
                (Some(key), kind) => self.entry(key, Node { kind, ..node })?,
                (None, NodeKind::Scalar(Scalar { text, plain })) => {
                    let merge = plain && text == "<<";
                    *waiting = Some(Key { text, line: node.line, merge });
                }
                (None, NodeKind::List(_) | NodeKind::Map(_)) => {
                    let help = "a text that begins with `{` or `[` needs quotes; a variable is written ${NAME}, not {{ NAME }}";
                    return Err(self.findings.problem(&at, "has a key that is not a text", Some(help.to_owned())));
                }
            },
        }
        Ok(())
    }

    fn entry(&mut self, key: Key, node: Node) -> Result<(), Reported> {
        let at = self.place(0);
        let Some(Open { nodes: Nodes::Map(entries, _), .. }) = self.open.last_mut() else { return Ok(()) };
        if entries.len() >= MAX_KEYS {
            let at = Place { line: key.line, ..at };
            return Err(self.findings.problem(&at, format!("holds more than {MAX_KEYS} keys in one mapping"), None));
        }
        match entries.iter().find(|(other, _)| other.text == key.text) {
            Some((first, _)) => {
                let message = format!("is given twice, first on line {}", first.line);
                self.findings.problem(&at.key(&key.text, key.line), message, None);
            }
            None => entries.push((key, node)),
        }
        Ok(())
    }

    /// Replaces `<<` by the entries of the mappings that it names; existing keys win.
    fn merge(&mut self, entries: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
        let (merges, mut all): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key.merge);
        for (key, node) in merges {
            let sources = match node.kind {
                NodeKind::List(items) => items,
                NodeKind::Map(_) | NodeKind::Scalar(_) => vec![node],
            };
            for source in sources {
                if let NodeKind::Map(entries) = source.kind {
                    for (key, node) in entries {
                        if !all.iter().any(|(other, _)| other.text == key.text) {
                            all.push((key, node));
                        }
                    }
                } else {
                    let at = self.place(0).key("<<", key.line);
                    self.findings.problem(&at, "must be an alias of a mapping, or a list of such aliases", None);
                }
            }
        }
        all
    }

    /// True when `tag` makes its scalar a text. Tags that call for code of another language are problems.
    fn forces_text(&mut self, tag: &Tag, line: usize) -> bool {
        match (tag.handle.as_str(), tag.suffix.as_str()) {
            ("tag:yaml.org,2002:", "str") | ("", "tag:yaml.org,2002:str") | ("" | "!", "" | "!") => true,
            ("tag:yaml.org,2002:", "null" | "bool" | "int" | "float" | "seq" | "map") => false,
            _ => {
                let at = self.place(line);
                let help = "to use an environment variable, write ${NAME}".to_owned();
                self.findings.problem(&at, "has a YAML tag that is not supported", Some(help));
                false
            }
        }
    }

    /// The key path of the value that is being read, at `line`.
    fn place(&self, line: usize) -> Place {
        let key = self.open.iter().fold(String::new(), |path, open| match &open.nodes {
            Nodes::List(items) => format!("{path}[{}]", items.len()),
            Nodes::Map(_, Some(key)) => join(&path, &key.text),
            Nodes::Map(_, None) => path,
        });
        Place { key, line }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn tree(text: &str) -> Node {
        let mut findings = Findings::new(Path::new("x.yaml"));
        let root = read(text, &mut findings).unwrap().unwrap();
        findings.conclude(|_| Some(())).unwrap();
        root
    }

    /// Keys and values with their lines, in order.
    fn flat(node: &Node) -> String {
        match &node.kind {
            NodeKind::Scalar(scalar) => format!("{}@{}", scalar.text, node.line),
            NodeKind::List(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(" ")),
            NodeKind::Map(entries) => {
                let entries = entries.iter().map(|(key, node)| format!("{}@{}:{}", key.text, key.line, flat(node)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn every_value_knows_its_line() {
        assert_eq!(flat(&tree("a:\n  b: 1\n  c:\n    - x\n    -\n      y\n")), "{a@1:{b@2:1@2 c@3:[x@4 y@6]}}");
        assert_eq!(flat(&tree("# ä\n---\na: |\n  1\n  2\nb: c\n")), "{a@3:1\n2\n@4 b@6:c@6}");
    }

    #[test]
    fn brackets_may_be_laid_out_in_any_way() {
        let text = "p:\n  - m: [\n  a,\nb, {\n}\n]\n    n:\n      {\n    x: [\n    ]}\n";
        assert_eq!(flat(&tree(text)), "{p@1:[{m@2:[a@3 b@4 {}] n@7:{x@9:[]}}]}");
        let mut findings = Findings::new(Path::new("x.yaml"));
        assert!(read("p:\n  - m: [\n]\n  n: 1\n", &mut findings).is_err(), "blocks must be laid out right");
    }

    #[test]
    fn merged_keys_yield_to_those_that_are_there() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {x: 3, z: 4}\nc:\n  <<: [*a, *b]\n  y: 5\n\"<<\": 6\n";
        let c = "{y@5:5@5 x@1:1@1 z@2:4@2}";
        assert_eq!(flat(&tree(text)), format!("{{a@1:{{x@1:1@1 y@1:2@1}} b@2:{{x@2:3@2 z@2:4@2}} c@3:{c} <<@6:6@6}}"));
    }

    #[test]
    fn tags_of_the_core_schema_are_understood() {
        let root = tree("[!!str 1, ! 2, !!int 3, !!map {}, !<tag:yaml.org,2002:str> 4]");
        let NodeKind::List(items) = &root.kind else { panic!("no list") };
        let described: Vec<_> = items.iter().map(Node::describe).collect();
        assert_eq!(described, ["a text", "a text", "a number", "a mapping", "a text"]);
    }
}
