//! Providers to begin with. Each address and variable comes from the vendor's documentation for OpenAI's SDKs.

use crate::config::nearest;

/// One provider to begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Starter {
    /// Its name, also in the file.
    pub name: &'static str,
    /// The address of its API; `None` where everybody has another.
    pub base_url: Option<&'static str>,
    /// An example of the address.
    pub such_as: &'static str,
    /// The variable that usually holds its key; `None` if servers need none.
    pub variable: Option<&'static str>,
    /// A model to try.
    pub model: &'static str,
    /// The names of its models, for files with more than one provider; empty is any.
    pub models: &'static [&'static str],
}

const fn vendor(
    name: &'static str,
    base_url: &'static str,
    variable: &'static str,
    model: &'static str,
    models: &'static [&'static str],
) -> Starter {
    Starter { name, base_url: Some(base_url), such_as: base_url, variable: Some(variable), model, models }
}

const GPT: &[&str] = &["gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "text-embedding-*"];

/// The names begin with their vendor's.
const OPENROUTER: &[&str] = &["openai/*", "anthropic/*", "google/*", "mistralai/*", "deepseek/*", "qwen/*"];

pub(super) const STARTERS: [Starter; 13] = [
    vendor("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-4o-mini", GPT),
    vendor("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "claude-sonnet-4-5", &["claude-*"]),
    Starter {
        name: "azure",
        base_url: None,
        such_as: "https://NAME.openai.azure.com",
        variable: Some("AZURE_OPENAI_API_KEY"),
        model: "gpt-4o-mini",
        models: GPT,
    },
    vendor(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        "gemini-2.5-flash",
        &["gemini-*"],
    ),
    vendor(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        "mistral-small-latest",
        &["mistral-*", "ministral-*", "codestral-*"],
    ),
    vendor("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "deepseek-chat", &["deepseek-*"]),
    vendor("xai", "https://api.x.ai/v1", "XAI_API_KEY", "grok-3-mini", &["grok-*"]),
    vendor("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "llama-3.3-70b-versatile", &["llama-*"]),
    vendor(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        &["meta-llama/*"],
    ),
    vendor("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "openai/gpt-4o-mini", OPENROUTER),
    Starter {
        name: "ollama",
        base_url: Some("http://localhost:11434/v1"),
        such_as: "http://localhost:11434/v1",
        variable: None,
        model: "llama3.2",
        models: &[],
    },
    Starter {
        name: "vllm",
        base_url: None,
        such_as: "http://localhost:8001/v1",
        variable: None,
        model: "the-model-it-serves",
        models: &[],
    },
    Starter {
        name: "other",
        base_url: None,
        such_as: "https://llm.internal/v1",
        variable: Some("LLM_API_KEY"),
        model: "gpt-4o-mini",
        models: &[],
    },
];

/// The names of all, for people.
pub(super) fn names() -> String {
    STARTERS.iter().map(|starter| starter.name).collect::<Vec<_>>().join(", ")
}

/// The one with this name.
pub(super) fn named(name: &str) -> Result<&'static Starter, String> {
    let known = STARTERS.iter().find(|starter| starter.name.eq_ignore_ascii_case(name.trim()));
    known.ok_or_else(|| {
        let all: Vec<&str> = STARTERS.iter().map(|starter| starter.name).collect();
        let near = nearest(name, &all).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("{name:?} is none of {}{near}", names())
    })
}

/// Those whose key is there, as far as the name of its variable tells, and whose address is known.
pub(super) fn with_key(is_set: &dyn Fn(&str) -> bool) -> Vec<&'static Starter> {
    let has_key = |starter: &&Starter| starter.base_url.is_some() && starter.variable.is_some_and(is_set);
    STARTERS.iter().filter(has_key).collect()
}
