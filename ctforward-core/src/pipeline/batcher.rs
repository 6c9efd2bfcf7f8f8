//! The open batch, which records of all files being read go into.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::track::Track;
use crate::batch::{Batch, BatchBuilder, BatchLimits};
use crate::object::Object;

pub(super) struct Batcher {
    limits: BatchLimits,
    /// Bytes that batches may hold, from their opening to their decision.
    budget: Arc<Semaphore>,
    open: Mutex<Option<Open>>,
    opened: Notify,
}

struct Open {
    builder: BatchBuilder,
    files: Vec<Arc<Object>>,
    tracks: Vec<Arc<Track>>,
    since: Instant,
    hold_until: Option<Instant>,
    budget: OwnedSemaphorePermit,
}

/// A batch that takes no more records.
pub(super) struct Sealed {
    pub(super) batch: Batch,
    /// The file of each index that the batch's entries name.
    pub(super) tracks: Vec<Arc<Track>>,
    pub(super) budget: OwnedSemaphorePermit,
}

/// One record on its way into a batch.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// What became of a record that was to be put into the open batch.
pub(super) enum Put {
    Taken,
    /// Taken, and this batch is full.
    Filled(Sealed),
    /// Not taken: this batch has no room for it.
    Full(Sealed),
    /// Not taken: no batch is open.
    Closed,
}

/// How far back a file is looked for among those of the open batch. Files that
/// are read at the same time alternate; one that is not found is entered again,
/// which costs a few bytes.
const LOOK_BACK: usize = 8;

impl Batcher {
    pub(super) fn new(limits: BatchLimits, budget: usize) -> Self {
        Self {
            limits,
            budget: Arc::new(Semaphore::new(budget)),
            open: Mutex::new(None),
            opened: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, track: &Arc<Track>, line: Line<'_>) -> Put {
        let mut slot = self.lock();
        let Some(open) = slot.as_mut() else {
            return Put::Closed;
        };
        if !open.has_room(line.bytes.len(), self.limits) {
            return slot
                .take()
                .map_or(Put::Closed, |open| Put::Full(open.seal()));
        }
        open.push(track, line);
        if open.has_room(1, self.limits) {
            return Put::Taken;
        }
        slot.take()
            .map_or(Put::Taken, |open| Put::Filled(open.seal()))
    }

    /// Opens a batch, once its bytes are in the budget.
    pub(super) async fn open(&self) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the limits were checked to fit"
        )]
        let bytes = self.limits.bytes as u32;
        let Ok(budget) = Arc::clone(&self.budget).acquire_many_owned(bytes).await else {
            return; // never closed
        };
        let mut slot = self.lock();
        // Another worker may have been faster.
        if slot.is_none() {
            *slot = Some(Open {
                builder: BatchBuilder::with_capacity(self.limits.bytes),
                files: Vec::new(),
                tracks: Vec::new(),
                since: Instant::now(),
                hold_until: None,
                budget,
            });
            drop(slot);
            self.opened.notify_one();
        }
    }

    /// The open batch, if it holds a record and `take` says so of when it was opened.
    pub(super) fn take_if(&self, take: impl FnOnce(Instant) -> bool) -> Option<Sealed> {
        let mut slot = self.lock();
        let open = slot.as_ref()?;
        if open.builder.len() == 0 || !take(open.since) {
            return None;
        }
        slot.take().map(Open::seal)
    }

    /// When the open batch was opened; waits for one to be opened.
    pub(super) async fn next_opened(&self) -> Instant {
        loop {
            let since = self.lock().as_ref().map(|open| open.since);
            match since {
                Some(since) => return since,
                None => self.opened.notified().await,
            }
        }
    }
}

impl Open {
    fn has_room(&self, bytes: usize, limits: BatchLimits) -> bool {
        self.builder.len() == 0
            || self.builder.len() < limits.records
                && self.builder.bytes() + 1 + bytes <= limits.bytes
    }

    fn push(&mut self, track: &Arc<Track>, line: Line<'_>) {
        let recent = self.tracks.iter().enumerate().rev().take(LOOK_BACK);
        let known = recent
            .into_iter()
            .find(|(_, known)| Arc::ptr_eq(known, track));
        let index = match known {
            Some((index, _)) => index,
            None => {
                let until = track.hold_until();
                self.hold_until = [self.hold_until, until].into_iter().flatten().min();
                self.tracks.push(Arc::clone(track));
                self.files.push(track.object());
                self.tracks.len() - 1
            }
        };
        track.batched();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "fewer files than records, which are counted in 32 bits"
        )]
        self.builder
            .push(line.bytes, index as u32, line.offset, line.length);
    }

    fn seal(self) -> Sealed {
        Sealed {
            batch: self.builder.finish(self.files, self.hold_until),
            tracks: self.tracks,
            budget: self.budget,
        }
    }
}
