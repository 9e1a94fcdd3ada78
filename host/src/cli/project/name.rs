//! Checks the name of a strategy or an approach: it must be legal for a crate, an npm package, a file and a key of the configuration.

use std::fmt;

use crate::wasm::GuestKind;

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
const TAKEN: [&str; 5] = ["pointsman-approach", "pointsman-guest", "serde", "serde_json", "wit-bindgen-rt"];

/// Those that clients choose plain proxying by.
const PLAIN: [&str; 3] = ["auto", "none", "proxy"];

/// The checked name of a strategy or an approach.
#[derive(Debug)]
pub(in crate::cli) struct Name(String);

/// The reason why a name is not legal, and a remedy.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::cli) enum Error {
    #[error(
        "`{0}` is not a legal name for {kind}: use lower-case letters, digits{more}, a letter first, at most {LONGEST} of them, \
         such as `eu_first`",
        kind = .1.one(),
        more = if *.1 == GuestKind::Strategy { ", _ and -" } else { " and _" }
    )]
    Malformed(String, GuestKind),
    #[error("`{0}` is reserved by Rust; `{0}_{kind}` would be legal", kind = .1.name())]
    Reserved(String, GuestKind),
    #[error("`{0}` is a package that the project depends on; `{0}_{kind}` would be legal", kind = .1.name())]
    Taken(String, GuestKind),
    #[error("`{0}` is a built-in strategy, which would be used instead; `my_{0}` would be legal")]
    BuiltInStrategy(String),
    #[error("`{0}` is a built-in approach, which it would replace; `my_{0}` would be legal")]
    BuiltInApproach(String),
    #[error("`{0}` means that a request is passed on as it is; `my_{0}` would be legal")]
    Plain(String),
}

impl Name {
    /// Checks the name of a guest of this kind.
    pub(in crate::cli) fn parse(kind: GuestKind, name: &str) -> Result<Self, Error> {
        // A client writes an approach's name before that of a model, with a hyphen between them.
        let mark = |byte: u8| byte == b'_' || (byte == b'-' && kind == GuestKind::Strategy);
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || mark(byte);
        let begins = name.starts_with(|char: char| char.is_ascii_lowercase());
        if !begins || name.len() > LONGEST || !name.bytes().all(allowed) {
            // A script may pass a whole file by mistake.
            return Err(Error::Malformed(name.chars().take(LONGEST + 1).collect(), kind));
        }
        let name = name.to_owned();
        if RESERVED.contains(&name.as_str()) || ALSO_RESERVED.contains(&name.as_str()) {
            return Err(Error::Reserved(name, kind));
        }
        if TAKEN.contains(&name.as_str()) {
            return Err(Error::Taken(name, kind));
        }
        match kind {
            GuestKind::Strategy if crate::strategy::builtins().contains(&name.as_str()) => {
                Err(Error::BuiltInStrategy(name))
            }
            GuestKind::Approach if crate::approach::builtins().contains(&name.as_str()) => {
                Err(Error::BuiltInApproach(name))
            }
            GuestKind::Approach if PLAIN.contains(&name.as_str()) => Err(Error::Plain(name)),
            GuestKind::Strategy | GuestKind::Approach => Ok(Self(name)),
        }
    }

    pub(in crate::cli) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as Rust's compiler writes it in file names.
    pub(in crate::cli) fn stem(&self) -> String {
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

    const KINDS: [GuestKind; 2] = [GuestKind::Strategy, GuestKind::Approach];

    #[test]
    fn a_usual_name_is_one() {
        for name in ["a", "eu_first", "r2d2", &"x".repeat(64)] {
            for kind in KINDS {
                assert_eq!(Name::parse(kind, name).map(|name| name.to_string()).as_deref(), Ok(name));
            }
        }
        assert!(Name::parse(GuestKind::Strategy, "eu-first").is_ok());
    }

    #[test]
    fn what_is_no_name_is_told_what_one_is() {
        for name in ["", "1st", "_a", "-a", "Eu", "eu first", "../eu", "é", "a.b", &"x".repeat(65)] {
            for (kind, legal) in [(GuestKind::Strategy, "digits, _ and -"), (GuestKind::Approach, "digits and _")] {
                let error = Name::parse(kind, name).expect_err(name).to_string();
                assert!(error.contains("lower-case letters, ") && error.contains(legal), "{error}");
            }
        }
        assert!(matches!(Name::parse(GuestKind::Approach, "eu-first"), Err(Error::Malformed(..))));
    }

    #[test]
    fn what_others_are_called_is_refused_with_what_would_be_right() {
        for (kind, name, right) in [
            (GuestKind::Strategy, "match", "match_strategy"),
            (GuestKind::Strategy, "yield", "yield_strategy"),
            (GuestKind::Approach, "test", "test_approach"),
            (GuestKind::Approach, "serde", "serde_approach"),
            (GuestKind::Strategy, "weighted", "my_weighted"),
            (GuestKind::Approach, "bon", "my_bon"),
            (GuestKind::Approach, "none", "my_none"),
        ] {
            let error = Name::parse(kind, name).expect_err(name).to_string();
            assert!(error.contains(&format!("`{right}` would be legal")), "{error}");
            assert!(Name::parse(kind, right).is_ok(), "{right}");
        }
    }
}
