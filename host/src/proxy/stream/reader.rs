//! Follows a stream: which part of it can be passed on, and how far it has come.
//!
//! Pure: pieces in, whole events out. The opening of a stream and the relay both use it.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use super::events::{Event, EventCutter, Oversized};
use super::protocol::{Protocol, Sort};

/// The most bytes of an error that are kept, which is more than any needs.
const MAX_ERROR: usize = 16 << 10;

/// The progress of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Something was generated.
    pub content: bool,
    /// It has announced its end: a clean end may follow.
    pub finished: bool,
    /// True when the stream reported an error.
    pub failed: bool,
    /// Its end marker has come. What follows is no part of it.
    pub ended: bool,
}

/// The result of feeding one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// The whole events that can be passed on; perhaps none.
    pub whole: Bytes,
    /// True when at least one byte of an event's data came; comments and pings have none.
    pub moved: bool,
    /// True when there are comments in `whole`.
    pub comments: bool,
}

/// Reads one stream.
#[derive(Clone, Debug)]
pub struct Reader {
    protocol: Protocol,
    cutter: EventCutter,
    progress: Progress,
    events: u64,
    /// The error that the stream reported in place of an answer.
    error: Vec<u8>,
}

impl Reader {
    /// Reads a stream of this endpoint from its beginning.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, cutter: EventCutter::default(), progress: Progress::default(), events: 0, error: Vec::new() }
    }

    /// The endpoint whose events it reads.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The progress of the stream.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The data of an error that came in place of an answer; its beginning, if it is long.
    pub fn error(&self) -> &[u8] {
        &self.error
    }

    /// The number of events with data that it has read.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// True when a clean end, here, is the end of a stream that is complete.
    pub fn may_end(&self) -> bool {
        self.progress.finished || self.progress.ended || !self.protocol.says_when_complete()
    }

    /// True when a line of our own can be put behind the output so far.
    pub fn is_at_boundary(&self) -> bool {
        self.cutter.is_at_boundary()
    }

    /// Reads the next piece.
    ///
    /// # Errors
    ///
    /// [`Oversized`]: an event is too large to be held.
    pub fn feed(&mut self, piece: Bytes) -> Result<Fed, Oversized> {
        let mut fed = Fed::default();
        if self.progress.is_over() {
            return Ok(fed);
        }
        let (protocol, progress, events) = (self.protocol, &mut self.progress, &mut self.events);
        let error = &mut self.error;
        fed.whole = self.cutter.feed(piece, |event| {
            let sort = if progress.content { protocol.glance(event) } else { protocol.judge(event) };
            fed.comments |= sort == Sort::Comment;
            fed.moved |= !matches!(sort, Sort::Comment | Sort::Ping);
            *events += u64::from(event.has_data());
            let noted = progress.note(sort);
            if progress.failed && !progress.content {
                *error = event.data().iter().take(MAX_ERROR).copied().collect();
            }
            noted
        })?;
        fed.moved |= self.cutter.has_data();
        Ok(fed)
    }

    /// Takes note of a clean end, which may take the place of the last event's blank line: returns the rest of that
    /// event if it is whole.
    pub fn close(&mut self) -> Option<Bytes> {
        if self.progress.is_over() {
            return None;
        }
        let (protocol, events) = (self.protocol, &mut self.events);
        let (mut progress, mut is_whole) = (self.progress, false);
        let rest = self.cutter.close(|event| {
            is_whole = says_all(event);
            if is_whole {
                *events += 1;
                return progress.note(protocol.judge(event));
            }
            ControlFlow::Continue(())
        })?;
        is_whole.then(|| {
            self.progress = progress;
            rest
        })
    }
}

/// True when an event's data is complete: `[DONE]`, or one JSON text.
fn says_all(event: &Event<'_>) -> bool {
    let data = event.data();
    let json = serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_ok();
    event.has_data() && (json || data.trim_ascii() == b"[DONE]")
}

impl Progress {
    /// Takes note of the next event; `Break` when nothing that follows counts.
    fn note(&mut self, sort: Sort) -> ControlFlow<()> {
        match sort {
            Sort::Comment | Sort::Ping | Sort::Prelude => {}
            Sort::Content => self.content = true,
            Sort::Finish => {
                self.content = true;
                self.finished = true;
            }
            Sort::Completed => {
                self.content = true;
                self.ended = true;
            }
            Sort::End => self.ended = true,
            Sort::Error => self.failed = true,
            Sort::Failed => {
                self.failed = true;
                self.ended = true;
            }
        }
        if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// True when nothing that follows counts, such as after an error in place of an answer.
    fn is_over(self) -> bool {
        self.ended || (self.failed && !self.content)
    }
}

/// Selects from `text`, which is whole events, the comments or everything else.
pub fn select(text: &[u8], comments: bool) -> Bytes {
    let (mut cutter, mut selected) = (EventCutter::default(), BytesMut::new());
    let mut was_comment = false;
    let read = cutter.feed(Bytes::copy_from_slice(text), |event| {
        // The blank line behind a comment goes with neither.
        let is_blank = event.text().iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if event.is_comment == comments && !(is_blank && (comments || was_comment)) {
            selected.extend_from_slice(event.text());
        }
        was_comment = event.is_comment;
        ControlFlow::Continue(())
    });
    debug_assert!(read.is_ok(), "what is whole is never held");
    selected.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const ERROR: &str = "data: {\"error\":{\"message\":\"x\"}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    fn read(stream: &str) -> (Reader, String) {
        let mut reader = Reader::new(Protocol::Chat);
        let fed = reader.feed(Bytes::copy_from_slice(stream.as_bytes())).expect("within bounds");
        (reader, String::from_utf8(fed.whole.to_vec()).expect("text"))
    }

    #[test]
    fn progress_goes_with_the_events() {
        let progress = |events: &[&str]| {
            let Progress { content, finished, failed, ended } = read(&events.concat()).0.progress();
            [content, finished, failed, ended]
        };
        assert_eq!(progress(&[": c\n\n", ROLE]), [false; 4]);
        assert_eq!(progress(&[ROLE, WORD]), [true, false, false, false]);
        assert_eq!(progress(&[ROLE, WORD, STOP]), [true, true, false, false]);
        assert_eq!(progress(&[WORD, STOP, DONE]), [true, true, false, true]);
        assert_eq!(progress(&[WORD, ERROR, DONE]), [true, false, true, true]);
        assert_eq!(progress(&[ROLE, ERROR, WORD]), [false, false, true, false], "nothing counts behind it");
        assert_eq!(progress(&[DONE]), [false, false, false, true]);
    }

    #[test]
    fn what_follows_the_end_is_not_passed_on() {
        let (mut reader, whole) = read(&[WORD, DONE, ERROR].concat());
        assert_eq!(whole, [WORD, DONE].concat());
        assert_eq!(reader.feed(Bytes::from_static(b": more\n\n")), Ok(Fed::default()));
    }

    #[test]
    fn a_stream_of_an_unknown_endpoint_may_end_anywhere_and_others_where_they_say() {
        assert!(!read(WORD).0.may_end() && read(STOP).0.may_end() && read(DONE).0.may_end());
        assert!(Reader::new(Protocol::Other).may_end());
    }

    #[test]
    fn the_last_event_may_lack_its_blank_line_if_it_is_all_there() {
        for (rest, given) in [("data: [DONE]", true), ("data: {\"choices\":[]}\n", true), ("data: {\"cho", false)] {
            let (mut reader, _) = read(&[WORD, rest].concat());
            assert_eq!(reader.close().is_some(), given, "{rest}");
            assert_eq!(reader.progress().ended, rest.contains("DONE"));
        }
        assert_eq!(read(WORD).0.close(), None);
    }

    /// The output for a stream that comes in pieces of a size, its progress, and the number of its events.
    fn passed(stream: &[u8], size: usize) -> (String, Progress, u64) {
        let (mut reader, mut passed) = (Reader::new(Protocol::Chat), Vec::new());
        for piece in stream.chunks(size) {
            passed.extend_from_slice(&reader.feed(Bytes::copy_from_slice(piece)).expect("within bounds").whole);
        }
        (String::from_utf8_lossy(&passed).into_owned(), reader.progress(), reader.events())
    }

    #[test]
    fn what_is_passed_on_does_not_depend_on_where_a_stream_is_cut() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/sse");
        let seeds = std::fs::read_dir(seeds).expect("there are seeds").map(|file| file.expect("a file").path());
        // The first byte of a seed is none of the stream's.
        let seeds: Vec<_> = seeds.map(|file| std::fs::read(file).expect("readable")[1..].to_vec()).collect();
        assert!(seeds.len() >= 3, "the seeds are gone");
        let own = [[ROLE, WORD, STOP, DONE].concat(), [ROLE, ERROR].concat(), [WORD, ERROR, DONE].concat()];
        let ended = own.iter().flat_map(|text| ["\n", "\r\n", "\r"].map(|end| text.replace('\n', end).into_bytes()));
        for stream in seeds.into_iter().chain(ended) {
            let whole = passed(&stream, stream.len());
            for size in 1..stream.len() {
                assert_eq!(passed(&stream, size), whole, "pieces of {size}: {}", String::from_utf8_lossy(&stream));
            }
        }
    }

    #[test]
    fn comments_can_be_told_from_the_rest() {
        let text = [": one\n\n", ROLE, ": two\r\n\r\n", WORD].concat();
        assert_eq!(select(text.as_bytes(), true), ": one\n: two\r\n");
        assert_eq!(select(text.as_bytes(), false), [ROLE, WORD].concat());
    }
}
