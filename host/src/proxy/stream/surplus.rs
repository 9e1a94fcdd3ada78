//! Takes the chunk with the usage out of a stream, whose client has not asked for it.
//!
//! With `stream_options.include_usage`, OpenAI's streams of completions have one chunk more, before `[DONE]`: its `choices`
//! are empty and its `usage` is an object; all others have a `usage` of null (API reference, `stream_options`). These may stay,
//! as a client that does not know the key does not look at it.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use super::events::{Event, EventCutter};
use crate::proxy::request::scan::Members;

/// The key without which no event is taken out.
const KEY: &[u8] = b"\"usage\"";

/// Looks for the chunk, as whole events pass.
#[derive(Debug, Default)]
pub struct Surplus {
    /// True when the last event was taken out and its last line ended in CR, so that an LF that follows belongs to it.
    after_cr: bool,
}

impl Surplus {
    /// These whole events without the chunk; they are not copied if it is not among them.
    pub fn taken_out(&mut self, mut events: Bytes) -> Bytes {
        static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));
        if !events.is_empty() && std::mem::take(&mut self.after_cr) && events[0] == b'\n' {
            events = events.slice(1..);
        }
        if FINDER.find(&events).is_none() {
            return events;
        }
        let (mut kept, mut taken) = (BytesMut::with_capacity(events.len()), false);
        let mut end = 0;
        let after_cr = &mut self.after_cr;
        let read = EventCutter::default().feed(events.clone(), |event| {
            end += event.text().len();
            *after_cr = is_surplus(event);
            if *after_cr {
                taken = true;
                *after_cr = event.text().ends_with(b"\r");
            } else {
                kept.extend_from_slice(event.text());
            }
            ControlFlow::Continue(())
        });
        debug_assert!(read.is_ok(), "what is whole is never held");
        if !taken {
            return events;
        }
        kept.extend_from_slice(&events[end..]);
        kept.freeze()
    }
}

/// True for a chunk without choices that has a usage.
fn is_surplus(event: &Event<'_>) -> bool {
    let data = event.data();
    let data = data.trim_ascii();
    let Some(mut members) = Members::at(data, 0) else { return false };
    let (mut has_usage, mut has_none) = (false, false);
    while let Ok(Some(member)) = members.next() {
        let value = &data[member.value];
        match &data[member.key] {
            b"usage" => has_usage = value.starts_with(b"{"),
            b"choices" => {
                let inner = value.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
                has_none = inner.is_some_and(|inner| inner.trim_ascii().is_empty());
            }
            _ => {}
        }
    }
    has_usage && has_none
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}";
    const FILTERS: &str = "data: {\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}";
    const LAST: &str =
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":1}}]}";
    const USAGE: &str = "data: {\"id\":\"1\",\"choices\": [ ],\"usage\":{\"prompt_tokens\":1,\"total_tokens\":1}}";
    const DONE: &str = "data: [DONE]";

    /// The output for these pieces, each cut into whole events before.
    fn through(pieces: &[&[u8]]) -> String {
        let (mut cutter, mut surplus, mut given) = (EventCutter::default(), Surplus::default(), Vec::new());
        for piece in pieces {
            let whole = cutter.feed(Bytes::copy_from_slice(piece), |_| ControlFlow::Continue(()));
            given.extend_from_slice(&surplus.taken_out(whole.expect("within bounds")));
        }
        String::from_utf8(given).expect("text")
    }

    #[test]
    fn one_chunk_goes_and_every_other_byte_stays_wherever_the_stream_is_cut() {
        for end in ["\n", "\r\n", "\r"] {
            let blank = format!("{end}{end}");
            let before = [FILTERS, WORD, ": c", LAST].join(&blank) + &blank;
            let after = format!("{DONE}{blank}");
            let stream = format!("{before}{USAGE}{blank}{after}");
            let bytes = stream.as_bytes();
            for first in 0..=bytes.len() {
                for second in [first, first + 1, first + 7, bytes.len()] {
                    let second = second.min(bytes.len());
                    let given = through(&[&bytes[..first], &bytes[first..second], &bytes[second..]]);
                    assert_eq!(given, format!("{before}{after}"), "cut at {first} and {second}, {end:?}");
                }
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(through(&single), format!("{before}{after}"));
        }
    }

    #[test]
    fn events_without_it_are_not_copied() {
        let events = Bytes::from(format!("{WORD}\n\n{LAST}\n\n"));
        let given = Surplus::default().taken_out(events.clone());
        assert_eq!((given.as_ptr(), given.len()), (events.as_ptr(), events.len()));
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for event in [
            "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{}\"}}]}\n\n",
            "data: {\"choices\":[],\"usage\":null}\n\n",
            "data: {\"usage\":{\"prompt_tokens\":1}}\n\n",
            "data: \"usage\"\n\n",
            ": \"usage\" {\n\n",
        ] {
            assert_eq!(through(&[event.as_bytes()]), event);
        }
    }
}
