//! Who asks: the clients that the configuration names, and the keys by which they are known.
//!
//! [`Keys`] is the one table of all keys. A key is found by its digest, so neither its place in the table nor its text
//! can be told from the time that this takes.

mod change;
mod keys;
mod make;
mod record;
mod shown;
mod store;
mod table;

use std::sync::Arc;

use crate::config::fits;
use crate::limits::{Account, Unit};
pub use change::{ChangeError, MAX_OVERLAP};
pub use keys::Keys;
pub use make::{NewKey, NoRandomness, new_key};
pub use record::{Accepted, Record};
pub use shown::shown;
pub use store::{Rows, Store, StoreError, Stored};
pub use table::Known;

/// One client, as a key makes it known.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its name in logs, metrics, decisions and for strategies; never its key.
    pub name: String,
    /// Names the owner of its limits for good: the id of a key made at run time, else its name.
    pub id: String,
    /// The group whose limits it shares.
    pub group: Option<String>,
    /// The models that it may use, each exact or with one `*`; `None` is all.
    pub models: Option<Arc<[String]>>,
    /// Its limits, if it has any.
    pub account: Option<Arc<Account>>,
    /// The limits of its group, if that has any.
    pub group_account: Option<Arc<Account>>,
    /// The model to ask for once a budget is spent; `None` is to refuse.
    pub when_exhausted: Option<String>,
    /// The share of a limit from which the log warns.
    pub notify: Option<f64>,
    /// True while its key is not accepted although it is known.
    pub blocked: bool,
}

impl Client {
    /// True when a limit of tokens or a budget, its own or its group's, needs the usage of its answers.
    pub fn needs_usage(&self) -> bool {
        let counts = |account: &Arc<Account>| account.counts(Unit::Tokens) || account.counts(Unit::Money);
        self.account.iter().chain(&self.group_account).any(counts)
    }

    /// True when the client may use a model of this name, as clients call it.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|pattern| fits(pattern, model)))
    }
}
