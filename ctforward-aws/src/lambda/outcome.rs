//! What became of the messages of an event, and what to answer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::ORIGIN;
use super::event::Message;

/// What became of the messages of an event; clones are the same.
#[derive(Clone)]
pub struct Outcome(Arc<Shared>);

struct Shared {
    batch: bool,
    /// Their bodies are with the source.
    messages: Vec<Message>,
    states: Mutex<Vec<State>>,
}

/// What the parts of a message came to.
#[derive(Default)]
struct State {
    undecided: usize,
    failed: Option<Failed>,
}

struct Failed {
    why: Error,
    passes: bool,
    after: Option<Duration>,
}

impl State {
    fn fail(&mut self, why: &Error, after: Option<Duration>) {
        let passes = why.is_retryable() || why.kind() == ErrorKind::Cancelled;
        match &mut self.failed {
            Some(failed) => {
                failed.passes |= passes;
                failed.after = failed.after.max(after);
            }
            None => {
                self.failed = Some(Failed {
                    why: why.duplicate(),
                    passes,
                    after,
                });
            }
        }
    }
}

/// A message that is not finished.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unfinished {
    /// The message, without its body.
    pub message: Message,
    /// Why; of several reasons the first.
    pub why: Error,
    /// Whether it may be finished when it comes again: a sink that is away, a deadline.
    /// Otherwise it fails the same way until somebody does something.
    pub may_pass: bool,
    /// Not earlier than in so long, if somebody said so.
    pub after: Option<Duration>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    batch_item_failures: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    item_identifier: &'a str,
}

impl Outcome {
    /// Of these messages, each of which has so many parts.
    pub(super) fn new(batch: bool, messages: Vec<Message>, parts: &[usize]) -> Self {
        let state = |at: usize| State {
            // One whose parts nobody counted is never finished.
            undecided: parts.get(at).copied().unwrap_or(1),
            failed: None,
        };
        let states = (0..messages.len()).map(state).collect();
        Self(Arc::new(Shared {
            batch,
            messages,
            states: Mutex::new(states),
        }))
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part of a message was accepted.
    pub(super) fn accepted(&self, message: usize) {
        if let Some(state) = self.states().get_mut(message) {
            state.undecided = state.undecided.saturating_sub(1);
        }
    }

    /// A part of a message is not finished.
    pub(super) fn failed(&self, message: usize, why: &Error, after: Option<Duration>) {
        if let Some(state) = self.states().get_mut(message) {
            state.undecided = state.undecided.saturating_sub(1);
            state.fail(why, after);
        }
    }

    /// No message is finished, whatever is told of its parts.
    pub(super) fn refuse(&self, why: &Error, after: Option<Duration>) {
        for state in self.states().iter_mut() {
            state.fail(why, after);
        }
    }

    /// How many messages the event has.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.0.messages.len()
    }

    /// The messages that are not finished at this moment, in their order.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let states = self.states();
        let both = self.0.messages.iter().zip(states.iter());
        both.filter_map(|(message, state)| {
            let unfinished = |why, may_pass, after| Unfinished {
                message: message.clone(),
                why,
                may_pass,
                after,
            };
            match &state.failed {
                Some(failed) => {
                    let passes = failed.passes || state.undecided > 0;
                    Some(unfinished(failed.why.duplicate(), passes, failed.after))
                }
                None if state.undecided > 0 => {
                    let why = "it was not finished in time";
                    let why = Error::new(ErrorKind::Cancelled, ORIGIN, why);
                    Some(unfinished(why, true, None))
                }
                None => None,
            }
        })
        .collect()
    }

    /// What the function answers, as things are at this moment: for a batch of SQS
    /// `{"batchItemFailures":[…]}` with each message that is not finished, named once;
    /// `null` for any other event.
    ///
    /// # Errors
    /// Where the event is no batch and is not finished: the call is to fail with this.
    pub fn answer(&self) -> Result<String> {
        let unfinished = self.unfinished();
        if !self.0.batch {
            return match unfinished.into_iter().next() {
                None => Ok("null".to_owned()),
                Some(one) => {
                    let why = format!("the event is not finished: {}", one.why.message());
                    Err(Error::new(one.why.kind(), ORIGIN, why))
                }
            };
        }
        let ids: BTreeSet<&str> = unfinished.iter().map(|one| &*one.message.id).collect();
        let answer = Answer {
            batch_item_failures: ids
                .into_iter()
                .map(|item_identifier| Item { item_identifier })
                .collect(),
        };
        serde_json::to_string(&answer).map_err(|error| {
            Error::new(ErrorKind::Other, ORIGIN, "the answer cannot be written").with_source(error)
        })
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("messages", &self.messages())
            .field("unfinished", &self.unfinished().len())
            .finish_non_exhaustive()
    }
}
