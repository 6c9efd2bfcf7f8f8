use std::path::Path;
use std::sync::{Mutex, PoisonError, mpsc as blocking};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::mpsc;

use super::file::LedgerFile;
use super::owners::Owners;
use super::schema::{self, Access, Found};
use super::seen::Keep;
use super::store::{Clock, wall_clock};
use super::writer::{Start, serve};
use super::{SqliteLedger, fault};
use crate::error::Result;

/// So many calls wait for the thread; more wait for room.
const QUEUE: usize = 4096;

/// One file is opened at a time in this process: a file that is created is closed
/// again before SQLite opens it, and closing it must not take the locks of another
/// connection with it.
static OPENING: Mutex<()> = Mutex::new(());

/// How to open a [`SqliteLedger`].
#[derive(Clone)]
#[must_use]
pub struct SqliteOptions {
    keep: Keep,
    busy: Duration,
    clock: Clock,
}

impl std::fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("keep", &self.keep)
            .field("busy", &self.busy)
            .finish_non_exhaustive()
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SqliteOptions {
    /// The defaults: the newest 100,000 records are remembered, and another
    /// process's write is waited for 5 seconds.
    pub fn new() -> Self {
        Self {
            keep: Keep {
                newest: 100_000,
                age: None,
            },
            busy: Duration::from_secs(5),
            clock: wall_clock(),
        }
    }

    /// Remembers the newest `records` records, and for some time up to a sixteenth
    /// more in each process that writes.
    pub fn remember_newest(mut self, records: u32) -> Self {
        self.keep.newest = records;
        self
    }

    /// Forgets records accepted longer ago than `age`, some time after it. By
    /// default only their number counts.
    pub fn remember_for(mut self, age: Duration) -> Self {
        self.keep.age = SignedDuration::try_from(age).ok();
        self
    }

    /// How long a call waits while another process writes, before it fails with
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy = timeout;
        self
    }

    #[cfg(test)]
    pub(super) fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens a ledger, or creates it; see [`SqliteLedger::open`].
    ///
    /// # Errors
    /// Those of [`SqliteLedger::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<SqliteLedger> {
        self.start(path.as_ref(), true)
    }

    /// Opens a ledger that must be there; see [`SqliteLedger::open_existing`].
    ///
    /// # Errors
    /// Those of [`SqliteLedger::open_existing`].
    pub fn open_existing(self, path: impl AsRef<Path>) -> Result<SqliteLedger> {
        self.start(path.as_ref(), false)
    }

    fn start(self, path: &Path, create: bool) -> Result<SqliteLedger> {
        let file = LedgerFile::locate(path, create)?;
        let _one = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        if create {
            file.create()?;
        }
        file.check(true)?;
        let log = file.beside("-wal").symlink_metadata();
        let mut connection = schema::connect(&file, Access::Write, self.busy)?;
        // A file that is refused is left as it is: what its log holds stays there.
        let leave = log.is_ok_and(|log| log.len() > 0);
        keep_log(&connection, leave)?;
        let found = schema::identify(&file, &connection)?;
        if found == Found::Empty && !create {
            return Err(fault::unfit(file.path(), "this ledger holds nothing"));
        }
        let owners = Owners::enter(&file)?;
        keep_log(&connection, false)?;
        schema::prepare(&file, &mut connection, self.busy)?;

        let (jobs, queue) = mpsc::channel(QUEUE);
        let (ready, started) = blocking::channel();
        let (closing, closed) = blocking::channel();
        let start = Start {
            connection,
            owners,
            keep: self.keep,
            clock: self.clock,
        };
        std::thread::Builder::new()
            .name("ctforward-ledger".to_owned())
            .spawn(move || {
                // Dropped last, so that whoever waits sees a closed file.
                let _closing: blocking::Sender<()> = closing;
                serve(start, queue, &ready);
            })
            .map_err(|error| fault::file(file.path(), "its thread does not start", error))?;
        started.recv().map_err(|_| fault::ended())??;
        Ok(SqliteLedger {
            path: file.path().to_owned(),
            jobs: Some(jobs),
            closed: Mutex::new(closed),
        })
    }
}

/// Whether closing leaves the write-ahead log as it is.
fn keep_log(connection: &rusqlite::Connection, keep: bool) -> Result<()> {
    connection
        .set_db_config(
            rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
            keep,
        )
        .map(|_| ())
        .map_err(fault::sqlite)
}
