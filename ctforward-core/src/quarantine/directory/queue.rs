//! Changes that wait for the one that appends: those that came together share a sync.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::ended;
use super::index::Index;
use super::writer::{Change, Writer, lock};
use crate::error::Result;

/// How many changes one sync takes at most, so that none waits for very much else.
const TOGETHER: usize = 256;

pub(super) struct Queue {
    waiting: Arc<Mutex<Waiting>>,
    writer: Arc<Mutex<Writer>>,
    index: Arc<Mutex<Index>>,
}

#[derive(Default)]
struct Waiting {
    changes: Vec<(Change, oneshot::Sender<Result<bool>>)>,
    /// Somebody appends, and looks here again when done.
    working: bool,
}

impl Queue {
    pub(super) fn new(writer: Arc<Mutex<Writer>>, index: Arc<Mutex<Index>>) -> Self {
        Self {
            waiting: Arc::default(),
            writer,
            index,
        }
    }

    /// How many changes wait behind those that are being made.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> Option<usize> {
        let waiting = lock(&self.waiting);
        waiting.working.then_some(waiting.changes.len())
    }

    /// Makes a change; once begun, it is made even where nobody waits any more.
    pub(super) async fn commit(&self, change: Change) -> Result<bool> {
        let (tell, told) = oneshot::channel();
        let begin = {
            let mut waiting = lock(&self.waiting);
            waiting.changes.push((change, tell));
            !std::mem::replace(&mut waiting.working, true)
        };
        if begin {
            let work = Work {
                waiting: Arc::clone(&self.waiting),
                writer: Arc::clone(&self.writer),
                index: Arc::clone(&self.index),
                looked_at_all: false,
            };
            tokio::task::spawn_blocking(move || work.run());
        }
        told.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The one that appends. Where it ends without having looked at everything (the
/// runtime ended, a fault in the program), those who wait are told, and the next
/// change begins another.
struct Work {
    waiting: Arc<Mutex<Waiting>>,
    writer: Arc<Mutex<Writer>>,
    index: Arc<Mutex<Index>>,
    looked_at_all: bool,
}

impl Work {
    fn run(mut self) {
        loop {
            let (changes, tell): (Vec<_>, Vec<_>) = {
                let mut waiting = lock(&self.waiting);
                let together = waiting.changes.len().min(TOGETHER);
                if together == 0 {
                    waiting.working = false;
                    self.looked_at_all = true;
                    return;
                }
                waiting.changes.drain(..together).unzip()
            };
            let done = lock(&self.writer).commit(&self.index, &changes);
            drop(changes);
            for (at, tell) in tell.into_iter().enumerate() {
                let answer = match &done {
                    Ok(answers) => answers.get(at).copied().ok_or_else(ended),
                    Err(error) => Err(error.duplicate()),
                };
                // Nobody may wait for it any more.
                let _ = tell.send(answer);
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.looked_at_all {
            let mut waiting = lock(&self.waiting);
            waiting.working = false;
            waiting.changes.clear();
        }
    }
}
