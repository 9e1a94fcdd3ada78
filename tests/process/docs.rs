//! The documentation: its links lead somewhere, its book is complete, and its configurations are ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use harness::{Process, workspace};
use tempfile::TempDir;

use super::{NAME, run, write};

/// The pages for people, with their texts.
fn pages() -> BTreeMap<PathBuf, String> {
    let root = workspace();
    let in_folder = |folder: &str| -> Vec<PathBuf> {
        let files = std::fs::read_dir(root.join(folder)).expect("a folder").flatten().map(|file| file.path());
        files.filter(|file| file.extension().is_some_and(|kind| kind == "md")).collect()
    };
    let folders = ["", "docs", "packaging", "strategies", "approaches", "guest-sdk", "approach-sdk"];
    let pages = folders.into_iter().flat_map(in_folder);
    pages.map(|page| (page.clone(), std::fs::read_to_string(&page).expect("text"))).collect()
}

/// The lines outside of blocks of code, each with its number, and without code between backticks.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    let mut is_code = false;
    let lines = text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    });
    lines.map(|(number, line)| (number, line.split('`').step_by(2).collect::<Vec<_>>().join("")))
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => c.to_lowercase().next(),
        _ => None,
    };
    heading.trim_start_matches('#').trim().chars().filter_map(kept).collect()
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let pages = pages();
    let anchors_of = |page: &Path| -> BTreeSet<String> {
        let text = pages.get(page).cloned().unwrap_or_default();
        text.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
    };
    let mut broken = Vec::new();
    for (page, text) in &pages {
        for (number, line) in prose(text) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.starts_with("http") || target.starts_with("mailto:") {
                    continue;
                }
                let (file, place) = target.split_once('#').map_or((target, None), |(file, place)| (file, Some(place)));
                let at = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
                let real = at.canonicalize().unwrap_or_default();
                let has_place = |place: &str| anchors_of(&real).contains(place);
                if !real.exists() || place.is_some_and(|place| !has_place(place)) {
                    broken.push(format!("{}:{number}: {target}", page.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_book_has_every_page_of_the_documentation() {
    let folder = workspace().join("docs");
    let summary = std::fs::read_to_string(folder.join("SUMMARY.md")).expect("text");
    for page in pages().keys().filter(|page| page.parent() == Some(&folder) && !page.ends_with("SUMMARY.md")) {
        let name = page.file_name().expect("a name").to_string_lossy();
        assert!(summary.contains(&format!("({name})")), "{name} is not in docs/SUMMARY.md");
    }
}

#[test]
fn every_whole_configuration_in_the_documentation_passes_the_check() {
    let folder = TempDir::new().expect("a temporary folder");
    let (mut checked, mut wrong) = (0, Vec::new());
    for (page, text) in pages() {
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next()) {
            if !block.starts_with("providers:") {
                continue;
            }
            let file = folder.path().join(NAME);
            write(&file, block);
            let mut check = Process::command(&["check", "--config", file.to_str().expect("text")]);
            for variable in block.split("${").skip(1).filter_map(|rest| rest.split(['}', ':']).next()) {
                check.env(variable, "sk-of-an-example");
            }
            let (code, _, stderr) = run(check);
            checked += 1;
            if code != Some(0) {
                wrong.push(format!("{}:\n{block}\n{stderr}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(checked >= 2, "{checked} were found");
}
