//! The metrics of WebSockets. Routes come from the configuration, and how a session ended from a fixed set.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::sound;

/// The metrics of WebSockets.
#[derive(Debug)]
pub struct WebSocketMetrics {
    open: IntGauge,
    sessions: IntCounterVec,
    /// Messages that were not looked at.
    pub unread: IntCounter,
}

/// One session that counts as open.
#[derive(Debug)]
pub struct OpenWebSocket(IntGauge);

impl Drop for OpenWebSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl WebSocketMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let open =
            sound(IntGauge::new("pointsman_websocket_sessions_open", "WebSockets between a client and a provider."));
        sound(registry.register(Box::new(open.clone())));
        let text = "WebSockets that have ended, by route and by how they ended.";
        let sessions = Opts::new("pointsman_websocket_sessions_total", text);
        let sessions = sound(IntCounterVec::new(sessions, &["route", "ended"]));
        sound(registry.register(Box::new(sessions.clone())));
        let unread = sound(IntCounter::new(
            "pointsman_websocket_unread_messages_total",
            "Messages that were too large to look at, so that nothing in them counts.",
        ));
        sound(registry.register(Box::new(unread.clone())));
        Self { open, sessions, unread }
    }

    /// Counts a session as open until what is returned is dropped.
    pub fn open(&self) -> OpenWebSocket {
        self.open.inc();
        OpenWebSocket(self.open.clone())
    }

    /// Counts a session that has ended.
    pub fn ended(&self, route: &str, ended: &'static str) {
        self.sessions.with_label_values(&[route, ended]).inc();
    }
}
