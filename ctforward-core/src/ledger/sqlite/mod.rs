//! The ledger in a SQLite file.
//!
//! A thread of its own holds the file ([`writer`]); the calls are messages to it,
//! and those that wait together are committed together, with one sync of the disk.
//! What the calls do to rows is in [`store`], the tables in [`schema`], who may get
//! at the file in [`file`], which processes live in [`owners`], and what programs
//! read of it in [`read`].

mod fault;
mod file;
mod known;
mod options;
mod owners;
mod read;
mod row;
mod schema;
mod seen;
mod status;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{Claim, Finished, Ledger, Mark, Seen, SeenStore, Ticket};
use crate::error::Result;
use crate::object::Object;
use store::Store;
use writer::{Answer, BoxJob, Call, Outlives, give_back};

pub use known::LedgerKnown;
pub use options::SqliteOptions;
pub use read::{LedgerReader, RowFilter};
pub use row::{LedgerRow, RowState};
pub use status::{LastSeen, LedgerStatus, Unfinished};

/// So long a drop waits for the file to be closed.
const CLOSE: Duration = Duration::from_secs(2);

/// A [`Ledger`] and [`SeenStore`] in a SQLite file, for the pipelines of one machine.
///
/// # Durability
/// A call returns `Ok` only when what it changed is committed, so that it outlives the
/// process. [`finish`](Ledger::finish) and [`add_sent`](Self::add_sent) are synced to the
/// disk besides and outlive a crash of the system or its power. What the others changed
/// last (claims, progress, remembered records) may be undone by one, and records are then
/// sent again. Calls that wait at the same time share one commit.
///
/// # Owners
/// Leases are kept by the wall clock. Besides, each open ledger holds a lock of the
/// operating system on a file of its own in the folder `<ledger>.owners`; the leases
/// of a process that was killed are void at once, and a restart does not wait for
/// them. Any number of processes may use one ledger at the same time. A claim whose
/// caller went away before its answer is given back.
///
/// # The file
/// - It must lie on a local file system: locks and the write-ahead log do not hold
///   over a network.
/// - Who can write to it can hide a loss: a row that says a file is delivered keeps
///   that file from being read. It is created for its owner alone (0600), and one
///   that others can read or write, that belongs to another user, or that is a
///   symbolic link is refused.
/// - While it is open, and after a crash, `<ledger>-wal` and `<ledger>-shm` are part
///   of it: copy the three together, or none.
/// - An older schema is migrated at opening; before that the file is copied to
///   `<ledger>.backup-v<N>`. A newer schema is refused.
///
/// # Limits
/// Times are kept in whole milliseconds, those of remembered records in nanoseconds
/// from 1677 to 2262.
pub struct SqliteLedger {
    path: PathBuf,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<BoxJob>>,
    /// Disconnected once the thread has closed the file.
    closed: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl SqliteLedger {
    /// Opens a ledger, or creates it. Its folder is created too, unless the folder
    /// above is missing. Blocks: it reads and may migrate the file.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the file is no ledger, is one of a
    /// newer version, or others can get at it; what kept it from being opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        SqliteOptions::new().open(path)
    }

    /// Opens a ledger that must be there. Blocks, as [`open`](Self::open) does.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) where it is not, and those of
    /// [`open`](Self::open).
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self> {
        SqliteOptions::new().open_existing(path)
    }

    /// The file, its folder without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes what was asked for and closes the file, without blocking the
    /// runtime. Dropping the ledger does the same, and blocks for it, for 2 seconds
    /// at most: the time of writing the log back into the file.
    pub async fn close(self) {
        // Only a runtime that shuts down does not run it; then the drop does.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Notes that so many bytes were sent on a day (counted in days since 1970), for
    /// limits that outlive a process.
    ///
    /// # Errors
    /// What kept it from being written.
    pub async fn add_sent(&self, day: i64, bytes: u64) -> Result<()> {
        let add = move |store: &mut Store<'_>| store.add_sent(day, bytes);
        self.call(Outlives::Power, add).await
    }

    /// As [`add_sent`](Self::add_sent), without waiting for it: it is written behind what
    /// was asked for before, and before the ledger is closed. What fails then is logged.
    ///
    /// # Errors
    /// Where too many calls wait already, or the ledger's thread is gone.
    pub fn note_sent(&self, day: i64, bytes: u64) -> Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(fault::ended)?;
        let add = move |store: &mut Store<'_>| {
            store.add_sent(day, bytes).inspect_err(|error| {
                tracing::warn!(%error, "bytes that were sent are not counted");
            })
        };
        let sent = jobs.try_send(Call::job(Outlives::Power, add, None));
        sent.map_err(|_| fault::ended())
    }

    async fn call<T: Answer>(
        &self,
        outlives: Outlives,
        work: impl FnOnce(&mut Store<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let jobs = self.jobs.as_ref().ok_or_else(fault::ended)?;
        let (reply, answer) = oneshot::channel();
        let sent = jobs.send(Call::job(outlives, work, Some(reply))).await;
        sent.map_err(|_| fault::ended())?;
        let mut waiting = Waiting { answer, jobs };
        (&mut waiting.answer)
            .await
            .unwrap_or_else(|_| Err(fault::ended()))
    }
}

/// A caller that waits for its answer, and may be dropped before it reads it.
struct Waiting<'l, T: Answer> {
    answer: oneshot::Receiver<Result<T>>,
    jobs: &'l mpsc::Sender<BoxJob>,
}

impl<T: Answer> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(unread)) = self.answer.try_recv()
            && let Some(ticket) = unread.grant()
        {
            // A full queue leaves the lease to run out by itself.
            let _ = self.jobs.try_send(give_back(ticket));
        }
    }
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        self.jobs = None;
        let closed = self
            .closed
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // Never sent to: it ends when the thread does, or after the time.
        let _ = closed.recv_timeout(CLOSE);
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim> {
        let (object, owner) = (object.clone(), owner.to_owned());
        let claim = move |store: &mut Store<'_>| store.claim(object, owner, lease);
        self.call(Outlives::Process, claim).await
    }

    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
        let ticket = ticket.clone();
        let renew = move |store: &mut Store<'_>| store.renew(&ticket, lease);
        self.call(Outlives::Process, renew).await
    }

    async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
        let (ticket, object, mark) = (ticket.clone(), object.clone(), *mark);
        let progress = move |store: &mut Store<'_>| store.progress(&ticket, &object, &mark);
        self.call(Outlives::Process, progress).await
    }

    async fn finish(&self, ticket: &Ticket, object: &Object, finished: &Finished) -> Result<()> {
        let (ticket, object, finished) = (ticket.clone(), object.clone(), finished.clone());
        let finish = move |store: &mut Store<'_>| store.finish(&ticket, &object, &finished);
        self.call(Outlives::Power, finish).await
    }

    async fn release(&self, ticket: &Ticket) -> Result<()> {
        let ticket = ticket.clone();
        let release = move |store: &mut Store<'_>| store.release(&ticket);
        self.call(Outlives::Process, release).await
    }
}

#[async_trait]
impl SeenStore for SqliteLedger {
    async fn key(&self) -> Result<[u8; 32]> {
        let key = |store: &mut Store<'_>| store.seen.key();
        self.call(Outlives::Power, key).await
    }

    async fn recall(&self, most: usize, since: Timestamp) -> Result<Vec<Seen>> {
        let recall = move |store: &mut Store<'_>| store.seen.recall(most, since);
        self.call(Outlives::Process, recall).await
    }

    async fn remember(&self, seen: &[Seen]) -> Result<()> {
        if seen.is_empty() {
            return Ok(());
        }
        let seen = seen.to_vec();
        let remember = move |store: &mut Store<'_>| store.seen.remember(&seen);
        self.call(Outlives::Process, remember).await
    }
}
