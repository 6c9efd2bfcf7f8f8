//! Which files are under way, and which are known to be finished.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::{Error, Object, Receipt, Result};

/// What a source of rounds remembers of single files.
pub(super) struct Flight {
    /// Keys that wait to be handed on, or were handed on and are not decided: no
    /// more than the pipeline takes, and a few pages.
    under_way: Mutex<HashMap<Arc<str>, Option<u128>>>,
    remembered: Mutex<Remembered>,
    /// Folders with files that were handed on and not accepted.
    reopened: Mutex<HashSet<Arc<str>>>,
    /// Without anybody to ask, an accepted receipt is what a file is known by.
    believes_receipts: bool,
}

impl Flight {
    pub(super) fn new(remembers: usize, believes_receipts: bool) -> Self {
        Self {
            under_way: Mutex::default(),
            remembered: Mutex::new(Remembered::new(remembers)),
            reopened: Mutex::default(),
            believes_receipts,
        }
    }

    /// Takes a file of `folder` that is not under way. One that is, and was written anew
    /// since, is to be looked for again, however old it is.
    pub(super) fn take(self: &Arc<Self>, object: &Object, folder: &Arc<str>) -> Option<Ticket> {
        let key: Arc<str> = object.id.key.as_str().into();
        let mark = self.remembered().mark(object);
        match self.under_way().entry(Arc::clone(&key)) {
            Entry::Vacant(place) => place.insert(mark),
            Entry::Occupied(other) => {
                if mark.is_none() || *other.get() != mark {
                    self.reopened_folders().insert(Arc::clone(folder));
                }
                return None;
            }
        };
        Some(Ticket {
            flight: Arc::clone(self),
            key,
            folder: Arc::clone(folder),
            mark,
            owed: false,
        })
    }

    /// Whether a file of the folder was handed on and not accepted since this was
    /// last asked: it may be an old one, which the next round must look for.
    pub(super) fn reopened(&self, folder: &str) -> bool {
        self.reopened_folders().remove(folder)
    }

    fn reopened_folders(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.reopened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files that wait to be handed on, or were handed on and are not decided.
    pub(super) fn count(&self) -> usize {
        self.under_way().len()
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Arc<str>, Option<u128>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is under way until this is dropped; the receipt of a file of rounds.
pub(super) struct Ticket {
    flight: Arc<Flight>,
    key: Arc<str>,
    folder: Arc<str>,
    mark: Option<u128>,
    /// It was handed on, and nobody accepted it so far.
    owed: bool,
}

impl Ticket {
    /// The file is handed on.
    pub(super) fn hand_on(mut self) -> Self {
        self.owed = true;
        self
    }

    /// Whether the file, as it is listed now, is remembered as finished.
    pub(super) fn is_finished(&self) -> bool {
        self.mark
            .is_some_and(|mark| self.flight.remembered().finished.contains(mark))
    }

    /// The file, as it is listed now, is finished.
    pub(super) fn finish(self) {
        if let Some(mark) = self.mark {
            self.flight.remembered().finished.insert(mark);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // In this order: whoever lists the folder because it is owed finds the key free.
        self.flight.under_way().remove(&self.key);
        if self.owed {
            let folder = Arc::clone(&self.folder);
            self.flight.reopened_folders().insert(folder);
        }
    }
}

#[async_trait]
impl Receipt for Ticket {
    async fn accept(mut self: Box<Self>) -> Result<()> {
        self.owed = false;
        let Some(mark) = self.mark else {
            return Ok(());
        };
        let mut remembered = self.flight.remembered();
        // Where a ledger can be asked, the next round asks it: what was read may be
        // another file than the one that was listed. What is accepted a second time
        // is passed over by the pipeline, and no ledger will ever know of it.
        if self.flight.believes_receipts || remembered.accepted.contains(mark) {
            remembered.finished.insert(mark);
        } else {
            remembered.accepted.insert(mark);
        }
        drop(remembered);
        Ok(())
    }

    async fn release(self: Box<Self>, _why: &Error, _after: Option<Duration>) -> Result<()> {
        // The next round finds it again.
        Ok(())
    }
}

/// What is remembered of files, by a keyed hash of 128 bits: so long that no two files
/// meet by chance, and keyed anew in each process, so that nobody can make two meet.
struct Remembered {
    keys: [RandomState; 2],
    finished: Newest,
    /// Accepted once, and not known to the ledger so far.
    accepted: Newest,
}

impl Remembered {
    fn new(remembers: usize) -> Self {
        Self {
            keys: [RandomState::new(), RandomState::new()],
            finished: Newest::new(remembers),
            accepted: Newest::new(remembers),
        }
    }

    /// Stands for a file as it is listed; nothing does without an ETag.
    fn mark(&self, object: &Object) -> Option<u128> {
        let etag = object.etag.as_deref()?;
        let told = (&object.id.key, etag, object.size);
        let [high, low] = &self.keys;
        Some(u128::from(high.hash_one(told)) << 64 | u128::from(low.hash_one(told)))
    }
}

/// The newest of what it was given, and what is asked for.
struct Newest {
    young: HashSet<u128>,
    old: HashSet<u128>,
    half: usize,
}

impl Newest {
    fn new(most: usize) -> Self {
        Self {
            young: HashSet::new(),
            old: HashSet::new(),
            half: (most / 2).max(1),
        }
    }

    /// What is asked for stays; what is not falls out once as many others came.
    fn contains(&mut self, mark: u128) -> bool {
        self.young.contains(&mark) || (self.old.remove(&mark) && self.insert(mark))
    }

    fn insert(&mut self, mark: u128) -> bool {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(mark);
        true
    }
}

#[cfg(test)]
mod tests {
    use ctforward_core::{ErrorKind, ObjectId};

    use super::*;

    fn object(key: &str, etag: &str) -> Object {
        Object::new(ObjectId::new("b", key)).with_etag(etag)
    }

    fn take(flight: &Arc<Flight>, object: &Object) -> Option<Ticket> {
        flight.take(object, &"folder/".into())
    }

    #[tokio::test]
    async fn what_was_handed_on_and_not_accepted_reopens_its_folder_once() {
        let flight = Arc::new(Flight::new(100, true));
        let one = object("k", "e1");
        drop(take(&flight, &one).unwrap());
        assert!(!flight.reopened("folder/"), "it was not handed on");
        let handed = take(&flight, &one).unwrap().hand_on();
        Box::new(handed).accept().await.unwrap();
        assert!(!flight.reopened("folder/"), "it was accepted");
        drop(take(&flight, &one).unwrap().hand_on());
        assert!(!flight.reopened("other/"));
        assert!(flight.reopened("folder/"));
        assert!(!flight.reopened("folder/"));
    }

    #[tokio::test]
    async fn a_file_is_under_way_until_its_receipt_is_gone_and_finished_only_by_accept() {
        let flight = Arc::new(Flight::new(100, true));
        let one = object("k", "e1");
        let ticket = take(&flight, &one).unwrap();
        assert!(take(&flight, &one).is_none());
        assert!(
            take(&flight, &object("k", "e2")).is_none(),
            "one key at a time"
        );
        drop(ticket);
        let ticket = take(&flight, &one).unwrap();
        assert!(!ticket.is_finished());
        let why = Error::new(ErrorKind::Unavailable, "test", "later");
        Box::new(ticket).release(&why, None).await.unwrap();
        let ticket = take(&flight, &one).unwrap();
        assert!(!ticket.is_finished());
        Box::new(ticket).accept().await.unwrap();
        assert!(take(&flight, &one).unwrap().is_finished());
        assert!(!take(&flight, &object("k", "e2")).unwrap().is_finished());
        let resized = object("k", "e1").with_size(1);
        assert!(!take(&flight, &resized).unwrap().is_finished());
        assert_eq!(flight.count(), 0);
    }

    #[tokio::test]
    async fn where_a_ledger_is_asked_one_receipt_finishes_nothing_and_two_do() {
        let flight = Arc::new(Flight::new(100, false));
        let one = object("k", "e1");
        for _ in 0..2 {
            let ticket = take(&flight, &one).unwrap();
            assert!(!ticket.is_finished());
            Box::new(ticket).accept().await.unwrap();
        }
        assert!(take(&flight, &one).unwrap().is_finished());
        let rewritten = object("k", "e2");
        assert!(!take(&flight, &rewritten).unwrap().is_finished());
        take(&flight, &rewritten).unwrap().finish();
        assert!(take(&flight, &rewritten).unwrap().is_finished());
    }

    #[test]
    fn a_file_that_was_written_anew_while_it_is_under_way_reopens_its_folder() {
        let flight = Arc::new(Flight::new(100, true));
        let under_way = take(&flight, &object("k", "e1")).unwrap().hand_on();
        assert!(take(&flight, &object("k", "e1")).is_none());
        assert!(!flight.reopened("folder/"), "it is the same");
        assert!(take(&flight, &object("k", "e2")).is_none());
        assert!(flight.reopened("folder/"));
        under_way.finish();
        assert!(!take(&flight, &object("k", "e2")).unwrap().is_finished());
    }

    #[test]
    fn a_file_without_an_etag_is_never_remembered() {
        let flight = Arc::new(Flight::new(100, true));
        let bare = Object::new(ObjectId::new("b", "k"));
        take(&flight, &bare).unwrap().finish();
        assert!(!take(&flight, &bare).unwrap().is_finished());
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let mut finished = Newest::new(10);
        finished.insert(0);
        for mark in 1..1000 {
            finished.insert(mark);
            assert!(finished.contains(0), "{mark}");
            assert!(finished.young.len() + finished.old.len() <= 11);
        }
        assert!(!finished.contains(1));
    }
}
