//! What the parts of a running pipeline share, and the way of a batch and of a receipt.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batcher::{Batcher, Outgoing, Put, Sealed};
use super::books::{FileBooks, RecordBooks};
use super::buckets::Buckets;
use super::freshness::{Freshness, LastSeenTable};
use super::leases::Live;
use super::limits::PipelineLimits;
use super::report::{Outcome, Progress, Report};
use super::track::{ReadEnd, Track};
use super::worker::stopped;
use crate::deliver::{Pacer, RetryPolicy};
use crate::duplicates::{Duplicates, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::object::ObjectId;
use crate::quarantine::{Quarantine, QuarantineEntry};
use crate::read::ReadLimits;
use crate::sink::Sink;
use crate::stage::{Redactor, Stage};

/// The origin of what the ledger says of a file.
pub(super) const LEDGER: &str = "ledger";

/// How long quarantine, ledger and receipts may take once everything else was ended.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) struct Run {
    pub(super) limits: PipelineLimits,
    pub(super) read_limits: ReadLimits,
    pub(super) hold_complete: usize,
    /// Bytes that one record may have at the sink.
    pub(super) record_limit: usize,
    pub(super) stages: Vec<Arc<dyn Stage>>,
    pub(super) redactors: Vec<Arc<dyn Redactor>>,
    pub(super) duplicates: Option<Duplicates>,
    /// Names records; set when the pipeline runs, where duplicates are removed.
    pub(super) hasher: OnceLock<Hasher>,
    /// Whether each file's inflated bytes are hashed.
    pub(super) hashes_files: bool,
    /// Bytes that an unreadable file may have to be kept as a copy.
    pub(super) copies: Option<usize>,
    pub(super) buckets: Arc<Buckets>,
    pub(super) live: Live,
    pub(super) batcher: Batcher,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) quarantine: Arc<dyn Quarantine>,
    pub(super) ledger: Option<Arc<dyn Ledger>>,
    pub(super) dry_run: bool,
    pub(super) retry: RetryPolicy,
    /// When requests go, and whether files are taken in.
    pub(super) pacer: Pacer,
    /// How often a sink that does not take us is tried; `None` ends the run.
    pub(super) probes: Option<Duration>,
    /// Cancelled when no further batch will be handed to the sink.
    pub(super) nothing_else: CancellationToken,
    /// Batches on their way to the sink, and one until the last was sent on it.
    pub(super) waiting: AtomicU64,
    /// Told to stop: nothing new is begun.
    pub(super) stop: CancellationToken,
    /// What is under way ends now, undecided.
    pub(super) kill: CancellationToken,
    /// Nothing more can be kept or acknowledged.
    pub(super) ended: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Told whenever a batch was paid for.
    pub(super) spending: Notify,
    /// Told whenever the reading of a file ended.
    pub(super) file_read: Notify,
    pub(super) progress: Arc<Progress>,
    pub(super) state: Mutex<RunState>,
}

pub(super) struct RunState {
    pub(super) report: Report,
    pub(super) filtered: BTreeMap<Arc<str>, u64>,
    /// What made the pipeline stop by itself.
    pub(super) fatal: Option<Error>,
    /// What ended the intake before the source was exhausted; what was taken is finished.
    pub(super) source_failed: Option<Error>,
    pub(super) freshness: Freshness,
    pub(super) last_seen: LastSeenTable,
    pub(super) allowance: Allowance,
    pub(super) rng: fastrand::Rng,
}

/// Does the work, and makes an error of its panic: what is written by an embedder
/// (a stage, a redactor, a sink) must not take a file's receipt with it.
pub(crate) async fn unharmed<T>(work: impl Future<Output = T>) -> Result<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        let polled = AssertUnwindSafe(|| work.as_mut().poll(context));
        match std::panic::catch_unwind(polled) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Error::new(
                ErrorKind::Other,
                "pipeline",
                "a fault in the program: a part of it panicked",
            ))),
        }
    })
    .await
}

/// What a run has sent of the bytes that it may send.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    spent: u64,
    /// Bytes of batches that are on their way.
    reserved: u64,
}

impl Run {
    pub(super) fn state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing can be delivered or acknowledged any more: stop, and say why.
    pub(super) fn fail(&self, error: &Error) {
        let mut state = self.state();
        if state.fatal.is_none() {
            tracing::error!(%error, "the pipeline stops");
            state.fatal = Some(error.duplicate());
        }
        drop(state);
        self.stop.cancel();
    }

    pub(super) fn fatal(&self) -> Option<Error> {
        self.state().fatal.as_ref().map(Error::duplicate)
    }

    pub(super) fn pause(&self, attempt: u32) -> Duration {
        self.retry.pause(attempt, &mut self.state().rng)
    }

    pub(super) fn drop_by(&self, rule: &Arc<str>, count: u64) {
        let mut state = self.state();
        match state.filtered.get_mut(rule) {
            Some(sum) => *sum += count,
            None => {
                state.filtered.insert(Arc::clone(rule), count);
            }
        }
    }

    pub(super) fn inflated(&self, bytes: u64) {
        self.progress.inflated.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Puts a record into the open batch, unless it was accepted before; `false`
    /// where the pipeline stops before there was room.
    pub(super) async fn batch(self: &Arc<Self>, track: &Arc<Track>, line: Outgoing<'_>) -> bool {
        if self.dry_run {
            track.undecided(1);
            return true;
        }
        loop {
            match self.batcher.put(track, line) {
                Put::Taken => return true,
                Put::Filled(sealed) => {
                    self.dispatch(sealed);
                    return true;
                }
                Put::Duplicate => {
                    let one = RecordBooks {
                        duplicate: 1,
                        ..RecordBooks::default()
                    };
                    track.decided(line.offset, one);
                    return true;
                }
                Put::Full(sealed) => self.dispatch(sealed),
                Put::Closed => tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return false,
                    () = self.batcher.open() => {}
                },
            }
        }
    }

    /// Puts an entry in quarantine.
    pub(super) async fn keep(&self, entry: QuarantineEntry) -> Result<()> {
        let entry = entry.where_redacted(!self.redactors.is_empty());
        self.in_time(self.quarantine.put(&entry)).await
    }

    /// Puts one record of a file in quarantine, and books it.
    ///
    /// # Errors
    /// Where the quarantine failed; the record is then booked as undecided.
    pub(super) async fn put_aside(&self, track: &Track, entry: &QuarantineEntry) -> Result<()> {
        let put = self.keep(entry.clone()).await;
        // A dry run decides nothing.
        if put.is_ok() && !self.dry_run {
            let one = RecordBooks {
                quarantined: 1,
                ..RecordBooks::default()
            };
            track.decided(entry.offset.unwrap_or_default(), one);
        } else {
            track.undecided(1);
        }
        put
    }

    /// Sends a batch on its way: it goes to the sink as soon as the pacer lets it.
    /// How many can wait for that is bounded by the bytes they hold.
    ///
    /// Not a future: a batch that was sealed must not be lost with whoever waits.
    pub(super) fn dispatch(self: &Arc<Self>, sealed: Sealed) {
        let run = Arc::clone(self);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.tasks.spawn(run.deliver(sealed));
    }

    /// Whether a batch of so many bytes may still be sent; where not, the run stops.
    /// Waits where that hangs on what is under way.
    pub(super) async fn allow(&self, bytes: u64) -> bool {
        let Some(most) = self.limits.sent_bytes else {
            return true;
        };
        loop {
            let spent = self.spending.notified();
            tokio::pin!(spent);
            spent.as_mut().enable();
            {
                let mut state = self.state();
                let allowance = &mut state.allowance;
                if allowance.spent.saturating_add(bytes) > most {
                    state.report.limit_reached = true;
                    drop(state);
                    self.stop.cancel();
                    return false;
                }
                let all = allowance.spent.saturating_add(allowance.reserved);
                if all.saturating_add(bytes) <= most {
                    allowance.reserved += bytes;
                    return true;
                }
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return false,
                () = spent => {}
            }
        }
    }

    /// Of a batch that was allowed only so many bytes were accepted.
    pub(super) fn spent(&self, allowed: u64, accepted: u64) {
        if self.limits.sent_bytes.is_some() {
            let mut state = self.state();
            state.allowance.reserved = state.allowance.reserved.saturating_sub(allowed);
            state.allowance.spent = state.allowance.spent.saturating_add(accepted);
            drop(state);
            self.spending.notify_waiters();
        }
    }

    /// A batch reached the sink, or all of them are on their way.
    pub(super) fn handed_in(&self) {
        if self.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.nothing_else.cancel();
        }
    }

    /// Waits for a part that keeps or acknowledges something, but not for ever
    /// once the pipeline is ending.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.ended.cancelled() => Err(stopped()),
        }
    }

    /// Ends a file whose reading ended, if its records are decided too.
    pub(super) async fn end_reading(&self, track: &Track, end: ReadEnd) {
        if let Some(closing) = track.end(end) {
            self.close(closing).await;
        }
    }

    /// Takes up what is remembered of records accepted in earlier runs.
    pub(super) async fn recall(&self) -> Result<()> {
        let Some(duplicates) = &self.duplicates else {
            return Ok(());
        };
        let key = match &duplicates.store {
            None => Hasher::random_key(),
            Some(store) => {
                let age = jiff::SignedDuration::try_from(duplicates.age);
                // An age beyond all times goes back to the first of them.
                let age = age.unwrap_or(jiff::SignedDuration::MAX);
                let since = Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN);
                let key = self.in_time(store.key()).await?;
                let seen = self.in_time(store.recall(duplicates.most, since)).await?;
                self.batcher.with_window(|window| window.fill(seen));
                key
            }
        };
        let _ = self.hasher.set(Hasher::new(key));
        Ok(())
    }

    /// Enters a file in the report.
    pub(super) fn enter(&self, id: &ObjectId, books: &FileBooks, finished: Result<Outcome>) {
        let mut state = self.state();
        let outcome = match finished {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(%error, file = %id, "a file is not finished");
                state.report.name_failure(id.clone(), error);
                Outcome::Failed
            }
        };
        state.report.enter(books, outcome);
        drop(state);
        self.progress.decided.fetch_add(1, Ordering::Relaxed);
    }
}
