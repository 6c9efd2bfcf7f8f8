//! A quarantine in a folder.

mod base64;
mod compact;
mod disk;
mod entries;
mod flight;
mod folder;
mod index;
pub(super) mod line;
mod queue;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{Filter, Quarantine, QuarantineEntry, Resolution};
use crate::error::{Error, ErrorKind, Result};
use disk::{Disk, RealDisk};
use flight::Flights;
use folder::Folder;
use index::Index;
use queue::Queue;
use writer::{Change, Writer, lock};

pub use compact::Compacted;
pub use entries::{Entries, Stored};
pub(super) use flight::{Fate, Flight};

const ORIGIN: &str = "quarantine";

/// A quarantine in a folder, for one machine.
///
/// # What lies in the folder
/// Segments: files of JSON Lines, appended to and never changed, one set for each
/// process. A line is an entry or a tombstone (`"tombstone"`, the identity of an
/// entry that was resolved). An entry has `id`, `at`, `reason`, `attempt`,
/// `detail`, `bucket`, `key`, `version`, `etag`, `size`, `offset`, `length` and
/// `sha256`, and the bytes kept: as they are in `text` where they are text
/// (`jq -j .text` writes them), else in `base64`; with neither, it is kept by
/// reference. Each line ends with a checksum of itself, so a line edited by hand
/// no longer counts. A line that was not written to its end, or that was damaged,
/// hides none before or after it.
///
/// # Durability
/// `put` and `resolve` answer once the line and the segment's name were synced to
/// the disk; calls at the same time share one sync. A call that fails has kept
/// nothing for sure, and may be made again. All file access is off the runtime.
///
/// # Processes
/// Several processes of one machine may use the folder at once; each appends to a
/// segment of its own, which it locks. It is meant for a local disk. The same
/// entry put by two of them at once is stored twice, and counts once.
///
/// # Memory
/// About 100 bytes for each live entry, and 30 for each tombstone that
/// [`compact`](Self::compact) has not removed; no entry itself.
///
/// Clones are the same quarantine.
#[derive(Clone)]
pub struct DirectoryQuarantine {
    shared: Arc<Shared>,
}

struct Shared {
    folder: Folder,
    segment_bytes: u64,
    index: Arc<Mutex<Index>>,
    writer: Arc<Mutex<Writer>>,
    queue: Queue,
    flights: Arc<Flights>,
}

impl fmt::Debug for DirectoryQuarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryQuarantine")
            .field("folder", &self.shared.folder.path)
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

/// Settings of a [`DirectoryQuarantine`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DirectoryQuarantineBuilder {
    path: PathBuf,
    segment_bytes: u64,
    create: bool,
}

impl DirectoryQuarantineBuilder {
    /// A segment of so many bytes is followed by another (default: 64 MiB).
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Whether to make the folder where it is not there (default: yes).
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens the quarantine, reading every segment once.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where the folder or a segment is a link or no
    /// regular file, or others can write in the folder;
    /// [`NotFound`](ErrorKind::NotFound) where it is not there and not to be made;
    /// [`Unauthorized`](ErrorKind::Unauthorized) where this user may not use it.
    pub async fn open(self) -> Result<DirectoryQuarantine> {
        self.open_on(Arc::new(RealDisk)).await
    }

    async fn open_on(self, disk: Arc<dyn Disk>) -> Result<DirectoryQuarantine> {
        off_runtime(move || {
            let folder = Folder::open(&self.path, self.create, disk)?;
            let index = Arc::new(Mutex::new(Index::default()));
            let mut writer = Writer::new(folder.clone(), self.segment_bytes);
            writer.refresh(&index)?;
            let writer = Arc::new(Mutex::new(writer));
            let shared = Shared {
                queue: Queue::new(Arc::clone(&writer), Arc::clone(&index)),
                flights: Flights::of(&folder.path),
                segment_bytes: self.segment_bytes,
                folder,
                index,
                writer,
            };
            Ok(DirectoryQuarantine {
                shared: Arc::new(shared),
            })
        })
        .await
    }
}

impl DirectoryQuarantine {
    /// The quarantine in this folder, with the default settings.
    ///
    /// # Errors
    /// See [`DirectoryQuarantineBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open().await
    }

    /// Settings for the quarantine in this folder.
    pub fn builder(path: impl AsRef<Path>) -> DirectoryQuarantineBuilder {
        DirectoryQuarantineBuilder {
            path: path.as_ref().to_owned(),
            segment_bytes: 64 * 1024 * 1024,
            create: true,
        }
    }

    /// How many entries are live, as far as this process knows.
    #[must_use]
    pub fn live(&self) -> usize {
        lock(&self.shared.index).len()
    }

    /// The live entries that `filter` takes, in the order of the segments.
    #[must_use]
    pub fn entries(&self, filter: Filter) -> Entries {
        Entries::new(Arc::clone(&self.shared), filter)
    }

    /// Ends an entry: it is no longer live, whichever process put it. Answers
    /// `false`, and does nothing, where it is not live.
    ///
    /// Put again afterwards, it is live again.
    ///
    /// # Errors
    /// What kept the tombstone from being durable; the entry may be live or not.
    pub async fn resolve(&self, id: [u8; 32], outcome: Resolution) -> Result<bool> {
        self.change(Change::Resolve {
            id,
            puts: None,
            outcome,
        })
        .await
    }

    /// As [`resolve`](Self::resolve), but only what is known of in `stored`: where
    /// the entry was put again since, it stays live.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub async fn resolve_stored(&self, stored: &Stored, outcome: Resolution) -> Result<bool> {
        self.change(Change::Resolve {
            id: stored.id,
            puts: Some(stored.puts.clone()),
            outcome,
        })
        .await
    }

    /// Rewrites the segments that nobody appends to any more, without what was resolved.
    ///
    /// A stop between any two of its steps loses no live entry and brings no
    /// resolved one back. Lines that are damaged or that a later version wrote
    /// are kept as they are.
    ///
    /// # Errors
    /// What kept the segments from being read or written.
    pub async fn compact(&self) -> Result<Compacted> {
        let (folder, limit) = (self.shared.folder.clone(), self.shared.segment_bytes);
        off_runtime(move || compact::compact(&folder, limit, &mut |_| Ok(()))).await
    }

    /// Takes note that an entry is being sent again.
    pub(super) fn begin_flight(&self, stored: &Stored) -> Flight {
        Flights::begin(&self.shared.flights, stored)
    }

    async fn change(&self, change: Change) -> Result<bool> {
        self.shared.queue.commit(change).await
    }
}

#[async_trait]
impl Quarantine for DirectoryQuarantine {
    async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
        let mut entry = Box::new(entry.clone());
        // An entry that is being sent again would else be taken for the one that
        // is there already, and be resolved with it.
        if let Some((before, redacted)) = self.shared.flights.before(&entry) {
            entry.attempt = entry.attempt.max(before.saturating_add(1));
            entry.redacted |= redacted;
        }
        let kept = Change::Put(entry.clone());
        self.change(kept).await?;
        self.shared.flights.put(&entry);
        Ok(())
    }
}

/// Runs what waits for the disk where it keeps nobody waiting.
async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ended().with_source(error)),
    }
}

fn ended() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        ORIGIN,
        "the task that reads and writes the folder ended early",
    )
}
