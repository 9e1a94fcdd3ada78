//! Recognises a LiteLLM configuration and reports that as one problem, instead of a list of unknown keys.

use super::node::{Node, NodeKind};
use super::problem::{Findings, Place, Reported};

/// The top-level keys of a LiteLLM configuration; the first one is in every such file.
pub(super) const KEYS: [&str; 5] =
    ["model_list", "litellm_settings", "router_settings", "general_settings", "environment_variables"];

/// Names the importer, and the keys that mean the same here.
const REMEDY: &str = "`pointsman import litellm FILE --output proxy_config.yaml` translates it, and reports what became of each key:\n\
    model_list[].model_name       routes[].models\n\
    litellm_params.model          routes[].targets[].model, without `openai/` and the like\n\
    litellm_params.api_base       providers[].base_url\n\
    litellm_params.api_key        providers[].api_key, with ${NAME} instead of os.environ/NAME\n\
    litellm_params.weight         routes[].targets[].weight\n\
    fallbacks                     routes[].fallbacks\n\
    router_settings               routing.strategy, timeouts\n\
    general_settings.master_key   server.api_keys";

/// Reports a file that has LiteLLM's keys and no `providers`, which every configuration of Pointsman has.
pub(super) fn recognise(root: Option<&Node>, findings: &mut Findings) -> Result<(), Reported> {
    let Some(Node { kind: NodeKind::Map(entries), .. }) = root else { return Ok(()) };
    if entries.iter().any(|(key, _)| key.text == "providers") {
        return Ok(());
    }
    let found = entries.iter().find(|(key, _)| KEYS.contains(&key.text.as_str()));
    let Some((key, _)) = found else { return Ok(()) };
    let at = Place::file().key(&key.text, key.line);
    Err(findings.problem(
        &at,
        "this is a LiteLLM configuration, which Pointsman does not read directly",
        Some(REMEDY.to_owned()),
    ))
}
