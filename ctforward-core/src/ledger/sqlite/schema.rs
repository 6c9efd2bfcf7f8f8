//! The tables, their versions, and what tells a ledger from another database.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::{self, unfit};
use super::file::{LedgerFile, private_file};
use crate::error::{ErrorKind, Result};

/// `CTFW`, in the file's header.
pub(super) const APPLICATION: i32 = i32::from_be_bytes(*b"CTFW");

/// The schema that this code writes.
pub(super) const CURRENT: i32 = 3;

/// What leads from each version to the next; a new file takes every step.
///
/// Times are milliseconds since 1970; in `seen`, nanoseconds. Sizes and offsets
/// are unsigned numbers kept bit for bit. `state`: 0 in progress, 1 delivered,
/// 2 quarantined. `lease` and `instance` are NULL where nobody holds the file.
pub(super) const STEPS: [&str; CURRENT as usize] = [
    "CREATE TABLE files (
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        state INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        lease INTEGER,
        instance INTEGER,
        owner TEXT NOT NULL,
        etag TEXT,
        size INTEGER,
        version TEXT,
        account TEXT,
        region TEXT,
        claimed_at INTEGER NOT NULL,
        accepted_at INTEGER,
        low_water INTEGER NOT NULL DEFAULT 0,
        records_in INTEGER NOT NULL DEFAULT 0,
        accepted INTEGER NOT NULL DEFAULT 0,
        filtered INTEGER NOT NULL DEFAULT 0,
        duplicate INTEGER NOT NULL DEFAULT 0,
        quarantined INTEGER NOT NULL DEFAULT 0,
        undecided INTEGER NOT NULL DEFAULT 0,
        resumed INTEGER NOT NULL DEFAULT 0,
        compressed INTEGER NOT NULL DEFAULT 0,
        inflated INTEGER NOT NULL DEFAULT 0,
        sent INTEGER NOT NULL DEFAULT 0,
        sha256 BLOB,
        first_event INTEGER,
        last_event INTEGER,
        PRIMARY KEY (bucket, key)
    ) STRICT, WITHOUT ROWID",
    // `n` is the order of writing.
    "CREATE TABLE seen (
        n INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        id BLOB NOT NULL,
        content BLOB NOT NULL
    ) STRICT;
    CREATE TABLE secrets (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID",
    // A row for each record cost more than the reading of the record. Now it is one
    // for records remembered together: `records` holds the two hashes of each, 32
    // bytes, and `n` is the number of the last of them.
    "ALTER TABLE seen RENAME TO seen_one_by_one;
    CREATE TABLE seen (
        n INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        records BLOB NOT NULL
    ) STRICT;
    INSERT INTO seen (n, at, records)
        SELECT n, at, CAST(id || content AS BLOB) FROM seen_one_by_one;
    DROP TABLE seen_one_by_one;
    CREATE TABLE sent_by_day (
        day INTEGER PRIMARY KEY,
        bytes INTEGER NOT NULL
    ) STRICT",
];

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing is in it yet.
    Empty,
    /// A ledger of this version.
    Version(i32),
}

/// Opens a connection; nothing is written yet.
pub(super) fn connect(file: &LedgerFile, access: Access, busy: Duration) -> Result<Connection> {
    let way = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let flags = way
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(file.path(), flags)
        .map_err(|error| named(file.path(), error))?;
    let prepare = || {
        connection.busy_timeout(busy)?;
        // The file's own triggers and views get nowhere, and what SQLite would
        // spill to a folder of its choice stays in memory.
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY")
    };
    prepare().map_err(|error| named(file.path(), error))?;
    Ok(connection)
}

/// An error at opening, which is worth the file's name.
fn named(path: &Path, error: rusqlite::Error) -> crate::Error {
    let plain = fault::sqlite(error);
    let text = format!("{}: {}", fault::shown(path), plain.message());
    crate::Error::new(plain.kind(), "ledger", text)
        .with_retry(plain.retry())
        .with_source(plain)
}

/// Says what the file is, and refuses what is not to be written by this code.
pub(super) fn identify(file: &LedgerFile, connection: &Connection) -> Result<Found> {
    let path = file.path();
    let read = || -> rusqlite::Result<(i32, i32, i64)> {
        // One statement, and so one view of the file while others write it.
        connection.query_row(
            "SELECT (SELECT application_id FROM pragma_application_id), \
                    (SELECT user_version FROM pragma_user_version), \
                    (SELECT count(*) FROM sqlite_schema)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
    };
    let (application, version, tables) = match read() {
        Ok(found) => found,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(unfit(path, "this is no ledger of ctforward").with_source(error));
        }
        Err(error) => return Err(named(path, error)),
    };
    match (application, version) {
        (0, 0) if tables == 0 => Ok(Found::Empty),
        (APPLICATION, 1..=CURRENT) => Ok(Found::Version(version)),
        (APPLICATION, newer) if newer > CURRENT => Err(unfit(
            path,
            &format!(
                "a newer ctforward wrote this ledger (version {newer}; this one knows up to \
                 {CURRENT}); use that one"
            ),
        )),
        (APPLICATION, _) => Err(unfit(path, "this ledger's version is none; it is damaged")),
        _ => Err(unfit(
            path,
            "this is a database of another program, not a ledger of ctforward",
        )),
    }
}

/// Makes a connection one that writes: WAL, each commit synced, and the tables as
/// they are today.
pub(super) fn prepare(
    file: &LedgerFile,
    connection: &mut Connection,
    busy: Duration,
) -> Result<()> {
    let wal = wal(connection, busy).map_err(|error| named(file.path(), error))?;
    if !wal {
        return Err(unfit(
            file.path(),
            "the file system does not allow write-ahead logging; a ledger must lie on a local one",
        ));
    }
    connection
        .execute_batch(
            // On macOS a sync alone does not empty the disk's own cache.
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA journal_size_limit = 16777216",
        )
        .map_err(|error| named(file.path(), error))?;
    if identify(file, connection)? == Found::Version(CURRENT) {
        return Ok(());
    }
    migrate(file, connection, busy)
}

/// Switches to the write-ahead log. For that SQLite needs the file for itself, and
/// does not always wait for it.
fn wal(connection: &Connection, busy: Duration) -> rusqlite::Result<bool> {
    let start = std::time::Instant::now();
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        });
        match mode {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && start.elapsed() < busy =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            mode => return Ok(mode?.eq_ignore_ascii_case("wal")),
        }
    }
}

/// Takes the steps that are missing, all or none; what was there is kept first.
fn migrate(file: &LedgerFile, connection: &mut Connection, busy: Duration) -> Result<()> {
    // From here on no other process writes, so the copy is what is migrated.
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fault::sqlite)?;
    let from = match identify(file, &transaction)? {
        // Another process was faster.
        Found::Version(CURRENT) => return Ok(()),
        Found::Version(version) => {
            back_up(file, version, busy)?;
            version
        }
        Found::Empty => 0,
    };
    let taken = usize::try_from(from).unwrap_or(0);
    let migrated = || -> rusqlite::Result<()> {
        for step in STEPS.iter().skip(taken) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", CURRENT)
    };
    migrated().map_err(fault::sqlite)?;
    transaction.commit().map_err(fault::sqlite)?;
    if from > 0 {
        tracing::info!(from, to = CURRENT, "the ledger was brought to this version");
    }
    Ok(())
}

/// Copies the ledger to `<ledger>.backup-v<N>`, durably. It gets that name only
/// when it is whole.
fn back_up(file: &LedgerFile, version: i32, busy: Duration) -> Result<()> {
    let kept = file.beside(&format!(".backup-v{version}"));
    let unfinished = file.beside(&format!(".backup-v{version}.{:016x}", fastrand::u64(..)));
    let failed =
        |error: std::io::Error| fault::file(&unfinished, "the backup cannot be written", error);
    drop(private_file(&unfinished).map_err(failed)?);
    let copied = copy(file, &unfinished, busy).and_then(|()| {
        let sync = || fs::File::open(&unfinished)?.sync_all();
        sync()
            .and_then(|()| fs::rename(&unfinished, &kept))
            .map_err(failed)
    });
    if let Err(error) = copied {
        let _ = fs::remove_file(&unfinished);
        let text = format!(
            "the ledger is not migrated without a backup: {}",
            error.message()
        );
        return Err(crate::Error::new(ErrorKind::Unavailable, "ledger", text).with_source(error));
    }
    file.sync_folder()
}

fn copy(file: &LedgerFile, to: &Path, busy: Duration) -> Result<()> {
    // A connection that writes cannot be copied from; another one reads beside it.
    let from = connect(file, Access::Read, busy)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = || -> rusqlite::Result<()> {
        let mut to = Connection::open_with_flags(to, flags)?;
        let backup = Backup::new(&from, &mut to)?;
        // All pages in one step: nobody can write in between.
        backup.run_to_completion(i32::MAX, Duration::ZERO, None)?;
        drop(backup);
        to.close().map_err(|(_, error)| error)
    };
    copied().map_err(fault::sqlite)
}
