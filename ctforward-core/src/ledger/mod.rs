//! What is known of each log file between runs: the trait [`Ledger`].
//!
//! A ledger is trusted: who can write to it can hide a loss, because a file that it
//! calls delivered is not read. With the feature `sqlite`, `SqliteLedger` keeps one
//! in a file, which must lie on a local file system.

mod known;
mod memory;
mod seen;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::error::Result;
use crate::object::Object;
use crate::pipeline::{FileBooks, RecordBooks};

pub use known::Known;
pub use memory::MemoryLedger;
pub use seen::{Seen, SeenStore};
#[cfg(feature = "sqlite")]
pub use sqlite::{
    LastSeen, LedgerKnown, LedgerReader, LedgerRow, LedgerStatus, RowFilter, RowState,
    SqliteLedger, SqliteOptions, Unfinished,
};

/// One row for each log file, by bucket and key.
///
/// # Contract
/// - At most one owner holds a file at a time: `claim` grants a lease, and after
///   the lease ran out another owner may be granted it.
/// - A ticket whose lease was lost fails every later call with
///   [`Changed`](crate::ErrorKind::Changed), and changes nothing.
/// - `finish` returns `Ok` only once the row is as durable as the implementation says.
/// - ETag and size are attributes: a file rewritten under the same key (another
///   ETag than the finished row's) is granted again, from its first byte; so is one
///   that went to quarantine without an ETag, once it has one.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Asks for a file before it is opened.
    ///
    /// # Errors
    /// What kept the ledger from answering; the file is then released.
    async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim>;

    /// Prolongs a lease from now on.
    ///
    /// # Errors
    /// [`Changed`](crate::ErrorKind::Changed) where the lease is lost.
    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()>;

    /// Keeps how far a file is decided. `object` carries the ETag and size that
    /// the file had when it was opened.
    ///
    /// # Errors
    /// [`Changed`](crate::ErrorKind::Changed) where the lease is lost.
    async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()>;

    /// Closes a file: every record of it is decided.
    ///
    /// # Errors
    /// [`Changed`](crate::ErrorKind::Changed) where the lease is lost; then
    /// nothing is acknowledged.
    async fn finish(&self, ticket: &Ticket, object: &Object, finished: &Finished) -> Result<()>;

    /// Gives a file back undecided, so that it can be claimed at once.
    ///
    /// # Errors
    /// What kept the ledger from noting it; the lease runs out by itself.
    async fn release(&self, ticket: &Ticket) -> Result<()>;
}

macro_rules! forward_ledger {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<L: Ledger + ?Sized> Ledger for $pointer {
            async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim> {
                (**self).claim(object, owner, lease).await
            }
            async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
                (**self).renew(ticket, lease).await
            }
            async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
                (**self).progress(ticket, object, mark).await
            }
            async fn finish(&self, ticket: &Ticket, object: &Object, finished: &Finished) -> Result<()> {
                (**self).finish(ticket, object, finished).await
            }
            async fn release(&self, ticket: &Ticket) -> Result<()> {
                (**self).release(ticket).await
            }
        }
    )*};
}
forward_ledger!(Box<L>, Arc<L>);

/// A ledger's answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "one is made for each file, and moved once"
)]
pub enum Claim {
    /// The file is ours for the lease.
    Granted {
        /// Names this grant in later calls.
        ticket: Ticket,
        /// What an earlier run decided.
        resume: Resume,
    },
    /// The file is finished, delivered or in quarantine: its receipt is accepted,
    /// nothing is read.
    Delivered,
    /// Another owner holds it: its receipt is released until then.
    HeldBy {
        /// How long that lease still runs.
        remaining: Duration,
    },
}

/// One grant of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticket {
    /// The file.
    pub object: Object,
    /// Who holds it.
    pub owner: String,
    /// Counts the grants of this row, so that a late call of a lost lease is seen.
    pub fence: u64,
}

impl Ticket {
    /// The grant number `fence` of `object` to `owner`.
    pub fn new(object: Object, owner: impl Into<String>, fence: u64) -> Self {
        Self {
            object,
            owner: owner.into(),
            fence,
        }
    }
}

/// The low-water mark of a file: how far all of it is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// Every record that starts before this byte of the inflated file is decided.
    pub low_water: u64,
    /// What became of those records, over all runs; none of them is undecided.
    pub records: RecordBooks,
}

impl Mark {
    /// Every record that starts before `low_water` is decided, as `records` says.
    #[must_use]
    pub fn new(low_water: u64, records: RecordBooks) -> Self {
        Self { low_water, records }
    }
}

/// How far an earlier run came with a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resume {
    /// How far the file was decided.
    pub mark: Mark,
    /// The ETag that the file had then; another one makes the mark void.
    pub etag: Option<String>,
    /// The size that the file had then; another one makes the mark void.
    pub size: Option<u64>,
}

impl Resume {
    /// From the first byte.
    #[must_use]
    pub fn start() -> Self {
        Self::default()
    }

    /// From `mark`, if the file is still the one that had this ETag and size.
    #[must_use]
    pub fn at(mark: Mark, etag: Option<String>, size: Option<u64>) -> Self {
        Self { mark, etag, size }
    }

    /// The mark to begin at, given what the opened file turned out to be.
    #[must_use]
    pub fn mark_for(&self, etag: Option<&str>, size: Option<u64>) -> Mark {
        let same = self.etag.as_deref() == etag && self.size == size;
        // Without an ETag nothing says that it is the same file.
        if same && etag.is_some() {
            self.mark
        } else {
            Mark::default()
        }
    }
}

/// How a file ended, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// Whether the whole file went to quarantine, or its end did.
    pub quarantined: bool,
    /// Its books over all runs: what an earlier run decided is counted as that run
    /// decided it, and nothing is `resumed`. Its bytes are those of the run that
    /// finished it.
    pub books: FileBooks,
    /// SHA-256 of the inflated file, where it was asked for.
    pub sha256: Option<[u8; 32]>,
    /// The earliest and the latest eventTime among its records, where one could be read.
    pub events: Option<(Timestamp, Timestamp)>,
    /// When its last record was decided.
    pub at: Timestamp,
}

impl Finished {
    /// A file that was read to its end.
    #[must_use]
    pub fn delivered(books: FileBooks) -> Self {
        Self {
            quarantined: false,
            books,
            sha256: None,
            events: None,
            at: Timestamp::now(),
        }
    }

    /// A file that went to quarantine as a whole, or from some record on.
    #[must_use]
    pub fn quarantined(books: FileBooks) -> Self {
        Self {
            quarantined: true,
            ..Self::delivered(books)
        }
    }

    /// The same with the SHA-256 of the inflated file.
    #[must_use]
    pub fn with_sha256(mut self, sha256: Option<[u8; 32]>) -> Self {
        self.sha256 = sha256;
        self
    }

    /// The same with the earliest and the latest eventTime.
    #[must_use]
    pub fn with_events(mut self, events: Option<(Timestamp, Timestamp)>) -> Self {
        self.events = events;
        self
    }
}

/// Whether what is known of a file now says that it is another than the one whose
/// row is finished, for those who write a [`Ledger`].
///
/// What is not known on both sides says nothing; but of a file in quarantine without
/// an ETag nothing was ever read (it was missing, or archived): one that has an ETag
/// is there to be tried.
#[must_use]
pub fn rewritten(
    etag: Option<&str>,
    size: Option<u64>,
    quarantined: bool,
    object: &Object,
) -> bool {
    let never_read = quarantined && etag.is_none() && object.etag.is_some();
    let other_etag = matches!((etag, &object.etag), (Some(old), Some(new)) if old != new);
    never_read || other_etag || matches!((size, object.size), (Some(old), Some(new)) if old != new)
}
