//! Plurality.

/// The result of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The place of the first that voted for the winner.
    pub first: usize,
    /// The number of those who voted for it, 1 or more.
    pub votes: usize,
    /// The number of those who voted at all.
    pub of: usize,
}

/// The vote that most have in common; of those with as many the one that was given first. Who abstains (`None`) does
/// not count; none if all do.
///
/// ```
/// use pointsman_approach::vote;
///
/// let won = vote([Some("4"), None, Some("5"), Some("5")]).expect("three have voted");
/// assert_eq!((won.first, won.votes, won.of), (2, 2, 3));
/// ```
pub fn vote<K: PartialEq>(votes: impl IntoIterator<Item = Option<K>>) -> Option<Vote> {
    let mut groups: Vec<(K, usize, usize)> = Vec::new();
    let mut of = 0;
    for (place, key) in votes.into_iter().enumerate() {
        let Some(key) = key else { continue };
        of += 1;
        match groups.iter_mut().find(|(known, ..)| *known == key) {
            Some((_, _, count)) => *count += 1,
            None => groups.push((key, place, 1)),
        }
    }
    // The first of the largest, hence from behind.
    let won = groups.iter().rev().max_by_key(|(_, _, count)| *count);
    won.map(|(_, first, votes)| Vote { first: *first, votes: *votes, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_win_and_of_equals_the_first() {
        let first = |votes: &[Option<u8>]| vote(votes.iter().copied()).map(|won| won.first);
        assert_eq!(first(&[Some(1), Some(2), Some(2)]), Some(1));
        assert_eq!(first(&[None, Some(1), Some(2), Some(2), Some(1)]), Some(1));
        assert_eq!(first(&[Some(1), Some(2), Some(3)]), Some(0));
        assert_eq!((first(&[]), first(&[None])), (None, None));
    }
}
