//! One redrive at a time, carried on when nobody waits for it any more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::view::View;
use crate::status::{Board, Redriven};

/// Runs redrives.
pub(super) struct Redrives {
    board: Arc<dyn Board>,
    view: Arc<View>,
    tasks: TaskTracker,
    state: Arc<Mutex<RedriveStatus>>,
}

/// What there is to say of redrives.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct RedriveStatus {
    /// Since when one is under way.
    running_since: Option<Timestamp>,
    /// The last one that ended.
    last: Option<LastRedrive>,
}

#[derive(Clone, Debug, Serialize)]
struct LastRedrive {
    ended: Timestamp,
    redriven: Option<Redriven>,
    error: Option<String>,
}

/// What came of asking for one.
pub(super) enum Asking {
    Done(Redriven),
    Failed(Error),
    /// It takes longer than somebody waits.
    GoesOn,
    /// There is one under way.
    Another,
}

impl Redrives {
    pub(super) fn new(board: Arc<dyn Board>, view: Arc<View>, tasks: TaskTracker) -> Self {
        Self {
            board,
            view,
            tasks,
            state: Arc::default(),
        }
    }

    pub(super) fn status(&self) -> RedriveStatus {
        lock(&self.state).clone()
    }

    /// Begins one, and waits for it so long.
    pub(super) async fn begin(&self, reason: Option<String>, wait: Duration) -> Asking {
        {
            let mut state = lock(&self.state);
            if state.running_since.is_some() {
                return Asking::Another;
            }
            state.running_since = Some(Timestamp::now());
        }
        info!(
            reason = reason
                .as_deref()
                .map(|r| excerpt(r, 64))
                .unwrap_or_default(),
            "a redrive was asked for"
        );
        let running = Running(Arc::clone(&self.state));
        let (board, view) = (Arc::clone(&self.board), Arc::clone(&self.view));
        let (told, answer) = oneshot::channel();
        self.tasks.spawn(async move {
            let ended = board.redrive(reason).await;
            match &ended {
                Ok(redriven) => info!(
                    taken = redriven.taken,
                    accepted = redriven.accepted,
                    remaining = redriven.remaining,
                    "the redrive ended"
                ),
                Err(error) => warn!(%error, "the redrive failed"),
            }
            view.forget_quarantine().await;
            running.ended(&ended);
            // Nobody may be waiting.
            let _ = told.send(ended);
        });
        match tokio::time::timeout(wait, answer).await {
            Err(_) => Asking::GoesOn,
            Ok(Ok(Ok(redriven))) => Asking::Done(redriven),
            Ok(Ok(Err(error))) => Asking::Failed(error),
            Ok(Err(_)) => Asking::Failed(Error::new(
                ErrorKind::Other,
                "admin",
                "the redrive was given up",
            )),
        }
    }
}

fn lock(state: &Mutex<RedriveStatus>) -> std::sync::MutexGuard<'_, RedriveStatus> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that one is under way until it is dropped, however that comes about.
struct Running(Arc<Mutex<RedriveStatus>>);

impl Running {
    fn ended(&self, ended: &ctforward_core::Result<Redriven>) {
        lock(&self.0).last = Some(LastRedrive {
            ended: Timestamp::now(),
            redriven: ended.as_ref().ok().cloned(),
            error: ended.as_ref().err().map(|e| excerpt(&e.to_string(), 1024)),
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.0).running_since = None;
    }
}
