//! What is known of one file between its intake and its receipt.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::batcher::Tally;
use super::books::{FileBooks, RecordBooks};
use super::water::Water;
use crate::error::Error;
use crate::ledger::{Mark, Ticket};
use crate::object::Object;
use crate::quarantine::{Kept, Reason};
use crate::source::Receipt;

/// One file under way. Shared by the worker that reads it and by the batches
/// that hold its records; whoever decides its last record closes it.
pub(super) struct Track {
    pub(super) number: u64,
    ticket: Option<Ticket>,
    /// When it was taken in, or when its key says that it was delivered.
    pub(super) since: Timestamp,
    /// One ledger call at a time, so that an older mark never follows a newer one.
    pub(super) marking: tokio::sync::Mutex<()>,
    /// Told whenever a batch decided some of its records.
    settled: Notify,
    state: Mutex<State>,
}

struct State {
    object: Arc<Object>,
    books: FileBooks,
    /// Records that lie in batches and are not decided.
    pending: u64,
    water: Water,
    /// What an earlier run decided, as far as it counts in this one.
    resumed: Mark,
    /// The mark that the ledger has.
    marked: u64,
    /// The earliest and the latest eventTime, in seconds since 1970.
    events: Option<(u32, u32)>,
    sha256: Option<[u8; 32]>,
    ended: Option<ReadEnd>,
    failure: Option<Error>,
    hold_until: Option<Instant>,
    open: Option<Holdings>,
}

/// What a file holds until it is closed.
pub(super) struct Holdings {
    pub(super) receipt: Box<dyn Receipt>,
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
    /// What is kept of it.
    pub(super) kept: Kept,
}

/// A file that is ready to be closed.
pub(super) struct Closing {
    pub(super) number: u64,
    pub(super) since: Timestamp,
    pub(super) ticket: Option<Ticket>,
    pub(super) object: Arc<Object>,
    /// What this run did with it.
    pub(super) books: FileBooks,
    /// What an earlier run did with it.
    pub(super) resumed: Mark,
    /// How far it is decided, if that is further than the ledger says.
    pub(super) mark: Option<Mark>,
    pub(super) events: Option<(Timestamp, Timestamp)>,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) end: ReadEnd,
    pub(super) holdings: Holdings,
}

impl Track {
    pub(super) fn new(
        number: u64,
        object: Object,
        ticket: Option<Ticket>,
        since: Timestamp,
        holdings: Holdings,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            ticket,
            since,
            marking: tokio::sync::Mutex::new(()),
            settled: Notify::new(),
            state: Mutex::new(State {
                object: Arc::new(object),
                books: FileBooks::default(),
                pending: 0,
                water: Water::default(),
                resumed: Mark::default(),
                marked: 0,
                events: None,
                sha256: None,
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

    /// Whether somebody tells the ledger a mark of it.
    pub(super) fn is_marking(&self) -> bool {
        self.marking.try_lock().is_err()
    }

    pub(super) fn ticket(&self) -> Option<&Ticket> {
        self.ticket.as_ref()
    }

    pub(super) fn hold_until(&self) -> Option<Instant> {
        self.state().hold_until
    }

    /// The file was opened: its ETag and size are known, and with them what of an
    /// earlier run's work still counts.
    pub(super) fn opened(&self, etag: Option<String>, size: Option<u64>, resumed: Mark) {
        let mut state = self.state();
        let mut object = (*state.object).clone();
        object.etag = etag.or(object.etag);
        object.size = size.or(object.size);
        state.object = Arc::new(object);
        state.resumed = resumed;
        state.marked = resumed.low_water;
    }

    /// Whether it was not closed yet.
    pub(super) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Whether the element at `offset` lies so many bytes beyond the low-water mark,
    /// and nothing says yet that it will not move.
    pub(super) fn is_ahead(&self, offset: u64, bytes: u64) -> bool {
        let state = self.state();
        let mark = state.water.mark().low_water.max(state.resumed.low_water);
        state.failure.is_none() && offset.saturating_sub(mark) > bytes
    }

    /// Waits for a batch to decide some of its records.
    pub(super) async fn settled(&self) {
        self.settled.notified().await;
    }

    /// Whether something already left records of it undecided.
    pub(super) fn failed(&self) -> Option<Error> {
        self.state().failure.as_ref().map(Error::duplicate)
    }

    /// Why it is no longer held, by its receipt; it cannot be finished any more then.
    pub(super) fn lost(&self) -> Option<Error> {
        let mut state = self.state();
        let lost = state.open.as_ref()?.receipt.lost()?;
        state.failure.get_or_insert_with(|| lost.duplicate());
        Some(lost)
    }

    /// It cannot be finished any more.
    pub(super) fn fail(&self, error: &Error) {
        let mut state = self.state();
        if state.failure.is_none() {
            state.failure = Some(error.duplicate());
        }
    }

    /// A record that starts at `offset` went into a batch.
    pub(super) fn batched(&self, batch: u64, offset: u64) {
        let mut state = self.state();
        state.books.records.read += 1;
        state.pending += 1;
        state.water.batched(batch, offset);
    }

    /// The element that starts at `offset` was decided where it was met.
    pub(super) fn decided(&self, offset: u64, mut records: RecordBooks) {
        records.read = records.filtered + records.duplicate + records.quarantined;
        let mut state = self.state();
        state.books.records += records;
        state.water.decided(offset, records);
    }

    /// Elements were met and are not decided in this run.
    pub(super) fn undecided(&self, count: u64) {
        let mut state = self.state();
        state.books.records.read += count;
        state.books.records.undecided += count;
        if count > 0 {
            state.water.stuck();
        }
    }

    /// An element was met that an earlier run decided.
    pub(super) fn resumed(&self, count: u64) {
        self.state().books.records.resumed += count;
    }

    pub(super) fn read(&self, compressed: u64, inflated: u64) {
        let mut state = self.state();
        state.books.compressed += compressed;
        state.books.inflated += inflated;
    }

    /// What the whole file turned out to be, once it was read to its end.
    pub(super) fn whole(&self, events: Option<(u32, u32)>, sha256: Option<[u8; 32]>) {
        let mut state = self.state();
        state.events = events;
        state.sha256 = sha256;
    }

    /// A batch decided some of its records; the file to be closed, if these were the last.
    pub(super) fn settle(&self, batch: u64, tally: Tally) -> Option<Closing> {
        let mut state = self.state();
        let decided = tally.records;
        let records = &mut state.books.records;
        records.accepted += decided.accepted;
        records.duplicate += decided.duplicate;
        records.quarantined += decided.quarantined;
        records.undecided += decided.undecided;
        state.books.sent += tally.sent;
        state.pending -=
            decided.accepted + decided.duplicate + decided.quarantined + decided.undecided;
        if state.failure.is_none() {
            state.failure = tally.error;
        }
        state.water.settled(batch, decided);
        self.settled.notify_one();
        state.close(self)
    }

    /// Its reading ended; the file to be closed, if no record of it is pending.
    pub(super) fn end(&self, end: ReadEnd) -> Option<Closing> {
        let mut state = self.state();
        state.ended = Some(end);
        state.close(self)
    }

    /// How far it is decided, if that is further than the ledger knows.
    pub(super) fn unmarked(&self) -> Option<Mark> {
        self.state().unmarked()
    }

    /// The ledger has this mark.
    pub(super) fn marked(&self, mark: &Mark) {
        let mut state = self.state();
        state.marked = state.marked.max(mark.low_water);
    }
}

impl State {
    fn unmarked(&self) -> Option<Mark> {
        let mut mark = self.water.mark();
        // Records below the earlier mark were passed over, and are in its books.
        mark.records += self.resumed.records;
        (mark.low_water > self.marked).then_some(mark)
    }

    fn close(&mut self, track: &Track) -> Option<Closing> {
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
        let time = |seconds: u32| Timestamp::from_second(seconds.into()).ok();
        let events = self
            .events
            .and_then(|(first, last)| Some((time(first)?, time(last)?)));
        Some(Closing {
            number: track.number,
            since: track.since,
            ticket: track.ticket.clone(),
            object: Arc::clone(&self.object),
            books: self.books,
            resumed: self.resumed,
            mark: self.unmarked(),
            events,
            sha256: self.sha256,
            end,
            holdings: self.open.take()?,
        })
    }
}
