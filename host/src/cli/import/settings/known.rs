//! Settings that do not appear in the output: the reason, and the alternative.

use crate::cli::import::report::Status;

/// Keys with the same verdict. A key that ends in `*` stands for all keys with that prefix.
pub(super) type Table = &'static [(&'static [&'static str], Status, &'static str)];

const STATE: &str = "replicas share limits by `state`; answers are not cached";
const BUDGET: &str =
    "set `budget` of the keys and groups under `clients`, of routes or of providers: this one is not enforced";
const TAGS: &str = "there is no budget of a tag: give the keys that send it a group with a budget, or its deployments a route with one";
const LIMIT: &str = "set `limits` of the keys and groups under `clients`: this one is not enforced";
const CLIENTS: &str = "clients are the keys under `clients`; `--keys` brings those of LiteLLM's database";
const CALLBACK: &str = "metrics for Prometheus are at /metrics; there is no other export yet";
const FIDELITY: &str = "requests reach the provider byte for byte";
const NONE: &str = "Pointsman has no such feature";

pub(super) const TOP: Table = &[
    (
        &["environment_variables"],
        Status::Manual,
        "set them where the server runs, in its unit, container or shell; their values are not repeated here",
    ),
    (&["callback_settings"], Status::Unsupported, CALLBACK),
    (
        &[
            "guardrails",
            "mcp_servers",
            "mcp_tools",
            "mcp_aliases",
            "files_settings",
            "finetune_settings",
            "assistant_settings",
            "search_tools",
            "vector_store_registry",
            "vector_store_registries",
            "prompts",
            "policies",
            "policy_attachments",
            "agent_list",
            "agents",
            "sandbox*",
            "skills",
            "ui_settings",
        ],
        Status::Unsupported,
        NONE,
    ),
];

pub(super) const ROUTER: Table = &[
    (&["redis_*", "cache_kwargs"], Status::Manual, STATE),
    (&["deployment_budget_config"], Status::Manual, "set `budget` of its provider: this one is not enforced"),
    (&["tag_budget_config"], Status::Manual, TAGS),
    (
        &["retry_policy", "model_group_retry_policy", "retry_after"],
        Status::Approximate,
        "whether another target is tried depends on the failure: see the README, How it fails",
    ),
    (
        &["allowed_fails_policy", "model_group_allowed_fails_policy"],
        Status::Approximate,
        "the failures that eject a provider are fixed: refused keys and connections at once, others after health_check.failures",
    ),
    (
        &["enable_pre_call_checks", "enable_pre_call_check"],
        Status::Manual,
        "nothing is counted before the call; `context_window_fallbacks` become `on_context_window`",
    ),
    (
        &["optional_pre_call_checks", "deployment_affinity_ttl_seconds"],
        Status::Manual,
        "requests that belong together are kept together by routing.affinity and the strategy affinity",
    ),
    (
        &["enable_tag_filtering", "tag_filtering_match_any"],
        Status::Manual,
        "tags are labels of targets; a strategy that reads routing.attributes can choose by them",
    ),
    (&["routing_strategy_args"], Status::Manual, "the options of a strategy are under strategies.NAME.config"),
    (&["default_max_parallel_requests"], Status::Manual, "set providers[].max_concurrent for each provider"),
    (&["default_litellm_params"], Status::Unsupported, FIDELITY),
    (&["caching_groups", "cache_responses"], Status::Unsupported, "answers are not cached"),
    (
        &["default_priority", "polling_interval", "scheduler*"],
        Status::Unsupported,
        "requests that wait are served first come, first served",
    ),
    (&["client_ttl", "ignore_invalid_deployments", "router_general_settings"], Status::Unsupported, NONE),
    (&["alerting_config"], Status::Unsupported, "Pointsman sends no alerts; metrics for Prometheus are at /metrics"),
    (&["assistants_config", "search_tools", "guardrail_list", "auto_router*"], Status::Unsupported, NONE),
];

pub(super) const LITELLM: Table = &[
    (
        &[
            "drop_params",
            "modify_params",
            "additional_drop_params",
            "enable_preview_features",
            "disable_add_*",
            "LITELLM_*",
        ],
        Status::Unsupported,
        FIDELITY,
    ),
    (
        &[
            "callbacks",
            "success_callback",
            "failure_callback",
            "service_callbacks",
            "prometheus*",
            "langfuse*",
            "otel*",
            "datadog*",
            "s3_callback_params",
            "gcs_*",
            "custom_prometheus*",
        ],
        Status::Manual,
        CALLBACK,
    ),
    (
        &["turn_off_message_logging", "redact_*", "log_raw_request_response"],
        Status::Exact,
        "prompts and answers are never logged",
    ),
    (
        &["cache", "cache_params", "enable_caching*", "caching*"],
        Status::Manual,
        "answers are not cached; replicas share limits by `state`",
    ),
    (
        &[
            "max_user_budget",
            "max_internal_user_budget",
            "internal_user_budget_duration",
            "max_end_user_budget",
            "budget_reset_time",
        ],
        Status::Manual,
        BUDGET,
    ),
    (
        &[
            "upperbound_key_generate_params",
            "default_key_generate_params",
            "default_internal_user_params",
            "default_team_params",
            "default_team_settings",
            "key_generation_settings",
            "default_user_params",
            "enable_key_alias_format_validation",
        ],
        Status::Manual,
        CLIENTS,
    ),
    (&["max_parallel_requests", "public_model_groups", "public_model_groups_links"], Status::Manual, LIMIT),
    (
        &["ssl_verify", "ssl_certificate", "ssl_security_level"],
        Status::Unsupported,
        "certificates are always verified; `providers[].tls` names the authorities to trust and the client certificate",
    ),
    (
        &["force_ipv4", "aiohttp_trust_env", "disable_aiohttp*", "network_mock"],
        Status::Unsupported,
        "`network.proxy` says whether the environment's proxies are used",
    ),
    (
        &[
            "disable_end_user_cost_tracking*",
            "disable_hf_tokenizer_download",
            "disable_copilot*",
            "enable_json_schema_validation",
            "use_chat_completions_url*",
            "cost_discount_config",
            "cost_margin_config",
            "guardrails",
            "mcp_aliases",
            "require_auth_for_metrics_endpoint",
            "suppress_debug_info",
            "telemetry",
            "global_disable*",
            "cold_storage*",
            "priority_reservation*",
            "forward_traceparent*",
            "add_function_to_prompt",
            "json_schema*",
        ],
        Status::Unsupported,
        NONE,
    ),
    (
        &["retry_policy", "num_retries_per_request"],
        Status::Approximate,
        "whether another target is tried depends on the failure: see the README, How it fails",
    ),
    (&["tag_budget_config"], Status::Manual, TAGS),
    (&["default_redis*", "redis*"], Status::Manual, STATE),
];

pub(super) const GENERAL: Table = &[
    (
        &[
            "database_*",
            "store_model_in_db",
            "supported_db_objects",
            "allow_requests_on_db_unavailable",
            "disable_prisma_schema_update",
            "use_redis_transaction_buffer",
            "proxy_batch_*",
            "user_api_key_cache_ttl",
            "disable_adding_master_key_hash_to_db",
            "disable_master_key_return",
            "disable_reset_budget",
            "proxy_budget_rescheduler_*",
        ],
        Status::Manual,
        CLIENTS,
    ),
    (
        &[
            "custom_auth*",
            "custom_key_generate",
            "custom_sso",
            "enable_jwt_auth",
            "litellm_jwtauth",
            "enable_oauth2*",
            "oauth2_config_mappings",
            "allow_user_auth",
            "default_team_disabled",
            "service_account_settings",
            "enforce_user_param",
            "enforced_params",
            "allow_client_side_credentials",
            "reject_clientside_metadata_tags",
            "allowed_routes",
            "admin_only_routes",
            "public_routes",
            "ui_access_mode",
            "role_permissions",
            "user_header_name",
            "user_header_mappings",
            "use_x_forwarded_for",
        ],
        Status::Unsupported,
        "clients send a key of `clients` in Authorization, x-api-key, api-key or clients.header",
    ),
    (&["max_parallel_requests"], Status::Manual, LIMIT),
    (
        &["key_management_*", "use_azure_key_vault", "use_google_kms", "secret_manager*"],
        Status::Manual,
        "secrets come from variables, ${NAME}, and files, ${file:PATH}",
    ),
    (
        &["alerting*", "alert_types", "alert_to_webhook_url", "spend_report_frequency"],
        Status::Unsupported,
        "Pointsman sends no alerts; metrics for Prometheus are at /metrics",
    ),
    (
        &["pass_through_endpoints", "use_client_credentials_pass_through_routes"],
        Status::Unsupported,
        "every path under /v1 is passed on, others are not",
    ),
    (
        &[
            "store_prompts_in_spend_logs",
            "disable_spend_logs",
            "disable_spend_updates",
            "maximum_spend_logs_*",
            "disable_error_logs",
        ],
        Status::Unsupported,
        "prompts are never stored; the log has a line for each request",
    ),
    (
        &["completion_model", "embedding_model", "image_generation_model", "moderation_model", "infer_model_from_keys"],
        Status::Unsupported,
        "the model is the one that the client names",
    ),
    (
        &["forward_openai_org_id", "forward_client_headers_to_llm_api", "forward_llm_provider_auth_headers"],
        Status::Approximate,
        "all headers are forwarded except those about the client; server.forward_headers adds some of these",
    ),
    (&["allowed_ips"], Status::Unsupported, "use a firewall for it"),
    (&["max_response_size_mb"], Status::Unsupported, "answers are passed on as they come, and have no limit"),
    (
        &["health_check_*", "use_shared_health_check", "background_health_check_*"],
        Status::Unsupported,
        "checks only ask for the list of models",
    ),
    (
        &[
            "litellm_license",
            "user_mcp_management_mode",
            "mcp_*",
            "disable_responses_id_security",
            "disable_retry_on_max_parallel_request_limit_error",
            "enable_public_model_hub",
            "enable_mcp*",
            "cors*",
            "search_tools*",
        ],
        Status::Unsupported,
        NONE,
    ),
];

/// The verdict on a key, if a table has it.
pub(super) fn of(table: Table, key: &str) -> Option<(Status, &'static str)> {
    let same = |known: &&str| match known.strip_suffix('*') {
        Some(begin) => key.starts_with(begin),
        None => *known == key,
    };
    table.iter().find(|(keys, ..)| keys.iter().any(same)).map(|(_, status, note)| (*status, *note))
}
