//! Finds the small fields of a form between its files (`multipart/form-data`,
//! [RFC 7578](https://www.rfc-editor.org/rfc/rfc7578)).
//!
//! A form is passed on whatever it looks like, so nothing here is an error: a form that cannot be read has no fields. A
//! crate for forms would stream and copy the parts; here only offsets are wanted.

use std::ops::Range;

use memchr::memmem;

/// One field that is not a file.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Its name, without quotes.
    pub(super) name: String,
    /// The range that can be cut out without breaking the form: the part with the delimiter before it. A cut at the
    /// very beginning leaves an empty preamble, which RFC 2046 allows.
    pub(super) whole: Range<usize>,
    /// Its content.
    pub(super) content: Range<usize>,
}

/// The most fields that are read; a hostile form could have millions of empty parts.
const MAX_PARTS: usize = 10_000;

/// The longest name that is compared; ours are shorter.
const MAX_NAME: usize = 64;

/// The fields of the form whose names `wanted` accepts, up to the place where the form stops making sense.
pub(super) fn fields(bytes: &[u8], content_type: &str, wanted: impl Fn(&str) -> bool) -> Vec<Field> {
    let mut fields = Vec::new();
    let Some(boundary) = boundary(content_type) else { return fields };
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    let finder = memmem::Finder::new(&delimiter);
    let mut opening =
        if bytes.starts_with(&delimiter[2..]) { begin(bytes, 0, delimiter.len() - 2) } else { next(bytes, &finder, 0) };
    for _ in 0..MAX_PARTS {
        let Some(Delimiter { at, part: Some(start) }) = opening else { break };
        // The line break that ends the delimiter's line also begins the delimiter behind a part without content.
        let Some(closing) = next(bytes, &finder, start - 2) else { break };
        let end = closing.at.max(start);
        if let Some((name, head)) = name(&bytes[start..end])
            && wanted(&name)
        {
            fields.push(Field { name, whole: at..closing.at, content: start + head..end });
        }
        opening = Some(closing);
    }
    fields
}

/// The text that stands before the content of a field called `name` that is put before the first part; none when the
/// form does not begin with its first delimiter. Behind the content belongs a line break.
pub(super) fn opening_field(bytes: &[u8], content_type: &str, name: &str) -> Option<String> {
    let delimiter = format!("--{}", boundary(content_type)?);
    let begins = bytes.starts_with(delimiter.as_bytes()) && begin(bytes, 0, delimiter.len()).is_some();
    begins.then(|| format!("{delimiter}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n"))
}

/// The line that stands before each part and behind the last.
struct Delimiter {
    /// Its beginning: at the line break before it, if there is one.
    at: usize,
    /// The beginning of the part behind it; none behind the last.
    part: Option<usize>,
}

/// The next delimiter that begins at `from` or behind.
fn next(bytes: &[u8], finder: &memmem::Finder<'_>, mut from: usize) -> Option<Delimiter> {
    loop {
        let at = from + finder.find(bytes.get(from..)?)?;
        let behind = at + finder.needle().len();
        if let Some(delimiter) = begin(bytes, at, behind) {
            return Some(delimiter);
        }
        from = behind;
    }
}

/// The delimiter that begins at `at` and whose boundary ends at `behind`; none if that is only the beginning of
/// another word, and so content.
fn begin(bytes: &[u8], at: usize, behind: usize) -> Option<Delimiter> {
    let rest = bytes.get(behind..)?;
    if rest.starts_with(b"--") {
        return Some(Delimiter { at, part: None });
    }
    let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest[padding..].starts_with(b"\r\n").then_some(Delimiter { at, part: Some(behind + padding + 2) })
}

/// The name of a part that is not a file, and where its content begins.
fn name(part: &[u8]) -> Option<(String, usize)> {
    if part.starts_with(b"\r\n") {
        return None;
    }
    let head = memmem::find(part, b"\r\n\r\n")?;
    let line = part[..head].split(|&byte| byte == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon].trim_ascii().eq_ignore_ascii_case(b"content-disposition").then(|| &line[colon + 1..])
    })?;
    let line = std::str::from_utf8(line).ok()?.trim();
    if parameter(line, "filename").is_some() || parameter(line, "filename*").is_some() {
        return None;
    }
    let name = parameter(line, "name").filter(|name| name.len() <= MAX_NAME)?;
    Some((name, head + 4))
}

/// The boundary that a content type names.
fn boundary(content_type: &str) -> Option<String> {
    // RFC 2046 allows 70 characters; some clients do not know.
    parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty() && boundary.len() <= 256)
}

/// The value of a parameter in a header such as `form-data; name="model"`, whatever the case of its name.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (name, behind) = rest.split_at(rest.find([';', '='])?);
        let (value, behind) = match behind.strip_prefix('=') {
            Some(value) => value_of(value.trim_start()),
            None => (String::new(), behind),
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = &behind[behind.find(';')? + 1..];
    }
}

/// The value, quoted or not, that `text` begins with, and what stands behind it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, behind) = text.split_at(text.find(';').unwrap_or(text.len()));
        return (value.trim().to_owned(), behind);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    (value, "")
}
