//! The task that speaks of messages: it keeps those that are held invisible, deletes
//! those that are done and shows those that are given back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::calls::{Answer, BATCH, Speak};
use super::error::{Entry, ORIGIN};
use super::lease::{Lease, Registry};
use super::stats::{Counters, count};
use super::terms::seconds;

/// How long a decision waits for others to be told in the same call.
const LINGER: Duration = Duration::from_millis(30);

/// Calls under way at the same time.
const CALLS: usize = 16;

/// How often a decision is told that the queue does not take for the moment.
const ATTEMPTS: u32 = 8;

/// What is said of a message.
pub(crate) enum What {
    Delete,
    /// Show it again after so long.
    Show(Duration),
}

/// A decision on a message, and who waits for the queue's answer.
pub(crate) struct Job {
    pub(crate) lease: Arc<Lease>,
    pub(crate) what: What,
    pub(crate) reply: Option<oneshot::Sender<Result<()>>>,
    attempt: u32,
}

impl Job {
    pub(crate) fn new(
        lease: Arc<Lease>,
        what: What,
        reply: Option<oneshot::Sender<Result<()>>>,
    ) -> Self {
        Self {
            lease,
            what,
            reply,
            attempt: 0,
        }
    }

    fn answer(self, answer: Result<()>) {
        match self.reply {
            // Whoever asked may have gone.
            Some(reply) => drop(reply.send(answer)),
            None => {
                if let Err(error) = answer {
                    tracing::warn!(%error, "a message could not be given back");
                }
            }
        }
    }
}

/// What the keeper is told.
pub(crate) enum Command {
    /// A message was received: from now on it is kept invisible.
    Hold(Arc<Lease>),
    Decide(Job),
}

/// A message that is kept.
struct Kept {
    lease: Arc<Lease>,
    /// When it is extended next; not at all once it is to be shown.
    due: Option<Instant>,
    /// An extension is under way: a decision must not be overtaken by it.
    extending: bool,
    then: Option<Job>,
}

enum Done {
    Extended(Instant, Vec<(u64, Answer)>),
    Told(Vec<(Job, Answer)>),
}

pub(crate) struct Keeper<L> {
    line: L,
    counters: Arc<Counters>,
    registry: Arc<Registry>,
    commands: mpsc::UnboundedReceiver<Command>,
    kept: BTreeMap<u64, Kept>,
    deletes: Vec<Job>,
    shows: Vec<Job>,
    /// When what waits to be told goes in any case.
    flush: Option<Instant>,
    later: Vec<(Instant, Job)>,
    calls: JoinSet<Done>,
}

impl<L: Speak> Keeper<L> {
    pub(crate) fn new(
        line: L,
        counters: Arc<Counters>,
        registry: Arc<Registry>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            line,
            counters,
            registry,
            commands,
            kept: BTreeMap::new(),
            deletes: Vec::new(),
            shows: Vec::new(),
            flush: None,
            later: Vec::new(),
            calls: JoinSet::new(),
        }
    }

    /// Runs until nobody is left who could decide on a message, and all was told.
    pub(crate) async fn run(mut self) {
        let mut open = true;
        loop {
            self.act(Instant::now());
            let idle = self.kept.is_empty()
                && self.deletes.is_empty()
                && self.shows.is_empty()
                && self.later.is_empty()
                && self.calls.is_empty();
            if !open && idle {
                return;
            }
            let next = self.next();
            tokio::select! {
                biased;
                done = self.calls.join_next(), if !self.calls.is_empty() => {
                    // A call that panicked answers nobody: its messages lapse.
                    if let Some(Ok(done)) = done {
                        self.done(done);
                    }
                }
                command = self.commands.recv(), if open => match command {
                    Some(command) => self.take(command),
                    None => {
                        open = false;
                        // Nobody can decide on what is still here (its receipts were
                        // leaked): it comes again by itself.
                        let undecided = |kept: &Kept| !kept.lease.is_decided();
                        let left: Vec<u64> = self.kept.iter()
                            .filter(|(_, kept)| undecided(kept)).map(|(n, _)| *n).collect();
                        for number in left {
                            self.forget(number);
                        }
                    }
                },
                () = until(next) => {}
            }
        }
    }

    /// When something is to be done by itself.
    fn next(&self) -> Option<Instant> {
        let kept = self.kept.values().flat_map(|kept| {
            let due = kept.due.filter(|_| !kept.extending);
            let ends =
                (!kept.lease.is_decided()).then(|| kept.lease.until().min(kept.lease.hold_until()));
            [due, ends]
        });
        let later = self.later.iter().map(|(at, _)| Some(*at));
        // Where too many calls are under way the next answer wakes the task.
        let busy = self.calls.len() >= CALLS;
        kept.chain(later)
            .chain([self.flush])
            .flatten()
            .min()
            .filter(|_| !busy)
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Hold(lease) => {
                let kept = Kept {
                    due: Some(lease.received + lease.terms.beat()),
                    lease,
                    extending: false,
                    then: None,
                };
                self.kept.insert(kept.lease.number, kept);
            }
            Command::Decide(job) => {
                let Some(kept) = self.kept.get_mut(&job.lease.number) else {
                    // It was lost: it comes again, and nothing of it is deleted.
                    let lost = job.lease.lost().map_or_else(lapsed, |(_, error)| error);
                    let answer = match job.what {
                        What::Delete => Err(lost),
                        What::Show(_) => Ok(()),
                    };
                    job.answer(answer);
                    return;
                };
                job.lease.decide();
                match job.what {
                    // It is kept invisible until the queue said that it is deleted.
                    What::Delete => self.deletes.push(job),
                    What::Show(_) => {
                        kept.due = None;
                        if kept.extending {
                            kept.then = Some(job);
                            return;
                        }
                        self.shows.push(job);
                    }
                }
                self.flush.get_or_insert_with(|| Instant::now() + LINGER);
            }
        }
    }

    /// Does what is due.
    fn act(&mut self, now: Instant) {
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
        while self.calls.len() < CALLS
            && (self.deletes.len() >= BATCH || due && !self.deletes.is_empty())
        {
            let some = self.deletes.len().min(BATCH);
            let jobs: Vec<Job> = self.deletes.drain(..some).collect();
            self.delete(jobs, now);
        }
        while self.calls.len() < CALLS
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
        if self.calls.len() >= CALLS || !self.kept.values().any(|kept| soon(kept, u32::MAX)) {
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
            self.calls.spawn(async move {
                let sent = Instant::now();
                let messages = leases
                    .iter()
                    .map(|lease| {
                        let held = sent.duration_since(lease.received);
                        (lease.handle(), seconds(lease.terms.visibility, held))
                    })
                    .collect();
                let patience = leases.first().map_or(LINGER, |l| l.terms.patience());
                let answers = line.change(messages, patience).await;
                let numbers = leases.iter().map(|lease| lease.number);
                Done::Extended(sent, numbers.zip(answers).collect())
            });
        }
    }

    /// Deletes messages, of those that are still held.
    fn delete(&mut self, jobs: Vec<Job>, now: Instant) {
        let (held, lapsed): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.lease.until() > now);
        for job in lapsed {
            self.give_up(job, self::lapsed());
        }
        if held.is_empty() {
            return;
        }
        let line = self.line.clone();
        self.calls.spawn(async move {
            let handles = held.iter().map(|job| job.lease.handle()).collect();
            let patience = held
                .first()
                .map_or(LINGER, |job| job.lease.terms.patience());
            let answers = line.delete(handles, patience).await;
            Done::Told(held.into_iter().zip(answers).collect())
        });
    }

    fn show(&mut self, jobs: Vec<Job>, now: Instant) {
        let line = self.line.clone();
        self.calls.spawn(async move {
            let messages = jobs
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
            let answers = line.change(messages, patience).await;
            Done::Told(jobs.into_iter().zip(answers).collect())
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Extended(sent, answers) => {
                for (number, answer) in answers {
                    self.extended(number, sent, answer);
                }
            }
            Done::Told(answers) => {
                for (job, answer) in answers {
                    self.told(job, answer);
                }
            }
        }
    }

    fn extended(&mut self, number: u64, sent: Instant, answer: Answer) {
        let Some(kept) = self.kept.get_mut(&number) else {
            return;
        };
        kept.extending = false;
        let lease = Arc::clone(&kept.lease);
        let terms = lease.terms;
        match answer {
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
                self.counters.failed(&error, false);
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
        let deleting = matches!(job.what, What::Delete);
        let (what, error) = match answer {
            Answer::Done => {
                let (counter, name) = if deleting {
                    (&self.counters.deleted, "ctforward_sqs_deleted_total")
                } else {
                    (&self.counters.released, "ctforward_sqs_released_total")
                };
                count(counter, 1);
                metrics::counter!(name).increment(1);
                self.forget(job.lease.number);
                job.answer(Ok(()));
                return;
            }
            Answer::Failed(what, error) => (what, error),
        };
        self.counters.failed(&error, false);
        job.attempt += 1;
        let now = Instant::now();
        let held = !deleting || job.lease.until() > now;
        if what == Entry::Later && job.attempt < ATTEMPTS && held {
            let pause = Duration::from_millis(100 << job.attempt).min(Duration::from_secs(5));
            let pause = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            tracing::debug!(%error, ?pause, "a decision is told again");
            self.later.push((now + pause, job));
            return;
        }
        self.give_up(job, error);
    }

    /// A decision that the queue did not take.
    fn give_up(&mut self, job: Job, error: Error) {
        if matches!(job.what, What::Delete) {
            count(&self.counters.delete_errors, 1);
            metrics::counter!("ctforward_sqs_delete_errors_total").increment(1);
        }
        job.lease.lose(error.duplicate());
        self.forget(job.lease.number);
        job.answer(Err(error));
    }

    /// A message that is no longer held here.
    fn lose(&mut self, lease: &Arc<Lease>, error: Error) {
        tracing::warn!(%error, message = %lease.id, "a message is left to come again");
        count(&self.counters.lost, 1);
        metrics::counter!("ctforward_sqs_lost_total").increment(1);
        lease.lose(error);
        self.forget(lease.number);
    }

    fn forget(&mut self, number: u64) {
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

fn lapsed() -> Error {
    let why = "the message could not be kept invisible in time, and may be with somebody else: \
               nothing of it is deleted";
    Error::new(ErrorKind::Changed, ORIGIN, why)
}

async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
