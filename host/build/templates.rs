//! Writes the table of what `pointsman strategy new` and `pointsman approach new` put into a project: the templates, the
//! contract, and the SDK, which is not published and so goes along as sources. Apart from the build of the components,
//! which needs none of this.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Projects of one kind.
struct Kind {
    /// The beginning of the names in the table.
    prefix: &'static str,
    /// The folder of the templates below `host/templates`.
    templates: &'static str,
    languages: &'static [&'static str],
    /// The crate that a project in Rust stands on; what it needs from this repository follows it.
    sdk: &'static str,
    /// The file of the contract below `wit`.
    contract: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        prefix: "",
        templates: ".",
        languages: &["cargo-component", "common", "js", "python", "rust"],
        sdk: "guest-sdk",
        contract: "strategy.wit",
    },
    Kind {
        prefix: "approach-",
        templates: "approach",
        languages: &["common", "js", "python", "rust"],
        sdk: "approach-sdk",
        contract: "approach/approach.wit",
    },
];

/// Path in the project, and the file to embed.
type Files = BTreeMap<String, PathBuf>;

/// Writes `templates.rs` into `out`.
pub fn write(root: &Path, out: &Path) -> Result<(), String> {
    let mut table = String::new();
    for kind in &KINDS {
        let Kind { prefix, templates, languages, sdk, contract } = kind;
        for language in *languages {
            let folder = root.join("host/templates").join(templates).join(language);
            println!("cargo::rerun-if-changed={}", folder.display());
            let mut files = Files::new();
            collect(&folder, "", &mut files)?;
            let renamed = files.into_iter().map(|(name, file)| (as_in_project(&name), file)).collect();
            constant(&mut table, &format!("{prefix}{language}"), &renamed);
        }
        let contract = root.join("wit").join(contract);
        let mut vendored = Files::new();
        vendored.insert("LICENSE".to_owned(), root.join("LICENSE"));
        vendor(root, sdk, &contract, out, &mut vendored)?;
        constant(&mut table, &format!("{prefix}sdk"), &vendored);
        let name = identifier(&format!("{prefix}contract"));
        let _ = writeln!(table, "pub static {name}: &str = include_str!({:?});", contract.display().to_string());
    }
    fs::write(out.join("templates.rs"), table).map_err(|error| format!("cannot write the templates: {error}"))
}

fn constant(table: &mut String, name: &str, files: &Files) {
    let _ = writeln!(table, "pub static {}: &[(&str, &str)] = &[", identifier(name));
    for (name, file) in files {
        let _ = writeln!(table, "    ({name:?}, include_str!({:?})),", file.display().to_string());
    }
    let _ = writeln!(table, "];");
}

fn identifier(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// The name of a file in a project. Files that tools would take for their own in this repository have another name
/// here.
fn as_in_project(name: &str) -> String {
    match name {
        "gitignore" => ".gitignore".to_owned(),
        name => name.strip_suffix(".in").unwrap_or(name).to_owned(),
    }
}

/// All files below `folder`, links followed, by their path below it after `prefix`.
fn collect(folder: &Path, prefix: &str, files: &mut Files) -> Result<(), String> {
    let unreadable = |error| format!("cannot list {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What running a template's tests in place leaves behind.
        if name.starts_with('.') || name == "__pycache__" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files)?;
        } else {
            files.insert(format!("{prefix}{name}"), path);
        }
    }
    Ok(())
}

/// Takes along the crate in `folder`, and the crates of this repository that it depends on, side by side: sources,
/// contract, and a manifest that stands without the workspace's.
fn vendor(root: &Path, folder: &str, contract: &Path, out: &Path, files: &mut Files) -> Result<(), String> {
    let source = root.join(folder);
    let name = base_name(folder).to_owned();
    let manifest_name = format!("{name}/Cargo.toml");
    if files.contains_key(&manifest_name) {
        return Ok(());
    }
    for part in ["src", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", source.join(part).display());
    }
    collect(&source.join("src"), &format!("{name}/src/"), files)?;
    if source.join("wit").is_dir() {
        let file = contract.file_name().unwrap_or_default().to_string_lossy();
        files.insert(format!("{name}/wit/{file}"), contract.to_owned());
    }
    let (manifest, needs) = stand_alone(&read(&source.join("Cargo.toml"))?, &read(&root.join("Cargo.toml"))?)
        .map_err(|problem| format!("{folder}/Cargo.toml: {problem}"))?;
    let written = out.join(format!("{name}.Cargo.toml"));
    fs::write(&written, manifest).map_err(|error| format!("cannot write {}: {error}", written.display()))?;
    files.insert(manifest_name, written);
    needs.iter().try_for_each(|need| vendor(root, need, contract, out, files))
}

/// A member's manifest with what it inherits from the `workspace` written out, without what only its tests need; and the
/// folders, from the root, of the crates that it depends on by path.
fn stand_alone(member: &str, workspace: &str) -> Result<(String, Vec<String>), String> {
    let (mut text, mut needs) = (String::new(), Vec::new());
    let (mut section, mut skipped) = (String::new(), false);
    for line in member.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            skipped = name.contains("dev-dependencies") || name == "lints";
        }
        if skipped || line.starts_with('#') || line.starts_with("readme") || line.starts_with("publish") {
            continue;
        }
        let inherited = line.split_once(".workspace = true").map(|(key, _)| (key, String::new()));
        let inherited = inherited.or_else(|| {
            let (key, value) = line.split_once(" = ")?;
            let rest = value.strip_prefix("{ workspace = true")?.strip_suffix('}')?;
            Some((key, rest.trim().trim_start_matches(',').trim().to_owned()))
        });
        let kind = if section.ends_with("dependencies") { "dependencies" } else { "package" };
        let mut line = line.to_owned();
        let mut path_from_root = false;
        if let Some((key, more)) = inherited {
            let value = value_of(workspace, &format!("workspace.{kind}"), key)?;
            line = match (more.as_str(), value.strip_suffix('}')) {
                ("", _) => format!("{key} = {value}"),
                (more, Some(table)) => format!("{key} = {}, {more} }}", table.trim_end()),
                (more, None) => format!("{key} = {{ version = {value}, {more} }}"),
            };
            path_from_root = true;
        }
        if kind == "dependencies"
            && let Some((before, (path, after))) = line
                .split_once("path = \"")
                .and_then(|(before, rest)| rest.split_once('"').map(|split| (before.to_owned(), split)))
        {
            let folder = path.trim_start_matches("../");
            if !path_from_root && !path.starts_with("../") {
                return Err(format!("the path {path:?} does not lead to another folder of the repository"));
            }
            needs.push(folder.to_owned());
            line = format!("{before}path = \"../{}\"{after}", base_name(folder));
        }
        let _ = writeln!(text, "{line}");
    }
    Ok((text.trim_end().to_owned() + "\n", needs))
}

/// The value of `key` in a section of a manifest; in one line.
fn value_of<'t>(manifest: &'t str, section: &str, key: &str) -> Result<&'t str, String> {
    let heading = format!("[{section}]");
    let lines = manifest.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('['));
    let mut values = lines.filter_map(|line| line.split_once(" = ").filter(|(name, _)| *name == key));
    let (_, value) = values.next().ok_or_else(|| format!("{heading} has no {key}"))?;
    if value.ends_with('[') || value.ends_with('{') {
        return Err(format!("{key} of {heading} must stand in one line, for the sake of `strategy new`"));
    }
    Ok(value)
}

fn base_name(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or(folder)
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}
