//! Remembered records: a table that is written at its end and cut at its beginning.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Row, Statement};

use super::fault;
use crate::error::Result;
use crate::ledger::Seen;

const ADD: &str = "INSERT INTO seen (at, id, content) VALUES (?1, ?2, ?3)";
/// The first to ask chooses the key; who comes later gets what is there.
const MAKE_KEY: &str =
    "INSERT OR IGNORE INTO secrets (name, value) VALUES ('seen', randomblob(32))";
const KEY: &str = "SELECT value FROM secrets WHERE name = 'seen'";
const NEWEST: &str = "SELECT max(n) FROM seen";
const CUT: &str = "DELETE FROM seen WHERE n <= ?1";
const EXPIRE: &str = "DELETE FROM seen WHERE at < ?1";
const RECALL: &str =
    "SELECT id, content, at FROM seen WHERE at >= ?1 ORDER BY at DESC, n DESC LIMIT ?2";

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
        for one in seen {
            self.add.execute((nanos(one.at), one.id, one.content))?;
        }
        self.since_cut = self.since_cut.saturating_add(seen.len() as u64);
        if self.since_cut < self.keep.chunk() {
            return Ok(());
        }
        self.since_cut = 0;
        let newest: Option<i64> = self.newest.query_row([], |row| row.get(0))?;
        if let Some(newest) = newest {
            self.cut.execute([newest - i64::from(self.keep.newest)])?;
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
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut read = || -> rusqlite::Result<Vec<Seen>> {
            let rows = self.recall.query_map((nanos(since), most), seen)?;
            rows.collect()
        };
        let mut newest_first = read().map_err(fault::sqlite)?;
        newest_first.reverse();
        Ok(newest_first)
    }
}

fn seen(row: &Row<'_>) -> rusqlite::Result<Seen> {
    let nanoseconds: i64 = row.get(2)?;
    let at = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::MIN);
    Ok(Seen::new(row.get(0)?, row.get(1)?, at))
}

/// Nanoseconds since 1970; times beyond the years 1677 and 2262 are taken as these.
fn nanos(at: Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}
