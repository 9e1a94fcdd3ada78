//! Every command line that the documentation shows, and every one that help texts, messages and alerts name, is accepted by
//! the parser: no command and no flag that there is not.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Arguments;

/// A command line, and where it stands.
#[derive(Debug)]
struct Shown {
    place: String,
    text: String,
    /// True for a line to type; false for a mention, which may leave out what the command needs.
    is_whole: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host lies in the workspace").to_owned()
}

/// The files below `folder` whose names end with one of `endings`.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            files(&path, endings, found);
        } else if endings.iter().any(|ending| name.ends_with(ending)) && path.is_file() {
            found.push(path);
        }
    }
}

/// The simple commands of a text for a shell, each as its words; without redirections, comments and here-documents.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    let mut rest = text.lines();
    while let Some(line) = rest.next() {
        lines.push(line);
        if let Some((_, end)) = line.split_once("<<") {
            let end = end.trim_matches(['-', '\'', '"', ' ']);
            rest.by_ref().take_while(|line| line.trim() != end).for_each(drop);
        }
    }
    let text = lines.join("\n");
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut is_file = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let ends_word = c.is_whitespace() || ";|&()<>`".contains(c);
        match c {
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\'' => word.get_or_insert_default().extend(chars.by_ref().take_while(|c| *c != '\'')),
            '"' => word.get_or_insert_default().extend(chars.by_ref().take_while(|c| *c != '"')),
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            c if !ends_word => word.get_or_insert_default().push(c),
            _ => {}
        }
        if ends_word || chars.peek().is_none() {
            let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
            let of_redirection = matches!(c, '<' | '>') && word.as_ref().is_some_and(is_number);
            if let Some(word) = word.take_if(|_| !of_redirection)
                && !std::mem::take(&mut is_file)
            {
                words.push(word);
            }
            word = None;
            is_file |= matches!(c, '<' | '>');
            if "\n;|&()`".contains(c) || chars.peek().is_none() {
                is_file = false;
                commands.push(std::mem::take(&mut words));
            }
        }
    }
    commands
}

/// The arguments of each call of the program in a text for a shell. A variable stands for a number, which any flag takes.
fn calls(text: &str) -> Vec<Vec<String>> {
    let program = |words: &Vec<String>| {
        let at = words.iter().position(|word| word == "pointsman" || word.ends_with("/pointsman"))?;
        // The name of a package, an image or a service.
        let names = |before: &String| ["-p", "-t", "--tag", "install", "start", "reload"].contains(&before.as_str());
        let is_name = at.checked_sub(1).is_some_and(|before| names(&words[before]));
        let arguments = words[at + 1..].iter().map(|word| if word.starts_with('$') { "8000" } else { word });
        (!is_name && words.len() > at + 1).then(|| arguments.map(str::to_owned).collect())
    };
    commands(text).iter().filter_map(program).collect()
}

/// What a page shows: its blocks for a shell, and what stands between backticks.
fn of_page(place: &str, text: &str, shown: &mut Vec<Shown>) {
    let mut prose = String::new();
    let mut block: Option<(String, String, usize)> = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut block, fence) {
            (None, Some(language)) => block = Some((language.to_owned(), String::new(), index + 1)),
            (Some(_), Some(_)) => {
                let (language, text, line) = block.take().expect("just seen");
                let place = format!("{place}:{line}");
                match language.as_str() {
                    "sh" | "bash" => shown.push(Shown { place, text, is_whole: true }),
                    // What follows `$ `, with the lines that continue it, is typed; the rest is printed.
                    "console" => {
                        let typed = text.split("\n$ ").map(|part| part.trim_start_matches("$ "));
                        for part in typed {
                            let mut lines = part.split_inclusive('\n');
                            let mut command = String::new();
                            for line in &mut lines {
                                command.push_str(line);
                                if !line.ends_with("\\\n") {
                                    break;
                                }
                            }
                            shown.push(Shown { place: place.clone(), text: command, is_whole: true });
                        }
                    }
                    _ => of_prose(&place, &text, shown),
                }
            }
            (Some((_, text, _)), None) => text.extend([line.trim_start_matches("  "), "\n"]),
            (None, None) if line.trim().is_empty() => {
                of_prose(&format!("{place}, before line {}", index + 1), &prose, shown);
                prose.clear();
            }
            (None, None) => prose.extend([line, "\n"]),
        }
    }
    of_prose(&format!("{place}, at its end"), &prose, shown);
}

/// The text between backticks.
fn of_prose(place: &str, text: &str, shown: &mut Vec<Shown>) {
    for code in text.split('`').skip(1).step_by(2) {
        let text = code.split_whitespace().collect::<Vec<_>>().join(" ").replace("\\|", "|");
        shown.push(Shown { place: place.to_owned(), text, is_whole: false });
    }
}

/// What sources name between backticks, which may go on in the next line of a comment.
fn of_source(place: &str, text: &str, shown: &mut Vec<Shown>) {
    for (at, _) in text.match_indices("`pointsman ") {
        let code = text[at + 1..].split('`').next().unwrap_or_default();
        let words = code.split_whitespace().filter(|word| !["///", "//!", "//", "\\"].contains(word));
        let named = words.collect::<Vec<_>>().join(" ").replace("\\\"", "\"");
        let line = text[..at].lines().count();
        shown.push(Shown { place: format!("{place}:{line}"), text: named, is_whole: false });
    }
}

#[test]
fn every_command_line_of_the_documentation_and_the_help_is_one() {
    let mut shown = Vec::new();
    let mut pages = Vec::new();
    files(&root(), &[".md"], &mut pages);
    for page in &pages {
        let text = std::fs::read_to_string(page).expect("text");
        of_page(&page.strip_prefix(root()).expect("below").display().to_string(), &text, &mut shown);
    }
    let pages = shown.len();
    let mut sources = Vec::new();
    files(&root().join("host/src"), &[".rs"], &mut sources);
    for source in sources.iter().filter(|source| !source.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(source).expect("text");
        of_source(&source.strip_prefix(root()).expect("below").display().to_string(), &text, &mut shown);
    }
    // An alert's description ends with the command that tells more.
    let alerts = std::fs::read_to_string(root().join("docs/alerts.yaml")).expect("text");
    for (index, line) in alerts.lines().enumerate().filter(|(_, line)| line.contains("description: ")) {
        let Some(at) = line.find("pointsman ") else { continue };
        let text = line[at..].trim_end_matches('"').replace("{{ $labels.provider }}", "NAME");
        shown.push(Shown { place: format!("docs/alerts.yaml:{}", index + 1), text, is_whole: true });
    }

    let (mut parsed, mut wrong) = (0, Vec::new());
    for Shown { place, text, is_whole } in &shown {
        for arguments in calls(text) {
            parsed += 1;
            let Err(error) = Arguments::try_parse_from(std::iter::once("pointsman".to_owned()).chain(arguments)) else {
                continue;
            };
            let is_fine = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
                ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => !is_whole,
                // A mention may end with a flag, without its value.
                ErrorKind::InvalidValue => !is_whole && error.to_string().contains("a value is required"),
                _ => false,
            };
            if !is_fine {
                wrong.push(format!("{place}: {text}\n{error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pages > 500 && parsed > 150, "{parsed} of {} texts are command lines", shown.len());
}

#[test]
fn the_words_of_a_shell_are_told_apart() {
    let all = "RATE=2 pointsman simulate a.yaml --json > out.json 2>log && cd x # pointsman no\n\
               for at in one two; do pointsman replicas --url $at; done\ncat > f <<'END'\npointsman not this\nEND\n\
               source <(pointsman completions bash)\ncargo build -p pointsman\npointsman why \\\n  'a b' \"c d\"";
    let called: Vec<String> = calls(all).iter().map(|words| words.join("_")).collect();
    assert_eq!(called, ["simulate_a.yaml_--json", "replicas_--url_8000", "completions_bash", "why_a b_c d"]);
}
