//! Noting where the top-level keys of one record lie, for records that do not
//! come from the streaming reader.

use super::record::Field;
use super::scan::{Member, Members, Step};

/// Where the top-level members of the object `bytes` lie, in their order.
///
/// `None` if the bytes are no object, or a position does not fit 32 bits.
pub(super) fn index(bytes: &[u8]) -> Option<Vec<Field>> {
    let mut members = Members::of(bytes)?;
    let mut fields = Vec::new();
    loop {
        match members.step() {
            Step::Member(member) => fields.push(field(&member)?),
            Step::End => return Some(fields),
            Step::Fault => return None,
        }
    }
}

fn field(member: &Member) -> Option<Field> {
    let at = |position: usize| u32::try_from(position).ok();
    Some(Field {
        key: (at(member.key.start)?, at(member.key.end)?),
        value: (at(member.value.start)?, at(member.value.end)?),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde::de::{MapAccess, Visitor};
    use serde_json::value::RawValue;

    use super::*;
    use crate::event::scan::text;

    /// What serde_json sees of an object: each member in its order, values raw.
    struct Seen(Vec<(String, String)>);

    impl<'de> Deserialize<'de> for Seen {
        fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            struct V;
            impl<'de> Visitor<'de> for V {
                type Value = Seen;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
                    let mut out = Vec::new();
                    while let Some((k, v)) = map.next_entry::<String, Box<RawValue>>()? {
                        out.push((k, v.get().to_owned()));
                    }
                    Ok(Seen(out))
                }
            }
            d.deserialize_map(V)
        }
    }

    fn ours(bytes: &[u8]) -> Option<Vec<(String, String)>> {
        index(bytes)?
            .iter()
            .map(|f| {
                let quoted = f.key().start - 1..f.key().end + 1;
                let value = String::from_utf8(bytes[f.value()].to_vec()).ok()?;
                Some((text(&bytes[quoted])?.into_owned(), value))
            })
            .collect()
    }

    /// JSON of all sorts, also with odd numbers, escapes and white space.
    pub(in crate::event) fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("1624.0".to_owned()),
            Just("-1E+9".to_owned()),
            Just(" 9007199254740993 ".to_owned()),
            string(),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|v| format!("[ {} ]", v.join(" ,"))),
                prop::collection::vec((string(), inner), 0..4).prop_map(object),
            ]
        })
    }

    fn string() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
            "\"([a-b{}\\[\\],:]|\\\\u00[0-9a-f]{2}|\\\\\\\\|\\\\\")*\"",
        ]
    }

    /// An object of members whose keys are quoted already.
    pub(in crate::event) fn object(members: Vec<(String, String)>) -> String {
        let members: Vec<_> = members
            .into_iter()
            .map(|(k, v)| format!("{k} :\n{v}"))
            .collect();
        format!("{{ {}\t}}", members.join(","))
    }

    proptest! {
        #[test]
        fn it_notes_the_members_that_serde_json_sees(
            members in prop::collection::vec((string(), json()), 0..6)
        ) {
            let raw = object(members);
            let seen: Seen = serde_json::from_str(&raw).unwrap();
            prop_assert_eq!(ours(raw.as_bytes()), Some(seen.0));
        }

        #[test]
        fn what_serde_json_accepts_after_damage_is_noted_alike(
            members in prop::collection::vec((string(), json()), 0..4),
            at in any::<prop::sample::Index>(),
            with in prop::sample::select(b"{}[]\",:\\u1 ".to_vec()),
        ) {
            let mut raw = object(members).into_bytes();
            let at = at.index(raw.len());
            raw[at] = with;
            if let Ok(seen) = serde_json::from_slice::<Seen>(&raw) {
                prop_assert_eq!(ours(&raw), Some(seen.0));
            }
        }
    }
}
