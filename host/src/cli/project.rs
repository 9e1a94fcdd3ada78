//! Projects for authors of strategies and approaches: files from templates in the binary, made without a network.
//!
//! `host/build/templates.rs` embeds the templates and `project/name.rs` checks the name; here they become files, either all
//! of them or none.

pub(super) mod name;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) use name::Name;

/// The templates, the contracts and the SDKs.
pub(super) mod templates {
    include!(concat!(env!("OUT_DIR"), "/templates.rs"));
}

/// The placeholder for the name, in templates and in the names of their files.
pub(super) const NAME: &str = "{{name}}";
/// The placeholder for the name as Rust's compiler writes it in file names.
pub(super) const STEM: &str = "{{stem}}";

/// The files of a project, by their path in it.
pub(super) type Files = Vec<(String, String)>;

/// Files that the binary has.
pub(super) type Table = &'static [(&'static str, &'static str)];

/// The reason why no project was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The name is not legal.
    #[error(transparent)]
    Name(#[from] name::Error),
    /// There are files in the folder.
    #[error("{} exists and is not empty; name another folder with --path", .0.display())]
    NotEmpty(PathBuf),
    /// The folder is a file.
    #[error("{} exists and is not a folder; name another one with --path", .0.display())]
    NotAFolder(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Templates with the name filled in.
pub(super) fn filled(tables: &[Table], name: &Name) -> Files {
    let fill = |text: &str| text.replace(NAME, name.as_str()).replace(STEM, &name.stem());
    tables.iter().flat_map(|table| table.iter()).map(|(path, text)| (fill(path), fill(text))).collect()
}

/// The crates of an SDK, below `sdk/`.
pub(super) fn vendored(sdk: Table) -> impl Iterator<Item = (String, String)> {
    sdk.iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned()))
}

/// Writes `files` into `folder`. If one cannot be written, all are removed again.
pub(super) fn create(folder: &Path, files: &[(String, String)]) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    let existed = match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(Error::NotEmpty(folder.to_owned())),
        Ok(false) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotAFolder(folder.to_owned()));
        }
        Err(error) => return Err(failed(folder)(error)),
    };
    let written = fs::create_dir_all(folder).map_err(failed(folder)).and_then(|()| {
        files.iter().try_for_each(|(name, text)| {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(failed(parent))?;
            }
            // Does not overwrite a file that somebody else has put there meanwhile.
            let file =
                fs::File::create_new(&path).and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
            file.map_err(failed(&path))
        })
    });
    if written.is_err() {
        undo(folder, existed, files);
    }
    written
}

/// Removes the files that were written. If that fails too, the user is still told of the first failure only.
fn undo(folder: &Path, existed: bool, files: &[(String, String)]) {
    if !existed {
        let _ = fs::remove_dir_all(folder);
        return;
    }
    // The folder was empty, so files with these names are ours. The folder itself stays, because it may be a mount or
    // the shell's current folder.
    let mut tops: Vec<_> = files.iter().filter_map(|(name, _)| name.split('/').next()).collect();
    tops.dedup();
    for top in tops {
        let path = folder.join(top);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
}

/// Quotes a path for a shell.
pub(super) fn quoted(path: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "/._-+@%:,".contains(char);
    if path.chars().all(plain) && !path.starts_with('-') {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
