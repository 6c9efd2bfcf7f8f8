//! The files under way: their leases are prolonged, and the oldest of them is known.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::run::Run;
use super::track::Track;
use crate::error::ErrorKind;

/// The files that were begun and are not closed.
#[derive(Default)]
pub(super) struct Live {
    /// By how long they wait.
    files: Mutex<BTreeMap<(Timestamp, u64), Arc<Track>>>,
    next: AtomicU64,
}

/// Leases prolonged at the same time: enough for a ledger to write them together.
const AT_ONCE: usize = 256;

impl Live {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Timestamp, u64), Arc<Track>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn began(&self, track: &Arc<Track>) -> Option<Timestamp> {
        let mut files = self.lock();
        files.insert((track.since, track.number), Arc::clone(track));
        files.first_key_value().map(|((since, _), _)| *since)
    }

    /// A file was closed; since when the oldest of the others waits.
    pub(super) fn ended(&self, since: Timestamp, number: u64) -> Option<Timestamp> {
        let mut files = self.lock();
        files.remove(&(since, number));
        files.first_key_value().map(|((since, _), _)| *since)
    }
}

/// How often receipts are asked whether their files are still held.
const LOOKED_AT: std::time::Duration = std::time::Duration::from_secs(1);

/// Stops the work on files that their receipts hold no longer, for as long as the
/// pipeline runs.
pub(super) async fn watch(run: Arc<Run>) {
    loop {
        tokio::time::sleep(LOOKED_AT).await;
        let tracks: Vec<Arc<Track>> = run.live.lock().values().cloned().collect();
        for track in tracks {
            // It notes it by itself.
            let _ = track.lost();
        }
    }
}

/// Prolongs the leases of all files under way, for as long as the pipeline runs.
pub(super) async fn keep(run: Arc<Run>) {
    let Some(ledger) = run.ledger.clone() else {
        return;
    };
    let lease = run.limits.lease;
    loop {
        tokio::time::sleep(lease / 3).await;
        let tracks: Vec<Arc<Track>> = run.live.lock().values().cloned().collect();
        let mut under_way = JoinSet::new();
        for track in tracks {
            while under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            let ledger = Arc::clone(&ledger);
            under_way.spawn(async move {
                // Also while it is being closed: that may take its time.
                let Some(ticket) = track.ticket() else {
                    return;
                };
                match ledger.renew(ticket, lease).await {
                    Ok(()) => {}
                    // Another owner has it: nothing of it is finished here.
                    Err(error) if error.kind() == ErrorKind::Changed => {
                        if track.is_open() {
                            tracing::warn!(%error, "a file is left to another owner");
                            track.fail(&error);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "a lease could not be prolonged"),
                }
            });
        }
        while under_way.join_next().await.is_some() {}
    }
}
