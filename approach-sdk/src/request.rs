//! The methods of a request.

use crate::{Call, Dice, Request};

impl Request {
    /// The text of the question, which is the last message of the user; empty if there is none, or no text in it.
    pub fn text(&self) -> &str {
        let message = self.question.and_then(|index| self.messages.get(index as usize));
        message.map(|message| message.text.as_str()).unwrap_or_default()
    }

    /// A question to the model with the conversation as it came, in the manner of an answer.
    pub fn ask(&self) -> Call {
        Call::of(self)
    }

    /// The dice of this run.
    pub fn dice(&self) -> Dice {
        Dice::new(self.entropy)
    }
}
