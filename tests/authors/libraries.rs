//! The libraries for authors as a registry would take them.

use harness::workspace;
use tempfile::TempDir;

use super::{must, shell};

#[test]
fn the_libraries_for_authors_can_be_published_and_bring_their_contracts_along() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = folder.path().display();
    let libraries = "-p pointsman-fixture -p pointsman-guest -p pointsman-approach";
    // What they compile to is what the other tests are about.
    must(
        &format!("cargo publish --dry-run --no-verify --allow-dirty --locked --target-dir '{target}' {libraries}"),
        &workspace(),
    );
    for (library, contract) in [("guest", "wit/strategy.wit"), ("approach", "wit/approach.wit")] {
        let list = format!(
            "tar -tzf package/tmp-crate/pointsman-{library}-*.crate || tar -tzf package/pointsman-{library}-*.crate"
        );
        let output = shell(&list, folder.path()).output().expect("there is a shell");
        let files = String::from_utf8_lossy(&output.stdout).into_owned();
        for file in [contract, "README.md", "src/lib.rs"] {
            assert!(
                files.contains(file),
                "{library} has no {file}:\n{files}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn the_contracts_are_described_for_a_registry() {
    let read = |file: &str| std::fs::read_to_string(workspace().join(file)).expect("it is there");
    let value = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let licence = value(&read("Cargo.toml"), "license");
    for (folder, contract) in [("wit", "strategy.wit"), ("wit/approach", "approach.wit")] {
        let described = read(&format!("{folder}/wkg.toml"));
        assert!(described.contains("[metadata]\n") && value(&described, "description").len() > 20, "{described}");
        assert_eq!(value(&described, "licenses"), licence, "{folder}");
        // A package of its own, with a version, that takes nothing from other packages, which wkg would have to fetch.
        let text = read(&format!("{folder}/{contract}"));
        let package = text.lines().find_map(|line| line.strip_prefix("package pointsman:")).unwrap_or_default();
        assert_eq!(package.split_once('@').map(|(_, version)| version.split('.').count()), Some(3), "{package}");
        let foreign = text.lines().map(str::trim).find(|line| {
            ["use ", "import ", "export ", "include "].iter().any(|word| line.starts_with(word)) && line.contains('@')
        });
        assert_eq!(foreign, None, "{contract}");
    }
}
