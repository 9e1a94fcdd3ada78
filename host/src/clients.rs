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

use crate::config::{ClientKey, fits};
use crate::limits::{Account, Unit};
pub use change::{ChangeError, MAX_OVERLAP};
pub use keys::Keys;
pub use make::{NewKey, NoRandomness, new_key};
pub use record::{Accepted, Record};
pub use shown::shown;
pub use store::{Rows, Store, StoreError, Stored};
pub use table::Known;

/// One client, as a key makes it known. There may be a hundred thousand of them, so it is small: what many have in
/// common is in their [`Grant`].
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its name in logs, metrics, decisions and for strategies; never its key.
    pub name: Box<str>,
    /// Where its key comes from.
    pub origin: Origin,
    /// What its key grants; `None` is all models, and no group.
    pub grant: Option<Arc<Grant>>,
    /// Its limits, if it has any.
    pub account: Option<Arc<Account>>,
    /// True while its key is not accepted although it is known.
    pub blocked: bool,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration.
    File {
        /// The line of the file, or the number of the key in `server.api_keys`, from 0.
        at: u32,
        /// True for one of `server.api_keys`.
        of_server: bool,
    },
    /// It was made at run time; with its id.
    Store(Box<str>),
}

impl Default for Origin {
    fn default() -> Self {
        Self::File { at: 0, of_server: false }
    }
}

/// What keys grant. Clients that are granted the same share it.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// The group whose limits they share.
    pub group: Option<Box<str>>,
    /// The limits of the group, if it has any.
    pub group_account: Option<Arc<Account>>,
    /// The models that they may use, each exact or with one `*`; `None` is all.
    pub models: Option<Box<[String]>>,
    /// The model to ask for once a budget is spent; `None` is to refuse.
    pub when_exhausted: Option<String>,
    /// The share of a limit from which the log warns.
    pub notify: Option<f64>,
}

impl Grant {
    /// What a key grants; `None` where that is nothing in particular.
    fn of(key: &ClientKey, group_account: Option<Arc<Account>>) -> Option<Self> {
        let is_plain = key.group.is_none() && key.models.is_empty();
        if is_plain && key.when_exhausted.is_none() && key.notify.is_none() {
            return None;
        }
        Some(Self {
            group: key.group.as_deref().map(Into::into),
            group_account,
            models: (!key.models.is_empty()).then(|| key.models.as_slice().into()),
            when_exhausted: key.when_exhausted.clone(),
            notify: key.notify,
        })
    }
}

impl Client {
    /// Names the owner of its limits for good: the id of a key made at run time, else its name.
    pub fn id(&self) -> &str {
        match &self.origin {
            Origin::File { .. } => &self.name,
            Origin::Store(id) => id,
        }
    }

    /// True when its key opens the operators' paths where these have no listener of their own. Keys under `clients` never do:
    /// they are given out, and have limits.
    pub fn is_operator(&self) -> bool {
        matches!(self.origin, Origin::File { of_server: true, .. })
    }

    /// The group whose limits it shares.
    pub fn group(&self) -> Option<&str> {
        self.grant.as_ref()?.group.as_deref()
    }

    /// The limits of its group, if that has any.
    pub fn group_account(&self) -> Option<&Arc<Account>> {
        self.grant.as_ref()?.group_account.as_ref()
    }

    /// The models that it may use, each exact or with one `*`; `None` is all.
    pub fn models(&self) -> Option<&[String]> {
        self.grant.as_ref()?.models.as_deref()
    }

    /// The model to ask for once a budget is spent; `None` is to refuse.
    pub fn when_exhausted(&self) -> Option<&str> {
        self.grant.as_ref()?.when_exhausted.as_deref()
    }

    /// The share of a limit from which the log warns.
    pub fn notify(&self) -> Option<f64> {
        self.grant.as_ref()?.notify
    }

    /// True when it is under limits of its own, or of its group.
    pub fn is_limited(&self) -> bool {
        self.account.is_some() || self.group_account().is_some()
    }

    /// True when a limit of tokens or a budget, its own or its group's, needs the usage of its answers.
    pub fn needs_usage(&self) -> bool {
        let counts = |account: &Arc<Account>| account.counts(Unit::Tokens) || account.counts(Unit::Money);
        self.account.iter().chain(self.group_account()).any(counts)
    }

    /// True when the client may use a model of this name, as clients call it.
    pub fn may_use(&self, model: &str) -> bool {
        self.models().is_none_or(|models| models.iter().any(|pattern| fits(pattern, model)))
    }
}
