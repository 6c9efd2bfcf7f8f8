use std::collections::hash_map::{Entry, HashMap};
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::identity::{ById, Identity};
use crate::ledger::Seen;

/// The accepted records that are remembered: bounded in number and in time.
///
/// A table of a hundred thousand entries is not in the processor's cache, so that
/// each look into it counts; nearly every name has one record, and one look tells
/// all of it.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    age: Duration,
    /// In the order in which they were accepted.
    order: VecDeque<Seen>,
    names: HashMap<[u8; 16], Known, ById>,
    /// Records whose name has another record in `names`.
    others: HashSet<Identity, ById>,
}

/// What is remembered of one name.
#[derive(Debug)]
struct Known {
    /// The first record accepted, until it is forgotten.
    first: Option<[u8; 16]>,
    /// How many records of this name are in `others`.
    others: u32,
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
            names: HashMap::default(),
            others: HashSet::default(),
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
        match self.names.get(&identity.id) {
            None => Standing::New,
            Some(known) if known.first == Some(identity.content) => Standing::Duplicate,
            Some(known) if known.others > 0 && self.others.contains(identity) => {
                Standing::Duplicate
            }
            Some(_) => Standing::Conflicting,
        }
    }

    /// A record was accepted.
    pub(crate) fn insert(&mut self, seen: Seen) {
        if self.most == 0 {
            return;
        }
        match self.names.entry(seen.id) {
            Entry::Vacant(place) => {
                place.insert(Known {
                    first: Some(seen.content),
                    others: 0,
                });
            }
            Entry::Occupied(mut place) => {
                let known = place.get_mut();
                let identity = Identity {
                    id: seen.id,
                    content: seen.content,
                };
                // Sent twice all the same (both were under way): one memory is enough.
                if known.first == Some(seen.content) || !self.others.insert(identity) {
                    return;
                }
                known.others += 1;
            }
        }
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
        let Entry::Occupied(mut place) = self.names.entry(seen.id) else {
            return;
        };
        let known = place.get_mut();
        if known.first == Some(seen.content) {
            known.first = None;
        } else {
            self.others.remove(&Identity {
                id: seen.id,
                content: seen.content,
            });
            known.others -= 1;
        }
        if known.first.is_none() && known.others == 0 {
            place.remove();
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
