//! Checks the name of a strategy: it must be legal for a crate, an npm package, a file and a key of the configuration.

use std::fmt;

const LONGEST: usize = 64;

/// Rust's keywords, including those of other editions and reserved ones, and other names that cargo or the compiler
/// claims: a crate with such a name cannot be made or used.
const RESERVED: [&str; 58] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
];
/// Kept out of the table above to keep it short.
const ALSO_RESERVED: [&str; 3] = ["yield", "union", "proc_macro"];

/// The packages that the templates depend on: a package cannot depend on another one with its own name.
const TAKEN: [&str; 4] = ["pointsman-guest", "serde", "serde_json", "wit-bindgen-rt"];

/// The checked name of a strategy.
#[derive(Debug)]
pub(super) struct Name(String);

/// The reason why a name is not legal, and a remedy.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "`{0}` is not a legal name for a strategy: use lower-case letters, digits, _ and -, a letter first, at most {LONGEST} \
         of them, such as `eu_first`"
    )]
    Malformed(String),
    #[error("`{0}` is reserved by Rust; `{0}_strategy` would be legal")]
    Reserved(String),
    #[error("`{0}` is a package that the project depends on; `{0}_strategy` would be legal")]
    Taken(String),
    #[error("`{0}` is a built-in strategy, which would be used instead; `my_{0}` would be legal")]
    BuiltIn(String),
}

impl Name {
    /// Checks `name`.
    pub(super) fn parse(name: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
        let begins = name.starts_with(|char: char| char.is_ascii_lowercase());
        if !begins || name.len() > LONGEST || !name.bytes().all(allowed) {
            // A script may pass a whole file by mistake.
            return Err(Error::Malformed(name.chars().take(LONGEST + 1).collect()));
        }
        let name = name.to_owned();
        if RESERVED.contains(&name.as_str()) || ALSO_RESERVED.contains(&name.as_str()) {
            return Err(Error::Reserved(name));
        }
        if TAKEN.contains(&name.as_str()) {
            return Err(Error::Taken(name));
        }
        if crate::strategy::builtins().contains(&name.as_str()) {
            return Err(Error::BuiltIn(name));
        }
        Ok(Self(name))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as Rust's compiler writes it in file names.
    pub(super) fn stem(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_name_is_one() {
        for name in ["a", "eu_first", "eu-first", "r2d2", &"x".repeat(64)] {
            assert_eq!(Name::parse(name).map(|name| name.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name_is_told_what_one_is() {
        for name in ["", "1st", "_a", "-a", "Eu", "eu first", "../eu", "é", "a.b", &"x".repeat(65)] {
            let error = Name::parse(name).expect_err(name).to_string();
            assert!(error.contains("lower-case letters, digits, _ and -"), "{error}");
        }
    }

    #[test]
    fn what_others_are_called_is_refused_with_what_would_be_right() {
        for (name, right) in [
            ("match", "match_strategy"),
            ("yield", "yield_strategy"),
            ("test", "test_strategy"),
            ("serde", "serde_strategy"),
            ("weighted", "my_weighted"),
        ] {
            let error = Name::parse(name).expect_err(name).to_string();
            assert!(error.contains(&format!("`{right}` would be legal")), "{error}");
            assert!(Name::parse(right).is_ok(), "{right}");
        }
    }
}
