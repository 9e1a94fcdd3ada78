//! The proxy's own answers about approaches: what is wrong with a request for one, and how a run failed.

use std::time::Duration;

use http::StatusCode;

/// The reason why an approach gives no answer. The sentences are for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request does not suit the approach.
    Unsuitable(String),
    /// An option of the client's is wrong.
    Option(String),
    /// The request has tools, and the approach of this name can do nothing with them.
    Tools(String),
    /// More would have to be asked than the request may ask; with what is used up.
    Budget(String),
    /// It took too long.
    Timeout(Duration),
    /// The approach of this name broke.
    Broke(String),
    /// The approach of this name is left alone for a while, because it has broken several times in a row.
    Resting(String, Duration),
}

impl Refusal {
    /// Status, code and sentence.
    pub fn face(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Unsuitable(why) => (StatusCode::BAD_REQUEST, "approach_unsuitable", why),
            Self::Option(why) => (StatusCode::BAD_REQUEST, "invalid_option", why),
            Self::Tools(name) => {
                let why = format!("The approach `{name}` cannot work with tools: leave out `tools`, or the approach.");
                (StatusCode::BAD_REQUEST, "approach_without_tools", why)
            }
            Self::Budget(what) => {
                let why = format!("The budget is used up: {what}.");
                (StatusCode::BAD_REQUEST, "approach_budget", why)
            }
            Self::Timeout(limit) => {
                let why = format!("The approach had no answer within {} s (approach.timeout).", limit.as_secs_f64());
                (StatusCode::GATEWAY_TIMEOUT, "approach_timeout", why)
            }
            Self::Broke(name) => {
                let why = format!("The approach `{name}` failed; the proxy's log says how.");
                (StatusCode::BAD_GATEWAY, "approach_failed", why)
            }
            Self::Resting(name, left) => {
                let why = format!(
                    "The approach `{name}` has failed several times in a row and is left alone for {:.1} s.",
                    left.as_secs_f64()
                );
                (StatusCode::SERVICE_UNAVAILABLE, "approach_failed", why)
            }
        }
    }

    /// The time after which the client may try again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Resting(_, left) => Some(*left),
            _ => None,
        }
    }

    /// True when the client is at fault.
    pub fn is_clients(&self) -> bool {
        matches!(self, Self::Unsuitable(_) | Self::Option(_) | Self::Tools(_) | Self::Budget(_))
    }
}
