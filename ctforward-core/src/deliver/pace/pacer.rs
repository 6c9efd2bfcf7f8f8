use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::breaker::Answer;
use super::state::{State, Turn, out_of_time};
use super::{Denied, PacePolicy, PaceStatus};
use crate::batch::Batch;
use crate::error::{Error, ErrorKind, Result};

/// Decides when a request goes to a sink: a handle, shared by its clones, that a
/// [`PaceSink`](super::PaceSink) asks and a pipeline looks at.
#[derive(Clone)]
pub struct Pacer {
    shared: Arc<Shared>,
}

struct Shared {
    denied: Denied,
    state: Mutex<State>,
    /// Told after every change that may let somebody go, or send somebody away.
    /// Wakes whoever waits, in the order of their coming: the same run is the same again.
    changed: Notify,
    /// Held by the first in the queue; the others wait for it in their order.
    first: Semaphore,
    /// How often a probe was asked for at once.
    hurried: watch::Sender<u64>,
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pacer").field(&self.status()).finish()
    }
}

impl Pacer {
    /// Paces by `policy`.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where its settings do not go together.
    pub fn new(policy: PacePolicy) -> Result<Self> {
        policy.check()?;
        let pacer = Self {
            shared: Arc::new(Shared {
                denied: policy.denied,
                state: Mutex::new(State::new(policy)),
                changed: Notify::new(),
                first: Semaphore::new(1),
                hurried: watch::Sender::new(0),
            }),
        };
        pacer.state().meter();
        Ok(pacer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let done = change(&mut state);
        state.meter();
        drop(state);
        self.shared.changed.notify_waiters();
        done
    }

    /// Resolves when intake may go on: the breaker is closed; or its time is up and
    /// no request waits or is under way, so that a batch is needed to probe. For
    /// that, one caller a second is let through.
    ///
    /// Ask before each GET. Cancel-safe.
    pub async fn admits(&self) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let admitted = self.state().admit();
            let Err(again_at) = admitted else {
                return;
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = until(again_at) => {}
            }
        }
    }

    /// Whether the breaker is open, or waits for the answer of its probe.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state().breaker.opening().is_some()
    }

    /// When a probe may go, while the breaker is open. It may have passed already.
    #[must_use]
    pub fn open_until(&self) -> Option<Instant> {
        self.state().open_until()
    }

    /// What opened the breaker, while it is open.
    #[must_use]
    pub fn why(&self) -> Option<Error> {
        let state = self.state();
        let opening = state.breaker.opening();
        opening.map(|opening| opening.why.duplicate())
    }

    /// Opens the breaker from above, for what no single answer tells: refusals
    /// that are not believed. It is never shortened by this, and after it requests
    /// go one at a time until the sink accepts something; a refusal closes nothing.
    pub fn trip(&self, why: &Error, open_for: Duration) {
        self.change(|state| state.trip(why, open_for));
    }

    /// Has a sink that refuses us tried at once, and not at the time of its next probe:
    /// something about the credentials or the address may have changed. It is one probe
    /// as always. Where the breaker is closed, or open for another reason, or the sink
    /// itself named a time, nothing happens.
    ///
    /// A [`RetrySink`](crate::deliver::RetrySink) that
    /// [knows this pacer](crate::deliver::RetrySink::hurried_by) ends its pauses after
    /// such refusals too.
    pub fn probe_now(&self) {
        self.change(|state| state.breaker.probe_now());
        self.shared.hurried.send_modify(|times| *times += 1);
    }

    /// Changes with each [`probe_now`](Self::probe_now).
    pub(in crate::deliver) fn hurried(&self) -> watch::Receiver<u64> {
        self.shared.hurried.subscribe()
    }

    /// From now on nobody waits for an open breaker or a Retry-After: such a wait
    /// ends at once with a retryable error, so that the files can be given back.
    /// Requests that may go still go.
    pub fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    /// Where it is.
    #[must_use]
    pub fn status(&self) -> PaceStatus {
        self.state().status()
    }

    /// Waits until a request with this batch may go, and takes its slot. First come,
    /// first served; a dropped wait leaves nothing behind.
    ///
    /// # Errors
    /// A retryable one, of the kind of what holds it back, where the batch cannot
    /// be held long enough to be sent.
    pub(super) async fn enter(&self, batch: &Batch) -> Result<Slot> {
        let _waiting = Waiting::new(self);
        let hold_until = batch.hold_until();
        let first = self.shared.first.acquire();
        tokio::pin!(first);
        let _first = loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(error) = self.state().in_vain(hold_until) {
                return Err(error);
            }
            tokio::select! {
                biased;
                first = &mut first => break first,
                () = changed => {}
                () = until(hold_until) => return Err(out_of_time()),
            }
        };
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let turn = self.state().turn(batch.bytes(), hold_until);
            let wait = match turn {
                Turn::Go(probe) => {
                    return Ok(Slot {
                        pacer: self.clone(),
                        probe,
                        began: Instant::now(),
                        bytes: batch.bytes(),
                        answered: false,
                    });
                }
                Turn::Wait(wait) => wait,
                Turn::Never(error) => return Err(error),
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = until(wait) => {}
                () = until(hold_until) => return Err(out_of_time()),
            }
        }
    }

    /// What the caller sees instead of `error`.
    pub(super) fn outward(&self, error: Error) -> Error {
        let denied = matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Config);
        match self.shared.denied {
            Denied::Probe(every) if denied && !error.is_retryable() => {
                error.with_retry(crate::Retry::After(every))
            }
            _ => error,
        }
    }
}

/// Never, where there is no moment to wait for.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A request in the queue.
struct Waiting<'a>(&'a Pacer);

impl<'a> Waiting<'a> {
    fn new(pacer: &'a Pacer) -> Self {
        pacer.state().waiting += 1;
        Self(pacer)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0
            .change(|state| state.waiting = state.waiting.saturating_sub(1));
    }
}

/// A request under way. Dropped without an answer, it gives its slot back and
/// says nothing of the sink.
pub(super) struct Slot {
    pacer: Pacer,
    probe: Option<u64>,
    began: Instant,
    bytes: usize,
    answered: bool,
}

impl Slot {
    pub(super) fn answered(mut self, answer: Answer<'_>) {
        self.answered = true;
        self.pacer
            .change(|state| state.answered(answer, self.probe, self.began, self.bytes));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.answered {
            self.pacer.change(|state| state.abandoned(self.probe));
        }
    }
}
