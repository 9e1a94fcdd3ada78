//! File descriptors: each connection takes one, and clients and providers get half of them each.
//!
//! A request has one connection of either kind, so more for one side than for the other would help nobody; and neither
//! side may leave the other without any.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beyond the connections of clients and to providers: files, the runtime's own, and connections being turned away. Of a
/// low limit no more than a quarter.
const RESERVE: usize = super::farewell::MOST + 128;

/// The least that either side needs.
pub const LEAST: usize = 64;

/// What a limit that leaves fewer connections than this deserves: a warning.
const FEW: usize = 4096;

/// Raises this process's limit of open files as far as it may.
pub fn provide() {
    raise();
}

/// The number of client connections, of the `wanted`, that the limit leaves room for.
pub fn affordable(wanted: usize) -> usize {
    let Some(limit) = limit() else { return wanted };
    let share = share(limit);
    if share >= wanted {
        return wanted;
    }
    if share < FEW {
        tracing::warn!(
            limit,
            "the system allows {limit} open files, so {share} connections of clients: raise it (ulimit -n)"
        );
    } else {
        tracing::debug!(limit, "the system allows {limit} open files, so {share} connections of clients");
    }
    share
}

/// The limit of open files, where it leaves too few for either side.
pub fn too_few() -> Option<usize> {
    limit().filter(|limit| share(*limit) < LEAST)
}

fn limit() -> Option<usize> {
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
}

/// The share of either side in so many files.
fn share(limit: usize) -> usize {
    (limit - RESERVE.min(limit / 4)) / 2
}

/// The soft limit after it has been raised to the hard one; `None` is without limit.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            // Some systems name a hard limit that they do not grant.
            tracing::debug!(%error, "the limit of open files stays at {current:?}");
            current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_half_of_the_files_and_providers_the_other_half() {
        assert_eq!(share(1_048_576), (1_048_576 - RESERVE) / 2);
        assert_eq!(share(20_000), (20_000 - RESERVE) / 2);
        assert_eq!(share(1_024), 384);
        assert_eq!(share(256), 96);
        assert!(share(172) >= LEAST && share(160) < LEAST && share(0) == 0);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.maximum), (limit, limit));
    }
}
