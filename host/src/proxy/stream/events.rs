//! Finds the events in the bytes of a `text/event-stream`, without changing or keeping them.
//!
//! The relay needs to know three things: whether a byte of a *real* event came by (comments and pings do not count),
//! where the first event ends, and whether the stream said that it is complete. Format: WHATWG HTML, "Server-sent
//! events"; lines end in LF, CR LF or CR.

use memchr::memchr2;

/// Enough of a line to know its field, and `data: [DONE]` whole.
const HEAD: usize = 24;
/// `"finish_reason"`, a colon, perhaps spaces, and the quote of a value that is not null.
const FINISH: &[u8] = b"\"finish_reason\":";
/// At most so many spaces: what is kept of one piece for the next is bounded, and the cut must make no difference.
const SPACES: usize = 8;

/// Reads a stream piece by piece.
#[derive(Clone, Debug, Default)]
pub struct EventScanner {
    /// The beginning of the current line.
    head: [u8; HEAD],
    head_len: usize,
    /// The last byte was CR, so an LF that follows belongs to it.
    after_cr: bool,
    /// The current event has a `data` line.
    has_data: bool,
    /// The current event is named `ping`.
    is_ping: bool,
    /// Where the current event begins, and how much has been read before this piece.
    event_start: usize,
    read: usize,
    done: bool,
    /// Watches for a finish reason across pieces; `None` when nobody asked.
    finish: Option<FinishWatch>,
}

#[derive(Clone, Debug, Default)]
struct FinishWatch {
    tail: Vec<u8>,
    seen: bool,
}

/// What one piece held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// At least one byte of an event that is neither comment nor ping.
    pub event: bool,
    /// The first such event that ends in this piece, its blank line included, counted from the stream's beginning.
    pub whole: Option<(usize, usize)>,
}

impl EventScanner {
    /// A scanner that also looks for a finish reason, for streams whose end is not otherwise marked.
    pub fn watching_finish() -> Self {
        Self { finish: Some(FinishWatch::default()), ..Self::default() }
    }

    /// Reads the next piece of the stream.
    pub fn feed(&mut self, piece: &[u8]) -> Seen {
        if let Some(watch) = &mut self.finish {
            watch.feed(piece);
        }
        let mut seen = Seen::default();
        let mut at = 0;
        while at < piece.len() {
            if std::mem::take(&mut self.after_cr) && piece[at] == b'\n' {
                at += 1;
                continue;
            }
            let Some(length) = memchr2(b'\n', b'\r', &piece[at..]) else {
                self.keep_head(&piece[at..]);
                // Without its colon the field's name may go on.
                seen.event |= self.head[..self.head_len].contains(&b':') && self.line_is_event();
                break;
            };
            let end = at + length;
            self.keep_head(&piece[at..end]);
            self.after_cr = piece[end] == b'\r';
            let after = end + 1;
            if self.head_len == 0 {
                let lf = usize::from(self.after_cr && piece.get(after) == Some(&b'\n'));
                let event_end = self.read + after + lf;
                if self.has_data && !self.is_ping && seen.whole.is_none() {
                    seen.whole = Some((self.event_start, event_end));
                }
                self.event_start = event_end;
                self.has_data = false;
                self.is_ping = false;
            } else {
                seen.event |= self.line_is_event();
                self.end_line();
            }
            at = after;
        }
        self.read += piece.len();
        seen
    }

    /// Whether the stream said that it is complete: `[DONE]`, or a finish reason if watched.
    pub fn is_complete(&self) -> bool {
        self.done || self.finish.as_ref().is_some_and(|watch| watch.seen)
    }

    /// Where the event that has not ended yet begins, counted from the stream's beginning.
    pub fn event_start(&self) -> usize {
        self.event_start.min(self.read)
    }

    fn keep_head(&mut self, bytes: &[u8]) {
        let room = HEAD - self.head_len;
        let taken = bytes.len().min(room);
        self.head[self.head_len..self.head_len + taken].copy_from_slice(&bytes[..taken]);
        self.head_len += taken;
    }

    fn line_is_event(&self) -> bool {
        !self.is_ping && field(&self.head[..self.head_len]).0 == b"data"
    }

    fn end_line(&mut self) {
        match field(&self.head[..self.head_len]) {
            (b"data", value) => {
                self.has_data = true;
                self.done |= value == b"[DONE]";
            }
            (b"event", b"ping") => self.is_ping = true,
            _ => {}
        }
        self.head_len = 0;
    }
}

impl FinishWatch {
    fn feed(&mut self, piece: &[u8]) {
        if self.seen {
            return;
        }
        self.tail.extend_from_slice(piece);
        for start in memchr::memmem::find_iter(&self.tail, FINISH) {
            let behind = self.tail[start + FINISH.len()..].iter().take(SPACES + 1);
            let value = behind.copied().find(|byte| !byte.is_ascii_whitespace());
            self.seen |= value == Some(b'"');
        }
        // Keep what may be the beginning of a match.
        let keep = self.tail.len().saturating_sub(FINISH.len() + SPACES);
        self.tail.drain(..keep);
    }
}

/// Splits a line into its field and value; a comment has an empty field.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    // A byte order mark may stand at the very beginning.
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    match line.iter().position(|&byte| byte == b':') {
        None => (line, b""),
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

/// Whether an event, given whole, reports an error: `event: error`, or data that is an object with an `error`.
pub fn is_error(event: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Data {
        #[serde(default)]
        error: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        object: Option<String>,
    }
    let mut data = Vec::new();
    for line in event.split(|&byte| byte == b'\n' || byte == b'\r') {
        match field(line) {
            (b"event", b"error") => return true,
            (b"data", value) => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            _ => {}
        }
    }
    serde_json::from_slice::<Data>(&data)
        .is_ok_and(|data| data.error.is_some() || data.object.as_deref() == Some("error"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(stream: &str) -> (Seen, EventScanner) {
        let mut scanner = EventScanner::default();
        (scanner.feed(stream.as_bytes()), scanner)
    }

    #[test]
    fn comments_and_pings_are_no_events() {
        for quiet in
            [": hello\n\n", ":\r\n\r\n", "event: ping\ndata: {}\n\n", "retry: 3\n\n", "id: 7\nevent: x\n\n", "\n\n"]
        {
            assert_eq!(scan(quiet).0, Seen::default(), "{quiet:?}");
        }
    }

    #[test]
    fn an_event_counts_from_its_first_data_byte_and_ends_after_its_blank_line() {
        assert_eq!(scan("data: {").0, Seen { event: true, whole: None });
        for end in ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n"] {
            let stream = format!(": hi{end}data: 1{end}data: 2{end}");
            let first = (format!(": hi{end}").len(), format!(": hi{end}data: 1{end}").len());
            assert_eq!(scan(&stream).0, Seen { event: true, whole: Some(first) }, "{end:?}");
        }
    }

    #[test]
    fn an_event_after_a_ping_begins_after_the_ping() {
        let ping = "event: ping\r\ndata: {}\r\n\r\n";
        let stream = format!("{ping}data: 1\r\n\r\n");
        assert_eq!(scan(&stream).0.whole, Some((ping.len(), stream.len())));
    }

    #[test]
    fn done_and_a_finish_reason_complete_a_stream() {
        assert!(scan("data: [DONE]\n\n").1.is_complete());
        assert!(!scan("data: {\"text\":\"[DONE]\"}\n\n").1.is_complete());
        let mut scanner = EventScanner::watching_finish();
        scanner.feed(b"data: {\"finish_reason\":null}\n\ndata: {\"finish_re");
        assert!(!scanner.is_complete());
        scanner.feed(b"ason\": \"stop\"}\n\n");
        assert!(scanner.is_complete());
    }

    #[test]
    fn an_error_is_an_error_event_or_an_object_with_an_error() {
        assert!(is_error(b"data: {\"error\": {\"message\": \"overloaded\"}}\n\n"));
        assert!(is_error(b"data: {\"error\":\ndata: \"x\"}\n\n"));
        assert!(is_error(b"event: error\ndata: {}\n\n"));
        assert!(is_error(b"data: {\"object\": \"error\", \"message\": \"x\"}\n\n"));
        assert!(!is_error(b"data: {\"error\": null, \"choices\": []}\n\n"));
        assert!(!is_error(b"data: {\"choices\": [{\"error\": 1}]}\n\n"));
        assert!(!is_error(b"data: [DONE]\n\n"));
    }

    #[test]
    fn a_field_whose_name_begins_with_data_is_no_event_however_it_is_cut() {
        let mut scanner = EventScanner::default();
        let seen = b"database: 1\n\n".map(|byte| scanner.feed(&[byte]));
        assert_eq!(seen, [Seen::default(); 13]);
        assert!(scan("data\n").0.event, "a field without a colon has an empty value");
    }

    #[test]
    fn a_finish_reason_behind_many_spaces_is_the_same_however_it_is_cut() {
        for spaces in 0..20 {
            let stream = format!("\"finish_reason\":{}\"stop\"", " ".repeat(spaces));
            let mut whole = EventScanner::watching_finish();
            whole.feed(stream.as_bytes());
            let mut pieces = EventScanner::watching_finish();
            stream.bytes().for_each(|byte| {
                pieces.feed(&[byte]);
            });
            assert_eq!(whole.is_complete(), spaces <= SPACES, "{spaces}");
            assert_eq!(whole.is_complete(), pieces.is_complete(), "{spaces}");
        }
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_changes_nothing(
            lines in proptest::collection::vec("(data: x|:c|event: ping|event: y|data|id: 1|)(\n|\r\n|\r)", 0..20),
            cut in 0_usize..200,
        ) {
            let stream = lines.concat().into_bytes();
            let cut = cut.min(stream.len());
            let mut whole = EventScanner::default();
            let seen = whole.feed(&stream);
            let mut halves = EventScanner::default();
            let first = halves.feed(&stream[..cut]);
            let second = halves.feed(&stream[cut..]);
            prop_assert_eq!(seen.event, first.event || second.event);
            let ends = |seen: Seen| seen.whole.map(|(_, end)| end);
            let (whole, halves) = (ends(seen), ends(first).or(ends(second)));
            prop_assert_eq!(whole.is_some(), halves.is_some());
            // An LF that belongs to the CR before it may come with the next piece.
            prop_assert!(whole.unwrap_or(0).abs_diff(halves.unwrap_or(0)) <= 1);
        }

        #[test]
        fn any_bytes_can_be_scanned(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut scanner = EventScanner::watching_finish();
            scanner.feed(&bytes);
            is_error(&bytes);
        }
    }
}
