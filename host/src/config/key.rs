//! Detects texts that are clearly not an API key: another tool's notation for a variable, a whole header, or a text in
//! quotes.
//!
//! A header could carry them, and a provider would answer 401, perhaps hours later. Nothing here assumes what a real
//! key looks like. The messages never show the text, except for names of variables in capital letters.

/// A mistake in a key, and its remedy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub message: &'static str,
    pub help: String,
}

/// True when a text in a file is clearly not a key, but a placeholder for one.
pub(crate) fn is_no_key(text: &str) -> bool {
    mistake(text, true).is_some()
}

/// The notations of other tools for a variable, in lower case.
const NOTATIONS: [&str; 11] = [
    "$env:",
    "env.",
    "env:",
    "env/",
    "env[",
    "env(",
    "import.meta.env",
    "os.environ",
    "os.getenv",
    "process.env",
    "secrets.",
];

/// Prefixes that belong to a header and not to the key, in any case.
const HEADERS: [&str; 7] = ["Bearer ", "Bearer:", "Basic ", "Token ", "Authorization:", "api-key:", "x-api-key:"];

const QUOTES: [char; 3] = ['"', '\'', '`'];

/// The mistake in `text`, if it is clearly not a key. `written` is true when the text itself is in the file: the value
/// of a variable may begin with a `$`.
pub(super) fn mistake(text: &str, written: bool) -> Option<Mistake> {
    let lower = text.to_ascii_lowercase();
    if let Some(header) = HEADERS.iter().find(|header| lower.starts_with(&header.to_ascii_lowercase())) {
        let message = "must be the key alone, without the header that carries it";
        let part = header.trim_end();
        return Some(Mistake { message, help: format!("leave out `{part}`: the proxy adds the header itself") });
    }
    if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        let message = "must not begin or end with a quote";
        let help = "quotes are not part of a key; the tool that set the variable may have kept them";
        return Some(Mistake { message, help: help.to_owned() });
    }
    if lower.starts_with("file:") || (written && lower.starts_with('@')) {
        let message = "names a file, but this key does not read files";
        let help = "write the path under `api_key_file`, or ${file:PATH}";
        return Some(Mistake { message, help: help.to_owned() });
    }
    is_reference(text, &lower, written).then(|| Mistake {
        message: "is another tool's notation for a variable, and would be sent unchanged",
        help: format!("write ${{{}}}", variable(text)),
    })
}

/// True when `text` names a variable in a notation that is not supported here.
pub(super) fn is_reference(text: &str, lower: &str, written: bool) -> bool {
    let between = |begin: &str, end: &str| text.len() > 2 && text.starts_with(begin) && text.ends_with(end);
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    NOTATIONS.iter().any(|notation| lower.starts_with(notation))
        || (written && text.strip_prefix('$').is_some_and(is_name))
        || ["{{", "<%"].iter().any(|mark| text.contains(mark))
        || [("$(", ")"), ("%", "%"), ("<", ">"), ("{", "}")].iter().any(|(begin, end)| between(begin, end))
}

/// The last word in capital letters, which is most likely the variable's name; otherwise `NAME`.
fn variable(text: &str) -> &str {
    let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let capital = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.contains(|c: char| c.is_ascii_lowercase())
    };
    words.rfind(capital).filter(|word| word.len() > 1).unwrap_or("NAME")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(text: &str) -> Option<String> {
        mistake(text, true).map(|mistake| mistake.help)
    }

    #[test]
    fn other_tools_references_are_told_with_the_name_to_write() {
        for text in [
            "$OPENAI_API_KEY",
            "os.environ/OPENAI_API_KEY",
            "os.environ[\"OPENAI_API_KEY\"]",
            "os.getenv('OPENAI_API_KEY')",
            "{{ OPENAI_API_KEY }}",
            "${{ secrets.OPENAI_API_KEY }}",
            "process.env.OPENAI_API_KEY",
            "env:OPENAI_API_KEY",
            "env.OPENAI_API_KEY",
            "%OPENAI_API_KEY%",
            "$(OPENAI_API_KEY)",
            "<OPENAI_API_KEY>",
            "{OPENAI_API_KEY}",
            "{env.OPENAI_API_KEY}",
            "<%= ENV['OPENAI_API_KEY'] %>",
            "$Env:OPENAI_API_KEY",
        ] {
            assert!(help(text).is_some_and(|help| help.contains("${OPENAI_API_KEY}")), "{text}: {:?}", help(text));
        }
    }

    #[test]
    fn a_whole_header_and_quotes_are_told() {
        for text in ["Bearer sk-1", "bearer sk-1", "Authorization: Bearer sk-1", "x-api-key: sk-1", "Basic YTpi"] {
            assert!(mistake(text, false).is_some_and(|found| found.message.contains("header")), "{text}");
        }
        for text in ["\"sk-1\"", "'sk-1'", "`sk-1`", "\"sk-1", "sk-1'"] {
            assert!(mistake(text, false).is_some_and(|found| found.message.contains("quote")), "{text}");
        }
        for text in ["file:///run/secrets/key", "file:key", "@/run/secrets/key"] {
            assert!(help(text).is_some_and(|help| help.contains("api_key_file")), "{text}");
        }
    }

    #[test]
    fn whatever_may_be_a_key_is_left_alone() {
        for text in [
            "sk-proj-a_b-C",
            "none",
            "k",
            "$k${}",
            "a$b",
            "$1",
            "sk-%41",
            "007",
            "bearer",
            "environment",
            "a=b==",
            "{",
            "x y",
        ] {
            assert_eq!(mistake(text, true), None, "{text}");
        }
        assert_eq!(mistake("$ecret", false), None, "a variable may hold what begins with a dollar sign");
    }

    #[test]
    fn nothing_but_a_variable_s_name_is_repeated() {
        for text in
            ["$sk_never_shown", "os.environ/never-shown", "{{ never-shown }}", "Bearer never-shown", "'never-shown'"]
        {
            assert!(help(text).is_some_and(|help| !help.contains("never")), "{text}: {:?}", help(text));
        }
    }
}
