//! The turns of streams whose events are to come one by one.
//!
//! Timers of tokio are as coarse as 1 ms: of many streams with a few milliseconds between their events, those of the same
//! millisecond are written one right after the other, and a proxy finds several of them when it is woken. A thread that
//! sleeps as finely as the system allows gives each stream its turn alone.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::sleep;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// One stream.
struct Stream {
    gap: Duration,
    /// Closed at its end. A stream that has not used its turn yet gets no other.
    turn: mpsc::Sender<()>,
}

/// Gives turns to streams.
#[derive(Debug)]
pub struct Pacer(Sender<Stream>);

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("gap", &self.gap).finish_non_exhaustive()
    }
}

impl Pacer {
    /// Starts the thread, which ends with this.
    pub fn start() -> Self {
        let (join, joined) = channel();
        std::thread::spawn(move || turns(&joined));
        Self(join)
    }

    /// The turns of a stream, `gap` apart.
    pub fn join(&self, gap: Duration) -> mpsc::Receiver<()> {
        let (turn, turns) = mpsc::channel(1);
        // An error means that the thread has ended, and with it the process.
        let _ = self.0.send(Stream { gap, turn });
        turns
    }
}

fn turns(joined: &Receiver<Stream>) {
    let mut streams = VecDeque::new();
    let mut due = Instant::now();
    loop {
        streams.extend(joined.try_iter());
        let Some(stream) = streams.pop_front() else {
            let Ok(first) = joined.recv() else { return };
            (due, streams) = (Instant::now(), VecDeque::from([first]));
            continue;
        };
        let step = stream.gap / u32::try_from(streams.len() + 1).unwrap_or(u32::MAX);
        // What was late makes the next ones late: to catch up would be to let them come together.
        due = (due + step).max(Instant::now());
        sleep(due.saturating_duration_since(Instant::now()));
        let open = !matches!(stream.turn.try_send(()), Err(mpsc::error::TrySendError::Closed(())));
        if open {
            streams.push_back(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_take_turns() {
        let pacer = Pacer::start();
        let gap = Duration::from_millis(20);
        let mut streams = [pacer.join(gap), pacer.join(gap)];
        let mut came = Vec::new();
        for number in [0, 1, 0, 1] {
            streams[number].blocking_recv().unwrap();
            came.push(Instant::now());
        }
        // The first may be alone for a moment.
        for (one, other) in came[1..].iter().zip(&came[2..]) {
            assert!(other.duration_since(*one) >= gap / 2 - Duration::from_millis(1), "{came:?}");
        }
    }
}
