//! What the committed components were made of: a digest for each part of their sources, kept beside them in
//! `host/components/sources`. Where all are the same, the components are used as they are; where one differs, they are built anew.
//!
//! The digest is FNV-1a of 128 bits: it has to notice changes, not attacks, and needs no crate. That the components are what
//! the sources give is held by `make components-check`, which builds them and compares the bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The parts of the sources, with the digest of each.
pub type Parts = BTreeMap<String, String>;

/// The digests of the sources as they are, of these crates and the SDKs that they are made with.
pub fn now(root: &Path, sdks: &[&str], crates: &[String]) -> Result<Parts, String> {
    let mut parts = Parts::new();
    for folder in crates.iter().map(String::as_str).chain(sdks.iter().copied()) {
        let mut digest = Digest::new();
        digest.add(&built_of(&read(&root.join(folder).join("Cargo.toml"))?));
        digest.add_folder(&root.join(folder).join("src"))?;
        parts.insert(folder.to_owned(), digest.text());
    }
    let mut wit = Digest::new();
    wit.add_folder(&root.join("wit"))?;
    parts.insert("wit".to_owned(), wit.text());

    let mut profile = Digest::new();
    let manifest = read(&root.join("Cargo.toml"))?;
    profile.add(&sections(&manifest, |name| name == "profile.release" || name == "profile.strategy"));
    parts.insert("profile".to_owned(), profile.text());

    let mut compiler = Digest::new();
    let channel = read(&root.join("rust-toolchain.toml"))?;
    compiler.add(channel.lines().find(|line| line.starts_with("channel")).unwrap_or_default());
    parts.insert("compiler".to_owned(), compiler.text());

    let names = crates.iter().filter_map(|folder| folder.rsplit('/').next());
    let mut libraries = Digest::new();
    let needed = needed(&read(&root.join("Cargo.lock"))?, names);
    libraries.add(&needed.packages);
    let declared = sections(&manifest, |name| name == "workspace.dependencies");
    let of_ours = |line: &&str| line.split_once(" = ").is_some_and(|(name, _)| needed.names.contains(name));
    declared.lines().filter(of_ours).for_each(|line| libraries.add(line));
    parts.insert("libraries".to_owned(), libraries.text());
    Ok(parts)
}

/// The digests that were written when the components were built; none where there are no components.
pub fn recorded(file: &Path) -> Parts {
    let text = fs::read_to_string(file).unwrap_or_default();
    let parts = text.lines().filter_map(|line| line.split_once(' '));
    parts.map(|(digest, part)| (part.to_owned(), digest.to_owned())).collect()
}

/// The parts that differ, or are in one alone.
pub fn changed(recorded: &Parts, now: &Parts) -> Vec<String> {
    let all: BTreeSet<&String> = recorded.keys().chain(now.keys()).collect();
    all.into_iter().filter(|part| recorded.get(*part) != now.get(*part)).cloned().collect()
}

/// As [`recorded`] reads it.
pub fn text(parts: &Parts) -> String {
    parts.iter().map(|(part, digest)| format!("{digest} {part}\n")).collect()
}

/// Of a crate's manifest what its component is built of: neither its description nor its lints nor what its tests need.
fn built_of(manifest: &str) -> String {
    sections(manifest, |name| !matches!(name, "package" | "lints" | "dev-dependencies"))
}

/// The lines of the sections of a manifest whose names are wanted, without comments.
fn sections(manifest: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut within = false;
    let mut text = String::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            within = wanted(name);
        }
        if within {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Packages of the lock file.
struct Needed {
    names: BTreeSet<String>,
    /// Their names, versions and checksums.
    packages: String,
}

/// The packages that these and those that they need are, in the lock file. It names the needs of tests too, so some are too
/// many: a change of one of them costs a build that gives the same bytes.
fn needed<'n>(lock: &str, names: impl Iterator<Item = &'n str>) -> Needed {
    let packages: Vec<(&str, &str)> = lock
        .split("[[package]]\n")
        .skip(1)
        .filter_map(|package| Some((package.lines().next()?.strip_prefix("name = \"")?.strip_suffix('"')?, package)))
        .collect();
    let mut found = Needed { names: BTreeSet::new(), packages: String::new() };
    let mut left: Vec<String> = names.map(str::to_owned).collect();
    while let Some(name) = left.pop() {
        if !found.names.insert(name.clone()) {
            continue;
        }
        // Two versions of a package are told apart by the lock file alone; both count.
        for (_, package) in packages.iter().filter(|(known, _)| *known == name) {
            let needs = package.lines().filter_map(|line| line.trim().strip_prefix('"'));
            left.extend(needs.filter_map(|need| Some(need.split([' ', '"']).next()?.to_owned())));
        }
    }
    for (_, package) in packages.iter().filter(|(name, _)| found.names.contains(*name)) {
        let lines =
            package.lines().filter(|line| ["name", "version", "checksum"].iter().any(|key| line.starts_with(key)));
        lines.for_each(|line| found.packages.push_str(line));
    }
    found
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// FNV-1a (Fowler, Noll, Vo) of 128 bits, <http://www.isthe.com/chongo/tech/comp/fnv/>.
struct Digest(u128);

impl Digest {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    /// Adds a text and its end, so that what moves from one text to the next is a change.
    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(Self::PRIME);
        }
    }

    /// Adds the files below a folder with their paths, but for those of which nothing is in a component: tests, and the
    /// description of a package of WIT.
    fn add_folder(&mut self, folder: &Path) -> Result<(), String> {
        let mut files = Vec::new();
        list(folder, &mut files)?;
        files.sort();
        for file in files {
            let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().replace('\\', "/");
            if !["tests.rs", "wkg.toml"].contains(&name.rsplit('/').next().unwrap_or_default()) {
                self.add(&name);
                self.add(&read(&file)?);
            }
        }
        Ok(())
    }

    fn text(&self) -> String {
        format!("{:032x}", self.0)
    }
}

fn list(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let unreadable = |error| format!("cannot list {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() { list(&path, found)? } else { found.push(path) }
    }
    Ok(())
}
