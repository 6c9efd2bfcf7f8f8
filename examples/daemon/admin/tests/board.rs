use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ctforward_core::deliver::{PacePolicy, Pacer};
use ctforward_core::{Error, ErrorKind, Result};
use ctforward_visionone::Expiry;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::status::*;

/// Names as somebody who attacks writes them.
pub(super) const HOSTILE: [&str; 4] = [
    "<script>document.title='owned'</script>",
    "\u{202e}gnp.exe\u{2066}",
    "\u{1b}[31mred\u{1b}[0m\r\nforged: line",
    "\"><img src=x onerror=\"document.title='owned'\">'`${7*7}` &amp;",
];

/// A daemon that is at a standstill, with hostile names everywhere.
pub(crate) struct TestBoard {
    pub(super) reasons: Mutex<Vec<String>>,
    pub(super) groups: Mutex<Vec<QuarantineGroup>>,
    pub(super) asked: Mutex<Vec<Option<String>>>,
    /// A redrive takes one of these before it ends.
    pub(super) let_go: Semaphore,
    pub(super) read_quarantine: std::sync::atomic::AtomicU64,
    pub(super) unreadable: AtomicBool,
    pacer: Pacer,
    since: Timestamp,
}

pub(super) fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestBoard {
    pub(crate) fn new() -> Self {
        let now = Timestamp::now();
        let ago = |minutes| now - SignedDuration::from_mins(minutes);
        let group = |reason: &str, entries, redrivable, n: usize| QuarantineGroup {
            reason: reason.to_owned(),
            entries,
            first: ago(3000),
            last: ago(4),
            detail: format!("the endpoint said {}", HOSTILE[n]),
            object: format!("s3://trail-logs/AWSLogs/{}", HOSTILE[(n + 1) % 4]),
            redrivable,
        };
        let pacer = Pacer::new(PacePolicy::default()).unwrap();
        let why = Error::new(ErrorKind::Unavailable, "sink", "503 Service Unavailable");
        pacer.trip(&why, std::time::Duration::from_secs(300));
        Self {
            reasons: Mutex::default(),
            groups: Mutex::new(vec![
                group("refused", 1234, true, 0),
                group("undecodable", 7, false, 1),
                group(HOSTILE[0], 2, true, 2),
            ]),
            asked: Mutex::default(),
            let_go: Semaphore::new(1000),
            read_quarantine: Default::default(),
            unreadable: AtomicBool::new(false),
            pacer,
            since: ago(200),
        }
    }
}

#[async_trait]
impl Board for TestBoard {
    fn status(&self) -> Status {
        let now = Timestamp::now();
        let ago = |minutes| now - SignedDuration::from_mins(minutes);
        let mut totals = Totals::default();
        (totals.records.read, totals.records.accepted) = (9_876_543, 9_000_000);
        (totals.records.filtered, totals.records.duplicate) = (870_000, 5_300);
        totals.records.quarantined = 1_243;
        (totals.files.seen, totals.files.delivered) = (43_210, 43_000);
        (totals.files.skipped, totals.files.quarantined) = (200, 10);
        totals.bytes.compressed = 1_234_567_890;
        (totals.bytes.inflated, totals.bytes.sent) = (23_456_789_012, 21_000_000_000);
        let source = |name: &str, kind: &str, state, error: Option<&str>| SourceStatus {
            name: name.to_owned(),
            kind: kind.to_owned(),
            state,
            last_error: error.map(|message| LastError {
                at: ago(3),
                message: message.to_owned(),
            }),
            last_heard: Some(ago(1)),
            queue: (kind == "sqs").then_some(QueueDepth {
                waiting: 4_321,
                in_flight: 12,
                delayed: 1,
            }),
        };
        let seen = |account: &str, region: &str, minutes| LastSeenRow {
            account: account.to_owned(),
            region: region.to_owned(),
            event: Some(ago(minutes)),
            finished: Some(ago(minutes - 1)),
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since,
            now,
            rate: Rate {
                records_per_second: 1_234.5,
                bytes_per_second: 2_345_678.0,
                over_seconds: 60.0,
            },
            totals,
            freshness: FreshnessStatus {
                p50_seconds: Some(300),
                p95_seconds: Some(900),
                records: 9_000_000,
                unknown: 3,
            },
            backlog: Backlog {
                files_in_flight: 17,
                files_waiting: Some(4_321),
                oldest_undelivered: Some(ago(12)),
                oldest_undelivered_seconds: Some(720),
            },
            delivery: vec![DeliveryStatus {
                name: "vision-one".to_owned(),
                endpoint: "https://xdr.example.com/ingest/api/v1/third_party_log".to_owned(),
                pace: self.pacer.status(),
            }],
            sources: vec![
                source("organisation trail", "sqs", SourceState::Running, None),
                source(HOSTILE[3], "s3", SourceState::Failing, Some(HOSTILE[2])),
                source(
                    "spool",
                    "directory",
                    SourceState::Paused,
                    Some(&"long ".repeat(80)),
                ),
            ],
            last_seen: LastSeenStatus::of(
                [
                    seen("111122223333", "eu-central-1", 6),
                    seen("444455556666", "us-east-1", 3_000),
                    seen(HOSTILE[1], HOSTILE[0], 9),
                ],
                now,
            ),
            tokens: vec![
                TokenStatus::new(
                    "current",
                    "file /etc/ctforward/token",
                    Expiry::At(now + SignedDuration::from_hours(130)),
                    now,
                ),
                TokenStatus::new("next", "CTFORWARD_NEXT_TOKEN", Expiry::Unknown, now),
            ],
            ledger: LedgerState {
                kind: "sqlite".to_owned(),
                works: true,
                last_error: None,
                finished: Some(43_010),
                in_progress: Some(17),
            },
        }
    }

    fn ready(&self) -> Result<(), Vec<String>> {
        let reasons = lock(&self.reasons).clone();
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(reasons)
        }
    }

    async fn quarantine(&self) -> Result<Vec<QuarantineGroup>> {
        self.read_quarantine.fetch_add(1, Relaxed);
        if self.unreadable.load(Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "quarantine", HOSTILE[2]));
        }
        Ok(lock(&self.groups).clone())
    }

    async fn redrive(&self, reason: Option<String>) -> Result<Redriven> {
        lock(&self.asked).push(reason.clone());
        self.let_go.acquire().await.unwrap().forget();
        let mut groups = lock(&self.groups);
        if let Some(reason) = &reason
            && !groups.iter().any(|group| group.reason == *reason)
        {
            return Err(Error::new(
                ErrorKind::Config,
                "redrive",
                "there is no such reason",
            ));
        }
        let asked =
            |g: &QuarantineGroup| g.redrivable && reason.as_ref().is_none_or(|r| g.reason == *r);
        let taken = groups.iter().filter(|g| asked(g)).map(|g| g.entries).sum();
        groups.retain(|g| !asked(g));
        Ok(Redriven {
            taken,
            accepted: taken,
            remaining: 0,
            note: Some(HOSTILE[0].to_owned()),
        })
    }
}
