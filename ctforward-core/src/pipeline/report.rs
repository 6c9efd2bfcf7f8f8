use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;
use serde::Serialize;

use super::books::{FileBooks, RecordBooks};
use super::buckets::Buckets;
use super::freshness::{Freshness, LastSeenTable};
use crate::error::Error;
use crate::object::ObjectId;

/// What became of a pipeline's run. Its books always balance.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What became of the files.
    pub files: FileCounts,
    /// What became of their records.
    pub records: RecordBooks,
    /// Bytes read and sent.
    pub bytes: ByteCounts,
    /// Records dropped, by the name of the rule.
    pub filtered_by: BTreeMap<String, u64>,
    /// Files skipped, by the reason.
    pub skipped_because: BTreeMap<String, u64>,
    /// Files taken although a time range is set and their keys carry no time.
    pub without_time: u64,
    /// Records that were sent although another one of the same eventID had been
    /// accepted, or was to be sent with them: their bytes differ. Counted where
    /// duplicates are removed.
    pub conflicting: u64,
    /// From eventTime to the sink's word.
    pub freshness: Freshness,
    /// When each account and region was last seen.
    pub last_seen: LastSeenTable,
    /// Whether it stopped because it had sent the bytes that it
    /// [may send](super::PipelineLimits::sent_bytes).
    pub limit_reached: bool,
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Files that are not finished, the first thousand of them, each with the reason.
    #[serde(skip)]
    pub failures: Vec<(ObjectId, Error)>,
    /// How it ended.
    pub end: End,
}

impl Report {
    /// Whether files and records add up.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.files.balanced() && self.records.balanced()
    }
}

/// How a pipeline's run ended.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum End {
    /// The source had no more files, and each was decided as far as it could be.
    #[default]
    Exhausted,
    /// It was told to stop.
    Stopped,
    /// It could not go on.
    Failed(Error),
    /// It goes on: the report is one of the meantime.
    Running,
}

/// `"exhausted"`, `"stopped"`, `"running"`, or `"failed: "` and the error.
impl Serialize for End {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exhausted => serializer.serialize_str("exhausted"),
            Self::Stopped => serializer.serialize_str("stopped"),
            Self::Running => serializer.serialize_str("running"),
            Self::Failed(error) => serializer.collect_str(&format_args!("failed: {error}")),
        }
    }
}

/// What became of files. Always `seen = delivered + skipped + quarantined + failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileCounts {
    /// Files and other things that the source handed over.
    pub seen: u64,
    /// Files of which every record is decided; some may be in quarantine.
    pub delivered: u64,
    /// Files that are rightly not read, or whose records are rightly not sent.
    pub skipped: u64,
    /// Files in quarantine as a whole, or from some record on.
    pub quarantined: u64,
    /// Files that are not finished: a later run takes them again.
    pub failed: u64,
}

impl FileCounts {
    /// Whether the books balance.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.seen == self.delivered + self.skipped + self.quarantined + self.failed
    }
}

/// Bytes read and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ByteCounts {
    /// Bytes of files as stored.
    pub compressed: u64,
    /// Bytes of files inflated.
    pub inflated: u64,
    /// Bytes of accepted records, with a line feed each.
    pub sent: u64,
}

/// How far a running pipeline is, to be looked at from elsewhere.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    pub(super) seen: AtomicU64,
    pub(super) decided: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) inflated: AtomicU64,
    pub(super) exhausted: AtomicU64,
    /// In seconds since 1970; 0 where no file is under way.
    pub(super) oldest: AtomicI64,
    pub(super) buckets: Arc<Buckets>,
}

impl Progress {
    /// Files that the source handed over so far.
    pub fn files_seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Files that are decided, whichever way.
    pub fn files_decided(&self) -> u64 {
        self.decided.load(Ordering::Relaxed)
    }

    /// Records that the sink accepted.
    pub fn records_accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Bytes of accepted records, with a line feed each.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes inflated.
    pub fn bytes_inflated(&self) -> u64 {
        self.inflated.load(Ordering::Relaxed)
    }

    /// Since when the oldest file under way waits: its delivery by its key, or
    /// when it was taken in where its key says no time.
    pub fn oldest_undelivered(&self) -> Option<Timestamp> {
        let oldest = self.oldest.load(Ordering::Relaxed);
        Timestamp::from_second(oldest).ok().filter(|_| oldest != 0)
    }

    /// Buckets that are left alone because reading them is denied.
    pub fn denied_buckets(&self) -> Vec<String> {
        self.buckets.names()
    }

    pub(super) fn waits(&self, since: Option<Timestamp>) {
        let oldest = since.map_or(0, Timestamp::as_second);
        self.oldest.store(oldest, Ordering::Relaxed);
    }

    pub(super) fn meter_oldest(&self) {
        let since = self.oldest_undelivered();
        let age = since.map_or(0, |since| Timestamp::now().as_second() - since.as_second());
        #[allow(clippy::cast_precision_loss, reason = "an age in seconds")]
        metrics::gauge!("ctforward_oldest_undelivered_seconds").set(age.max(0) as f64);
    }

    /// Whether the source has no more files, so that `files_seen` is their number.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed) > 0
    }
}

/// How one file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Skipped(&'static str),
    Quarantined,
    Failed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Skipped(_) => "skipped",
            Self::Quarantined => "quarantined",
            Self::Failed => "failed",
        }
    }
}

/// How many unfinished files a report names.
const NAMED_FAILURES: usize = 1000;

impl Report {
    /// Enters a decided file.
    pub(super) fn enter(&mut self, books: &FileBooks, outcome: Outcome) {
        debug_assert!(books.records.balanced(), "{books:?}");
        self.records += books.records;
        self.bytes.compressed += books.compressed;
        self.bytes.inflated += books.inflated;
        self.bytes.sent += books.sent;
        match outcome {
            Outcome::Delivered => self.files.delivered += 1,
            Outcome::Quarantined => self.files.quarantined += 1,
            Outcome::Failed => self.files.failed += 1,
            Outcome::Skipped(why) => {
                self.files.skipped += 1;
                *self.skipped_because.entry(why.to_owned()).or_default() += 1;
            }
        }
        metrics::counter!("ctforward_files_total", "outcome" => outcome.name()).increment(1);
        let records = [
            ("accepted", books.records.accepted),
            ("filtered", books.records.filtered),
            ("duplicate", books.records.duplicate),
            ("quarantined", books.records.quarantined),
            ("undecided", books.records.undecided),
        ];
        for (name, count) in records {
            if count > 0 {
                metrics::counter!("ctforward_records_total", "outcome" => name).increment(count);
            }
        }
        metrics::counter!("ctforward_stored_bytes_total").increment(books.compressed);
        metrics::counter!("ctforward_inflated_bytes_total").increment(books.inflated);
    }

    /// Names an unfinished file.
    pub(super) fn name_failure(&mut self, object: ObjectId, error: Error) {
        if self.failures.len() < NAMED_FAILURES {
            self.failures.push((object, error));
        }
    }
}
