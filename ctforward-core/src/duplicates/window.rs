use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::identity::{ById, Identity};
use crate::ledger::Seen;

/// The accepted records that are remembered: bounded in number and in time.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    age: Duration,
    /// In the order in which they were accepted.
    order: VecDeque<Seen>,
    whole: HashSet<Identity, ById>,
    /// How many of `whole` have this name.
    names: HashMap<[u8; 16], u32, ById>,
}

/// How a record stands to those that were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    New,
    /// Accepted before, byte for byte.
    Duplicate,
    /// Another record of this name was accepted.
    Conflicting,
}

impl Window {
    pub(crate) fn new(most: usize, age: Duration) -> Self {
        Self {
            most,
            age,
            order: VecDeque::new(),
            whole: HashSet::default(),
            names: HashMap::default(),
        }
    }

    /// What is remembered from earlier, oldest first.
    pub(crate) fn fill(&mut self, seen: impl IntoIterator<Item = Seen>) {
        for seen in seen {
            self.insert(seen);
        }
    }

    pub(crate) fn standing(&mut self, identity: &Identity, now: Timestamp) -> Standing {
        self.forget(now);
        if self.whole.contains(identity) {
            Standing::Duplicate
        } else if self.names.contains_key(&identity.id) {
            Standing::Conflicting
        } else {
            Standing::New
        }
    }

    /// A record was accepted.
    pub(crate) fn insert(&mut self, seen: Seen) {
        let identity = Identity {
            id: seen.id,
            content: seen.content,
        };
        // Sent twice all the same (both were under way): one memory is enough.
        if self.most == 0 || !self.whole.insert(identity) {
            return;
        }
        *self.names.entry(seen.id).or_default() += 1;
        self.order.push_back(seen);
        while self.order.len() > self.most {
            self.pop();
        }
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some(oldest) = self.order.front()
            && now.duration_since(oldest.at).unsigned_abs() > self.age
            && oldest.at < now
        {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(seen) = self.order.pop_front() else {
            return;
        };
        self.whole.remove(&Identity {
            id: seen.id,
            content: seen.content,
        });
        if let Some(count) = self.names.get_mut(&seen.id) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(&seen.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn identity(id: u8, content: u8) -> Identity {
        Identity {
            id: [id; 16],
            content: [content; 16],
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_a_plain_list_of_the_last_ones_does(
            steps in prop::collection::vec((0u8..6, 0u8..3, 0i64..4, any::<bool>()), 0..120)
        ) {
            let (most, age) = (5, 10);
            let mut window = Window::new(most, Duration::from_secs(age));
            let mut plain: Vec<(Identity, i64)> = Vec::new();
            let mut now = 1000;
            for (id, content, passed, accept) in steps {
                now += passed;
                plain.retain(|(_, then)| now - then <= 10);
                let it = identity(id, content);
                let expected = if plain.iter().any(|(known, _)| *known == it) {
                    Standing::Duplicate
                } else if plain.iter().any(|(known, _)| known.id == it.id) {
                    Standing::Conflicting
                } else {
                    Standing::New
                };
                prop_assert_eq!(window.standing(&it, at(now)), expected);
                if accept && expected != Standing::Duplicate {
                    window.insert(Seen::new(it.id, it.content, at(now)));
                    plain.push((it, now));
                    if plain.len() > most {
                        plain.remove(0);
                    }
                }
            }
        }
    }
}
