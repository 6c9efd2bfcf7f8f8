use std::hint::black_box;

/// Finds places by hashes, in little memory.
///
/// A table that holds what it finds has an entry of many bytes for each, and is out
/// of the processor's cache when it is needed most. This one holds a byte of each
/// hash apart: a name that is not there, as nearly all are, costs a look at one of
/// those; and whoever asks looks at a place only where that byte fits. Nothing is
/// taken out one by one: places that mean nothing any more stay until it is made anew.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// A byte of the hash, never zero; zero where nothing is.
    tags: Vec<u8>,
    places: Vec<u32>,
    used: usize,
}

/// The fewest slots of a table that holds anything.
const LEAST: usize = 256;

impl Table {
    /// Empties it, with room for `count` places and as many again.
    pub(crate) fn renew(&mut self, count: usize) {
        let slots = (count.saturating_mul(5) / 2).max(LEAST).next_power_of_two();
        self.tags.clear();
        self.tags.resize(slots, 0);
        // What they hold counts only where there is a tag.
        self.places.resize(slots, 0);
        self.used = 0;
    }

    /// Whether it must be made anew before another place is entered.
    pub(crate) fn is_full(&self) -> bool {
        // Probes stay short up to there.
        self.used >= self.tags.len() / 4 * 3
    }

    /// Enters a place. Only where it is not full.
    pub(crate) fn insert(&mut self, id: u64, place: u32) {
        let (start, tag) = Self::start(id);
        let mask = self.tags.len().wrapping_sub(1);
        for step in 0..self.tags.len() {
            let slot = start.wrapping_add(step) & mask;
            if let (Some(taken), Some(at)) = (self.tags.get_mut(slot), self.places.get_mut(slot))
                && *taken == 0
            {
                (*taken, *at) = (tag, place);
                self.used += 1;
                return;
            }
        }
    }

    /// The places that may be of `id`.
    pub(crate) fn places(&self, id: u64) -> impl Iterator<Item = u32> + '_ {
        let (start, tag) = Self::start(id);
        let mask = self.tags.len().wrapping_sub(1);
        (0..self.tags.len())
            .map(move |step| start.wrapping_add(step) & mask)
            .map_while(|slot| {
                let taken = self.tags.get(slot).copied().filter(|taken| *taken != 0);
                taken.map(|taken| (slot, taken))
            })
            .filter(move |(_, taken)| *taken == tag)
            .filter_map(|(slot, _)| self.places.get(slot).copied())
    }

    /// Brings what is known of these names into the processor's cache, all at once
    /// and not one after the other.
    pub(crate) fn touch(&self, ids: impl Iterator<Item = u64>) {
        let mask = self.tags.len().wrapping_sub(1);
        let tags = ids.map(|id| {
            self.tags
                .get(Self::start(id).0 & mask)
                .copied()
                .unwrap_or(0)
        });
        black_box(tags.fold(0, |all, tag| all ^ tag));
    }

    /// All places.
    pub(crate) fn all(&self) -> impl Iterator<Item = u32> + '_ {
        let slots = self.tags.iter().zip(&self.places);
        slots.filter(|(tag, _)| **tag != 0).map(|(_, place)| *place)
    }

    fn start(hash: u64) -> (usize, u8) {
        // A keyed hash already: its bits are as good as any.
        #[allow(clippy::cast_possible_truncation, reason = "the lower bits are wanted")]
        let start = hash as usize;
        (start, ((hash >> 56) as u8).max(1))
    }
}
