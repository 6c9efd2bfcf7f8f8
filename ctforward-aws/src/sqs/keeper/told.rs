//! What the queue's answers mean.

use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{Error, ErrorKind};
use tokio::time::Instant;

use super::{Job, Keeper, Told, What};
use crate::sqs::calls::{Answer, Speak};
use crate::sqs::error::Entry;
use crate::sqs::lease::Lease;
use crate::sqs::stats::{Call, count};

/// How often it is told to show a message that the queue does not take for the moment:
/// one that is not told comes again by itself, only at another time. A message that is to
/// be deleted would be delivered once more, so that is told for as long as it is held.
const SHOWS: u32 = 8;

/// The longest pause before a decision is told again.
const LONGEST: Duration = Duration::from_secs(5);

impl<L: Speak> Keeper<L> {
    pub(super) fn all_told(&mut self, told: Told) {
        for (job, answer) in told {
            self.told(job, answer);
        }
    }

    pub(super) fn extended(&mut self, number: u64, handle: &str, sent: Instant, answer: Answer) {
        // Also where the message has gone meanwhile: whether the call is allowed hangs on
        // none.
        self.counters.ended(Call::Visibility, answer.error());
        let Some(kept) = self.kept.get_mut(&number) else {
            return;
        };
        kept.extending = false;
        let lease = Arc::clone(&kept.lease);
        let terms = lease.terms;
        match answer {
            // It came once more meanwhile: what is said of the older handle counts for
            // nothing.
            _ if lease.handle() != handle => kept.due = kept.due.map(|_| Instant::now()),
            Answer::Done => {
                lease.extended(sent + terms.visibility);
                kept.due = kept.due.map(|_| sent + terms.beat());
                count(&self.counters.extended, 1);
                metrics::counter!("ctforward_sqs_extensions_total").increment(1);
            }
            // It was deleted meanwhile, or is about to be; the delete's own answer counts.
            Answer::Failed(Entry::Gone | Entry::Refused, _) if lease.is_decided() => {
                kept.due = None;
            }
            Answer::Failed(what, error) => {
                self.counters.failed(&error, Call::Visibility);
                // Where no message could be extended at all, access may come back in time.
                let whole = !matches!(error.kind(), ErrorKind::Changed | ErrorKind::Other);
                if what == Entry::Later || whole {
                    tracing::debug!(%error, message = %lease.id, "a message is extended again");
                    kept.due = kept.due.map(|_| Instant::now() + terms.beat_again());
                } else {
                    self.lose(&lease, error);
                    return;
                }
            }
        }
        if let Some(job) = self.kept.get_mut(&number).and_then(|kept| kept.then.take()) {
            self.shows.push(job);
            self.flush.get_or_insert_with(Instant::now);
        }
    }

    fn told(&mut self, mut job: Job, answer: Answer) {
        let call = match job.what {
            What::Delete => Call::Delete,
            What::Show(_) => Call::Visibility,
        };
        self.counters.ended(call, answer.error());
        let deleting = call == Call::Delete;
        let (what, error) = match answer {
            Answer::Done => {
                if deleting {
                    count(&self.counters.deleted, 1);
                    metrics::counter!("ctforward_sqs_deleted_total").increment(1);
                } else {
                    count(&self.counters.released, 1);
                    metrics::counter!("ctforward_sqs_released_total").increment(1);
                }
                self.forget(job.lease.number);
                job.answer(Ok(()));
                return;
            }
            Answer::Failed(what, error) => (what, error),
        };
        self.counters.failed(&error, call);
        job.attempt = job.attempt.saturating_add(1);
        let now = Instant::now();
        let again = if deleting {
            // It is extended meanwhile, but not beyond what the queue allows.
            job.lease.until().min(job.lease.hold_until()) > now
        } else {
            job.attempt < SHOWS
        };
        if what == Entry::Later && again {
            let pause = Duration::from_millis(100 << job.attempt.min(10)).min(LONGEST);
            let pause = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            tracing::debug!(%error, ?pause, "a decision is told again");
            self.later.push((now + pause, job));
            return;
        }
        self.give_up(job, error);
    }

    /// A decision that the queue did not take.
    pub(super) fn give_up(&mut self, job: Job, error: Error) {
        if matches!(job.what, What::Delete) {
            count(&self.counters.delete_errors, 1);
            metrics::counter!("ctforward_sqs_delete_errors_total").increment(1);
        }
        job.lease.lose(error.duplicate());
        self.forget(job.lease.number);
        job.answer(Err(error));
    }

    /// A message that is no longer held here.
    pub(super) fn lose(&mut self, lease: &Arc<Lease>, error: Error) {
        tracing::warn!(%error, message = %lease.id, "a message is left to come again");
        count(&self.counters.lost, 1);
        metrics::counter!("ctforward_sqs_lost_total").increment(1);
        lease.lose(error);
        self.forget(lease.number);
    }

    pub(super) fn forget(&mut self, number: u64) {
        let Some(kept) = self.kept.remove(&number) else {
            return;
        };
        self.registry.remove(&kept.lease);
        if let Some(job) = kept.then {
            job.answer(Ok(()));
        }
        self.counters.let_go_message();
    }
}
