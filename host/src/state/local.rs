//! The file of one machine: rows by table and key, in redb.
//!
//! Whatever is wrong with a file at the start is an error, and the file stays as it is: what it holds is money, and a new
//! file in its place would forget it.

pub mod keys;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition};

/// The version of the tables and of what stands in them.
const VERSION: u64 = 1;

/// The first bytes of every file of redb.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// The memory that redb may use for pages; its own default is a gigabyte.
const CACHE: usize = 8 << 20;

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("pointsman");

/// The kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Keys made at run time, by their id.
    Keys,
    /// Values of meters, by owner and unit.
    Meters,
    /// What was spent, by client, route, provider, model and day.
    Spend,
}

impl Table {
    const ALL: [Self; 3] = [Self::Keys, Self::Meters, Self::Spend];

    fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Keys => "keys",
            Self::Meters => "meters",
            Self::Spend => "spend",
        })
    }
}

/// One change: a row's table, its key, and its value; `None` removes it.
pub type Change = (Table, String, Option<Vec<u8>>);

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder cannot be created.
    #[error("the folder {0} cannot be created")]
    Folder(PathBuf, #[source] io::Error),
    /// It cannot be opened, read or written.
    #[error("{0} cannot be opened for reading and writing")]
    Io(PathBuf, #[source] io::Error),
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    Held(PathBuf),
    /// It was written by something else.
    #[error("{0} is not a file of Pointsman's")]
    Foreign(PathBuf),
    /// It was written by a later version of Pointsman.
    #[error("{0} was written by a newer version of Pointsman (its format is {1}, this one knows up to {VERSION})")]
    Newer(PathBuf, String),
    /// Its content is not what was written.
    #[error("{0} is damaged: {1}")]
    Damaged(PathBuf, String),
}

impl OpenError {
    /// What an operator can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Folder(..) | Self::Io(..) => "choose a place that this user may write to",
            Self::Held(_) => "every process needs a file of its own; processes that share limits need `state:`",
            Self::Foreign(_) => "name another path; nothing was changed in this file",
            Self::Newer(..) => {
                "start the version that wrote it, or name another path; nothing was changed in this file"
            }
            Self::Damaged(..) => {
                "put a copy from a backup in its place, or move it away to begin anew without its keys and its spend; \
                 nothing was changed in this file"
            }
        }
    }
}

/// Rows could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written: {reason}")]
pub struct WriteError {
    path: PathBuf,
    /// Without the path.
    pub reason: String,
}

/// An open file.
#[derive(Debug)]
pub struct Local {
    path: PathBuf,
    /// `None` after a failure, until it could be opened again: redb takes no more writes after one has failed.
    database: Mutex<Option<Database>>,
}

impl Local {
    /// Opens the file, or creates it with its folder.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; then a file that is there has not been changed.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|error| OpenError::Folder(folder.to_owned(), error))?;
        }
        let database = open(path)?;
        Ok(Self { path: path.to_owned(), database: Mutex::new(Some(database)) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every row of a table.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when they cannot be read.
    pub fn rows(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, OpenError> {
        self.read(|database| {
            let transaction = database.begin_read()?;
            let table = transaction.open_table(table.definition())?;
            let rows =
                table.iter()?.map(|row| row.map(|(key, value)| (key.value().to_owned(), value.value().to_vec())));
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// One row of a table, if it is there.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it cannot be read.
    pub fn row(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, OpenError> {
        self.read(|database| {
            let transaction = database.begin_read()?;
            let table = transaction.open_table(table.definition())?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, OpenError> {
        let database = self.database.lock();
        let Some(database) = database.as_ref() else {
            let error = io::Error::other("an earlier write has failed");
            return Err(OpenError::Io(self.path.clone(), error));
        };
        read(database).map_err(|error| damaged(&self.path, error))
    }

    /// Makes changes, all or none; they are on the disk when it returns. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`WriteError`] when that is not possible at present: the disk is full, or may not be written.
    pub fn write(&self, changes: &[Change]) -> Result<(), WriteError> {
        let failed = |error: &dyn std::fmt::Display| WriteError { path: self.path.clone(), reason: error.to_string() };
        let mut slot = self.database.lock();
        if slot.is_none() {
            *slot = Some(reopen(&self.path).map_err(|error| failed(&chain(&error)))?);
        }
        let Some(database) = slot.as_ref() else { return Ok(()) };
        let outcome = commit(database, changes);
        if outcome.is_err() {
            *slot = None;
        }
        outcome.map_err(|error| failed(&error))
    }

    /// As after a failure.
    #[cfg(test)]
    pub fn close(&self) {
        *self.database.lock() = None;
    }
}

fn commit(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // So that the next start after a crash need not read the whole file.
    transaction.set_quick_repair(true);
    for table in Table::ALL {
        let mut of_table = changes.iter().filter(|(other, ..)| *other == table).peekable();
        if of_table.peek().is_none() {
            continue;
        }
        let mut table = transaction.open_table(table.definition())?;
        for (_, key, value) in of_table {
            match value {
                Some(value) => drop(table.insert(key.as_str(), value.as_slice())?),
                None => drop(table.remove(key.as_str())?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// As [`open`], for a file that was open before: it must still be there.
fn reopen(path: &Path) -> Result<Database, OpenError> {
    match fs::metadata(path) {
        Ok(_) => open(path),
        Err(error) => Err(OpenError::Io(path.to_owned(), error)),
    }
}

fn open(path: &Path) -> Result<Database, OpenError> {
    let is_new = is_new(path)?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    let opened = if is_new { builder.create(path) } else { builder.open(path) };
    let database = opened.map_err(|error| refused(path, error))?;
    if is_new {
        begin(&database).map_err(|error| OpenError::Io(path.to_owned(), io::Error::other(error)))?;
        return Ok(database);
    }
    match version(&database) {
        Ok(VERSION) => Ok(database),
        Ok(newer) => Err(OpenError::Newer(path.to_owned(), newer.to_string())),
        Err(redb::Error::TableDoesNotExist(_)) => Err(OpenError::Foreign(path.to_owned())),
        Err(error) => Err(damaged(path, error)),
    }
}

/// True when there is no file yet, or an empty one. Nobody else's file is opened for writing.
fn is_new(path: &Path) -> Result<bool, OpenError> {
    let mut beginning = Vec::new();
    match File::open(path) {
        Ok(file) if file.metadata().is_ok_and(|about| about.is_dir()) => {
            return Err(OpenError::Io(path.to_owned(), ErrorKind::IsADirectory.into()));
        }
        Ok(file) => file.take(MAGIC.len() as u64).read_to_end(&mut beginning),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => Err(error),
    }
    .map_err(|error| OpenError::Io(path.to_owned(), error))?;
    match beginning.as_slice() {
        [] => Ok(true),
        MAGIC => Ok(false),
        _ => Err(OpenError::Foreign(path.to_owned())),
    }
}

fn begin(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(ABOUT)?.insert("version", VERSION)?;
    for table in Table::ALL {
        transaction.open_table(table.definition())?;
    }
    transaction.commit()?;
    Ok(())
}

fn version(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(ABOUT)?;
    let version = table.get("version")?;
    version.map_or_else(|| Err(redb::Error::TableDoesNotExist("version".to_owned())), |version| Ok(version.value()))
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Held(path),
        DatabaseError::UpgradeRequired(format) => OpenError::Newer(path, format!("redb's {format}")),
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            OpenError::Io(path, error)
        }
        other => OpenError::Damaged(path, other.to_string()),
    }
}

fn damaged(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(error) => OpenError::Io(path.to_owned(), error),
        other => OpenError::Damaged(path.to_owned(), other.to_string()),
    }
}

/// An error with its causes, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(table: Table, key: &str, value: &str) -> Change {
        (table, key.to_owned(), Some(value.as_bytes().to_vec()))
    }

    fn opened(path: &Path) -> OpenError {
        let before = fs::read(path).unwrap();
        let error = Local::open(path).expect_err("it cannot be used");
        assert!(fs::read(path).unwrap() == before, "the file has changed");
        error
    }

    #[test]
    fn rows_are_there_again_after_the_file_was_closed_and_its_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/of/keys.redb");
        let store = Local::open(&path).unwrap();
        store.write(&[row(Table::Keys, "a", "1"), row(Table::Keys, "b", "2"), row(Table::Spend, "a", "3")]).unwrap();
        store.write(&[(Table::Keys, "a".to_owned(), None), row(Table::Keys, "b", "4")]).unwrap();
        drop(store);
        let store = Local::open(&path).unwrap();
        assert_eq!(store.rows(Table::Keys).unwrap(), [("b".to_owned(), b"4".to_vec())]);
        assert_eq!(store.rows(Table::Spend).unwrap(), [("a".to_owned(), b"3".to_vec())]);
        assert_eq!(store.row(Table::Keys, "b").unwrap().as_deref(), Some(&b"4"[..]));
        assert_eq!(store.row(Table::Keys, "a").unwrap(), None);
        assert!(store.rows(Table::Meters).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_open_elsewhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.redb");
        let _held = Local::open(&path).unwrap();
        assert!(matches!(Local::open(&path), Err(OpenError::Held(_))));
    }

    #[test]
    fn somebody_elses_file_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "not a database\n".repeat(1000)).unwrap();
        assert!(matches!(opened(&path), OpenError::Foreign(_)));
        assert!(matches!(Local::open(folder.path()), Err(OpenError::Io(..))));
        let of_another = folder.path().join("other.redb");
        let database = Database::create(&of_another).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u64, u64>::new("other")).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        drop(database);
        assert!(matches!(Local::open(&of_another), Err(OpenError::Foreign(_))));
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.redb");
        drop(Local::open(&path).unwrap());
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(ABOUT).unwrap().insert("version", VERSION + 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = Local::open(&path).expect_err("it is newer");
        assert!(matches!(error, OpenError::Newer(..)), "{error}");
        assert!(error.to_string().contains("format is 2"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.redb");
        let store = Local::open(&path).unwrap();
        let rows: Vec<_> = (0..500).map(|n| row(Table::Keys, &format!("key-{n}"), &"x".repeat(100))).collect();
        store.write(&rows).unwrap();
        drop(store);
        let sound = fs::read(&path).unwrap();
        fs::write(&path, &sound[..20_000]).unwrap();
        let error = opened(&path);
        assert!(matches!(error, OpenError::Damaged(..)), "cut: {error}");
        let mut flipped = sound.clone();
        for at in (0..sound.len().saturating_sub(8)).filter(|at| sound[*at..].starts_with(b"key-1")) {
            flipped[at] ^= 0x55;
        }
        fs::write(&path, &flipped).unwrap();
        let error = opened(&path);
        assert!(matches!(error, OpenError::Damaged(..)), "flipped: {error}");
        fs::write(&path, &sound).unwrap();
        assert_eq!(Local::open(&path).unwrap().rows(Table::Keys).unwrap().len(), 500);
    }

    #[test]
    fn a_file_that_was_lost_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.redb");
        let store = Local::open(&path).unwrap();
        store.close();
        fs::remove_file(&path).unwrap();
        assert!(store.write(&[row(Table::Keys, "a", "1")]).is_err());
        assert!(!path.exists());
    }
}
