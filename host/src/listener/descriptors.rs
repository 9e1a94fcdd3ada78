//! File descriptors: as many as the system allows, since each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beyond the connections of clients and to providers: files, the runtime's own, and connections being turned away.
const RESERVE: usize = super::farewell::MOST + 128;

/// What a limit that leaves fewer connections than this deserves: a warning.
const FEW: usize = 4096;

/// Raises this process's limit of open files as far as it may.
pub fn provide() {
    raise();
}

/// How many of `wanted` connections of clients the limit leaves room for, beside `requests` connections to providers.
pub fn affordable(wanted: usize, requests: usize) -> usize {
    within(getrlimit(Resource::Nofile).current, wanted, requests)
}

fn within(limit: Option<u64>, wanted: usize, requests: usize) -> usize {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return wanted };
    let room = limit.saturating_sub(requests.saturating_add(RESERVE)).max(1);
    if room >= wanted {
        return wanted;
    }
    if room < FEW {
        tracing::warn!(limit, "the system allows {limit} open files, so {room} connections: raise it (ulimit -n)");
    } else {
        tracing::debug!(limit, "the system allows {limit} open files, so {room} connections");
    }
    room
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
    fn connections_leave_room_for_everything_else() {
        assert_eq!(within(None, 20_000, 100), 20_000);
        assert_eq!(within(Some(1_048_576), 20_000, 100), 20_000);
        assert_eq!(within(Some(20_000), 20_000, 100), 20_000 - 100 - RESERVE);
        assert_eq!(within(Some(10), 20_000, 100), 1);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.maximum), (limit, limit));
    }
}
