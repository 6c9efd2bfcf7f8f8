use std::borrow::Cow;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher as StdHasher, RandomState};

use highway::{HighwayHash, HighwayHasher, Key};
use jiff::Timestamp;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::event::known::{Name, Place};
use crate::event::scan::{find, plain_text, text};
use crate::event::{Field, Record};
use crate::ledger::Seen;

/// What names a record, and what is in it, as keyed hashes.
///
/// The key is secret and chosen at random, so that nobody can make a record
/// whose hash is another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// A quick hash: two names that share it are only counted as conflicting.
    pub(crate) id: u64,
    /// A hash of which nobody can make two records that share it, without the key:
    /// on it hangs whether a record is sent.
    pub(crate) content: [u8; 16],
}

impl Identity {
    /// As what is remembered of it between runs.
    pub(crate) fn seen(self, at: Timestamp) -> Seen {
        let mut id = [0; 16];
        let (first, _) = id.split_at_mut(8);
        first.copy_from_slice(&self.id.to_le_bytes());
        Seen::new(id, self.content, at)
    }
}

impl From<&Seen> for Identity {
    fn from(seen: &Seen) -> Self {
        let first = seen.id.first_chunk::<8>();
        Self {
            id: first.map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            content: seen.content,
        }
    }
}

/// Makes identities with one key.
#[derive(Clone)]
pub(crate) struct Hasher {
    names: RapidSecrets,
    key: Key,
}

impl Hasher {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        let (words, _) = key.as_chunks::<8>();
        let word = |n: usize| words.get(n).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self {
            // Not the content's key itself, which must not show in a quick hash.
            names: RapidSecrets::seed({
                let mut hasher = HighwayHasher::new(Key([word(0), word(1), word(2), word(3)]));
                hasher.append(b"names");
                hasher.finalize64()
            }),
            key: Key([word(0), word(1), word(2), word(3)]),
        }
    }

    /// A key from the system's randomness, as the standard library keys its maps.
    pub(crate) fn random_key() -> [u8; 32] {
        let mut key = [0; 32];
        let (words, _) = key.as_chunks_mut::<8>();
        for word in words {
            *word = RandomState::new().build_hasher().finish().to_le_bytes();
        }
        key
    }

    /// A record's identity; `None` where it has no name that can be read, so that
    /// nothing can be a duplicate of it.
    pub(crate) fn identify(&self, record: &Record<'_>) -> Option<Identity> {
        let names = Names::of(record);
        let (raw, is_plain) = names.id?;
        let plain = is_plain.then(|| plain_text(raw)).flatten();
        let id = match plain {
            Some(id) => Cow::Borrowed(id),
            None => match text(raw)? {
                Cow::Borrowed(id) => Cow::Borrowed(id.as_bytes()),
                Cow::Owned(id) => Cow::Owned(id.into_bytes()),
            },
        };
        if id.is_empty() {
            return None;
        }
        // The two ends of an Insights event have one eventID, and an update is another
        // record than the one it amends.
        let state = names.insight.and_then(|details| find(details, "state"));
        let addendum = names.addendum.filter(|raw| *raw != b"null");
        let id = match (state, addendum) {
            (None, None) => rapidhash_v3_seeded(&id, &self.names),
            _ => {
                let mut all = id.into_owned();
                for (what, raw) in [(&b"state"[..], state), (b"addendum", addendum)] {
                    if let Some(raw) = raw {
                        all.extend([b"\0", what, b"\0", raw].concat());
                    }
                }
                rapidhash_v3_seeded(&all, &self.names)
            }
        };
        Some(Identity {
            id,
            content: bytes(HighwayHasher::new(self.key).hash128(record.bytes())),
        })
    }
}

/// What tells one record from another, raw, in one pass over its keys.
///
/// A key that is written with escapes is passed over: the record then has no name,
/// or another one, and is sent. Records of different bytes are never duplicates.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names<'a> {
    /// And whether no escape is in it.
    id: Option<(&'a [u8], bool)>,
    insight: Option<&'a [u8]>,
    addendum: Option<&'a [u8]>,
}

impl<'a> Names<'a> {
    fn of(record: &Record<'a>) -> Self {
        Self::known(record).unwrap_or_else(|| Self::search(record))
    }

    /// By what the reader noted, where each of the keys is there at most once.
    fn known(record: &Record<'a>) -> Option<Self> {
        let field = |name| match record.place(name) {
            Place::Absent => Some(None),
            Place::At(index) => record.fields().get(index).map(Some),
            Place::Twice | Place::Unclear => None,
        };
        let value = |field: &Field| record.bytes().get(field.value());
        let id = match (field(Name::EVENT_ID)?, field(Name::EVENT_ID_OF_INSIGHT)?) {
            (Some(_), Some(_)) => return None,
            (id, other) => id.or(other),
        };
        Some(Self {
            id: id.and_then(|field| Some((value(field)?, record.is_plain(&field.value())))),
            insight: field(Name::INSIGHT_DETAILS)?.and_then(value),
            addendum: field(Name::ADDENDUM)?.and_then(value),
        })
    }

    /// By looking through all keys; of one that comes twice the last counts.
    fn search(record: &Record<'a>) -> Self {
        let mut names = Self::default();
        let bytes = record.bytes();
        for field in record.fields() {
            let key = field.key();
            // The length alone tells most keys apart.
            if !matches!(key.len(), 7 | 8 | 14) {
                continue;
            }
            let (name, value) = (bytes.get(key), field.value());
            let is_plain = record.is_plain(&value);
            let value = bytes.get(value);
            match name {
                Some(b"eventID" | b"eventId") => names.id = value.map(|raw| (raw, is_plain)),
                Some(b"insightDetails") => names.insight = value,
                Some(b"addendum") => names.addendum = value,
                _ => {}
            }
        }
        names
    }
}

fn bytes(hash: [u64; 2]) -> [u8; 16] {
    let mut out = [0; 16];
    let (low, high) = out.split_at_mut(8);
    low.copy_from_slice(&hash[0].to_le_bytes());
    high.copy_from_slice(&hash[1].to_le_bytes());
    out
}

/// Hashes what is a keyed hash already: its first eight bytes do.
#[derive(Default)]
pub(crate) struct FirstBytes(u64);

impl StdHasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 ^= id;
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) type ById = BuildHasherDefault<FirstBytes>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::RecordBuf;

    fn identity(record: &str) -> Option<Identity> {
        let record = RecordBuf::parse(record.to_owned()).unwrap();
        Hasher::new([7; 32]).identify(&record.as_record())
    }

    #[test]
    fn what_names_a_record_is_its_event_id_and_for_an_insight_its_state() {
        let plain = identity(r#"{"eventID":"a","n":1}"#).unwrap();
        assert_eq!(plain, identity(r#"{"eventID":"a","n":1}"#).unwrap());
        let other_bytes = identity(r#"{"eventID":"a","n":2}"#).unwrap();
        assert_eq!(plain.id, other_bytes.id);
        assert_ne!(plain.content, other_bytes.content);
        assert_eq!(identity(r#"{"eventId":"a"}"#).unwrap().id, plain.id);
        assert_ne!(identity(r#"{"eventID":"b"}"#).unwrap().id, plain.id);
        let start = identity(r#"{"eventID":"a","insightDetails":{"state":"Start"}}"#).unwrap();
        let end = identity(r#"{"eventID":"a","insightDetails":{"state":"End"}}"#).unwrap();
        assert_ne!(start.id, end.id);
        let update = identity(r#"{"eventID":"a","addendum":{"reason":"UPDATED_DATA"}}"#).unwrap();
        assert_ne!(update.id, plain.id);
    }

    #[test]
    fn what_has_no_name_has_no_duplicate_and_another_key_another_hash() {
        for record in [
            "{}",
            r#"{"eventID":null}"#,
            r#"{"eventID":7}"#,
            r#"{"eventID":""}"#,
        ] {
            assert_eq!(identity(record), None, "{record}");
        }
        let record = RecordBuf::parse(r#"{"eventID":"a"}"#.to_owned()).unwrap();
        let with = |key| Hasher::new(key).identify(&record.as_record()).unwrap();
        assert_ne!(with([1; 32]).id, with([2; 32]).id);
        assert_ne!(with([1; 32]).content, with([2; 32]).content);
    }

    proptest! {
        #[test]
        fn both_ways_of_finding_what_names_a_record_agree(
            keys in prop::collection::vec(
                prop::sample::select(vec![
                    "eventID", "eventId", "insightDetails", "addendum", "x", "event\\u0049D",
                ]),
                0..6,
            ),
        ) {
            let members: Vec<String> =
                keys.iter().enumerate().map(|(n, k)| format!("\"{k}\":\"{n}\"")).collect();
            let buf = RecordBuf::parse(format!("{{{}}}", members.join(","))).unwrap();
            let record = buf.as_record();
            prop_assert_eq!(Names::of(&record), Names::search(&record));
        }
    }
}
