//! What is known of a quarantine's segments in memory: which puts are live.

use std::collections::{HashMap, HashSet};

use super::line::{Id, Nonce, Put};

/// Which entries are live.
///
/// A put is live unless a tombstone names it, wherever and whenever either was
/// read; so neither clocks nor the order of segments matter. An entry is live as
/// long as one of its puts is.
#[derive(Debug, Default)]
pub(super) struct Index {
    live: HashMap<Id, Puts>,
    /// Puts that a tombstone names. Each stays known: a copy of it may be read again.
    dead: HashSet<Nonce>,
}

/// The live puts of one entry.
#[derive(Debug, Clone)]
struct Puts {
    /// The one that is shown: one with bytes, and of these the highest attempt.
    best: Put,
    others: Vec<Put>,
}

impl Index {
    pub(super) fn put(&mut self, id: Id, put: Put) {
        if self.dead.contains(&put.nonce) {
            return;
        }
        let Some(puts) = self.live.get_mut(&id) else {
            let others = Vec::new();
            self.live.insert(id, Puts { best: put, others });
            return;
        };
        if puts.all().any(|known| known.nonce == put.nonce) {
            return;
        }
        let other = if put > puts.best {
            std::mem::replace(&mut puts.best, put)
        } else {
            put
        };
        puts.others.push(other);
    }

    pub(super) fn tombstone(&mut self, id: &Id, nonces: &[Nonce]) {
        self.dead.extend(nonces);
        let Some(puts) = self.live.get_mut(id) else {
            return;
        };
        let mut left: Vec<Put> = puts
            .all()
            .filter(|put| !nonces.contains(&put.nonce))
            .collect();
        left.sort_unstable();
        match left.pop() {
            Some(best) => {
                *puts = Puts { best, others: left };
            }
            None => {
                self.live.remove(id);
            }
        }
    }

    /// How many entries are live.
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// The live puts of an entry.
    pub(super) fn puts(&self, id: &Id) -> Vec<Put> {
        self.live
            .get(id)
            .map(|puts| puts.all().collect())
            .unwrap_or_default()
    }

    /// Whether a put says anything that no other of its entry covers.
    pub(super) fn needs(&self, id: &Id, put: Put) -> bool {
        let live = self.live.get(id);
        live.filter(|puts| puts.all().any(|known| known.nonce == put.nonce))
            .is_some_and(|puts| puts.best.nonce == put.nonce || put.attempt > puts.best.attempt)
    }

    /// Whether this put is the one to show of its entry.
    pub(super) fn is_best(&self, id: &Id, nonce: Nonce) -> bool {
        self.live
            .get(id)
            .is_some_and(|puts| puts.best.nonce == nonce)
    }
}

impl Puts {
    fn all(&self) -> impl Iterator<Item = Put> + '_ {
        std::iter::once(self.best).chain(self.others.iter().copied())
    }
}
