//! The findings of one pass over a JSON body: the places of the keys that matter here, and the first fault of the
//! whole.

use std::ops::Range;

use super::error::BodyError;
use super::keys::{self, Keys};
use super::member::id_in;
use super::optillm::{OptiKey, OptiKeys};
use super::scan::{MAX_DEPTH, Members, Scanner};
use super::splice::{Edit, Removal, Removed};
use super::text;
use super::tokens::{self, Opaque};

/// The findings in the object that a JSON body is.
#[derive(Default)]
pub(super) struct Found {
    /// The position of its `{`.
    pub(super) opening: usize,
    /// True when no member is left in it.
    pub(super) is_empty: bool,
    pub(super) model: Option<Range<usize>>,
    /// A model that is null, which is as good as none.
    pub(super) null_model: Option<Range<usize>>,
    pub(super) messages: Option<Range<usize>>,
    /// `prompt` of a completion, or `input` of a response or an embedding.
    pub(super) prompt: Option<Range<usize>>,
    pub(super) streaming: bool,
    /// True when it has `stream_options`, whatever they are.
    pub(super) has_stream_options: bool,
    pub(super) stores: Option<bool>,
    /// An id of something stored.
    pub(super) refers_to: Option<Range<usize>>,
    /// OptiLLM's keys at the top level.
    pub(super) top: OptiKeys,
    /// OptiLLM's keys in `extra_body`.
    pub(super) extra: OptiKeys,
    /// The edits that take all of them out.
    pub(super) cuts: Vec<Edit>,
    /// The largest limit of the answer's tokens.
    pub(super) max_tokens: u32,
    /// The answers that it asks for; 0 when it does not say.
    pub(super) choices: u32,
    /// The long texts that are base64.
    pub(super) opaque: Opaque,
    /// See [`Scanner::escaped`].
    pub(super) escaped: bool,
    /// See [`Scanner::escaped_letter`].
    pub(super) escaped_letter: bool,
}

impl Found {
    /// Behind the `{`, if the body asks for a stream and says nothing about its options.
    pub(super) fn options_at(&self) -> Option<usize> {
        (self.streaming && !self.has_stream_options).then_some(self.opening + 1)
    }

    /// Reads the body and says what is wrong with it as a whole.
    pub(super) fn in_object(bytes: &[u8]) -> Result<Self, BodyError> {
        // What is clean is UTF-8.
        if !text::is_clean(bytes)
            && let Err(error) = std::str::from_utf8(bytes)
        {
            return Err(BodyError::Utf8 { at: error.valid_up_to() });
        }
        let mut before = Scanner::new(bytes, 0);
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(before.expected("a JSON object without a byte order mark"));
        }
        before.whitespace();
        let Some(mut members) = Members::at(bytes, before.at()) else {
            if before.peek().is_none() {
                return Err(before.expected("a JSON object"));
            }
            before.value(MAX_DEPTH)?;
            before.end()?;
            return Err(BodyError::NotAnObject);
        };
        let mut found = Found { opening: before.at(), ..Found::default() };
        let mut keys = Keys::new();
        let mut removal = Removal::default();
        let mut inner = Vec::new();
        let mut is_other_case = false;
        // A problem of the whole is reported before one of a member.
        let mut complaint = Ok(());
        while let Some(member) = members.next()? {
            let key = text::unescape(&bytes[member.key.clone()]);
            keys.note(&key, member.start());
            let value = &bytes[member.value.clone()];
            match &*key {
                b"model" if value == b"null" => found.null_model = Some(member.value.clone()),
                b"model" => found.model = Some(member.value.clone()),
                b"messages" => found.messages = Some(member.value.clone()),
                b"prompt" | b"input" => found.prompt = Some(member.value.clone()),
                b"stream" => found.streaming = value == b"true",
                b"stream_options" => found.has_stream_options = true,
                b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens" => {
                    found.max_tokens = found.max_tokens.max(tokens::limit(value));
                }
                // A completion that is the best of several costs as much as all of them.
                b"n" | b"best_of" => found.choices = found.choices.max(tokens::limit(value)),
                b"store" if matches!(value, b"true" | b"false") => found.stores = Some(value == b"true"),
                b"previous_response_id"
                | b"input_file_id"
                | b"training_file"
                | b"file_id"
                | b"assistant_id"
                | b"thread_id"
                    if value.starts_with(b"\"") =>
                {
                    found.refers_to = Some(member.value.clone());
                }
                b"conversation" => found.refers_to = id_in(bytes, &member.value).or(found.refers_to),
                b"extra_body" => match OptiKeys::in_extra_body(bytes, member.value.start) {
                    Ok((extra, Removed { empty, cuts })) => {
                        found.extra = extra;
                        if empty && !cuts.is_empty() {
                            removal.remove(&member);
                            continue;
                        }
                        inner = cuts;
                    }
                    Err(error) => complaint = complaint.and(Err(error)),
                },
                key => {
                    is_other_case |= key.eq_ignore_ascii_case(b"model");
                    if let Some(key) = OptiKey::named(key) {
                        complaint = complaint.and_then(|()| found.top.take(key, bytes, &member.value, false));
                        removal.remove(&member);
                        continue;
                    }
                }
            }
            removal.keep(&member);
        }
        members.scanner.end()?;
        if let Some(key) = keys.repeated(bytes).and_then(|at| keys::key_at(bytes, at)) {
            return Err(BodyError::duplicate(&key));
        }
        // Some parsers tell keys apart by their case and others do not: the provider might see another model.
        if is_other_case && found.model.is_some() {
            return Err(BodyError::duplicate(b"model"));
        }
        complaint?;
        Removed { empty: found.is_empty, cuts: found.cuts } = removal.finish();
        found.cuts.append(&mut inner);
        found.escaped = members.scanner.escaped;
        found.escaped_letter = members.scanner.escaped_letter;
        found.opaque = members.scanner.opaque;
        Ok(found)
    }
}
