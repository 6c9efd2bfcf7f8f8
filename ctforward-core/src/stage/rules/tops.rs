//! The top-level keys that rules name, all found in one pass over a record's keys.

use crate::event::Record;
use crate::event::scan::{has_escape, key_match};

/// So many keys are looked for without an allocation.
const INLINE: usize = 8;

/// The keys that are looked for, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Tops {
    names: Vec<Box<str>>,
    /// The positions in `names` of those that have as many bytes as the index says.
    by_length: Vec<Vec<usize>>,
    /// The lengths of all of them, a bit each; the last bit for all that are longer.
    lengths: u64,
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
pub(super) struct Found<'a> {
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
        if self.by_length.len() <= name.len() {
            self.by_length.resize(name.len() + 1, Vec::new());
        }
        if let Some(these) = self.by_length.get_mut(name.len()) {
            these.push(position);
        }
        position
    }

    /// Looks all of them up.
    pub(super) fn find<'a>(&self, record: &Record<'a>) -> Found<'a> {
        let more = self.names.len().saturating_sub(INLINE);
        let mut found = Found {
            inline: [Top::Absent; INLINE],
            more: vec![Top::Absent; more],
        };
        let bytes = record.bytes();
        for field in record.fields() {
            let is_plain = record.is_plain(&field.key());
            if is_plain && self.lengths & length_bit(field.key().len()) == 0 {
                continue;
            }
            let value = field.value();
            let is_plain_value = record.is_plain(&value);
            let (Some(key), Some(value)) = (bytes.get(field.key()), bytes.get(value)) else {
                // Never: the reader noted them in these bytes.
                for name in 0..self.names.len() {
                    found.set(name, Top::Doubt);
                }
                continue;
            };
            if !is_plain && has_escape(key) {
                for (position, name) in self.names.iter().enumerate() {
                    match key_match(key, name) {
                        Some(true) => found.set(position, Top::Value(value, is_plain_value)),
                        Some(false) => {}
                        None => found.set(position, Top::Doubt),
                    }
                }
                continue;
            }
            for position in self.by_length.get(key.len()).into_iter().flatten() {
                let name = self.names.get(*position);
                if name.is_some_and(|name| same(name.as_bytes(), key)) {
                    found.set(*position, Top::Value(value, is_plain_value));
                }
            }
        }
        found
    }
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Whether keys of one length are the same, without a call for most lengths: the
/// first and the last eight bytes are all of them.
fn same(name: &[u8], key: &[u8]) -> bool {
    match key.len() {
        8..=16 => {
            name.first_chunk::<8>() == key.first_chunk::<8>()
                && name.last_chunk::<8>() == key.last_chunk::<8>()
        }
        _ => name == key,
    }
}

impl<'a> Found<'a> {
    pub(super) fn get(&self, position: usize) -> Top<'a> {
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
}
