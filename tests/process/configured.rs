//! What `check` says of the approaches in a configuration.

use harness::{Mock, Process, Reply, build_component, workspace};

use super::{NAME, folder_with, run};

/// What `check` says of a configuration with these lines more.
async fn checked(more: &str, component: Option<&[u8]>) -> (Option<i32>, String) {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, more);
    if let Some(component) = component {
        std::fs::create_dir(folder.path().join("approaches")).expect("writable");
        std::fs::write(folder.path().join("approaches/mine.wasm"), component).expect("writable");
    }
    let config = folder.path().join(NAME);
    let (code, stdout, stderr) = run(Process::command(&["check", "--config", config.to_str().expect("text")]));
    (code, stdout + &stderr)
}

#[tokio::test]
async fn every_mistake_about_approaches_is_reported_at_once_with_its_place() {
    let more = "
approach: {default: bonn, allow: [bon, mao]}
approaches:
  bon: {config: {best_of_n: many}}
  mine: {}
";
    let (code, said) = checked(more, None).await;
    assert_eq!(code, Some(2), "{said}");
    for expected in [
        "approach.allow[1]: no approach is called `mao`; there are bon,",
        "approach.default: The approach `bonn` is not available here. Available approaches: bon, proxy, none.",
        "approaches.mine: no approach is called `mine`",
        "or put its file at approaches/mine.wasm",
        "approaches.bon.config: best_of_n: invalid type: string \"many\", expected a whole number from 1 to 64",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[tokio::test]
async fn a_file_beside_the_configuration_is_loaded_and_named() {
    let asker = build_component(&workspace().join("tests/fixtures/components/asker"), "fixtures");
    let asker = std::fs::read(asker).expect("built");
    let (code, said) = checked("", Some(&asker)).await;
    assert!(code == Some(0) && said.contains("approaches from files: mine"), "{said}");
    let (code, said) = checked("", Some(b"nothing")).await;
    assert!(code == Some(2) && said.contains("approaches.mine: does not load: is not WebAssembly"), "{said}");
}
