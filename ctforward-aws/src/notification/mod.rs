//! What a message says about objects of S3, in every form that it comes in.
//!
//! [`decode`] takes the body of a message (or the event of a Lambda function) and
//! answers with the objects that it says were created, and with what it says
//! besides. It asks nobody: addresses in a message (`SubscribeURL`,
//! `UnsubscribeURL`, `SigningCertURL`) and its region and account are not read at
//! all. [`Allow`] then holds each named object against what may be read.
//!
//! | form | how keys are written | documented by AWS under |
//! | --- | --- | --- |
//! | S3 event, `{"Records":[{"eventSource":"aws:s3",…}]}` | form-encoded: `+` is a space, `%2B` a plus | S3, *Event message structure* |
//! | S3 test event, `{"Event":"s3:TestEvent",…}` | none | the same |
//! | EventBridge event, `{"source":"aws.s3","detail-type":"Object Created",…}` | as they are | S3, *EventBridge event message structure*; that keys are not encoded is not documented |
//! | CloudTrail's own, `{"s3Bucket":…,"s3ObjectKey":[…]}` | as they are | CloudTrail Processing Library (its source) |
//! | `CloudTrail validation message.` | none | the same |
//! | SNS subscription or unsubscribe confirmation | none | SNS, *Parsing message formats* |
//!
//! Each may lie in an SNS notification, in the `Records` that a Lambda function gets
//! from SNS or SQS, and in the report that a failed Lambda function leaves at its
//! destination, one in another up to [`Limits::envelopes`].
//!
//! A confirmation of a subscription is never followed: whoever subscribes a queue
//! confirms it himself. It speaks of no object, so it is skipped, like a test event.
//!
//! # All or nothing
//! All records of a message are taken. One that cannot be understood makes the whole
//! message an error, so that nothing of it is acknowledged: fields that are read and
//! come twice, a bad escape, a version of events that is not known, an event of a
//! service that names no log files. Fields that are not read may hold anything.
//!
//! # What is allowed beside what is not
//! Whether an object may be read is another question, and is asked of each object by
//! itself. A message that was understood and names both allowed and foreign objects is
//! split: `SqsSource` (feature `sqs`) hands over each allowed object as a file, each
//! thing to be passed over as a skip, and all foreign ones together as one
//! [`Foreign`](ctforward_core::Intake::Foreign) with the message's whole body and the
//! reason of the first. So nobody keeps a log file from being delivered by naming
//! another bucket beside it, and nothing that was refused is lost. Each part has a
//! receipt of its own; the message is deleted once all of them were accepted, and given
//! back as a whole where one was not: then the files that were delivered come again, and
//! the ledger knows them.

mod allow;
mod envelope;
mod item;
mod json;
mod name;
mod object;
mod shape;

pub use allow::{Allow, AllowBuilder};
pub use item::{Item, NamedObject, Notification};
pub use shape::{Envelope, Form, Shape};

use ctforward_core::{Error, ErrorKind, Result};

/// Where these errors come from.
const ORIGIN: &str = "notification";

/// What one message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of a body. Default: 6 MiB, what a Lambda function is given at
    /// most; a message of SQS has at most 1 MiB.
    pub bytes: usize,
    /// The most objects that one message names, also those that are skipped.
    /// Default: 1,024.
    pub keys: usize,
    /// How many envelopes may lie one in another. Default: 4.
    pub envelopes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 6 * 1024 * 1024,
            keys: 1024,
            envelopes: 4,
        }
    }
}

impl Limits {
    /// The same limits with another for bytes.
    #[must_use]
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// The same limits with another for keys.
    #[must_use]
    pub fn with_keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// The same limits with another for envelopes.
    #[must_use]
    pub fn with_envelopes(mut self, envelopes: usize) -> Self {
        self.envelopes = envelopes;
        self
    }
}

/// What the body of a message says, within the default [`Limits`].
///
/// ```
/// use ctforward_aws::notification::{Item, decode};
///
/// let body = br#"{"s3Bucket":"trail","s3ObjectKey":["AWSLogs/a+b.json.gz"]}"#;
/// let notification = decode(body)?;
/// assert_eq!(notification.shape.to_string(), "CloudTrail message");
/// let [Item::Created(object)] = &notification.items[..] else { panic!() };
/// assert_eq!((object.bucket.as_str(), object.key.as_str()), ("trail", "AWSLogs/a+b.json.gz"));
/// # Ok::<(), ctforward_core::Error>(())
/// ```
///
/// # Errors
/// [`Malformed`](ErrorKind::Malformed) with what was seen, escaped and cut, where the
/// body is none of the forms above; [`TooLarge`](ErrorKind::TooLarge) over a limit.
/// Neither is worth a retry.
pub fn decode(body: &[u8]) -> Result<Notification> {
    decode_with(body, &Limits::default())
}

/// What the body of a message says, within these limits.
///
/// # Errors
/// As for [`decode`].
pub fn decode_with(body: &[u8], limits: &Limits) -> Result<Notification> {
    envelope::decode(body, limits)
}

fn malformed(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Malformed, ORIGIN, what)
}

fn too_large(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::TooLarge, ORIGIN, what)
}

#[cfg(test)]
mod tests;
