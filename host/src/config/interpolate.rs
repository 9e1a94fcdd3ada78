//! `${NAME}`, `${file:PATH}` and both with `:-default` in a text.
//!
//! The grammar is the shell's, cut down: a name is `[A-Za-z_][A-Za-z0-9_]*`; a default runs to the `}` that closes its
//! `${`, counting nested `${` only, and may hold further references; a variable that is set but empty counts as unset
//! for `:-`. The value of a variable is not interpolated again, so a text with a literal `${NAME}` in it has to come
//! from a variable. A path may hold references itself; a file that is missing or empty counts as unset for `:-`, and
//! newlines at the end of a file are dropped. Every other `$` stays as it is, in `$${NAME}` too.

/// The environment from which a configuration is loaded: a variable's value by its name.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads a file by its path: `None` when there is no such file, an error when it cannot be read.
pub(super) type Files<'a> = dyn Fn(&str) -> Result<Option<String>, String> + 'a;

/// The most levels of defaults within defaults. Nobody needs more than two, and the recursion must be bounded.
const MAX_DEPTH: usize = 32;

/// A text with more than this after interpolation is a mistake, such as a variable that holds a whole file.
const MAX_LENGTH: usize = 1 << 20;

/// The environment of this process, as [`load`](super::load) wants it. A variable that is not UTF-8 counts as unset.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment for the configuration")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A text after interpolation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interpolated {
    /// The result.
    pub text: String,
    /// The form of the text as written.
    pub form: Form,
    /// True when the text holds a `${` that does not begin a reference but may have been meant to.
    pub stray: bool,
}

/// The form in which a text was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Without any reference.
    Literal,
    /// One reference and nothing else: may stand for a number or a boolean.
    Reference,
    /// References among other text.
    Mixed,
}

/// The reason why a text could not be interpolated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This variable is not set, and there is no default.
    Unset(String),
    /// There is no such file, and no default.
    Missing(String),
    /// This file cannot be read, and why.
    Unreadable(String, String),
    /// Defaults are nested more than [`MAX_DEPTH`] deep.
    TooDeep,
    /// The result has more than [`MAX_LENGTH`] bytes.
    TooLong,
}

/// Replaces the references in `text`, or returns every reason why it cannot.
pub(super) fn interpolate(text: &str, env: &Env<'_>, files: &Files<'_>) -> Result<Interpolated, Vec<Failure>> {
    let closes = closing_braces(text);
    let mut run =
        Run { text, closes: &closes, env, files, out: String::new(), failures: Vec::new(), stray: false, seen: 0 };
    run.expand(0, text.len(), 0);
    let whole = closes.first().is_some_and(|&(open, close)| open == 0 && close + 1 == text.len());
    if !run.failures.is_empty() {
        return Err(run.failures);
    }
    let form = match run.seen {
        0 => Form::Literal,
        _ if whole && reference(text).is_some() => Form::Reference,
        _ => Form::Mixed,
    };
    Ok(Interpolated { text: run.out, form, stray: run.stray })
}

struct Run<'a> {
    text: &'a str,
    /// Sorted by the opening.
    closes: &'a [(usize, usize)],
    env: &'a Env<'a>,
    files: &'a Files<'a>,
    out: String,
    failures: Vec<Failure>,
    stray: bool,
    seen: usize,
}

impl Run<'_> {
    /// Appends `text[from..to]`, interpolated. Takes linear time: a default is expanded only when it is used.
    fn expand(&mut self, from: usize, to: usize, depth: usize) {
        if depth > MAX_DEPTH {
            return self.fail(Failure::TooDeep);
        }
        let mut at = from;
        while at < to && self.out.len() <= MAX_LENGTH {
            let rest = self.text.get(at..to).unwrap_or_default();
            let Some(open) = rest.find("${").map(|found| at + found) else {
                self.out.push_str(rest);
                break;
            };
            self.out.push_str(self.text.get(at..open).unwrap_or_default());
            at = self.reference_at(open, depth).unwrap_or_else(|| {
                // `${}` was certainly not meant as a reference.
                self.stray |= !rest.get(open - at..).unwrap_or_default().starts_with("${}");
                self.out.push_str("${");
                open + 2
            });
        }
        if self.out.len() > MAX_LENGTH {
            self.fail(Failure::TooLong);
        }
    }

    /// Appends the value of the reference that begins at `open` and returns its end; `None` if it is no reference.
    fn reference_at(&mut self, open: usize, depth: usize) -> Option<usize> {
        let index = self.closes.binary_search_by_key(&open, |&(open, _)| open).ok()?;
        let close = self.closes.get(index)?.1;
        let (source, default) = reference(self.text.get(open..=close)?)?;
        self.seen += 1;
        let end = close - default.map_or(0, |default| default.len() + ":-".len());
        let found = match source {
            Source::Variable(name) => (self.env)(name).ok_or_else(|| Failure::Unset(name.to_owned())),
            Source::File(path) => self.file(end - path.len(), end, depth),
        };
        match (found, default) {
            (Ok(value), None) => self.out.push_str(&value),
            (Ok(value), Some(_)) if !value.is_empty() => self.out.push_str(&value),
            (Ok(_) | Err(Failure::Unset(_) | Failure::Missing(_)), Some(default)) => {
                self.expand(close - default.len(), close, depth + 1);
            }
            (Err(failure), _) => self.fail(failure),
        }
        Some(close + 1)
    }

    /// The content of the file whose path is `text[from..to]`, which may hold references.
    fn file(&mut self, from: usize, to: usize, depth: usize) -> Result<String, Failure> {
        let begin = self.out.len();
        self.expand(from, to, depth + 1);
        let path = self.out.split_off(begin);
        match (self.files)(&path) {
            Ok(Some(mut content)) => {
                content.truncate(content.trim_end_matches(['\n', '\r']).len());
                Ok(content)
            }
            Ok(None) => Err(Failure::Missing(path)),
            Err(why) => Err(Failure::Unreadable(path, why)),
        }
    }

    fn fail(&mut self, failure: Failure) {
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }
}

/// The source of a reference's value.
#[derive(Clone, Copy, Debug)]
enum Source<'t> {
    Variable(&'t str),
    /// A file, by its path, which may contain references.
    File(&'t str),
}

/// Source and default of a `${...}` whose braces are known to match, if it is a reference.
fn reference(text: &str) -> Option<(Source<'_>, Option<&str>)> {
    let inside = text.strip_prefix("${")?.strip_suffix('}')?;
    if let Some(path) = inside.strip_prefix("file:") {
        // A default of a reference within the path is not the path's own.
        let end = default_of(path);
        let (path, default) = (path.get(..end)?, path.get(end..)?.strip_prefix(":-"));
        return (!path.is_empty()).then_some((Source::File(path), default));
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let sane = begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    sane.then_some((Source::Variable(name), default))
}

/// The position of the `:-` that stands in no inner reference, or the end of the text.
fn default_of(text: &str) -> usize {
    let (mut open, bytes) = (0_usize, text.as_bytes());
    for (at, pair) in bytes.windows(2).enumerate() {
        match pair {
            b"${" => open += 1,
            [b'}', _] => open = open.saturating_sub(1),
            b":-" if open == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// The positions of each `${` and its `}`, sorted by the opening; a `${` that is never closed is left out.
fn closing_braces(text: &str) -> Vec<(usize, usize)> {
    let (mut open, mut pairs) = (Vec::new(), Vec::new());
    let mut before = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if before == b'$' => open.push(at - 1),
            b'}' => pairs.extend(open.pop().map(|from| (from, at))),
            _ => {}
        }
        before = byte;
    }
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".into()),
            "B_2" => Some("b:b".into()),
            "EMPTY" => Some(String::new()),
            "LOOP" => Some("${LOOP} ${A}".into()),
            _ => None,
        }
    }

    fn files(path: &str) -> Result<Option<String>, String> {
        match path {
            "key" | "dir/a" => Ok(Some("sk-1\r\n\n".into())),
            "empty" => Ok(Some("\n".into())),
            "locked" => Err("permission denied".into()),
            _ => Ok(None),
        }
    }

    fn interpolate(written: &str, env: &Env<'_>) -> Result<Interpolated, Vec<Failure>> {
        super::interpolate(written, env, &files)
    }

    fn text(written: &str) -> String {
        interpolate(written, &env).unwrap().text
    }

    #[test]
    fn a_file_stands_for_what_it_holds_without_the_newlines_at_its_end() {
        assert_eq!(text("<${file:key}>"), "<sk-1>");
        assert_eq!(text("${file:${NO:-dir}/${A}}"), "sk-1");
        assert_eq!(text("${file:${NO:-no}:-d${A}}"), "da");
        assert_eq!(
            (text("${file:empty}"), text("${file:empty:-d}"), text("${file:no:-d}")),
            (String::new(), "d".into(), "d".into())
        );
        assert_eq!(text("${NO:-${file:key}}"), "sk-1");
        assert_eq!(text("${file:}"), "${file:}");
        assert_eq!(interpolate("${file:key}", &env).unwrap().form, Form::Reference);
        assert_eq!(interpolate("${file:no}", &env), Err(vec![Failure::Missing("no".into())]));
        let locked = Failure::Unreadable("locked".into(), "permission denied".into());
        assert_eq!(interpolate("${file:locked:-d}", &env), Err(vec![locked]));
    }

    #[test]
    fn replaces_every_reference() {
        assert_eq!(text("${A}"), "a");
        assert_eq!(text("x${A}y${B_2}z"), "xayb:bz");
        assert_eq!(text("${A}_API_KEY"), "a_API_KEY");
    }

    #[test]
    fn uses_the_default_when_unset_or_empty() {
        assert_eq!(text("${NO:-https://api.openai.com/v1}"), "https://api.openai.com/v1");
        assert_eq!(text("${EMPTY:-d}"), "d");
        assert_eq!(text("${EMPTY}"), "");
        assert_eq!(text("${NO:-}"), "");
        assert_eq!(text("${A:-d}"), "a");
        assert_eq!(text("${NO:-a:-b}"), "a:-b");
    }

    #[test]
    fn defaults_nest() {
        assert_eq!(text("${NO:-${A}}"), "a");
        assert_eq!(text("${NO:-x${NO2:-y${B_2}}z}!"), "xyb:bz!");
        assert_eq!(text("${NO:-${}}"), "${}");
        assert_eq!(text("${A:-${NO}}"), "a", "a default that is not used needs no variable");
    }

    #[test]
    fn leaves_everything_else_as_it_is() {
        for written in
            ["$", "$A", "${}", "${", "${A", "$${", "${1}", "${A-b}", "${ A }", "${A:b}", "a$}", "{A}", "$ {A}"]
        {
            assert_eq!(text(written), written);
        }
        assert_eq!(text("$${A}"), "$a");
        assert_eq!(text("${A:-{x}}"), "a}");
        assert_eq!(text("${NO ${A}"), "${NO a");
    }

    #[test]
    fn never_expands_a_value_again() {
        assert_eq!(text("${LOOP}"), "${LOOP} ${A}");
    }

    #[test]
    fn knows_a_single_reference() {
        let form = |written| interpolate(written, &env).unwrap().form;
        assert_eq!(form("${A}"), Form::Reference);
        assert_eq!(form("${NO:-${NO:-2}}"), Form::Reference);
        assert_eq!(form("${A}${A}"), Form::Mixed);
        assert_eq!(form(" ${A}"), Form::Mixed);
        assert_eq!(form("${1 ${A}}"), Form::Mixed);
        assert_eq!(form("${}"), Form::Literal);
        assert_eq!(form(""), Form::Literal);
    }

    #[test]
    fn names_all_unset_variables_once() {
        let unset = |name: &str| Failure::Unset(name.to_owned());
        assert_eq!(interpolate("${X}${Y:-${Z}}${X}", &env), Err(vec![unset("X"), unset("Z")]));
    }

    #[test]
    fn bounds_depth_and_length() {
        let deep = "${N:-".repeat(5000) + &"}".repeat(5000);
        assert_eq!(interpolate(&deep, &env), Err(vec![Failure::TooDeep]));
        let big = |_: &str| Some("x".repeat(MAX_LENGTH / 2));
        assert_eq!(interpolate("${X}${X}${X}${X}", &big), Err(vec![Failure::TooLong]));
        assert_eq!(text(&"${A:-".repeat(100_000)), "${A:-".repeat(100_000));
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_is_unchanged(written in "[^$]*") {
            let result = interpolate(&written, &env).unwrap();
            prop_assert_eq!(result, Interpolated { text: written, form: Form::Literal, stray: false });
        }

        #[test]
        fn terminates_without_panic(written in r"([$]\{|\}|:-|[$]|A|NO|file:|é|[ -~]){0,60}") {
            let _ = interpolate(&written, &env);
        }

        #[test]
        fn a_value_arrives_untouched(value in ".{1,40}") {
            let env = |_: &str| Some(value.clone());
            prop_assert_eq!(interpolate("<${V:-d}>", &env).unwrap().text, format!("<{value}>"));
        }
    }
}
