//! What the parts of a running pipeline share, and the way of a batch and of a receipt.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batcher::{Batcher, Line, Put, Sealed};
use super::books::FileBooks;
use super::limits::PipelineLimits;
use super::report::{Outcome, Progress, Report};
use super::track::{Closing, ReadEnd, Tally, Track};
use super::worker::stopped;
use crate::deliver::RetryPolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Finished, Ledger};
use crate::object::ObjectId;
use crate::quarantine::{Kept, Quarantine, QuarantineEntry, Reason};
use crate::read::ReadLimits;
use crate::sink::{Delivery, Sink};
use crate::stage::Stage;

/// How long quarantine, ledger and receipts may take once everything else was ended.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) struct Run {
    pub(super) limits: PipelineLimits,
    pub(super) read_limits: ReadLimits,
    pub(super) hold_complete: usize,
    /// Bytes that one record may have at the sink.
    pub(super) record_limit: usize,
    pub(super) stages: Vec<Arc<dyn Stage>>,
    pub(super) batcher: Batcher,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) quarantine: Arc<dyn Quarantine>,
    pub(super) ledger: Option<Arc<dyn Ledger>>,
    pub(super) dry_run: bool,
    pub(super) retry: RetryPolicy,
    pub(super) deliveries: Arc<Semaphore>,
    /// Told to stop: nothing new is begun.
    pub(super) stop: CancellationToken,
    /// What is under way ends now, undecided.
    pub(super) kill: CancellationToken,
    /// Nothing more can be kept or acknowledged.
    pub(super) ended: CancellationToken,
    pub(super) tasks: TaskTracker,
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
    pub(super) rng: fastrand::Rng,
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

    fn fatal(&self) -> Option<Error> {
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

    /// Puts a record into the open batch; `false` where the pipeline stops before there was room.
    pub(super) async fn batch(self: &Arc<Self>, track: &Arc<Track>, line: Line<'_>) -> bool {
        if self.dry_run {
            track.book(|books| {
                books.records.read += 1;
                books.records.undecided += 1;
            });
            return true;
        }
        loop {
            match self.batcher.put(track, line) {
                Put::Taken => return true,
                Put::Filled(sealed) => {
                    self.dispatch(sealed);
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

    /// Puts one record of a file in quarantine, and books it.
    ///
    /// # Errors
    /// Where the quarantine failed; the record is then booked as undecided.
    pub(super) async fn put_aside(&self, track: &Track, entry: &QuarantineEntry) -> Result<()> {
        let put = self.in_time(self.quarantine.put(entry)).await;
        // A dry run decides nothing.
        let kept = put.is_ok() && !self.dry_run;
        track.book(|books| {
            books.records.read += 1;
            if kept {
                books.records.quarantined += 1;
            } else {
                books.records.undecided += 1;
            }
        });
        put
    }

    /// Sends a batch on its way: it is delivered as soon as there is room among
    /// the deliveries. How many can wait for that is bounded by the bytes they hold.
    ///
    /// Not a future: a batch that was sealed must not be lost with whoever waits.
    pub(super) fn dispatch(self: &Arc<Self>, sealed: Sealed) {
        let run = Arc::clone(self);
        self.tasks.spawn(async move {
            let room = tokio::select! {
                biased;
                () = run.kill.cancelled() => None,
                permit = Arc::clone(&run.deliveries).acquire_owned() => permit.ok(),
            };
            run.deliver(sealed, room).await;
        });
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

    #[tracing::instrument(level = "debug", skip_all, fields(records = sealed.batch.len(), bytes = sealed.batch.bytes()))]
    async fn deliver(self: Arc<Self>, sealed: Sealed, room: Option<OwnedSemaphorePermit>) {
        let Sealed {
            batch,
            tracks,
            budget,
        } = sealed;
        let began = Instant::now();
        let answer = match (self.fatal(), room.is_some()) {
            (Some(error), _) => Err(error),
            (None, false) => Err(stopped()),
            (None, true) => tokio::select! {
                biased;
                () = self.kill.cancelled() => Err(stopped()),
                answer = self.sink.deliver(&batch) => answer,
            },
        };
        drop(room);
        let delivery = match answer {
            Ok(delivery) => delivery,
            Err(error) => {
                let mut nothing = Delivery::accepted();
                nothing.again = (0..batch.len()).collect();
                nothing.again_because = Some(error);
                nothing
            }
        };
        metrics::histogram!("ctforward_delivery_seconds").record(began.elapsed().as_secs_f64());
        let mut error = delivery.again_because;
        if error.is_none() && !delivery.again.is_empty() {
            error = Some(Error::new(
                ErrorKind::Unavailable,
                "sink",
                "some records were not taken",
            ));
        }
        if let Some(error) = &error {
            tracing::warn!(%error, records = delivery.again.len(), "records are undecided");
            if !error.is_retryable() {
                self.fail(error);
            }
        }

        let mut tallies: Vec<Tally> = tracks.iter().map(|_| Tally::default()).collect();
        let mut decided = vec![false; batch.len()];
        let mut unsent = 0;
        let mut decide = |index: usize, tallies: &mut Vec<Tally>, count: &dyn Fn(&mut Tally)| {
            let file = batch.file_index(index).map(|file| file as usize);
            let tally = file.and_then(|file| tallies.get_mut(file));
            if let (Some(tally), Some(seen)) = (tally, decided.get_mut(index))
                && !std::mem::replace(seen, true)
            {
                count(tally);
                unsent += batch.record(index).map_or(0, |record| record.len() + 1);
            }
        };
        for rejection in &delivery.rejected {
            let put = self
                .quarantine_refused(&batch, rejection.index, &rejection.reason)
                .await;
            match put {
                Ok(()) => decide(rejection.index, &mut tallies, &|tally| {
                    tally.quarantined += 1;
                }),
                Err(error) => decide(rejection.index, &mut tallies, &|tally| {
                    tally.undecided += 1;
                    tally.error = Some(error.duplicate());
                }),
            }
        }
        for index in delivery.again {
            decide(index, &mut tallies, &|tally| {
                tally.undecided += 1;
                tally.error = error.as_ref().map(Error::duplicate);
            });
        }
        let mut accepted = 0;
        for (index, decided) in decided.iter().enumerate() {
            let file = batch.file_index(index).map(|file| file as usize);
            if let Some(tally) = file
                .and_then(|file| tallies.get_mut(file))
                .filter(|_| !decided)
            {
                tally.accepted += 1;
                accepted += 1;
            }
        }
        let sent = (batch.bytes() + 1).saturating_sub(unsent + 1) as u64;
        self.progress
            .accepted
            .fetch_add(accepted, Ordering::Relaxed);
        metrics::counter!("ctforward_sent_bytes_total").increment(sent);
        self.state().report.bytes.sent += sent;
        // The records are decided: their memory may be used again.
        drop(batch);
        drop(budget);
        for (track, tally) in tracks.into_iter().zip(tallies) {
            if let Some(closing) = track.settle(tally) {
                self.close(closing).await;
            }
        }
    }

    async fn quarantine_refused(
        &self,
        batch: &crate::Batch,
        index: usize,
        reason: &str,
    ) -> Result<()> {
        let (Some(origin), Some(bytes)) = (batch.origin(index), batch.record(index)) else {
            return Ok(()); // an index that the batch has not names no record
        };
        let entry = QuarantineEntry::new(
            origin.object.clone(),
            Reason::Refused,
            if origin.length as usize == bytes.len() {
                reason.to_owned()
            } else {
                let length = origin.length;
                format!("{reason} (kept as one line; {length} bytes in the file)")
            },
            // A copy: the slice would keep the whole batch.
            Kept::Bytes(bytes::Bytes::copy_from_slice(&bytes)),
        );
        let entry = entry.at_offset(origin.offset);
        self.in_time(self.quarantine.put(&entry)).await
    }

    /// Ends a file whose reading ended, if its records are decided too.
    pub(super) async fn end_reading(&self, track: &Track, end: ReadEnd) {
        if let Some(closing) = track.end(end) {
            self.close(closing).await;
        }
    }

    /// Quarantine, then ledger, then receipt; a failure at any step acknowledges nothing.
    #[tracing::instrument(level = "debug", skip_all, fields(file = %closing.object.id))]
    async fn close(&self, closing: Closing) {
        let Closing {
            object,
            mut books,
            end,
            holdings,
        } = closing;
        let super::track::Holdings {
            receipt,
            ticket,
            awaiting,
        } = holdings;
        let decided = match &end {
            ReadEnd::Complete => Ok(Outcome::Delivered),
            ReadEnd::Skip(why) => Ok(Outcome::Skipped(why)),
            ReadEnd::Release(error) => Err(error.duplicate()),
            ReadEnd::Quarantine(unreadable) => {
                let kept = Kept::Reference {
                    length: 0,
                    sha256: None,
                };
                let detail = unreadable.detail.clone();
                let mut entry =
                    QuarantineEntry::new((*object).clone(), unreadable.reason, detail, kept);
                if unreadable.from > 0 {
                    entry = entry.at_offset(unreadable.from);
                }
                let put = self.in_time(self.quarantine.put(&entry)).await;
                books.records.read += unreadable.held;
                if put.is_ok() && !self.dry_run {
                    books.records.quarantined += unreadable.held;
                } else {
                    books.records.undecided += unreadable.held;
                }
                put.map(|()| Outcome::Quarantined)
            }
        };
        // A dry run finishes nothing and acknowledges nothing, and is no failure either.
        let dry = match decided {
            _ if !self.dry_run => None,
            Ok(Outcome::Quarantined) => Some(Outcome::Skipped("dry run; it would be quarantined")),
            Ok(Outcome::Skipped(why)) => Some(Outcome::Skipped(why)),
            _ => Some(Outcome::Skipped("dry run")),
        };
        let finished = match (decided, dry) {
            (Ok(_), Some(dry)) => {
                let error = Error::new(ErrorKind::Cancelled, "pipeline", "dry run");
                self.give_back(receipt, ticket.as_ref(), &error, &object.id)
                    .await;
                Ok(dry)
            }
            (Ok(outcome), None) => {
                let finished = self
                    .in_time(self.finish(receipt, ticket.as_ref(), &object, &books, outcome))
                    .await;
                finished.map(|()| outcome)
            }
            (Err(error), _) => {
                self.give_back(receipt, ticket.as_ref(), &error, &object.id)
                    .await;
                Err(error)
            }
        };
        self.enter(&object.id, &books, finished);
        drop(awaiting);
    }

    /// The ledger's row first, then the receipt; what fails on the way leaves the
    /// receipt released.
    async fn finish(
        &self,
        receipt: Box<dyn crate::Receipt>,
        ticket: Option<&crate::ledger::Ticket>,
        object: &crate::Object,
        books: &FileBooks,
        outcome: Outcome,
    ) -> Result<()> {
        if let (Some(ledger), Some(ticket)) = (&self.ledger, ticket) {
            let noted = match outcome {
                Outcome::Delivered => {
                    ledger
                        .finish(ticket, object, &Finished::delivered(*books))
                        .await
                }
                Outcome::Quarantined => {
                    ledger
                        .finish(ticket, object, &Finished::quarantined(*books))
                        .await
                }
                _ => ledger.release(ticket).await,
            };
            if let Err(error) = noted {
                self.give_back(receipt, None, &error, &object.id).await;
                return Err(error);
            }
        }
        receipt.accept().await
    }

    /// Releases an unfinished file; what fails here leaves it to come again by itself.
    async fn give_back(
        &self,
        receipt: Box<dyn crate::Receipt>,
        ticket: Option<&crate::ledger::Ticket>,
        error: &Error,
        object: &ObjectId,
    ) {
        if let (Some(ledger), Some(ticket)) = (&self.ledger, ticket)
            && let Err(error) = self.in_time(ledger.release(ticket)).await
        {
            tracing::warn!(%error, file = %object, "the ledger did not take the file back");
        }
        let after = match error.retry() {
            crate::Retry::After(after) => Some(after),
            _ => None,
        };
        if let Err(error) = self.in_time(receipt.release(error, after)).await {
            tracing::warn!(%error, file = %object, "the file could not be released");
        }
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
