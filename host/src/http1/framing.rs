//! How the body of a message ends (RFC 9112, 6.3), judged from its fields.

/// The way in which a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes, more than none.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection; only an answer can end so.
    Close,
}

/// The fields contradict each other or themselves, or name a coding that is not spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, and a connection ends unless it is said to stay.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// What the fields of one head say, gathered field by field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judge {
    length: Option<u64>,
    transfer: bool,
    unclear: bool,
    close: bool,
    keep: bool,
}

impl Judge {
    /// Reads a `Content-Length`. Several fields must all say the same (RFC 9112, 6.3, which allows a list of equal lengths as well,
    /// and to refuse it).
    pub fn length(&mut self, value: &[u8]) {
        match number(value.trim_ascii()) {
            Some(length) if self.length.is_none_or(|before| before == length) => self.length = Some(length),
            _ => self.unclear = true,
        }
    }

    /// Reads a `Transfer-Encoding`: `chunked`, once, and nothing else. What is encoded in another way could not be read here, and
    /// a list with several codings is what readers disagree about.
    pub fn transfer(&mut self, value: &[u8]) {
        self.unclear |= self.transfer || !value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        self.transfer = true;
    }

    /// Reads a `Connection`.
    pub fn connection(&mut self, value: &[u8]) {
        for part in value.split(|byte| *byte == b',') {
            let part = part.trim_ascii();
            self.close |= part.eq_ignore_ascii_case(b"close");
            self.keep |= part.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// True when another message may follow on the connection.
    pub fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep)
    }

    /// The end of the body; `None` where no field says anything about it.
    ///
    /// # Errors
    ///
    /// [`Unclear`]. Both fields at once are that too: either may be what another reader goes by.
    pub fn framing(&self, version: Version) -> Result<Option<Framing>, Unclear> {
        match (self.unclear, self.length, self.transfer) {
            (true, ..) | (_, Some(_), true) => Err(Unclear),
            (_, None, true) if version == Version::Http10 => Err(Unclear),
            (_, None, true) => Ok(Some(Framing::Chunked)),
            (_, Some(0), false) => Ok(Some(Framing::Empty)),
            (_, Some(length), false) => Ok(Some(Framing::Length(length))),
            (_, None, false) => Ok(None),
        }
    }
}

/// A number of decimal digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    // The last number of which one more digit cannot overflow.
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fields: &[(&str, &str)], version: Version) -> Result<Option<Framing>, Unclear> {
        let mut judge = Judge::default();
        for (name, value) in fields {
            match *name {
                "length" => judge.length(value.as_bytes()),
                "transfer" => judge.transfer(value.as_bytes()),
                _ => judge.connection(value.as_bytes()),
            }
        }
        judge.framing(version)
    }

    #[test]
    fn a_length_is_digits_and_says_one_thing() {
        for (values, length) in [
            (&["5"][..], Ok(Some(Framing::Length(5)))),
            (&["0"], Ok(Some(Framing::Empty))),
            (&["005"], Ok(Some(Framing::Length(5)))),
            (&["5", "5"], Ok(Some(Framing::Length(5)))),
            (&["5, 5"], Err(Unclear)),
            (&["9999999999999999999"], Ok(Some(Framing::Length(9_999_999_999_999_999_999)))),
            (&["5, 6"], Err(Unclear)),
            (&["5", "6"], Err(Unclear)),
            (&["5,"], Err(Unclear)),
            (&[""], Err(Unclear)),
            (&["+5"], Err(Unclear)),
            (&["-5"], Err(Unclear)),
            (&["0x5"], Err(Unclear)),
            (&["5 5"], Err(Unclear)),
            (&["5.0"], Err(Unclear)),
            (&["18446744073709551621"], Err(Unclear)),
            (&["\u{0661}"], Err(Unclear)),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("length", *value)).collect();
            assert_eq!(judged(&fields, Version::Http11), length, "{values:?}");
        }
    }

    #[test]
    fn chunked_is_the_only_coding_and_stands_alone() {
        for (fields, framing) in [
            (&[("transfer", "chunked")][..], Ok(Some(Framing::Chunked))),
            (&[("transfer", " Chunked\t")], Ok(Some(Framing::Chunked))),
            (&[], Ok(None)),
            (&[("transfer", "chunked, chunked")], Err(Unclear)),
            (&[("transfer", "chunked"), ("transfer", "chunked")], Err(Unclear)),
            (&[("transfer", "gzip, chunked")], Err(Unclear)),
            (&[("transfer", "gzip"), ("transfer", "chunked")], Err(Unclear)),
            (&[("transfer", "identity")], Err(Unclear)),
            (&[("transfer", "xchunked")], Err(Unclear)),
            (&[("transfer", "chunked;q=1")], Err(Unclear)),
            (&[("transfer", "\"chunked\"")], Err(Unclear)),
            (&[("transfer", "chunked,")], Err(Unclear)),
            (&[("transfer", "\u{b}chunked")], Err(Unclear)),
            (&[("transfer", "")], Err(Unclear)),
            (&[("transfer", "chunked"), ("length", "5")], Err(Unclear)),
            (&[("length", "0"), ("transfer", "chunked")], Err(Unclear)),
        ] {
            assert_eq!(judged(fields, Version::Http11), framing, "{fields:?}");
        }
        assert_eq!(judged(&[("transfer", "chunked")], Version::Http10), Err(Unclear));
    }

    #[test]
    fn a_connection_stays_by_its_version_unless_it_is_said_otherwise() {
        for (value, on_10, on_11) in [
            ("", false, true),
            ("close", false, false),
            ("x, Keep-Alive", true, true),
            ("keep-alive, CLOSE", false, false),
        ] {
            let mut judge = Judge::default();
            judge.connection(value.as_bytes());
            assert_eq!(
                (judge.keeps_alive(Version::Http10), judge.keeps_alive(Version::Http11)),
                (on_10, on_11),
                "{value}"
            );
        }
    }
}
