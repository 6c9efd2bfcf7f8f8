//! Reading the live entries, one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ctforward_core::quarantine::written::{self, Written, hex};
use ctforward_core::quarantine::{Filter, QuarantineEntry};
use ctforward_core::{Error, ErrorKind, Result};

use tokio_util::task::AbortOnDropHandle;

use super::store::Store;
use super::{ORIGIN, identity};

/// Objects that are read at the same time.
const AHEAD: usize = 8;

/// A live entry of a quarantine in a bucket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct S3Stored {
    /// Its identity.
    pub id: [u8; 32],
    /// The entry.
    pub entry: QuarantineEntry,
    /// The ETag of its object.
    pub(super) etag: String,
}

impl S3Stored {
    /// Its identity in hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.id)
    }
}

/// The live entries of an [`S3Quarantine`](super::S3Quarantine), read as they are asked
/// for: one GET for each object below the prefix, eight at a time.
///
/// Each comes once, as it was when the reading began or later; what is put meanwhile
/// need not come. Eight entries are held at most.
pub struct S3Entries {
    store: Arc<Store>,
    filter: Filter,
    names: VecDeque<String>,
    reading: VecDeque<Reading>,
    /// The last name of the page before; `None` before the first.
    after: Option<String>,
    last: bool,
    damaged: u64,
    unknown: u64,
    resolved: u64,
}

type Got = Result<Option<(Bytes, String)>>;

/// An object that is on its way.
struct Reading {
    id: [u8; 32],
    name: String,
    task: AbortOnDropHandle<Got>,
}

fn ended() -> Error {
    let why = "the task that reads an object ended early";
    Error::new(ErrorKind::Cancelled, ORIGIN, why)
}

fn read(store: &Arc<Store>, name: &str) -> AbortOnDropHandle<Got> {
    let (store, name) = (Arc::clone(store), name.to_owned());
    AbortOnDropHandle::new(tokio::spawn(async move { store.get(&name).await }))
}

impl fmt::Debug for S3Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Entries")
            .field("store", &self.store)
            .field("filter", &self.filter)
            .field("damaged", &self.damaged)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

impl S3Entries {
    pub(super) fn new(store: Arc<Store>, filter: Filter) -> Self {
        Self {
            store,
            filter,
            names: VecDeque::new(),
            reading: VecDeque::new(),
            after: None,
            last: false,
            damaged: 0,
            unknown: 0,
            resolved: 0,
        }
    }

    /// The next entry, or `None` behind the last.
    ///
    /// # Cancel safety
    /// A dropped call loses no entry.
    ///
    /// # Errors
    /// What kept the bucket from being listed or an object from being read. The next
    /// call tries the same again.
    pub async fn next(&mut self) -> Result<Option<S3Stored>> {
        loop {
            if self.names.is_empty() && !self.last {
                let page = self.store.page(self.after.as_deref()).await?;
                self.names = page.objects.into_iter().map(|found| found.key).collect();
                self.last = page.token.is_none() || self.names.is_empty();
                self.after = self.names.back().cloned().or(self.after.take());
            }
            self.read_ahead();
            let Some(front) = self.reading.front_mut() else {
                if self.last && self.names.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            let got = (&mut front.task).await;
            let Some(Reading { id, name, .. }) = self.reading.pop_front() else {
                continue;
            };
            let got = match got {
                Ok(Ok(got)) => got,
                failed => {
                    // The next call begins with it.
                    let task = read(&self.store, &name);
                    self.reading.push_front(Reading { id, name, task });
                    return match failed {
                        Ok(Err(error)) => Err(error),
                        _ => Err(ended()),
                    };
                }
            };
            // Deleted since it was listed.
            let Some((line, etag)) = got else { continue };
            match written::read(&line) {
                Written::Entry(entry) if entry.id() == id => {
                    if self.filter.takes(&hex(&id), &entry) {
                        return Ok(Some(S3Stored { id, entry, etag }));
                    }
                }
                Written::Tombstone(of) if of == id => self.resolved += 1,
                Written::Unknown => self.unknown += 1,
                _ => self.damaged += 1,
            }
        }
    }

    fn read_ahead(&mut self) {
        while self.reading.len() < AHEAD
            && let Some(name) = self.names.pop_front()
        {
            let rest = name.strip_prefix(self.store.prefix()).unwrap_or_default();
            match identity(rest) {
                Some(id) => {
                    let task = read(&self.store, &name);
                    self.reading.push_back(Reading { id, name, task });
                }
                None => self.unknown += 1,
            }
        }
    }

    /// Objects met so far that are not what was written: something may be missing.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Objects met so far that a later version wrote, or that are no entries by name.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Tombstones met so far.
    #[must_use]
    pub fn resolved(&self) -> u64 {
        self.resolved
    }
}
