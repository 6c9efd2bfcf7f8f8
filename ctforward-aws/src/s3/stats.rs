use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ctforward_core::key::Folder;

/// What a listing has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListStats {
    /// Pages asked for, failed ones included, the SDK's own retries not.
    pub requests: u64,
    /// Keys on the pages that arrived.
    pub keys: u64,
    /// Files handed over.
    pub files: u64,
    /// Folder objects handed over as skipped.
    pub folder_objects: u64,
    /// Keys left out because their own time is not within `since` and `until`.
    pub out_of_time: u64,
    /// Files handed over although `since` or `until` is set and their key carries no time.
    pub without_time: u64,
    /// Folders not entered: of other services, accounts, regions or kinds.
    pub pruned_folders: u64,
}

/// Reads the [`ListStats`] of a source that was given away; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct StatsHandle(pub(crate) Arc<Counters>);

impl StatsHandle {
    /// The counts at this moment.
    #[must_use]
    pub fn get(&self) -> ListStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ListStats {
            requests: read(&self.0.requests),
            keys: read(&self.0.keys),
            files: read(&self.0.files),
            folder_objects: read(&self.0.folder_objects),
            out_of_time: read(&self.0.out_of_time),
            without_time: read(&self.0.without_time),
            pruned_folders: read(&self.0.pruned_folders),
        }
    }

    /// The accounts that were asked for and of which no folder was met so far.
    ///
    /// Once the source is exhausted, these are likely misspelt, or write elsewhere.
    #[must_use]
    pub fn absent_accounts(&self) -> Vec<String> {
        let absent = self.0.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.iter().cloned().collect()
    }

    pub(crate) fn expecting(accounts: &BTreeSet<String>) -> Self {
        let handle = Self::default();
        let mut absent = handle
            .0
            .absent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        absent.clone_from(accounts);
        drop(absent);
        handle
    }

    /// Notes that the walk met `folder`.
    pub(crate) fn entered(&self, folder: &str) {
        if let Some(account) = Folder::parse(folder).account {
            let mut absent = self.0.absent.lock().unwrap_or_else(PoisonError::into_inner);
            absent.remove(account);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) keys: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) folder_objects: AtomicU64,
    pub(crate) out_of_time: AtomicU64,
    pub(crate) without_time: AtomicU64,
    pub(crate) pruned_folders: AtomicU64,
    absent: Mutex<BTreeSet<String>>,
}

pub(crate) fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}
