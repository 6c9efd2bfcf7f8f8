//! Where log files come from: the traits [`Source`], [`Open`], [`Chunks`] and [`Receipt`].

mod chain;
mod directory;
mod memory;
mod merge;
mod repeat;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::object::{Object, ObjectId};

pub use chain::Chain;
pub use directory::DirectorySource;
pub use memory::{MemorySource, Receipts};
pub use merge::{Merge, SourceStatus, SourceWatch};
pub use repeat::Repeat;

/// A stream of log files, each with a receipt that says what became of it.
///
/// # Contract
/// - `next` never downloads: it names a file; the pipeline opens it later, in a worker.
/// - `next` is cancel-safe: a dropped call loses no file.
/// - `Ok(None)` means exhausted, for good. A queue is never exhausted.
/// - After an error the source can be asked again if the error is retryable.
/// - Files come in no promised order, and the same file may come again.
#[async_trait]
pub trait Source: Send {
    /// The next file, or whatever else arrived.
    ///
    /// # Errors
    /// What kept the source from looking for the next file; a single bad message
    /// is no error but an [`Intake::Foreign`].
    async fn next(&mut self) -> Result<Option<Intake>>;
}

#[async_trait]
impl<S: Source + ?Sized> Source for Box<S> {
    async fn next(&mut self) -> Result<Option<Intake>> {
        (**self).next().await
    }
}

/// What a [`Source`] hands over.
#[non_exhaustive]
pub enum Intake {
    /// A log file to read.
    File(LogFile),
    /// Something that is rightly no log file (a test event, a folder object, a
    /// link): it is counted and acknowledged, and nothing is sent.
    Skip {
        /// What it was.
        object: ObjectId,
        /// Why it is skipped: a few fixed words, the key of the report's count.
        why: &'static str,
        /// Accepted at once.
        receipt: Box<dyn Receipt>,
    },
    /// A message that could not be understood: it goes to quarantine with its
    /// body before its receipt is accepted.
    Foreign {
        /// The message as it came.
        bytes: Bytes,
        /// What was wrong with it.
        reason: Error,
        /// Accepted once the body is in quarantine.
        receipt: Box<dyn Receipt>,
    },
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Skip { object, why, .. } => f
                .debug_struct("Skip")
                .field("object", object)
                .field("why", why)
                .finish_non_exhaustive(),
            Self::Foreign { bytes, reason, .. } => f
                .debug_struct("Foreign")
                .field("bytes", &bytes.len())
                .field("reason", reason)
                .finish_non_exhaustive(),
        }
    }
}

/// One log file of a [`Source`]: its address, the means to open it, and its receipt.
#[non_exhaustive]
pub struct LogFile {
    /// Its address and what the source knows of it.
    pub object: Object,
    /// Whether somebody named this very file (on a command line, in a message).
    /// What turns out to be no log file is then reported instead of skipped.
    pub named: bool,
    /// Where in the object the file's first record lies, if what is opened is only
    /// that record, within a `Records` of its own.
    pub fragment: Option<u64>,
    /// Opens it, as often as needed.
    pub open: Arc<dyn Open>,
    /// Told what became of it.
    pub receipt: Box<dyn Receipt>,
}

impl LogFile {
    /// A file found by listing.
    pub fn new(object: Object, open: Arc<dyn Open>, receipt: Box<dyn Receipt>) -> Self {
        Self {
            object,
            named: false,
            fragment: None,
            open,
            receipt,
        }
    }

    /// The same file, of which one record that lies at `offset` is opened alone.
    ///
    /// What is opened is a document `{"Records":[…]}` with that record and nothing
    /// else; whatever is said of it names its place in the object.
    #[must_use]
    pub fn fragment(mut self, offset: u64) -> Self {
        self.fragment = Some(offset);
        self
    }

    /// The same file, marked as named by somebody.
    #[must_use]
    pub fn named(mut self) -> Self {
        self.named = true;
        self
    }
}

impl fmt::Debug for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFile")
            .field("object", &self.object)
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}

/// Opens one object, as often as it is asked to.
///
/// # Contract
/// Called in a worker, perhaps several times (after a failure, or to read the
/// file again); each call starts at the first byte.
#[async_trait]
pub trait Open: Send + Sync {
    /// Opens the object and answers its metadata first; the body follows in chunks.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) where there is no such object,
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) where it may not be read,
    /// [`Archived`](crate::ErrorKind::Archived) where it must be restored first,
    /// a retryable error for everything that may pass.
    async fn open(&self) -> Result<Opened>;
}

/// An opened object.
#[non_exhaustive]
pub struct Opened {
    /// Its ETag as the answer's head gave it.
    pub etag: Option<String>,
    /// Its length in bytes as stored.
    pub size: Option<u64>,
    /// Its body.
    pub chunks: Box<dyn Chunks>,
}

impl Opened {
    /// An opened object whose metadata is not known.
    #[must_use]
    pub fn new(chunks: Box<dyn Chunks>) -> Self {
        Self {
            etag: None,
            size: None,
            chunks,
        }
    }

    /// The same with its ETag, if there is one.
    #[must_use]
    pub fn with_etag(mut self, etag: Option<String>) -> Self {
        self.etag = etag;
        self
    }

    /// The same with its size, if it is known.
    #[must_use]
    pub fn with_size(mut self, size: Option<u64>) -> Self {
        self.size = size;
        self
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("etag", &self.etag)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The body of an opened object, pulled piece by piece.
///
/// # Contract
/// - Pieces come in order and without gaps; a piece may be empty.
/// - `Ok(None)` only after the last byte of an object that did not change
///   meanwhile. A body that broke off is an error, never an end.
/// - An implementation holds a bounded number of bytes, whatever the object's size.
#[async_trait]
pub trait Chunks: Send {
    /// The next piece, or `None` after the last.
    ///
    /// # Errors
    /// [`Changed`](crate::ErrorKind::Changed) where the object is no longer the
    /// one that was opened; whatever broke the body off, after the
    /// implementation's own attempts to go on.
    async fn next(&mut self) -> Result<Option<Bytes>>;
}

/// Told what became of a file or a message, once.
///
/// # Contract
/// - Dropping a receipt is a release, never an accept.
/// - The pipeline accepts only when every record of the file is decided and what
///   was quarantined is durable.
#[async_trait]
pub trait Receipt: Send {
    /// Until when the file can be held; a batch obeys its earliest.
    fn hold_until(&self) -> Option<Instant> {
        None
    }

    /// Why the file is no longer held, if so: its message may be with somebody else.
    ///
    /// The pipeline looks now and then and stops the work on such a file. Accepting it
    /// is an error.
    fn lost(&self) -> Option<Error> {
        None
    }

    /// The file is finished: it need not come again.
    ///
    /// # Errors
    /// What kept the acknowledgement from arriving. The file may come again.
    async fn accept(self: Box<Self>) -> Result<()>;

    /// The file is not finished: it should come again, not earlier than `after`.
    ///
    /// # Errors
    /// What kept the release from arriving. The file comes again by itself, later.
    async fn release(self: Box<Self>, why: &Error, after: Option<Duration>) -> Result<()>;
}

/// The receipt of a source that keeps its files: nothing to acknowledge.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReceipt;

#[async_trait]
impl Receipt for NoReceipt {
    async fn accept(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    async fn release(self: Box<Self>, _why: &Error, _after: Option<Duration>) -> Result<()> {
        Ok(())
    }
}
