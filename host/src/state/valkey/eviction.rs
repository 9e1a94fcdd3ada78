//! How the engine evicts: one that may throw away any key is no place for limits.

use std::time::Duration;

use tokio::time::timeout;

use super::failure::flat;
use super::wire::Wire;

/// The time for the question, which nobody waits for.
const BOUND: Duration = Duration::from_secs(2);

/// Those that evict nothing that limits need before it has lost its meaning.
const SAFE: [&str; 2] = ["noeviction", "volatile-ttl"];

/// The policy that was last warned of.
#[derive(Debug, Default)]
pub struct Eviction(Option<String>);

/// The engine's `maxmemory-policy`; `None` where it may not be asked.
pub async fn policy(mut wire: Wire) -> Option<String> {
    let answer = flat(timeout(BOUND, wire.ask(redis::cmd("INFO").arg("memory"))).await).ok()?;
    of_info(&redis::from_redis_value::<String>(answer).ok()?)
}

fn of_info(text: &str) -> Option<String> {
    let policy = text.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
    Some(policy.trim().to_owned())
}

impl Eviction {
    /// Takes in what the engine says of itself, and warns once of a policy that evicts what limits need.
    pub fn looked(&mut self, policy: Option<String>) {
        let Some(policy) = policy else {
            tracing::debug!("state: the engine does not tell its maxmemory-policy");
            return;
        };
        if SAFE.contains(&policy.as_str()) || self.0.as_ref() == Some(&policy) {
            return;
        }
        tracing::warn!(
            policy,
            "state: the maxmemory-policy of the engine is {policy}, so that it may evict limits and keys: set noeviction or \
             volatile-ttl"
        );
        self.0 = Some(policy);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_policy_is_found_in_what_the_engine_says_of_itself() {
        let info = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\nmem_fragmentation_ratio:1.2\r\n";
        assert_eq!(super::of_info(info).as_deref(), Some("allkeys-lru"));
        assert_eq!(super::of_info("# Memory\r\n"), None);
    }
}
