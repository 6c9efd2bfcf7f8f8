//! Where the keys lie that are asked for in every record, noted in one pass over its keys.

use super::record::{Escapes, Field};
use super::scan::has_escape;

/// The keys of the record contents that stages, rules and reports ask for.
///
/// The names are those of AWS's page "CloudTrail record contents".
const NAMES: [&str; 28] = [
    "eventTime",
    "eventID",
    // As Insights events have it.
    "eventId",
    "insightDetails",
    "addendum",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "userIdentity",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "requestID",
    "readOnly",
    "resources",
    "eventType",
    "eventVersion",
    "apiVersion",
    "managementEvent",
    "recipientAccountId",
    "sharedEventID",
    "vpcEndpointId",
    "eventCategory",
    "tlsDetails",
];

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(u8);

impl Name {
    pub(crate) const EVENT_TIME: Self = Self(0);
    pub(crate) const EVENT_ID: Self = Self(1);
    pub(crate) const EVENT_ID_OF_INSIGHT: Self = Self(2);
    pub(crate) const INSIGHT_DETAILS: Self = Self(3);
    pub(crate) const ADDENDUM: Self = Self(4);

    /// The one that is written so, if it is among them.
    pub(crate) fn of(name: &str) -> Option<Self> {
        find(name.as_bytes())
    }

    pub(crate) fn text(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// Where a record has one of these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Absent,
    /// There, once: the index of its field.
    At(usize),
    /// There more than once.
    Twice,
    /// A key of the record is written with escapes and may be any: all of its keys have to
    /// be looked through.
    Unclear,
}

/// Where a record has each of these keys.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    at: [u32; NAMES.len()],
    unclear: bool,
}

const ABSENT: u32 = u32::MAX;
const TWICE: u32 = u32::MAX - 1;

impl Default for Known {
    fn default() -> Self {
        Self {
            at: [ABSENT; NAMES.len()],
            unclear: false,
        }
    }
}

impl Known {
    /// Those of a record.
    pub(crate) fn of(bytes: &[u8], fields: &[Field], escapes: Escapes) -> Self {
        let mut known = Self::default();
        for (index, field) in fields.iter().enumerate() {
            let at = field.key();
            let is_plain = escapes.spare(&at);
            let Some(key) = bytes.get(at) else {
                // Never: the reader noted them in these bytes.
                known.unclear = true;
                continue;
            };
            match find(key) {
                // What equals one of them has no escape in it.
                Some(name) => known.note(name, index),
                None => known.unclear |= !is_plain && has_escape(key),
            }
        }
        known
    }

    fn note(&mut self, name: Name, index: usize) {
        if let Some(place) = self.at.get_mut(usize::from(name.0)) {
            *place = match *place {
                // An index that could not be noted is looked for again.
                ABSENT => u32::try_from(index).unwrap_or(TWICE),
                _ => TWICE,
            };
        }
    }

    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        !self.unclear
    }

    #[inline]
    pub(crate) fn place(&self, name: Name) -> Place {
        if self.unclear {
            return Place::Unclear;
        }
        match self.at.get(usize::from(name.0)).copied() {
            Some(ABSENT) => Place::Absent,
            Some(TWICE) => Place::Twice,
            Some(index) => Place::At(index as usize),
            None => Place::Unclear,
        }
    }
}

/// A slot of the table in which they are found: one look and one comparison for a key.
#[derive(Clone, Copy)]
struct Slot {
    ends: (u64, u64),
    length: usize,
    name: u8,
}

const EMPTY: Slot = Slot {
    ends: (0, 0),
    length: 0,
    name: u8::MAX,
};

/// One slot for each value of six bits.
const SLOTS: usize = 64;

/// A factor that gives each of the names a slot of its own, and the table it makes.
static TABLE: (u64, [Slot; SLOTS]) = table();

/// The names are told apart by their lengths and their ends of eight bytes, which of a
/// name of up to sixteen are all of it.
#[inline]
fn find(key: &[u8]) -> Option<Name> {
    let ends = ends(key)?;
    let slot = TABLE.1.get(slot(ends, TABLE.0))?;
    if slot.ends != ends || slot.length != key.len() {
        return None;
    }
    let name = Name(slot.name);
    (key.len() <= 16 || name.text().as_bytes() == key).then_some(name)
}

#[inline]
const fn slot(ends: (u64, u64), factor: u64) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "six bits are left")]
    let slot = ((ends.0 ^ ends.1.rotate_left(23)).wrapping_mul(factor) >> 58) as usize;
    slot
}

/// The first and the last eight bytes, or four of a shorter key; none of the names has
/// fewer.
#[inline]
const fn ends(key: &[u8]) -> Option<(u64, u64)> {
    match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => Some((u64::from_le_bytes(*first), u64::from_le_bytes(*last))),
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(first), Some(last)) => Some((
                u32::from_le_bytes(*first) as u64,
                u32::from_le_bytes(*last) as u64,
            )),
            _ => None,
        },
    }
}

const fn table() -> (u64, [Slot; SLOTS]) {
    let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        if let Some(table) = with_factor(factor) {
            return (factor, table);
        }
        factor = factor
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(2);
    }
}

/// The table, unless two names share a slot.
const fn with_factor(factor: u64) -> Option<[Slot; SLOTS]> {
    let mut table = [EMPTY; SLOTS];
    let mut n = 0;
    while n < NAMES.len() {
        let key = NAMES[n].as_bytes();
        let Some(ends) = ends(key) else {
            return None;
        };
        let at = slot(ends, factor);
        if table[at].name != u8::MAX {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "there are 28")]
        let name = n as u8;
        table[at] = Slot {
            ends,
            length: key.len(),
            name,
        };
        n += 1;
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::RecordBuf;

    #[test]
    fn each_name_is_found_and_what_is_like_one_is_not() {
        for (n, name) in NAMES.iter().enumerate() {
            assert_eq!(Name::of(name).map(|name| usize::from(name.0)), Some(n));
            assert_eq!(Name::of(name).map(Name::text), Some(*name));
            for near in [
                format!("{name}x"),
                format!("x{name}"),
                name[1..].to_owned(),
                name.to_uppercase(),
                format!("{}-{}", &name[..4], &name[5..]),
                format!("{name}{name}"),
            ] {
                assert_eq!(Name::of(&near), None, "{near}");
            }
        }
        for other in ["", "a", "abc", "abcd", "additionalEvent-Data"] {
            assert_eq!(Name::of(other), None, "{other}");
        }
        let constants = [
            (Name::EVENT_TIME, "eventTime"),
            (Name::EVENT_ID, "eventID"),
            (Name::EVENT_ID_OF_INSIGHT, "eventId"),
            (Name::INSIGHT_DETAILS, "insightDetails"),
            (Name::ADDENDUM, "addendum"),
        ];
        for (name, text) in constants {
            assert_eq!(name.text(), text);
        }
    }

    proptest! {
        /// What the quick way answers is what looking through all keys does.
        #[test]
        fn a_known_key_is_where_a_search_finds_it(
            keys in prop::collection::vec(
                prop_oneof![
                    6 => prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
                    2 => "[a-zA-Z]{0,12}",
                    1 => prop::sample::select(NAMES.to_vec())
                        .prop_map(|name| format!("\\u00{:02x}{}", name.as_bytes()[0], &name[1..])),
                    1 => Just("odd\\ud800".to_owned()),
                ],
                0..12,
            ),
            escaped_value in any::<bool>(),
        ) {
            let value = if escaped_value { r#""\\""# } else { "1" };
            let members: Vec<String> = keys.iter().map(|k| format!("\"{k}\":{value}")).collect();
            let buf = RecordBuf::parse(format!("{{{}}}", members.join(","))).unwrap();
            let record = buf.as_record();
            for text in NAMES {
                let name = Name::of(text).unwrap();
                prop_assert_eq!(record.known(name), record.field(text), "{}", text);
                let named = record.fields_named(text);
                match record.place(name) {
                    Place::Absent => prop_assert_eq!(named, 0),
                    Place::At(_) => prop_assert_eq!(named, 1),
                    Place::Twice => prop_assert!(named > 1),
                    Place::Unclear => prop_assert!(keys.iter().any(|key| key.contains('\\'))),
                }
            }
        }
    }
}
