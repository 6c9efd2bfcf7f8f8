//! Which entries are being sent again, and what is put in quarantine meanwhile.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Stored;
use super::line::Id;
use super::writer::lock;
use crate::object::ObjectId;
use crate::quarantine::{Kept, QuarantineEntry};

/// What became of an entry that is being sent again, as far as the quarantine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::quarantine) enum Fate {
    /// Nothing was put for it.
    Free,
    /// It was put again, or for another reason with less kept of it: it stays.
    Again,
    /// It was put for another reason, with as much kept of it.
    Replaced,
}

/// The entries under way of one folder, shared by all that have it open in this
/// process: a pipeline may well put into the folder through another handle.
#[derive(Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<ObjectId, Vec<UnderWay>>>,
}

struct UnderWay {
    number: u64,
    id: Id,
    /// The record's place; `None` where the whole file is sent again.
    record: Option<u64>,
    etag: Option<String>,
    /// Whether its bytes are kept.
    bytes: bool,
    attempt: u32,
    redacted: bool,
    fate: Fate,
}

/// Those of every folder that is open.
static OPEN: Mutex<Vec<(PathBuf, Weak<Flights>)>> = Mutex::new(Vec::new());

impl Flights {
    /// Those of the folder at this canonical path.
    pub(super) fn of(folder: &Path) -> Arc<Self> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, flights)| flights.strong_count() > 0);
        let known = open
            .iter()
            .find(|(path, _)| path == folder)
            .and_then(|(_, flights)| flights.upgrade());
        known.unwrap_or_else(|| {
            let flights = Arc::new(Self::default());
            open.push((folder.to_owned(), Arc::downgrade(&flights)));
            flights
        })
    }

    pub(super) fn begin(flights: &Arc<Self>, stored: &Stored) -> Flight {
        let entry = &stored.entry;
        let number = fastrand::u64(..);
        let under_way = UnderWay {
            number,
            id: stored.id,
            record: record(entry),
            etag: entry.object.etag.clone(),
            bytes: matches!(entry.kept, Kept::Bytes(_)),
            attempt: entry.attempt,
            redacted: entry.redacted,
            fate: Fate::Free,
        };
        let object = entry.object.id.clone();
        let mut map = lock(&flights.under_way);
        map.entry(object.clone()).or_default().push(under_way);
        Flight {
            flights: Arc::clone(flights),
            object,
            number,
        }
    }

    /// How often an entry that is being sent again was tried before this time, and
    /// whether it came from where records are redacted.
    pub(super) fn before(&self, entry: &QuarantineEntry) -> Option<(u32, bool)> {
        let map = lock(&self.under_way);
        let flights = map.get(&entry.object.id)?;
        let id = entry.id();
        let same = flights.iter().filter(|flight| flight.id == id);
        same.map(|flight| (flight.attempt, flight.redacted)).max()
    }

    /// An entry was put.
    pub(super) fn put(&self, entry: &QuarantineEntry) {
        let mut map = lock(&self.under_way);
        let Some(flights) = map.get_mut(&entry.object.id) else {
            return;
        };
        let (id, record) = (entry.id(), record(entry));
        let bytes = matches!(entry.kept, Kept::Bytes(_));
        for flight in flights {
            // An object that was missing had no ETag.
            let same = flight.record == record
                && (flight.etag.is_none() || flight.etag == entry.object.etag);
            if flight.id == id || same && flight.bytes && !bytes {
                flight.fate = Fate::Again;
            } else if same && flight.fate == Fate::Free {
                flight.fate = Fate::Replaced;
            }
        }
    }
}

/// The place of the one record that an entry keeps, or `None` for a whole file.
fn record(entry: &QuarantineEntry) -> Option<u64> {
    match entry.kept {
        Kept::Reference { length: 0, .. } => None,
        _ => entry.offset,
    }
}

/// An entry that is being sent again, until dropped.
pub(in crate::quarantine) struct Flight {
    flights: Arc<Flights>,
    object: ObjectId,
    number: u64,
}

impl Flight {
    pub(in crate::quarantine) fn fate(&self) -> Fate {
        let map = lock(&self.flights.under_way);
        let flights = map.get(&self.object).into_iter().flatten();
        let mut own = flights.filter(|flight| flight.number == self.number);
        own.next().map_or(Fate::Free, |flight| flight.fate)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut map = lock(&self.flights.under_way);
        if let Some(flights) = map.get_mut(&self.object) {
            flights.retain(|flight| flight.number != self.number);
            if flights.is_empty() {
                map.remove(&self.object);
            }
        }
    }
}
