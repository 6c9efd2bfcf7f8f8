//! The top-level keys that rules name, all found in one pass over a record's keys.

use crate::event::Record;
use crate::event::known::{Name, Place};
use crate::event::scan::{has_escape, key_match};

/// So many keys are looked for without an allocation.
const INLINE: usize = 8;

/// The keys that are looked for, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Tops {
    names: Vec<Box<str>>,
    /// In the order of their lengths, with their positions in `names`.
    by_length: Vec<(Ends, usize)>,
    /// Where in `by_length` those of a length begin, and behind the last of them.
    starts: Vec<usize>,
    /// The lengths of all of them, a bit each; the last bit for all that are longer.
    lengths: u64,
    /// Each of them, where all are among those that the reader notes.
    known: Option<Box<[Name]>>,
}

/// What a record holds at one of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top<'a> {
    Absent,
    /// The value, and whether no escape is in it.
    Value(&'a [u8], bool),
    /// The key comes twice, or one that cannot be decoded may be it.
    Doubt,
}

/// What one record holds at all of them.
#[derive(Debug)]
pub(super) enum Found<'t, 'a> {
    /// Each is looked up where it is asked for.
    Known(&'t [Name], Record<'a>),
    Searched(Searched<'a>),
}

#[derive(Debug)]
pub(super) struct Searched<'a> {
    inline: [Top<'a>; INLINE],
    more: Vec<Top<'a>>,
}

impl Tops {
    /// The position of a key, which is entered where it is new.
    pub(super) fn of(&mut self, name: &str) -> usize {
        if let Some(known) = self.names.iter().position(|known| **known == *name) {
            return known;
        }
        let position = self.names.len();
        self.lengths |= length_bit(name.len());
        self.names.push(name.into());
        position
    }

    /// Makes all that were entered ready to be found.
    pub(super) fn settle(&mut self) {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        let length = |position: usize| self.names.get(position).map_or(0, |name| name.len());
        order.sort_by_key(|position| length(*position));
        let longest = order.last().map_or(0, |position| length(*position));
        let before = |long: usize| order.partition_point(|position| length(*position) < long);
        self.starts = (0..longest + 2).map(before).collect();
        let ends = |position: usize| {
            self.names
                .get(position)
                .map(|name| Ends::of(name.as_bytes()))
        };
        let entries = order
            .iter()
            .filter_map(|position| Some((ends(*position)?, *position)));
        self.by_length = entries.collect();
        self.known = self.names.iter().map(|name| Name::of(name)).collect();
    }

    /// Those of one length.
    fn of_length(&self, length: usize) -> &[(Ends, usize)] {
        let start = self.starts.get(length).copied();
        let end = self.starts.get(length + 1).copied();
        let these = start
            .zip(end)
            .and_then(|(start, end)| self.by_length.get(start..end));
        these.unwrap_or_default()
    }

    /// Looks all of them up.
    pub(super) fn find<'a>(&self, record: &Record<'a>) -> Found<'_, 'a> {
        match &self.known {
            Some(names) if record.is_clear() => Found::Known(names, *record),
            _ => Found::Searched(self.search(record)),
        }
    }

    fn search<'a>(&self, record: &Record<'a>) -> Searched<'a> {
        let more = self.names.len().saturating_sub(INLINE);
        let mut found = Searched {
            inline: [Top::Absent; INLINE],
            more: vec![Top::Absent; more],
        };
        let bytes = record.bytes();
        for field in record.fields() {
            let is_plain = record.is_plain(&field.key());
            if is_plain && self.lengths & length_bit(field.key().len()) == 0 {
                continue;
            }
            let Some(key) = bytes.get(field.key()) else {
                // Never: the reader noted them in these bytes.
                for name in 0..self.names.len() {
                    found.set(name, Top::Doubt);
                }
                continue;
            };
            let value = || {
                let value = field.value();
                let is_plain = record.is_plain(&value);
                let value = bytes.get(value);
                value.map_or(Top::Doubt, |value| Top::Value(value, is_plain))
            };
            if !is_plain && has_escape(key) {
                for (position, name) in self.names.iter().enumerate() {
                    match key_match(key, name) {
                        Some(true) => found.set(position, value()),
                        Some(false) => {}
                        None => found.set(position, Top::Doubt),
                    }
                }
                continue;
            }
            let ends = Ends::of(key);
            for (_, position) in self.of_length(key.len()).iter().filter(|(e, _)| *e == ends) {
                let same = || {
                    self.names
                        .get(*position)
                        .is_some_and(|name| name.as_bytes() == key)
                };
                // Two ends of eight bytes are all of a key of up to sixteen.
                if key.len() <= 16 || same() {
                    found.set(*position, value());
                }
            }
        }
        found
    }
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// The first and the last eight bytes of a key, or all of a shorter one: keys of one
/// length are told apart by them without a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends(u64, u64);

impl Ends {
    fn of(key: &[u8]) -> Self {
        match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
            (Some(first), Some(last)) => {
                Self(u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            }
            _ => Self(
                key.iter()
                    .fold(0, |word, byte| word << 8 | u64::from(*byte)),
                0,
            ),
        }
    }
}

impl<'a> Found<'_, 'a> {
    #[inline]
    pub(super) fn get(&self, position: usize) -> Top<'a> {
        let (names, record) = match self {
            Self::Known(names, record) => (names, record),
            Self::Searched(searched) => return searched.get(position),
        };
        match names.get(position).map(|name| record.place(*name)) {
            Some(Place::Absent) => Top::Absent,
            Some(Place::At(index)) => record
                .fields()
                .get(index)
                .and_then(|field| {
                    let value = field.value();
                    let is_plain = record.is_plain(&value);
                    Some(Top::Value(record.bytes().get(value)?, is_plain))
                })
                .unwrap_or(Top::Doubt),
            Some(Place::Twice | Place::Unclear) | None => Top::Doubt,
        }
    }
}

impl<'a> Searched<'a> {
    fn get(&self, position: usize) -> Top<'a> {
        let inline = self.inline.get(position);
        let found = inline.or_else(|| self.more.get(position - INLINE));
        found.copied().unwrap_or(Top::Doubt)
    }

    fn set(&mut self, position: usize, to: Top<'a>) {
        let place = match self.inline.get_mut(position) {
            Some(place) => Some(place),
            None => self.more.get_mut(position - INLINE),
        };
        if let Some(place) = place {
            *place = match place {
                Top::Absent => to,
                _ => Top::Doubt,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::RecordBuf;

    #[test]
    fn many_keys_are_found_and_what_comes_twice_is_doubt() {
        let mut tops = Tops::default();
        let names: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
        for (position, name) in names.iter().enumerate() {
            assert_eq!(tops.of(name), position);
        }
        assert_eq!(tops.of("k7"), 7);
        tops.settle();
        let record = r#"{"k0":1,"\u006b1":2,"k39":3,"k2":4,"\u006b2":5,"k20\ud800":6,"k3":7}"#;
        let buf = RecordBuf::parse(record.to_owned()).unwrap();
        let found = tops.find(&buf.as_record());
        for (position, name) in names.iter().enumerate() {
            let expected = match name.as_str() {
                "k0" => Top::Value(b"1", true),
                "k1" => Top::Value(b"2", false),
                "k39" => Top::Value(b"3", false),
                "k3" => Top::Value(b"7", true),
                // `k20` and half a character may be a reader's `k20`.
                "k2" | "k20" => Top::Doubt,
                _ => Top::Absent,
            };
            assert_eq!(found.get(position), expected, "{name}");
        }
    }

    proptest! {
        /// What the reader noted and what a search finds are the same.
        #[test]
        fn both_ways_of_finding_keys_agree(
            keys in prop::collection::vec(
                prop_oneof![
                    9 => prop::sample::select(vec!["eventName", "eventSource", "userAgent", "x"]),
                    1 => Just("event\\u004eame"),
                ],
                0..8,
            ),
            value in prop_oneof![Just("1"), Just(r#""\n""#)],
        ) {
            let mut tops = Tops::default();
            for name in ["eventSource", "eventName", "userAgent", "awsRegion"] {
                tops.of(name);
            }
            tops.settle();
            let members: Vec<String> = keys.iter().map(|k| format!("\"{k}\":{value}")).collect();
            let buf = RecordBuf::parse(format!("{{{}}}", members.join(","))).unwrap();
            let record = buf.as_record();
            let (found, searched) = (tops.find(&record), tops.search(&record));
            let escaped = keys.iter().any(|key| key.contains('\\'));
            prop_assert_eq!(matches!(found, Found::Known(..)), !escaped);
            for position in 0..4 {
                prop_assert_eq!(found.get(position), searched.get(position));
            }
        }
    }
}
