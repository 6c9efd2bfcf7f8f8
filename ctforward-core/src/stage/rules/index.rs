//! Finding the rules that can match a record by its eventSource and eventName.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A rule of more pairs of source and name is found by its sources alone.
const PAIRS: usize = 4096;

/// All rules together have no more pairs than these.
const ALL_PAIRS: usize = 100_000;

/// The positions of rules in their list, by what they ask of the two fields that
/// most rules name.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    by_source: HashMap<Box<[u8]>, Names, Quick>,
    any_source: Names,
    pairs: usize,
}

/// Positions are in ascending order.
#[derive(Clone, Debug, Default)]
struct Names {
    by_name: HashMap<Box<[u8]>, Vec<usize>, Quick>,
    any_name: Vec<usize>,
}

/// A record's value of one of the two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'t> {
    /// This one text.
    Text(&'t [u8]),
    /// None that a rule could ask for.
    None,
    /// It may be any: the index does not help.
    Any,
}

impl Index {
    /// Adds the rule at position `n`, behind all before it, which holds only for
    /// these sources and names, if it says any; answers whether it is found by its
    /// names, too.
    pub(super) fn add(
        &mut self,
        n: usize,
        sources: Option<&[Box<[u8]>]>,
        names: Option<&[Box<[u8]>]>,
    ) -> bool {
        let pairs = sources.map_or(1, <[_]>::len) * names.map_or(1, <[_]>::len);
        let names = names.filter(|_| pairs <= PAIRS && self.pairs + pairs <= ALL_PAIRS);
        if names.is_some() {
            self.pairs += pairs;
        }
        match sources {
            None => self.any_source.add(n, names),
            Some(sources) => {
                for source in sources {
                    let entry = self.by_source.entry(source.clone());
                    entry.or_default().add(n, names);
                }
            }
        }
        names.is_some()
    }

    /// The positions of all rules that may hold for a record; `None` if that may be
    /// any. What is not needed is not asked for.
    pub(super) fn candidates<'i, 't>(
        &'i self,
        source: impl FnOnce() -> Key<'t>,
        name: impl FnOnce() -> Key<'t>,
    ) -> Option<[&'i [usize]; 4]> {
        let by_source = if self.by_source.is_empty() {
            None
        } else {
            match source() {
                Key::Text(source) => self.by_source.get(source),
                Key::None => None,
                Key::Any => return None,
            }
        };
        let named = |names: &Names| !names.by_name.is_empty();
        let name = if by_source.is_some_and(named) || named(&self.any_source) {
            match name() {
                Key::Text(name) => Some(name),
                Key::None => None,
                Key::Any => return None,
            }
        } else {
            None
        };
        let [a, b] = by_source.map_or([&[][..]; 2], |names| names.get(name));
        let [c, d] = self.any_source.get(name);
        Some([a, b, c, d])
    }
}

impl Names {
    fn add(&mut self, n: usize, names: Option<&[Box<[u8]>]>) {
        match names {
            None => self.any_name.push(n),
            Some(names) => {
                for name in names {
                    self.by_name.entry(name.clone()).or_default().push(n);
                }
            }
        }
    }

    fn get(&self, name: Option<&[u8]>) -> [&[usize]; 2] {
        let by_name = name.and_then(|name| self.by_name.get(name));
        [by_name.map_or(&[][..], Vec::as_slice), &self.any_name]
    }
}

type Quick = BuildHasherDefault<QuickHasher>;

/// A hash that needs no key: what the tables hold comes from the rules, and a record
/// only asks.
#[derive(Default)]
struct QuickHasher(u64);

impl QuickHasher {
    fn mix(&mut self, word: u64) {
        // The multiplier is the golden ratio's, as odd as any.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let last = rest
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.mix(last);
    }

    fn write_usize(&mut self, length: usize) {
        self.mix(length as u64);
    }

    fn finish(&self) -> u64 {
        // The table takes the uppermost bits and the lowest ones.
        self.0 ^ self.0 >> 32
    }
}
