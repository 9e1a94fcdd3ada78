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
