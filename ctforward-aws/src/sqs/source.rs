//! The source: calls for messages, and hands over what they name.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use ctforward_core::deliver::Denied;
use ctforward_core::{Error, ErrorKind, Intake, Result, Retry, Source};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::builder::SqsSourceBuilder;
use super::depth::QueueDepthHandle;
use super::error::ORIGIN;
use super::keeper::{Command, Keeper};
use super::receive::{Received, Receiver};
use super::stats::SqsStatsHandle;
use crate::s3::S3Reader;

/// SQS gives no more messages in one answer.
const MOST: u64 = 10;

/// The log files that the messages of an SQS queue name.
///
/// Made by [`SqsSource::builder`]. Nothing is asked of the queue before the first
/// [`next`](Source::next), and nothing by itself: messages are received, up to ten at
/// a time by long polling, when `next` is called and nothing is left to hand over.
///
/// # A message's way
/// - From the moment it was received a task of its own keeps it invisible to others:
///   its visibility is extended each third of that time, for ten messages in one
///   call, whether anybody calls `next` or not, until it is decided.
/// - It is deleted after *each* of its files was accepted. The accept of the last one
///   waits for the queue's answer; an accept before that has nothing to wait for.
/// - It is given back when all its files are decided and one was released: it comes
///   again after the pause asked for, or else after a pause that doubles with each
///   receive, with jitter. A pipeline that was told to stop asks for no pause.
/// - Where an extension fails for good (the receipt handle expired) or cannot be made
///   in time, the message may be with somebody else: its receipts say so
///   ([`Receipt::lost`](ctforward_core::Receipt::lost)), accepting one is an error, and
///   nothing is deleted.
/// - After 11 h 30 min it is given back in any case: SQS lets go of a message after 12
///   hours, whatever is asked ("Amazon SQS visibility timeout").
/// - One that comes again while it is held here (queues deliver at least once) is the
///   same message with a newer receipt handle; it is not handed over twice.
/// - A file that another message names while it is under way, with the same ETag, is
///   not handed over twice either: both messages share what becomes of it.
/// - One that cannot be understood, or names what [`Allow`](crate::notification::Allow)
///   does not, is an [`Intake::Foreign`] with its body, or is left to the queue's
///   own dead-letter queue ([`DeadLetters`](super::DeadLetters)). Test events and the
///   like are [`Intake::Skip`].
///
/// # Limits
/// No message is received while the files in flight (handed over or waiting for it,
/// and not decided) reach a number or a sum of bytes. One receive may go beyond it by
/// what its messages name.
///
/// # Errors and going on
/// A call for messages that fails is an error of `next`, counted by kind
/// ([`SqsStats`](super::SqsStats)); asking again asks again. Throttling, outages and
/// timeouts are worth a retry. What needs somebody's hand (access denied, no such
/// queue) is final, or with [`SqsSourceBuilder::denied`] tried again after a while for
/// ever; [`SqsStatsHandle::failing`] shows it meanwhile.
///
/// Deletes that fail for a moment are told again for as long as the message is held,
/// and the accept of its last file waits meanwhile. Deletes that are refused (access
/// denied) are an error of that accept and not told again: the messages come back after
/// their visibility timeout. Since `next` goes well all the while, `failing` shows that
/// too, and that visibility may not be changed.
///
/// # FIFO queues
/// work the same way. The queue holds back the rest of a message group while one of it
/// is held or given back with a pause, so a message that fails slows its group down.
///
/// # Dropping it
/// gives back what was received and not handed over, to come again at once; receipts go
/// on to work. A call for messages that is under way is not cut off, since its messages
/// would be invisible for nothing: what it brings is given back. A process that is about
/// to end waits for that with [`SqsStatsHandle::told`].
pub struct SqsSource {
    receiver: Arc<Receiver>,
    limits: Limits,
    ready: VecDeque<Intake>,
    keeper: Option<mpsc::UnboundedSender<Command>>,
    receiving: Option<Receiving>,
    /// Empty answers in a row.
    empty: u32,
    exhausted: bool,
}

pub(crate) struct Limits {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) until_empty: Option<u32>,
    pub(crate) denied: Denied,
}

struct Receiving {
    task: JoinHandle<Result<Received>>,
    /// Whether nothing was held when it began.
    quiet: bool,
}

impl SqsSource {
    /// A source of the queue at `queue_url`, whose messages name objects that `reader`
    /// opens.
    ///
    /// The client decides region, credentials, endpoint and retries;
    /// [`sqs::client`](super::client()) makes one. Its timeouts, where it has any, must
    /// allow for calls that wait 20 s for messages.
    pub fn builder(
        client: Client,
        reader: S3Reader,
        queue_url: impl Into<String>,
    ) -> SqsSourceBuilder {
        SqsSourceBuilder::new(client, reader, queue_url.into())
    }

    pub(crate) fn new(receiver: Receiver, limits: Limits) -> Self {
        Self {
            receiver: Arc::new(receiver),
            limits,
            ready: VecDeque::new(),
            keeper: None,
            receiving: None,
            empty: 0,
            exhausted: false,
        }
    }

    /// A handle that reads the counts, also after the source was given away.
    #[must_use]
    pub fn stats(&self) -> SqsStatsHandle {
        SqsStatsHandle(Arc::clone(&self.receiver.counters))
    }

    /// Asks the queue how many messages it holds, also after the source was given away.
    #[must_use]
    pub fn depth(&self) -> QueueDepthHandle {
        QueueDepthHandle(self.receiver.line.clone())
    }

    /// How many messages there is room for.
    fn room(&self) -> i32 {
        let counters = &self.receiver.counters;
        if counters.bytes_held.load(Ordering::Relaxed) >= self.limits.bytes {
            return 0;
        }
        let files = counters.files_held.load(Ordering::Relaxed);
        let left = self.limits.files.saturating_sub(files).min(MOST);
        i32::try_from(left).unwrap_or(0)
    }

    /// Begins a call for messages, in a task of its own: a `next` that is dropped
    /// meanwhile loses nothing.
    fn receive(&mut self, most: i32) -> Result<Receiving> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| {
            Error::new(ErrorKind::Config, ORIGIN, "a queue needs a Tokio runtime").with_source(e)
        })?;
        let tasks = &self.receiver.counters.tasks;
        let keeper = match &self.keeper {
            Some(keeper) if !keeper.is_closed() => keeper.clone(),
            _ => {
                let (send, commands) = mpsc::unbounded_channel();
                let keeper = Keeper::new(
                    self.receiver.line.clone(),
                    Arc::clone(&self.receiver.counters),
                    Arc::clone(&self.receiver.registry),
                    commands,
                );
                tasks.spawn_on(keeper.run().in_current_span(), &runtime);
                self.keeper.insert(send).clone()
            }
        };
        let receiver = Arc::clone(&self.receiver);
        let quiet = receiver.counters.holds_nothing();
        let receive = async move { receiver.receive(most, &keeper).await };
        Ok(Receiving {
            task: tasks.spawn_on(receive.in_current_span(), &runtime),
            quiet,
        })
    }

    /// Whether the queue is empty, after this answer.
    fn drained(&mut self, received: usize, quiet: bool) -> bool {
        let quiet = quiet && received == 0 && self.receiver.counters.holds_nothing();
        self.empty = if quiet { self.empty + 1 } else { 0 };
        self.limits
            .until_empty
            .is_some_and(|polls| self.empty >= polls)
    }

    fn advise(&self, error: Error) -> Error {
        match self.limits.denied {
            Denied::Probe(every) if !error.is_retryable() => error.with_retry(Retry::After(every)),
            _ => error,
        }
    }
}

impl Drop for SqsSource {
    fn drop(&mut self) {
        // Receipts that are dropped from now on were never handed over, or belong to
        // somebody who ended: their messages come again at once.
        self.receiver.counters.tasks.close();
    }
}

#[async_trait]
impl Source for SqsSource {
    async fn next(&mut self) -> Result<Option<Intake>> {
        loop {
            if let Some(intake) = self.ready.pop_front() {
                return Ok(Some(intake));
            }
            if self.exhausted {
                return Ok(None);
            }
            let receiving = match &mut self.receiving {
                Some(receiving) => receiving,
                None => {
                    let most = self.room();
                    if most == 0 {
                        self.receiver.counters.let_go.notified().await;
                        continue;
                    }
                    let receiving = self.receive(most)?;
                    self.receiving.insert(receiving)
                }
            };
            let ended = (&mut receiving.task).await;
            // From here to the end of this pass nothing waits.
            let quiet = receiving.quiet;
            self.receiving = None;
            let received = match ended {
                Ok(Ok(received)) => received,
                Ok(Err(error)) => {
                    self.empty = 0;
                    return Err(self.advise(error));
                }
                Err(_) => {
                    let why = "the task that receives messages ended before its time";
                    return Err(Error::new(ErrorKind::Other, ORIGIN, why));
                }
            };
            self.exhausted = self.drained(received.messages, quiet);
            self.ready.extend(received.intakes);
        }
    }
}

impl fmt::Debug for SqsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsSource")
            .field("queue", &self.receiver.line.url)
            .field("stats", &self.stats().get())
            .finish_non_exhaustive()
    }
}
