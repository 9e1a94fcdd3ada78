//! The meaning of failures whose status alone is known to mislead.
//!
//! A status is believed unless a row of `TABLE` speaks against it. Error texts quote what clients send, so a row looks
//! only at whole codes and types and at the beginning of a message: no client can make a provider say that its key is
//! refused. The exceptions are 413 and 498, which at worst make a provider wait.

use std::time::SystemTime;

use super::said::Said;
use super::waits;
use crate::http1::fields::Fields;
use crate::routing::{FailureKind, Outcome};

/// One status, or several, that do not mean what they say.
struct Row {
    statuses: &'static [u16],
    says: Says,
    means: Meaning,
    /// The place where it was reported, for readers of this table and of a failing test.
    #[cfg_attr(not(test), expect(dead_code, reason = "documents the row"))]
    source: &'static str,
}

/// The sign in the body that shows it.
enum Says {
    /// Its code or its type is this word, upper and lower case aside.
    Word(&'static str),
    /// Its message begins so, upper and lower case aside.
    Opening(&'static str),
    /// Its message begins so, in an error without a type.
    Bare(&'static str),
    /// Its code, type or message contains these words, whatever joins them.
    Anywhere(&'static str),
}

/// The true meaning of the answer.
#[derive(Clone, Copy)]
enum Meaning {
    /// A limit of our rate, or of what we may use of a shared capacity.
    Limit,
    /// The provider is overloaded.
    Capacity,
    /// Our key is refused.
    Key,
    /// The request is too long for the model.
    Window,
    /// A filter refuses it.
    Policy,
}

const TABLE: [Row; 37] = [
    // Groq says the limit of tokens a minute with 413,
    row(&[400, 403, 413, 498], Says::Word("rate_limit_exceeded"), Meaning::Limit, "openclaw/openclaw#147644"),
    row(&[413, 498], Says::Anywhere("rate limit"), Meaning::Limit, "openclaw/openclaw#147644"),
    row(&[413, 498], Says::Anywhere("tokens per minute"), Meaning::Limit, "openclaw/openclaw#147644"),
    // and a full flex tier with 498 and `capacity_exceeded`.
    row(&[413, 498], Says::Anywhere("capacity"), Meaning::Limit, "https://console.groq.com/docs/flex-processing"),
    // AWS answers its clients' faults with 400, which for its JSON protocol includes this one.
    row(&[400], Says::Word("ThrottlingException"), Meaning::Limit, "boto/botocore#91, BerriAI/litellm#589"),
    // Google's older services; the newer ones say 429.
    row(&[403], Says::Word("rateLimitExceeded"), Meaning::Limit, "https://cloud.google.com/apis/design/errors"),
    row(&[403], Says::Word("quotaExceeded"), Meaning::Limit, "https://cloud.google.com/apis/design/errors"),
    // Azure's API management in front of a deployment: the policy `quota`, with Retry-After.
    row(
        &[403],
        Says::Opening("Out of call volume quota"),
        Meaning::Limit,
        "https://learn.microsoft.com/azure/api-management/quota-policy",
    ),
    // Anthropic's words, behind gateways that turn every status into 400.
    row(&[400, 403], Says::Word("overloaded_error"), Meaning::Capacity, "castari/castari-proxy#2"),
    row(&[400, 403], Says::Word("rate_limit_error"), Meaning::Limit, "castari/castari-proxy#2"),
    row(&[400], Says::Word("authentication_error"), Meaning::Key, "castari/castari-proxy#2"),
    // Gemini.
    row(&[400, 403], Says::Word("API_KEY_INVALID"), Meaning::Key, "cequence-io/openai-scala-client#109, uni-api#140"),
    row(&[400], Says::Opening("API key not valid"), Meaning::Key, "babaohuang/GeminiProChat#142"),
    // xAI, whose error is a bare text; an error of OpenAI's shape with these words and status 400 stays a 400.
    row(&[400], Says::Bare("Incorrect API key provided"), Meaning::Key, "openai/codex#1352, hex/claude-council#6"),
    row(&[400, 403], Says::Word("invalid_api_key"), Meaning::Key, "openai/codex#1352"),
    // AWS, for a key that has expired or that it does not know, whatever is requested.
    row(
        &[400, 403],
        Says::Word("ExpiredTokenException"),
        Meaning::Key,
        "https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html",
    ),
    row(
        &[400, 403],
        Says::Word("UnrecognizedClientException"),
        Meaning::Key,
        "https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html",
    ),
    // Too long for the model, which matters where a route names a model with more room. OpenAI, Azure, Groq and others,
    row(LONG, Says::Word("context_length_exceeded"), Meaning::Window, OPENAI),
    row(LONG, Says::Word("string_above_max_length"), Meaning::Window, OPENAI),
    // with the same sentence from vLLM, DeepSeek and Fireworks, and another one from OpenRouter, xAI,
    row(LONG, Says::Anywhere("maximum context length"), Meaning::Window, "vllm-project/vllm, api_server errors"),
    row(LONG, Says::Anywhere("maximum prompt length"), Meaning::Window, "https://docs.x.ai/docs"),
    row(LONG, Says::Word("exceed_context_size_error"), Meaning::Window, "ggml-org/llama.cpp, tools/server"),
    row(LONG, Says::Anywhere("exceeds the available context size"), Meaning::Window, "ggml-org/llama.cpp"),
    row(LONG, Says::Opening("prompt is too long"), Meaning::Window, "https://docs.anthropic.com/en/api/errors"),
    row(LONG, Says::Anywhere("exceed context limit"), Meaning::Window, "https://docs.anthropic.com/en/api/errors"),
    row(
        LONG,
        Says::Anywhere("exceeds the maximum number of tokens"),
        Meaning::Window,
        "https://ai.google.dev/gemini-api",
    ),
    row(
        LONG,
        Says::Anywhere("is too long for requested model"),
        Meaning::Window,
        "https://docs.aws.amazon.com/bedrock",
    ),
    row(LONG, Says::Anywhere("too large for model with"), Meaning::Window, "https://docs.mistral.ai/api"),
    row(
        LONG,
        Says::Anywhere("tokens + `max new tokens` must be"),
        Meaning::Window,
        "huggingface/text-generation-inference",
    ),
    row(
        LONG,
        Says::Anywhere("reduce the length of the messages"),
        Meaning::Window,
        "https://console.groq.com/docs/errors",
    ),
    // Refused by a filter: Azure's and OpenAI's codes,
    row(
        FILTERED,
        Says::Word("content_filter"),
        Meaning::Policy,
        "https://learn.microsoft.com/azure/ai-services/openai",
    ),
    row(
        FILTERED,
        Says::Word("ResponsibleAIPolicyViolation"),
        Meaning::Policy,
        "https://learn.microsoft.com/azure/ai-services/openai",
    ),
    row(FILTERED, Says::Word("content_policy_violation"), Meaning::Policy, OPENAI),
    row(FILTERED, Says::Word("moderation_blocked"), Meaning::Policy, OPENAI),
    // Anthropic's sentence, DeepSeek's, and Alibaba's code.
    row(
        FILTERED,
        Says::Anywhere("blocked by content filtering policy"),
        Meaning::Policy,
        "https://docs.anthropic.com/en/api/errors",
    ),
    row(FILTERED, Says::Opening("Content Exists Risk"), Meaning::Policy, "deepseek-ai/DeepSeek-V3 issues"),
    row(
        FILTERED,
        Says::Word("data_inspection_failed"),
        Meaning::Policy,
        "https://help.aliyun.com/zh/model-studio/error-code",
    ),
];

/// The statuses with which a request is called too long.
const LONG: &[u16] = &[400, 413, 422];
/// The statuses with which a filter refuses.
const FILTERED: &[u16] = &[400, 422];
const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes";

const fn row(statuses: &'static [u16], says: Says, means: Meaning, source: &'static str) -> Row {
    Row { statuses, says, means, source }
}

impl Says {
    fn is_said(&self, said: &Said) -> bool {
        let words = || [&said.code, &said.kind].into_iter().filter_map(Option::as_deref);
        match self {
            Says::Word(word) => words().any(|said| said.eq_ignore_ascii_case(word)),
            Says::Bare(opening) => said.kind.is_none() && Says::Opening(opening).is_said(said),
            Says::Opening(opening) => {
                let start = said.message.as_deref().and_then(|message| message.get(..opening.len()));
                start.is_some_and(|start| start.eq_ignore_ascii_case(opening))
            }
            Says::Anywhere(wanted) => words()
                .chain(said.message.as_deref())
                .any(|text| text.to_ascii_lowercase().replace(['_', '-'], " ").contains(wanted)),
        }
    }
}

/// The outcome of an attempt that was answered with `status`, which is no success, and with a body that says `said`.
pub fn outcome(status: u16, headers: &Fields, said: &Said, now: SystemTime) -> Outcome {
    let by_status = Outcome::of_status(status, waits::retry_after(headers, now));
    let outcome = match by_status {
        Outcome::Rejected(_) | Outcome::Declined(_) => in_truth(status, said).unwrap_or(by_status),
        Outcome::Succeeded
        | Outcome::ContextWindow(_)
        | Outcome::ContentPolicy(_)
        | Outcome::Unauthorized(_)
        | Outcome::NotFound
        | Outcome::Throttled { .. }
        | Outcome::Failed(_)
        | Outcome::TimedOut { .. }
        | Outcome::Interrupted
        | Outcome::Cancelled => by_status,
    };
    match outcome {
        Outcome::Throttled { .. } => Outcome::Throttled { retry_after: waits::asked(headers, said, now) },
        outcome => outcome,
    }
}

/// True when a limit applies to the whole account and not to a model: no money is left, or the month's share is used
/// up. OpenAI's codes (<https://platform.openai.com/docs/guides/error-codes>).
pub fn is_about_the_account(said: &Said) -> bool {
    ["insufficient_quota", "billing_hard_limit_reached"].iter().any(|word| Says::Word(word).is_said(said))
}

fn in_truth(status: u16, said: &Said) -> Option<Outcome> {
    let row = TABLE.iter().find(|row| row.statuses.contains(&status) && row.says.is_said(said))?;
    Some(match row.means {
        Meaning::Limit => Outcome::Throttled { retry_after: None },
        Meaning::Capacity => Outcome::Failed(FailureKind::Status(status)),
        Meaning::Key => Outcome::Unauthorized(status),
        Meaning::Window => Outcome::ContextWindow(status),
        Meaning::Policy => Outcome::ContentPolicy(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::OutcomeKind;

    fn kind(status: u16, body: &str) -> OutcomeKind {
        outcome(status, &Fields::default(), &Said::read(body.as_bytes()), SystemTime::now()).kind()
    }

    #[test]
    fn a_body_that_says_it_better_is_believed() {
        let gemini = r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.",
            "status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#;
        let xai = r#"{"code":"invalid-argument","error":"Incorrect API key provided: sk***YA."}"#;
        let groq = r#"{"error":{"message":"Request too large","type":"tokens","code":"rate_limit_exceeded"}}"#;
        let flex = r#"{"error":{"message":"try again","type":"service","code":"capacity_exceeded"}}"#;
        let table = [
            (400, gemini, OutcomeKind::Unauthorized),
            (400, xai, OutcomeKind::Unauthorized),
            (413, groq, OutcomeKind::Throttled),
            (413, r#"{"error":"Rate limit reached"}"#, OutcomeKind::Throttled),
            (498, flex, OutcomeKind::Throttled),
            (498, r#"{"error":{"message":"Flex tier capacity exceeded"}}"#, OutcomeKind::Throttled),
            (
                403,
                r#"{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 01:00:00."}"#,
                OutcomeKind::Throttled,
            ),
            (400, r#"{"__type":"ThrottlingException","message":"Too many requests"}"#, OutcomeKind::Throttled),
            (
                400,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                OutcomeKind::Failed,
            ),
        ];
        for (status, body, expected) in table {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_status_without_such_a_body_is_believed() {
        let table = [
            (413, r#"{"error":{"message":"The body is too large"}}"#, OutcomeKind::Rejected),
            (498, "", OutcomeKind::Rejected),
            (400, r#"{"error":{"code":"context_length_exceeded"}}"#, OutcomeKind::Rejected),
            (500, r#"{"error":{"code":"rate_limit_exceeded"}}"#, OutcomeKind::Failed),
            (401, r#"{"error":{"code":"rate_limit_exceeded"}}"#, OutcomeKind::Unauthorized),
            (429, r#"{"error":{"code":"insufficient_quota"}}"#, OutcomeKind::Throttled),
        ];
        for (status, body, expected) in table {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn what_an_error_quotes_of_a_request_is_not_believed() {
        for quoted in ["API key not valid", "Incorrect API key provided", "invalid_api_key", "rate_limit_exceeded"] {
            let body = format!(r#"{{"error":{{"message":"Unknown model: {quoted}","param":"{quoted}"}}}}"#);
            assert_eq!(kind(400, &body), OutcomeKind::Rejected, "{quoted}");
        }
    }

    #[test]
    fn every_row_has_a_source_and_changes_what_its_statuses_mean() {
        for row in &TABLE {
            assert!(row.source.contains(['#', '/']), "{}", row.source);
            for &status in row.statuses {
                let by_status = Outcome::of_status(status, None).kind();
                assert!(matches!(by_status, OutcomeKind::Rejected | OutcomeKind::Declined), "{status}");
            }
        }
    }
}
