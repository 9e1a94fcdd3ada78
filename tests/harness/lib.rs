//! The harness of the end-to-end tests: the app on a port of its own, and mock providers that follow a script.
//!
//! A test reads as a sentence: start mocks, start the proxy before them, send one thing, claim what was seen on both
//! sides. Nothing sleeps to wait for something; [`eventually()`] asks until it is so or a deadline has passed. Whatever
//! panics inside a mock, or anywhere in the host, fails the test that owns it.

mod client;
mod component;
mod engine;
mod eventually;
mod key_store;
mod mock;
mod panics;
mod process;
mod proxy;
mod raw;
pub mod recorded;
mod secrets;
pub mod socket;
mod tools;

pub use client::{Answer, Call, Http2, Session, Streaming};
pub use component::{asker, build_component, clerk, misbehave, target, workspace};
pub use engine::Engine;
pub use eventually::{PATIENCE, eventually, within};
pub use key_store::KeyStore;
pub use mock::reply::{Gate, Reply, Script};
pub use mock::{Mock, Seen};
pub use process::{Process, binary};
pub use proxy::{KEY, Proxy, ProxyBuilder, provider};
pub use raw::Raw;
pub use secrets::{SECRET_MARK, holds_secret};
pub use socket::{Knock, Socket};
pub use tools::{alone, fetch, tool};

use std::future::Future;

use tokio::task::JoinHandle;

/// Starts a task of the test itself.
#[expect(clippy::disallowed_methods, reason = "the harness is not the app: its tasks end with the test's runtime")]
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future)
}

/// A usual chat request without streaming.
pub fn chat_request() -> serde_json::Value {
    serde_json::json!({"model": "gpt-4", "messages": [{"role": "user", "content": "Hello"}]})
}

/// A usual chat request with streaming.
pub fn stream_request() -> serde_json::Value {
    serde_json::json!({"model": "gpt-4", "stream": true, "messages": [{"role": "user", "content": "Hello"}]})
}
