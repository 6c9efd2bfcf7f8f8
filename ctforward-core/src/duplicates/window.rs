use std::collections::hash_map::{Entry, HashMap};
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::identity::{ById, Identity};
use super::table::Table;
use crate::ledger::Seen;

/// The accepted records that are remembered: bounded in number and in time.
///
/// A hundred thousand of them are not in the processor's cache, so that each look at
/// one counts: a record that is new costs one at `table`, and is written behind the
/// one before.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    age: Duration,
    /// In the order in which they were accepted.
    order: VecDeque<Identity>,
    /// How many of them, in that order, were accepted when.
    times: VecDeque<(Timestamp, usize)>,
    /// The number of the first of them: they are counted on for ever.
    first: u32,
    /// Where the one record of a name lies, by its number; those before the first
    /// were forgotten.
    table: Table,
    /// Names of which several records were accepted, and what is remembered of them.
    several: HashMap<u64, HashSet<[u8; 16]>, ById>,
    /// How many of the newest were not handed out to be saved.
    unsaved: usize,
    saving: bool,
}

/// The most that can be remembered: numbers of 32 bits are told apart by halves.
const MOST: usize = 1 << 28;

/// So many are entered at once.
const TOGETHER: usize = 16;

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
            most: most.min(MOST),
            age,
            order: VecDeque::new(),
            times: VecDeque::new(),
            first: 0,
            table: Table::default(),
            several: HashMap::default(),
            unsaved: 0,
            saving: false,
        }
    }

    /// What is remembered from earlier, oldest first; it is saved already.
    pub(crate) fn fill(&mut self, seen: impl IntoIterator<Item = Seen>) {
        for seen in seen {
            self.insert((&seen).into(), seen.at);
        }
        self.unsaved = 0;
    }

    /// Records were accepted at `now`.
    pub(crate) fn accepted(&mut self, records: impl IntoIterator<Item = Identity>, now: Timestamp) {
        let mut records = records.into_iter();
        let mut together: [Option<Identity>; TOGETHER] = [None; TOGETHER];
        loop {
            for (place, record) in together.iter_mut().zip(records.by_ref()) {
                *place = Some(record);
            }
            self.table
                .touch(together.iter().flatten().map(|record| record.id));
            for record in &mut together {
                match record.take() {
                    Some(record) => self.insert(record, now),
                    None => return,
                }
            }
        }
    }

    pub(crate) fn standing(&mut self, identity: &Identity, now: Timestamp) -> Standing {
        self.forget(now);
        if !self.several.is_empty()
            && let Some(contents) = self.several.get(&identity.id)
        {
            return match contents.contains(&identity.content) {
                true => Standing::Duplicate,
                false => Standing::Conflicting,
            };
        }
        match self.one(identity.id) {
            None => Standing::New,
            Some(content) if content == identity.content => Standing::Duplicate,
            Some(_) => Standing::Conflicting,
        }
    }

    /// What the record of a name holds that is the only one remembered.
    fn one(&self, id: u64) -> Option<[u8; 16]> {
        self.table.places(id).find_map(|number| {
            // Before the first, counted round, lies far behind the last.
            let seen = self.order.get(number.wrapping_sub(self.first) as usize)?;
            (seen.id == id).then_some(seen.content)
        })
    }

    fn insert(&mut self, seen: Identity, at: Timestamp) {
        if self.most == 0 {
            return;
        }
        if !self.several.is_empty()
            && let Some(contents) = self.several.get_mut(&seen.id)
        {
            // Sent twice all the same (both were under way): one memory is enough.
            if !contents.insert(seen.content) {
                return;
            }
        } else {
            match self.one(seen.id) {
                Some(content) if content == seen.content => return,
                Some(content) => {
                    let both = [content, seen.content].into_iter().collect();
                    self.several.insert(seen.id, both);
                }
                None => {
                    if self.table.is_full() {
                        self.renew();
                    }
                    self.table.insert(seen.id, self.number(self.order.len()));
                }
            }
        }
        self.order.push_back(seen);
        match self.times.back_mut() {
            Some((last, count)) if *last == at => *count += 1,
            _ => self.times.push_back((at, 1)),
        }
        self.unsaved += 1;
        while self.order.len() > self.most {
            self.pop();
        }
    }

    /// Makes the table anew, without what was forgotten.
    fn renew(&mut self) {
        self.table.renew(self.order.len());
        for (index, seen) in self.order.iter().enumerate() {
            if self.several.is_empty() || !self.several.contains_key(&seen.id) {
                self.table.insert(seen.id, self.number(index));
            }
        }
    }

    fn number(&self, index: usize) -> u32 {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "fewer are remembered than 32 bits can count"
        )]
        let index = index as u32;
        self.first.wrapping_add(index)
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((oldest, _)) = self.times.front()
            && now.duration_since(*oldest).unsigned_abs() > self.age
            && *oldest < now
        {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(seen) = self.order.pop_front() else {
            return;
        };
        if let Some((_, count)) = self.times.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.times.pop_front();
            }
        }
        self.first = self.first.wrapping_add(1);
        self.unsaved = self.unsaved.min(self.order.len());
        if self.several.is_empty() {
            return;
        }
        if let Entry::Occupied(mut place) = self.several.entry(seen.id) {
            place.get_mut().remove(&seen.content);
            if place.get().is_empty() {
                place.remove();
            }
        }
    }

    /// Whether there is something to be saved and nobody who does: then that is for
    /// whoever asks.
    pub(crate) fn begins_saving(&mut self) -> bool {
        self.unsaved > 0 && !std::mem::replace(&mut self.saving, true)
    }

    /// What is to be saved, oldest first; `None` ends the saving.
    pub(crate) fn take_unsaved(&mut self) -> Option<Vec<Seen>> {
        let saved = self.order.len() - self.unsaved;
        self.unsaved = 0;
        let times = self.times.iter();
        let times = times.flat_map(|(at, count)| std::iter::repeat_n(*at, *count));
        let unsaved: Vec<Seen> = self
            .order
            .range(saved..)
            .zip(times.skip(saved))
            .map(|(record, at)| record.seen(at))
            .collect();
        self.saving = !unsaved.is_empty();
        self.saving.then_some(unsaved)
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
            id: id.into(),
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
            let (mut now, mut to_save) = (1000, 0);
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
                    window.accepted([it], at(now));
                    plain.push((it, now));
                    to_save += 1;
                    if plain.len() > most {
                        plain.remove(0);
                    }
                }
                to_save = to_save.min(plain.len());
                if passed == 3 {
                    let unsaved = window.take_unsaved().unwrap_or_default();
                    let expected = plain[plain.len() - to_save..].iter();
                    let expected = expected.map(|(it, then)| it.seen(at(*then)));
                    prop_assert_eq!(unsaved, expected.collect::<Vec<_>>());
                    to_save = 0;
                }
            }
        }
    }

    #[test]
    fn names_are_found_however_often_the_table_was_made_anew() {
        let mut window = Window::new(1000, Duration::from_secs(10));
        // The numbers run over on the way.
        window.first = u32::MAX - 5000;
        let name = |n: u32| {
            Identity {
                // Few different ends: names share slots, and what is kept of a hash.
                id: u64::from(n) << 24 | u64::from(n % 7),
                content: [1; 16],
            }
        };
        for n in 0..10_000 {
            let new = name(n);
            window.accepted([new], at(1000));
            let oldest_known = n.saturating_sub(999);
            for (of, expected) in [
                (n, Standing::Duplicate),
                (oldest_known, Standing::Duplicate),
                (oldest_known.wrapping_sub(1), Standing::New),
            ] {
                assert_eq!(
                    window.standing(&name(of), at(1000)),
                    expected,
                    "{of} at {n}"
                );
            }
        }
    }

    #[test]
    fn one_saves_at_a_time_and_what_was_recalled_is_saved() {
        let mut window = Window::new(10, Duration::from_secs(10));
        let seen = |n| identity(n, n).seen(at(1000));
        window.fill([seen(1)]);
        assert!(!window.begins_saving());
        window.accepted([identity(2, 2)], at(1000));
        assert!(window.begins_saving());
        window.accepted([identity(3, 3)], at(1000));
        assert!(!window.begins_saving());
        assert_eq!(window.take_unsaved(), Some(vec![seen(2), seen(3)]));
        window.accepted([identity(4, 4)], at(1000));
        assert!(!window.begins_saving());
        assert_eq!(window.take_unsaved(), Some(vec![seen(4)]));
        assert_eq!(window.take_unsaved(), None);
        window.accepted([identity(5, 5)], at(1000));
        assert!(window.begins_saving());
    }
}
