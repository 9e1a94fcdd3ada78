//! Every known key, by section; any other key is a problem.

use super::problem::nearest;

/// The legal keys of one mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Its key path, for help texts.
    pub path: &'static str,
    pub keys: &'static [&'static str],
}

pub(super) const TOP: Schema = Schema {
    path: "the top level",
    keys: &[
        "providers",
        "routes",
        "routing",
        "strategies",
        "registries",
        "timeouts",
        "queue",
        "monitoring",
        "telemetry",
        "server",
        "clients",
        "network",
        "approach",
        "approaches",
        "prices",
        "state",
    ],
};
pub(super) const PROVIDER: Schema = Schema {
    path: "`providers[]`",
    keys: &[
        "name",
        "base_url",
        "api_key",
        "api_key_file",
        "weight",
        "fallback_only",
        "billed_failures",
        "max_concurrent",
        "account",
        "limits",
        "budget",
        "model_map",
        "type",
        "api_version",
        "headers",
        "timeouts",
        "health_check",
        "models",
        "price",
        "context",
        "labels",
        "tls",
        "proxy",
        "stream_usage",
    ],
};
pub(super) const ROUTE: Schema = Schema {
    path: "`routes[]`",
    keys: &["name", "models", "targets", "strategy", "timeouts", "fallbacks", "hedge", "approach", "limits", "budget"],
};
pub(super) const TARGET: Schema = Schema {
    path: "`routes[].targets[]`",
    keys: &["provider", "model", "weight", "tier", "labels", "price", "context"],
};
pub(super) const ROUTE_TIMEOUTS: Schema =
    Schema { path: "`routes[].timeouts`", keys: &["request", "connect", "first_token", "idle"] };
pub(super) const FALLBACKS: Schema =
    Schema { path: "`routes[].fallbacks`", keys: &["on_failure", "on_context_window", "on_content_policy", "max"] };
pub(super) const HEDGE: Schema = Schema { path: "`routes[].hedge`", keys: &["after", "at_most"] };
/// Of every owner of limits.
pub(super) const LIMITS: Schema = Schema {
    path: "`limits`",
    keys: &["rpm", "tpm", "rph", "tph", "rpd", "tpd", "parallel", "tokens_per_request", "on_outage"],
};
/// Of every owner of limits.
pub(super) const BUDGET: Schema =
    Schema { path: "`budget`", keys: &["usd", "per", "starts", "time_zone", "at", "on_outage"] };
pub(super) const ROUTING: Schema = Schema {
    path: "`routing`",
    keys: &["strategy", "health_check", "retries", "affinity", "attributes", "shadow", "model_names"],
};
pub(super) const ATTRIBUTE: Schema = Schema { path: "`routing.attributes.NAME`", keys: &["header", "body"] };
pub(super) const AFFINITY: Schema = Schema { path: "`routing.affinity`", keys: &["header", "body", "prompt_prefix"] };
pub(super) const PRICE: Schema = Schema { path: "`providers[].price`", keys: &["input", "output"] };
pub(super) const PRICES: Schema = Schema { path: "`prices`", keys: &["file", "models", "providers", "unpriced"] };
pub(super) const MODEL_PRICE: Schema = Schema {
    path: "`prices.models.NAME`",
    keys: &[
        "input",
        "cached",
        "cache_write",
        "cache_write_1h",
        "output",
        "reasoning",
        "audio_in",
        "audio_out",
        "image_in",
        "image",
        "tiers",
    ],
};
pub(super) const PRICE_TIER: Schema = Schema {
    path: "`prices.models.NAME.tiers[]`",
    keys: &[
        "above",
        "input",
        "cached",
        "cache_write",
        "cache_write_1h",
        "output",
        "reasoning",
        "audio_in",
        "audio_out",
        "image_in",
        "image",
    ],
};
pub(super) const HEALTH_CHECK: Schema =
    Schema { path: "`routing.health_check`", keys: &["enabled", "interval", "timeout", "cooldown", "failures"] };
pub(super) const PROVIDER_CHECK: Schema =
    Schema { path: "`providers[].health_check`", keys: &["enabled", "path", "interval", "timeout"] };
pub(super) const STRATEGY: Schema =
    Schema { path: "`strategies.NAME`", keys: &["path", "built_in", "image", "signed_by", "config", "grants"] };
pub(super) const REGISTRY: Schema =
    Schema { path: "`registries.HOST`", keys: &["username", "password", "password_file", "http"] };
pub(super) const STRATEGY_LIMITS: Schema =
    Schema { path: "`strategies.limits`", keys: &["max_bytes", "compile_memory", "compile_timeout"] };
pub(super) const TIMEOUTS: Schema = Schema { path: "`timeouts`", keys: &["request", "connect", "idle"] };
pub(super) const QUEUE: Schema =
    Schema { path: "`queue`", keys: &["max_concurrent", "max_waiting", "timeout", "slot_wait"] };
pub(super) const MONITORING: Schema = Schema {
    path: "`monitoring`",
    keys: &[
        "log_level",
        "log_format",
        "track_latency",
        "track_errors",
        "interval",
        "explain",
        "usage",
        "record",
        "record_max_bytes",
        "ledger",
        "labels",
    ],
};
pub(super) const LEDGER: Schema =
    Schema { path: "`monitoring.ledger`", keys: &["path", "keep", "max_bytes", "stories"] };
pub(super) const TELEMETRY: Schema = Schema { path: "`telemetry`", keys: &["otlp", "traces", "metrics"] };
pub(super) const OTLP: Schema = Schema {
    path: "`telemetry.otlp`",
    keys: &["endpoint", "protocol", "headers", "service_name", "attributes", "timeout", "compression", "tls"],
};
pub(super) const OTLP_TLS: Schema = Schema { path: "`telemetry.otlp.tls`", keys: &["ca", "cert", "key"] };
pub(super) const TRACES: Schema = Schema { path: "`telemetry.traces`", keys: &["ratio", "always", "propagate"] };
pub(super) const ALWAYS: Schema = Schema { path: "`telemetry.traces.always[]`", keys: &["slower_than"] };
pub(super) const OTLP_METRICS: Schema = Schema { path: "`telemetry.metrics`", keys: &["interval"] };
pub(super) const SERVER: Schema = Schema {
    path: "`server`",
    keys: &[
        "host",
        "port",
        "api_keys",
        "cors",
        "hosts",
        "forward_headers",
        "max_body_bytes",
        "max_buffered_bytes",
        "max_header_bytes",
        "max_connections",
        "header_timeout",
        "idle_timeout",
        "drain_delay",
        "drain_timeout",
        "keep_alive",
        "watch",
        "tls",
        "admin",
    ],
};
pub(super) const TLS: Schema = Schema { path: "`server.tls`", keys: &["cert", "key"] };
pub(super) const CORS: Schema = Schema { path: "`server.cors`", keys: &["origins"] };
pub(super) const NETWORK: Schema = Schema { path: "`network`", keys: &["proxy"] };
pub(super) const PROVIDER_TLS: Schema =
    Schema { path: "`providers[].tls`", keys: &["ca", "cert", "key", "server_name"] };
pub(super) const ADMIN: Schema = Schema { path: "`server.admin`", keys: &["host", "port", "api_key"] };

pub(super) const CLIENTS: Schema =
    Schema { path: "`clients`", keys: &["unknown", "groups", "keys", "header", "store"] };
pub(super) const CLIENT_GROUP: Schema = Schema { path: "`clients.groups[]`", keys: &["name", "limits", "budget"] };
pub(super) const CLIENT_KEY: Schema = Schema {
    path: "`clients.keys[]`",
    keys: &[
        "name",
        "group",
        "hash",
        "key",
        "key_file",
        "models",
        "expires",
        "limits",
        "budget",
        "when_exhausted",
        "notify",
    ],
};
/// What operators may say about a key at run time.
pub(super) const KEY_TERMS: Schema = Schema {
    path: "the key",
    keys: &["name", "group", "models", "expires", "limits", "budget", "when_exhausted", "notify"],
};
pub(super) const CLIENT_STORE: Schema = Schema { path: "`clients.store`", keys: &["path"] };

pub(super) const APPROACH: Schema = Schema {
    path: "`approach`",
    keys: &[
        "default",
        "allow",
        "max_calls",
        "max_tokens",
        "timeout",
        "parallel",
        "cpu",
        "fan_out",
        "pipeline",
        "progress",
        "heartbeat",
        "list",
        "record",
        "record_max_bytes",
    ],
};
pub(super) const APPROACH_ENTRY: Schema = Schema {
    path: "`approaches.NAME`",
    keys: &["path", "image", "signed_by", "config", "models", "max_calls", "memory", "on_fault"],
};

pub(super) const STATE: Schema = Schema {
    path: "`state`",
    keys: &[
        "url",
        "sentinel",
        "username",
        "password",
        "password_file",
        "tls",
        "prefix",
        "timeout",
        "on_outage",
        "required",
    ],
};
pub(super) const SENTINEL: Schema = Schema { path: "`state.sentinel`", keys: &["name", "urls"] };
pub(super) const STATE_TLS: Schema = Schema { path: "`state.tls`", keys: &["ca", "cert", "key"] };

pub(super) const ALL: &[Schema] = &[
    TOP,
    PROVIDER,
    PRICE,
    ROUTING,
    AFFINITY,
    ATTRIBUTE,
    ROUTE,
    TARGET,
    ROUTE_TIMEOUTS,
    FALLBACKS,
    HEDGE,
    LIMITS,
    BUDGET,
    HEALTH_CHECK,
    PROVIDER_CHECK,
    STRATEGY,
    REGISTRY,
    STRATEGY_LIMITS,
    TIMEOUTS,
    QUEUE,
    MONITORING,
    LEDGER,
    TELEMETRY,
    OTLP,
    OTLP_TLS,
    TRACES,
    ALWAYS,
    OTLP_METRICS,
    SERVER,
    TLS,
    CORS,
    ADMIN,
    NETWORK,
    PROVIDER_TLS,
    CLIENTS,
    CLIENT_GROUP,
    CLIENT_KEY,
    CLIENT_STORE,
    APPROACH,
    APPROACH_ENTRY,
    PRICES,
    MODEL_PRICE,
    PRICE_TIER,
    STATE,
    SENTINEL,
    STATE_TLS,
];

/// Help for a key that `schema` does not have: a similar key, the section where it belongs, or the whole list.
pub(super) fn help_for_unknown(key: &str, schema: Schema) -> String {
    if let Some(near) = nearest(key, schema.keys) {
        return format!("did you mean `{near}`?");
    }
    let homes: Vec<&str> = ALL.iter().filter(|other| other.keys.contains(&key)).map(|other| other.path).collect();
    if homes.is_empty() {
        format!("known keys: {}", schema.keys.join(", "))
    } else {
        format!("it belongs to {}", homes.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helps_with_spelling_then_with_the_section_then_with_the_list() {
        assert_eq!(help_for_unknown("slotwait", QUEUE), "did you mean `slot_wait`?");
        assert_eq!(help_for_unknown("strategy", TOP), "it belongs to `routing` or `routes[]`");
        assert_eq!(help_for_unknown("max_concurrent", TOP), "it belongs to `providers[]` or `queue`");
        assert_eq!(
            help_for_unknown("colour", ROUTING),
            "known keys: strategy, health_check, retries, affinity, attributes, shadow, model_names"
        );
    }
}
