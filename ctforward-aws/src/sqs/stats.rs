use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

    /// What keeps the source from doing its work now; `None` where nothing does, or
    /// nothing was answered yet.
    ///
    /// This is why the last call for messages failed, whatever the reason. Where that
    /// call went well, it is why the queue last did not let messages be deleted, or else
    /// why it did not let their visibility be changed, as far as somebody's hand is
    /// needed ([`ErrorKind::Unauthorized`] and [`ErrorKind::Config`]): messages arrive
    /// then, and every one of them comes back. Each of the two is over with the next call
    /// of its own kind that goes well, so not before one is made.
    #[must_use]
    pub fn failing(&self) -> Option<Error> {
        self.0.failing().first().map(Error::duplicate)
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
    failing: Mutex<Failing>,
    /// Something that was held is held no more.
    pub(crate) let_go: Notify,
    /// What speaks with the queue; closed once the source was dropped.
    pub(crate) tasks: TaskTracker,
}

/// What a call asked of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Receive,
    Delete,
    /// To extend messages or to show them again.
    Visibility,
}

/// Why calls fail, by what they asked for: each is answered by a permission of its own,
/// so a call of one kind that goes well says nothing of the others.
#[derive(Debug, Default)]
struct Failing {
    receive: Option<Error>,
    delete: Option<Error>,
    visibility: Option<Error>,
}

impl Failing {
    fn of(&mut self, call: Call) -> &mut Option<Error> {
        match call {
            Call::Receive => &mut self.receive,
            Call::Delete => &mut self.delete,
            Call::Visibility => &mut self.visibility,
        }
    }

    /// The one that matters most.
    fn first(&self) -> Option<&Error> {
        let telling = self.delete.as_ref().or(self.visibility.as_ref());
        self.receive.as_ref().or(telling)
    }
}

pub(crate) fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl Counters {
    fn failing(&self) -> MutexGuard<'_, Failing> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a failed call; throttling and access are counted apart.
    pub(crate) fn failed(&self, error: &Error, call: Call) {
        let receiving = call == Call::Receive;
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
    }

    /// Notes how a call ended. What a single message suffers, or what passes by itself, is
    /// no state of the source, except where no messages come meanwhile.
    pub(crate) fn ended(&self, call: Call, error: Option<&Error>) {
        let lasting = |error: &Error| {
            matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Config)
                || call == Call::Receive
        };
        if error.is_none_or(lasting) {
            *self.failing().of(call) = error.map(Error::duplicate);
        }
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
