//! A message of which several parts may be under way, and the receipt of one part.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::{Error, ErrorKind, Receipt, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::error::ORIGIN;
use super::keeper::{Command, Job, What};
use super::lease::Lease;
use super::stats::Held;

/// What the parts of a message share: it is deleted when each of them was accepted,
/// and given back when all are decided and any was not.
pub(crate) struct Message {
    lease: Arc<Lease>,
    keeper: mpsc::UnboundedSender<Command>,
    parts: Mutex<Parts>,
}

struct Parts {
    undecided: usize,
    /// The longest pause that a part was given back with.
    released: Option<Duration>,
}

impl Message {
    /// A message of so many parts; each must get its receipt.
    pub(crate) fn new(
        lease: Arc<Lease>,
        keeper: mpsc::UnboundedSender<Command>,
        parts: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            lease,
            keeper,
            parts: Mutex::new(Parts {
                undecided: parts,
                released: None,
            }),
        })
    }

    pub(crate) fn part(self: &Arc<Self>, held: Option<Held>) -> Part {
        Part {
            message: Arc::clone(self),
            told: false,
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

    /// Says it to the queue, and waits for its answer.
    async fn say(&self, what: What) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let job = Job::new(Arc::clone(&self.lease), what, Some(reply));
        let sent = self.keeper.send(Command::Decide(job));
        let gone = || {
            let why = "the task that speaks with the queue has ended; the message comes again";
            Error::new(ErrorKind::Other, ORIGIN, why)
        };
        sent.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The receipt of one part of a message.
pub(crate) struct Part {
    message: Arc<Message>,
    told: bool,
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
        if let Some(error) = self.lost() {
            return Err(error);
        }
        match last {
            // The others decide on it; of this part nothing more is to be done.
            None => Ok(()),
            Some(What::Delete) => self.message.say(What::Delete).await,
            Some(show) => {
                // Of this part all was done, whatever becomes of the message.
                if let Err(error) = self.message.say(show).await {
                    tracing::warn!(%error, "a message could not be given back");
                }
                Ok(())
            }
        }
    }

    async fn release(mut self: Box<Self>, _why: &Error, after: Option<Duration>) -> Result<()> {
        self.told = true;
        let pause = after.unwrap_or_else(|| self.message.pause());
        match self.message.tell(Some(pause)) {
            Some(show) if self.lost().is_none() => self.message.say(show).await,
            // The last of the others gives it back, or it comes again by itself.
            _ => Ok(()),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        if let Some(what) = self.message.tell(Some(self.message.pause())) {
            let job = Job::new(Arc::clone(&self.message.lease), what, None);
            // Without the task it comes again by itself.
            let _ = self.message.keeper.send(Command::Decide(job));
        }
    }
}
