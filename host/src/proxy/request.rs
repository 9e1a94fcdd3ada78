//! The parts of a request's body that routing needs, and the body as a provider gets it.
//!
//! The body is read once, in place: only the parts that routing needs are found, with their positions. It is never
//! serialised again, because that would lose the order of keys, the spelling of numbers and everything that this proxy
//! does not know. Changes are spliced in, and all other bytes arrive as the client sent them.

mod approach;
mod conversation;
mod error;
mod found;
mod keys;
#[cfg(test)]
mod laws;
mod member;
mod multipart;
mod optillm;
mod prompt;
pub(in crate::proxy) mod scan;
mod splice;
mod tag;
#[cfg(test)]
mod tests;
mod text;
mod tokens;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

pub use approach::{Approach, Expression, Malformed, Menu, Unavailable};
pub use error::BodyError;

use approach::Named;
use found::Found;
use optillm::OptiKey;
use splice::Edit;

/// What asks for the usage of a stream (platform.openai.com/docs/api-reference/chat/create, `stream_options`), before the
/// first member of a body.
const ASKING: &str = r#""stream_options":{"include_usage":true},"#;

/// A request's body, and what routing has read from it.
#[derive(Clone, Debug)]
pub struct RequestBody {
    /// The body for a provider that calls the model as the client does.
    bytes: Bytes,
    model: Box<str>,
    /// The range in `bytes` to replace for another model; none if the body names none.
    model_at: Option<Range<usize>>,
    /// The range in `bytes` of the text that the model is to read; none if that was not found.
    prompt_at: Option<Range<usize>>,
    /// True when the model is written there as a JSON string.
    json: bool,
    streaming: bool,
    /// Behind the `{` of a body for a stream that says nothing about its options.
    options_at: Option<usize>,
    /// The value of `store`, if the body has it.
    stores: Option<bool>,
    /// The id of something stored that the body refers to.
    refers_to: Option<Box<str>>,
    approach: Option<Approach>,
    /// The options of approaches that OptiLLM's clients send: of each the name and the value in JSON.
    options: Vec<(&'static str, Box<str>)>,
    prompt_tokens: u32,
    max_tokens: u32,
    choices: u32,
}

impl RequestBody {
    /// Reads a JSON body, which must be one object.
    ///
    /// `named_model` is the one that the path names, which stands above the one in the body; `menu` has the approaches that it
    /// may choose.
    ///
    /// # Errors
    ///
    /// When the body is not such an object, has a key twice at its top level, has a model or an approach that is not
    /// a string, or asks for an approach that is not available.
    pub fn json(bytes: Bytes, named_model: Option<&str>, menu: &Menu) -> Result<Self, BodyError> {
        let found = Found::in_object(&bytes)?;
        let stores = found.stores;
        let options_at = found.options_at();
        let prompt_tokens = tokens::estimate(bytes.len(), found.opaque);
        let refers_to =
            found.refers_to.and_then(|value| Some(text::read(&bytes[text::within(&bytes, &value)?]).into()));
        let mut edits = found.cuts;
        let tag = match &found.messages {
            Some(messages) if found.escaped_letter || tag::may_contain(&bytes[messages.clone()], found.escaped) => {
                tag::take(&bytes, messages.clone(), &mut edits)?
            }
            Some(_) | None => None,
        };
        let named = [
            tag.as_deref().map(|name| Named { name, param: "messages" }),
            found.top.approach.as_deref().map(|name| Named { name, param: OptiKey::Approach.param(false) }),
            found.extra.approach.as_deref().map(|name| Named { name, param: OptiKey::Approach.param(true) }),
        ];
        let written = match &found.model {
            Some(value) => {
                text::read(&bytes[text::within(&bytes, value).ok_or(BodyError::NotAString { param: "model" })?])
            }
            None => Default::default(),
        };
        let name = named_model.unwrap_or(&written);
        let wrap = found.top.wrap.as_ref().or(found.extra.wrap.as_ref());
        let wrap = wrap.map(|(name, param)| Named { name, param });
        let (approach, model) = approach::resolve(named.into_iter().flatten(), wrap, name, menu)?;
        // Those at the top level count more.
        let options = found.extra.options.into_iter().chain(found.top.options);
        let options = options.map(|(name, at)| (name, Box::from(String::from_utf8_lossy(&bytes[at])))).collect();
        let mut value_at = found.model.clone();
        let mut before = 0;
        match found.model.or(found.null_model.filter(|_| named_model.is_some())) {
            Some(value) => {
                if *model != *written {
                    edits.push(Edit { at: value.clone(), with: text::quote(model) });
                }
                value_at = Some(value);
            }
            None if named_model.is_some() => {
                const KEY: &str = "{\"model\":";
                let comma = if found.is_empty { "" } else { "," };
                let opening = found.opening..found.opening + 1;
                edits.push(Edit { at: opening.clone(), with: format!("{KEY}{}{comma}", text::quote(model)) });
                before = KEY.len();
                value_at = Some(opening);
            }
            None => {}
        }
        let length = if before > 0 { text::quote(model).len() } else { 0 };
        let model = Box::from(model);
        let (bytes, [mut model_at, prompt_at]) =
            splice::apply(bytes, edits, [value_at, found.messages.or(found.prompt)]);
        if let Some(at) = model_at.as_mut().filter(|_| before > 0) {
            *at = at.start + before..at.start + before + length;
        }
        Ok(RequestBody {
            bytes,
            model,
            model_at,
            prompt_at,
            json: true,
            streaming: found.streaming,
            options_at,
            stores,
            refers_to,
            approach,
            options,
            prompt_tokens,
            max_tokens: found.max_tokens,
            choices: found.choices,
        })
    }

    /// Reads a JSON body of the proxy's own making, for the model that it names. Nothing in it chooses an approach, whatever
    /// its texts quote.
    ///
    /// # Errors
    ///
    /// As [`RequestBody::json`].
    pub fn composed(bytes: Bytes) -> Result<Self, BodyError> {
        let found = Found::in_object(&bytes)?;
        let model = match &found.model {
            Some(value) => {
                let at = text::within(&bytes, value).ok_or(BodyError::NotAString { param: "model" })?;
                Box::from(text::read(&bytes[at]))
            }
            None => Box::default(),
        };
        let options_at = found.options_at();
        Ok(RequestBody {
            model,
            prompt_tokens: tokens::estimate(bytes.len(), found.opaque),
            bytes,
            model_at: found.model,
            prompt_at: found.messages.or(found.prompt),
            json: true,
            streaming: found.streaming,
            options_at,
            stores: found.stores,
            refers_to: None,
            approach: None,
            options: Vec::new(),
            max_tokens: found.max_tokens,
            choices: found.choices,
        })
    }

    /// Reads a form, of which `content_type` names the boundary. One that cannot be read is passed on as it is. `named_model`
    /// and `menu` are as for [`RequestBody::json`].
    ///
    /// # Errors
    ///
    /// When the form asks for an approach that is not available, names the model or an approach twice, or names a model
    /// that is not UTF-8.
    pub fn multipart(
        bytes: Bytes,
        content_type: &str,
        named_model: Option<&str>,
        menu: &Menu,
    ) -> Result<Self, BodyError> {
        let wanted = |name: &str| name == "model" || name == "stream" || OptiKey::named(name.as_bytes()).is_some();
        let mut edits = Vec::new();
        let mut found = None;
        let mut streaming = false;
        let (mut named, mut wrap) = (None, None);
        for field in multipart::fields(&bytes, content_type, wanted) {
            let text = String::from_utf8_lossy(&bytes[field.content.clone()]);
            match OptiKey::named(field.name.as_bytes()) {
                Some(key) => {
                    match key {
                        OptiKey::Approach => {
                            if named.replace(text.into_owned()).is_some() {
                                return Err(BodyError::duplicate(field.name.as_bytes()));
                            }
                        }
                        OptiKey::ProxyWrap | OptiKey::WrappedApproach | OptiKey::Wrap => {
                            wrap.get_or_insert((text.into_owned(), key.param(false)));
                        }
                        OptiKey::Option(_) => {}
                    }
                    edits.push(Edit::cut(field.whole));
                }
                None if field.name == "stream" => streaming = text.trim().eq_ignore_ascii_case("true"),
                None => {
                    // Its spelling could not be kept when a prefix is removed.
                    if let Cow::Owned(_) = text {
                        return Err(BodyError::NotAString { param: "model" });
                    }
                    if found.replace((text.into_owned(), field.content)).is_some() {
                        return Err(BodyError::duplicate(b"model"));
                    }
                }
            }
        }
        let (written, mut model_at) = found.map_or_else(Default::default, |(name, at)| (name, Some(at)));
        let name = named_model.unwrap_or(&written);
        let named = named.as_deref().map(|name| Named { name, param: OptiKey::Approach.param(false) });
        let wrap = wrap.as_ref().map(|(name, param): &(String, _)| Named { name, param });
        let (approach, model) = approach::resolve(named, wrap, name, menu)?;
        let mut before = None;
        match &model_at {
            Some(at) if *model != *written => edits.push(Edit { at: at.clone(), with: model.to_owned() }),
            Some(_) => {}
            None if named_model.is_some() => {
                if let Some(opening) = multipart::opening_field(&bytes, content_type, "model") {
                    before = Some(opening.len());
                    edits.push(Edit { at: 0..0, with: format!("{opening}{model}\r\n") });
                }
            }
            None => {}
        }
        let (bytes, [moved]) = splice::apply(bytes, edits, [model_at.take()]);
        let model_at = moved.or(before.map(|before| before..before + model.len()));
        let model = Box::from(model);
        Ok(RequestBody {
            bytes,
            model,
            model_at,
            prompt_at: None,
            json: false,
            streaming,
            options_at: None,
            stores: None,
            refers_to: None,
            approach,
            options: Vec::new(),
            prompt_tokens: 0,
            max_tokens: 0,
            choices: 0,
        })
    }

    /// Takes a body of any other kind, or none: it has no model but the one that the path names, and its bytes stay as
    /// they are.
    pub fn opaque(bytes: Bytes, named_model: Option<&str>) -> Self {
        let approach = None;
        let (model_at, prompt_at) = (None, None);
        let model = named_model.unwrap_or_default().into();
        RequestBody {
            bytes,
            model,
            model_at,
            prompt_at,
            json: false,
            streaming: false,
            options_at: None,
            stores: None,
            refers_to: None,
            approach,
            options: Vec::new(),
            prompt_tokens: 0,
            max_tokens: 0,
            choices: 0,
        }
    }

    /// The model the client wants, without the prefix that chose an approach; empty if it names none.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The client's `store`: true when the answer is to be stored; `None` when the client does not say.
    pub fn stores(&self) -> Option<bool> {
        self.stores
    }

    /// The id of something stored that the body refers to, such as `previous_response_id`.
    pub fn refers_to(&self) -> Option<&str> {
        self.refers_to.as_deref()
    }

    /// True when the client wants a stream of events: `"stream": true`.
    pub fn streaming(&self) -> bool {
        self.streaming
    }

    /// The estimated number of its tokens; 0 for a body that is not JSON.
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt_tokens
    }

    /// The most tokens that the client wants in the answer; 0 when it does not say.
    pub fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    /// The number of answers that the client wants, each of so many tokens: `n`, or `best_of`; at least 1.
    pub fn choices(&self) -> u32 {
        self.choices.max(1)
    }

    /// The text of the user's last message, cut after `limit` bytes; empty if there is none.
    pub fn prompt(&self, limit: usize) -> String {
        self.prompt_at.as_ref().map_or_else(String::new, |at| prompt::last(&self.bytes, at, limit))
    }

    /// The beginning of the conversation: the content of `messages`, `prompt` or `input`, of a list of messages all up
    /// to the first one of a user, and of that at most `limit` bytes. Equal for all turns of a conversation; empty if
    /// nothing was found.
    pub fn beginning(&self, limit: usize) -> &[u8] {
        self.prompt_at.clone().map_or(b"", |at| conversation::beginning(&self.bytes, at, limit))
    }

    /// The approach chosen; `None` if it chooses none.
    pub fn approach(&self) -> Option<&Approach> {
        self.approach.as_ref()
    }

    /// The options of approaches that OptiLLM's clients send, each with its value in JSON; the last of a name counts.
    pub fn options(&self) -> &[(&'static str, Box<str>)] {
        &self.options
    }

    /// The body for a provider that calls the model as the client does.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The length, in bytes, for a provider that calls the model as the client does.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True when there is no body.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// True when it asks for a stream and says nothing about its options, so that its usage can be asked for.
    pub fn leaves_usage_open(&self) -> bool {
        self.options_at.is_some()
    }

    /// The body for a provider that calls the model `model`.
    ///
    /// It is not copied if that is the client's name for it, or if the body names no model. Of a form, `model` must not
    /// contain the boundary; names from the configuration and from the client itself cannot, by any sane choice of it.
    pub fn with_model(&self, model: &str) -> Bytes {
        self.edited(model, Vec::new())
    }

    /// The same, asking for the usage of the stream if that was left open.
    pub fn asking_for_usage(&self, model: &str) -> Bytes {
        let asking = self.options_at.map(|at| Edit { at: at..at, with: ASKING.to_owned() });
        self.edited(model, asking.into_iter().collect())
    }

    fn edited(&self, model: &str, mut edits: Vec<Edit>) -> Bytes {
        if let Some(at) = self.model_at.as_ref().filter(|_| *model != *self.model) {
            let with = if self.json { text::quote(model) } else { model.to_owned() };
            edits.push(Edit { at: at.clone(), with });
        }
        splice::apply(self.bytes.clone(), edits, []).0
    }
}
