//! What is known of one file between its intake and its receipt.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::books::FileBooks;
use crate::error::Error;
use crate::ledger::Ticket;
use crate::object::Object;
use crate::quarantine::Reason;
use crate::source::Receipt;

/// One file under way. Shared by the worker that reads it and by the batches
/// that hold its records; whoever decides its last record closes it.
pub(super) struct Track {
    state: Mutex<State>,
}

struct State {
    object: Arc<Object>,
    books: FileBooks,
    /// Records that lie in batches and are not decided.
    pending: u64,
    ended: Option<ReadEnd>,
    failure: Option<Error>,
    hold_until: Option<Instant>,
    open: Option<Holdings>,
}

/// What a file holds until it is closed.
pub(super) struct Holdings {
    pub(super) receipt: Box<dyn Receipt>,
    pub(super) ticket: Option<Ticket>,
    pub(super) awaiting: OwnedSemaphorePermit,
}

/// How the reading of a file ended.
#[derive(Debug)]
pub(super) enum ReadEnd {
    /// Its end was seen and checked.
    Complete,
    /// It is rightly not sent, for this reason.
    Skip(&'static str),
    /// It cannot be read, now or later.
    Quarantine(Unreadable),
    /// It was not read to its end, and should come again.
    Release(Error),
}

/// A file that cannot be read to its end.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) reason: Reason,
    pub(super) detail: String,
    /// Records before this byte were handed on; 0 where none was.
    pub(super) from: u64,
    /// Records that were read and not handed on.
    pub(super) held: u64,
}

/// What a batch decided of the records of one file.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) quarantined: u64,
    pub(super) undecided: u64,
    pub(super) error: Option<Error>,
}

/// A file that is ready to be closed.
pub(super) struct Closing {
    pub(super) object: Arc<Object>,
    pub(super) books: FileBooks,
    pub(super) end: ReadEnd,
    pub(super) holdings: Holdings,
}

impl Track {
    pub(super) fn new(object: Object, holdings: Holdings) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                object: Arc::new(object),
                books: FileBooks::default(),
                pending: 0,
                ended: None,
                failure: None,
                hold_until: holdings.receipt.hold_until(),
                open: Some(holdings),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn object(&self) -> Arc<Object> {
        Arc::clone(&self.state().object)
    }

    pub(super) fn hold_until(&self) -> Option<Instant> {
        self.state().hold_until
    }

    /// The file was opened: its ETag and size are known.
    pub(super) fn opened(&self, etag: Option<String>, size: Option<u64>) {
        let mut state = self.state();
        let mut object = (*state.object).clone();
        object.etag = etag.or(object.etag);
        object.size = size.or(object.size);
        state.object = Arc::new(object);
    }

    /// Whether some batch already left records of it undecided.
    pub(super) fn failed(&self) -> Option<Error> {
        self.state().failure.as_ref().map(Error::duplicate)
    }

    /// A record went into a batch.
    pub(super) fn batched(&self) {
        let mut state = self.state();
        state.books.records.read += 1;
        state.pending += 1;
    }

    /// Changes the books while the file is read.
    pub(super) fn book(&self, change: impl FnOnce(&mut FileBooks)) {
        change(&mut self.state().books);
    }

    /// A batch decided some of its records; the file to be closed, if these were the last.
    pub(super) fn settle(&self, tally: Tally) -> Option<Closing> {
        let mut state = self.state();
        let records = &mut state.books.records;
        records.accepted += tally.accepted;
        records.quarantined += tally.quarantined;
        records.undecided += tally.undecided;
        state.pending -= tally.accepted + tally.quarantined + tally.undecided;
        if state.failure.is_none() {
            state.failure = tally.error;
        }
        state.close()
    }

    /// Its reading ended; the file to be closed, if no record of it is pending.
    pub(super) fn end(&self, end: ReadEnd) -> Option<Closing> {
        let mut state = self.state();
        state.ended = Some(end);
        state.close()
    }
}

impl State {
    fn close(&mut self) -> Option<Closing> {
        if self.pending > 0 || self.ended.is_none() {
            return None;
        }
        let end = match (self.failure.take(), self.ended.take()?) {
            // Whatever the reading came to, undecided records keep the file open.
            (Some(error), end) => {
                if let ReadEnd::Quarantine(unreadable) = end {
                    self.books.records.read += unreadable.held;
                    self.books.records.undecided += unreadable.held;
                }
                ReadEnd::Release(error)
            }
            (None, end) => end,
        };
        Some(Closing {
            object: Arc::clone(&self.object),
            books: self.books,
            end,
            holdings: self.open.take()?,
        })
    }
}
