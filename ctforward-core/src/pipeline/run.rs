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
                    self.dispatch(sealed).await;
                    return true;
                }
                Put::Full(sealed) => self.dispatch(sealed).await,
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
        let put = self.quarantine.put(entry).await;
        track.book(|books| {
            books.records.read += 1;
            if put.is_ok() {
                books.records.quarantined += 1;
            } else {
                books.records.undecided += 1;
            }
        });
        put
    }

    /// Sends a batch on its way, as soon as there is room among the deliveries.
    pub(super) async fn dispatch(self: &Arc<Self>, sealed: Sealed) {
        let room = tokio::select! {
            biased;
            () = self.kill.cancelled() => None,
            permit = Arc::clone(&self.deliveries).acquire_owned() => permit.ok(),
        };
        let run = Arc::clone(self);
        self.tasks
            .spawn(async move { run.deliver(sealed, room).await });
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
            reason.to_owned(),
            // A copy: the slice would keep the whole batch.
            Kept::Bytes(bytes::Bytes::copy_from_slice(&bytes)),
        );
        self.quarantine.put(&entry.at_offset(origin.offset)).await
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
            books,
            end,
            holdings,
        } = closing;
        let super::track::Holdings {
            receipt,
            ticket,
            awaiting,
        } = holdings;
        let finished = match &end {
            ReadEnd::Complete if self.dry_run => Ok(Outcome::Skipped("dry run")),
            ReadEnd::Complete => Ok(Outcome::Delivered),
            ReadEnd::Skip(why) => Ok(Outcome::Skipped(why)),
            ReadEnd::Release(error) => Err(error.duplicate()),
            ReadEnd::Quarantine(reason, detail) => {
                let kept = Kept::Reference {
                    length: 0,
                    sha256: None,
                };
                let entry = QuarantineEntry::new((*object).clone(), *reason, detail.clone(), kept);
                self.quarantine
                    .put(&entry)
                    .await
                    .map(|()| Outcome::Quarantined)
            }
        };
        let finished = match (finished, &self.ledger, &ticket) {
            (Ok(outcome), Some(ledger), Some(ticket)) => {
                let row = match outcome {
                    Outcome::Delivered => Some(Finished::delivered(books)),
                    Outcome::Quarantined => Some(Finished::quarantined(books)),
                    _ => None,
                };
                let noted = match row {
                    Some(row) => ledger.finish(ticket, &object, &row).await,
                    None => ledger.release(ticket).await,
                };
                noted.map(|()| outcome)
            }
            (finished, _, _) => finished,
        };
        let finished = match finished {
            // A dry run finishes nothing, and is no failure either.
            Ok(Outcome::Skipped("dry run")) => {
                let dry = Error::new(ErrorKind::Cancelled, "pipeline", "dry run");
                receipt
                    .release(&dry, None)
                    .await
                    .map(|()| Outcome::Skipped("dry run"))
            }
            Ok(outcome) => receipt.accept().await.map(|()| outcome),
            Err(error) => {
                self.give_back(receipt, ticket.as_ref(), &error, &object.id)
                    .await;
                Err(error)
            }
        };
        self.enter(&object.id, &books, finished);
        drop(awaiting);
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
            && let Err(error) = ledger.release(ticket).await
        {
            tracing::warn!(%error, file = %object, "the ledger did not take the file back");
        }
        let after = match error.retry() {
            crate::Retry::After(after) => Some(after),
            _ => None,
        };
        if let Err(error) = receipt.release(error, after).await {
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
