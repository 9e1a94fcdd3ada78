//! Requests at a fixed rate, whatever the answers do.
//!
//! Each connection has its own times, as in wrk2, and a request that had to wait for the one before it is timed from
//! when it was due: a proxy that stalls cannot hide it by being asked less (coordinated omission).

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Asking;

/// Requests that a connection may be behind before the run counts as failed.
const BEHIND: usize = 1000;

/// Starts all connections at `start`; only what is due from `from` on, for `seconds`, is timed (µs).
pub fn start(
    tasks: &mut JoinSet<anyhow::Result<Vec<f64>>>,
    asking: Vec<Asking>,
    rate: f64,
    start: Instant,
    from: Instant,
    seconds: f64,
) {
    let until = from + Duration::from_secs_f64(seconds);
    let mut turns = Vec::new();
    for asking in asking {
        let (turn, due) = mpsc::channel(BEHIND);
        turns.push(turn);
        tasks.spawn(connection(asking, due, from));
    }
    let (ended, failed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = ended.send(beat(&turns, rate, start, until));
    });
    tasks.spawn(async move {
        failed.await.context("the thread that beats time has ended")??;
        Ok(Vec::new())
    });
}

/// Says to one connection after the other that a request is due. A thread, as tokio's timers are as coarse as 1 ms.
fn beat(turns: &[Sender<Instant>], rate: f64, start: Instant, until: Instant) -> anyhow::Result<()> {
    for (number, turn) in (0_u32..).zip(turns.iter().cycle()) {
        let due = start + Duration::from_secs_f64(f64::from(number) / rate);
        if due >= until {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        match turn.try_send(due) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                ensure!(false, "a connection is {BEHIND} requests behind: {rate} a second are too many");
            }
            // It has failed, and says so itself.
            Err(TrySendError::Closed(_)) => break,
        }
    }
    Ok(())
}

async fn connection(mut asking: Asking, mut turns: Receiver<Instant>, from: Instant) -> anyhow::Result<Vec<f64>> {
    let mut latencies = Vec::new();
    while let Some(due) = turns.recv().await {
        asking.ask().await?;
        if due >= from {
            latencies.push(due.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(latencies)
}
