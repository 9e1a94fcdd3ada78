//! `monitoring.ledger`: which stories are kept, where and for how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::read::{Reader, Section};
use super::schema::LEDGER;
use super::units;

/// The stories that are kept in memory by default.
const STORIES: u32 = 10_000;
/// The most that may be.
const MOST_STORIES: u64 = 1_000_000;
/// For how long a folder keeps them by default: a week.
const KEEP: Duration = Duration::from_secs(7 * 86_400);
/// The most bytes of a folder by default.
const MAX_BYTES: u64 = 1 << 30;

/// The stories of requests that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The number of those in memory; 0 is none.
    pub stories: usize,
    /// The folder in which they are kept as well.
    pub folder: Option<LedgerFolder>,
}

/// A folder that keeps stories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerFolder {
    /// The folder.
    pub path: PathBuf,
    /// Older ones are removed.
    pub keep: Duration,
    /// When its files are larger together, the oldest are removed.
    pub max_bytes: u64,
    /// The line of the configuration that names it, for problems found when opening it.
    pub line: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { stories: STORIES as usize, folder: None }
    }
}

pub(super) fn ledger(reader: &mut Reader<'_>, monitoring: &Section<'_>, folder: &Path) -> Ledger {
    let section = reader.section(monitoring, "ledger", Some(LEDGER));
    let wanted = "a number of requests, 0 or more";
    let stories = reader.integer(&section, "stories", wanted, 0, MOST_STORIES).unwrap_or(STORIES.into());
    let wanted = "a time such as 7d or 12h, at least a minute";
    let keep = reader.measured(&section, "keep", wanted, |text| units::span(text).filter(|keep| keep.as_secs() >= 60));
    let wanted = "a number of bytes such as 1GiB or 500MB, at least 1MiB";
    let max_bytes =
        reader.measured(&section, "max_bytes", wanted, |text| units::bytes(text).filter(|max| *max >= 1 << 20));
    let path = reader.text(&section, "path").ok().flatten();
    if path.is_none() && (keep.is_some() || max_bytes.is_some()) {
        let key = if keep.is_some() { "keep" } else { "max_bytes" };
        reader.findings.warn(&section.place(key), "has no effect without `path`: stories are kept in memory alone");
    }
    let folder = path.and_then(|found| {
        if found.text.is_empty() {
            reader.findings.problem(
                &found.at,
                "must not be empty",
                Some("such as ledger, a folder beside this file".to_owned()),
            );
            return None;
        }
        Some(LedgerFolder {
            path: folder.join(&found.text),
            keep: keep.unwrap_or(KEEP),
            max_bytes: max_bytes.unwrap_or(MAX_BYTES),
            line: found.at.line,
        })
    });
    Ledger { stories: usize::try_from(stories).unwrap_or(usize::MAX), folder }
}
