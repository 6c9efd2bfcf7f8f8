//! The files that an event names, and their receipts.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ctforward_core::{Error, ErrorKind, Intake, LogFile, ObjectId, Receipt, Result, Retry, Source};
use tokio::time::Instant;

use super::ORIGIN;
use super::event::Event;
use super::outcome::Outcome;
use crate::notification::{Allow, Item, NamedObject, decode};
use crate::s3::S3Reader;

/// The log files that the event of one call names; exhausted after them.
///
/// - Each allowed object is a file, each thing to be passed over an
///   [`Intake::Skip`], and of each message all that may not be read or understood,
///   together, an [`Intake::Foreign`] with the message's body: as a queue's source has it
///   ([what is allowed beside what is not](crate::notification#what-is-allowed-beside-what-is-not)).
/// - An object that several messages of the event name in the same state (by version and
///   ETag) is handed over once, and all of them share what becomes of it. All were there
///   before it is read, so what is read is not older than what any of them tells of.
/// - Nothing is told to anybody: [`Outcome`] keeps what became of the messages, for the
///   function's answer. A file that was not handed over before the source was dropped is
///   not finished.
pub struct EventSource {
    ready: VecDeque<Intake>,
    outcome: Outcome,
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("left", &self.ready.len())
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// An object in a state of its own.
type Identity = (String, String, Option<String>, Option<String>);

/// What is to be handed over, before it is known which messages share it.
enum Ready {
    File(NamedObject),
    Skip(&'static str, Option<ObjectId>),
    Foreign(Bytes, Error),
}

impl EventSource {
    /// A source of the event's files, which `reader` opens where `allow` allows it.
    /// Its receipts can be held until `hold_until`, if there is an end.
    #[must_use]
    pub fn new(
        event: Event,
        reader: &S3Reader,
        allow: &Allow,
        hold_until: Option<Instant>,
    ) -> Self {
        let Event {
            mut messages,
            batch,
        } = event;
        let mut ready: Vec<(Ready, Vec<usize>)> = Vec::new();
        let mut places: HashMap<Identity, usize> = HashMap::new();
        let mut parts = vec![0; messages.len()];
        for (at, message) in messages.iter_mut().enumerate() {
            let body = std::mem::take(&mut message.body);
            for part in taken_apart(body, allow) {
                if let Some(parts) = parts.get_mut(at) {
                    *parts += 1;
                }
                if let Ready::File(object) = &part {
                    let place = *places.entry(identity(object)).or_insert(ready.len());
                    if let Some((_, sharing)) = ready.get_mut(place) {
                        sharing.push(at);
                        continue;
                    }
                }
                ready.push((part, vec![at]));
            }
        }
        // A message without parts would be finished by nobody's word: `taken_apart` makes none.
        let parts: Vec<usize> = parts.into_iter().map(|parts| parts.max(1)).collect();
        let outcome = Outcome::new(batch, messages, &parts);
        let intake = |(part, messages): (Ready, Vec<usize>)| {
            let receipt = Box::new(Part {
                outcome: outcome.clone(),
                messages,
                hold_until,
            });
            match part {
                Ready::File(object) => {
                    let open = reader.open_later(object.id());
                    Intake::File(LogFile::new(object.object(), open, receipt).named())
                }
                Ready::Skip(why, object) => Intake::Skip {
                    object: object.unwrap_or_else(|| ObjectId::new("message", "event")),
                    why,
                    receipt,
                },
                Ready::Foreign(bytes, reason) => Intake::Foreign {
                    bytes,
                    reason,
                    receipt,
                },
            }
        };
        Self {
            ready: ready.into_iter().map(intake).collect(),
            outcome,
        }
    }

    /// What becomes of the messages, also after the source was given away.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    /// Gives everything back, with a reason: nothing is to be begun.
    pub fn refuse(self, why: &Error) {
        let after = match why.retry() {
            Retry::After(after) => Some(after),
            _ => None,
        };
        // The first reason stays; those of the receipts that are dropped come behind it.
        self.outcome.refuse(why, after);
    }
}

/// At least one part: each file, each thing to be passed over, and all that may not be
/// read or understood, together.
fn taken_apart(body: Bytes, allow: &Allow) -> Vec<Ready> {
    let mut parts = Vec::new();
    let mut wrong: Option<Error> = None;
    let mut refused = 0;
    match decode(&body) {
        Err(error) => wrong = Some(error),
        Ok(notification) => {
            for item in notification.items {
                match item {
                    Item::Created(object) => match allow.check(&object) {
                        Ok(()) => parts.push(Ready::File(object)),
                        Err(error) => {
                            refused += 1;
                            wrong.get_or_insert(error);
                        }
                    },
                    Item::Skip { why, object, .. } => parts.push(Ready::Skip(why, object)),
                }
            }
        }
    }
    if parts.is_empty() && wrong.is_none() {
        // A decoder that says nothing of a message has not understood it.
        let why = "the message says nothing";
        wrong = Some(Error::new(ErrorKind::Malformed, ORIGIN, why));
    }
    if let Some(mut reason) = wrong {
        if refused > 1 {
            let text = format!("{} (and {} others)", reason.message(), refused - 1);
            reason = Error::new(reason.kind(), reason.origin(), text);
        }
        parts.push(Ready::Foreign(body, reason));
    }
    parts
}

fn identity(object: &NamedObject) -> Identity {
    (
        object.bucket.clone(),
        object.key.clone(),
        object.version.clone(),
        object.etag.clone(),
    )
}

#[async_trait]
impl Source for EventSource {
    async fn next(&mut self) -> Result<Option<Intake>> {
        Ok(self.ready.pop_front())
    }
}

/// The receipt of one part, of each message that has it.
struct Part {
    outcome: Outcome,
    /// Empty once it was told.
    messages: Vec<usize>,
    hold_until: Option<Instant>,
}

#[async_trait]
impl Receipt for Part {
    fn hold_until(&self) -> Option<Instant> {
        self.hold_until
    }

    async fn accept(mut self: Box<Self>) -> Result<()> {
        for message in std::mem::take(&mut self.messages) {
            self.outcome.accepted(message);
        }
        Ok(())
    }

    async fn release(mut self: Box<Self>, why: &Error, after: Option<Duration>) -> Result<()> {
        for message in std::mem::take(&mut self.messages) {
            self.outcome.failed(message, why, after);
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        if messages.is_empty() {
            return;
        }
        let why = Error::new(ErrorKind::Cancelled, ORIGIN, "it was not begun in time");
        for message in messages {
            self.outcome.failed(message, &why, None);
        }
    }
}
