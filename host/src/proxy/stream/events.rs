//! Cuts the bytes of a `text/event-stream` into whole events.
//!
//! An event is handed on when its blank line has come and not before, so that whatever happens to the provider, its
//! client never sees half of one. Whole events pass without a copy; the beginning of a torn one is kept until its rest
//! is there. Each byte is looked at once, however it is cut. Format: WHATWG HTML, "Server-sent events"; lines end in
//! LF, CR LF or CR.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The largest event; a larger one is an error of the provider. The largest real ones, `response.completed` with
/// several pictures in base64, have a few MiB; this much may be held for every stream in flight.
pub const MAX_EVENT: usize = 16 << 20;

/// May stand at the very beginning.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event, from its first line to its blank line; or comment lines that stand between events.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    text: &'a [u8],
    /// The value of its `event` field, or empty.
    pub name: &'a [u8],
    /// The value of its first `data` field.
    first: &'a [u8],
    /// The number of its `data` fields.
    data_lines: usize,
    /// True when the event consists of comments, and of nothing else.
    pub is_comment: bool,
}

impl<'a> Event<'a> {
    /// An event of this name and data.
    pub fn new(name: &'a str, data: &'a [u8]) -> Self {
        Self { text: data, name: name.as_bytes(), first: data, data_lines: 1, is_comment: false }
    }

    /// The whole event.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// True when there is data, be it empty.
    pub fn has_data(&self) -> bool {
        self.data_lines > 0
    }

    /// Its data.
    pub fn data(&self) -> Cow<'a, [u8]> {
        if self.data_lines <= 1 {
            return Cow::Borrowed(self.first);
        }
        let lines = self.text.split(|&byte| byte == b'\n' || byte == b'\r');
        let values: Vec<&[u8]> =
            lines.map(field).filter(|(name, _)| *name == b"data").map(|(_, value)| value).collect();
        Cow::Owned(values.join(&b'\n'))
    }
}

/// The event that has begun is larger than [`MAX_EVENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversized;

/// Cuts a stream into events, piece by piece.
#[derive(Clone, Debug, Default)]
pub struct EventCutter {
    /// The beginning of an event that is not whole.
    pending: BytesMut,
    /// Its lines. Places are counted from its beginning.
    open: Open,
    /// True when the first line has ended.
    begun: bool,
}

/// The state of the event that is not whole.
#[derive(Clone, Debug, Default)]
struct Open {
    /// The next byte to be looked at.
    at: usize,
    /// The beginning of the current line.
    line: usize,
    /// The last byte was CR, so an LF that follows belongs to it.
    after_cr: bool,
    name: Range<usize>,
    data: Range<usize>,
    data_lines: usize,
    /// True when it has lines that are no comments.
    has_fields: bool,
}

impl EventCutter {
    /// Takes the next piece and returns the whole events, calling `each` for every one of them. After an event to which
    /// `each` says `Break` the stream is over: what follows is dropped.
    ///
    /// # Errors
    ///
    /// [`Oversized`]: the event that is not whole is too large to be held.
    pub fn feed(
        &mut self,
        piece: Bytes,
        mut each: impl FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Bytes, Oversized> {
        let mut is_over = false;
        let each = |event: &Event<'_>| {
            let said = each(event);
            is_over = said.is_break();
            said
        };
        if self.pending.is_empty() {
            let end = self.scan(&piece, each);
            if end == piece.len() {
                return Ok(if is_over { self.completed(piece) } else { piece });
            }
            if piece.len() - end > MAX_EVENT {
                return Err(Oversized);
            }
            self.pending.extend_from_slice(&piece[end..]);
            return Ok(piece.slice(..end));
        }
        self.pending.extend_from_slice(&piece);
        let mut pending = std::mem::take(&mut self.pending);
        let end = self.scan(&pending, each);
        let whole = pending.split_to(end).freeze();
        if pending.len() > MAX_EVENT {
            return Err(Oversized);
        }
        self.pending = pending;
        Ok(if is_over && self.pending.is_empty() { self.completed(whole) } else { whole })
    }

    /// The end of a stream that is over, with the LF that is still on its way: nothing is read behind it, and some clients
    /// wait for a blank line that ends as the others do.
    fn completed(&mut self, whole: Bytes) -> Bytes {
        if !whole.ends_with(b"\r\n\r") {
            return whole;
        }
        self.open.after_cr = false;
        [&whole, &b"\n"[..]].concat().into()
    }

    /// Takes the end of the stream for the blank line that the last event lacks.
    pub fn close(&mut self, each: impl FnMut(&Event<'_>) -> ControlFlow<()>) -> Option<Bytes> {
        if !self.has_begun() {
            return None;
        }
        let blank: &'static [u8] = if self.open.line == self.open.at { b"\n" } else { b"\n\n" };
        // It was within bounds, and these bytes make it whole.
        self.feed(Bytes::from_static(blank), each).ok()
    }

    /// True when an event has begun and is not whole.
    pub fn has_begun(&self) -> bool {
        !self.pending.is_empty()
    }

    /// True when data of such an event has come; that of a ping does not count.
    pub fn has_data(&self) -> bool {
        let Open { line, name, data_lines, .. } = &self.open;
        !self.pending.is_empty()
            && self.pending[name.clone()] != *b"ping"
            && (*data_lines > 0 || self.pending[*line..].starts_with(b"data:"))
    }

    /// True when a line can be inserted here: not between CR and LF.
    pub fn is_at_boundary(&self) -> bool {
        !self.pending.is_empty() || !self.open.after_cr
    }

    /// Reads `text`, which begins with the event that is not whole, and says where that event begins now.
    fn scan(&mut self, text: &[u8], mut each: impl FnMut(&Event<'_>) -> ControlFlow<()>) -> usize {
        let open = &mut self.open;
        // The end of the last event that is whole.
        let mut whole = 0;
        while open.at < text.len() {
            if std::mem::take(&mut open.after_cr) && text[open.at] == b'\n' {
                let belongs_to_whole = whole == open.at;
                open.at += 1;
                open.line = open.at;
                if belongs_to_whole {
                    whole = open.at;
                }
                continue;
            }
            let Some(length) = memchr2(b'\n', b'\r', &text[open.at..]) else {
                open.at = text.len();
                break;
            };
            let end = open.at + length;
            let mut start = open.line;
            if !std::mem::replace(&mut self.begun, true) && text[start..end].starts_with(BYTE_ORDER_MARK) {
                start += BYTE_ORDER_MARK.len();
            }
            open.after_cr = text[end] == b'\r';
            open.at = end + 1;
            open.line = open.at;
            let is_comment = text.get(start) == Some(&b':');
            if start < end && (open.has_fields || !is_comment) {
                let (name, value) = field(&text[start..end]);
                let value = end - value.len()..end;
                match name {
                    b"data" => {
                        if open.data_lines == 0 {
                            open.data = value;
                        }
                        open.data_lines += 1;
                    }
                    b"event" => open.name = value,
                    _ => {}
                }
                open.has_fields = true;
                continue;
            }
            if open.after_cr && text.get(open.at) == Some(&b'\n') {
                open.after_cr = false;
                open.at += 1;
                open.line = open.at;
            }
            let event = Event {
                text: &text[whole..open.at],
                name: &text[open.name.clone()],
                first: &text[open.data.clone()],
                data_lines: open.data_lines,
                is_comment,
            };
            whole = open.at;
            let said = each(&event);
            *open = Open { at: open.at, line: open.line, after_cr: open.after_cr, ..Open::default() };
            if said.is_break() {
                break;
            }
        }
        for place in [&mut open.at, &mut open.line, &mut open.name.start, &mut open.name.end] {
            *place = place.saturating_sub(whole);
        }
        open.data = open.data.start.saturating_sub(whole)..open.data.end.saturating_sub(whole);
        whole
    }
}

/// Splits a line into its field and value; a comment has an empty field.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        None => (line, &line[line.len()..]),
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cuts a stream that comes in these pieces; returns the cutter's output, and each event's name and data.
    fn cut(pieces: &[&[u8]]) -> (Vec<u8>, Vec<(String, String)>) {
        let (mut cutter, mut given, mut events) = (EventCutter::default(), Vec::new(), Vec::new());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for piece in pieces {
            let whole = cutter.feed(Bytes::copy_from_slice(piece), |event| {
                if event.has_data() {
                    events.push((text(event.name), text(&event.data())));
                }
                ControlFlow::Continue(())
            });
            given.extend_from_slice(&whole.expect("within bounds"));
        }
        (given, events)
    }

    fn one(stream: &str) -> (String, Vec<(String, String)>) {
        let (given, events) = cut(&[stream.as_bytes()]);
        (String::from_utf8(given).expect("text"), events)
    }

    fn event(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn an_event_is_given_when_its_blank_line_has_come() {
        for end in ["\n", "\r\n", "\r"] {
            let whole = format!("event: x{end}data: 1{end}data:2{end}id: 7{end}{end}");
            let stream = format!("{whole}data: half{end}");
            assert_eq!(one(&stream), (whole.clone(), vec![event("x", "1\n2")]), "{end:?}");
        }
    }

    #[test]
    fn comments_between_events_are_given_line_by_line_and_within_one_with_it() {
        assert_eq!(one(": one\n: tw").0, ": one\n");
        assert_eq!(one(": one\r\n\r\ndata: x\n").0, ": one\r\n\r\n");
        assert_eq!(one("data: x\n: within\n").0, "");
        assert_eq!(one("data: x\n: within\n\n").1, [event("", "x")]);
    }

    #[test]
    fn a_byte_order_mark_may_stand_at_the_beginning() {
        assert_eq!(one("\u{feff}data: x\n\n").1, [event("", "x")]);
        assert_eq!(one("\u{feff}: comment\n").0, "\u{feff}: comment\n");
    }

    #[test]
    fn a_field_may_lack_its_value_and_similar_names_are_other_fields() {
        assert_eq!(one("data\n\n").1, [event("", "")]);
        assert_eq!(one("database: 1\n\n").1, []);
    }

    #[test]
    fn what_is_whole_is_not_copied() {
        let piece = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
        let given = EventCutter::default().feed(piece.clone(), |_| ControlFlow::Continue(()));
        assert_eq!(given.expect("within bounds").as_ptr(), piece.as_ptr());
    }

    #[test]
    fn nothing_is_given_behind_the_event_that_ends_the_stream() {
        let mut cutter = EventCutter::default();
        let stop = |event: &Event<'_>| {
            if event.data()[..] == *b"stop" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let given = cutter.feed(Bytes::from_static(b"data: 1\r\n\r\ndata: stop\r\n\r\ndata: 2\r\n\r\n"), stop);
        assert_eq!(given.expect("within bounds"), "data: 1\r\n\r\ndata: stop\r\n\r\n");
    }

    #[test]
    fn the_event_that_ends_the_stream_is_given_whole_wherever_it_is_cut() {
        let stop = |_: &Event<'_>| ControlFlow::Break(());
        for whole in ["data: x\n\n", "data: x\r\n\r\n", "event: y\r\ndata: x\r\n\r\n", "data: x\r\r"] {
            for at in 0..whole.len() {
                let mut cutter = EventCutter::default();
                let mut given = Vec::new();
                for piece in [&whole[..at], &whole[at..]] {
                    given.extend_from_slice(
                        &cutter.feed(Bytes::from_static(piece.as_bytes()), stop).expect("within bounds"),
                    );
                    if !given.is_empty() {
                        break;
                    }
                }
                assert_eq!(String::from_utf8_lossy(&given), whole, "cut at {at}");
            }
        }
    }

    #[test]
    fn the_end_may_stand_for_the_blank_line_of_the_last_event() {
        for (stream, rest) in [("data: x", "data: x\n\n"), ("data: x\n", "data: x\n\n")] {
            let mut cutter = EventCutter::default();
            let go_on = |_: &Event<'_>| ControlFlow::Continue(());
            assert_eq!(cutter.feed(Bytes::from_static(stream.as_bytes()), go_on), Ok(Bytes::new()));
            assert_eq!(cutter.close(go_on).expect("an event"), rest);
            assert_eq!(cutter.close(go_on), None);
        }
    }

    #[test]
    fn data_counts_from_its_first_byte_and_that_of_a_ping_never() {
        let has_data = |stream: &'static str| {
            let mut cutter = EventCutter::default();
            cutter.feed(Bytes::from_static(stream.as_bytes()), |_| ControlFlow::Continue(())).expect("within bounds");
            cutter.has_data()
        };
        assert!(has_data("data: {") && has_data("event: x\ndata: {}\n") && has_data(": c\n\ndata:"));
        assert!(
            !has_data("data: {}\n\n") && !has_data("event: ping\ndata: {") && !has_data("database") && !has_data("")
        );
    }

    #[test]
    fn an_event_without_end_is_not_held_for_good() {
        let mut cutter = EventCutter::default();
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let mut fed = (0..20).map(|_| cutter.feed(piece.clone(), |_| ControlFlow::Continue(())));
        assert_eq!(fed.position(|fed| fed.is_err()), Some(16));
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_changes_nothing(
            lines in proptest::collection::vec("(data: x|:c|event: ping|event: y|data|id: 1|)(\n|\r\n|\r)", 0..20),
            cuts in (0_usize..200, 0_usize..200),
        ) {
            let stream = lines.concat().into_bytes();
            let (first, second) = (cuts.0.min(stream.len()), cuts.1.min(stream.len()));
            let (first, second) = (first.min(second), first.max(second));
            let (given, events) = cut(&[&stream]);
            let (pieces, same) = cut(&[&stream[..first], &stream[first..second], &stream[second..]]);
            prop_assert_eq!(&given, &pieces);
            prop_assert_eq!(&events, &same);
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!((given.clone(), events), cut(&single));
            prop_assert!(stream.starts_with(&given));
        }

        #[test]
        fn any_bytes_can_be_cut(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(cut(&[&bytes]), cut(&single));
        }
    }
}
