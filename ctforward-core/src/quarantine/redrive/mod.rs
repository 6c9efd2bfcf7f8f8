//! Sending again what lies in quarantine.

mod cut;
mod open;
mod reopen;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::directory::{DirectoryQuarantine, Entries, Fate, Flight, Stored};
use super::{Filter, Kept, Reason, Resolution};
use crate::error::{Error, Result};
use crate::source::{Intake, LogFile, Open, Receipt, Source};
use open::{Fragment, Lying, Watched, Whole};

pub use reopen::{Reopen, reopen_folder};

/// What stands before and behind a record that is opened alone.
pub(crate) const FRAGMENT: (&[u8], &[u8]) = (br#"{"Records":["#, b"]}");

/// A source of what lies in a [`DirectoryQuarantine`], to be sent again through a
/// [`Pipeline`](crate::Pipeline).
///
/// - A record whose bytes are kept is handed over alone, and everything said of it
///   names its place in its log file.
/// - A record kept by reference is read from its object again, if that is still
///   there, still has the ETag, and the bytes still have their SHA-256.
/// - A file is read whole, from its kept copy or from its object. What was sent of
///   it before it went to quarantine is sent again.
/// - A message is no log file: it is passed over and counted.
///
/// # What becomes of the entries
/// An entry is resolved when the pipeline accepts its receipt, after everything of
/// it was decided, and only if it was read to its end. Where the pipeline puts the
/// same entry in quarantine again, it stays, with an attempt more; where it puts it
/// there for another reason, with as much kept of it, the old entry is resolved as
/// replaced. Otherwise (the sink is down, the object is gone
/// or another) nothing changes. Whenever the process stops, nothing is lost: at
/// worst something is sent again, or lies in quarantine under two reasons.
///
/// The pipeline must not have a ledger that knows the files as finished: what is
/// not read stays in quarantine. Let it use [`quarantine`](Self::quarantine), or
/// any other that keeps things.
pub struct Redrive {
    quarantine: DirectoryQuarantine,
    entries: Entries,
    reopen: Arc<dyn Reopen>,
    max_record_bytes: u64,
    changed_files: bool,
    originals: bool,
    counts: Arc<Counts>,
}

impl fmt::Debug for Redrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redrive")
            .field("quarantine", &self.quarantine)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Redrive {
    /// The entries of `quarantine` that `filter` takes; objects are opened again by `reopen`.
    pub fn new(
        quarantine: &DirectoryQuarantine,
        filter: Filter,
        reopen: impl Reopen + 'static,
    ) -> Self {
        Self {
            entries: quarantine.entries(filter),
            quarantine: quarantine.clone(),
            reopen: Arc::new(reopen),
            max_record_bytes: 16 * 1024 * 1024,
            changed_files: false,
            originals: false,
            counts: Arc::default(),
        }
    }

    /// Bytes of a record kept by reference that is read again, at most (default
    /// 16 MiB); it is held in memory. The pipeline's own cap must be as high.
    #[must_use]
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// Whether to read a whole file though its object is another now (default: no).
    /// What was in the one that went to quarantine is then given up.
    #[must_use]
    pub fn changed_files(mut self, take: bool) -> Self {
        self.changed_files = take;
        self
    }

    /// Whether to take entries that were put aside where records are redacted
    /// (default: no). Only the original is kept of them: say yes where the pipeline
    /// redacts too, or where all of it may be sent.
    #[must_use]
    pub fn redacted(mut self, take: bool) -> Self {
        self.originals = take;
        self
    }

    /// The quarantine that the pipeline is to use.
    #[must_use]
    pub fn quarantine(&self) -> DirectoryQuarantine {
        self.quarantine.clone()
    }

    /// What became of the entries so far; to be kept when the pipeline takes the source.
    #[must_use]
    pub fn counts(&self) -> RedriveCounts {
        RedriveCounts(Arc::clone(&self.counts))
    }

    async fn file(&self, stored: Stored) -> LogFile {
        let flight = self.quarantine.begin_flight(&stored);
        let (object, offset) = (stored.entry.object.clone(), stored.entry.offset);
        let read = Arc::new(AtomicBool::new(false));
        let (open, fragment) = self.open(&stored, offset).await;
        let open = Watched {
            inner: open,
            read: Arc::clone(&read),
        };
        let receipt = Slip {
            quarantine: self.quarantine.clone(),
            stored: without_bytes(stored),
            flight,
            read,
            counts: Arc::clone(&self.counts),
            told: false,
        };
        let file = LogFile::new(object, Arc::new(open), Box::new(receipt)).named();
        match fragment {
            Some(offset) => file.fragment(offset),
            None => file,
        }
    }

    /// What opens an entry, and the place of its record if it is one.
    async fn open(&self, stored: &Stored, offset: Option<u64>) -> (Arc<dyn Open>, Option<u64>) {
        let entry = &stored.entry;
        let object = &entry.object;
        match (&entry.kept, offset) {
            (Kept::Bytes(bytes), Some(offset)) => (Arc::new(Fragment(bytes.clone())), Some(offset)),
            (Kept::Bytes(bytes), None) => {
                let lying = Lying {
                    bytes: bytes.clone(),
                    etag: object.etag.clone(),
                    size: object.size,
                };
                (Arc::new(lying), None)
            }
            (Kept::Reference { length, sha256 }, Some(offset)) if *length > 0 => {
                let open = match self.reopen.reopen(object).await {
                    Ok(inner) => Arc::new(cut::Cut {
                        inner,
                        object: object.clone(),
                        offset,
                        length: *length,
                        sha256: *sha256,
                        most: self.max_record_bytes,
                    }) as Arc<dyn Open>,
                    Err(error) => Arc::new(open::Failed(error)),
                };
                (open, Some(offset))
            }
            (Kept::Reference { .. }, _) => {
                let open = match self.reopen.reopen(object).await {
                    Ok(inner) => Arc::new(Whole {
                        inner,
                        object: object.clone(),
                        changed: self.changed_files,
                    }) as Arc<dyn Open>,
                    Err(error) => Arc::new(open::Failed(error)),
                };
                (open, None)
            }
        }
    }
}

/// A receipt names the entry; it need not hold its bytes for as long as it waits.
fn without_bytes(mut stored: Stored) -> Stored {
    stored.entry.kept = Kept::Reference {
        length: 0,
        sha256: None,
    };
    stored
}

#[async_trait]
impl Source for Redrive {
    async fn next(&mut self) -> Result<Option<Intake>> {
        loop {
            let Some(stored) = self.entries.next().await? else {
                return Ok(None);
            };
            if stored.entry.reason == Reason::Undecodable {
                self.counts.messages.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if stored.entry.redacted && !self.originals {
                self.counts.withheld.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.counts.taken.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(Intake::File(self.file(stored).await)));
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    messages: AtomicU64,
    withheld: AtomicU64,
    accepted: AtomicU64,
    again: AtomicU64,
    replaced: AtomicU64,
    unread: AtomicU64,
    released: AtomicU64,
}

/// What became of the entries of a [`Redrive`].
#[derive(Clone, Debug)]
pub struct RedriveCounts(Arc<Counts>);

impl RedriveCounts {
    /// Entries handed to the pipeline.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Entries passed over because they were put aside where records are redacted.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.0.withheld.load(Ordering::Relaxed)
    }

    /// Messages, which are passed over.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.0.messages.load(Ordering::Relaxed)
    }

    /// Entries that were finished and are resolved.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Entries that were put in quarantine again as they were.
    #[must_use]
    pub fn again(&self) -> u64 {
        self.0.again.load(Ordering::Relaxed)
    }

    /// Entries that lie in quarantine for another reason now.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.0.replaced.load(Ordering::Relaxed)
    }

    /// Entries that the pipeline took for finished without reading them; they stay.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.0.unread.load(Ordering::Relaxed)
    }

    /// Entries that the pipeline gave back; they stay.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.0.released.load(Ordering::Relaxed)
    }
}

struct Slip {
    quarantine: DirectoryQuarantine,
    stored: Stored,
    flight: Flight,
    /// Whether it was read to its end.
    read: Arc<AtomicBool>,
    counts: Arc<Counts>,
    told: bool,
}

#[async_trait]
impl Receipt for Slip {
    async fn accept(mut self: Box<Self>) -> Result<()> {
        self.told = true;
        let read = self.read.load(Ordering::Acquire);
        let (outcome, count) = match self.flight.fate() {
            Fate::Again => (None, &self.counts.again),
            Fate::Replaced => (Some(Resolution::Replaced), &self.counts.replaced),
            Fate::Free if read => (Some(Resolution::Accepted), &self.counts.accepted),
            // A ledger or a filter left it out: nothing of it was sent.
            Fate::Free => (None, &self.counts.unread),
        };
        if let Some(outcome) = outcome {
            let resolved = self.quarantine.resolve_stored(&self.stored, outcome).await;
            if let Err(error) = resolved {
                self.counts.released.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        }
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn release(self: Box<Self>, _why: &Error, _after: Option<Duration>) -> Result<()> {
        Ok(())
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if !self.told {
            self.counts.released.fetch_add(1, Ordering::Relaxed);
        }
    }
}
