//! The fields of a head, as ranges of the bytes that came.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::framing::Judge;

/// The fields of a head, in the order in which they came. No field is copied: each is a place in the bytes of the head, whose
/// names are in lower case. Most heads have a dozen, so that one is found by looking at all.
#[derive(Clone, Default)]
pub struct Fields {
    /// The head.
    came: Bytes,
    /// The bytes of what was put in since, whose places lie behind those of the head.
    added: Vec<u8>,
    places: Vec<Place>,
}

/// The place of a field: where its name and its value begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    name: (u32, u32),
    value: (u32, u32),
}

/// The place of `part`, which lies in `whole`. No head has as many bytes as could not be counted.
pub(super) fn place(whole: &[u8], part: &[u8]) -> (u32, u32) {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    (at(start), at(start + part.len()))
}

fn range((start, end): (u32, u32)) -> std::ops::Range<usize> {
    start as usize..end as usize
}

/// Puts a name, which is ASCII, in lower case: eight bytes at once, as most are short.
fn lower(name: &mut [u8]) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = name.as_chunks_mut::<8>();
    for word in words {
        let bytes = u64::from_ne_bytes(*word);
        // The highest bit of a byte tells whether it is at least the letter; no byte has it before, so that none carries over.
        let from_a = bytes + ONES * u64::from(0x80 - b'A');
        let beyond_z = bytes + ONES * u64::from(0x7f - b'Z');
        let upper = from_a & !beyond_z & (ONES * 0x80);
        *word = (bytes | upper >> 2).to_ne_bytes();
    }
    rest.make_ascii_lowercase();
}

/// The fields of a head that was parsed, before it is taken from the buffer in which it lies.
pub(super) struct Found {
    places: Vec<Place>,
    /// The statements of all fields about framing and the connection.
    pub judge: Judge,
}

impl Found {
    /// The fields `parsed`, which lie in `head`.
    pub fn of(head: &[u8], parsed: &[httparse::Header<'_>]) -> Self {
        let mut found = Self { places: Vec::with_capacity(parsed.len()), judge: Judge::default() };
        for field in parsed {
            let name = field.name.as_bytes();
            let is = |other: &HeaderName| name.eq_ignore_ascii_case(other.as_str().as_bytes());
            match name.len() {
                14 if is(&http::header::CONTENT_LENGTH) => found.judge.length(field.value),
                17 if is(&http::header::TRANSFER_ENCODING) => found.judge.transfer(field.value),
                10 if is(&http::header::CONNECTION) => found.judge.connection(field.value),
                _ => {}
            }
            found.places.push(Place { name: place(head, name), value: place(head, field.value) });
        }
        found
    }

    /// The fields, with the head that has been taken from its buffer.
    pub fn within(self, mut head: BytesMut) -> Fields {
        for place in &self.places {
            lower(&mut head[range(place.name)]);
        }
        Fields { came: head.freeze(), added: Vec::new(), places: self.places }
    }
}

impl Fields {
    fn bytes(&self, at: (u32, u32)) -> &[u8] {
        let (at, came) = (range(at), self.came.len());
        if at.end <= came { &self.came[at] } else { &self.added[at.start - came..at.end - came] }
    }

    /// A part of the head that came, in the same memory.
    pub(super) fn share(&self, at: (u32, u32)) -> Bytes {
        self.came.slice(range(at))
    }

    fn is(&self, place: Place, name: &str) -> bool {
        (place.name.1 - place.name.0) as usize == name.len() && self.bytes(place.name) == name.as_bytes()
    }

    /// All fields: each with its name in lower case, and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|place| (self.bytes(place.name), self.bytes(place.value)))
    }

    /// The values of the fields of a name, which is in lower case.
    pub fn all<'a, N: AsRef<str>>(&'a self, name: N) -> impl Iterator<Item = &'a [u8]> + use<'a, N> {
        self.places.iter().filter(move |place| self.is(**place, name.as_ref())).map(|place| self.bytes(place.value))
    }

    /// The value of the first field of a name, which is in lower case.
    pub fn get(&self, name: impl AsRef<str>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.places.iter().find(|place| self.is(**place, name)).map(|place| self.bytes(place.value))
    }

    /// The same, if it is text of ASCII.
    pub fn text(&self, name: impl AsRef<str>) -> Option<&str> {
        text(self.get(name)?)
    }

    /// True when there is a field of the name, which is in lower case.
    pub fn has(&self, name: impl AsRef<str>) -> bool {
        self.get(name).is_some()
    }

    /// Keeps those fields for whose names, in lower case, `keeps` is true.
    pub fn retain(&mut self, keeps: impl Fn(&[u8]) -> bool) {
        let mut places = std::mem::take(&mut self.places);
        places.retain(|place| keeps(self.bytes(place.name)));
        self.places = places;
    }

    /// Takes out all fields of a name.
    pub fn remove(&mut self, name: impl AsRef<str>) {
        let mut places = std::mem::take(&mut self.places);
        places.retain(|place| !self.is(*place, name.as_ref()));
        self.places = places;
    }

    /// Puts a field in the place of all of its name.
    pub fn insert(&mut self, name: impl AsRef<str>, value: &HeaderValue) {
        self.remove(name.as_ref());
        self.append(name.as_ref().as_bytes(), value.as_bytes());
    }

    /// Puts a field behind all others; the name is in lower case.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.add(name), self.add(value));
        self.places.push(Place { name, value });
    }

    fn add(&mut self, bytes: &[u8]) -> (u32, u32) {
        let at = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let start = self.came.len() + self.added.len();
        self.added.extend_from_slice(bytes);
        (at(start), at(start + bytes.len()))
    }

    /// The bytes in which all of them lie, with more between and around them.
    pub fn around(&self) -> [&[u8]; 2] {
        [&self.came, &self.added]
    }

    /// Replaces each value for which `other` has another one.
    pub fn replace(&mut self, other: impl Fn(&[u8]) -> Option<HeaderValue>) {
        for index in 0..self.places.len() {
            if let Some(value) = other(self.bytes(self.places[index].value)) {
                self.places[index].value = self.add(value.as_bytes());
            }
        }
    }

    /// All of them as a map.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.places.len());
        for (name, value) in self.iter() {
            // What was read or put in is legal.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in map {
            fields.append(name.as_str().as_bytes(), value.as_bytes());
        }
        fields
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        Self::from(&map)
    }
}

/// Equal are those with the same fields in the same order.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Fields {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(pairs: T) -> Self {
        let mut fields = Self::default();
        pairs.into_iter().for_each(|(name, value)| fields.append(name.as_bytes(), value.as_bytes()));
        fields
    }
}

/// What a head has, whoever has read it.
pub trait Lookup {
    /// The value of the first field of a name.
    fn first(&self, name: &HeaderName) -> Option<&[u8]>;

    /// The values of all fields of a name.
    fn every<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]>;
}

impl Lookup for Fields {
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        self.get(name)
    }

    fn every<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.all(name)
    }
}

impl Lookup for HeaderMap {
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        self.get(name).map(HeaderValue::as_bytes)
    }

    fn every<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }
}

/// Without values: keys and prompts may be among them.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

/// The value of a field as text, if it is ASCII.
pub fn text(value: &[u8]) -> Option<&str> {
    // Control characters were refused before.
    if value.is_ascii() { str::from_utf8(value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::response;

    fn read(head: &str) -> Fields {
        let mut buffer = BytesMut::from(head);
        response::take(&mut buffer, false).expect("well-formed").expect("complete").headers
    }

    fn shown(fields: &Fields) -> Vec<(&[u8], &[u8])> {
        fields.iter().collect()
    }

    #[test]
    fn fields_are_found_by_names_in_lower_case_whatever_came() {
        let fields = read("HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Type:\t a/b; c \r\nX-ONE: 2\r\nx-o:\r\n\r\nbody");
        assert_eq!(fields.get("x-one"), Some(&b"1"[..]));
        assert_eq!(fields.all("x-one").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(fields.text(http::header::CONTENT_TYPE), Some("a/b; c"));
        assert_eq!((fields.get("x-o"), fields.get("x-on"), fields.has("date")), (Some(&b""[..]), None, false));
        assert_eq!(format!("{fields:?}"), r#"["x-one", "content-type", "x-one", "x-o"]"#);
    }

    #[test]
    fn letters_alone_become_lower() {
        let all: Vec<u8> = (0..128).collect();
        for start in 0..all.len() {
            for end in start..(start + 20).min(all.len()) {
                let mut name = all[start..end].to_vec();
                lower(&mut name);
                assert_eq!(name, all[start..end].to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn text_is_ascii() {
        let map = HeaderMap::from_iter([(http::header::VARY, HeaderValue::from_bytes(b"\xe9").expect("legal"))]);
        let fields = Fields::from(&map);
        assert_eq!((fields.get("vary"), fields.text("vary")), (Some(&b"\xe9"[..]), None));
        assert_eq!((text(b"a\tb ~"), text(b"")), (Some("a\tb ~"), Some("")));
        assert_eq!(fields.to_map(), map);
    }

    #[test]
    fn what_is_put_in_stands_beside_what_came() {
        let mut fields = read("HTTP/1.1 200 OK\r\na: 1\r\nb: secret\r\na: 2\r\n\r\n");
        fields.insert("c", &HeaderValue::from_static("3"));
        fields.insert("a", &HeaderValue::from_static("4"));
        fields.replace(|value| (value == b"secret").then(|| HeaderValue::from_static("***")));
        assert_eq!(shown(&fields), [(&b"b"[..], &b"***"[..]), (b"c", b"3"), (b"a", b"4")]);
        fields.remove("b");
        fields.remove("none");
        assert_eq!(shown(&fields), [(&b"c"[..], &b"3"[..]), (b"a", b"4")]);
        let map = fields.to_map();
        assert_eq!((map.len(), &map["a"]), (2, &HeaderValue::from_static("4")));
    }
}
