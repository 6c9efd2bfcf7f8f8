//! The way of a batch: to the sink, and what its word means for each record.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::batcher::{Notes, Sealed, Tally};
use super::freshness::Freshness;
use super::run::{Run, unharmed};
use super::track::Track;
use super::worker::stopped;
use crate::batch::Batch;
use crate::duplicates::Window;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::ledger::SeenStore;
use crate::quarantine::{Kept, QuarantineEntry, Reason};
use crate::sink::Delivery;

/// How often the mark of a file is told to the ledger, at most, unless somebody waits
/// for the bytes that are held until then.
const MARKED: Duration = Duration::from_millis(50);

/// How often accepted records are written down for later runs, at most.
const REMEMBERED: Duration = Duration::from_secs(2);

const SENT_ENOUGH: &str = "as many bytes were sent as may be";

/// What became of one record of a batch.
enum Verdict {
    Accepted,
    /// Refused for this reason, and in quarantine.
    Quarantined(String),
    Undecided(Option<Error>),
}

impl Run {
    #[tracing::instrument(level = "debug", skip_all, fields(records = sealed.batch.len(), bytes = sealed.batch.bytes()))]
    pub(super) async fn deliver(self: Arc<Self>, sealed: Sealed) {
        let Sealed {
            id,
            batch,
            tracks,
            budget,
            notes,
        } = sealed;
        let began = Instant::now();
        let bytes = batch.bytes() as u64 + 1;
        let allowed = if self.allow(bytes).await {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Cancelled, "pipeline", SENT_ENOUGH)
                .with_retry(Retry::After(Duration::ZERO)))
        };
        let is_reserved = allowed.is_ok();
        let allowed = allowed.and_then(|()| self.fatal().map_or(Ok(()), Err));
        let answer = match allowed {
            Err(error) => {
                self.handed_in();
                Err(error)
            }
            Ok(()) => {
                let mut delivery = Box::pin(unharmed(self.sink.deliver(&batch)));
                // The sink knows of it before it may hear that nothing else comes.
                let first = poll_fn(|context| Poll::Ready(delivery.as_mut().poll(context))).await;
                self.handed_in();
                let answer = match first {
                    Poll::Ready(answer) => Ok(answer),
                    Poll::Pending => tokio::select! {
                        biased;
                        () = self.kill.cancelled() => Err(stopped()),
                        answer = delivery => Ok(answer),
                    },
                };
                answer.and_then(|unharmed| unharmed.and_then(|answer| answer))
            }
        };
        metrics::histogram!("ctforward_delivery_seconds").record(began.elapsed().as_secs_f64());
        let delivery = answer.unwrap_or_else(|error| {
            let mut nothing = Delivery::accepted();
            nothing.again = (0..batch.len()).collect();
            nothing.again_because = Some(error);
            nothing
        });
        let verdicts = self.verdicts(&batch, &notes, delivery).await;
        let tallies = self.tally(&batch, &notes, &verdicts, tracks.len()).await;
        self.accepted(&notes, &verdicts);
        let sent = tallies.iter().map(|tally| tally.sent).sum();
        self.progress.sent.fetch_add(sent, Ordering::Relaxed);
        metrics::counter!("ctforward_sent_bytes_total").increment(sent);
        if is_reserved {
            self.spent(bytes, sent);
        }
        // The bodies go; what is left of the batch counts until it is written down.
        drop((batch, notes, verdicts));
        let budget = Arc::new(budget);
        let store = self.duplicates.as_ref().and_then(|d| d.store.as_ref());
        if let Some(store) = store
            && self.batcher.with_window(Window::begins_saving)
        {
            let (run, store) = (Arc::clone(&self), Arc::clone(store));
            self.tasks.spawn(async move { run.remember(&*store).await });
        }
        // Beside each other, so that a ledger can write them together.
        for (track, tally) in tracks.into_iter().zip(tallies) {
            let closing = track.settle(id, tally);
            // Whoever tells a mark now looks again when that is done.
            if closing.is_none() && (track.unmarked().is_none() || track.is_marking()) {
                continue;
            }
            let (run, budget) = (Arc::clone(&self), Arc::clone(&budget));
            self.tasks.spawn(async move {
                match closing {
                    Some(closing) => run.close(closing).await,
                    None => run.keep_mark(&track).await,
                }
                drop(budget);
            });
        }
    }

    /// Writes down what was accepted, until nothing more is to be written. What is
    /// not written when the process dies is sent once more where it comes again.
    async fn remember(&self, store: &dyn SeenStore) {
        loop {
            // A window's worth is written at most, however much passes in a moment.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = self.nothing_else.cancelled() => {}
                () = tokio::time::sleep(REMEMBERED) => {}
            }
            let Some(seen) = self.batcher.with_window(Window::take_unsaved) else {
                return;
            };
            // Also where it panics: whoever saves has to come to the end of it, or nobody
            // would save again.
            let remembered = unharmed(self.in_time(store.remember(&seen))).await;
            if let Err(error) = remembered.and_then(|remembered| remembered) {
                tracing::warn!(%error, "accepted records are not remembered beyond this run");
            }
        }
    }

    /// What became of each record; what is refused is in quarantine behind this.
    async fn verdicts(&self, batch: &Batch, notes: &Notes, delivery: Delivery) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = (0..batch.len()).map(|_| Verdict::Accepted).collect();
        let mut error = delivery.again_because;
        if error.is_none() && !delivery.again.is_empty() {
            let message = "some records were not taken";
            error = Some(Error::new(ErrorKind::Unavailable, "sink", message));
        }
        if let Some(found) = error.take() {
            tracing::warn!(error = %found, records = delivery.again.len(), "records are undecided");
            error = Some(self.endure(found));
        }
        for rejection in delivery.rejected {
            let (index, reason) = (rejection.index, rejection.reason);
            let Some(origin) = batch.origin(index) else {
                // Whatever it names, it is not taken for accepted.
                if let Some(verdict) = verdicts.get_mut(index) {
                    *verdict = Verdict::Undecided(None);
                }
                continue;
            };
            let put = self
                .quarantine_refused(batch, notes, index, origin.object, origin.offset, &reason)
                .await;
            if let Some(verdict) = verdicts.get_mut(index) {
                *verdict = match put {
                    Ok(()) => Verdict::Quarantined(reason),
                    Err(error) => Verdict::Undecided(Some(error)),
                };
            }
        }
        for index in delivery.again {
            if let Some(verdict) = verdicts.get_mut(index) {
                *verdict = Verdict::Undecided(error.as_ref().map(Error::duplicate));
            }
        }
        verdicts
    }

    /// What a final error of the sink means: the end of the run, or, where it goes
    /// on for ever, a pause and another try.
    fn endure(&self, error: Error) -> Error {
        match self.probes {
            _ if error.is_retryable() => error,
            Some(every) => {
                self.pacer.trip(&error, every);
                error.with_retry(Retry::After(every))
            }
            None => {
                self.fail(&error);
                error
            }
        }
    }

    /// Counts the verdicts for each file of the batch; a twin shares the verdict
    /// of the record that was sent for it.
    async fn tally(
        &self,
        batch: &Batch,
        notes: &Notes,
        verdicts: &[Verdict],
        files: usize,
    ) -> Vec<Tally> {
        let mut tallies: Vec<Tally> = (0..files).map(|_| Tally::default()).collect();
        for (index, verdict) in verdicts.iter().enumerate() {
            let file = batch.file_index(index).map(|file| file as usize);
            let Some(tally) = file.and_then(|file| tallies.get_mut(file)) else {
                continue;
            };
            match verdict {
                Verdict::Accepted => {
                    tally.records.accepted += 1;
                    tally.sent += batch.record(index).map_or(0, |r| r.len() as u64 + 1);
                }
                Verdict::Quarantined(_) => tally.records.quarantined += 1,
                Verdict::Undecided(error) => tally.undecided(error.as_ref()),
            }
        }
        for twin in &notes.twins {
            let Some(tally) = tallies.get_mut(twin.file as usize) else {
                continue;
            };
            let index = twin.of as usize;
            match verdicts.get(index) {
                Some(Verdict::Accepted) => tally.records.duplicate += 1,
                Some(Verdict::Quarantined(reason)) => {
                    let object = batch.file(twin.file);
                    let put = match object {
                        Some(object) => {
                            self.quarantine_refused(
                                batch,
                                notes,
                                index,
                                object,
                                twin.offset,
                                reason,
                            )
                            .await
                        }
                        None => Err(stopped()),
                    };
                    match put {
                        Ok(()) => tally.records.quarantined += 1,
                        Err(error) => tally.undecided(Some(&error)),
                    }
                }
                Some(Verdict::Undecided(error)) => tally.undecided(error.as_ref()),
                None => tally.undecided(None),
            }
        }
        tallies
    }

    /// Enters accepted records in the counts of the run and in the window of
    /// those remembered.
    fn accepted(&self, notes: &Notes, verdicts: &[Verdict]) {
        let now = Timestamp::now();
        let is_accepted = |index: &usize| matches!(verdicts.get(*index), Some(Verdict::Accepted));
        let mut fresh = Freshness::default();
        let times = notes.times.iter().enumerate();
        let times = times.filter(|(index, _)| is_accepted(index));
        let mut accepted = 0;
        fresh.accepted(times.map(|(_, time)| *time).inspect(|_| accepted += 1), now);
        fresh.record();
        self.progress
            .accepted
            .fetch_add(accepted, Ordering::Relaxed);
        self.state().freshness.add(&fresh);
        let named = notes.identities.iter().enumerate();
        let seen = named
            .filter(|(index, _)| is_accepted(index))
            .filter_map(|(_, identity)| *identity);
        self.batcher
            .with_window(|window| window.accepted(seen, now));
    }

    async fn quarantine_refused(
        &self,
        batch: &Batch,
        notes: &Notes,
        index: usize,
        object: &crate::Object,
        offset: u64,
        reason: &str,
    ) -> Result<()> {
        // As it lies in the file, whatever form was sent of it. A copy: the slice
        // would keep the whole batch.
        let sent = || {
            batch
                .record(index)
                .map(|sent| Bytes::copy_from_slice(&sent))
        };
        let Some(bytes) = notes.original(index).or_else(sent) else {
            return Err(stopped());
        };
        let entry = QuarantineEntry::new(
            object.clone(),
            Reason::Refused,
            reason.to_owned(),
            Kept::Bytes(bytes),
        );
        self.keep(entry.at_offset(offset)).await
    }

    /// Tells the ledger how far a file is decided, if that is news.
    async fn keep_mark(&self, track: &Track) {
        let (Some(ledger), Some(ticket)) = (&self.ledger, track.ticket()) else {
            return;
        };
        while track.is_open() && track.unmarked().is_some() {
            // Whoever tells it now looks again when that is done.
            let Ok(_turn) = track.marking.try_lock() else {
                return;
            };
            // One mark stands for all batches of a moment: each costs a synced commit.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = self.batcher.starves() => {}
                () = tokio::time::sleep(MARKED) => {}
            }
            let Some(mark) = track.unmarked().filter(|_| track.is_open()) else {
                return;
            };
            let object = track.object();
            match self.in_time(ledger.progress(ticket, &object, &mark)).await {
                Ok(()) => track.marked(&mark),
                Err(error) if error.kind() == ErrorKind::Changed => return track.fail(&error),
                Err(error) => {
                    tracing::warn!(%error, file = %object.id, "the ledger did not take the mark");
                    return;
                }
            }
        }
    }
}

impl Tally {
    fn undecided(&mut self, error: Option<&Error>) {
        self.records.undecided += 1;
        if self.error.is_none() {
            self.error = Some(error.map_or_else(stopped, Error::duplicate));
        }
    }
}
