//! The event, taken apart into messages.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The event of one call, taken apart into messages.
#[derive(Clone, Debug)]
pub struct Event {
    pub(super) messages: Vec<Message>,
    pub(super) batch: bool,
}

/// One message of an [`Event`]: a message of SQS, or the event as a whole.
///
/// All of it is text from outside.
#[derive(Clone)]
#[non_exhaustive]
pub struct Message {
    /// What SQS calls it; empty where it is the event as a whole.
    pub id: String,
    /// What names this very receipt of it to SQS.
    pub receipt_handle: Option<String>,
    /// The ARN of its queue.
    pub queue_arn: Option<String>,
    /// How often it was received, this time included; 1 where nobody says.
    pub receives: u32,
    /// Its body.
    pub body: Bytes,
}

/// Without its body, which may be large, and its handle, with which it can be deleted.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("queue_arn", &self.queue_arn)
            .field("receives", &self.receives)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    event_source: Cow<'a, str>,
    message_id: String,
    body: String,
    receipt_handle: Option<String>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: Option<String>,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(rename = "ApproximateReceiveCount")]
    receives: String,
}

impl Event {
    /// Takes the event apart.
    ///
    /// It is a batch of SQS where it has `Records`, and each is a record of `aws:sqs` with a
    /// `messageId` and a `body` (Lambda developer guide, *Using Lambda with Amazon SQS*).
    /// Anything else, also what cannot be read at all, is one message: its body is decoded
    /// [as every other](crate::notification), and what is wrong with it comes out there.
    #[must_use]
    pub fn parse(event: Bytes) -> Self {
        if let Some(messages) = batch(&event) {
            return Self {
                messages,
                batch: true,
            };
        }
        let whole = Message {
            id: String::new(),
            receipt_handle: None,
            queue_arn: None,
            receives: 1,
            body: event,
        };
        Self {
            messages: vec![whole],
            batch: false,
        }
    }

    /// Its messages, in their order.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whether it is a batch of SQS, whose messages are answered one by one.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        self.batch
    }
}

fn batch(event: &[u8]) -> Option<Vec<Message>> {
    let top: Top<'_> = serde_json::from_slice(event).ok()?;
    if top.records.is_empty() {
        return None;
    }
    top.records.into_iter().map(message).collect()
}

fn message(record: &RawValue) -> Option<Message> {
    let record: Record<'_> = serde_json::from_str(record.get()).ok()?;
    // An empty identifier in an answer would make Lambda take all messages for failed.
    if record.event_source != "aws:sqs" || record.message_id.is_empty() {
        return None;
    }
    let receives = record
        .attributes
        .and_then(|attributes| serde_json::from_str::<Attributes>(attributes.get()).ok())
        .and_then(|attributes| attributes.receives.parse().ok());
    Some(Message {
        id: record.message_id,
        receipt_handle: record.receipt_handle,
        queue_arn: record.event_source_arn,
        receives: receives.unwrap_or(1),
        body: Bytes::from(record.body),
    })
}
