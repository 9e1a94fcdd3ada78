//! WebSocket: what is refused before it is opened, what passes afterwards, and how each of its ends is told the other.

mod handshake;
mod responses;
mod sessions;
mod spending;

use harness::{Mock, Proxy, Reply, Socket};
use serde_json::{Value, json};

/// A session through the proxy: the client's end, and the provider's.
async fn session(proxy: &Proxy, a: &Mock) -> (Socket, Socket) {
    let client = proxy.knock("/v1/realtime?model=gpt-4").open().await;
    (client, a.socket().await)
}

/// A provider that opens WebSockets.
async fn provider(name: &str) -> Mock {
    Mock::start(name, Reply::switch()).await
}

/// The event that ends an answer in a session.
fn done(input: u64, output: u64) -> Value {
    let usage = json!({"total_tokens": input + output, "input_tokens": input, "output_tokens": output});
    json!({"type": "response.done", "response": {"id": "r", "usage": usage}})
}
