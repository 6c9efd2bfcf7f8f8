//! What serde_json says of a document, for comparison with the reader.
//!
//! Used by the property tests and by the fuzz target.
#![allow(unreachable_pub, reason = "the fuzz target includes this file too")]

use std::borrow::Cow;
use std::fmt;

use ctforward_core::read::{LogReader, ReadError, ReadLimits, Step};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

/// One element of a list of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// A record, with its offset.
    Record(u64, Vec<u8>),
    /// Something that is no record to forward, with its offset.
    Bad(u64, Vec<u8>),
}

/// What a document comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A log file with these elements.
    Log(Vec<Element>),
    /// JSON, but no log file.
    Foreign,
    /// No JSON.
    Broken,
}

/// What serde_json makes of `document`.
pub fn serde(document: &[u8]) -> Outcome {
    let bom = document.starts_with(b"\xef\xbb\xbf");
    let text = if bom { &document[3..] } else { document };
    if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        // Read raw: a number beyond f64 or half a surrogate pair is JSON all the same.
        return match serde_json::from_slice::<&RawValue>(text) {
            Ok(_) => Outcome::Foreign,
            Err(_) => Outcome::Broken,
        };
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let mut elements = Vec::new();
    let top = Top {
        elements: &mut elements,
    };
    let log = match top.deserialize(&mut deserializer) {
        Ok(log) if deserializer.end().is_ok() => log,
        _ => return Outcome::Broken,
    };
    if !log {
        return Outcome::Foreign;
    }
    let start = document.as_ptr() as usize;
    let place = |raw: &RawValue| (raw.get().as_ptr() as usize - start) as u64;
    Outcome::Log(
        elements
            .into_iter()
            .map(|(raw, around)| {
                let bytes = raw.get().as_bytes().to_vec();
                if bytes.starts_with(b"{") && depth(&bytes) + around <= 127 {
                    Element::Record(place(raw), bytes)
                } else {
                    Element::Bad(place(raw), bytes)
                }
            })
            .collect(),
    )
}

/// What the reader makes of `stored`, given in pieces that end at `cuts` (ascending).
///
/// Checks in passing that no call yields after the end, and that an error stays.
pub fn reader(
    stored: &[u8],
    cuts: &[usize],
    limits: ReadLimits,
) -> Result<Vec<Element>, ReadError> {
    let mut reader = LogReader::with_limits(limits);
    let mut ends = cuts.iter().copied().chain([stored.len()]);
    let mut at = 0;
    let mut elements = Vec::new();
    loop {
        match reader.next() {
            Ok(Step::Record(record)) => {
                elements.push(Element::Record(record.offset(), record.bytes().to_vec()));
            }
            Ok(Step::Bad(bad)) => elements.push(Element::Bad(bad.offset, bad.bytes.to_vec())),
            Ok(Step::Oversized(big)) => elements.push(Element::Bad(big.offset, Vec::new())),
            Ok(Step::NeedInput) => match ends.next() {
                Some(end) => {
                    reader.push(stored[at..end].to_vec().into());
                    at = end;
                }
                None => reader.finish(),
            },
            Ok(Step::End) => {
                assert!(matches!(reader.next(), Ok(Step::End)));
                assert_eq!(reader.stored_bytes(), stored.len() as u64);
                return Ok(elements);
            }
            Ok(_) => {}
            Err(error) => {
                assert_eq!(reader.next().unwrap_err(), error);
                return Err(error);
            }
        }
    }
}

/// Holds the reader's answer on a `document` against serde_json's.
///
/// # Panics
/// Where they differ in a way that the definition of a valid record does not allow.
pub fn compare(document: &[u8], read: &Result<Vec<Element>, ReadError>) {
    match (serde(document), read) {
        (Outcome::Log(expected), Ok(elements)) => assert_eq!(elements, &expected),
        (Outcome::Foreign, Err(ReadError::NotCloudTrail { .. })) => {}
        (Outcome::Broken, Err(error)) => {
            assert!(!matches!(error, ReadError::NotCloudTrail { .. }), "{error}");
        }
        (Outcome::Broken, Ok(elements)) => {
            if elements.iter().any(|e| matches!(e, Element::Bad(..))) {
                return;
            }
            // The fault must lie inside a record, and the record's extent be
            // clear: with the records taken out, the rest is sound.
            let mut emptied = document.to_vec();
            for element in elements {
                if let Element::Record(offset, bytes) = element {
                    let at = usize::try_from(*offset).unwrap();
                    emptied[at + 1..at + bytes.len() - 1].fill(b' ');
                }
            }
            assert!(
                matches!(serde(&emptied), Outcome::Log(_)),
                "a fault outside of the records passed: {:?}",
                String::from_utf8_lossy(document)
            );
        }
        (oracle, read) => panic!(
            "serde_json says {oracle:?}, the reader says {read:?}, of {:?}",
            String::from_utf8_lossy(document)
        ),
    }
}

/// How deep brackets nest in a sound value.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut string, mut escaped) = (0, 0, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            b'{' | b'[' if !string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !string => depth -= 1,
            _ => {}
        }
    }
    deepest
}

/// The whole document; answers whether it is a log file.
struct Top<'e, 'de> {
    elements: &'e mut Vec<(&'de RawValue, usize)>,
}

impl<'de> DeserializeSeed<'de> for Top<'_, 'de> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut log = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "Records" {
                let value: &'de RawValue = map.next_value()?;
                sound_depth(value, 1)?;
                if value.get().starts_with('[') {
                    log = true;
                    let mut inner = serde_json::Deserializer::from_str(value.get());
                    let list = Elements {
                        elements: &mut *self.elements,
                        around: 2,
                    };
                    inner.deserialize_seq(list).map_err(A::Error::custom)?;
                }
            } else {
                let value: &'de RawValue = map.next_value()?;
                if depth(value.get().as_bytes()) + 1 > 127 {
                    return Err(A::Error::custom("too deep"));
                }
            }
        }
        Ok(log)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        let list = Elements {
            elements: &mut *self.elements,
            around: 1,
        };
        list.visit_seq(seq)?;
        let first = self.elements.first();
        let log = first.is_none_or(|(raw, _)| raw.get().starts_with('{'));
        if !log {
            for (raw, around) in self.elements.iter() {
                if depth(raw.get().as_bytes()) + around > 127 {
                    return Err(A::Error::custom("too deep"));
                }
            }
        }
        Ok(log)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// A `Records` value that is no list may still be too deep; one that is a list
/// may hold elements that are no objects and too deep, which the reader refuses.
fn sound_depth<E: serde::de::Error>(value: &RawValue, around: usize) -> Result<(), E> {
    if !value.get().starts_with('[') && depth(value.get().as_bytes()) + around > 127 {
        return Err(E::custom("too deep"));
    }
    Ok(())
}

struct Elements<'e, 'de> {
    elements: &'e mut Vec<(&'de RawValue, usize)>,
    around: usize,
}

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            if !raw.get().starts_with('{') && depth(raw.get().as_bytes()) + self.around > 127 {
                return Err(A::Error::custom("too deep"));
            }
            self.elements.push((raw, self.around));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Elements<'_, 'de> {
    type Value = IgnoredAny;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<IgnoredAny, D::Error> {
        deserializer.deserialize_seq(self)?;
        Ok(IgnoredAny)
    }
}
