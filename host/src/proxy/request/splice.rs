//! Changes to a body that leave every other byte as it was.

use std::ops::Range;

use bytes::Bytes;

use super::scan::Member;

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// The range that is removed. Two edits never overlap.
    pub(super) at: Range<usize>,
    /// The text that takes its place.
    pub(super) with: String,
}

impl Edit {
    /// An edit that removes `at`.
    pub(super) fn cut(at: Range<usize>) -> Self {
        Edit { at, with: String::new() }
    }
}

/// The body with the edits made, in one copy, and where `marks` stand in it: what an edit of exactly that range put
/// there, or the same bytes at their new place, with the edits within them made.
pub(super) fn apply<const N: usize>(
    bytes: Bytes,
    mut edits: Vec<Edit>,
    marks: [Option<Range<usize>>; N],
) -> (Bytes, [Option<Range<usize>>; N]) {
    if edits.is_empty() {
        return (bytes, marks);
    }
    // An edit that only adds comes before one that removes from the same place.
    edits.sort_unstable_by_key(|edit| (edit.at.start, edit.at.end));
    let more: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let less: usize = edits.iter().map(|edit| edit.at.len()).sum();
    let mut edited = Vec::with_capacity(bytes.len() + more - less);
    let mut kept = 0;
    for Edit { at, with } in &edits {
        edited.extend_from_slice(&bytes[kept..at.start]);
        edited.extend_from_slice(with.as_bytes());
        kept = at.end;
    }
    edited.extend_from_slice(&bytes[kept..]);
    let moved = |mark: Range<usize>| {
        let (mut start, mut length) = (mark.start, mark.len());
        for Edit { at, with } in &edits {
            if mark.start <= at.start && at.end <= mark.end {
                length = length + with.len() - at.len();
            } else if at.end <= mark.start {
                start = start + with.len() - at.len();
            }
        }
        start..start + length
    };
    let marks = marks.map(|mark| mark.map(moved));
    (Bytes::from(edited), marks)
}

/// Removes members from an object with the right commas, so that it stays JSON.
///
/// A member goes with everything from the end of the one kept before it; those before the first that is kept go with
/// everything up to its key.
#[derive(Default)]
pub(super) struct Removal {
    /// The end of the last member that is kept.
    kept: Option<usize>,
    /// From the first to the last of the members removed before any was kept.
    leading: Option<Range<usize>>,
    /// The ranges that are removed.
    cuts: Vec<Edit>,
}

impl Removal {
    /// Keeps the next member.
    pub(super) fn keep(&mut self, member: &Member) {
        if let Some(leading) = self.leading.take() {
            self.cuts.push(Edit::cut(leading.start..member.start()));
        }
        self.kept = Some(member.value.end);
    }

    /// Removes the next member.
    pub(super) fn remove(&mut self, member: &Member) {
        match (self.kept, &mut self.leading) {
            (Some(kept), _) => {
                self.cuts.push(Edit::cut(kept..member.value.end));
                self.kept = Some(member.value.end);
            }
            (None, Some(leading)) => leading.end = member.value.end,
            (None, None) => self.leading = Some(member.start()..member.value.end),
        }
    }

    /// Changes that leave the object a member it had: any at all, and none kept, means that nothing is left in it.
    pub(super) fn finish(mut self) -> Removed {
        if let Some(leading) = self.leading.take() {
            self.cuts.push(Edit::cut(leading));
        }
        Removed { empty: self.kept.is_none(), cuts: self.cuts }
    }
}

/// The result of a [`Removal`].
pub(super) struct Removed {
    /// True when nothing is left in the object.
    pub(super) empty: bool,
    /// The ranges that are removed; none if no member is.
    pub(super) cuts: Vec<Edit>,
}
