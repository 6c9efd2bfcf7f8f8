//! The task that speaks of messages: it keeps those that are held invisible, deletes
//! those that are done and shows those that are given back.

mod act;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::calls::{Answer, Speak};
use super::error::ORIGIN;
use super::lease::{Lease, Registry};
use super::stats::Counters;

/// How long a decision waits for others to be told in the same call.
const LINGER: Duration = Duration::from_millis(30);

/// Calls of one kind under way at the same time. Each kind has its own: a burst of
/// extensions keeps no delete waiting, nor the other way round.
const CALLS: usize = 8;

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
    /// A message was received: from now on it is kept invisible. Of one that is kept it
    /// says that it was received once more.
    Hold(Arc<Lease>),
    /// The first decision on a message counts.
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

/// Extensions that were asked for at a time, by which handles, and what became of each.
type Extended = (Instant, Vec<((u64, String), Answer)>);

/// Decisions that were told, and what became of each.
type Told = Vec<(Job, Answer)>;

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
    extending: JoinSet<Extended>,
    deleting: JoinSet<Told>,
    showing: JoinSet<Told>,
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
            extending: JoinSet::new(),
            deleting: JoinSet::new(),
            showing: JoinSet::new(),
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
                && self.extending.is_empty()
                && self.deleting.is_empty()
                && self.showing.is_empty();
            if !open && idle {
                return;
            }
            let next = self.next();
            tokio::select! {
                biased;
                // A call that panicked has answers too: see `asked`.
                Some(done) = self.extending.join_next() => {
                    let (sent, answers) = done.unwrap_or_else(|_| (Instant::now(), Vec::new()));
                    for ((number, handle), answer) in answers {
                        self.extended(number, &handle, sent, answer);
                    }
                }
                Some(done) = self.deleting.join_next() => self.all_told(done.unwrap_or_default()),
                Some(done) = self.showing.join_next() => self.all_told(done.unwrap_or_default()),
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
        // Where too many calls are under way the next answer wakes the task.
        let extends = self.extending.len() < CALLS;
        let kept = self.kept.values().flat_map(|kept| {
            let due = kept.due.filter(|_| extends && !kept.extending);
            let ends =
                (!kept.lease.is_decided()).then(|| kept.lease.until().min(kept.lease.hold_until()));
            [due, ends]
        });
        let later = self.later.iter().map(|(at, _)| Some(*at));
        let tells = !self.deletes.is_empty() && self.deleting.len() < CALLS
            || !self.shows.is_empty() && self.showing.len() < CALLS;
        kept.chain(later)
            .chain([self.flush.filter(|_| tells)])
            .flatten()
            .min()
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Hold(lease) => {
                // A third of what is left: the call for messages may have waited long.
                let now = Instant::now();
                let due = now + lease.until().saturating_duration_since(now) / 3;
                if let Some(kept) = self.kept.get_mut(&lease.number) {
                    kept.due = kept.due.map(|_| due);
                } else if lease.lost().is_none() && !lease.is_decided() {
                    let kept = Kept {
                        due: Some(due),
                        lease,
                        extending: false,
                        then: None,
                    };
                    self.kept.insert(kept.lease.number, kept);
                }
            }
            Command::Decide(job) => {
                let kept = self.kept.get_mut(&job.lease.number);
                let Some(kept) = kept.filter(|kept| !kept.lease.is_decided()) else {
                    // It was lost, or decided before: nothing of it is deleted, and it
                    // comes again, if it was not deleted then.
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

/// What a call answers, one for each message; where it panicked, that it is to be asked
/// again. Without this the messages would be kept for ever.
async fn asked(
    count: usize,
    call: impl Future<Output = Vec<Answer>> + Send + 'static,
) -> Vec<Answer> {
    let mut answers = tokio::spawn(call).await.unwrap_or_default();
    answers.resize_with(count, Answer::unsaid);
    answers
}
