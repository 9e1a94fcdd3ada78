//! What a strategy is told: once about the providers, and per request about the request and its candidates.
//!
//! Mirrors `wit/strategy.wit`, which documents units and ranges; the strategy host translates one into the other.

use super::Tier;

/// What is known of a provider when a strategy starts.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderFacts {
    /// Unique name in the configuration.
    pub name: String,
    /// `openai` or `azure`.
    pub kind: &'static str,
    /// Finite, above 0.
    pub weight: f64,
    /// Held back until the primaries have failed.
    pub fallback_only: bool,
    /// Requests at once; 0 means without limit.
    pub max_concurrent: u32,
    /// Models as clients name them; empty means any.
    pub models: Vec<String>,
    /// What a million tokens cost, of the request and of the answer.
    pub price: Option<(f64, f64)>,
    /// What else the operator says of it.
    pub labels: Vec<(String, String)>,
}

/// One provider that may be chosen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Index in the order of the configuration.
    pub provider: u32,
    /// Requests it works on at this moment.
    pub in_flight: u32,
    /// Moving average of the time to the first body byte, in µs; 0 means unknown.
    pub latency_us: u32,
    /// Moving average of the share of failed attempts, 0 to 1000.
    pub failure_permille: u32,
}

/// One request, as far as a strategy may know it.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Number of this decision among those for the same eligible set and tier.
    pub seq: u32,
    /// Uniform random bits.
    pub entropy: u32,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The round in which the candidates are offered.
    pub tier: Tier,
    /// Attempts this request has had.
    pub attempts: u32,
    /// The client's name for the model, or empty; of a long one what [`Facts::known`] leaves.
    pub model: &'a str,
    /// Whether a stream was asked for.
    pub streaming: bool,
    /// Size of the request's body in bytes.
    pub body_bytes: u32,
    /// Equal for requests that belong together; 0 when nothing is known.
    pub affinity: u64,
}

impl Facts<'_> {
    /// Bytes of a model's name that strategies, shadows and records are told, as the contract has it: what a client
    /// sends must not decide how long a guest works, or how much is kept of a request that waits to be recorded.
    pub const MODEL_BYTES: usize = 256;

    /// The part of a model's name that strategies are told: whole characters.
    pub fn known(model: &str) -> &str {
        &model[..model.floor_char_boundary(Self::MODEL_BYTES)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_of_a_model_is_cut_between_two_characters() {
        assert_eq!(Facts::known("gpt-4o-mini"), "gpt-4o-mini");
        assert_eq!(Facts::known(&"x".repeat(1 << 20)), "x".repeat(256));
        let odd = format!("x{}", "ä".repeat(1000));
        assert_eq!(Facts::known(&odd), format!("x{}", "ä".repeat(127)));
    }
}
