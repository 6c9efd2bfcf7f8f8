//! Remembered records: a table that is written at its end and cut at its beginning.
//!
//! A batch's records are accepted at one time and are one row, so that they cost a
//! few pages and not an insertion each.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Statement};

use super::fault;
use crate::error::Result;
use crate::ledger::Seen;

/// The bytes of one record in a row: its two hashes.
const RECORD: usize = 32;

/// No more records than these are one row.
const ROW: usize = 1024;

const ADD: &str = "INSERT INTO seen (n, at, records) \
    VALUES ((SELECT coalesce(max(n), 0) FROM seen) + ?1, ?2, ?3)";
/// The first to ask chooses the key; who comes later gets what is there.
const MAKE_KEY: &str =
    "INSERT OR IGNORE INTO secrets (name, value) VALUES ('seen', randomblob(32))";
const KEY: &str = "SELECT value FROM secrets WHERE name = 'seen'";
const NEWEST: &str = "SELECT max(n) FROM seen";
const CUT: &str = "DELETE FROM seen WHERE n <= ?1";
/// Of the row that is cut through, the newer end stays.
const SHORTEN: &str = "UPDATE seen \
    SET records = substr(records, max(length(records) - 32 * (n - ?1), 0) + 1) \
    WHERE n = (SELECT min(n) FROM seen WHERE n > ?1)";
const EXPIRE: &str = "DELETE FROM seen WHERE at < ?1";
const RECALL: &str =
    "SELECT at, records FROM seen WHERE at >= ?1 ORDER BY at DESC, n DESC LIMIT ?2";

/// How many records are remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) newest: u32,
    pub(super) age: Option<SignedDuration>,
}

impl Keep {
    /// The table is cut once in so many records, not at each.
    fn chunk(self) -> u64 {
        u64::from((self.newest / 16).max(1))
    }
}

pub(super) struct SeenTable<'c> {
    connection: &'c Connection,
    keep: Keep,
    /// Written since the table was cut; another instance counts its own.
    since_cut: u64,
    add: Statement<'c>,
    newest: Statement<'c>,
    cut: Statement<'c>,
    shorten: Statement<'c>,
    expire: Statement<'c>,
    recall: Statement<'c>,
}

impl<'c> SeenTable<'c> {
    pub(super) fn new(connection: &'c Connection, keep: Keep) -> Result<Self> {
        let prepare = |sql| connection.prepare(sql).map_err(fault::sqlite);
        Ok(Self {
            connection,
            keep,
            // What an earlier run wrote under another setting is cut at once.
            since_cut: keep.chunk(),
            add: prepare(ADD)?,
            newest: prepare(NEWEST)?,
            cut: prepare(CUT)?,
            shorten: prepare(SHORTEN)?,
            expire: prepare(EXPIRE)?,
            recall: prepare(RECALL)?,
        })
    }

    /// The key of the hashes, made at the first call.
    pub(super) fn key(&mut self) -> Result<[u8; 32]> {
        let made = self.connection.execute(MAKE_KEY, []);
        let read = made.and_then(|_| self.connection.query_row(KEY, [], |row| row.get(0)));
        read.map_err(fault::sqlite)
    }

    pub(super) fn remember(&mut self, seen: &[Seen]) -> Result<()> {
        let newest = usize::try_from(self.keep.newest).unwrap_or(usize::MAX);
        let beyond = seen.len().saturating_sub(newest);
        self.write(seen.get(beyond..).unwrap_or_default())
            .map_err(fault::sqlite)
    }

    fn write(&mut self, seen: &[Seen]) -> rusqlite::Result<()> {
        let mut records = Vec::with_capacity(seen.len().min(ROW) * RECORD);
        for row in seen.chunk_by(|a, b| a.at == b.at) {
            for row in row.chunks(ROW) {
                records.clear();
                for one in row {
                    records.extend_from_slice(&one.id);
                    records.extend_from_slice(&one.content);
                }
                let at = row.first().map_or(0, |one| nanos(one.at));
                let count = i64::try_from(row.len()).unwrap_or(i64::MAX);
                self.add.execute((count, at, &records))?;
            }
        }
        self.since_cut = self.since_cut.saturating_add(seen.len() as u64);
        if self.since_cut < self.keep.chunk() {
            return Ok(());
        }
        self.since_cut = 0;
        let newest: Option<i64> = self.newest.query_row([], |row| row.get(0))?;
        if let Some(newest) = newest {
            let beyond = newest - i64::from(self.keep.newest);
            self.cut.execute([beyond])?;
            self.shorten.execute([beyond])?;
        }
        let oldest = self
            .keep
            .age
            .and_then(|age| Timestamp::now().checked_sub(age).ok());
        if let Some(oldest) = oldest {
            self.expire.execute([nanos(oldest)])?;
        }
        Ok(())
    }

    pub(super) fn recall(&mut self, most: usize, since: Timestamp) -> Result<Vec<Seen>> {
        let rows = i64::try_from(most).unwrap_or(i64::MAX);
        let mut read = || -> rusqlite::Result<Vec<Seen>> {
            let mut newest_first = Vec::new();
            let mut rows = self.recall.query((nanos(since), rows))?;
            while newest_first.len() < most
                && let Some(row) = rows.next()?
            {
                let nanoseconds: i64 = row.get(0)?;
                let at = i128::from(nanoseconds);
                let at = Timestamp::from_nanosecond(at).unwrap_or(Timestamp::MIN);
                let (hashes, _) = row.get_ref(1)?.as_blob()?.as_chunks::<16>();
                let (records, _) = hashes.as_chunks::<2>();
                let room = most - newest_first.len();
                let records = records.iter().rev().take(room);
                newest_first.extend(records.map(|[id, content]| Seen::new(*id, *content, at)));
            }
            Ok(newest_first)
        };
        let mut newest_first = read().map_err(fault::sqlite)?;
        newest_first.reverse();
        Ok(newest_first)
    }
}

/// Nanoseconds since 1970; times beyond the years 1677 and 2262 are taken as these.
fn nanos(at: Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}
