//! What the pages show, brought up to date once a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::deliver::Pacer;
use ctforward_core::deliver::pace::BreakerState;
use ctforward_core::ledger::LedgerReader;
use ctforward_core::pipeline::{Progress, Watch};
use ctforward_core::quarantine::{DirectoryQuarantine, Filter, Reason};
use ctforward_core::{ErrorKind, Result};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::keep::Health;
use crate::redrive::Redriver;
use crate::sources::{Detail, Watched};
use crate::status::{
    Backlog, Board, DeliveryStatus, FreshnessStatus, LastError, LastSeenRow, LastSeenStatus,
    LedgerState, QuarantineGroup, QueueDepth, Rates, Redriven, SourceState, SourceStatus, Status,
    Totals,
};
use crate::tokens::Tokens;

/// How often the ledger is asked for its sums.
const LEDGER: Duration = Duration::from_secs(60);

/// How often a queue is asked how many messages it holds.
const DEPTHS: Duration = Duration::from_secs(30);

/// How often accounts and regions are looked at where there are many: as often as the
/// page is drawn.
const PLACES: Duration = Duration::from_secs(5);

/// More accounts and regions than a look a second is worth.
const MANY: u64 = 2_000;

/// What of the daemon can be looked at.
pub struct Parts {
    pub watch: Watch,
    pub progress: Arc<Progress>,
    pub pacer: Pacer,
    pub endpoint: String,
    pub sources: Vec<Watched>,
    pub tokens: Arc<Tokens>,
    pub ledger: Arc<Health>,
    pub ledger_path: std::path::PathBuf,
    pub kept: Arc<Health>,
    pub quarantine: DirectoryQuarantine,
    pub redriver: Redriver,
    pub stop: tokio_util::sync::CancellationToken,
}

/// The daemon's board.
pub struct Desk {
    parts: Parts,
    since: Timestamp,
    rates: Rates,
    shown: Mutex<Shown>,
}

struct Shown {
    status: Status,
    /// Of the ledger, as it was asked last.
    rows: Arc<[LastSeenRow]>,
    /// When accounts and regions are to be looked at again.
    places_due: Instant,
    finished: Option<u64>,
    in_progress: Option<u64>,
}

impl Desk {
    pub fn new(parts: Parts) -> Arc<Self> {
        let since = Timestamp::now();
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since,
            now: since,
            rate: crate::status::Rate::default(),
            totals: Totals::default(),
            freshness: FreshnessStatus::default(),
            backlog: Backlog::default(),
            delivery: Vec::new(),
            sources: Vec::new(),
            last_seen: LastSeenStatus::default(),
            tokens: Vec::new(),
            ledger: LedgerState::default(),
        };
        let desk = Arc::new(Self {
            parts,
            since,
            rates: Rates::default(),
            shown: Mutex::new(Shown {
                status,
                rows: Arc::default(),
                places_due: Instant::now(),
                finished: None,
                in_progress: None,
            }),
        });
        desk.look();
        desk
    }

    /// Keeps the board up to date until it is dropped with its task.
    pub async fn keep(self: Arc<Self>) {
        loop {
            self.look();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Asks the ledger for its sums and looks at the tokens, apart: a ledger of many rows
    /// takes its time, and so may what keeps a token, and the board waits for neither.
    pub async fn ask_what_is_slow(self: Arc<Self>) {
        let ledger = async {
            loop {
                self.ask_ledger().await;
                tokio::time::sleep(LEDGER).await;
            }
        };
        let tokens = async {
            let mut warned = crate::tokens::Warned::default();
            loop {
                self.parts.tokens.look().await;
                warned.look(&self.parts.tokens.status(self.refused()));
                let due = Instant::now() + LEDGER;
                while Instant::now() < due {
                    if self.refused() {
                        self.parts.tokens.look_for_another().await;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        tokio::join!(ledger, tokens);
    }

    /// Asks each queue now and then how many messages it holds.
    pub async fn ask_depths(self: Arc<Self>) {
        loop {
            let queues = self.parts.sources.iter().filter_map(|s| match &s.detail {
                Detail::Queue(_, depth) => Some(Arc::clone(depth)),
                _ => None,
            });
            // Side by side: one that does not answer keeps none of the others waiting.
            let asked: tokio::task::JoinSet<()> = queues
                .map(|depth| async move { depth.ask().await })
                .collect();
            if asked.is_empty() {
                return;
            }
            asked.join_all().await;
            tokio::time::sleep(DEPTHS).await;
        }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_ledger(&self) {
        let path = self.parts.ledger_path.clone();
        let asked = tokio::task::spawn_blocking(move || LedgerReader::open(path)?.status()).await;
        let mut shown = self.shown();
        match asked {
            Ok(Ok(status)) => {
                shown.finished = Some(status.delivered + status.quarantined);
                shown.in_progress = Some(status.in_progress);
                let rows = status.last_seen.into_iter().map(|seen| LastSeenRow {
                    account: seen.account,
                    region: seen.region,
                    event: seen.event,
                    finished: seen.accepted_at,
                });
                shown.rows = rows.collect();
            }
            Ok(Err(error)) => tracing::warn!(%error, "the ledger's sums are not known"),
            Err(error) => tracing::warn!(%error, "the ledger's sums are not known"),
        }
    }

    /// Whether the endpoint refuses the token.
    fn refused(&self) -> bool {
        let why = self.parts.pacer.why();
        why.is_some_and(|why| why.kind() == ErrorKind::Unauthorized)
    }

    /// Brings the board up to date.
    fn look(&self) {
        let parts = &self.parts;
        let now = Timestamp::now();
        let progress = &parts.progress;
        let report = parts.watch.report().unwrap_or_default();
        let (records, bytes) = (progress.records_accepted(), progress.bytes_sent());
        let oldest = progress.oldest_undelivered();
        let age = |at: Timestamp| u64::try_from(now.as_second() - at.as_second()).unwrap_or(0);
        let pace = parts.pacer.status();
        let held_back = pace.breaker != BreakerState::Closed;
        let sources = parts.sources.iter().map(|source| {
            let stopping = parts.stop.is_cancelled();
            status(source, held_back, stopping, now)
        });
        let sources: Vec<SourceStatus> = sources.collect();
        let waiting = sources.iter().filter_map(|source| source.queue);
        let waiting = waiting.map(|queue| queue.waiting + queue.delayed);
        let files_waiting = waiting.reduce(u64::saturating_add);
        let tokens = parts.tokens.status(self.refused());
        let ledger_fails = parts.ledger.fails();
        let due = {
            let shown = self.shown();
            (shown.places_due <= Instant::now()).then(|| Arc::clone(&shown.rows))
        };
        // There may be tens of thousands: nobody waits for the board meanwhile.
        let places = due.map(|rows| {
            let rows = rows.iter().cloned();
            LastSeenStatus::of(rows.chain(LastSeenStatus::rows_of(&report.last_seen)), now)
        });
        let mut shown = self.shown();
        let last_seen = places.unwrap_or_else(|| shown.status.last_seen.clone());
        if last_seen.known > MANY && shown.places_due <= Instant::now() {
            shown.places_due = Instant::now() + PLACES;
        }
        shown.status = Status {
            version: shown.status.version.clone(),
            since: self.since,
            now,
            rate: self.rates.observe(Instant::now(), records, bytes),
            totals: Totals {
                files: report.files,
                records: report.records,
                bytes: report.bytes,
            },
            freshness: FreshnessStatus::of(&report.freshness),
            backlog: Backlog {
                files_in_flight: progress
                    .files_seen()
                    .saturating_sub(progress.files_decided()),
                files_waiting,
                oldest_undelivered: oldest,
                oldest_undelivered_seconds: oldest.map(age),
            },
            delivery: vec![DeliveryStatus {
                name: "endpoint".to_owned(),
                endpoint: parts.endpoint.clone(),
                pace,
            }],
            sources,
            last_seen,
            tokens,
            ledger: LedgerState {
                kind: "sqlite".to_owned(),
                works: !ledger_fails,
                last_error: parts.ledger.last(),
                finished: shown.finished,
                in_progress: shown.in_progress,
            },
        };
    }

    /// Whether a source handed over something, or looked and failed or found nothing.
    pub fn heard(&self) -> bool {
        self.parts.sources.iter().any(heard)
    }

    /// A source that ended by a fault in the program, if one did.
    pub fn broken(&self) -> Option<String> {
        let mut watched = self.parts.sources.iter().map(|s| s.watch.status());
        watched.find(|seen| seen.broke).map(|seen| seen.name)
    }

    /// A line for the service manager.
    pub fn line(&self) -> String {
        let ready = self.ready();
        let shown = self.shown();
        let totals = &shown.status.totals;
        let (files, records) = (totals.files.delivered, totals.records.accepted);
        let rate = shown.status.rate.records_per_second;
        let sums =
            format!("{files} files delivered, {records} records accepted, {rate:.1} a second");
        match ready {
            Ok(()) => sums,
            Err(reasons) => format!("{}; {sums}", reasons.join("; ")),
        }
    }
}

/// Whether a source answered anything yet.
fn heard(source: &Watched) -> bool {
    let seen = source.watch.status();
    let own = match &source.detail {
        Detail::Folder => false,
        Detail::Bucket(stats) => stats.get().rounds > 0,
        Detail::Queue(stats, _) => stats.get().receives > 0,
    };
    own || seen.looked.is_some() || seen.failures > 0 || seen.ended
}

/// How a source is, by what it says and what was seen of it.
fn status(source: &Watched, held_back: bool, stopping: bool, now: Timestamp) -> SourceStatus {
    let seen = source.watch.status();
    // What a source that tries again by itself says of its last call.
    let own = match &source.detail {
        Detail::Folder => None,
        Detail::Queue(stats, _) => stats.failing().map(|error| (now, error.to_string())),
        Detail::Bucket(stats) => {
            let stats = stats.get();
            // A round that could list nothing at all; single folders are in its log.
            let wrong = stats.failing + stats.unlisted;
            let nothing = wrong > 0 && stats.failing >= stats.folders;
            stats.last_error.filter(|_| nothing)
        }
    };
    let failing = seen.failures > 0 || own.is_some();
    let at = seen.failing_since.unwrap_or(now);
    let error = seen.error.map(|message| (at, message)).or(own);
    let listed = match &source.detail {
        Detail::Bucket(stats) => stats.get().last_round,
        _ => None,
    };
    let state = match () {
        () if seen.ended => SourceState::Ended,
        () if stopping => SourceState::Stopping,
        () if failing => SourceState::Failing,
        () if held_back => SourceState::Paused,
        () if !heard(source) => SourceState::Starting,
        () => SourceState::Running,
    };
    let queue = match &source.detail {
        Detail::Queue(_, depth) => depth.last().map(|depth| QueueDepth {
            waiting: depth.waiting,
            in_flight: depth.in_flight,
            delayed: depth.delayed,
        }),
        _ => None,
    };
    SourceStatus {
        name: seen.name,
        kind: source.kind.to_owned(),
        state,
        last_error: error.map(|(at, message)| LastError { at, message }),
        last_heard: seen.looked.max(listed),
        queue,
    }
}

/// What is wrong with the sources: one that ended, which none of this daemon's does by
/// itself, since nothing of it arrives any more; and all where none works.
fn faults(sources: &[SourceStatus]) -> Vec<String> {
    let ended = |source: &SourceStatus| source.state == SourceState::Ended;
    let bad = |source: &SourceStatus| ended(source) || source.state == SourceState::Failing;
    let none_works = sources.iter().all(bad);
    let faults = sources.iter().filter_map(|source| {
        let why = source.last_error.as_ref().map(|e| e.message.as_str());
        let name = &source.name;
        match why {
            why if ended(source) => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Some(format!(
                    "source {name} has ended{why}; a restart begins it anew"
                ))
            }
            why if none_works => {
                let why = why.unwrap_or("it does not say why");
                Some(format!("source {name} does not work: {why}"))
            }
            _ => None,
        }
    });
    faults.collect()
}

#[async_trait]
impl Board for Desk {
    fn status(&self) -> Status {
        self.shown().status.clone()
    }

    fn ready(&self) -> Result<(), Vec<String>> {
        let parts = &self.parts;
        let mut reasons = Vec::new();
        let pace = parts.pacer.status();
        if pace.breaker != BreakerState::Closed {
            let why = pace
                .why
                .unwrap_or_else(|| "it does not answer well".to_owned());
            reasons.push(format!("the endpoint takes nothing: {why}"));
        }
        if parts.ledger.fails() {
            let why = parts.ledger.last().unwrap_or_default();
            reasons.push(format!("the ledger does not work: {why}"));
        }
        if parts.kept.fails() {
            let why = parts.kept.last().unwrap_or_default();
            reasons.push(format!("the quarantine does not work: {why}"));
        }
        let now = Timestamp::now();
        let states: Vec<_> = parts
            .sources
            .iter()
            .map(|s| status(s, false, false, now))
            .collect();
        reasons.extend(faults(&states));
        if parts.stop.is_cancelled() {
            reasons.push("the daemon ends".to_owned());
        }
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(reasons)
        }
    }

    async fn quarantine(&self) -> Result<Vec<QuarantineGroup>> {
        let mut groups = BTreeMap::<Reason, QuarantineGroup>::new();
        let mut entries = self.parts.quarantine.entries(Filter::new());
        while let Some(stored) = entries.next().await? {
            let entry = stored.entry;
            let group = groups
                .entry(entry.reason)
                .or_insert_with(|| QuarantineGroup {
                    reason: entry.reason.as_str().to_owned(),
                    entries: 0,
                    first: entry.at,
                    last: Timestamp::MIN,
                    detail: String::new(),
                    object: String::new(),
                    redrivable: entry.reason != Reason::Undecodable,
                });
            group.entries += 1;
            group.first = group.first.min(entry.at);
            if entry.at >= group.last {
                group.last = entry.at;
                group.detail = entry.detail;
                group.object = entry.object.id.to_string();
            }
        }
        Ok(groups.into_values().collect())
    }

    async fn redrive(&self, reason: Option<String>) -> Result<Redriven> {
        self.parts.redriver.run(reason).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, state: SourceState, error: Option<&str>) -> SourceStatus {
        SourceStatus {
            name: name.to_owned(),
            kind: "sqs".to_owned(),
            state,
            last_error: error.map(|message| LastError {
                at: Timestamp::now(),
                message: message.to_owned(),
            }),
            last_heard: None,
            queue: None,
        }
    }

    #[test]
    fn one_source_that_ended_is_a_fault_and_one_that_fails_beside_another_is_none() {
        use SourceState::{Ended, Failing, Paused, Running, Starting};
        let (good, failing) = (
            source("good", Running, None),
            source("bad", Failing, Some("no queue")),
        );
        assert!(faults(&[good.clone(), failing.clone()]).is_empty());
        assert!(faults(&[source("new", Starting, None), failing.clone()]).is_empty());
        assert!(faults(&[source("held", Paused, None)]).is_empty());
        assert_eq!(
            faults(std::slice::from_ref(&failing)),
            ["source bad does not work: no queue"]
        );
        let ended = source("gone", Ended, Some("a fault"));
        assert_eq!(
            faults(&[good, ended, failing]),
            ["source gone has ended: a fault; a restart begins it anew"]
        );
    }
}
