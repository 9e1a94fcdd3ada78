//! A short stream of each endpoint as its provider sends it, to be cut at any byte.

use serde_json::{Value, json};

use crate::{Reply, Script};

/// After so many bytes of its stream a provider stops. Without the header it sends it all.
pub const CUT: &str = "x-cut";
/// The header that says what it does then: `reset`, `hang`, or else it closes the connection.
pub const ENDING: &str = "x-ending";

/// A stream of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// The name of the endpoint in clients.
    pub name: &'static str,
    /// The path of the endpoint.
    pub path: &'static str,
    /// All of its events.
    pub stream: &'static str,
    /// The text of its first content.
    pub content: &'static str,
}

/// A recorded stream of each endpoint whose events are known.
pub const RECORDED: [Recorded; 4] = [
    Recorded {
        name: "chat",
        path: "/v1/chat/completions",
        stream: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
                 data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Zürich\"}}]}\n\n\
                 data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                 data: [DONE]\n\n",
        content: "Zürich",
    },
    Recorded {
        name: "completions",
        path: "/v1/completions",
        stream: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"text\":\"Zürich\"}]}\n\n\
                 data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n\
                 data: [DONE]\n\n",
        content: "Zürich",
    },
    Recorded {
        name: "responses",
        path: "/v1/responses",
        stream: "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r\"}}\n\n\
                 event: response.output_text.delta\n\
                 data: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"Zürich\"}\n\n\
                 event: response.completed\n\
                 data: {\"type\":\"response.completed\",\"sequence_number\":2,\"response\":{\"id\":\"r\"}}\n\n",
        content: "Zürich",
    },
    Recorded {
        name: "messages",
        path: "/v1/messages",
        stream: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[]}}\n\n\
                 event: ping\ndata: {\"type\": \"ping\"}\n\n\
                 event: content_block_start\n\
                 data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
                 event: content_block_delta\n\
                 data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Zürich\"}}\n\n\
                 event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n\
                 event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        content: "Zürich",
    },
];

impl Recorded {
    /// The number of bytes until the first content is whole.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn committed(&self) -> usize {
        let content = self.stream.find(self.content).expect("there is content");
        content + self.stream[content..].find("\n\n").expect("the event ends") + 2
    }

    /// A request for it.
    pub fn request(&self) -> Value {
        let messages = [json!({"role": "user", "content": "Hello"})];
        json!({"model": "gpt-4", "stream": true, "max_tokens": 9, "prompt": "Hello", "input": "Hello", "messages": messages})
    }
}

/// A provider that sends the endpoint's stream, as far as the request's headers say.
///
/// # Panics
///
/// When it is asked for something else.
pub fn replay() -> Script {
    Script::by(|_, request| {
        let path = request.target.split('?').next().unwrap_or_default();
        let recorded = RECORDED.iter().find(|recorded| recorded.path == path).expect("a recorded endpoint");
        let stream = recorded.stream.as_bytes();
        let cut = request.header(CUT).parse().unwrap_or(usize::MAX);
        if cut > stream.len() {
            return Reply::sse().body(stream);
        }
        let begun = Reply::sse().body(&stream[..cut]);
        match request.header(ENDING) {
            "reset" => begun.reset(),
            "hang" => begun.hang(),
            _ => begun.cut(),
        }
    })
}
