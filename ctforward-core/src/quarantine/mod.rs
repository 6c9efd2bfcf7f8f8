//! Where what cannot be delivered is kept: the trait [`Quarantine`] and its entries.

mod directory;
mod filter;
mod memory;
mod redrive;
mod resolution;
pub mod written;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::object::Object;

pub use directory::{Compacted, DirectoryQuarantine, DirectoryQuarantineBuilder, Entries, Stored};
pub use filter::Filter;
pub use memory::MemoryQuarantine;
pub(crate) use redrive::FRAGMENT;
pub use redrive::{Redrive, RedriveCounts, Reopen, reopen_folder};
pub use resolution::Resolution;

/// Keeps what could not be delivered, durably, before its receipt is accepted.
///
/// # Contract
/// - `put` returns `Ok` only once the entry is as durable as the implementation says.
/// - `put` is idempotent by [`QuarantineEntry::id`]: the same entry twice is one entry.
/// - An error means that nothing may be acknowledged on the strength of this entry.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Keeps one entry.
    ///
    /// # Errors
    /// Whatever kept it from being durable.
    async fn put(&self, entry: &QuarantineEntry) -> Result<()>;
}

macro_rules! forward_quarantine {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<Q: Quarantine + ?Sized> Quarantine for $pointer {
            async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
                (**self).put(entry).await
            }
        }
    )*};
}
forward_quarantine!(Box<Q>, Arc<Q>);

/// Why something is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// An element of `Records` that is no object.
    NotAnObject,
    /// A record with raw control characters or bytes that are no UTF-8.
    BadText,
    /// A record nested deeper than the reader follows.
    TooDeep,
    /// A record over the sink's limit for one record, within the reader's cap.
    OverSinkLimit,
    /// A record over the reader's cap; kept by reference.
    OverReaderCap,
    /// A record that could not be redacted with certainty.
    Unredactable,
    /// A record that the sink refused.
    Refused,
    /// A file that is cut, corrupt or not JSON.
    Unreadable,
    /// A file over the cap of inflated bytes or of the expansion ratio.
    OverFileCap,
    /// A file that is readable but no CloudTrail log file.
    NotCloudTrail,
    /// An object that is not there.
    Missing,
    /// An object in an archive storage class.
    Archived,
    /// A message that could not be understood.
    Undecodable,
}

impl Reason {
    /// The reason's name in reports and on disk: lower case, words joined by `_`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::BadText => "bad_text",
            Self::TooDeep => "too_deep",
            Self::OverSinkLimit => "over_sink_limit",
            Self::OverReaderCap => "over_reader_cap",
            Self::Unredactable => "unredactable",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::OverFileCap => "over_file_cap",
            Self::NotCloudTrail => "not_cloudtrail",
            Self::Missing => "missing",
            Self::Archived => "archived",
            Self::Undecodable => "undecodable",
        }
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::NotAnObject,
        Self::BadText,
        Self::TooDeep,
        Self::OverSinkLimit,
        Self::OverReaderCap,
        Self::Unredactable,
        Self::Refused,
        Self::Unreadable,
        Self::OverFileCap,
        Self::NotCloudTrail,
        Self::Missing,
        Self::Archived,
        Self::Undecodable,
    ];

    /// The reason of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is kept of something in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kept {
    /// The bytes themselves.
    Bytes(Bytes),
    /// Where they lie: `offset` of the entry and this length in the inflated
    /// file, with the SHA-256 of those bytes where they were seen.
    Reference {
        /// Length in the inflated file; 0 where a whole file is meant.
        length: u64,
        /// SHA-256 of the bytes, where they were read to the end.
        sha256: Option<[u8; 32]>,
    },
}

/// One entry of a quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuarantineEntry {
    /// The log file it comes from; for a message, its queue and message id.
    pub object: Object,
    /// First byte of the record in the inflated file; `None` for a whole file or a message.
    pub offset: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// What exactly was wrong, made printable.
    pub detail: String,
    /// What is kept.
    pub kept: Kept,
    /// When it was put here.
    pub at: Timestamp,
    /// How often it was tried before, as far as the source knows; 0 the first time.
    pub attempt: u32,
    /// Whether records were redacted where it was put aside: what is kept is the
    /// original, and should not be sent as it is.
    pub redacted: bool,
}

impl QuarantineEntry {
    /// An entry for a whole file or message.
    pub fn new(object: Object, reason: Reason, detail: impl Into<String>, kept: Kept) -> Self {
        Self {
            object,
            offset: None,
            reason,
            detail: detail.into(),
            kept,
            at: Timestamp::now(),
            attempt: 0,
            redacted: false,
        }
    }

    /// The same entry, put aside where records are redacted, or not.
    #[must_use]
    pub fn where_redacted(mut self, redacted: bool) -> Self {
        self.redacted = redacted;
        self
    }

    /// The same entry after so many attempts before this one.
    #[must_use]
    pub fn after_attempts(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same entry for one record of the file.
    #[must_use]
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The entry's identity: SHA-256 over bucket, key, version, ETag, offset and
    /// reason. (The ETag keeps apart what lay under one key before and after it was rewritten.)
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        // Each part with its length before it, so that no two entries run together.
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(self.object.id.bucket.as_bytes());
        part(self.object.id.key.as_bytes());
        part(self.object.id.version.as_deref().unwrap_or("").as_bytes());
        part(self.object.etag.as_deref().unwrap_or("").as_bytes());
        part(&self.offset.map(u64::to_be_bytes).unwrap_or_default());
        part(&[u8::from(self.offset.is_some())]);
        part(self.reason.as_str().as_bytes());
        hash.finalize().into()
    }
}
