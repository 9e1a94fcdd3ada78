//! The causes of reloads: signals, requests, and files that have changed.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use crate::admin::ReloadRequest;
use crate::app::watch::{self as files, Look};

/// The cause of a reload for which nobody has asked.
pub const FILE_CHANGED: &str = "a file has changed";

/// The reason for a reload, and the request that waits for its outcome, if any.
pub type Cause = (&'static str, Option<ReloadRequest>);

/// All that may cause a reload.
pub struct Causes {
    requests: mpsc::Receiver<ReloadRequest>,
    /// The changes of files; `None` if the system gives no thread to look for them.
    looks: Option<watch::Receiver<Look>>,
    watched: Arc<ArcSwap<Vec<PathBuf>>>,
}

impl Causes {
    /// The causes of reloads: these requests, and changes of these files since they had the look with which they were
    /// `read`.
    pub fn new(requests: mpsc::Receiver<ReloadRequest>, watched: Vec<PathBuf>, read: Look) -> Self {
        let watched = Arc::new(ArcSwap::from_pointee(watched));
        let looks = files::start(Arc::clone(&watched), read);
        if let Err(error) = &looks {
            tracing::warn!(%error, "changes of files are not followed: {error}");
        }
        Self { requests, looks: looks.ok(), watched }
    }

    /// From now on changes of these files cause a reload.
    pub fn watch(&self, files: Vec<PathBuf>) {
        self.watched.store(Arc::new(files));
    }

    /// The next cause. A look at the files is one if `is_news` says so; `None` when nobody can ask any more. The future
    /// may be dropped before it is ready without losing a cause.
    pub async fn next(&mut self, is_news: impl Fn(&Look) -> bool) -> Option<Cause> {
        loop {
            tokio::select! {
                request = self.requests.recv() => return request.map(|request| (request.cause, Some(request))),
                // The thread lives as long as its receiver.
                Some(looks) = changed(&mut self.looks) => {
                    if is_news(&looks.borrow_and_update()) {
                        return Some((FILE_CHANGED, None));
                    }
                }
            }
        }
    }

    /// The requests that have come by now.
    pub fn waiting(&mut self) -> impl Iterator<Item = ReloadRequest> {
        std::iter::from_fn(|| self.requests.try_recv().ok())
    }
}

async fn changed(looks: &mut Option<watch::Receiver<Look>>) -> Option<&mut watch::Receiver<Look>> {
    let Some(looks) = looks else { return std::future::pending().await };
    looks.changed().await.is_ok().then_some(looks)
}
