//! The open batch, which records of all files being read go into.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::books::RecordBooks;
use super::track::Track;
use crate::batch::{Batch, BatchBuilder, BatchLimits};
use crate::duplicates::{ById, Identity, Standing, Table, Window};
use crate::object::Object;

pub(super) struct Batcher {
    limits: BatchLimits,
    /// Bytes that batches may hold, from their opening to their decision.
    budget: Arc<Semaphore>,
    slot: Mutex<Slot>,
    opened: Notify,
    /// How many wait for bytes of the budget.
    starving: AtomicUsize,
    starved: Notify,
}

struct Slot {
    open: Option<Open>,
    /// Numbers the batches.
    next: u64,
    /// The accepted records that are remembered, where duplicates are removed.
    window: Option<Window>,
    /// Records that went on though another of their name was there.
    conflicting: u64,
    /// What a batch before had needed: memory that is given back for each batch and
    /// asked for again costs the system's time.
    spare: Named,
    /// How many records the last batch had.
    usual: usize,
}

struct Open {
    id: u64,
    builder: BatchBuilder,
    files: Vec<Arc<Object>>,
    tracks: Vec<Arc<Track>>,
    since: Instant,
    hold_until: Option<Instant>,
    budget: OwnedSemaphorePermit,
    notes: Notes,
    named: Named,
}

/// The records of a batch that have a name, where duplicates are removed.
#[derive(Default)]
struct Named {
    /// Where the first record of each name is.
    first: Table,
    /// The others.
    others: HashMap<Identity, u32, ById>,
}

impl Named {
    /// Empty, with room for so many records.
    fn renewed(mut self, records: usize) -> Self {
        self.first.renew(records);
        self.others.clear();
        self
    }

    /// The index of the same record among those of the batch, and whether there is
    /// one of its name at all.
    fn find(&self, identity: &Identity, of: &[Option<Identity>]) -> (Option<u32>, bool) {
        let first = self.first.places(identity.id).find_map(|index| {
            let known = of.get(index as usize)?.as_ref()?;
            (known.id == identity.id).then_some((index, known.content))
        });
        match first {
            None => (None, false),
            Some((index, content)) if content == identity.content => (Some(index), true),
            Some(_) => (self.others.get(identity).copied(), true),
        }
    }

    /// Enters a record that comes behind those of the batch.
    fn insert(&mut self, identity: Identity, index: u32, known: bool, of: &[Option<Identity>]) {
        if known {
            self.others.insert(identity, index);
            return;
        }
        if self.first.is_full() {
            let others = std::mem::take(&mut self.first);
            self.first.renew(of.len() + 1);
            for place in others.all() {
                if let Some(Some(known)) = of.get(place as usize) {
                    self.first.insert(known.id, place);
                }
            }
        }
        self.first.insert(identity.id, index);
    }
}

/// A batch that takes no more records.
pub(super) struct Sealed {
    pub(super) id: u64,
    pub(super) batch: Batch,
    /// The file of each index that the batch's entries name.
    pub(super) tracks: Vec<Arc<Track>>,
    pub(super) budget: OwnedSemaphorePermit,
    pub(super) notes: Notes,
}

/// What is noted of a batch's records and is not the sink's business.
#[derive(Default)]
pub(super) struct Notes {
    /// The eventTime of each, in seconds since 1970; 0 where it is not known.
    pub(super) times: Vec<u32>,
    /// The name of each, where duplicates are removed.
    pub(super) identities: Vec<Option<Identity>>,
    /// Records of the same name and the same bytes as one of the batch, which
    /// are not sent and share its outcome.
    pub(super) twins: Vec<Twin>,
    /// The bytes in their files of those that are sent in another form, by
    /// ascending index: where they end in `original_bytes`.
    originals: Vec<(u32, u32)>,
    original_bytes: Vec<u8>,
}

/// A record that shares the outcome of another one of its batch.
#[derive(Clone, Copy)]
pub(super) struct Twin {
    /// The index of the record that is sent.
    pub(super) of: u32,
    pub(super) file: u32,
    pub(super) offset: u64,
}

impl Notes {
    /// The record at `index` as it lies in its file, where that is not how it is sent.
    pub(super) fn original(&self, index: usize) -> Option<Bytes> {
        let place = self
            .originals
            .binary_search_by_key(&index, |(of, _)| *of as usize)
            .ok()?;
        let before = place.checked_sub(1).and_then(|p| self.originals.get(p));
        let start = before.map_or(0, |(_, end)| *end as usize);
        let (_, end) = self.originals.get(place)?;
        let bytes = self.original_bytes.get(start..*end as usize)?;
        Some(Bytes::copy_from_slice(bytes))
    }
}

/// One record on its way into a batch.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// What is sent.
    pub(super) bytes: &'a [u8],
    /// The record in its file, where that is something else.
    pub(super) original: Option<&'a [u8]>,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) time: u32,
    pub(super) identity: Option<Identity>,
}

impl Outgoing<'_> {
    /// The bytes that it takes in a batch.
    fn cost(&self) -> usize {
        self.bytes.len() + self.original.map_or(0, <[u8]>::len)
    }
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
    /// Not taken: the same record was accepted before.
    Duplicate,
}

/// How far back a file is looked for among those of the open batch. Files that
/// are read at the same time alternate; one that is not found is entered again,
/// which costs a few bytes.
const LOOK_BACK: usize = 8;

impl Batcher {
    pub(super) fn new(limits: BatchLimits, budget: usize, window: Option<Window>) -> Self {
        Self {
            limits,
            budget: Arc::new(Semaphore::new(budget)),
            slot: Mutex::new(Slot {
                open: None,
                next: 0,
                window,
                conflicting: 0,
                spare: Named::default(),
                usual: 0,
            }),
            opened: Notify::new(),
            starving: AtomicUsize::new(0),
            starved: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at, or changes, what is remembered of accepted records.
    pub(super) fn with_window<T: Default>(&self, look: impl FnOnce(&mut Window) -> T) -> T {
        self.lock().window.as_mut().map(look).unwrap_or_default()
    }

    /// Records that went on though another of their name was there.
    pub(super) fn conflicting(&self) -> u64 {
        self.lock().conflicting
    }

    pub(super) fn put(&self, track: &Arc<Track>, line: Outgoing<'_>) -> Put {
        let mut guard = self.lock();
        let slot = &mut *guard;
        let mut conflicting = false;
        if let (Some(window), Some(identity)) = (&mut slot.window, &line.identity) {
            match window.standing(identity, Timestamp::now()) {
                Standing::Duplicate => return Put::Duplicate,
                Standing::Conflicting => conflicting = true,
                Standing::New => {}
            }
        }
        let Some(open) = slot.open.as_mut() else {
            return Put::Closed;
        };
        let identity = line.identity.as_ref();
        let (twin, same_name) = identity.map_or((None, false), |identity| {
            open.named.find(identity, &open.notes.identities)
        });
        if twin.is_none() && !open.has_room(line.cost(), self.limits)
            || twin.is_some() && !open.has_room(0, self.limits)
        {
            return slot.seal().map_or(Put::Closed, Put::Full);
        }
        if let Some(of) = twin {
            open.twin(of, track, line.offset);
        } else {
            slot.conflicting += u64::from(conflicting || same_name);
            let remembers = slot.window.is_some();
            open.push(track, line, remembers, same_name);
        }
        if open.has_room(1, self.limits) {
            return Put::Taken;
        }
        slot.seal().map_or(Put::Taken, Put::Filled)
    }

    /// Opens a batch, once its bytes are in the budget.
    pub(super) async fn open(&self) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the limits were checked to fit"
        )]
        let bytes = self.limits.bytes as u32;
        let budget = match Arc::clone(&self.budget).try_acquire_many_owned(bytes) {
            Ok(budget) => budget,
            Err(_) => {
                let waits = Starving::begin(self);
                let Ok(budget) = Arc::clone(&self.budget).acquire_many_owned(bytes).await else {
                    return; // never closed
                };
                drop(waits);
                budget
            }
        };
        let mut slot = self.lock();
        // Another worker may have been faster.
        if slot.open.is_none() {
            let id = slot.next;
            slot.next += 1;
            let mut notes = Notes::default();
            let mut named = std::mem::take(&mut slot.spare);
            if slot.window.is_some() {
                named = named.renewed(slot.usual);
                notes.identities.reserve(slot.usual + slot.usual / 8);
            }
            slot.open = Some(Open {
                id,
                builder: BatchBuilder::with_capacity(self.limits.bytes),
                files: Vec::new(),
                tracks: Vec::new(),
                since: Instant::now(),
                hold_until: None,
                budget,
                notes,
                named,
            });
            drop(slot);
            self.opened.notify_one();
        }
    }

    /// Until somebody waits for bytes that others hold.
    pub(super) async fn starves(&self) {
        let starved = self.starved.notified();
        tokio::pin!(starved);
        starved.as_mut().enable();
        if self.starving.load(Ordering::SeqCst) == 0 {
            starved.await;
        }
    }

    /// The open batch, if it holds a record and `take` says so of when it was opened.
    pub(super) fn take_if(&self, take: impl FnOnce(Instant) -> bool) -> Option<Sealed> {
        let mut slot = self.lock();
        let open = slot.open.as_ref()?;
        if open.builder.len() == 0 || !take(open.since) {
            return None;
        }
        slot.seal()
    }

    /// When the open batch was opened; waits for one to be opened.
    pub(super) async fn next_opened(&self) -> Instant {
        loop {
            let since = self.lock().open.as_ref().map(|open| open.since);
            match since {
                Some(since) => return since,
                None => self.opened.notified().await,
            }
        }
    }
}

/// Somebody waits for bytes of the budget, for as long as this lives.
struct Starving<'b>(&'b Batcher);

impl<'b> Starving<'b> {
    fn begin(batcher: &'b Batcher) -> Self {
        batcher.starving.fetch_add(1, Ordering::SeqCst);
        batcher.starved.notify_waiters();
        Self(batcher)
    }
}

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        self.0.starving.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Slot {
    /// The open batch, if there is one; it takes no more records.
    fn seal(&mut self) -> Option<Sealed> {
        let open = self.open.take()?;
        self.usual = open.notes.identities.len();
        self.spare = open.named;
        Some(Sealed {
            id: open.id,
            batch: open.builder.finish(open.files, open.hold_until),
            tracks: open.tracks,
            budget: open.budget,
            notes: open.notes,
        })
    }
}

impl Open {
    fn has_room(&self, bytes: usize, limits: BatchLimits) -> bool {
        let originals = self.notes.original_bytes.len();
        self.builder.len() == 0
            || self.builder.len() + self.notes.twins.len() < limits.records
                && self.builder.bytes() + originals + 1 + bytes <= limits.bytes
    }

    /// The index of a file among those of the batch.
    fn file(&mut self, track: &Arc<Track>) -> u32 {
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
        #[allow(
            clippy::cast_possible_truncation,
            reason = "fewer files than records, which are counted in 32 bits"
        )]
        let index = index as u32;
        index
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "limits keep a batch far below 4 GiB"
    )]
    fn push(&mut self, track: &Arc<Track>, line: Outgoing<'_>, remembers: bool, same_name: bool) {
        let file = self.file(track);
        track.batched(self.id, line.offset);
        let index = self.builder.len() as u32;
        self.builder
            .push(line.bytes, file, line.offset, line.length);
        self.notes.times.push(line.time);
        if let Some(identity) = line.identity {
            let before = &self.notes.identities;
            self.named.insert(identity, index, same_name, before);
        }
        if remembers {
            self.notes.identities.push(line.identity);
        }
        if let Some(original) = line.original {
            self.notes.original_bytes.extend_from_slice(original);
            let end = self.notes.original_bytes.len() as u32;
            self.notes.originals.push((index, end));
        }
    }

    fn twin(&mut self, of: u32, track: &Arc<Track>, offset: u64) {
        let file = self.file(track);
        track.batched(self.id, offset);
        self.notes.twins.push(Twin { of, file, offset });
    }
}

/// What a batch decided of the records of one of its files, and why not of more.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// `accepted`, `duplicate`, `quarantined` and `undecided` only.
    pub(super) records: RecordBooks,
    /// Bytes of the accepted ones, with a line feed each.
    pub(super) sent: u64,
    pub(super) error: Option<crate::Error>,
}
