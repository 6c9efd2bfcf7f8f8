//! A message of which several parts may be under way, and the receipt of one part.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::{Error, ErrorKind, Receipt, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::error::ORIGIN;
use super::keeper::{Command, Job, What};
use super::lease::Lease;
use super::stats::{Counters, Held};
use crate::notification::NamedObject;

/// What the parts of a message share: it is deleted when each of them was accepted,
/// and given back when all are decided and any was not.
pub(crate) struct Message {
    lease: Arc<Lease>,
    keeper: mpsc::UnboundedSender<Command>,
    counters: Arc<Counters>,
    parts: Mutex<Parts>,
}

struct Parts {
    undecided: usize,
    /// The longest pause that a part was given back with.
    released: Option<Duration>,
}

impl Message {
    /// A message whose parts are still to be made.
    pub(crate) fn new(
        lease: Arc<Lease>,
        keeper: mpsc::UnboundedSender<Command>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            lease,
            keeper,
            counters,
            parts: Mutex::new(Parts {
                undecided: 1,
                released: None,
            }),
        })
    }

    /// It has so many parts; each must get its receipt.
    pub(crate) fn has(&self, parts: usize) {
        let mut all = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        all.undecided = parts;
    }

    pub(crate) fn part(self: &Arc<Self>, held: Option<Held>) -> Part {
        Part {
            message: Arc::clone(self),
            told: false,
            first_of: None,
            _held: held,
        }
    }

    /// A part was accepted, or given back with a pause; what is to be said of the
    /// whole, if it was the last.
    fn tell(&self, released: Option<Duration>) -> Option<What> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.undecided = parts.undecided.saturating_sub(1);
        parts.released = parts.released.max(released);
        (parts.undecided == 0).then(|| parts.released.map_or(What::Delete, What::Show))
    }

    fn pause(&self) -> Duration {
        let lease = &self.lease;
        lease.terms.pause(lease.receives, fastrand::f64())
    }

    /// Gives it back after so long, and waits for nobody.
    fn show(&self, after: Duration) {
        let job = Job::new(Arc::clone(&self.lease), What::Show(after), None);
        // Without the task it comes again by itself.
        let _ = self.keeper.send(Command::Decide(job));
    }

    /// Says it to the queue, which answers in time.
    fn say(&self, what: What) -> Result<oneshot::Receiver<Result<()>>> {
        let (reply, answer) = oneshot::channel();
        let job = Job::new(Arc::clone(&self.lease), what, Some(reply));
        let sent = self.keeper.send(Command::Decide(job));
        sent.map_err(|_| gone())?;
        Ok(answer)
    }
}

impl Drop for Message {
    /// Every part tells, and a message goes with the last of them. One that goes before
    /// was not taken apart to its end, by a fault in the program: nobody else would give
    /// it back before its longest time is over.
    fn drop(&mut self) {
        let parts = self.parts.get_mut();
        if parts.unwrap_or_else(PoisonError::into_inner).undecided > 0 {
            tracing::error!(message = %self.lease.id, "a message was not taken apart");
            self.show(self.pause());
        }
    }
}

/// What the queue answered to what was said.
async fn heard(said: Result<oneshot::Receiver<Result<()>>>) -> Result<()> {
    said?.await.unwrap_or_else(|_| Err(gone()))
}

fn gone() -> Error {
    let why = "the task that speaks with the queue has ended; the message comes again";
    Error::new(ErrorKind::Other, ORIGIN, why)
}

/// The receipt of one part of a message.
pub(crate) struct Part {
    message: Arc<Message>,
    told: bool,
    /// Others may wait for what becomes of this object.
    pub(crate) first_of: Option<(Identity, Arc<Doubles>)>,
    /// The room it takes up, until it is decided.
    _held: Option<Held>,
}

#[async_trait]
impl Receipt for Part {
    /// A time that has passed, where the message is no longer held here.
    fn hold_until(&self) -> Option<Instant> {
        let lease = &self.message.lease;
        let lost = lease.lost().map(|(since, _)| since);
        Some(lost.map_or(lease.hold_until(), |since| since.min(lease.hold_until())))
    }

    fn lost(&self) -> Option<Error> {
        self.message.lease.lost().map(|(_, error)| error)
    }

    async fn accept(mut self: Box<Self>) -> Result<()> {
        self.told = true;
        let last = self.message.tell(None);
        let lost = self.lost();
        // Said before anything is waited for: whoever drops this future from here on
        // drops no decision.
        let said = last.filter(|_| lost.is_none()).map(|what| {
            let deletes = matches!(what, What::Delete);
            (deletes, self.message.say(what))
        });
        // What says the same of the same object is done too, each by its own message.
        let doubles = self.doubles().into_iter().map(|double| {
            let double: Box<dyn Receipt> = Box::new(double);
            tokio::spawn(double.accept())
        });
        for double in doubles.collect::<Vec<_>>() {
            if let Ok(Err(error)) = double.await {
                tracing::warn!(%error, "a message about an object that is done comes again");
            }
        }
        if let Some(error) = lost {
            return Err(error);
        }
        match said {
            // The others decide on it; of this part nothing more is to be done.
            None => Ok(()),
            Some((true, said)) => heard(said).await,
            Some((false, said)) => {
                // Of this part all was done, whatever becomes of the message.
                if let Err(error) = heard(said).await {
                    tracing::warn!(%error, "a message could not be given back");
                }
                Ok(())
            }
        }
    }

    async fn release(mut self: Box<Self>, _why: &Error, after: Option<Duration>) -> Result<()> {
        self.told = true;
        let pause = after.unwrap_or_else(|| self.message.pause());
        for double in self.doubles() {
            double.give_back(after);
        }
        match self.message.tell(Some(pause)) {
            Some(show) if self.lost().is_none() => heard(self.message.say(show)).await,
            // The last of the others gives it back, or it comes again by itself.
            _ => Ok(()),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.told {
            // Dropping those that wait for it gives them back too.
            drop(self.doubles());
            let ended = self.message.counters.tasks.is_closed();
            self.tell_released(ended.then_some(Duration::ZERO));
        }
    }
}

impl Part {
    /// Those that wait for what becomes of this one.
    fn doubles(&mut self) -> Vec<Self> {
        let first_of = self.first_of.take();
        first_of.map_or_else(Vec::new, |(object, doubles)| doubles.take(&object))
    }

    /// Gives it back, and waits for nobody.
    fn give_back(mut self, after: Option<Duration>) {
        self.told = true;
        self.tell_released(after);
    }

    fn tell_released(&self, after: Option<Duration>) {
        let pause = after.unwrap_or_else(|| self.message.pause());
        if let Some(What::Show(after)) = self.message.tell(Some(pause)) {
            self.message.show(after);
        }
    }
}

/// An object as far as messages can tell that they mean the same state of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    bucket: String,
    key: String,
    version: Option<String>,
    etag: String,
}

impl Identity {
    /// `None` without an ETag: the object may have been written anew in between.
    pub(crate) fn of(named: &NamedObject) -> Option<Self> {
        Some(Self {
            bucket: named.bucket.clone(),
            key: named.key.clone(),
            version: named.version.clone(),
            etag: named.etag.clone()?,
        })
    }
}

/// The objects that are under way, and the parts of other messages that say the same of
/// them: queues and S3 tell of an object at least once. Handed over, such a part would
/// find its file held by this very process, and be away for as long as a lease lasts.
#[derive(Default)]
pub(crate) struct Doubles(Mutex<HashMap<Identity, Vec<Part>>>);

impl Doubles {
    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Vec<Part>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the part where it is the first of its object; otherwise it waits for
    /// what becomes of the first.
    pub(crate) fn join(self: &Arc<Self>, object: Identity, mut part: Part) -> Option<Part> {
        match self.lock().entry(object) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(part);
                None
            }
            Entry::Vacant(place) => {
                part.first_of = Some((place.key().clone(), Arc::clone(self)));
                place.insert(Vec::new());
                Some(part)
            }
        }
    }

    fn take(&self, object: &Identity) -> Vec<Part> {
        self.lock().remove(object).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
