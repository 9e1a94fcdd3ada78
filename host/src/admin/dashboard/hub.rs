//! The listeners to the snapshots. Each has a short queue; one that does not take from it in time is let go, so that a
//! slow browser costs nobody else anything.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The most listeners.
pub const MOST: usize = 16;
/// The snapshots that may wait for one listener.
const WAITING: usize = 4;

/// All listeners.
#[derive(Debug, Default)]
pub struct Hub(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    listeners: Vec<mpsc::Sender<Bytes>>,
    is_closed: bool,
}

impl Hub {
    /// The body for one more listener; `None` when there are too many, or the server ends.
    pub fn join(&self) -> Option<Body> {
        let mut state = self.0.lock();
        state.listeners.retain(|listener| !listener.is_closed());
        if state.is_closed || state.listeners.len() >= MOST {
            return None;
        }
        let (sender, mut receiver) = mpsc::channel(WAITING);
        state.listeners.push(sender);
        let events = stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok::<Bytes, Infallible>);
        Some(Body::from_stream(events))
    }

    /// True when somebody listens.
    pub fn is_heard(&self) -> bool {
        let mut state = self.0.lock();
        state.listeners.retain(|listener| !listener.is_closed());
        !state.listeners.is_empty()
    }

    /// Sends a snapshot to all, and lets go of those who have not taken the ones before.
    pub fn send(&self, snapshot: &str) {
        let event = Bytes::from(format!("event: snapshot\ndata: {snapshot}\n\n"));
        self.0.lock().listeners.retain(|listener| listener.try_send(event.clone()).is_ok());
    }

    /// Ends all, for good.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        state.listeners.clear();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn next(body: &mut Body) -> Option<Bytes> {
        body.frame().await.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn every_listener_hears_every_snapshot() {
        let hub = Hub::default();
        let mut all: Vec<Body> = (0..MOST).map(|_| hub.join().unwrap()).collect();
        assert!(hub.join().is_none(), "they are bounded");
        hub.send("{\"a\":1}");
        for body in &mut all {
            assert_eq!(next(body).await.unwrap(), "event: snapshot\ndata: {\"a\":1}\n\n");
        }
        all.pop();
        assert!(hub.join().is_some(), "one that has left makes room");
        drop(all);
        assert!(!hub.is_heard());
    }

    #[tokio::test]
    async fn a_slow_listener_is_let_go_and_others_go_on() {
        let hub = Hub::default();
        let (mut slow, mut quick) = (hub.join().unwrap(), hub.join().unwrap());
        for number in 0..WAITING + 2 {
            hub.send(&number.to_string());
            assert!(next(&mut quick).await.is_some());
        }
        assert_eq!(hub.0.lock().listeners.len(), 1);
        for _ in 0..WAITING {
            assert!(next(&mut slow).await.is_some(), "what had been sent");
        }
        assert!(next(&mut slow).await.is_none(), "then it ends");
    }

    #[tokio::test]
    async fn all_end_with_the_server() {
        let hub = Hub::default();
        let mut body = hub.join().unwrap();
        hub.close();
        assert!(next(&mut body).await.is_none());
        assert!(hub.join().is_none());
    }
}
