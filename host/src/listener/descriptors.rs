//! File descriptors: each connection takes one. Connections of clients get half of them, and providers the other half.
//!
//! A request needs one connection of either kind, so an uneven share would help nobody, and neither side may leave the
//! other without descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are reserved for files, the runtime, and connections that are being turned away. If the limit is
/// low, at most a quarter of it is reserved.
const RESERVE: usize = super::farewell::MOST + 128;

/// The fewest descriptors that either side needs.
pub const LEAST: usize = 64;

/// A limit that leaves fewer connections than this causes a warning.
const FEW: usize = 4096;

/// Raises this process's limit of open files as far as possible.
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
            "the system allows {limit} open files, which is enough for {share} connections of clients: raise the limit (ulimit -n)"
        );
    } else {
        tracing::debug!(
            limit,
            "the system allows {limit} open files, which is enough for {share} connections of clients"
        );
    }
    share
}

/// The limit of open files, if it leaves too few for either side.
pub fn too_few() -> Option<usize> {
    limit().filter(|limit| share(*limit) < LEAST)
}

fn limit() -> Option<usize> {
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
}

/// The number of descriptors that either side gets under a limit.
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
            // Some systems report a hard limit but do not grant it.
            tracing::debug!(%error, "the limit of open files cannot be raised and stays at {current:?}: {error}");
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
