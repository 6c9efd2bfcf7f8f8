use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;

use super::fault;
use super::row::{RowState, some_time, time, timestamp};
use super::store::{books, number};
use crate::error::Result;
use crate::pipeline::RecordBooks;

const ROWS: &str = "SELECT state, records_in, accepted, filtered, duplicate, quarantined, \
    undecided, resumed, compressed, inflated, first_event, last_event, claimed_at, accepted_at, \
    account, region, sent FROM files";

const SENT_ON: &str = "SELECT bytes FROM sent_by_day WHERE day = ?1";

const OLDEST: &str = "SELECT bucket, key, claimed_at FROM files \
    WHERE state = 0 ORDER BY claimed_at, bucket, key LIMIT 1";

/// Accounts and regions told apart: 2,000 accounts of 30 regions are 60,000.
const MOST_PLACES: usize = 100_000;

/// What a ledger holds, in sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LedgerStatus {
    /// Files that were claimed and are not finished.
    pub in_progress: u64,
    /// Files whose records are all decided.
    pub delivered: u64,
    /// Files in quarantine as a whole, or from some record on.
    pub quarantined: u64,
    /// The books of the finished files.
    pub records: RecordBooks,
    /// The books of the files in progress, each up to its low-water mark.
    pub partial: RecordBooks,
    /// Bytes of the finished files, as stored.
    pub compressed: u64,
    /// Bytes of the finished files, after inflation.
    pub inflated: u64,
    /// Bytes of accepted records of the finished files, as they were sent.
    pub sent: u64,
    /// The earliest eventTime.
    #[serde(serialize_with = "time")]
    pub first_event: Option<Timestamp>,
    /// The latest eventTime.
    #[serde(serialize_with = "time")]
    pub last_event: Option<Timestamp>,
    /// The file in progress that was claimed first.
    pub oldest_unfinished: Option<Unfinished>,
    /// What came last of each account and region, in their order.
    ///
    /// At most a hundred thousand are told apart: whoever can write to the bucket
    /// chooses what the keys name.
    pub last_seen: Vec<LastSeen>,
    /// Files of accounts and regions beyond those.
    pub last_seen_others: u64,
    /// Files whose own books do not balance, or that are finished with undecided records.
    pub unbalanced: u64,
}

/// A file that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unfinished {
    /// Its bucket.
    pub bucket: String,
    /// Its key; text from outside.
    pub key: String,
    /// When it was first claimed.
    #[serde(serialize_with = "some_time")]
    pub claimed_at: Timestamp,
}

/// What came last of an account in a region, as the keys name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastSeen {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The latest eventTime, where one could be read.
    #[serde(serialize_with = "time")]
    pub event: Option<Timestamp>,
    /// When the last record of a finished file was decided.
    #[serde(serialize_with = "time")]
    pub accepted_at: Option<Timestamp>,
}

impl LedgerStatus {
    /// Whether the books balance: those of each file, and their sums, with no
    /// record of a finished file undecided.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.unbalanced == 0
            && self.records.balanced()
            && self.records.undecided == 0
            && self.partial.balanced()
    }

    /// Files that the ledger knows.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.in_progress + self.delivered + self.quarantined
    }

    /// Adds up all rows, as they were at one moment.
    pub(super) fn read(connection: &Connection) -> Result<Self> {
        Self::read_with(connection, MOST_PLACES)
    }

    /// As [`read`](Self::read), with so many accounts and regions told apart.
    pub(super) fn read_with(connection: &Connection, most: usize) -> Result<Self> {
        // One transaction, so that the oldest file is one of those counted.
        let read = || -> rusqlite::Result<Self> {
            let view = connection.unchecked_transaction()?;
            let mut status = Self::sum(&view, most)?;
            let mut oldest = view.prepare(OLDEST)?;
            let mut oldest = oldest.query([])?;
            if let Some(row) = oldest.next()? {
                status.oldest_unfinished = Some(Unfinished {
                    bucket: row.get(0)?,
                    key: row.get(1)?,
                    claimed_at: timestamp(row.get(2)?),
                });
            }
            Ok(status)
        };
        read().map_err(fault::sqlite)
    }

    /// Bytes noted as sent on a day.
    pub(super) fn sent_on(connection: &Connection, day: i64) -> Result<u64> {
        let sum: rusqlite::Result<Option<i64>> = connection
            .query_row(SENT_ON, [day], |row| row.get(0))
            .optional();
        sum.map(|sum| u64::try_from(sum.unwrap_or(0)).unwrap_or(0))
            .map_err(fault::sqlite)
    }

    fn sum(connection: &Connection, most: usize) -> rusqlite::Result<Self> {
        let mut status = Self::default();
        let mut places: BTreeMap<(String, String), (Option<i64>, Option<i64>)> = BTreeMap::new();
        let mut events: (Option<i64>, Option<i64>) = (None, None);
        let mut statement = connection.prepare(ROWS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let books = books(row, 1)?;
            let counts = below(&books, 1 << 48);
            let sound = counts && books.balanced() && books.undecided == 0;
            status.unbalanced += u64::from(!sound);
            let sums = match RowState::from_number(row.get(0)?) {
                RowState::InProgress => {
                    status.in_progress += 1;
                    &mut status.partial
                }
                RowState::Delivered => {
                    status.delivered += 1;
                    &mut status.records
                }
                RowState::Quarantined => {
                    status.quarantined += 1;
                    &mut status.records
                }
            };
            // What is no count is not added up; the sums could overflow.
            if counts && below(sums, 1 << 60) {
                *sums += books;
            }
            status.compressed = status.compressed.saturating_add(number(row, 8)?);
            status.inflated = status.inflated.saturating_add(number(row, 9)?);
            status.sent = status.sent.saturating_add(number(row, 16)?);
            let (first, last): (Option<i64>, Option<i64>) = (row.get(10)?, row.get(11)?);
            events.0 = events.0.into_iter().chain(first).min();
            events.1 = events.1.max(last);
            if let (Some(account), Some(region)) = (row.get(14)?, row.get(15)?) {
                let place = (account, region);
                if places.len() >= most && !places.contains_key(&place) {
                    status.last_seen_others += 1;
                    continue;
                }
                let place = places.entry(place).or_default();
                place.0 = place.0.max(last);
                place.1 = place.1.max(row.get(13)?);
            }
        }
        status.first_event = events.0.map(timestamp);
        status.last_event = events.1.map(timestamp);
        status.last_seen = places
            .into_iter()
            .map(|((account, region), (event, accepted))| LastSeen {
                account,
                region,
                event: event.map(timestamp),
                accepted_at: accepted.map(timestamp),
            })
            .collect();
        Ok(status)
    }
}

fn below(books: &RecordBooks, most: u64) -> bool {
    let RecordBooks {
        read,
        accepted,
        filtered,
        duplicate,
        quarantined,
        undecided,
        resumed,
    } = *books;
    [
        read,
        accepted,
        filtered,
        duplicate,
        quarantined,
        undecided,
        resumed,
    ]
    .iter()
    .all(|count| *count < most)
}
