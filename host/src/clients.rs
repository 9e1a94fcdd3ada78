//! Who asks: the clients that the configuration names, and the keys by which they are known.

/// One client, as a key makes it known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name in logs, metrics, decisions and for strategies; never its key.
    pub name: String,
    /// The group whose limits it shares.
    pub group: Option<String>,
}
