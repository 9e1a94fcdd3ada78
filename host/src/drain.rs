//! The drain at the end of the server: requests in flight may finish, within a time limit.

use std::time::Duration;

use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The pause between two log lines about the progress of a drain.
const PROGRESS: Duration = Duration::from_secs(5);
/// The time that connections have to send the rest of their last answer.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// Waits until no request is in flight, at most for `limit`, then closes the connections. Returns true if all finished.
pub async fn drain(
    requests: &TaskTracker,
    connections: &TaskTracker,
    close: &CancellationToken,
    limit: Duration,
) -> bool {
    let began = Instant::now();
    requests.close();
    let deadline = sleep_until(began + limit);
    tokio::pin!(deadline);
    let mut progress = interval(PROGRESS);
    tracing::info!(in_flight = requests.len(), "the server drains: {} requests in flight", requests.len());
    progress.tick().await;
    let finished = loop {
        tokio::select! {
            biased;
            () = requests.wait() => break true,
            () = &mut deadline => break false,
            _ = progress.tick() => {
                tracing::info!(in_flight = requests.len(), "the server drains: {} requests still in flight", requests.len());
            }
        }
    };
    connections.close();
    close.cancel();
    if finished {
        // The last answers are complete here, but perhaps not yet on the wire.
        let _ = tokio::time::timeout(LAST_BYTES, connections.wait()).await;
        tracing::info!(
            seconds = began.elapsed().as_secs_f64(),
            "the server has drained: every request in flight has finished"
        );
    } else {
        let cut = requests.len();
        tracing::warn!(cut, "the drain timeout has passed: {cut} requests were cut off");
    }
    finished
}
