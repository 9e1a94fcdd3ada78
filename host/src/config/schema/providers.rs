//! The keys of providers, and those of limits, which every owner of limits has.

use super::{Absent, COUNT, Kind, MODELS, PATH, Row, Schema, row};

use Absent::{As, Is, Nothing, Required};

/// Model names, or patterns with one `*`.
const NAMES: Kind = Kind::Map(&Kind::Text, &[]);
/// The price of a provider or a target, in place of one by model.
pub(super) const PRICE_KIND: Kind =
    Kind::OneOf(&[Kind::Number(0.0, 1e12), Kind::Word(&["reported"]), Kind::Section(&PRICE)]);
/// The price of a target, whose answers are read as its provider says.
pub(super) const TARGET_PRICE: Kind = Kind::OneOf(&[Kind::Number(0.0, 1e12), Kind::Section(&PRICE)]);
/// One budget or several.
const BUDGETS: Kind = Kind::OneOf(&[Kind::Section(&BUDGET), Kind::List(&Kind::Section(&BUDGET))]);
/// Numbers of requests or tokens.
const AMOUNT: Kind = Kind::Integer(1, 10_000_000_000);
const OUTAGES: Kind = Kind::Word(&["local", "closed", "open"]);

pub(super) const LIMITS_ROW: Row =
    row("limits", Kind::Section(&LIMITS), Nothing, "How much may be asked for; each limit on its own.");
pub(super) const BUDGET_ROW: Row =
    row("budget", BUDGETS, Nothing, "What that may cost: one budget or a list of several.");

pub(in crate::config) const PROVIDER: Schema = Schema::with(
    "`providers[]`",
    &["api_key", "api_key_file"],
    &[
        row("name", Kind::Text, As("provider_ and its position from 0, with a warning"), "Its name; unique."),
        row(
            "base_url",
            Kind::Text,
            Required,
            "The address of its API, http or https; or a socket in the file system and after a colon the path of the API there.",
        ),
        row("api_key", Kind::Secret, Nothing, "Its key; a server that wants none accepts any text."),
        row("api_key_file", PATH, Nothing, "In place of `api_key`: a file that holds it, read again when it changes."),
        row("weight", Kind::Above(0.0, 1e12), Is("1"), "Its share of the requests, for the strategy `weighted`."),
        row("fallback_only", Kind::Boolean, Is("false"), "True: only when all others have failed."),
        row(
            "billed_failures",
            Kind::Boolean,
            Is("false"),
            "True: it bills the prompt of a request that it fails to answer, so that limits are charged with it.",
        ),
        row("max_concurrent", COUNT, As("no limit"), "Requests at once."),
        row(
            "account",
            Kind::Text,
            As("the provider's name"),
            "Its account at the vendor; providers of one account share its limits.",
        ),
        LIMITS_ROW,
        BUDGET_ROW,
        row(
            "model_map",
            NAMES,
            Nothing,
            "The client's name of a model: this provider's; one `*` is a wildcard, and a `*` in the value what it stood for.",
        ),
        row(
            "models",
            MODELS,
            As("any"),
            "The models that it serves, others are not sent to it; one `*` is a wildcard.",
        ),
        row(
            "price",
            PRICE_KIND,
            As("unknown"),
            "Dollars for a million tokens, one number or two; `reported`: the cost that its answers name counts.",
        ),
        row(
            "stream_usage",
            Kind::Word(&["auto", "never"]),
            Is("auto"),
            "Whether it may be asked for the usage of a stream whose client does not say; `never`: it understands no stream_options.",
        ),
        row(
            "context",
            Kind::Integer(1, 1_000_000_000),
            As("unknown"),
            "The tokens that a request and its answer may have.",
        ),
        row("labels", Kind::Map(&Kind::Text, &[]), Nothing, "Whatever else strategies may know of it; no secrets."),
        row(
            "type",
            Kind::Word(&["openai", "azure"]),
            As("azure for hosts of Azure, else openai"),
            "Its dialect: that of OpenAI, or that of Azure.",
        ),
        row("api_version", Kind::Text, Is("\"2024-10-21\""), "The version of Azure's API."),
        row("headers", Kind::Map(&Kind::Secret, &[]), Nothing, "Headers that are sent with every request."),
        row(
            "timeouts",
            Kind::Section(&PROVIDER_TIMEOUTS),
            As("the global ones, each on its own"),
            "How long an attempt at it may take.",
        ),
        row(
            "health_check",
            Kind::Section(&PROVIDER_CHECK),
            As("the settings under `routing`, each on its own"),
            "How it is checked.",
        ),
        row(
            "tls",
            Kind::Section(&PROVIDER_TLS),
            As("the system's certificates, the URL's name"),
            "Whom to trust, and the certificate to show, where base_url begins with https.",
        ),
        row(
            "http",
            Kind::OneOf(&[Kind::Word(&["auto", "1.1", "2"]), Kind::Number(1.1, 1.1), Kind::Integer(2, 2)]),
            Is("1.1"),
            "2: many requests on each connection, by ALPN over TLS; auto: as the provider prefers, where the URL begins with https.",
        ),
        row("proxy", Kind::Secret, As("network.proxy"), "A forward proxy: none, env, or the URL of an HTTP proxy."),
    ],
);
pub(in crate::config) const PRICE: Schema = Schema::new(
    "`providers[].price`",
    &[
        row("input", Kind::Number(0.0, 1e12), Required, "Of a million tokens of a request."),
        row("output", Kind::Number(0.0, 1e12), Required, "Of a million tokens of an answer."),
    ],
);
pub(in crate::config) const PROVIDER_CHECK: Schema = Schema::new(
    "`providers[].health_check`",
    &[
        row(
            "enabled",
            Kind::Boolean,
            As("that of `routing.health_check`"),
            "False: it is never asked but by requests of clients.",
        ),
        row(
            "path",
            Kind::Text,
            As("models"),
            "What is asked for: below base_url, or with a slash in front below the server's root.",
        ),
        row("interval", Kind::Seconds, As("that of `routing.health_check`"), "Between two checks."),
        row("timeout", Kind::Seconds, As("that of `routing.health_check`"), "For one check."),
    ],
);
pub(in crate::config) const PROVIDER_TLS: Schema = Schema::new(
    "`providers[].tls`",
    &[
        row(
            "ca",
            PATH,
            As("the system's certificates"),
            "A PEM file: whom to trust instead, a CA or the server's own certificate.",
        ),
        row("cert", PATH, Nothing, "A PEM file: the chain of a client certificate."),
        row("key", PATH, Nothing, "A PEM file: its private key."),
        row("server_name", Kind::Text, As("the URL's host"), "The name that the server's certificate must have."),
    ],
);
pub(in crate::config) const TIMEOUTS: Schema = Schema::new(
    "`timeouts`",
    &[
        row(
            "request",
            Kind::Seconds,
            Is("30"),
            "The whole exchange with one provider, or up to the first event of a stream.",
        ),
        row("connect", Kind::Seconds, Is("5"), "Connecting, TLS included; part of the above."),
        row("idle", Kind::Seconds, As("that of `request`"), "Between two events of a stream."),
    ],
);
pub(in crate::config) const PROVIDER_TIMEOUTS: Schema = Schema::new(
    "`providers[].timeouts`",
    &[
        row(
            "request",
            Kind::Seconds,
            As("that of `timeouts`"),
            "The whole exchange, or up to the first event of a stream.",
        ),
        row("connect", Kind::Seconds, As("that of `timeouts`"), "Connecting, TLS included; part of the above."),
        row("idle", Kind::Seconds, As("that of `timeouts`"), "Between two events of a stream."),
    ],
);
/// Of every owner of limits.
pub(in crate::config) const LIMITS: Schema = Schema::new(
    "`limits`",
    &[
        row("rpm", AMOUNT, Nothing, "Requests in a minute; they come back continuously."),
        row("tpm", AMOUNT, Nothing, "Tokens in a minute, of requests and answers."),
        row("rph", AMOUNT, Nothing, "Requests in an hour."),
        row("tph", AMOUNT, Nothing, "Tokens in an hour."),
        row("rpd", AMOUNT, Nothing, "Requests in a day."),
        row("tpd", AMOUNT, Nothing, "Tokens in a day."),
        row("parallel", COUNT, Nothing, "Requests at once."),
        row("tokens_per_request", AMOUNT, Nothing, "Tokens of one request and its answer."),
        row(
            "on_outage",
            OUTAGES,
            As("state.on_outage"),
            "What holds while the engine that replicas share does not answer.",
        ),
    ],
);
/// Of every owner of limits.
pub(in crate::config) const BUDGET: Schema = Schema::new(
    "`budget`",
    &[
        row("usd", Kind::Above(0.0, 9e6), Required, "Dollars."),
        row(
            "per",
            Kind::Formed(
                "^(hour|day|week|month|total|[0-9]{1,3}d)$",
                "hour, day, week, month, total, or days such as 30d",
            ),
            Required,
            "The time in which they may be spent; in a number of days what was spent comes back continuously.",
        ),
        row(
            "starts",
            Kind::OneOf(&[
                Kind::Integer(1, 31),
                Kind::AnyCase(&["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]),
            ]),
            As("1, or monday"),
            "The day of the month, in a shorter month its last; for a week, the day of the week.",
        ),
        row("time_zone", Kind::Text, Is("UTC"), "Such as Europe/Berlin."),
        row(
            "at",
            Kind::Formed("^([01][0-9]|2[0-3]):[0-5][0-9]$", "a time of day such as \"06:30\""),
            Is("\"00:00\""),
            "The time of day at which a day, a week or a month begins.",
        ),
        row(
            "on_outage",
            OUTAGES,
            As("state.on_outage"),
            "What holds while the engine that replicas share does not answer.",
        ),
    ],
);
