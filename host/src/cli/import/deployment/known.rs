//! Keys of a deployment that do not become part of a target: the reason, and the alternative.

use crate::cli::import::report::Status;

/// Keys with the same verdict.
pub(super) type Table = &'static [(&'static [&'static str], Status, &'static str)];

/// Keys of `litellm_params` that belong elsewhere here, or have no meaning here.
pub(super) const PARAMS: Table = &[
    (
        &[
            "temperature",
            "top_p",
            "top_k",
            "n",
            "stop",
            "seed",
            "max_tokens",
            "max_completion_tokens",
            "stream",
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "user",
            "response_format",
            "tools",
            "tool_choice",
            "functions",
            "function_call",
            "parallel_tool_calls",
            "reasoning_effort",
            "thinking",
            "service_tier",
            "store",
            "modalities",
            "extra_body",
            "prompt_id",
            "dimensions",
            "encoding_format",
            "web_search_options",
            "verbosity",
            "stream_options",
            "metadata",
        ],
        Status::Unsupported,
        "requests reach the provider byte for byte, so defaults for them belong to the client",
    ),
    (
        &[
            "drop_params",
            "additional_drop_params",
            "modify_params",
            "allowed_openai_params",
            "merge_reasoning_content_in_choices",
            "cache_control_injection_points",
            "use_chat_completions_api",
            "supports_system_message",
            "initial_prompt_value",
            "roles",
            "final_prompt_value",
            "bos_token",
            "eos_token",
            "hf_model_name",
            "custom_prompt_dict",
        ],
        Status::Unsupported,
        "requests reach the provider byte for byte",
    ),
    (
        &["max_retries", "num_retries"],
        Status::Approximate,
        "each target is tried once and then the next; `routing.retries` says how often a request goes round again",
    ),
    (&["cooldown_time"], Status::Approximate, "`routing.health_check.cooldown` holds for all providers"),
    (
        &[
            "input_cost_per_second",
            "output_cost_per_second",
            "input_cost_per_pixel",
            "output_cost_per_pixel",
            "input_cost_per_image",
            "output_cost_per_image",
            "input_cost_per_token_batches",
            "output_cost_per_token_batches",
            "input_cost_per_character",
            "output_cost_per_character",
        ],
        Status::Unsupported,
        "tokens have prices here (docs/prices.md); what is billed by the second, the picture or the character has none",
    ),
    (
        &[
            "azure_ad_token",
            "tenant_id",
            "client_id",
            "client_secret",
            "azure_username",
            "azure_password",
            "azure_scope",
        ],
        Status::Manual,
        "tokens of Entra ID are not asked for; the provider has to be given an api_key of the resource",
    ),
    (
        &[
            "guardrails",
            "mock_response",
            "use_in_pass_through",
            "litellm_trace_id",
            "configurable_clientside_auth_params",
            "use_litellm_proxy",
        ],
        Status::Unsupported,
        "Pointsman has no such feature",
    ),
    (
        &["ssl_verify"],
        Status::Unsupported,
        "certificates are always verified; `providers[].tls.ca` names the authorities to trust",
    ),
];

/// Keys of `model_info` that belong elsewhere here, or have no meaning here.
pub(super) const INFO: Table = &[
    (
        &[
            "access_groups",
            "team_id",
            "team_public_model_name",
            "access_via_team_ids",
            "direct_access",
            "created_by",
            "created_at",
            "updated_at",
            "updated_by",
            "db_model",
        ],
        Status::Manual,
        "say under `clients` which models a key may use (`models`), or let routes name them",
    ),
    (
        &["health_check_model", "health_check_timeout", "health_check_max_tokens", "disable_background_health_check"],
        Status::Approximate,
        "checks ask for the list of models, which costs nothing; `providers[].health_check` has their settings",
    ),
    (
        &["metadata", "description", "version", "litellm_provider", "supported_environments"],
        Status::Unsupported,
        "Pointsman does not use it",
    ),
];

pub(super) fn known(table: Table, key: &str) -> Option<(Status, &'static str)> {
    let found = table.iter().find(|(keys, ..)| keys.contains(&key)).map(|(_, status, note)| (*status, *note));
    let supports = key.starts_with("supports_") || key.starts_with("max_output") || key.starts_with("supported_openai");
    found.or_else(|| supports.then_some((Status::Unsupported, "Pointsman does not use it")))
}

/// Keys of vendors that have their own ways of signing requests.
pub(super) fn signed(key: &str) -> Option<(Status, &'static str)> {
    let signed = ["aws_", "vertex_", "watsonx_", "s3_", "gcs_", "oci_"].iter().any(|begin| key.starts_with(begin))
        || matches!(key, "region_name" | "api_region" | "project_id" | "space_id");
    signed.then_some((Status::Unsupported, "belongs to a vendor that has its own way of signing requests"))
}
