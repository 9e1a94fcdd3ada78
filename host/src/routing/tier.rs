//! The rounds in which providers are offered.

/// In which round a provider is offered; each provider is tried at most once per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Healthy providers that are not `fallback_only`.
    Primary,
    /// Healthy `fallback_only` providers.
    Fallback,
    /// Whatever is left, its health ignored.
    LastResort,
}

impl Tier {
    /// All tiers in the order in which a request goes through them.
    pub const ALL: [Tier; 3] = [Tier::Primary, Tier::Fallback, Tier::LastResort];

    /// The word for logs.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Primary => "primary",
            Tier::Fallback => "fallback",
            Tier::LastResort => "last_resort",
        }
    }
}
