//! How far a file is decided without a gap.

use std::collections::VecDeque;

use super::books::RecordBooks;
use crate::ledger::Mark;

/// The low-water mark of one file under way.
///
/// Batches finish out of order, so the mark is never the furthest record that
/// was decided: it ends before the first one that is not. Held are one range for
/// each batch under way, not an entry for each record.
#[derive(Debug, Default)]
pub(super) struct Water {
    /// What lies below: all of it decided.
    below: Mark,
    ranges: VecDeque<Span>,
}

/// Elements that follow each other, of which some lie in one batch.
#[derive(Debug)]
struct Span {
    batch: u64,
    /// Past the start of its last element.
    end: u64,
    pending: u64,
    records: RecordBooks,
    /// It holds a record that will not be decided in this run.
    stuck: bool,
}

/// The batch of spans that no batch settles: what is stuck from the start.
const NO_BATCH: u64 = u64::MAX;

impl Water {
    /// A record that starts at `offset` went into `batch`.
    pub(super) fn batched(&mut self, batch: u64, offset: u64) {
        match self.ranges.back_mut() {
            Some(span) if span.batch == batch => {
                span.pending += 1;
                span.end = offset + 1;
            }
            _ => self.ranges.push_back(Span {
                batch,
                end: offset + 1,
                pending: 1,
                records: RecordBooks::default(),
                stuck: false,
            }),
        }
    }

    /// Elements up to the one that starts at `last` were decided where they were
    /// met, as `records` says.
    pub(super) fn decided(&mut self, last: u64, records: RecordBooks) {
        match self.ranges.back_mut() {
            Some(span) => {
                span.end = span.end.max(last + 1);
                span.records += records;
            }
            None => {
                self.below.low_water = self.below.low_water.max(last + 1);
                self.below.records += records;
            }
        }
    }

    /// What follows stays undecided in this run.
    pub(super) fn stuck(&mut self) {
        match self.ranges.back_mut() {
            Some(span) => span.stuck = true,
            None => self.ranges.push_back(Span {
                batch: NO_BATCH,
                end: self.below.low_water,
                pending: 0,
                records: RecordBooks::default(),
                stuck: true,
            }),
        }
    }

    /// `batch` decided so many of its records as `records` says; those that it
    /// left undecided hold the mark back for good. Says whether the mark moved.
    pub(super) fn settled(&mut self, batch: u64, records: RecordBooks) -> bool {
        let Some(span) = self.ranges.iter_mut().find(|span| span.batch == batch) else {
            return false;
        };
        let decided = records.accepted + records.quarantined + records.duplicate;
        span.pending = span.pending.saturating_sub(decided + records.undecided);
        span.stuck |= records.undecided > 0;
        span.records.read += decided;
        span.records.accepted += records.accepted;
        span.records.quarantined += records.quarantined;
        span.records.duplicate += records.duplicate;
        let before = self.below.low_water;
        while let Some(span) = self.ranges.front()
            && span.pending == 0
            && !span.stuck
        {
            self.below.low_water = span.end;
            self.below.records += span.records;
            self.ranges.pop_front();
        }
        self.join();
        self.below.low_water > before
    }

    /// Joins decided spans that follow each other, and stuck ones: however many
    /// batches finish behind one that does not, what is held stays small.
    fn join(&mut self) {
        let mut kept: VecDeque<Span> = VecDeque::with_capacity(self.ranges.len());
        for span in self.ranges.drain(..) {
            match kept.back_mut() {
                Some(last)
                    if last.pending == 0 && span.pending == 0 && (last.stuck || !span.stuck) =>
                {
                    last.batch = NO_BATCH;
                    last.end = span.end;
                    last.records += span.records;
                }
                _ => kept.push_back(span),
            }
        }
        self.ranges = kept;
    }

    /// Every record that starts before the mark is decided, as its books say.
    pub(super) fn mark(&self) -> Mark {
        self.below
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn accepted(n: u64) -> RecordBooks {
        RecordBooks {
            accepted: n,
            ..RecordBooks::default()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A record for the open batch.
        Record,
        /// A record that is dropped by a rule.
        Filtered,
        /// The open batch is sent.
        Seal,
        /// One of the batches under way is decided; with an undecided record or not.
        Settle(prop::sample::Index, bool),
    }

    proptest! {
        #[test]
        fn the_mark_ends_before_the_first_undecided_record_and_its_books_are_what_lies_below(
            steps in prop::collection::vec(prop_oneof![
                5 => Just(Step::Record),
                2 => Just(Step::Filtered),
                2 => Just(Step::Seal),
                3 => (any::<prop::sample::Index>(), prop::bool::weighted(0.1))
                    .prop_map(|(which, fails)| Step::Settle(which, fails)),
            ], 0..80)
        ) {
            let mut water = Water::default();
            let (mut open, mut offset) = (0, 10u64);
            let mut under_way: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            // What is known of each offset: `None` under way, `Some(false)` undecided.
            let mut known: BTreeMap<u64, Option<bool>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Record => {
                        water.batched(open, offset);
                        under_way.entry(open).or_default().push(offset);
                        known.insert(offset, None);
                        offset += 7;
                    }
                    Step::Filtered => {
                        let one = RecordBooks { read: 1, filtered: 1, ..RecordBooks::default() };
                        water.decided(offset, one);
                        known.insert(offset, Some(true));
                        offset += 7;
                    }
                    Step::Seal => open += 1,
                    Step::Settle(which, fails) => {
                        let sealed: Vec<u64> = under_way.keys().copied().filter(|b| *b < open).collect();
                        if sealed.is_empty() { continue; }
                        let batch = *which.get(&sealed);
                        let offsets = under_way.remove(&batch).unwrap();
                        let undecided = u64::from(fails);
                        water.settled(batch, RecordBooks { undecided, ..accepted(offsets.len() as u64 - undecided) });
                        for (n, at) in offsets.iter().enumerate() {
                            known.insert(*at, Some(!(fails && n == 0)));
                        }
                    }
                }
                let mark = water.mark();
                let below = known.range(..mark.low_water);
                prop_assert!(below.clone().all(|(_, k)| *k == Some(true)), "{known:?} {water:?}");
                prop_assert_eq!(below.count() as u64, mark.records.read);
                prop_assert!(mark.records.balanced());
                prop_assert!(water.ranges.len() <= 2 * under_way.len() + 2);
            }
            // Nothing is kept below what could be.
            if under_way.is_empty() && known.values().all(|k| *k == Some(true)) {
                prop_assert_eq!(water.mark().records.read, known.len() as u64);
            }
        }
    }
}
