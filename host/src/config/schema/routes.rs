//! The keys of routes, of routing and of prices.

use super::providers::{BUDGET_ROW, LIMITS_ROW, TARGET_PRICE};
use super::{Absent, Kind, MODELS, PATH, Row, Schema, TEXTS, row};

use Absent::{As, Each, Is, Nothing, Required};

/// Dollars for a million tokens.
const RATE: Kind = Kind::Number(0.0, 1e6);

pub(in crate::config) const ROUTE: Schema = Schema::new(
    "`routes[]`",
    &[
        row("name", Kind::Text, As("the first of `models`"), "Its name in logs and metrics; unique."),
        row("models", MODELS, Required, "What clients ask for: exact names, or with one `*`."),
        row(
            "targets",
            Kind::List(&Kind::OneOf(&[Kind::Text, Kind::Section(&TARGET)])),
            As("all providers that serve the model"),
            "Who serves them: names of providers, or mappings.",
        ),
        row("strategy", Kind::Text, As("routing.strategy"), "Its strategy; each route has one of its own."),
        row(
            "timeouts",
            Kind::Section(&ROUTE_TIMEOUTS),
            As("those of the provider, each on its own"),
            "How long an attempt may take.",
        ),
        row(
            "fallbacks",
            Kind::Section(&FALLBACKS),
            Nothing,
            "Models to ask for instead, in turn, each by its own route.",
        ),
        row("hedge", Kind::Section(&HEDGE), Nothing, "A second attempt beside one that is slow to begin."),
        row("approach", Kind::Text, As("that of `approach`"), "The approach of its requests that choose none."),
        LIMITS_ROW,
        BUDGET_ROW,
    ],
);
pub(in crate::config) const TARGET: Schema = Schema::new(
    "`routes[].targets[]`",
    &[
        row("provider", Kind::Text, Required, "The name of the provider."),
        row(
            "model",
            Kind::Text,
            As("what the provider's model_map says"),
            "The provider's own name for the model; a `*` takes what the `*` of the route's models stood for.",
        ),
        row(
            "weight",
            Kind::Above(0.0, 1e12),
            As("the provider's"),
            "Its share of the requests, for the strategy `weighted`.",
        ),
        row(
            "tier",
            Kind::Word(&["primary", "fallback"]),
            As("fallback where the provider has fallback_only, else primary"),
            "Fallback: only when all primary ones have failed.",
        ),
        row(
            "labels",
            Kind::Map(&Kind::Text, &[]),
            As("the provider's, with these laid over them"),
            "What strategies may know of it.",
        ),
        row("price", TARGET_PRICE, As("the provider's"), "Dollars for a million tokens."),
        row(
            "context",
            Kind::Integer(1, 1_000_000_000),
            As("the provider's"),
            "The tokens that a request and its answer may have.",
        ),
    ],
);
pub(in crate::config) const ROUTE_TIMEOUTS: Schema = Schema::new(
    "`routes[].timeouts`",
    &[
        row(
            "request",
            Kind::Seconds,
            As("the provider's"),
            "The whole exchange with one provider, or up to the first event of a stream.",
        ),
        row("connect", Kind::Seconds, As("the provider's"), "Connecting, TLS included."),
        row("first_token", Kind::Seconds, As("that of `request`"), "Up to the first event of a stream."),
        row("idle", Kind::Seconds, As("the provider's"), "Between two events of a stream."),
    ],
);
pub(in crate::config) const FALLBACKS: Schema = Schema::new(
    "`routes[].fallbacks`",
    &[
        row("on_failure", TEXTS, Nothing, "When all targets have failed."),
        row("on_context_window", TEXTS, Nothing, "When the request is too long for the model."),
        row("on_content_policy", TEXTS, Nothing, "When a provider's filter refuses it."),
        row("max", Kind::Integer(1, 10), Is("2"), "How many of them one request may go through."),
    ],
);
pub(in crate::config) const HEDGE: Schema = Schema::new(
    "`routes[].hedge`",
    &[
        row(
            "after",
            Kind::OneOf(&[Kind::Word(&["p95"]), Kind::Number(0.001, 3600.0)]),
            Required,
            "Seconds; or p95, as long as 95 of 100 requests wait for their first content.",
        ),
        row("at_most", Kind::Above(0.0, 1.0), Is("0.05"), "The share of requests that may have one."),
    ],
);
pub(in crate::config) const ROUTING: Schema = Schema::new(
    "`routing`",
    &[
        row(
            "strategy",
            Kind::Text,
            Is("round_robin"),
            "A built-in strategy, a name under `strategies`, the stem of a file in the folder `strategies` beside this one, or a path ending in .wasm.",
        ),
        row(
            "health_check",
            Kind::Section(&HEALTH_CHECK),
            Each,
            "How providers are checked, and how long one that fails is out.",
        ),
        row(
            "retries",
            Kind::Integer(0, 10),
            Is("2"),
            "Attempts that a request gets after every provider has failed it.",
        ),
        row(
            "affinity",
            Kind::Section(&AFFINITY),
            Each,
            "How to know requests that belong together, for the strategies that care.",
        ),
        row(
            "attributes",
            Kind::Map(&Kind::Section(&ATTRIBUTE), &[]),
            Nothing,
            "What strategies are told of a request by name: of its headers, of its body.",
        ),
        row("shadow", TEXTS, Nothing, "Strategies that see what this one sees, and whose decisions are only compared."),
        row(
            "model_names",
            Kind::Word(&["provider", "client"]),
            Is("provider"),
            "Client: answers name the model as the client did, whatever its provider says.",
        ),
    ],
);
pub(in crate::config) const ATTRIBUTE: Schema = Schema::with(
    "`routing.attributes.NAME`",
    &["header", "body"],
    &[
        row("header", Kind::Text, Nothing, "The header that holds it."),
        row("body", Kind::Text, Nothing, "The key of the body that holds it; dots lead into objects."),
    ],
);
pub(in crate::config) const AFFINITY: Schema = Schema::new(
    "`routing.affinity`",
    &[
        row("header", Kind::Text, Nothing, "Requests with the same value of this header belong together."),
        row(
            "body",
            TEXTS,
            Nothing,
            "Without that header: those with the same value of the first of these keys that the body has.",
        ),
        row(
            "prompt_prefix",
            Kind::Integer(1, 1 << 20),
            Nothing,
            "Without either: those whose conversations begin alike, up to the first message of the user and so many bytes.",
        ),
    ],
);
pub(in crate::config) const HEALTH_CHECK: Schema = Schema::new(
    "`routing.health_check`",
    &[
        row("enabled", Kind::Boolean, Is("true"), "False: no request of its own is ever sent to a provider."),
        row("interval", Kind::Seconds, Is("30"), "Between two checks of one provider."),
        row("timeout", Kind::Seconds, Is("5"), "For one check."),
        row(
            "cooldown",
            Kind::Seconds,
            As("that of `interval`"),
            "The longest time for which a failed provider is out; the first is 1 s.",
        ),
        row(
            "failures",
            Kind::Integer(1, 20),
            Is("3"),
            "So many failures in a row put a provider out, or half of its latest twenty requests.",
        ),
    ],
);
pub(in crate::config) const PRICES: Schema = Schema::new(
    "`prices`",
    &[
        row(
            "file",
            PATH,
            Nothing,
            "models.dev's api.json or LiteLLM's model_prices_and_context_window.json, read again when it changes.",
        ),
        row(
            "models",
            Kind::Map(&Kind::Section(&MODEL_PRICE), &[]),
            Nothing,
            "By model as its provider calls it, exactly or with one `*`.",
        ),
        row(
            "providers",
            Kind::Map(&Kind::Map(&Kind::Section(&MODEL_PRICE), &[]), &[]),
            Nothing,
            "By the name of a provider and then by model, for that provider alone.",
        ),
        row(
            "unpriced",
            Kind::Word(&["refuse", "free"]),
            Is("refuse"),
            "A request without a price where a budget counts money; free: it costs nothing, and is counted.",
        ),
    ],
);
/// The rates, and what holds without them.
const fn rate(key: &'static str, absent: Absent, text: &'static str) -> Row {
    row(key, RATE, absent, text)
}
pub(in crate::config) const MODEL_PRICE: Schema = Schema::new(
    "`prices.models.NAME`",
    &[
        rate("input", Nothing, "Of the prompt."),
        rate("cached", As("input"), "Read from a cache."),
        rate("cache_write", As("input"), "Written to one."),
        rate("cache_write_1h", As("cache_write"), "Written to one for an hour."),
        rate("output", Nothing, "Of the answer."),
        rate("reasoning", As("output"), "Of reasoning."),
        rate("audio_in", As("input"), "Of audio in the prompt."),
        rate("audio_out", As("output"), "Of audio in the answer."),
        rate("image_in", As("input"), "Of pictures in the prompt, where a provider counts them apart."),
        rate("image", As("output"), "Of pictures in the answer."),
        row(
            "tiers",
            Kind::List(&Kind::Section(&PRICE_TIER)),
            Nothing,
            "Other rates for all tokens of a request with a longer prompt.",
        ),
    ],
);
pub(in crate::config) const PRICE_TIER: Schema = Schema::new(
    "`prices.models.NAME.tiers[]`",
    &[
        row("above", Kind::Integer(1, 1_000_000_000), Required, "The tokens of a prompt above which these rates hold."),
        rate("input", As("that of the model"), "Of the prompt."),
        rate("cached", As("that of the model"), "Read from a cache."),
        rate("cache_write", As("that of the model"), "Written to one."),
        rate("cache_write_1h", As("that of the model"), "Written to one for an hour."),
        rate("output", As("that of the model"), "Of the answer."),
        rate("reasoning", As("that of the model"), "Of reasoning."),
        rate("audio_in", As("that of the model"), "Of audio in the prompt."),
        rate("audio_out", As("that of the model"), "Of audio in the answer."),
        rate("image_in", As("that of the model"), "Of pictures in the prompt."),
        rate("image", As("that of the model"), "Of pictures in the answer."),
    ],
);
