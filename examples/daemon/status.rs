//! What the daemon says of itself: the shape of `/status`.
//!
//! Times are RFC 3339 in UTC, ages in seconds, sizes in bytes. Text from outside
//! may stand in here as it is: it is made printable where it is served.

mod rate;
mod token;

use async_trait::async_trait;
use ctforward_core::Result;
use ctforward_core::deliver::PaceStatus;
use ctforward_core::pipeline::{ByteCounts, FileCounts, Freshness, LastSeenTable, RecordBooks};
use jiff::Timestamp;
use serde::Serialize;

pub use rate::{Rate, Rates};
pub use token::TokenStatus;

/// What the pages ask of the daemon.
///
/// # Contract
/// - `status` and `ready` are called from a request: they answer from memory and
///   never wait.
/// - `quarantine` and `redrive` may read folders and send. A `redrive` that was
///   begun is carried on when its client goes away, and is never called while
///   another runs.
#[async_trait]
pub trait Board: Send + Sync {
    /// Where the daemon is.
    fn status(&self) -> Status;

    /// Whether anything can be delivered.
    ///
    /// # Errors
    /// The reasons why not, one line each.
    fn ready(&self) -> Result<(), Vec<String>>;

    /// What lies in quarantine, by reason.
    ///
    /// # Errors
    /// What kept it from being read.
    async fn quarantine(&self) -> Result<Vec<QuarantineGroup>>;

    /// Sends what lies in quarantine again: all of it, or the entries of one reason
    /// (by [`Reason::as_str`](ctforward_core::quarantine::Reason::as_str)).
    ///
    /// # Errors
    /// What kept it from being done; `Config` for a reason that there is not.
    async fn redrive(&self, reason: Option<String>) -> Result<Redriven>;
}

/// Where the daemon is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version of ctforward.
    pub version: String,
    /// Since when it runs.
    pub since: Timestamp,
    /// When this was said.
    pub now: Timestamp,
    /// Over the last minute.
    pub rate: Rate,
    /// Since it started.
    pub totals: Totals,
    /// From eventTime to the endpoint's word, since it started.
    pub freshness: FreshnessStatus,
    /// What is not delivered yet, as far as it is known.
    pub backlog: Backlog,
    /// Requests, concurrency and the breaker; one for each endpoint, by its name.
    pub delivery: Vec<DeliveryStatus>,
    /// Where files come from.
    pub sources: Vec<SourceStatus>,
    /// By account and region.
    pub last_seen: LastSeenStatus,
    /// The endpoint's tokens.
    pub tokens: Vec<TokenStatus>,
    /// What is known of each file between runs.
    pub ledger: LedgerState,
}

/// The books since the daemon started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Files. Those under way are not in here.
    pub files: FileCounts,
    /// Their records.
    pub records: RecordBooks,
    /// Their bytes.
    pub bytes: ByteCounts,
}

/// How old records were when they were accepted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FreshnessStatus {
    /// Half of the records were at most this old, in seconds; an upper bound. Absent
    /// without records, and beyond 30 days.
    pub p50_seconds: Option<u64>,
    /// 95 of a hundred were at most this old.
    pub p95_seconds: Option<u64>,
    /// Records with a readable eventTime.
    pub records: u64,
    /// Records without one.
    pub unknown: u64,
}

impl FreshnessStatus {
    /// In short.
    pub fn of(freshness: &Freshness) -> Self {
        Self {
            p50_seconds: freshness.quantile(0.5),
            p95_seconds: freshness.quantile(0.95),
            records: freshness.buckets().map(|(_, count)| count).sum(),
            unknown: freshness.unknown,
        }
    }
}

/// What is not delivered yet.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Backlog {
    /// Files that were taken in and are not decided.
    pub files_in_flight: u64,
    /// Files and messages that wait where they come from; the sum of what the
    /// sources know, absent where none knows.
    pub files_waiting: Option<u64>,
    /// Since when the oldest file under way waits.
    pub oldest_undelivered: Option<Timestamp>,
    /// The same as an age.
    pub oldest_undelivered_seconds: Option<u64>,
}

/// The way to one endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its address without user information and query.
    pub endpoint: String,
    /// Requests, concurrency and the breaker.
    #[serde(flatten)]
    pub pace: PaceStatus,
}

/// One source.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `sqs`, `s3` or `directory`.
    pub kind: String,
    /// What it does.
    pub state: SourceState,
    /// The last thing that went wrong, also where all is well since.
    pub last_error: Option<LastError>,
    /// When it last handed over a file, or looked and found none.
    pub last_heard: Option<Timestamp>,
    /// A queue's depth, where it is known.
    pub queue: Option<QueueDepth>,
}

/// What a source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It is being set up.
    Starting,
    /// It hands over files, or waits for some.
    Running,
    /// It is held back: the endpoint takes nothing, or enough is under way.
    Paused,
    /// It does not work, and is tried again.
    Failing,
    /// It ends: the daemon stops.
    Stopping,
    /// It has ended.
    Ended,
}

/// Something that went wrong.
#[derive(Clone, Debug, Serialize)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// What, in a line.
    pub message: String,
}

/// How many messages a queue holds, about.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueueDepth {
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that somebody has received.
    pub in_flight: u64,
    /// Messages that are not shown to anybody yet.
    pub delayed: u64,
}

/// When each account and region was last seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LastSeenStatus {
    /// The least recently seen first, at most [`Self::MOST`].
    pub rows: Vec<LastSeenRow>,
    /// How many accounts and regions are known.
    pub known: u64,
    /// How many of them had no event for a day.
    pub silent: u64,
}

/// An account in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastSeenRow {
    /// The account, as keys name it.
    pub account: String,
    /// The region, as keys name it.
    pub region: String,
    /// The latest eventTime.
    pub event: Option<Timestamp>,
    /// When its last file was finished.
    pub finished: Option<Timestamp>,
}

impl LastSeenRow {
    fn last(&self) -> Option<Timestamp> {
        self.event.or(self.finished)
    }
}

impl LastSeenStatus {
    /// More rows than these are not shown; the ledger has them all.
    pub const MOST: usize = 500;

    /// In short. A table of this run and rows of the ledger may both be given: the
    /// later time of each account and region counts.
    pub fn of(rows: impl IntoIterator<Item = LastSeenRow>, now: Timestamp) -> Self {
        let mut newest = std::collections::BTreeMap::<_, LastSeenRow>::new();
        for row in rows {
            let key = (row.account.clone(), row.region.clone());
            let known = newest.entry(key).or_insert_with(|| row.clone());
            known.event = known.event.max(row.event);
            known.finished = known.finished.max(row.finished);
        }
        let mut rows: Vec<_> = newest.into_values().collect();
        let day = jiff::SignedDuration::from_hours(24);
        let silent = |row: &&LastSeenRow| row.last().is_some_and(|at| now.duration_since(at) > day);
        let silent = rows.iter().filter(silent).count() as u64;
        let known = rows.len() as u64;
        rows.sort_by_key(LastSeenRow::last);
        rows.truncate(Self::MOST);
        Self {
            rows,
            known,
            silent,
        }
    }

    /// The rows of a run's table.
    pub fn rows_of(table: &LastSeenTable) -> impl Iterator<Item = LastSeenRow> + '_ {
        table.rows().map(|(account, region, seen)| LastSeenRow {
            account: account.to_owned(),
            region: region.to_owned(),
            event: seen.event,
            finished: Some(seen.finished),
        })
    }
}

/// The ledger.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LedgerState {
    /// `sqlite`, `memory` or `none`.
    pub kind: String,
    /// Whether its last call went well.
    pub works: bool,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Files that are finished, where it was asked.
    pub finished: Option<u64>,
    /// Files that are claimed and not finished, where it was asked.
    pub in_progress: Option<u64>,
}

/// What lies in quarantine for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineGroup {
    /// The reason's name.
    pub reason: String,
    /// How many entries.
    pub entries: u64,
    /// When the first of them was put there.
    pub first: Timestamp,
    /// When the last of them was put there.
    pub last: Timestamp,
    /// What was wrong with the last one.
    pub detail: String,
    /// Where the last one comes from: `s3://bucket/key`, or a queue and a message.
    pub object: String,
    /// Whether sending them again is possible: a message that could not be
    /// understood is not sent.
    pub redrivable: bool,
}

/// What became of a redrive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// Entries that were taken up.
    pub taken: u64,
    /// Those of them that were accepted, and are resolved.
    pub accepted: u64,
    /// Entries of that kind that are in quarantine still, or anew.
    pub remaining: u64,
    /// What there is to say about it: why it stopped, what was withheld.
    pub note: Option<String>,
}
