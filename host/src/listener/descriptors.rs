//! File descriptors: as many as the system allows, since each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beyond the connections of clients and to providers: files, the runtime's own, and connections being turned away.
const RESERVE: u64 = super::farewell::MOST as u64 + 128;

/// Raises this process's limit as far as it may, and warns when fewer than `connections` could be open at once.
pub fn provide(connections: u64) {
    let limit = raise();
    let needed = connections.saturating_add(RESERVE);
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "the system allows {limit} open files, but server.max_connections and queue.max_concurrent may need \
             {needed}: raise the limit (ulimit -n, LimitNOFILE= of systemd) or lower server.max_connections"
        );
    }
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
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.maximum), (limit, limit));
    }
}
