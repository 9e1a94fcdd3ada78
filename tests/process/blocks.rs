//! The blocks of commands in the documentation: each is run here as a reader would, from the first of its page to the last, or
//! another test follows it, or a comment above it says why nobody does.
//!
//! A page is one session of a shell in a folder of its own, where its whole configurations are written as they come, with mock
//! providers in the place of the vendors. Comments directly above a block, which no reader of the page sees, tell what is
//! special:
//!
//! - `<!-- not run: REASON -->`;
//! - `<!-- followed by tests/FILE.rs: TEST -->`;
//! - `<!-- each line alone -->`: they are alternatives, each in a folder of its own;
//! - `<!-- figures vary -->`: words with a digit need not be the same ones.

mod pages;
mod session;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use harness::workspace;

/// Pages all of whose blocks a test elsewhere follows, and that test.
const FOLLOWED: [(&str, &str, &str); 11] = [
    ("docs/first-strategy.md", "tests/authors/guides.rs", "the_first_strategy_takes_ten_minutes"),
    ("docs/first-approach.md", "tests/authors/guides.rs", "the_first_approach_takes_ten_minutes"),
    ("host/templates/rust/README.md", "tests/authors/main.rs", "a_project_in_rust_becomes_a_strategy"),
    ("host/templates/js/README.md", "tests/authors/main.rs", "a_project_in_javascript_becomes_a_strategy"),
    ("host/templates/python/README.md", "tests/authors/main.rs", "a_project_in_python_becomes_a_strategy"),
    (
        "host/templates/cargo-component/README.md",
        "tests/authors/main.rs",
        "a_project_for_cargo_component_becomes_a_strategy",
    ),
    ("host/templates/approach/rust/README.md", "tests/authors/approaches.rs", "a_project_in_rust_becomes_an_approach"),
    (
        "host/templates/approach/js/README.md",
        "tests/authors/approaches.rs",
        "a_project_in_javascript_becomes_an_approach",
    ),
    (
        "host/templates/approach/python/README.md",
        "tests/authors/approaches.rs",
        "a_project_in_python_becomes_an_approach",
    ),
    ("packaging/python/README.md", "tests/packages/installed.rs", "a_wheel_brings_the_program_and_a_module"),
    (
        "packaging/npm/pointsman/README.md",
        "tests/packages/installed.rs",
        "a_package_of_npm_starts_the_program_for_this_platform",
    ),
];

/// A block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    /// The number of its first line, that of the fence.
    line: usize,
    language: String,
    text: String,
    /// The comment directly above it.
    comment: Option<String>,
}

impl Block {
    fn is_of_commands(&self) -> bool {
        ["sh", "bash", "console"].contains(&self.language.as_str())
    }

    /// True for a whole configuration.
    fn is_configuration(&self) -> bool {
        self.language == "yaml" && self.text.starts_with("providers:")
    }

    /// The text behind `beginning` in its comment.
    fn says(&self, beginning: &str) -> Option<&str> {
        self.comment.as_deref()?.strip_prefix(beginning)
    }

    fn is_run(&self) -> bool {
        self.is_of_commands() && self.says("not run").or(self.says("followed by")).is_none()
    }
}

/// The blocks of a page, in order.
fn blocks(text: &str) -> Vec<Block> {
    let (mut found, mut open, mut above) = (Vec::new(), None::<Block>, "");
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, Some(language)) => {
                let comment = above.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
                let comment = comment.map(|text| text.trim().to_owned());
                open = Some(Block { line: index + 1, language: language.to_owned(), text: String::new(), comment });
            }
            (None, None) => {}
        }
        above = line;
    }
    assert!(open.is_none(), "a block has no end: {open:?}");
    found
}

/// All pages below the root by their paths there, with their blocks.
fn pages() -> Vec<(String, Vec<Block>)> {
    let mut files = Vec::new();
    find(&workspace(), &mut files);
    files.sort();
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).expect("text");
        let name = file.strip_prefix(workspace()).expect("below the root").display().to_string();
        (name, blocks(&text))
    };
    files.iter().map(read).collect()
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            find(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

fn is_followed(page: &str) -> bool {
    FOLLOWED.iter().any(|(followed, ..)| *followed == page)
}

/// The targets of the Makefile.
fn goals() -> BTreeSet<String> {
    let makefile = std::fs::read_to_string(workspace().join("Makefile")).expect("there is a Makefile");
    let rules = makefile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let names = rules.filter_map(|line| line.split_once(':')).filter(|(_, rest)| !rest.starts_with('='));
    names.flat_map(|(names, _)| names.split_whitespace().map(str::to_owned)).collect()
}

#[test]
fn every_block_of_commands_is_run_or_says_why_not() {
    let goals = goals();
    let (mut wrong, mut count) = (Vec::new(), 0);
    let exists = |file: &str, test: &str| {
        let source = std::fs::read_to_string(workspace().join(file)).unwrap_or_default();
        source.contains(&format!("fn {test}("))
    };
    for (page, blocks) in pages() {
        for block in blocks {
            let mut complain = |what: &str| wrong.push(format!("{page}:{}: {what}", block.line));
            let is_command = |line: &str| {
                ["$ ", "pointsman ", "curl ", "make ", "cargo ", "docker "].iter().any(|word| line.starts_with(word))
            };
            if block.language.is_empty() && block.text.lines().any(is_command) {
                complain("commands stand in a block without a language: write ```sh or ```console");
            }
            if !block.is_of_commands() {
                continue;
            }
            count += 1;
            let wanted = block.text.lines().filter_map(|line| line.strip_prefix("make "));
            let wanted = wanted.filter_map(|line| line.split(['#', '&', ';']).next()).flat_map(str::split_whitespace);
            for goal in wanted.filter(|goal| !goals.contains(*goal)) {
                complain(&format!("the Makefile has no target {goal}"));
            }
            if let Some(reason) = block.says("not run") {
                let reason = reason.trim_start_matches(':').trim();
                if reason.split_whitespace().count() < 2 {
                    complain("the comment gives no reason: <!-- not run: REASON -->");
                }
            } else if let Some(named) = block.says("followed by ") {
                if !named.split_once(": ").is_some_and(|(file, test)| exists(file, test)) {
                    complain(&format!("there is no such test: {named}"));
                }
            } else if let Some(other) = block.comment.as_deref()
                && !["each line alone", "figures vary"].contains(&other)
            {
                complain(&format!("the comment is none that this test knows: {other}"));
            } else if !is_followed(&page) && !pages::is_known(&page) {
                complain(
                    "nothing runs this block: add the page to tests/process/blocks/pages.rs, or say why not above it",
                );
            }
        }
    }
    for (page, file, test) in FOLLOWED {
        if !exists(file, test) {
            wrong.push(format!("{page} is said to be followed by {test} of {file}, which is not there"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "{count} blocks were found");
}

#[tokio::test]
async fn every_block_of_commands_does_what_its_page_says() {
    let run = |blocks: &[Block]| blocks.iter().any(Block::is_run);
    let pages: Vec<_> = pages().into_iter().filter(|(page, blocks)| !is_followed(page) && run(blocks)).collect();
    let sessions = pages.into_iter().map(|(page, blocks)| harness::spawn(session::run(page, blocks)));
    let mut wrong = Vec::new();
    for session in sessions.collect::<Vec<_>>() {
        if let Err(problem) = session.await.expect("no panic") {
            wrong.push(problem);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn blocks_are_found_with_the_comments_above_them() {
    let text = "a\n<!-- not run: it is one -->\n```sh\nx\n```\n\n```\ny\n```\n   ```yaml\nproviders:\n```\n";
    let found = blocks(text);
    assert_eq!(found.iter().map(|block| block.line).collect::<Vec<_>>(), [3, 7, 10]);
    assert_eq!(found[0].says("not run"), Some(": it is one"));
    assert_eq!(found[0].text, "x\n");
    assert!(!found[0].is_run() && !found[1].is_of_commands() && found[2].is_configuration());
}
