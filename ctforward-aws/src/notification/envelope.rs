//! Taking a message out of what it lies in.

use ctforward_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{elements, members, quoted, read, text};
use super::{Envelope, Form, Item, Limits, NamedObject, Notification, Shape};
use super::{malformed, name, object, too_large};

/// However many the limit allows: each costs some stack.
const DEEPEST: usize = 16;

/// All members by which a form is known; addresses and regions are not among them.
#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<&'a RawValue>,
    #[serde(borrow, rename = "Type")]
    sns_type: Option<&'a RawValue>,
    #[serde(borrow, rename = "Message")]
    sns_message: Option<&'a RawValue>,
    #[serde(borrow, rename = "s3Bucket")]
    bucket: Option<&'a RawValue>,
    #[serde(borrow, rename = "s3ObjectKey")]
    keys: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, rename = "Event")]
    test_event: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestPayload")]
    request: Option<&'a RawValue>,
}

/// An element of `Records`; SNS writes `EventSource`.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "eventSource", alias = "EventSource")]
    source: Option<String>,
    #[serde(borrow, rename = "eventVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventName")]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    s3: Option<&'a RawValue>,
    #[serde(borrow, rename = "Sns")]
    sns: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

pub(super) fn decode(body: &[u8], limits: &Limits) -> Result<Notification> {
    if body.len() > limits.bytes {
        return Err(too_large(format!(
            "a message of {} bytes, and at most {} are read",
            body.len(),
            limits.bytes
        )));
    }
    let Ok(text) = std::str::from_utf8(body) else {
        let start = String::from_utf8_lossy(body.get(..80).unwrap_or(body));
        return Err(malformed(format!(
            "a message that is no UTF-8: {}",
            quoted(&start)
        )));
    };
    let mut reading = Reading {
        limits,
        items: Vec::new(),
    };
    let shape = reading.message(text, 0)?;
    Ok(Notification {
        shape,
        items: reading.items,
    })
}

struct Reading<'l> {
    limits: &'l Limits,
    items: Vec<Item>,
}

impl Reading<'_> {
    fn message(&mut self, text: &str, depth: usize) -> Result<Shape> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text == "CloudTrail validation message." {
            return self.skip(Form::CloudTrailValidation, "CloudTrail validation message");
        }
        if !text.starts_with('{') {
            return Err(malformed(format!("not a JSON object but {}", quoted(text))));
        }
        let top: Top<'_> = read("a message", text)?;
        let forms = [
            top.records.is_some(),
            top.sns_type.is_some() && top.sns_message.is_some(),
            top.bucket.is_some() || top.keys.is_some(),
            top.detail_type.is_some(),
            top.test_event.is_some(),
            top.request.is_some(),
        ];
        let known = forms.into_iter().filter(|known| *known).count();
        if known > 1 {
            return Err(malformed(format!(
                "several forms of notification in one: {}",
                members(text)
            )));
        }
        if let Some(records) = top.records {
            self.records(records, depth)
        } else if let (Some(kind), Some(message)) = (top.sns_type, top.sns_message) {
            self.sns(kind, message, depth)
        } else if let (Some(bucket), Some(keys)) = (top.bucket, top.keys) {
            self.cloudtrail(bucket, keys)
        } else if let Some(kind) = top.detail_type {
            let item = object::of_event(top.source, kind, top.detail)?;
            self.push(item)?;
            Ok(Shape::bare(Form::EventBridge))
        } else if let Some(event) = top.test_event {
            self.test_event(event)
        } else if let Some(request) = top.request {
            self.enter(Envelope::LambdaDestination, request.get(), depth)
        } else {
            Err(malformed(format!(
                "not a notification that is known: an object with {}",
                members(text)
            )))
        }
    }

    fn records(&mut self, records: &RawValue, depth: usize) -> Result<Shape> {
        let (records, more) = elements("Records", records, self.limits.keys)?;
        if more {
            return Err(self.too_many());
        }
        let mut shape: Option<Shape> = None;
        for record in records {
            let one = self.record(record, depth)?;
            shape = Some(match shape {
                Some(others) => others.join(one),
                None => one,
            });
        }
        match shape {
            Some(shape) => Ok(shape),
            None => self.skip(Form::Empty, "no records"),
        }
    }

    fn record(&mut self, record: &RawValue, depth: usize) -> Result<Shape> {
        let members_of = |record: &RawValue| match record.get().starts_with('{') {
            true => format!("an object with {}", members(record.get())),
            false => format!("{}", quoted(record.get())),
        };
        let read: Record<'_> = read("a record", record.get())?;
        match (read.source.as_deref(), read.sns, read.body) {
            (Some("aws:s3"), ..) => {
                let item = object::of_record(read.version, read.name, read.s3)?;
                self.push(item)?;
                Ok(Shape::bare(Form::S3Event))
            }
            (Some("aws:sns"), Some(sns), _) => {
                let Top {
                    sns_type: Some(kind),
                    sns_message: Some(message),
                    ..
                } = self::read("the member Sns of a record", sns.get())?
                else {
                    return Err(malformed(format!(
                        "a record of SNS without Type and Message: {}",
                        members_of(sns)
                    )));
                };
                self.sns(kind, message, depth)
            }
            (Some("aws:sqs"), _, Some(body)) => {
                self.enter(Envelope::Sqs, &text("the body of a record", body)?, depth)
            }
            (Some(source), ..) => Err(malformed(format!(
                "a record of the event source {}: {}",
                quoted(source),
                members_of(record)
            ))),
            (None, ..) => Err(malformed(format!(
                "a record without an event source: {}",
                members_of(record)
            ))),
        }
    }

    fn sns(&mut self, kind: &RawValue, message: &RawValue, depth: usize) -> Result<Shape> {
        let kind = text("Type", kind)?;
        match kind.as_str() {
            "Notification" => {
                let message = text("Message", message)?;
                self.enter(Envelope::Sns, &message, depth)
            }
            "SubscriptionConfirmation" => self.skip(
                Form::SnsConfirmation,
                "SNS subscription confirmation, not followed",
            ),
            "UnsubscribeConfirmation" => self.skip(
                Form::SnsConfirmation,
                "SNS unsubscribe confirmation, not followed",
            ),
            other => Err(malformed(format!(
                "a message of SNS of the unknown Type {}",
                quoted(other)
            ))),
        }
    }

    fn cloudtrail(&mut self, bucket: &RawValue, keys: &RawValue) -> Result<Shape> {
        let bucket = name::bucket(text("s3Bucket", bucket)?)?;
        let (keys, more) = elements("s3ObjectKey", keys, self.limits.keys)?;
        if more {
            return Err(self.too_many());
        }
        if keys.is_empty() {
            return self.skip(Form::CloudTrail, "no records");
        }
        for key in keys {
            let key = name::key(text("a key of s3ObjectKey", key)?)?;
            self.push(Item::Created(NamedObject::new(bucket.as_str(), key)))?;
        }
        Ok(Shape::bare(Form::CloudTrail))
    }

    fn test_event(&mut self, event: &RawValue) -> Result<Shape> {
        let event = text("Event", event)?;
        if event == "s3:TestEvent" {
            return self.skip(Form::S3TestEvent, "S3 test event");
        }
        let event = quoted(&event);
        Err(malformed(format!(
            "a message with the unknown Event {event}"
        )))
    }

    /// What lies in an envelope; an error says that it lay there.
    fn enter(&mut self, envelope: Envelope, text: &str, depth: usize) -> Result<Shape> {
        if depth >= self.limits.envelopes.min(DEEPEST) {
            return Err(too_large(format!(
                "more than {depth} envelopes, one in another"
            )));
        }
        match self.message(text, depth + 1) {
            Ok(shape) => Ok(shape.within(envelope)),
            Err(e) => Err(Error::new(
                e.kind(),
                e.origin(),
                format!("in {}: {}", envelope.as_str(), e.message()),
            )),
        }
    }

    fn skip(&mut self, form: Form, why: &'static str) -> Result<Shape> {
        self.push(Item::Skip { why, object: None })?;
        Ok(Shape::bare(form))
    }

    fn push(&mut self, item: Item) -> Result<()> {
        if self.items.len() >= self.limits.keys {
            return Err(self.too_many());
        }
        self.items.push(item);
        Ok(())
    }

    fn too_many(&self) -> Error {
        Error::new(
            ErrorKind::TooLarge,
            super::ORIGIN,
            format!("more than {} objects in one message", self.limits.keys),
        )
    }
}
