use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ctforward_core::{Error, ErrorKind};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// What a queue source has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqsStats {
    /// Answers of the queue to a call for messages, empty ones included.
    pub receives: u64,
    /// Those that brought no message.
    pub empty_receives: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Messages that arrived again while they were still held here, and were taken
    /// for the ones in hand.
    pub repeated: u64,
    /// Files that messages named, as often as they named them.
    pub files: u64,
    /// Of these, those that were under way already, by another message or place in it:
    /// they share what becomes of the first.
    pub doubled: u64,
    /// Items that rightly are no files (test events, removals).
    pub skipped: u64,
    /// Messages that could not be understood, or named what is not allowed.
    pub foreign: u64,
    /// Of these, those left to the queue's own dead-letter queue.
    pub left_to_dead_letters: u64,
    /// Messages deleted.
    pub deleted: u64,
    /// Messages given back, those after 11 h 30 min included.
    pub released: u64,
    /// Extensions of a message's visibility that were answered with success.
    pub extended: u64,
    /// Messages that are no longer held because an extension failed for good.
    pub lost: u64,
    /// Messages given back because they were held for 11 h 30 min.
    pub expired: u64,
    /// Calls for messages that failed, other than by one of the next two.
    pub receive_errors: u64,
    /// Calls of any kind to which the queue asked for a slower pace.
    pub throttled: u64,
    /// Calls of any kind that the credentials do not allow.
    pub denied: u64,
    /// Deletes that were given up; the messages come again.
    pub delete_errors: u64,
    /// Messages held now.
    pub messages_held: u64,
    /// Files held now: handed over or waiting for it, and not decided.
    pub files_held: u64,
    /// Their bytes as stored; a file of which no size was said counts as 1 MiB.
    pub bytes_held: u64,
}

/// Reads the [`SqsStats`] of a source that was given away; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SqsStatsHandle(pub(crate) Arc<Counters>);

impl SqsStatsHandle {
    /// The counts at this moment.
    #[must_use]
    pub fn get(&self) -> SqsStats {
        let c = &self.0;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SqsStats {
            receives: read(&c.receives),
            empty_receives: read(&c.empty_receives),
            messages: read(&c.messages),
            repeated: read(&c.repeated),
            files: read(&c.files),
            doubled: read(&c.doubled),
            skipped: read(&c.skipped),
            foreign: read(&c.foreign),
            left_to_dead_letters: read(&c.left_to_dead_letters),
            deleted: read(&c.deleted),
            released: read(&c.released),
            extended: read(&c.extended),
            lost: read(&c.lost),
            expired: read(&c.expired),
            receive_errors: read(&c.receive_errors),
            throttled: read(&c.throttled),
            denied: read(&c.denied),
            delete_errors: read(&c.delete_errors),
            messages_held: read(&c.messages_held),
            files_held: read(&c.files_held),
            bytes_held: read(&c.bytes_held),
        }
    }

    /// Why the last call for messages failed; `None` where it went well, or none was
    /// answered yet.
    #[must_use]
    pub fn failing(&self) -> Option<Error> {
        let failing = self.0.failing.lock();
        let failing = failing.unwrap_or_else(PoisonError::into_inner);
        failing.as_ref().map(Error::duplicate)
    }

    /// Waits until the source was dropped and all was told to the queue that there was
    /// to tell: by then the messages that were not handed over are given back.
    ///
    /// A call for messages that is under way is waited for too, and so is every receipt;
    /// a program that ends should not wait for ever.
    pub async fn told(&self) {
        self.0.tasks.wait().await;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) receives: AtomicU64,
    pub(crate) empty_receives: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) foreign: AtomicU64,
    pub(crate) left_to_dead_letters: AtomicU64,
    pub(crate) deleted: AtomicU64,
    pub(crate) released: AtomicU64,
    pub(crate) extended: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) receive_errors: AtomicU64,
    pub(crate) throttled: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) delete_errors: AtomicU64,
    pub(crate) messages_held: AtomicU64,
    pub(crate) files_held: AtomicU64,
    pub(crate) bytes_held: AtomicU64,
    failing: Mutex<Option<Error>>,
    /// Something that was held is held no more.
    pub(crate) let_go: Notify,
    /// What speaks with the queue; closed once the source was dropped.
    pub(crate) tasks: TaskTracker,
}

pub(crate) fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl Counters {
    /// Notes a failed call; throttling and access are counted apart.
    pub(crate) fn failed(&self, error: &Error, receiving: bool) {
        let counter = match error.kind() {
            ErrorKind::Throttled => Some(&self.throttled),
            ErrorKind::Unauthorized => Some(&self.denied),
            _ if receiving => Some(&self.receive_errors),
            _ => None,
        };
        if let Some(counter) = counter {
            count(counter, 1);
        }
        let call = if receiving { "receive" } else { "answer" };
        metrics::counter!("ctforward_sqs_errors_total", "call" => call, "kind" => error.kind().as_str())
            .increment(1);
        if receiving {
            self.set_failing(Some(error.duplicate()));
        }
    }

    /// Notes how the last call for messages ended.
    pub(crate) fn set_failing(&self, error: Option<Error>) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Hands to the metrics recorder what is held.
    pub(crate) fn meter(&self) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        #[allow(clippy::cast_precision_loss, reason = "counts")]
        {
            metrics::gauge!("ctforward_sqs_messages_held").set(read(&self.messages_held) as f64);
            metrics::gauge!("ctforward_sqs_files_held").set(read(&self.files_held) as f64);
            metrics::gauge!("ctforward_sqs_bytes_held").set(read(&self.bytes_held) as f64);
        }
    }

    pub(crate) fn hold_message(&self) {
        self.messages_held.fetch_add(1, Ordering::Relaxed);
        self.meter();
    }

    pub(crate) fn let_go_message(&self) {
        self.messages_held.fetch_sub(1, Ordering::Relaxed);
        self.meter();
        self.let_go.notify_one();
    }

    /// Whether nothing is held.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.messages_held.load(Ordering::Relaxed) == 0
            && self.files_held.load(Ordering::Relaxed) == 0
    }

    /// Room that one file takes up for as long as the answer lives.
    pub(crate) fn hold_file(self: &Arc<Self>, bytes: u64) -> Held {
        self.files_held.fetch_add(1, Ordering::Relaxed);
        self.bytes_held.fetch_add(bytes, Ordering::Relaxed);
        self.meter();
        Held {
            counters: Arc::clone(self),
            bytes,
        }
    }
}

/// A file that is held.
#[derive(Debug)]
pub(crate) struct Held {
    counters: Arc<Counters>,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counters.files_held.fetch_sub(1, Ordering::Relaxed);
        self.counters
            .bytes_held
            .fetch_sub(self.bytes, Ordering::Relaxed);
        self.counters.meter();
        self.counters.let_go.notify_one();
    }
}
