//! LiteLLM's prefixes of models: their vendors, and the address of each vendor's OpenAI-compatible API.
//!
//! Each base URL comes from the vendor's documentation for OpenAI's SDKs. Each variable is the one from which LiteLLM
//! reads the key if the file has none.

use super::report::Status;

/// One prefix.
#[derive(Debug)]
pub(super) struct Vendor {
    /// The prefix without its slash, which is also the provider's name.
    pub prefix: &'static str,
    /// The base URL; `None` if each installation has its own, which is then in `base_variable`.
    pub base_url: Option<&'static str>,
    /// The variable of the key; `None` if servers need none.
    pub key: Option<&'static str>,
    /// The verdict on its models.
    pub status: Status,
}

const fn exact(prefix: &'static str, base_url: &'static str, key: &'static str) -> Vendor {
    Vendor { prefix, base_url: Some(base_url), key: Some(key), status: Status::Exact }
}

const fn close(prefix: &'static str, base_url: &'static str, key: &'static str) -> Vendor {
    Vendor { prefix, base_url: Some(base_url), key: Some(key), status: Status::Approximate }
}

const fn own(prefix: &'static str, key: Option<&'static str>) -> Vendor {
    Vendor { prefix, base_url: None, key, status: Status::Exact }
}

pub(super) const AZURE: &str = "azure";

const VENDORS: [Vendor; 38] = [
    exact("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    exact("text-completion-openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    own(AZURE, Some("AZURE_API_KEY")),
    own("azure_text", Some("AZURE_API_KEY")),
    exact("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    exact("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    exact("codestral", "https://codestral.mistral.ai/v1", "CODESTRAL_API_KEY"),
    exact("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    exact("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    exact("together_ai", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    exact("fireworks_ai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
    exact("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    exact("perplexity", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    exact("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    exact("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    exact("nvidia_nim", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    exact("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    exact("hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    exact("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    exact("dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    exact("nebius", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    exact("novita", "https://api.novita.ai/v3/openai", "NOVITA_API_KEY"),
    own("hosted_vllm", None),
    own("vllm", None),
    own("lm_studio", None),
    own("llamafile", None),
    own("xinference", None),
    own("openai_like", None),
    own("custom_openai", Some("OPENAI_API_KEY")),
    own("litellm_proxy", Some("LITELLM_PROXY_API_KEY")),
    Vendor { prefix: "ollama", base_url: Some("http://localhost:11434/v1"), key: None, status: Status::Approximate },
    Vendor {
        prefix: "ollama_chat",
        base_url: Some("http://localhost:11434/v1"),
        key: None,
        status: Status::Approximate,
    },
    close("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    close("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    close("cohere", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"),
    close("cohere_chat", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"),
    close("huggingface", "https://router.huggingface.co/v1", "HUGGINGFACE_API_KEY"),
    close("volcengine", "https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY"),
];

/// Prefixes of vendors with their own ways of signing or formatting requests.
const STRANGERS: [&str; 34] = [
    "aiohttp_openai",
    "aleph_alpha",
    "amazon_nova",
    "anthropic_text",
    "azure_ai",
    "baseten",
    "bedrock",
    "bedrock_converse",
    "bytez",
    "clarifai",
    "cloudflare",
    "custom",
    "databricks",
    "fal_ai",
    "github",
    "github_copilot",
    "gradient_ai",
    "jina_ai",
    "maritalk",
    "nlp_cloud",
    "oci",
    "oobabooga",
    "petals",
    "predibase",
    "replicate",
    "sagemaker",
    "sagemaker_chat",
    "snowflake",
    "topaz",
    "triton",
    "vertex_ai",
    "vertex_ai_beta",
    "voyage",
    "watsonx",
];

/// Prefixes of model names without a vendor, and their vendors.
const FAMILIES: [(&str, &str); 14] = [
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("ft:gpt-", "openai"),
    ("text-embedding-", "openai"),
    ("text-moderation-", "openai"),
    ("omni-moderation-", "openai"),
    ("dall-e-", "openai"),
    ("whisper-", "openai"),
    ("tts-", "openai"),
    ("claude-", "anthropic"),
    ("command-", "cohere"),
];

/// The vendor of a model, and the vendor's own name for it.
#[derive(Debug)]
pub(super) enum Whose<'m> {
    /// A supported vendor.
    Known(&'static Vendor, &'m str),
    /// An unsupported vendor: its prefix.
    Stranger(&'m str),
    /// An unknown prefix.
    Unknown(&'m str),
    /// A model without a prefix that belongs to no known family, taken for OpenAI's.
    Guessed(&'static Vendor, &'m str),
}

/// The vendor of a prefix.
pub(super) fn vendor(prefix: &str) -> Option<&'static Vendor> {
    VENDORS.iter().find(|vendor| vendor.prefix == prefix)
}

/// Splits `vendor/model`.
pub(super) fn whose(model: &str) -> Whose<'_> {
    match model.split_once('/') {
        Some((prefix, rest)) => match vendor(prefix) {
            Some(vendor) => Whose::Known(vendor, rest),
            None if STRANGERS.contains(&prefix) => Whose::Stranger(prefix),
            None => Whose::Unknown(prefix),
        },
        None => {
            let family = FAMILIES.iter().find(|(begin, _)| model.starts_with(begin));
            match family.and_then(|(_, prefix)| vendor(prefix)) {
                Some(vendor) => Whose::Known(vendor, model),
                None => VENDORS.first().map_or(Whose::Unknown(model), |openai| Whose::Guessed(openai, model)),
            }
        }
    }
}

impl Vendor {
    /// True for Azure's own form of paths and keys.
    pub fn is_azure(&self) -> bool {
        self.prefix.starts_with(AZURE)
    }

    /// True for Ollama, whose own API LiteLLM speaks.
    pub fn is_ollama(&self) -> bool {
        self.prefix.starts_with("ollama")
    }

    /// The variable of the base URL.
    pub fn base_variable(&self) -> String {
        let name = if self.is_azure() { AZURE } else { self.prefix };
        format!("{}_API_BASE", name.replace('-', "_").to_ascii_uppercase())
    }

    /// The variable of the key, even for servers that need none by default.
    pub fn key_variable(&self) -> String {
        let own = || format!("{}_API_KEY", self.prefix.replace('-', "_").to_ascii_uppercase());
        self.key.map_or_else(own, str::to_owned)
    }
}
