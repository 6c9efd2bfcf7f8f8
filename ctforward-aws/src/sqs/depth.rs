//! How many messages a queue holds.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use ctforward_core::{Error, ErrorKind, Result};

use super::calls::{Line, overrides};
use super::error::{Asked, ORIGIN, from_sdk};

/// How long the queue's answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many messages a queue holds, about: SQS's own counts, which settle within a
/// minute ("`GetQueueAttributes`", Amazon SQS API Reference).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueDepth {
    /// Messages that wait (`ApproximateNumberOfMessages`).
    pub waiting: u64,
    /// Messages that somebody has received and not decided
    /// (`ApproximateNumberOfMessagesNotVisible`).
    pub in_flight: u64,
    /// Messages that are not shown to anybody yet (`ApproximateNumberOfMessagesDelayed`).
    pub delayed: u64,
}

/// Asks a queue for its depth; made by [`SqsSource::depth`](super::SqsSource::depth),
/// cheap to clone. Nothing of the source waits for it, and no error of it is one of the
/// source.
#[derive(Clone)]
pub struct QueueDepthHandle(pub(crate) Line);

impl QueueDepthHandle {
    /// Asks, by one `GetQueueAttributes`.
    ///
    /// # Errors
    /// What kept the queue from answering; [`Other`](ErrorKind::Other) where its answer
    /// does not have the three numbers.
    ///
    /// # Cancel safety
    /// A dropped call changes nothing.
    pub async fn ask(&self) -> Result<QueueDepth> {
        let line = &self.0;
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let answer = line
            .client
            .get_queue_attributes()
            .queue_url(&line.url)
            .set_attribute_names(Some(names.to_vec()))
            .customize()
            .config_override(overrides(&line.client, PATIENCE))
            .send()
            .await
            .map_err(|error| from_sdk(&error, Asked::Attributes))?;
        let numbers = names.map(|name| {
            let number = answer.attributes.as_ref()?.get(&name)?;
            number.trim().parse::<u64>().ok()
        });
        let [Some(waiting), Some(in_flight), Some(delayed)] = numbers else {
            let why = "the queue does not say how many messages it holds";
            return Err(Error::new(ErrorKind::Other, ORIGIN, why));
        };
        Ok(QueueDepth {
            waiting,
            in_flight,
            delayed,
        })
    }
}

impl std::fmt::Debug for QueueDepthHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("QueueDepthHandle")
            .field(&self.0.url)
            .finish()
    }
}
