//! A key that was made at run time, as it is kept and as operators see it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One key made at run time. Of its text only digests are in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The id inside the key.
    pub id: String,
    /// The digests of the texts that are accepted, the newest last.
    pub hashes: Vec<Accepted>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it was changed last.
    pub changed: i64,
    /// True while it is not accepted.
    #[serde(default)]
    pub blocked: bool,
    /// Its name, group, models, expiry and limits, written as under `clients.keys`.
    pub terms: Map<String, Value>,
}

/// A text that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// `sha256:` and 64 hexadecimal digits.
    pub hash: String,
    /// The second from which it is not accepted any more, if a newer text has taken its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl Record {
    /// The name of the client.
    pub fn name(&self) -> &str {
        self.terms.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Lays new terms over those that it has; null takes one away.
    pub fn lay_over(&mut self, terms: &Map<String, Value>) {
        for (key, value) in terms {
            if value.is_null() {
                self.terms.remove(key);
            } else {
                self.terms.insert(key.clone(), value.clone());
            }
        }
    }
}
