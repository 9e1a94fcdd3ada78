//! The guides of `docs/`, followed to the letter: all their lines for a shell, in one.

use std::net::TcpListener;
use std::path::Path;

use harness::workspace;
use tempfile::TempDir;

use super::{keep_target, shell, show};

/// The lines of a guide as one script that ends at the first that fails. Ports are replaced by free ones, and the servers end
/// with the script.
fn script(guide: &str) -> String {
    let text = std::fs::read_to_string(workspace().join("docs").join(guide)).expect("the guide is there");
    let blocks: Vec<&str> = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    let mut script = format!("set -e\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{}\n", blocks.join("\n"));
    let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("there are ports")).collect();
    for (port, listener) in ["8000", "8081", "8082"].iter().zip(&listeners) {
        let free = listener.local_addr().expect("bound").port().to_string();
        script = script.replace(port, &free);
    }
    script
}

/// What the script of a guide prints. `project` is where its `new` makes the project.
fn follow(guide: &str, project: &str) -> String {
    let outside = TempDir::new().expect("a temporary folder");
    let enter = format!("cd {project}\n");
    let script = script(guide);
    assert!(script.contains(&enter), "{script}");
    // The project is made first, since what is built for it is kept.
    let (first, then) = script.split_once(&enter).expect("just seen");
    run(first, outside.path());
    let project = outside.path().join(project);
    keep_target(&project, "guides");
    run(&format!("set -e\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{then}"), &project)
}

fn run(script: &str, folder: &Path) -> String {
    let log = folder.join("log");
    std::fs::write(folder.join("guide.sh"), script).expect("writable");
    // A file, since servers in the background would keep a pipe open.
    let output = std::fs::File::create(&log).expect("writable");
    // `jobs -p` is empty in the substitution of other shells, which have no jobs of their own there.
    let mut command = shell("exec bash guide.sh", folder);
    command.stdout(output.try_clone().expect("a file")).stderr(output);
    let status = command.status().expect("there is a shell");
    let printed = std::fs::read_to_string(&log).expect("readable");
    show(&printed);
    assert!(status.success(), "{printed}");
    printed
}

#[test]
fn the_first_approach_takes_ten_minutes() {
    let printed = follow("first-approach.md", "best_of");
    for expected in [
        "an approach, contract 0.1.x",
        "it keeps the contract: 9 claims hold",
        "it does what 1 fixture says",
        "\nIt is 4.\n",
        "best_of: 2 calls, 4 choices, ",
    ] {
        assert!(printed.contains(expected), "{expected}");
    }
    let contents = |text: &str| -> Vec<String> {
        let said = text.split("\"content\":").skip(1);
        said.filter_map(|rest| rest.trim_start().trim_start_matches('"').split('"').next().map(str::to_owned)).collect()
    };
    // Plain, by the approach, with two answers, and with two by the configuration.
    assert_eq!(contents(&printed), ["It is 5.", "It is 4.", "It is 5.", "It is 5."]);
    assert!(printed.contains("x-pointsman-approach: best_of; calls=2; choices=4; "));
}

#[test]
fn the_first_strategy_takes_ten_minutes() {
    let printed = follow("first-strategy.md", "eu-first");
    assert!(printed.contains("it keeps the contract: 9 claims hold"));
    assert!(printed.contains("x-pointsman-decision: ") && printed.contains("in the region"));
    let place = |who: &str| printed.find(&format!("Hello from {who}"));
    assert!(place("frankfurt").is_some() && place("frankfurt") < place("virginia"), "the region was changed");
}
