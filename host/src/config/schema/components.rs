//! The keys of components, whether they are strategies or approaches, and of the registries that they come from.

use super::{Absent, COUNT, Kind, MODELS, PATH, Row, Schema, TEXTS, row};

use Absent::{As, Each, Is, Nothing};

pub(super) const IMAGE: Row = row(
    "image",
    Kind::Text,
    Nothing,
    "A component in a registry, such as ghcr.io/acme/pick@sha256:...; docs/registries.md.",
);
pub(super) const SIGNED_BY: Row = row("signed_by", PATH, Nothing, "The public key by which `image` must be signed.");

pub(in crate::config) const REGISTRY: Schema = Schema::new(
    "`registries.HOST`",
    &[
        row("username", Kind::Text, Nothing, "The user; without one the password is a token."),
        row("password", Kind::Secret, Nothing, "The password, or a token."),
        row("password_file", PATH, Nothing, "In place of `password`: a file that holds it."),
        row("http", Kind::Boolean, As("false, but true for localhost and 127.*"), "True: it is asked without TLS."),
    ],
);

/// The only key under `strategies` that is not the name of one.
pub(super) const LIMITS_OF_STRATEGIES: Row =
    row("limits", Kind::Section(&STRATEGY_LIMITS), Each, "What loading a strategy may take.");
pub(in crate::config) const STRATEGY: Schema = Schema::new(
    "`strategies.NAME`",
    &[
        row(
            "path",
            PATH,
            As("the built-in one of this name, or the file in `strategies/`"),
            "A component's file, relative to this one.",
        ),
        row(
            "built_in",
            Kind::Text,
            Nothing,
            "The built-in strategy that this name stands for, so that it may have several configs.",
        ),
        IMAGE,
        SIGNED_BY,
        row("config", Kind::Any, Is("{}"), "Whatever the strategy wants, handed to it as JSON."),
        row(
            "grants",
            Kind::List(&Kind::Word(&["prompt"])),
            Nothing,
            "Prompt: it is shown the last user message of each request.",
        ),
    ],
);
pub(in crate::config) const STRATEGY_LIMITS: Schema = Schema::new(
    "`strategies.limits`",
    &[
        row("max_bytes", Kind::Integer(1, 1 << 30), Is("67108864"), "Bytes of a component's file."),
        row(
            "compile_memory",
            Kind::Integer(64 << 20, 1 << 40),
            Is("2147483648"),
            "Bytes of the process that compiles it.",
        ),
        row("compile_timeout", Kind::Seconds, Is("300"), "The time to compile it."),
    ],
);
pub(in crate::config) const APPROACH: Schema = Schema::new(
    "`approach`",
    &[
        row(
            "default",
            Kind::Text,
            Is("proxy"),
            "The approach of requests that choose none; `proxy` passes them on as they are.",
        ),
        row("allow", TEXTS, As("every one that is built in or beside this file"), "Those that clients may choose."),
        row("max_calls", COUNT, Is("64"), "Answers of the model that one request may ask for."),
        row(
            "max_tokens",
            Kind::OneOf(&[Kind::Word(&["none"]), Kind::Integer(1, (u32::MAX - 1) as u64)]),
            Is("none"),
            "Tokens of all its questions and answers together.",
        ),
        row("timeout", Kind::Seconds, Is("300"), "How long it may take, with one second more to give what it has."),
        row("parallel", COUNT, Is("8"), "Its questions at once."),
        row("cpu", Kind::Seconds, Is("2"), "Seconds of processor time of one run."),
        row(
            "fan_out",
            Kind::Word(&["auto", "always", "never"]),
            Is("auto"),
            "Several answers to one question: by `n`, and one by one where a provider does not do that; always one by one; never so.",
        ),
        row(
            "pipeline",
            Kind::Word(&["refine", "replace"]),
            Is("refine"),
            "Of a&b, b sees the question and a's answer; or a's answer as the question.",
        ),
        row(
            "progress",
            Kind::Word(&["comments", "chunks", "reasoning", "off"]),
            Is("comments"),
            "What a waiting stream gets: comments, chunks without text, notes as reasoning_content, or nothing.",
        ),
        row("heartbeat", Kind::Seconds, Is("10"), "Between two of them."),
        row(
            "list",
            Kind::Boolean,
            Is("false"),
            "True: /v1/models lists approaches before models too, such as bon-gpt-4o.",
        ),
        row(
            "record",
            PATH,
            Nothing,
            "Every run with its questions and answers, for `pointsman approach replay`; holds prompts.",
        ),
        row("record_max_bytes", Kind::Integer(1 << 20, 1 << 40), Is("67108864"), "Then it is put aside as FILE.1."),
    ],
);
pub(in crate::config) const APPROACH_ENTRY: Schema = Schema::new(
    "`approaches.NAME`",
    &[
        row(
            "path",
            PATH,
            As("the built-in one of this name, or the file in `approaches/`"),
            "A component's file, relative to this one.",
        ),
        IMAGE,
        SIGNED_BY,
        row("config", Kind::Object, Is("{}"), "What the approach wants; a client's options are laid over it."),
        row("models", MODELS, Nothing, "Models that it may ask beside the client's, such as a judge; \"*\": any."),
        row("max_calls", COUNT, As("that of `approach`"), "Answers of the model that one request may ask for."),
        row("memory", Kind::Integer(1, 4096), Is("64"), "MiB that one run may take."),
        row(
            "on_fault",
            Kind::Word(&["error", "plain"]),
            Is("error"),
            "What a client gets when it breaks; plain: the model's answer without it.",
        ),
    ],
);
