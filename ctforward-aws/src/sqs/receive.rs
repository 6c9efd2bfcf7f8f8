//! One call for messages, and what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::{Message as Sent, MessageSystemAttributeName, QueueAttributeName};
use bytes::Bytes;
use ctforward_core::{Error, ErrorKind, Intake, LogFile, ObjectId, Result};
use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;

use super::builder::DeadLetters;
use super::calls::{Line, overrides};
use super::error::{Asked, ORIGIN, from_sdk};
use super::keeper::Command;
use super::lease::{Lease, Registry};
use super::message::{Doubles, Identity, Message, Part};
use super::stats::{Call, Counters, count};
use super::terms::Terms;
use crate::notification::{Allow, Item, decode};
use crate::s3::S3Reader;

/// Log files have at most 50 MB as stored (CloudTrail user guide).
const LARGEST: u64 = 64 * 1024 * 1024;

/// Where nobody says how large a file is, it takes up so much of the bytes in flight.
const UNKNOWN: u64 = 1024 * 1024;

/// The least visibility where none is set: a queue's own may be 0.
const LEAST: Duration = Duration::from_secs(30);

/// How long the queue's answer may take beyond the time it waits for messages.
const PATIENCE: Duration = Duration::from_secs(10);

/// What receiving needs.
pub(crate) struct Receiver {
    pub(crate) line: Line,
    pub(crate) reader: S3Reader,
    pub(crate) allow: Allow,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) visibility: Option<Duration>,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) wait: Duration,
    pub(crate) counters: Arc<Counters>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) doubles: Arc<Doubles>,
    pub(crate) terms: OnceCell<Terms>,
    pub(crate) numbers: AtomicU64,
}

/// What a call for messages brought.
pub(crate) struct Received {
    pub(crate) messages: usize,
    pub(crate) intakes: Vec<Intake>,
}

impl Receiver {
    /// Asks for at most so many messages; each that comes is kept invisible from
    /// then on, whoever looks.
    pub(crate) async fn receive(
        &self,
        most: i32,
        keeper: &mpsc::UnboundedSender<Command>,
    ) -> Result<Received> {
        let answer = self.answer(most).await;
        let counters = &self.counters;
        counters.ended(Call::Receive, answer.as_ref().err());
        let (terms, asked, sent) =
            answer.inspect_err(|error| counters.failed(error, Call::Receive))?;
        count(&counters.receives, 1);
        count(&counters.messages, sent.len());
        metrics::counter!("ctforward_sqs_receives_total").increment(1);
        metrics::counter!("ctforward_sqs_messages_total").increment(sent.len() as u64);
        if sent.is_empty() {
            count(&counters.empty_receives, 1);
        }
        let messages = sent.len();
        let mut intakes = Vec::new();
        for message in sent {
            let Some(handle) = message.receipt_handle.clone() else {
                tracing::warn!("a message came without a receipt handle; it comes again");
                continue;
            };
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let id = message
                .message_id
                .clone()
                .unwrap_or_else(|| format!("without-id-{number}"));
            if let Some(lease) = self.registry.adopt(&id, &handle, asked) {
                count(&counters.repeated, 1);
                let _ = keeper.send(Command::Hold(lease));
                continue;
            }
            let lease = Lease::new(number, id, handle, receives(&message), terms, asked);
            self.registry.add(&lease);
            counters.hold_message();
            // Where the task is gone nothing is kept, and all of it comes again.
            let _ = keeper.send(Command::Hold(Arc::clone(&lease)));
            // From here on it is given back where its parts are not all made.
            let whole = Message::new(Arc::clone(&lease), keeper.clone(), Arc::clone(counters));
            let body = message.body.unwrap_or_default();
            self.parts(body, &lease, &whole, &mut intakes);
        }
        Ok(Received { messages, intakes })
    }

    /// The terms, when it was asked, and what came.
    async fn answer(&self, most: i32) -> Result<(Terms, Instant, Vec<Sent>)> {
        let terms = *self.terms.get_or_try_init(|| self.ask_terms()).await?;
        let wait = terms.wait(self.wait);
        // One attempt: leases count from its beginning, and the next call is another.
        let overrides = overrides(&self.line.client, wait + PATIENCE);
        let asked = Instant::now();
        let answer = self
            .line
            .client
            .receive_message()
            .queue_url(&self.line.url)
            .max_number_of_messages(most)
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or(20))
            .visibility_timeout(i32::try_from(terms.visibility.as_secs()).unwrap_or(43_200))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .customize()
            .config_override(overrides.retry_config(RetryConfig::disabled()))
            .send()
            .await
            .map_err(|error| from_sdk(&error, Asked::Receive))?;
        Ok((terms, asked, answer.messages.unwrap_or_default()))
    }

    /// Reads the queue's settings, where they are needed.
    async fn ask_terms(&self) -> Result<Terms> {
        let terms = |visibility| Terms {
            visibility,
            backoff: self.backoff,
        };
        if let (Some(visibility), DeadLetters::Quarantine) = (self.visibility, self.dead_letters) {
            return Ok(terms(visibility));
        }
        let answer = self
            .line
            .client
            .get_queue_attributes()
            .queue_url(&self.line.url)
            .attribute_names(QueueAttributeName::VisibilityTimeout)
            .attribute_names(QueueAttributeName::RedrivePolicy)
            .customize()
            .config_override(overrides(&self.line.client, PATIENCE))
            .send()
            .await
            .map_err(|error| from_sdk(&error, Asked::Attributes))?;
        let attribute = |name| answer.attributes.as_ref()?.get(&name);
        let redrives = attribute(QueueAttributeName::RedrivePolicy)
            .is_some_and(|policy| policy.contains("deadLetterTargetArn"));
        if self.dead_letters == DeadLetters::Queue && !redrives {
            let why = "what can never work is to be left to the queue's dead-letter queue, and \
                       the queue has none: give it a redrive policy";
            return Err(Error::new(ErrorKind::Config, ORIGIN, why));
        }
        let own = attribute(QueueAttributeName::VisibilityTimeout)
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs);
        let visibility = self.visibility.or(own.map(|own| own.max(LEAST)));
        visibility.map(terms).ok_or_else(|| {
            let why = "the queue does not say its visibility timeout; set it";
            Error::new(ErrorKind::Config, ORIGIN, why)
        })
    }

    /// Takes a message apart: each file, and each thing to be passed over, is a part,
    /// and so is all that may not be read or understood, together.
    fn parts(
        &self,
        body: String,
        lease: &Lease,
        message: &Arc<Message>,
        intakes: &mut Vec<Intake>,
    ) {
        let counters = &self.counters;
        let mut wrong: Option<Error> = None;
        let items = decode(body.as_bytes()).map_or_else(
            |error| {
                wrong = Some(error);
                Vec::new()
            },
            |notification| notification.items,
        );
        let mut good = Vec::new();
        let mut refused = 0;
        for item in items {
            match &item {
                Item::Created(object) => match self.allow.check(object) {
                    Ok(()) => good.push(item),
                    Err(error) => {
                        refused += 1;
                        wrong.get_or_insert(error);
                    }
                },
                Item::Skip { .. } => good.push(item),
            }
        }
        let parts = good.len() + usize::from(wrong.is_some());
        if parts == 0 {
            // A decoder that says nothing of a message has not understood it.
            let why = "the message says nothing";
            wrong = Some(Error::new(ErrorKind::Malformed, ORIGIN, why));
        }
        message.has(parts.max(1));
        intakes.extend(
            good.into_iter()
                .filter_map(|item| self.part(item, lease, message)),
        );
        let Some(mut reason) = wrong else {
            return;
        };
        count(&counters.foreign, 1);
        metrics::counter!("ctforward_sqs_foreign_total").increment(1);
        if refused > 1 {
            let text = format!("{} (and {} others)", reason.message(), refused - 1);
            reason = Error::new(reason.kind(), reason.origin(), text);
        }
        let receipt: Part = message.part(Some(counters.hold_file(body.len() as u64)));
        match self.dead_letters {
            DeadLetters::Quarantine => intakes.push(Intake::Foreign {
                bytes: Bytes::from(body),
                reason,
                receipt: Box::new(receipt),
            }),
            DeadLetters::Queue => {
                count(&counters.left_to_dead_letters, 1);
                tracing::warn!(%reason, message = %lease.id, receives = lease.receives,
                    "a message is left to the dead-letter queue");
                // Dropping the receipt gives the message back.
                drop(receipt);
            }
        }
    }

    /// What is handed over of a part, unless it waits for another of the same object.
    fn part(&self, item: Item, lease: &Lease, message: &Arc<Message>) -> Option<Intake> {
        match item {
            Item::Created(named) => {
                count(&self.counters.files, 1);
                // A message may claim any size: none keeps others out for more than a large file.
                let size = named.size.unwrap_or(UNKNOWN).min(LARGEST);
                let held = self.counters.hold_file(size);
                let mut receipt = message.part(Some(held));
                if let Some(object) = Identity::of(&named) {
                    let Some(first) = self.doubles.join(object, receipt) else {
                        count(&self.counters.doubled, 1);
                        return None;
                    };
                    receipt = first;
                }
                let open = self.reader.open_later(named.id());
                let file = LogFile::new(named.object(), open, Box::new(receipt));
                Some(Intake::File(file.named()))
            }
            Item::Skip { why, object, .. } => {
                count(&self.counters.skipped, 1);
                Some(Intake::Skip {
                    object: object.unwrap_or_else(|| ObjectId::new("message", &*lease.id)),
                    why,
                    receipt: Box::new(message.part(None)),
                })
            }
        }
    }
}

fn receives(message: &Sent) -> u32 {
    let attributes = message.attributes.as_ref();
    attributes
        .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount))
        .and_then(|count| count.parse().ok())
        .unwrap_or(1)
}
