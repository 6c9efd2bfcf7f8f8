//! The calls that decide on messages, ten at a time.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Builder as ConfigBuilder, StalledStreamProtectionConfig};
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind, Retry};

use super::error::{Asked, Entry, ORIGIN, entry, from_sdk};

/// SQS takes no more in one call.
pub(crate) const BATCH: usize = 10;

/// What became of one message of a batch.
pub(crate) enum Answer {
    Done,
    Failed(Entry, Error),
}

impl Answer {
    /// What went wrong, if anything did.
    pub(crate) fn error(&self) -> Option<&Error> {
        match self {
            Self::Done => None,
            Self::Failed(_, error) => Some(error),
        }
    }

    /// The queue said nothing of a message: it is asked again.
    pub(crate) fn unsaid() -> Self {
        let why = "the queue's answer does not speak of the message";
        let error = Error::new(ErrorKind::Unavailable, ORIGIN, why);
        Self::Failed(Entry::Later, error.with_retry(Retry::Backoff))
    }
}

/// What each call changes in the client's own settings: without a limit the SDK waits
/// without end for a server that accepts and never answers.
pub(crate) fn overrides(client: &Client, patience: Duration) -> ConfigBuilder {
    let builder = ConfigBuilder::default()
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let set = client.config().timeout_config();
    let limited = set.is_some_and(|t| {
        t.operation_attempt_timeout().is_some()
            || t.operation_timeout().is_some()
            || t.read_timeout().is_some()
    });
    if limited {
        return builder;
    }
    let attempt = TimeoutConfig::builder().operation_attempt_timeout(patience);
    builder.timeout_config(attempt.build())
}

/// Speaks with the queue of messages; the answers are in the order of the messages.
#[async_trait]
pub(crate) trait Speak: Clone + Send + Sync + 'static {
    /// Keeps each message invisible for so many seconds from now.
    async fn change(&self, messages: Vec<(String, i32)>, patience: Duration) -> Vec<Answer>;

    /// Deletes each.
    async fn delete(&self, handles: Vec<String>, patience: Duration) -> Vec<Answer>;
}

/// A queue of SQS.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) url: String,
}

#[async_trait]
impl Speak for Line {
    async fn change(&self, messages: Vec<(String, i32)>, patience: Duration) -> Vec<Answer> {
        let count = messages.len();
        let entries = entries(messages, |id, (handle, seconds)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(handle)
                .visibility_timeout(seconds)
                .build()
        });
        let Some(entries) = entries else {
            return unmade(count);
        };
        let answer = self
            .client
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .customize()
            .config_override(overrides(&self.client, patience))
            .send()
            .await;
        match answer {
            Ok(output) => {
                let done = output.successful.iter().map(|entry| entry.id.as_str());
                answers(count, done, &output.failed)
            }
            Err(error) => whole(count, &from_sdk(&error, Asked::Visibility)),
        }
    }

    async fn delete(&self, handles: Vec<String>, patience: Duration) -> Vec<Answer> {
        let count = handles.len();
        let entries = entries(handles, |id, handle| {
            DeleteMessageBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(handle)
                .build()
        });
        let Some(entries) = entries else {
            return unmade(count);
        };
        let answer = self
            .client
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .customize()
            .config_override(overrides(&self.client, patience))
            .send()
            .await;
        match answer {
            Ok(output) => {
                let done = output.successful.iter().map(|entry| entry.id.as_str());
                answers(count, done, &output.failed)
            }
            Err(error) => whole(count, &from_sdk(&error, Asked::Delete)),
        }
    }
}

/// The entries of a batch, whose ids are their places; `None` where one cannot be made.
fn entries<T, E>(of: Vec<T>, make: impl Fn(String, T) -> Result<E, BuildError>) -> Option<Vec<E>> {
    let entries = of.into_iter().enumerate();
    let entries = entries.map(|(at, one)| make(at.to_string(), one));
    entries.collect::<Result<_, _>>().ok()
}

/// The answer for each message, in their order. One of which the queue says nothing
/// is asked about again; one that is said to be done and failed is not done.
fn answers<'a>(
    count: usize,
    done: impl Iterator<Item = &'a str>,
    failed: &[BatchResultErrorEntry],
) -> Vec<Answer> {
    let place = |id: &str| id.parse::<usize>().ok().filter(|at| *at < count);
    let mut answers: Vec<Answer> = (0..count).map(|_| Answer::unsaid()).collect();
    for at in done.filter_map(place) {
        if let Some(answer) = answers.get_mut(at) {
            *answer = Answer::Done;
        }
    }
    for entry_ in failed {
        let message = entry_.message.as_deref().unwrap_or_default();
        let what = entry(&entry_.code, entry_.sender_fault, message);
        let kind = match what {
            Entry::Gone => ErrorKind::Changed,
            Entry::Later if entry_.code.contains("Thrott") => ErrorKind::Throttled,
            Entry::Later => ErrorKind::Unavailable,
            Entry::Refused => ErrorKind::Other,
        };
        let said = crate::facts::clean(message);
        let why = format!(
            "{}: {} ({said})",
            match what {
                Entry::Gone => "the message is no longer held here",
                Entry::Later => "the queue failed for the message",
                Entry::Refused => "the queue refused the message",
            },
            printable(&entry_.code),
        );
        let advice = match what {
            Entry::Later => Retry::Backoff,
            _ => Retry::Never,
        };
        if let Some(answer) = place(&entry_.id).and_then(|at| answers.get_mut(at)) {
            *answer = Answer::Failed(what, Error::new(kind, ORIGIN, why).with_retry(advice));
        }
    }
    answers
}

/// The whole call failed.
fn whole(count: usize, error: &Error) -> Vec<Answer> {
    let what = match error.kind() {
        _ if error.is_retryable() => Entry::Later,
        ErrorKind::Changed => Entry::Gone,
        _ => Entry::Refused,
    };
    (0..count)
        .map(|_| Answer::Failed(what, error.duplicate()))
        .collect()
}

/// The SDK could not make the request, for want of a field that is always given.
fn unmade(count: usize) -> Vec<Answer> {
    let why = "the request could not be made";
    whole(count, &Error::new(ErrorKind::Config, ORIGIN, why))
}
