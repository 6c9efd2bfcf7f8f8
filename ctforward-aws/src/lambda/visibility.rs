//! When messages that are not finished come again.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind};

use super::ORIGIN;
use super::outcome::Unfinished;
use crate::sqs::QueueUrl;
use crate::sqs::calls::{BATCH, overrides};
use crate::sqs::error::{Asked, from_sdk};
use crate::sqs::terms::{Terms, seconds};

/// How long one call to the queue may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Says to the queue when messages that are not finished shall come again.
///
/// A message that a function reports as failed comes again when its visibility timeout is
/// over, which is to be at least six times the function's own (Lambda developer guide): half
/// an hour and more. So one that may be finished next time is made visible earlier, after a
/// pause that doubles with each receive, with jitter, and no earlier than a sink asked for.
/// One that fails the same way until somebody does something is left as it is.
///
/// It needs `sqs:ChangeMessageVisibility` on the queue. What fails here leaves the message
/// to its visibility timeout, and loses nothing.
#[derive(Clone)]
pub struct Visibility {
    client: Client,
    backoff: (Duration, Duration),
}

impl fmt::Debug for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visibility")
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl Visibility {
    /// With a client whose region is the function's: Lambda reads queues of no other.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            backoff: (Duration::from_secs(10), Duration::from_secs(900)),
        }
    }

    /// The same with another first and another longest pause. Default: 10 s and 15 minutes.
    #[must_use]
    pub fn with_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest.max(first));
        self
    }

    /// Sets the visibility of each message that may be finished next time; answers of how
    /// many it was set, and the first thing that went wrong.
    ///
    /// Of a message without receipt handle, or whose queue is not known to be one of the
    /// client's region, nothing is said to anybody.
    ///
    /// # Cancel safety
    /// A call that is dropped may have been heard, or not.
    pub async fn put_off(&self, unfinished: &[Unfinished]) -> (usize, Option<Error>) {
        let region = self.client.config().region().map(ToString::to_string);
        let mut queues: BTreeMap<String, Vec<(&str, Duration)>> = BTreeMap::new();
        for one in unfinished.iter().filter(|one| one.may_pass) {
            let message = &one.message;
            let url = message.queue_arn.as_deref();
            let url = url.and_then(|arn| queue_url(arn, region.as_deref()?));
            if let (Some(url), Some(handle)) = (url, &message.receipt_handle) {
                let pause = self
                    .pause(message.receives)
                    .max(one.after.unwrap_or_default());
                queues.entry(url).or_default().push((handle, pause));
            }
        }
        let (mut set, mut wrong) = (0, None);
        for (url, messages) in &queues {
            for batch in messages.chunks(BATCH) {
                match self.call(url, batch).await {
                    Ok((done, refused)) => {
                        set += done;
                        wrong = wrong.or(refused);
                    }
                    Err(error) => wrong = wrong.or(Some(error)),
                }
            }
        }
        (set, wrong)
    }

    fn pause(&self, receives: u32) -> Duration {
        let terms = Terms {
            visibility: Duration::ZERO,
            backoff: self.backoff,
        };
        terms.pause(receives, fastrand::f64())
    }

    async fn call(
        &self,
        url: &str,
        batch: &[(&str, Duration)],
    ) -> Result<(usize, Option<Error>), Error> {
        let entry = |(at, (handle, pause)): (usize, &(&str, Duration))| {
            // It has been held for as long as a call lasts, a quarter of an hour at most.
            let held = Duration::from_secs(900);
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(*handle)
                .visibility_timeout(seconds(*pause, held))
                .build()
        };
        let entries: Result<Vec<_>, _> = batch.iter().enumerate().map(entry).collect();
        let entries = entries.map_err(|error| {
            let why = "the request to the queue could not be made";
            Error::new(ErrorKind::Config, ORIGIN, why).with_source(error)
        })?;
        let answer = self
            .client
            .change_message_visibility_batch()
            .queue_url(url)
            .set_entries(Some(entries))
            .customize()
            .config_override(overrides(&self.client, PATIENCE))
            .send()
            .await
            .map_err(|error| from_sdk(&error, Asked::Visibility))?;
        let refused = answer.failed.first().map(|entry| {
            let why = format!(
                "the queue refused to set the visibility of {} messages: {}",
                answer.failed.len(),
                printable(&entry.code)
            );
            Error::new(ErrorKind::Other, ORIGIN, why)
        });
        Ok((answer.successful.len(), refused))
    }
}

/// The address of the queue that an ARN names, where it is one of this region.
///
/// It names the queue in the request and nothing more: the request goes to the client's
/// endpoint, whatever stands here.
fn queue_url(arn: &str, region: &str) -> Option<String> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "sqs", of, account, name] = parts[..] else {
        return None;
    };
    let domain = match partition {
        "aws" | "aws-us-gov" => "amazonaws.com",
        "aws-cn" => "amazonaws.com.cn",
        _ => return None,
    };
    if of != region || !account.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let url = format!("https://sqs.{region}.{domain}/{account}/{name}");
    QueueUrl::parse(&url).ok().map(|_| url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_its_arn_in_the_clients_own_region_only() {
        let ask = |arn| queue_url(arn, "eu-west-1");
        assert_eq!(
            ask("arn:aws:sqs:eu-west-1:111122223333:trail").as_deref(),
            Some("https://sqs.eu-west-1.amazonaws.com/111122223333/trail")
        );
        for arn in [
            "",
            "arn:aws:sqs:us-east-1:111122223333:trail",
            "arn:aws:sns:eu-west-1:111122223333:trail",
            "arn:other:sqs:eu-west-1:111122223333:trail",
            "arn:aws:sqs:eu-west-1:111122223333:trail:more",
            "arn:aws:sqs:eu-west-1:11112222333a:trail",
            "arn:aws:sqs:eu-west-1:111122223333:a/../b",
            "arn:aws:sqs:eu-west-1::trail",
        ] {
            assert_eq!(ask(arn), None, "{arn}");
        }
        let china = queue_url("arn:aws-cn:sqs:cn-north-1:111122223333:trail", "cn-north-1");
        assert_eq!(
            china.as_deref(),
            Some("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/trail")
        );
    }
}
