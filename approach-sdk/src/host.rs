//! The functions that the host gives a component.

use crate::bindings::pointsman::approach::types::{Answer, Call};
use crate::bindings::pointsman::approach::{client, llm};
use crate::llm::{Backend, Written};
use crate::{Budget, Choice, ChoiceId, Failure};

#[derive(Debug)]
pub(crate) struct Host;

impl Backend for Host {
    fn chat(&self, call: Call) -> Result<Answer, Failure> {
        llm::chat(&call)
    }

    fn chat_many(&self, calls: Vec<Call>) -> Vec<Result<Answer, Failure>> {
        llm::chat_many(&calls)
    }

    fn open(&self, call: Call) -> Result<Box<dyn Written + '_>, Failure> {
        Ok(Box::new(llm::open(&call)?))
    }

    fn choice_json(&self, id: ChoiceId) -> String {
        llm::choice_json(id)
    }

    fn left(&self) -> Budget {
        llm::left()
    }

    fn deliver(&self, call: Call) -> Result<Choice, Failure> {
        client::deliver(&call)
    }

    fn emit(&self, text: &str) {
        client::emit(text);
    }

    fn progress(&self, note: &str) {
        client::progress(note);
    }

    fn parameters(&self) -> String {
        client::parameters()
    }

    fn message_json(&self, index: u32) -> String {
        client::message_json(index)
    }
}

impl Written for llm::Reply {
    fn next(&self) -> Result<Option<String>, Failure> {
        llm::Reply::next(self)
    }

    fn whole(&self) -> Result<Answer, Failure> {
        llm::Reply::whole(self)
    }
}
