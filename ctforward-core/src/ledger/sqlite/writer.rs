//! The thread that owns the file. Calls that wait together are written together:
//! one transaction, one sync of the disk where one of them asks for it, and only then
//! their answers.

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::fault;
use super::owners::Owners;
use super::seen::{Keep, SeenTable};
use super::store::{Clock, Store};
use crate::error::{Error, Result, Retry};
use crate::ledger::{Claim, Seen, Ticket};

/// So many calls go into one transaction, at most.
const TOGETHER: usize = 512;

/// What a call's change has to outlive before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlives {
    /// The process. Were the machine's power to fail, such a change may be undone:
    /// then records are sent once more, and nothing else comes of it.
    Process,
    /// The machine's power as well: it is synced to the disk.
    Power,
}

/// A call on its way to the thread.
pub(super) type BoxJob = Box<dyn Job>;

pub(super) trait Job: Send {
    /// Does the work, inside a transaction.
    fn run(&mut self, store: &mut Store<'_>);

    fn outlives(&self) -> Outlives;

    /// Why it was not done.
    fn refusal(&self) -> Option<&Error>;

    /// Hands the answer over: the work's own, or why the transaction was not
    /// committed. Gives back a grant of which nobody is left to hear.
    fn answer(self: Box<Self>, failed: Option<&Error>) -> Option<Ticket>;
}

/// What a call answers.
pub(super) trait Answer: Send + 'static {
    /// The grant in it.
    fn grant(self) -> Option<Ticket>;
}

impl Answer for Claim {
    fn grant(self) -> Option<Ticket> {
        match self {
            Self::Granted { ticket, .. } => Some(ticket),
            _ => None,
        }
    }
}

impl Answer for () {
    fn grant(self) -> Option<Ticket> {
        None
    }
}

impl Answer for [u8; 32] {
    fn grant(self) -> Option<Ticket> {
        None
    }
}

impl Answer for Vec<Seen> {
    fn grant(self) -> Option<Ticket> {
        None
    }
}

pub(super) struct Call<T, F> {
    work: Option<F>,
    outlives: Outlives,
    done: Result<T>,
    reply: Option<oneshot::Sender<Result<T>>>,
}

impl<T, F> Call<T, F>
where
    T: Answer,
    F: FnOnce(&mut Store<'_>) -> Result<T> + Send + 'static,
{
    pub(super) fn job(
        outlives: Outlives,
        work: F,
        reply: Option<oneshot::Sender<Result<T>>>,
    ) -> BoxJob {
        Box::new(Self {
            work: Some(work),
            outlives,
            done: Err(fault::ended()),
            reply,
        })
    }
}

impl<T, F> Job for Call<T, F>
where
    T: Answer,
    F: FnOnce(&mut Store<'_>) -> Result<T> + Send,
{
    fn run(&mut self, store: &mut Store<'_>) {
        if let Some(work) = self.work.take() {
            self.done = work(store);
        }
    }

    fn outlives(&self) -> Outlives {
        self.outlives
    }

    fn refusal(&self) -> Option<&Error> {
        self.done.as_ref().err()
    }

    fn answer(self: Box<Self>, failed: Option<&Error>) -> Option<Ticket> {
        let answer = match failed {
            Some(error) => Err(error.duplicate()),
            None => self.done,
        };
        let unheard = match self.reply {
            Some(reply) => reply.send(answer).err()?,
            None => answer,
        };
        unheard.ok()?.grant()
    }
}

/// Gives back a grant that nobody waits for any more.
pub(super) fn give_back(ticket: Ticket) -> BoxJob {
    let release = move |store: &mut Store<'_>| store.release(&ticket);
    Call::job(Outlives::Process, release, None)
}

/// What the thread starts with.
pub(super) struct Start {
    pub(super) connection: Connection,
    pub(super) owners: Owners,
    pub(super) keep: Keep,
    pub(super) clock: Clock,
}

/// The thread's work: until every sender is gone and the queue is empty.
pub(super) fn serve(
    start: Start,
    mut jobs: mpsc::Receiver<BoxJob>,
    ready: &std::sync::mpsc::Sender<Result<()>>,
) {
    let Start {
        connection,
        owners,
        keep,
        clock,
    } = start;
    let begun = SeenTable::new(&connection, keep)
        .and_then(|seen| Store::new(&connection, seen, owners, clock))
        .map(|store| {
            let _ = ready.send(Ok(()));
            answer_all(store, &mut jobs);
        });
    if let Err(error) = begun {
        let _ = ready.send(Err(error));
    }
    // The last connection to close writes the log back into the file and removes it.
    if let Err((_, error)) = connection.close() {
        tracing::warn!(error = %fault::sqlite(error), "the ledger was not closed properly");
    }
}

fn answer_all(mut store: Store<'_>, jobs: &mut mpsc::Receiver<BoxJob>) {
    let mut batch = Vec::new();
    // As the connection was made.
    let mut now = Outlives::Power;
    while jobs.blocking_recv_many(&mut batch, TOGETHER) > 0 {
        let unheard = together(&mut store, std::mem::take(&mut batch), &mut now);
        if !unheard.is_empty() {
            let released = unheard.into_iter().map(give_back).collect();
            together(&mut store, released, &mut now);
        }
    }
}

/// Runs calls in one transaction and answers them after it; returns the grants of
/// which nobody heard.
fn together(store: &mut Store<'_>, mut batch: Vec<BoxJob>, now: &mut Outlives) -> Vec<Ticket> {
    let failed = transaction(store, &mut batch, now).err();
    batch
        .into_iter()
        .filter_map(|job| job.answer(failed.as_ref()))
        .collect()
}

/// A commit with a sync of the disk takes with it all that was committed before it.
const SYNCED: &str = "PRAGMA synchronous = FULL";

/// Written to the log without one. The log is synced before it is written back into
/// the file, so that a failure of power can undo the last such commits and harms
/// nothing else.
const UNSYNCED: &str = "PRAGMA synchronous = NORMAL";

/// Runs calls in one transaction; `now` is what the connection's commits outlive.
fn transaction(store: &mut Store<'_>, batch: &mut [BoxJob], now: &mut Outlives) -> Result<()> {
    let connection = store.connection;
    let lasting = batch.iter().any(|job| job.outlives() == Outlives::Power);
    let (wanted, level) = match lasting {
        true => (Outlives::Power, SYNCED),
        false => (Outlives::Process, UNSYNCED),
    };
    if *now != wanted {
        connection.execute_batch(level).map_err(fault::sqlite)?;
        *now = wanted;
    }
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(fault::sqlite)?;
    for job in batch {
        job.run(store);
        // A full disk, or one that fails, may take the whole transaction with it.
        if connection.is_autocommit() {
            let lost = job.refusal().map_or_else(fault::ended, Error::duplicate);
            return Err(lost.with_retry(Retry::Backoff));
        }
    }
    connection.execute_batch("COMMIT").map_err(|error| {
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        fault::sqlite(error)
    })
}
