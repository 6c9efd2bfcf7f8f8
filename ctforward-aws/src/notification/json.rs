//! Reading just as much of a message as is needed.
//!
//! What is not read is skipped without recursion, so depth costs no stack. A member
//! that is read and comes twice is an error: with the last one taken, the first
//! one's objects would be lost.

use std::fmt;

use ctforward_core::Result;
use ctforward_core::text::excerpt;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::malformed;

/// What an error shows of a text from a message.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", excerpt(text, 80))
}

/// Reads `text` as a `T`; `what` names it in the error.
pub(super) fn read<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| {
        let why = excerpt(&e.to_string(), 200);
        malformed(format!("{what} cannot be read: {why}"))
    })
}

/// The text that `raw` is.
pub(super) fn text(what: &str, raw: &RawValue) -> Result<String> {
    read(what, raw.get())
}

/// The first elements of the list that `raw` is, at most `most`, and whether it has more.
pub(super) fn elements<'a>(
    what: &str,
    raw: &'a RawValue,
    most: usize,
) -> Result<(Vec<&'a RawValue>, bool)> {
    struct Elements(usize);
    impl<'de> DeserializeSeed<'de> for Elements {
        type Value = (Vec<&'de RawValue>, bool);
        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            from.deserialize_seq(self)
        }
    }
    impl<'de> Visitor<'de> for Elements {
        type Value = (Vec<&'de RawValue>, bool);
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while elements.len() < self.0 {
                match list.next_element()? {
                    Some(element) => elements.push(element),
                    None => return Ok((elements, false)),
                }
            }
            let mut more = false;
            while list.next_element::<IgnoredAny>()?.is_some() {
                more = true;
            }
            Ok((elements, more))
        }
    }
    let mut from = serde_json::Deserializer::from_str(raw.get());
    Elements(most).deserialize(&mut from).map_err(|e| {
        let why = excerpt(&e.to_string(), 200);
        malformed(format!("{what} cannot be read: {why}"))
    })
}

/// The names of an object's members, to tell somebody what came: `"a", "b", …`.
pub(super) fn members(object: &str) -> String {
    const MOST: usize = 8;
    struct Names(String);
    impl<'de> Deserialize<'de> for Names {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Object;
            impl<'de> Visitor<'de> for Object {
                type Value = Names;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                    let (mut shown, mut count) = (String::new(), 0);
                    while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
                        if count < MOST {
                            let comma = if count == 0 { "" } else { ", " };
                            shown.push_str(comma);
                            shown.push_str(&quoted(&name));
                        }
                        count += 1;
                    }
                    if count > MOST {
                        shown.push_str(", …");
                    }
                    Ok(Names(shown))
                }
            }
            from.deserialize_map(Object)
        }
    }
    match serde_json::from_str::<Names>(object) {
        Ok(Names(shown)) if shown.is_empty() => "no members".to_owned(),
        Ok(Names(shown)) => format!("the members {shown}"),
        Err(_) => "unreadable members".to_owned(),
    }
}
