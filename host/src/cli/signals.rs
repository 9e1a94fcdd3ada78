//! The signals that the server obeys, and those that it ignores.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::LAST_LINES;
use crate::admin::ReloadRequest;
use crate::telemetry;

/// The exit code after a second signal: 128 + SIGINT, as in shells.
const INTERRUPTED: i32 = 130;

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ready at the first signal; a second one ends the process at once.
    pub(super) async fn first(mut self) {
        self.next().await;
        #[expect(clippy::disallowed_methods, reason = "ends with the process, which is its purpose")]
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("the server received a second signal, and ends at once");
            telemetry::flush(LAST_LINES);
            std::process::exit(INTERRUPTED);
        });
    }

    /// Ready at the next signal.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP, which asks for a reload, and signals that would end the process if they were not handled.
pub(super) struct Others {
    hangup: Signal,
    first_of_users: Signal,
    second_of_users: Signal,
    pipe: Signal,
}

impl Others {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            first_of_users: signal(SignalKind::user_defined1())?,
            second_of_users: signal(SignalKind::user_defined2())?,
            pipe: signal(SignalKind::pipe())?,
        })
    }

    /// Asks for a reload at each SIGHUP; never ready.
    pub(super) async fn obey(mut self, reloads: mpsc::Sender<ReloadRequest>) {
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => {
                    // A full channel means that a reload is about to happen, a closed one that the server ends.
                    let _ = reloads.try_send(ReloadRequest::because("SIGHUP"));
                }
                Some(()) = self.first_of_users.recv() => {
                    tracing::info!("the server ignores SIGUSR1: the log goes to stderr, so there is no file to reopen");
                }
                Some(()) = self.second_of_users.recv() => tracing::debug!("the server ignores SIGUSR2"),
                // A closed pipe shows as an error of the write.
                Some(()) = self.pipe.recv() => {}
                else => std::future::pending().await,
            }
        }
    }
}
