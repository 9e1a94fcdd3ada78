//! The facts that a strategy is told: once about the targets, and per request about the request and its candidates.
//!
//! Mirrors `wit/strategy.wit`, which documents units and ranges; the strategy host translates one into the other.

use super::Tier;

/// The facts about a target when a strategy starts.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetFacts {
    /// Unique among the targets of a route: the provider's name, or `provider/model` where several share a provider.
    pub name: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model that the provider is asked for, as it calls it, where the target fixes one; else empty.
    pub model: String,
    /// `openai` or `azure`.
    pub kind: &'static str,
    /// Finite, above 0.
    pub weight: f64,
    /// Held back until the primaries have failed.
    pub fallback_only: bool,
    /// Requests that its provider works on at once; 0 means without limit.
    pub max_concurrent: u32,
    /// Models as clients name them; empty means any.
    pub models: Vec<String>,
    /// Tokens that the model can read and write in one request; 0 means unknown.
    pub context: u32,
    /// The prices of a million tokens, of the request and of the answer.
    pub price: Option<(f64, f64)>,
    /// The labels from the configuration.
    pub labels: Vec<(String, String)>,
}

impl TargetFacts {
    /// A provider of this name that serves any model; everything else has its default.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            provider: name.clone(),
            name,
            model: String::new(),
            kind: "openai",
            weight: 1.0,
            fallback_only: false,
            max_concurrent: 0,
            models: Vec::new(),
            context: 0,
            price: None,
            labels: Vec::new(),
        }
    }
}

/// The facts about a route when its strategy starts.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteFacts {
    /// Its name.
    pub name: String,
    /// Its targets, in the order of the configuration.
    pub targets: Vec<TargetFacts>,
    /// The names of the attributes that its requests may have.
    pub attributes: Vec<String>,
}

impl From<Vec<TargetFacts>> for RouteFacts {
    /// The route of everything, to these targets, whose requests have no attributes.
    fn from(targets: Vec<TargetFacts>) -> Self {
        Self { name: super::Route::EVERYTHING.to_owned(), targets, attributes: Vec::new() }
    }
}

/// One target that may be chosen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Index in the order of the route's targets.
    pub target: u32,
    /// Requests that its provider works on at this moment.
    pub in_flight: u32,
    /// Moving average of the time to the first body byte, in µs; 0 means unknown.
    pub latency_us: u32,
    /// Moving average of the share of failed attempts, 0 to 1000.
    pub failure_permille: u32,
    /// Share that is left of the requests its provider grants, 0 to 1000; 1000 when nothing is known.
    pub requests_left: u32,
    /// Share that is left of the tokens its provider grants, 0 to 1000; 1000 when nothing is known.
    pub tokens_left: u32,
}

impl Candidate {
    /// A target that has no requests in flight and of which nothing was measured.
    pub fn idle(target: u32) -> Self {
        Self { target, in_flight: 0, latency_us: 0, failure_permille: 0, requests_left: 1000, tokens_left: 1000 }
    }
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
    /// The name of the route that serves it.
    pub route: &'a str,
    /// The name of the client; empty while clients have none.
    pub client: &'a str,
    /// The client's name for the model, or empty; of a long one what [`Facts::known`] leaves.
    pub model: &'a str,
    /// True when a stream was asked for.
    pub streaming: bool,
    /// Size of the request's body in bytes.
    pub body_bytes: u32,
    /// About how many tokens the prompt has.
    pub prompt_tokens: u32,
    /// The most tokens that the client wants in the answer; 0 when it does not say.
    pub max_tokens: u32,
    /// Equal for requests that belong together; 0 when nothing is known.
    pub affinity: u64,
    /// Values of headers and bodies that the operator lets strategies know, each name once.
    pub attributes: &'a [(&'a str, &'a str)],
    /// The beginning of the last message of the user; empty unless the strategy was granted it.
    pub prompt: &'a str,
}

impl Facts<'_> {
    /// The first request of all, of which nothing is known.
    pub const NOTHING: Facts<'static> = Facts {
        seq: 0,
        entropy: 0,
        now_ms: 0,
        tier: Tier::Primary,
        attempts: 0,
        route: "",
        client: "",
        model: "",
        streaming: false,
        body_bytes: 0,
        prompt_tokens: 0,
        max_tokens: 0,
        affinity: 0,
        attributes: &[],
        prompt: "",
    };

    /// The most bytes of a model's name that strategies, shadows and records are told, as the contract has it: a
    /// client's text must not decide how long a guest works, or how much is kept of a request that waits to be
    /// recorded.
    pub const MODEL_BYTES: usize = 256;

    /// The most bytes of a prompt that strategies are told, as the contract has it.
    pub const PROMPT_BYTES: usize = 8 << 10;

    /// The part of a model's name that strategies are told: whole characters.
    pub fn known(model: &str) -> &str {
        &model[..model.floor_char_boundary(Self::MODEL_BYTES)]
    }
}

/// Owned [`Facts`], which outlive their request.
#[derive(Clone, Debug)]
pub struct KeptFacts {
    /// The facts that are not text.
    plain: Facts<'static>,
    route: String,
    client: String,
    model: String,
    attributes: Vec<(String, String)>,
    prompt: String,
}

impl KeptFacts {
    /// A copy of them.
    pub fn of(facts: &Facts<'_>) -> Self {
        let Facts { seq, entropy, now_ms, tier, attempts, streaming, body_bytes, .. } = *facts;
        let Facts { prompt_tokens, max_tokens, affinity, .. } = *facts;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            plain: Facts {
                seq,
                entropy,
                now_ms,
                tier,
                attempts,
                streaming,
                body_bytes,
                prompt_tokens,
                max_tokens,
                affinity,
                ..Facts::NOTHING
            },
            route: facts.route.to_owned(),
            client: facts.client.to_owned(),
            model: facts.model.to_owned(),
            attributes: facts.attributes.iter().map(owned).collect(),
            prompt: facts.prompt.to_owned(),
        }
    }

    /// The attributes, for [`KeptFacts::lend`].
    pub fn attributes(&self) -> Vec<(&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The facts again, with [`KeptFacts::attributes`].
    pub fn lend<'a>(&'a self, attributes: &'a [(&'a str, &'a str)]) -> Facts<'a> {
        Facts {
            route: &self.route,
            client: &self.client,
            model: &self.model,
            attributes,
            prompt: &self.prompt,
            ..self.plain
        }
    }

    /// About how many bytes of memory they take beside their own size.
    pub fn weight(&self) -> usize {
        let pair = |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
        let texts = self.route.len() + self.client.len() + self.model.len() + self.prompt.len();
        texts + self.attributes.iter().map(pair).sum::<usize>()
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
