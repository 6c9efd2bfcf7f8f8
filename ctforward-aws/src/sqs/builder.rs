//! Settings of an [`SqsSource`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use aws_sdk_sqs::Client;
use ctforward_core::deliver::Denied;
use ctforward_core::{Error, ErrorKind, Result};
use tokio::sync::OnceCell;

use super::calls::Line;
use super::error::ORIGIN;
use super::lease::Registry;
use super::message::Doubles;
use super::queue::QueueUrl;
use super::receive::Receiver;
use super::source::{Limits, SqsSource};
use super::stats::Counters;
use crate::notification::Allow;
use crate::s3::S3Reader;

/// Where a message goes that can never work: one that cannot be understood, or that
/// names what may not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadLetters {
    /// To the pipeline's quarantine, with its body, before it is deleted.
    #[default]
    Quarantine,
    /// To the queue's own dead-letter queue: the message is given back each time it
    /// comes, and SQS moves it when it was received as often as the queue's redrive
    /// policy says (`maxReceiveCount`). It is never deleted here, and no pipeline
    /// report speaks of it; [`SqsStats`](super::SqsStats) counts it. A queue without a
    /// redrive policy is refused.
    Queue,
}

/// Settings of an [`SqsSource`]; made by [`SqsSource::builder`].
#[derive(Clone)]
#[must_use]
pub struct SqsSourceBuilder {
    client: Client,
    reader: S3Reader,
    url: String,
    allow: Option<Allow>,
    dead_letters: DeadLetters,
    visibility: Option<Duration>,
    wait: Duration,
    backoff: (Duration, Duration),
    files: u64,
    bytes: u64,
    until_empty: Option<u32>,
    denied: Denied,
}

impl SqsSourceBuilder {
    pub(crate) fn new(client: Client, reader: S3Reader, url: String) -> Self {
        Self {
            client,
            reader,
            url,
            allow: None,
            dead_letters: DeadLetters::default(),
            visibility: None,
            wait: Duration::from_secs(20),
            backoff: (Duration::from_secs(10), Duration::from_secs(15 * 60)),
            files: 1000,
            bytes: 256 * 1024 * 1024,
            until_empty: None,
            denied: Denied::Stop,
        }
    }

    /// Which of the objects that messages name may be read. There is no default:
    /// whoever can write to the queue can name any object.
    pub fn allow(mut self, allow: Allow) -> Self {
        self.allow = Some(allow);
        self
    }

    /// Where a message goes that can never work (default: to quarantine).
    pub fn dead_letters(mut self, dead_letters: DeadLetters) -> Self {
        self.dead_letters = dead_letters;
        self
    }

    /// For how long a message is invisible after it was received, and after each
    /// extension: whole seconds, from 2 s to 11 h (default: the queue's own
    /// `VisibilityTimeout`, read at start, and at least 30 s).
    ///
    /// It is how long others wait for the messages of a process that died.
    pub fn visibility(mut self, visibility: Duration) -> Self {
        self.visibility = Some(visibility);
        self
    }

    /// How long the queue waits for a message before it answers that there is none:
    /// whole seconds, from 1 s to 20 s (default: 20 s). At most two thirds of the
    /// visibility are waited: it may count from the beginning of the call.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The pause before a message that was given back comes again: the first one, and
    /// the longest (default: 10 s and 15 minutes). It doubles with each receive, and up
    /// to half of it is taken away at random. A pause that the pipeline asks for comes
    /// first.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest);
        self
    }

    /// No message is received while so many files are in flight (default: 1000).
    pub fn max_files(mut self, files: u64) -> Self {
        self.files = files;
        self
    }

    /// No message is received while files of so many bytes, as stored, are in flight
    /// (default: 256 MiB). It bounds what is begun, not memory, which the pipeline's own
    /// limits bound. A file of which no size was said counts as 1 MiB.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Ends where the queue is empty: after so many long polls in a row that brought
    /// nothing (default: never ends).
    ///
    /// Only polls count that began, and ended, while this source held no message: what
    /// is under way here is waited for. Messages that were given back during the run
    /// are not waited for, nor are those that others hold: they come again for whoever
    /// asks later.
    pub fn until_empty(mut self, polls: u32) -> Self {
        self.until_empty = Some(polls);
        self
    }

    /// What becomes of errors of the queue that need somebody's hand: access denied,
    /// no such queue (default: they are final).
    pub fn denied(mut self, denied: Denied) -> Self {
        self.denied = denied;
        self
    }

    /// The source. Nothing is asked of the queue yet.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where a setting cannot be meant: an address that
    /// is no queue's, no [`allow`](Self::allow), a time or number out of its range.
    pub fn build(self) -> Result<SqsSource> {
        QueueUrl::parse(&self.url)?;
        let Some(allow) = self.allow else {
            return Err(config("it is not said which buckets messages may name"));
        };
        let within = |time: Duration, least: u64, most: u64| {
            (least..=most).contains(&time.as_secs()) && time.subsec_nanos() == 0
        };
        if self.visibility.is_some_and(|time| !within(time, 2, 39_600)) {
            return Err(config("visibility must be whole seconds, from 2 s to 11 h"));
        }
        if !within(self.wait, 1, 20) {
            return Err(config("wait must be whole seconds, from 1 s to 20 s"));
        }
        let (first, longest) = self.backoff;
        if first.is_zero() || first > longest || longest > Duration::from_secs(39_600) {
            return Err(config(
                "backoff must be above zero, the first not longer than the longest, and that at \
                 most 11 h",
            ));
        }
        if self.files == 0 || self.bytes == 0 {
            return Err(config("max_files and max_bytes must be at least 1"));
        }
        if self.until_empty == Some(0) {
            return Err(config("until_empty must be at least 1"));
        }
        let receiver = Receiver {
            line: Line {
                client: self.client,
                url: self.url,
            },
            reader: self.reader,
            allow,
            dead_letters: self.dead_letters,
            visibility: self.visibility,
            backoff: self.backoff,
            wait: self.wait,
            counters: Arc::new(Counters::default()),
            registry: Arc::new(Registry::default()),
            doubles: Arc::new(Doubles::default()),
            terms: OnceCell::new(),
            numbers: AtomicU64::new(0),
        };
        let limits = Limits {
            files: self.files,
            bytes: self.bytes,
            until_empty: self.until_empty,
            denied: self.denied,
        };
        Ok(SqsSource::new(receiver, limits))
    }
}

fn config(why: &'static str) -> Error {
    Error::new(ErrorKind::Config, ORIGIN, why)
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for SqsSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsSourceBuilder")
            .field("queue", &crate::facts::clean(&self.url))
            .field("allow", &self.allow)
            .field("dead_letters", &self.dead_letters)
            .field("visibility", &self.visibility)
            .field("wait", &self.wait)
            .field("backoff", &self.backoff)
            .field("max_files", &self.files)
            .field("max_bytes", &self.bytes)
            .field("until_empty", &self.until_empty)
            .field("denied", &self.denied)
            .finish_non_exhaustive()
    }
}
