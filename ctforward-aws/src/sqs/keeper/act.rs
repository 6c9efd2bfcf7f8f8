//! What is due: leases that end, extensions, and decisions to be told.

use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{Error, ErrorKind};
use tokio::time::Instant;

use super::{CALLS, Job, Keeper, Kept, LINGER, What, asked, lapsed};
use crate::sqs::calls::{BATCH, Speak};
use crate::sqs::error::ORIGIN;
use crate::sqs::lease::Lease;
use crate::sqs::stats::count;
use crate::sqs::terms::seconds;

impl<L: Speak> Keeper<L> {
    /// Does what is due.
    pub(super) fn act(&mut self, now: Instant) {
        self.end_leases(now);
        let mut at = 0;
        while at < self.later.len() {
            if self.later.get(at).is_some_and(|(then, _)| *then <= now) {
                let (_, job) = self.later.swap_remove(at);
                match job.what {
                    What::Delete => self.deletes.push(job),
                    What::Show(_) => self.shows.push(job),
                }
                self.flush = Some(now);
            } else {
                at += 1;
            }
        }
        self.extend(now);
        let due = self.flush.is_some_and(|flush| flush <= now);
        while self.deleting.len() < CALLS
            && (self.deletes.len() >= BATCH || due && !self.deletes.is_empty())
        {
            let some = self.deletes.len().min(BATCH);
            let jobs: Vec<Job> = self.deletes.drain(..some).collect();
            self.delete(jobs, now);
        }
        while self.showing.len() < CALLS
            && (self.shows.len() >= BATCH || due && !self.shows.is_empty())
        {
            let some = self.shows.len().min(BATCH);
            let jobs: Vec<Job> = self.shows.drain(..some).collect();
            self.show(jobs, now);
        }
        if self.deletes.is_empty() && self.shows.is_empty() {
            self.flush = None;
        }
    }

    /// Messages that were not extended in time, or were held for as long as can be.
    fn end_leases(&mut self, now: Instant) {
        let ended: Vec<Arc<Lease>> = self
            .kept
            .values()
            .map(|kept| &kept.lease)
            .filter(|lease| !lease.is_decided())
            .filter(|lease| lease.until() <= now || lease.hold_until() <= now)
            .map(Arc::clone)
            .collect();
        for lease in ended {
            if lease.until() <= now {
                self.lose(&lease, lapsed());
                continue;
            }
            count(&self.counters.expired, 1);
            let why = "the message was held for 11 h 30 min, and is given back: SQS lets go of it \
                       after 12 hours";
            tracing::warn!(message = %lease.id, "{why}");
            lease.lose(Error::new(ErrorKind::Timeout, ORIGIN, why));
            lease.decide();
            let pause = lease.terms.pause(lease.receives, fastrand::f64());
            let job = Job::new(Arc::clone(&lease), What::Show(pause), None);
            let Some(kept) = self.kept.get_mut(&lease.number) else {
                continue;
            };
            kept.due = None;
            if kept.extending {
                kept.then = Some(job);
            } else {
                self.shows.push(job);
                self.flush = Some(now);
            }
        }
    }

    /// Extends what is due, with what soon will be.
    fn extend(&mut self, now: Instant) {
        let soon = |kept: &Kept, slack: u32| {
            let slack = kept.lease.terms.beat() / slack;
            kept.due.is_some_and(|due| due <= now + slack) && !kept.extending
        };
        if self.extending.len() >= CALLS || !self.kept.values().any(|kept| soon(kept, u32::MAX)) {
            return;
        }
        let due: Vec<Arc<Lease>> = self
            .kept
            .values_mut()
            .filter(|kept| soon(kept, 5))
            .map(|kept| {
                kept.extending = true;
                Arc::clone(&kept.lease)
            })
            .collect();
        // More calls than CALLS may be under way for these: they cannot wait.
        for leases in due.chunks(BATCH) {
            let line = self.line.clone();
            let leases = leases.to_vec();
            self.extending.spawn(async move {
                let sent = Instant::now();
                let handles: Vec<String> = leases.iter().map(|lease| lease.handle()).collect();
                let messages = leases.iter().zip(&handles).map(|(lease, handle)| {
                    let held = sent.duration_since(lease.received);
                    (handle.clone(), seconds(lease.terms.visibility, held))
                });
                let messages: Vec<_> = messages.collect();
                let patience = leases.first().map_or(LINGER, |l| l.terms.patience());
                let change = async move { line.change(messages, patience).await };
                let answers = asked(leases.len(), change).await;
                let numbers = leases.iter().map(|lease| lease.number);
                (sent, numbers.zip(handles).zip(answers).collect())
            });
        }
    }

    /// Deletes messages, of those that are still held.
    fn delete(&mut self, jobs: Vec<Job>, now: Instant) {
        let (held, late): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.lease.until() > now);
        for job in late {
            self.give_up(job, lapsed());
        }
        if held.is_empty() {
            return;
        }
        let line = self.line.clone();
        self.deleting.spawn(async move {
            let handles: Vec<_> = held.iter().map(|job| job.lease.handle()).collect();
            let patience = held
                .first()
                .map_or(LINGER, |job| job.lease.terms.patience());
            let delete = async move { line.delete(handles, patience).await };
            let answers = asked(held.len(), delete).await;
            held.into_iter().zip(answers).collect()
        });
    }

    fn show(&mut self, jobs: Vec<Job>, now: Instant) {
        let line = self.line.clone();
        self.showing.spawn(async move {
            let messages: Vec<_> = jobs
                .iter()
                .map(|job| {
                    let after = match job.what {
                        What::Show(after) => after,
                        What::Delete => Duration::ZERO,
                    };
                    let held = now.duration_since(job.lease.received);
                    (job.lease.handle(), seconds(after, held))
                })
                .collect();
            let patience = jobs
                .first()
                .map_or(LINGER, |job| job.lease.terms.patience());
            let change = async move { line.change(messages, patience).await };
            let answers = asked(jobs.len(), change).await;
            jobs.into_iter().zip(answers).collect()
        });
    }
}
