//! The end of a file: quarantine, then ledger, then receipt.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::books::FileBooks;
use super::report::Outcome;
use super::run::{LEDGER, Run};
use super::track::{Closing, Holdings, ReadEnd};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{FileName, LogKey};
use crate::ledger::{Finished, Ticket};
use crate::object::{Object, ObjectId};
use crate::quarantine::{QuarantineEntry, Reason};

/// The longest pause of what is given back by a run that cannot go on.
const SOON: Duration = Duration::from_secs(5);

impl Run {
    /// Quarantine, then ledger, then receipt; a failure at any step acknowledges nothing.
    #[tracing::instrument(level = "debug", skip_all, fields(file = %closing.object.id))]
    pub(super) async fn close(&self, closing: Closing) {
        let Closing {
            number,
            since,
            ticket,
            object,
            mut books,
            resumed,
            mark,
            events,
            sha256,
            end,
            holdings,
        } = closing;
        let Holdings { receipt, awaiting } = holdings;
        let ticket = ticket.as_ref();
        // Of what is not to be had, whatever a listing said, nothing was read: its
        // row names no ETag, so that it is tried when it is there.
        let had = match &end {
            ReadEnd::Quarantine(end)
                if !matches!(end.reason, Reason::Missing | Reason::Archived) =>
            {
                Arc::clone(&object)
            }
            ReadEnd::Quarantine(_) => Arc::new(Object::new(object.id.clone())),
            _ => Arc::clone(&object),
        };
        let decided = match end {
            ReadEnd::Complete => Ok(Outcome::Delivered),
            ReadEnd::Skip(why) => Ok(Outcome::Skipped(why)),
            ReadEnd::Release(error) => Err(error),
            ReadEnd::Quarantine(unreadable) => {
                let mut entry = QuarantineEntry::new(
                    (*object).clone(),
                    unreadable.reason,
                    unreadable.detail,
                    unreadable.kept,
                );
                if unreadable.from > 0 {
                    entry = entry.at_offset(unreadable.from);
                }
                let put = self.keep(entry).await;
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
                self.give_back(receipt, ticket, &error, &object.id).await;
                Ok(dry)
            }
            (Ok(outcome), None) => {
                let mut whole = books;
                // The row's books are those of all runs.
                whole.records += resumed.records;
                whole.records.resumed = 0;
                let row = match outcome {
                    Outcome::Quarantined => Finished::quarantined(whole),
                    _ => Finished::delivered(whole),
                };
                let row = row.with_events(events).with_sha256(sha256);
                let finished = self
                    .in_time(self.finish(receipt, ticket, &had, &row, outcome))
                    .await;
                finished.map(|()| outcome)
            }
            (Err(error), _) => {
                if let (Some(ledger), Some(ticket), Some(mark)) = (&self.ledger, ticket, mark)
                    && let Err(error) = self.in_time(ledger.progress(ticket, &object, &mark)).await
                {
                    tracing::warn!(%error, file = %object.id, "the ledger did not take the mark");
                }
                self.give_back(receipt, ticket, &error, &object.id).await;
                Err(error)
            }
        };
        if matches!(finished, Ok(Outcome::Delivered | Outcome::Quarantined)) {
            self.was_seen(&object.id.key, events.map(|(_, last)| last));
        }
        self.progress.waits(self.live.ended(since, number));
        self.enter(&object.id, &books, finished);
        drop(awaiting);
    }

    /// The ledger's row first, then the receipt; what fails on the way leaves the
    /// receipt released.
    async fn finish(
        &self,
        receipt: Box<dyn crate::Receipt>,
        ticket: Option<&Ticket>,
        object: &Object,
        row: &Finished,
        outcome: Outcome,
    ) -> Result<()> {
        // Somebody else may be at the file by now: a lost lease finishes nothing.
        if let Some(error) = receipt.lost() {
            self.give_back(receipt, ticket, &error, &object.id).await;
            return Err(error);
        }
        if let (Some(ledger), Some(ticket)) = (&self.ledger, ticket) {
            let noted = match outcome {
                Outcome::Delivered | Outcome::Quarantined => {
                    ledger.finish(ticket, object, row).await
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
        ticket: Option<&Ticket>,
        error: &Error,
        object: &ObjectId,
    ) {
        if let (Some(ledger), Some(ticket)) = (&self.ledger, ticket)
            && let Err(error) = self.in_time(ledger.release(ticket)).await
        {
            tracing::warn!(%error, file = %object, "the ledger did not take the file back");
        }
        self.release(receipt, error, object).await;
    }

    /// Releases a receipt: the file should come again not earlier than the error says,
    /// or, where the run was told to stop, at once. The pause that this sink asked for is
    /// none of another process, whose sink may be well.
    pub(super) async fn release(
        &self,
        receipt: Box<dyn crate::Receipt>,
        error: &Error,
        object: &ObjectId,
    ) {
        let after = match error.retry() {
            crate::Retry::After(after) => Some(after),
            _ => None,
        };
        // Who holds the file in the ledger holds it still when this run has ended.
        let is_held = after.is_some() && error.origin() == LEDGER;
        let after = if !self.stop.is_cancelled() || is_held {
            after
        } else if self.state().fatal.is_none() {
            Some(Duration::ZERO)
        } else {
            // A run that cannot go on may be begun again and again: with no pause at all
            // it would use up how often a message may be received.
            after.map(|after| after.min(SOON))
        };
        if let Err(error) = self.in_time(receipt.release(error, after)).await {
            tracing::warn!(%error, file = %object, "the file could not be released");
        }
    }

    /// A file that was not begun is given back.
    pub(super) async fn refuse(
        &self,
        id: &ObjectId,
        receipt: Box<dyn crate::Receipt>,
        error: Error,
    ) {
        self.release(receipt, &error, id).await;
        self.enter(id, &FileBooks::default(), Err(error));
    }

    /// A file that is rightly not read is acknowledged.
    pub(super) async fn skip(
        &self,
        id: &ObjectId,
        why: &'static str,
        receipt: Box<dyn crate::Receipt>,
    ) {
        let accepted = if self.dry_run {
            // Dropping a receipt is a release.
            Ok(())
        } else {
            self.in_time(receipt.accept()).await
        };
        let books = FileBooks::default();
        self.enter(id, &books, accepted.map(|()| Outcome::Skipped(why)));
    }

    /// Hands to the metrics recorder what only time changes.
    pub(super) fn meter(&self) {
        self.progress.meter_oldest();
        let now = Timestamp::now();
        let state = self.state();
        let seen = &state.last_seen;
        let known = seen.rows().len();
        let silent = seen.silent(now, self.limits.silent_after);
        let oldest = seen
            .oldest()
            .map(|(_, _, seen)| seen.event.unwrap_or(seen.finished));
        drop(state);
        let age = oldest.map_or(0, |oldest| (now.as_second() - oldest.as_second()).max(0));
        #[allow(clippy::cast_precision_loss, reason = "counts and ages")]
        {
            metrics::gauge!("ctforward_account_regions").set(known as f64);
            metrics::gauge!("ctforward_account_regions_silent").set(silent as f64);
            metrics::gauge!("ctforward_account_regions_oldest_seconds").set(age as f64);
        }
    }

    /// Notes that a file of some account and region was finished.
    fn was_seen(&self, key: &str, event: Option<Timestamp>) {
        let (account, region) = match LogKey::parse(key) {
            Some(key) => (key.account, key.region),
            None => match FileName::parse(key.rsplit('/').next().unwrap_or(key)) {
                Some(name) => (name.account, name.region),
                None => return,
            },
        };
        let now = Timestamp::now();
        let mut state = self.state();
        state.last_seen.finished(account, region, event, now);
    }
}
