//! One message that is held, and all that are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ctforward_core::Error;
use tokio::time::Instant;

use super::terms::{HOLD, Terms};

/// A message that was received and is not decided, or only just.
pub(crate) struct Lease {
    /// Its number here; the queue's own id may come twice.
    pub(crate) number: u64,
    /// The queue's id of it.
    pub(crate) id: String,
    /// How often it was received so far, by the queue's count.
    pub(crate) receives: u32,
    /// When it was asked for: it was received then or later.
    pub(crate) received: Instant,
    pub(crate) terms: Terms,
    state: Mutex<State>,
}

struct State {
    handle: String,
    /// Until when it is invisible to others for sure.
    until: Instant,
    lost: Option<(Instant, Error)>,
    decided: bool,
}

impl Lease {
    /// A message that came of a call made at `received`. The queue counts from some
    /// time between the call and its answer, and nobody says from which.
    pub(crate) fn new(
        number: u64,
        id: String,
        handle: String,
        receives: u32,
        terms: Terms,
        received: Instant,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            id,
            receives,
            received,
            terms,
            state: Mutex::new(State {
                handle,
                until: received + terms.visibility,
                lost: None,
                decided: false,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the queue wants to hear when the message is spoken of: the latest it gave.
    pub(crate) fn handle(&self) -> String {
        self.state().handle.clone()
    }

    /// The message came once more while it is held here, by a call made at `received`:
    /// the new handle is the one that counts. False where it is not held any more.
    fn adopt(&self, handle: &str, received: Instant) -> bool {
        let mut state = self.state();
        if state.lost.is_some() || state.decided {
            return false;
        }
        handle.clone_into(&mut state.handle);
        state.until = received + self.terms.visibility;
        true
    }

    /// When it is given back at the latest.
    pub(crate) fn hold_until(&self) -> Instant {
        self.received + HOLD
    }

    pub(crate) fn until(&self) -> Instant {
        self.state().until
    }

    pub(crate) fn extended(&self, until: Instant) {
        let mut state = self.state();
        state.until = state.until.max(until);
    }

    /// It is no longer held.
    pub(crate) fn lose(&self, error: Error) {
        let mut state = self.state();
        if state.lost.is_none() {
            state.lost = Some((Instant::now(), error));
        }
    }

    /// Since when and why it is no longer held, if so.
    pub(crate) fn lost(&self) -> Option<(Instant, Error)> {
        let state = self.state();
        let (since, error) = state.lost.as_ref()?;
        Some((*since, error.duplicate()))
    }

    /// It is being deleted or given back.
    pub(crate) fn decide(&self) {
        self.state().decided = true;
    }

    pub(crate) fn is_decided(&self) -> bool {
        self.state().decided
    }
}

/// The messages that are held, by the queue's ids of them.
#[derive(Default)]
pub(crate) struct Registry(Mutex<HashMap<String, Arc<Lease>>>);

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Lease>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The message with this id, if it is held here; from now on it goes by the new handle.
    pub(crate) fn adopt(&self, id: &str, handle: &str, received: Instant) -> Option<Arc<Lease>> {
        let held = self.lock();
        let lease = held.get(id)?;
        lease.adopt(handle, received).then(|| Arc::clone(lease))
    }

    pub(crate) fn add(&self, lease: &Arc<Lease>) {
        self.lock().insert(lease.id.clone(), Arc::clone(lease));
    }

    pub(crate) fn remove(&self, lease: &Lease) {
        let mut held = self.lock();
        if held
            .get(&lease.id)
            .is_some_and(|l| l.number == lease.number)
        {
            held.remove(&lease.id);
        }
    }
}
