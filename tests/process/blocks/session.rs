//! One page, followed from its first block to its last, in one shell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::{Mock, Process, binary, fetch, tool, workspace};
use tempfile::TempDir;
use tokio::time::Instant;

use super::Block;
use super::pages::{self, Scene};
use crate::write;

/// What a session begins with. A server that a page starts in the foreground goes to the background here once it listens, and
/// ends when the next one starts, as a reader would end it.
const BEGINNING: &str = r#"set -eu
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT
server=
end_server() {
  if [ -n "$server" ]; then kill "$server"; wait "$server" || :; fi
  server=
}
in_background() {
  end_server
  # Empty before the child gets to it, or the words of the server before would count.
  : >server.log
  "$@" >server.log 2>&1 &
  server=$!
  until grep -q 'listening\|Ctrl-C' server.log; do
    kill -0 "$server" || { cat server.log; exit 1; }
    sleep 0.05
  done
}
eventually() {
  for _ in $(seq 200); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.1; done
  echo "this did not come about: $*"; cat server.log; exit 1
}
"#;

/// The program as pages call it: it listens on the port of the page although that is the default, and plays few requests.
const PROGRAM: &str = r#"#!/bin/sh
case "$1" in
serve | demo) case " $* " in *" --port "*) ;; *) set -- "$@" --port 8000 ;; esac ;;
simulate) case "$2" in scenarios/*) set -- "$@" --requests 300 ;; esac ;;
esac
exec 'BINARY' "$@"
"#;

/// An answer that refuses the request is a failure.
const CURL: &str = "#!/bin/sh\nPATH=${PATH#*:}\nexec curl --fail-with-body \"$@\"\n";

/// The beginning of a line that says which command comes next.
const MARK: &str = "=== command ";

/// The text that a command prints, by the page.
struct Expected {
    line: usize,
    command: String,
    shown: Vec<String>,
    figures_vary: bool,
}

/// Follows a page; the error says what is wrong, and where.
pub(super) async fn run(page: String, blocks: Vec<Block>) -> Result<(), String> {
    let scene = pages::scene(&page);
    let folder = TempDir::new().expect("a temporary folder");
    let mut mocks = Mocks { page: page.clone(), started: BTreeMap::new() };
    let mut variables = BTreeSet::from(["OPENAI_API_KEY".to_owned()]);
    for (name, text) in &scene.files {
        variables.extend(variables_of(text));
        write(&folder.path().join(name), &scene.replace(&mocks.stand_in(text).await));
    }
    let (mut script, mut expected) = (format!("{BEGINNING}{}\n", scene.before), Vec::new());
    for block in &blocks {
        if block.is_configuration() {
            variables.extend(variables_of(&block.text));
            let text = mocks.stand_in(&block.text).await;
            script.push_str(&format!("cat >proxy_config.yaml <<'END OF FILE'\n{text}END OF FILE\n"));
        } else if block.language == "yaml" && scene.takes_fragments {
            script.push_str(&format!("cat >>proxy_config.yaml <<'END OF FILE'\n{}END OF FILE\n", block.text));
        } else if block.is_run() {
            for command in commands(block) {
                script.push_str(&format!("printf '\\n%s\\n' '{MARK}{}'\n{}\n", expected.len(), command.command));
                expected.push(command);
            }
        }
    }
    script.push_str(scene.after);
    programs(&folder.path().join("bin"), &scene);
    write(&folder.path().join("page.sh"), &scene.replace(&script));

    let (shell, log) = (shell(folder.path(), &variables), folder.path().join("page.log"));
    let began = Instant::now();
    let (code, printed) = tokio::task::spawn_blocking(move || follow(shell, &log)).await.expect("no panic");
    show(&format!("{:5.1} s  {page}", began.elapsed().as_secs_f32()));
    // Each command's output, the first one's is what was printed before.
    let parts: Vec<&str> =
        printed.split(MARK).map(|part| part.split_once('\n').map_or(part, |(_, rest)| rest)).collect();
    if code != Some(0) {
        let at = parts.len().checked_sub(2).and_then(|last| expected.get(last));
        let at = at.map_or_else(|| page.clone(), |at| format!("{page}:{}: {}", at.line, at.command));
        return Err(format!("{at}\nends with {code:?}:\n{}", last_lines(&printed, 40)));
    }
    for (at, printed) in expected.iter().zip(parts.iter().skip(1)) {
        if let Err(line) = is_told(&scene.replace(&at.shown.join("\n")), printed, at.figures_vary) {
            return Err(format!("{page}:{}: {}\nprints no such line:\n{line}\nbut:\n{printed}", at.line, at.command));
        }
    }
    Ok(())
}

/// The commands of a block, as they go into the script.
fn commands(block: &Block) -> Vec<Expected> {
    let figures_vary = block.says("figures vary").is_some();
    if block.language != "console" {
        let command = if block.says("each line alone").is_some() {
            let lines = block.text.lines().enumerate();
            lines.map(|(index, line)| format!("(mkdir alone-{index}; cd alone-{index}\n{line}\n)\n")).collect()
        } else {
            block.text.lines().map(|line| format!("{}\n", in_background(line))).collect()
        };
        return vec![Expected { line: block.line, command, shown: Vec::new(), figures_vary }];
    }
    let mut found: Vec<Expected> = Vec::new();
    let mut goes_on = false;
    for (index, line) in block.text.lines().enumerate() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(line), _) => {
                let line_number = block.line + 1 + index;
                let (command, shown) = (in_background(line), Vec::new());
                found.push(Expected { line: line_number, command, shown, figures_vary });
            }
            (None, Some(last)) if goes_on => last.command.extend(["\n", line]),
            (None, Some(last)) => last.shown.push(line.to_owned()),
            (None, None) => {}
        }
        goes_on = (goes_on || line.starts_with("$ ")) && line.ends_with('\\');
    }
    found
}

/// A line that would serve until somebody ends it goes to the background.
fn in_background(line: &str) -> String {
    let bare = line.split(" #").next().unwrap_or_default().trim();
    let program = bare.split_whitespace().next().unwrap_or_default();
    let verb = bare.split_whitespace().nth(1).unwrap_or_default();
    let serves = program.ends_with("pointsman") && ["serve", "demo"].contains(&verb);
    if serves && !bare.ends_with('&') { format!("in_background {line}") } else { line.to_owned() }
}

/// The mock providers in the place of those that a page names.
struct Mocks {
    page: String,
    started: BTreeMap<String, Mock>,
}

impl Mocks {
    /// The text with the address of a mock for each `base_url`, which follows the provider's `name`.
    async fn stand_in(&mut self, text: &str) -> String {
        let mut parts = text.split("base_url:");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let name = result.rsplit("name:").next().unwrap_or_default().trim_start();
            let name: String = name.chars().take_while(|c| !c.is_whitespace() && !",}".contains(*c)).collect();
            if !self.started.contains_key(&name) {
                let mock = Mock::start(&name, pages::provider(&self.page, &name)).await;
                self.started.insert(name.clone(), mock);
            }
            let value = part.trim_start();
            let quote = value.chars().next().filter(|c| "'\"".contains(*c));
            let end = match quote {
                Some(quote) => value[1..].find(quote).map_or(value.len(), |at| at + 2),
                None => value.find(|c: char| c.is_whitespace() || ",}".contains(c)).unwrap_or(value.len()),
            };
            result.push_str(&format!("base_url: \"{}\"{}", self.started[&name].base_url(), &value[end..]));
        }
        result
    }
}

/// The variables that a configuration takes from the environment, also one of LiteLLM.
fn variables_of(text: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let ours = text.split("${").skip(1).map(name);
    ours.chain(text.split("os.environ/").skip(1).map(name)).filter(|name| !name.is_empty()).collect()
}

/// Puts the programs that pages call into `folder`.
fn programs(folder: &Path, scene: &Scene) {
    let program = scene.replace(PROGRAM).replace("BINARY", binary().to_str().expect("text"));
    for (name, text) in [("pointsman", program.as_str()), ("curl", CURL)] {
        write(&folder.join(name), text);
        std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(0o755)).expect("our own file");
    }
}

/// The shell that follows the page in `folder`; whoever reads the page has set `variables`.
fn shell(folder: &Path, variables: &BTreeSet<String>) -> Command {
    fetch("curl");
    let found = tool("timeout");
    let path = found.get_envs().find_map(|(name, value)| value.filter(|_| name == "PATH")).expect("a tool has a PATH");
    let folders = std::iter::once(folder.join("bin")).chain(std::env::split_paths(path));
    // Its environment holds nothing of the developer's.
    let clean = Process::command(&[]);
    let mut shell = Command::new("timeout");
    shell.args(["90", "bash", "page.sh"]).current_dir(folder).env_clear();
    shell.envs(clean.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", std::env::join_paths(folders).expect("taken from a PATH"));
    shell.env("HOME", folder).env("ROOT", workspace());
    shell.envs(variables.iter().map(|name| (name, "sk-of-an-example")));
    shell
}

/// The exit code, and all that was printed.
fn follow(mut shell: Command, log: &Path) -> (Option<i32>, String) {
    // A file, since servers in the background would keep a pipe open.
    let output = std::fs::File::create(log).expect("writable");
    shell.stdout(output.try_clone().expect("a file")).stderr(output);
    let status = shell.status().expect("timeout and bash are there");
    (status.code(), String::from_utf8_lossy(&std::fs::read(log).expect("readable")).into_owned())
}

/// Shown with `--nocapture`, and when a test fails.
#[expect(clippy::print_stderr, reason = "the test runner shows it")]
fn show(text: &str) {
    eprintln!("{text}");
}

fn last_lines(text: &str, most: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(most)..].join("\n")
}

/// True if each line that a page shows was printed, in that order; otherwise the line that was not. `...` stands for anything.
fn is_told(shown: &str, printed: &str, figures_vary: bool) -> Result<(), String> {
    let mut rest = printed.lines();
    for line in shown.lines().filter(|line| !["", "..."].contains(&line.trim())) {
        if !rest.any(|printed| is_like(line, printed, figures_vary)) {
            return Err(line.to_owned());
        }
    }
    Ok(())
}

/// True if the words of `shown` are among those of `printed`, in that order. The last one may be cut by `...`.
fn is_like(shown: &str, printed: &str, figures_vary: bool) -> bool {
    let is_id = |word: &str| word.split(|c: char| !c.is_ascii_hexdigit()).any(|run| run.len() >= 12);
    let has_digit = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    let (words, cut) = match shown.trim_end().strip_suffix("...") {
        Some(whole) => whole.rsplit_once(' ').map_or(("", whole), |(words, last)| (words, last)),
        None => (shown, ""),
    };
    let mut rest = printed.split_whitespace();
    let is_there = |word: &str| {
        rest.any(|other| {
            word == other || (is_id(word) && is_id(other)) || (figures_vary && has_digit(word) && has_digit(other))
        })
    };
    words.split_whitespace().all(is_there) && (cut.is_empty() || printed.contains(cut))
}

/// A port of this machine that nobody has.
pub(super) fn free_ports(count: usize) -> Vec<String> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("there are ports")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("bound").port().to_string()).collect()
}

#[test]
fn lines_are_like_those_that_a_page_shows() {
    assert_eq!(is_told("HTTP/1.1 200 OK\n\nx-b: 1\n", "HTTP/1.1 200 OK\r\nx-a: 2\r\nx-b: 1\r\n", false), Ok(()));
    assert_eq!(is_told("x-b: 1\nx-a: 2", "x-a: 2\nx-b: 1", false), Err("x-a: 2".to_owned()), "in that order");
    assert!(is_like("id: req_5d4de80316562b18", "id: req_0000000000000000", false));
    assert!(!is_like("took 5 ms", "took 6 ms", false) && is_like("took 5 ms", "took about 6 ms", true));
    assert!(is_like("{\"id\": \"1\", \"te...", "{\"id\": \"1\", \"text\": 2}", false));
    assert!(!is_like("{\"id\": \"1\", \"ta...", "{\"id\": \"1\", \"text\": 2}", false));
}

#[test]
fn commands_of_a_console_are_told_from_what_they_print() {
    let text = "$ one \\\n  more\nprinted\n$ pointsman serve # here\n";
    let block = Block { line: 7, language: "console".to_owned(), text: text.to_owned(), comment: None };
    let found = commands(&block);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].command.as_str(), found[0].line), ("one \\\n  more", 8));
    assert_eq!(found[0].shown, ["printed"]);
    assert_eq!(found[1].command, "in_background pointsman serve # here");
    assert_eq!(in_background("pointsman serve --port 1 &"), "pointsman serve --port 1 &");
}
